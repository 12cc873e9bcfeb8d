//! An app whose protocol is its own: each connection is a request, whatever it carries.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Duration;

use crate::app::{App, eventually};
use crate::client::get;
use crate::sidecar::{PATIENCE, Sidecar};

const GREETING: &[u8] = b"220 ready\r\n";

/// An app that greets, sends back what it gets, and says goodbye once its client has ended.
fn greeting_app() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let _ = stream.write_all(GREETING);
                let _ = std::io::copy(&mut stream.try_clone().unwrap(), &mut stream);
                let _ = stream.write_all(b"bye");
            });
        }
    });
    port
}

fn connect(sidecar: &Sidecar) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", sidecar.ports.main)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn greeted(stream: &mut TcpStream) {
    let mut greeting = [0; GREETING.len()];
    stream.read_exact(&mut greeting).unwrap();
    assert_eq!(greeting, GREETING);
}

/// Whether a connection waits, as the metrics page has it.
fn one_waits(sidecar: &Sidecar) -> bool {
    let page = get(sidecar.ports.metrics, "GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n");
    let is_it = |line: &str| line.starts_with("tidegate_requests_waiting") && line.ends_with(" 1");
    page.text().lines().any(is_it)
}

#[test]
fn connections_pass_the_gate_like_requests() {
    let changes = [
        ("TIDEGATE_APP_PROTOCOL", "tcp"),
        ("CONTAINER_CONCURRENCY", "1"),
        ("TIDEGATE_QUEUE_DEPTH", "1"),
        ("OBSERVABILITY_CONFIG", r#"{"requestMetrics":{"protocol":"prometheus"}}"#),
    ];
    let mut sidecar = Sidecar::start(greeting_app(), &changes);
    // One that only looks whether the port is open reaches no app and takes no place.
    drop(connect(&sidecar));
    let mut first = connect(&sidecar);
    greeted(&mut first);
    first.write_all(b"HELO").unwrap();
    let mut echo = [0; 4];
    first.read_exact(&mut echo).unwrap();
    assert_eq!(&echo, b"HELO");
    // The second waits in the queue, which the third finds full.
    let mut second = connect(&sidecar);
    second.write_all(b"early").unwrap();
    eventually("the queue", || one_waits(&sidecar));
    let mut third = connect(&sidecar);
    let refused = third.read(&mut [0]).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionReset);
    // The end of one direction leaves the other open, and the place is free after both.
    first.shutdown(Shutdown::Write).unwrap();
    let mut rest = String::new();
    first.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "bye");
    greeted(&mut second);
    let mut early = [0; 5];
    second.read_exact(&mut early).unwrap();
    assert_eq!(&early, b"early", "what it sent while it waited");
    // A drain waits for it.
    sidecar.signal("TERM");
    sidecar.stderr.wait_for("draining");
    second.write_all(b"late").unwrap();
    second.read_exact(&mut echo).unwrap();
    assert_eq!(&echo, b"late");
    assert!(sidecar.is_running());
    drop(second);
    assert_eq!(sidecar.wait().code(), Some(0));
}

#[test]
fn an_app_that_is_not_there_is_a_reset_and_no_orderly_end() {
    let free = App::absent_port();
    let sidecar = Sidecar::start(free, &[("TIDEGATE_APP_PROTOCOL", "tcp")]);
    let mut client = connect(&sidecar);
    client.write_all(b"x").unwrap();
    client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    sidecar.stderr.wait_for("a connection was reset");
}

#[test]
fn another_protocol_prevents_the_start() {
    let mut sidecar = Sidecar::spawn(1, &[("TIDEGATE_APP_PROTOCOL", "udp")]);
    assert_eq!(sidecar.wait().code(), Some(1));
    assert!(sidecar.stderr.all().contains("TIDEGATE_APP_PROTOCOL"));
}
