//! Connections that switch to another protocol.

use std::time::Duration;

use tokio::io::AsyncWriteExt;

use crate::harness::{App, Proxy, Wire, field};
use tidegate_relay::TimeLimits;

const REQUEST: &str = "GET /chat HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\n\
     Upgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n";
const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
     Upgrade: websocket\r\nSec-WebSocket-Accept: a\r\n\r\n";

/// An app that accepts the switch and then echoes what it reads.
async fn echo(mut wire: Wire) {
    let head = wire.head().await;
    assert_eq!(field(&head, "connection"), Some("Upgrade"), "{head}");
    assert_eq!(field(&head, "upgrade"), Some("websocket"), "{head}");
    wire.send(SWITCHING).await;
    loop {
        let piece = wire.exactly(4).await;
        if piece.is_empty() {
            return;
        }
        wire.send(piece).await;
    }
}

async fn shake_hands(client: &mut Wire) {
    client.send(REQUEST).await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
    assert_eq!(field(&head, "upgrade"), Some("websocket"));
    assert_eq!(field(&head, "connection"), Some("Upgrade"));
    assert_eq!(field(&head, "sec-websocket-accept"), Some("a"));
}

#[tokio::test]
async fn bytes_flow_both_ways_and_the_end_is_forwarded() {
    let app = App::scripted(|wire, _| echo(wire)).await;
    let proxy = Proxy::before(&app).await;
    let mut client = proxy.client().await;
    shake_hands(&mut client).await;
    for _ in 0..100 {
        client.send("ping").await;
        assert_eq!(client.exactly(4).await, "ping");
    }
    proxy.until_held(1).await;
    client.stream.shutdown().await.expect("the connection is open");
    assert_eq!(client.rest().await, "", "the app saw the end and closed");
    proxy.until_held(0).await;
}

#[tokio::test]
async fn bytes_sent_along_with_the_handshake_are_not_lost() {
    let (app, _) = App::once(|mut wire| async move {
        wire.head().await;
        wire.send(format!("{SWITCHING}early")).await;
        wire.exactly(4).await;
        wire.send("late").await;
    })
    .await;
    let proxy = Proxy::before(&app).await;
    let mut client = proxy.client().await;
    client.send(format!("{REQUEST}ping")).await;
    client.head().await;
    assert_eq!(client.rest().await, "earlylate");
}

/// The story: Go's sidecar keeps the slot of a tunnel whose app has closed until the client
/// closes too, which an idle client may never do.
#[tokio::test]
async fn the_slot_comes_back_when_the_app_closes() {
    let (app, _) = App::once(|mut wire| async move {
        wire.head().await;
        wire.send(SWITCHING).await;
        wire.exactly(4).await;
    })
    .await;
    let proxy = Proxy::before(&app).await;
    let mut client = proxy.client().await;
    shake_hands(&mut client).await;
    proxy.until_held(1).await;
    client.send("bye!").await;
    proxy.until_held(0).await;
    assert_eq!(client.rest().await, "", "and the client sees the end");
}

#[tokio::test]
async fn an_app_that_declines_responses_as_usual() {
    let (app, _) = App::responding("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno").await;
    let proxy = Proxy::before(&app).await;
    let mut client = proxy.client().await;
    for _ in 0..2 {
        client.send(REQUEST).await;
        let (head, body) = client.response().await;
        assert!(head.starts_with("HTTP/1.1 403"), "{head}");
        assert_eq!(body, "no");
    }
}

#[tokio::test]
async fn an_unrequested_switch_is_refused() {
    let other = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\n";
    for (request, text) in [
        (REQUEST, "backend tried to switch protocol \"foo\" when \"websocket\" was requested\n"),
        (
            "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
            "backend tried to switch protocol \"foo\" when \"\" was requested\n",
        ),
    ] {
        let (app, _) = App::responding(other).await;
        let proxy = Proxy::before(&app).await;
        let mut client = proxy.client().await;
        client.send(request).await;
        let (head, body) = client.response().await;
        assert!(head.starts_with("HTTP/1.1 502"), "{head}");
        assert_eq!(body, text);
        proxy.until_held(0).await;
    }
}

#[tokio::test]
async fn connect_is_forwarded_and_tunnels_when_the_app_accepts() {
    let (app, seen) = App::once(|mut wire| async move {
        let head = wire.head().await;
        wire.send("HTTP/1.1 200 Connection established\r\n\r\n").await;
        let sent = wire.exactly(4).await;
        wire.send(&sent).await;
        head
    })
    .await;
    let proxy = Proxy::before(&app).await;
    let mut client = proxy.client().await;
    client.send("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n").await;
    assert!(client.head().await.starts_with("HTTP/1.1 200 "));
    client.send("ping").await;
    assert_eq!(client.rest().await, "ping");
    let head = seen.await.expect("the app got the request");
    assert!(head.starts_with("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n"), "{head}");
}

/// The story: Go's timers do not see a tunnel's bytes, so the idle and the response-start limit
/// ended busy WebSockets.
#[tokio::test]
async fn a_busy_tunnel_outlives_the_idle_and_the_start_limit() {
    /// The pause between two messages, within the limit.
    const MESSAGE_PAUSE: Duration = Duration::from_millis(20);
    let limit = Some(Duration::from_millis(300));
    let limits = TimeLimits { response_start: limit, idle: limit, ..TimeLimits::default() };
    let app = App::scripted(|wire, _| echo(wire)).await;
    let proxy = Proxy::limited(&app, limits).await;
    let mut client = proxy.client().await;
    shake_hands(&mut client).await;
    let started = tokio::time::Instant::now();
    while started.elapsed() < Duration::from_millis(900) {
        client.send("ping").await;
        assert_eq!(client.exactly(4).await, "ping");
        tokio::time::sleep(MESSAGE_PAUSE).await;
    }
    assert_eq!(client.rest().await, "", "but not silence");
    proxy.until_held(0).await;
}
