//! Timeouts: none may corrupt a response, leak memory, or end an exchange that makes progress.

use std::io::Write;
use std::time::Duration;

use crate::app::App;
use crate::client::{Client, get, root, timed};
use crate::sidecar::Sidecar;

/// The pause between two bytes of a sender that is slow, but within the limit of a second.
const SLOW_SENDER_PAUSE: Duration = Duration::from_millis(150);

const ONE_SECOND: (&str, &str) = ("REVISION_TIMEOUT_SECONDS", "1");
const START_ONE: (&str, &str) = ("REVISION_RESPONSE_START_TIMEOUT_SECONDS", "1");
const IDLE_ONE: (&str, &str) = ("REVISION_IDLE_TIMEOUT_SECONDS", "1");

/// An app that reads a request, sends `head`, then waits for the end of the connection.
fn stuck(head: &'static str) -> App {
    App::start(move |connection| {
        connection.request();
        connection.send(head);
        connection.is_closed_by_peer();
    })
}

#[test]
fn before_the_response_begins_a_timeout_is_a_504() {
    for limit in [ONE_SECOND, START_ONE, IDLE_ONE] {
        let app = stuck("");
        let sidecar = Sidecar::start(app.port, &[limit]);
        let (response, elapsed) = timed(|| get(sidecar.ports.main, &root("")));
        assert_eq!((response.status, response.text()), (504, "request timeout"), "{limit:?}");
        assert_eq!(response.header("content-length"), Some("15"));
        assert_eq!(response.header("content-type"), Some("text/plain; charset=utf-8"));
        assert_eq!(response.header("x-content-type-options"), None);
        assert!(elapsed >= Duration::from_secs(1), "{limit:?}: {elapsed:?}");
    }
}

/// Knative appends `request timeout` to the body and ends the message cleanly: the client takes a
/// corrupt response for a whole one.
#[test]
fn after_the_response_began_a_timeout_cuts_the_message_off() {
    for head in [
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\none",
    ] {
        let app = stuck(head);
        let sidecar = Sidecar::start(app.port, &[ONE_SECOND]);
        let mut client = Client::connect(sidecar.ports.main);
        let response = client.ask(&root(""));
        assert_eq!((response.status, response.text(), response.whole), (200, "one", false));
        assert!(client.is_closed());
    }
}

/// A timeout of zero answers every request with 504 at once in Knative.
#[test]
fn a_timeout_of_zero_is_none() {
    let app = App::hello();
    let sidecar = Sidecar::start(app.port, &[("REVISION_TIMEOUT_SECONDS", "0")]);
    assert_eq!(get(sidecar.ports.main, &root("")).text(), "hello");
}

#[test]
fn an_active_stream_outlives_the_other_limits() {
    let app = App::start(|connection| {
        connection.request();
        connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        for _ in 0..10 {
            connection.send("3\r\none\r\n");
            std::thread::sleep(SLOW_SENDER_PAUSE);
        }
        connection.send("0\r\n\r\n");
    });
    let sidecar = Sidecar::start(app.port, &[START_ONE, IDLE_ONE]);
    let response = get(sidecar.ports.main, &root(""));
    assert_eq!((response.text(), response.whole), (&*"one".repeat(10), true));
}

/// Knative's idle timer looks at response bytes only, so that a slow upload gets a 504.
#[test]
fn a_slow_upload_is_not_idle() {
    let app = App::start(|connection| {
        connection.request();
        assert_eq!(connection.body(10).len(), 10);
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    });
    let sidecar = Sidecar::start(app.port, &[IDLE_ONE]);
    let mut client = Client::connect(sidecar.ports.main);
    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n");
    for _ in 0..10 {
        std::thread::sleep(SLOW_SENDER_PAUSE);
        client.send("x");
    }
    assert_eq!(client.response().text(), "hello");
}

/// Knative's start and idle timers never see the bytes of an upgraded stream and end a busy
/// WebSocket at exactly their value, as does the overall one.
#[test]
fn an_active_upgraded_stream_is_not_timed_out() {
    for limit in [ONE_SECOND, START_ONE, IDLE_ONE] {
        let app = App::start(|connection| {
            connection.request();
            connection.send(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                 Upgrade: websocket\r\n\r\n",
            );
            loop {
                let echo = connection.body(1);
                if echo.is_empty() || connection.stream.write_all(&echo).is_err() {
                    return;
                }
            }
        });
        let sidecar = Sidecar::start(app.port, &[limit]);
        let mut client = Client::connect(sidecar.ports.main);
        client.send(&root("Connection: Upgrade\r\nUpgrade: websocket\r\n"));
        assert!(client.head().starts_with("HTTP/1.1 101"));
        for _ in 0..10 {
            client.send("x");
            assert_eq!(client.bytes(1), b"x", "{limit:?}");
            std::thread::sleep(SLOW_SENDER_PAUSE);
        }
    }
}

/// Each timeout in the middle of a response leaves a goroutine and some 80 KB behind in Knative's.
#[test]
fn timeouts_leak_nothing() {
    let app = stuck("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
    let sidecar = Sidecar::start(app.port, &[ONE_SECOND]);
    get(sidecar.ports.main, "OPTIONS * HTTP/1.0\r\n\r\n");
    let (memory, descriptors) = (sidecar.status_field("VmRSS:"), sidecar.descriptors());
    let mut clients: Vec<Client> = (0..120)
        .map(|_| {
            let mut client = Client::connect(sidecar.ports.main);
            client.send(&root(""));
            client
        })
        .collect();
    for client in &mut clients {
        assert!(!client.response().whole);
    }
    drop(clients);
    crate::app::eventually("all descriptors are closed", || sidecar.descriptors() <= descriptors);
    let grown = sidecar.status_field("VmRSS:").saturating_sub(memory);
    assert!(grown < 4 << 10, "memory grew by {grown} KiB");
}
