//! Shutdown: every client is told early, and no exchange in flight is cut short.

use tidegate_relay::Phase;

use crate::frames::{self, Frame};
use crate::harness::{App, HELLO, Proxy, Wire, field};

#[tokio::test]
async fn responses_carry_connection_close_from_the_start_of_the_drain() {
    let (app, _) = App::responding(HELLO).await;
    let proxy = Proxy::before(&app).await;
    let mut client = proxy.client().await;
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert_eq!(field(&client.response().await.0, "connection"), None);
    proxy.drain.set_phase(Phase::Draining);
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    let (head, body) = client.response().await;
    assert_eq!(field(&head, "connection"), Some("close"));
    assert_eq!(body, "hello");
    assert_eq!(client.rest().await, "", "and then closes");
    let response = proxy.get("/").await;
    assert!(response.starts_with("HTTP/1.1 200"), "new connections are still served: {response}");
}

/// The story: Go's sidecar never sends GOAWAY on connections without TLS, so clients keep
/// opening streams on a proxy that is about to close.
#[tokio::test]
async fn http2_connections_get_their_goaway_at_once_and_finish_their_streams() {
    let app = App::scripted(|mut wire, _| async move {
        if wire.head().await.starts_with("PRI") {
            return;
        }
        wire.send("HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nTransfer-Encoding: chunked\r\n\r\n")
            .await;
        wire.until("more").await;
        wire.send("2\r\nok\r\n0\r\n\r\n").await;
    })
    .await;
    let proxy = Proxy::before(&app).await;
    let mut client = frames::open(&proxy).await;
    let fields = [(":path", "/"), (":authority", "h")];
    client.send(frames::headers_frame("POST", &fields, frames::END_HEADERS)).await;
    until_frame(&mut client, HEADERS).await;
    proxy.drain.set_phase(Phase::Draining);
    until_frame(&mut client, GOAWAY).await;
    // The stream in flight runs to its end.
    client.send(frames::frame(DATA, frames::END_STREAM, b"more")).await;
    assert_eq!(until_frame(&mut client, DATA).await.payload, b"ok");
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const GOAWAY: u8 = 7;

/// Reads frames up to one of this kind.
async fn until_frame(client: &mut Wire, kind: u8) -> Frame {
    loop {
        let frame = frames::next(client).await.expect("the connection is open");
        if frame.kind == kind {
            return frame;
        }
    }
}

#[tokio::test]
async fn closing_ends_idle_connections_and_waits_for_busy_ones() {
    let app = App::scripted(|mut wire, _| async move {
        while !wire.head().await.is_empty() {
            wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
            wire.until("go").await;
            wire.send("0\r\n\r\n").await;
        }
    })
    .await;
    let proxy = Proxy::before(&app).await;
    let mut idle = proxy.client().await;
    idle.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\ngo").await;
    idle.until("0\r\n\r\n").await;
    let mut busy = proxy.client().await;
    busy.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n").await;
    busy.head().await;
    assert_eq!(proxy.drain.connections(), 3, "two clients and the listener");
    proxy.drain.set_phase(Phase::Closing);
    assert_eq!(idle.rest().await, "");
    busy.send("go").await;
    assert_eq!(busy.until("0\r\n\r\n").await, "0\r\n\r\n");
    assert_eq!(busy.rest().await, "");
    proxy.drain.until_empty().await;
    let again = tokio::net::TcpStream::connect(proxy.address).await;
    assert!(again.is_err(), "the listener is closed");
}

/// The story: Go's sidecar cuts WebSockets without a close frame when it shuts down.
#[tokio::test]
async fn a_websocket_gets_its_close_between_two_frames() {
    let (app, received) = App::once(|mut wire| async move {
        wire.head().await;
        wire.send(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        )
        .await;
        // A frame of four bytes, of which the second half follows the close frame.
        wire.send(b"\x82\x04ab").await;
        let close = wire.raw(8).await;
        wire.send(b"cd\x82\x01!").await;
        close
    })
    .await;
    let proxy = Proxy::before(&app).await;
    let mut client = proxy.client().await;
    client
        .send("GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n")
        .await;
    client.head().await;
    assert_eq!(client.raw(4).await, b"\x82\x04ab");
    proxy.drain.set_phase(Phase::Closing);
    let received = received.await.expect("the app received it");
    assert_eq!(received, b"\x88\x82\0\0\0\0\x03\xE9");
    assert_eq!(client.raw(100).await, b"cd\x88\x02\x03\xE9", "the frame first, then the close");
    drop(client);
    proxy.drain.until_empty().await;
}
