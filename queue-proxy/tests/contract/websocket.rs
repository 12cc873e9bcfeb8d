//! Upgraded streams.

use std::io::Write;

use crate::app::{App, Connection};
use crate::client::{Client, assert_line, root};
use crate::sidecar::Sidecar;

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n";

/// Accepts the upgrade and sends back every byte.
fn echo(connection: &mut Connection) {
    connection.request();
    connection.send(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: a\r\n\r\n",
    );
    loop {
        let bytes = connection.body(1);
        if bytes.is_empty() || connection.stream.write_all(&bytes).is_err() {
            return;
        }
    }
}

fn upgraded(sidecar: &Sidecar) -> Client {
    let mut client = Client::connect(sidecar.ports.main);
    client.send(&root(UPGRADE));
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
    assert_line(&head, "Upgrade: websocket");
    assert_line(&head, "Sec-Websocket-Accept: a");
    client
}

#[test]
fn bytes_flow_both_ways() {
    let app = App::start(echo);
    let sidecar = Sidecar::start(app.port, &[]);
    let mut client = upgraded(&sidecar);
    assert_line(&app.head(), "Upgrade: websocket");
    assert_line(&app.head(), "Sec-Websocket-Key: k");
    client.send("any bytes at all");
    assert_eq!(client.bytes(16), b"any bytes at all");
    client.stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(client.is_closed());
}

#[test]
fn any_protocol_can_be_upgraded_to() {
    let app = App::start(|connection| {
        connection.request();
        connection.send(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: foo/1\r\n\r\nhi",
        );
    });
    let sidecar = Sidecar::start(app.port, &[]);
    let mut client = Client::connect(sidecar.ports.main);
    client.send(&root("Connection: Upgrade\r\nUpgrade: foo/1\r\n"));
    assert!(client.head().starts_with("HTTP/1.1 101"));
    assert_eq!(client.bytes(2), b"hi");
}

/// Knative cuts a WebSocket a minute into the shutdown, without a word.
#[test]
fn a_drain_closes_websockets_with_a_frame() {
    let app = App::start(echo);
    let mut sidecar = Sidecar::start(app.port, &[("TIDEGATE_QUIET_PERIOD_MS", "100")]);
    let mut client = upgraded(&sidecar);
    // A whole text frame from the app, by way of its echo.
    client.send_bytes(b"\x81\x02hi");
    assert_eq!(client.bytes(4), b"\x81\x02hi");
    sidecar.signal("TERM");
    // A close frame of two bytes: 1001, going away.
    assert_eq!(client.bytes(4), b"\x88\x02\x03\xe9");
    drop(client);
    assert_eq!(sidecar.wait().code(), Some(0));
}

/// One that clients never end keeps them at this instance, however many others there are.
#[test]
fn a_websocket_whose_time_is_over_is_closed_with_a_frame() {
    for limit in ["TIDEGATE_STREAM_LIFETIME_MS", "TIDEGATE_STREAM_IDLE_MS"] {
        let app = App::start(echo);
        let sidecar = Sidecar::start(app.port, &[(limit, "300")]);
        let mut client = upgraded(&sidecar);
        client.send_bytes(b"\x81\x02hi");
        assert_eq!(client.bytes(4), b"\x81\x02hi");
        assert_eq!(client.bytes(4), b"\x88\x02\x03\xe9", "{limit}");
    }
}
