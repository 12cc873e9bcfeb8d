//! `tidegate run --tcp`: connections whose bytes nobody reads on the way.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::running::Running;

/// Nothing here takes this long unless it hangs, on however busy a machine.
const PATIENCE: Duration = Duration::from_secs(60);

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream
}

/// Asks over a connection, and reads the head and the number of requests inside the app.
fn ask(stream: &mut TcpStream) -> String {
    stream.write_all(REQUEST).expect("it is passed on");
    let mut seen = Vec::new();
    let mut buffer = [0; 1024];
    while !seen.windows(4).any(|end| end == b"\r\n\r\n") {
        let count = stream.read(&mut buffer).expect("it answers");
        assert!(count > 0, "it was closed: {}", seen.escape_ascii());
        seen.extend_from_slice(&buffer[..count]);
    }
    String::from_utf8_lossy(&seen).into_owned()
}

#[test]
fn connections_start_instances_are_counted_and_let_them_go() {
    let mut run = crate::start(&[
        "--listen",
        "0",
        "--tcp",
        "--initial",
        "0",
        "-c",
        "2",
        "--max",
        "1",
        "--window",
        "6s",
        "--idle",
        "1s",
    ]);
    let address = run.address_behind("on tcp://");
    // One that only looks whether the port is open starts nothing.
    drop(connect(&address));
    let (mut first, mut second) = (connect(&address), connect(&address));
    // The app answers on each as often as it is asked, with no field of a proxy.
    for _ in 0..3 {
        for stream in [&mut first, &mut second] {
            let head = ask(stream);
            assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        }
    }
    // The third is beyond the limit, and waits with what it sent.
    let mut third = connect(&address);
    third.write_all(REQUEST).expect("it is accepted");
    third.set_read_timeout(Some(Duration::from_millis(300))).expect("a timeout");
    assert!(third.read(&mut [0]).is_err(), "nobody has read it");
    third.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    drop(first);
    let mut begin = [0; 12];
    third.read_exact(&mut begin).expect("it gets the place");
    assert_eq!(&begin, b"HTTP/1.1 200");
    assert!(!run.output().contains("sh-1 stopped"), "those that are open keep it");
    drop((second, third));
    run.wait_for("sh-1 stopped");
    assert!(ask(&mut connect(&address)).starts_with("HTTP/1.1 200 "), "from zero again");
    run.signal("INT");
    assert_eq!(run.wait_for_exit(), Some(0));
    assert!(run.descendants().is_empty());
}

#[test]
fn what_does_not_go_together_is_said() {
    for more in [["--certificate", "/tmp"], ["--record", "file"]] {
        let arguments = [&["--tcp"], &more[..], &["--", "true"]].concat();
        let arguments = arguments.into_iter().map(str::to_owned).collect();
        let mut run = Running::start_with_stderr(arguments);
        assert_eq!(run.wait_for_exit(), Some(2));
        assert!(run.output().contains("cannot be used with"), "{}", run.output());
    }
}
