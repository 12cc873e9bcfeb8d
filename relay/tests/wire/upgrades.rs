//! Connections that stop being HTTP.

use std::time::Duration;

use tokio::io::AsyncWriteExt;

use crate::stage::{App, Proxy, Wire, field};
use tidegate_relay::TimeLimits;

const ASK: &str = "GET /chat HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\n\
     Upgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n";
const AGREE: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
     Upgrade: websocket\r\nSec-WebSocket-Accept: a\r\n\r\n";

/// An app that agrees to everything and then repeats what it is told.
async fn echo(mut wire: Wire) {
    let head = wire.head().await;
    assert_eq!(field(&head, "connection"), Some("Upgrade"), "{head}");
    assert_eq!(field(&head, "upgrade"), Some("websocket"), "{head}");
    wire.send(AGREE).await;
    loop {
        let piece = wire.exactly(4).await;
        if piece.is_empty() {
            return;
        }
        wire.send(piece).await;
    }
}

async fn shake_hands(client: &mut Wire) {
    client.send(ASK).await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
    assert_eq!(field(&head, "upgrade"), Some("websocket"));
    assert_eq!(field(&head, "connection"), Some("Upgrade"));
    assert_eq!(field(&head, "sec-websocket-accept"), Some("a"));
}

#[tokio::test]
async fn bytes_flow_both_ways_and_the_end_is_passed_on() {
    let app = App::playing(|wire, _| echo(wire)).await;
    let proxy = Proxy::before(&app).await;
    let mut client = proxy.client().await;
    shake_hands(&mut client).await;
    for _ in 0..100 {
        client.send("ping").await;
        assert_eq!(client.exactly(4).await, "ping");
    }
    proxy.until_held(1).await;
    client.stream.shutdown().await.expect("the client may say goodbye");
    assert_eq!(client.rest().await, "", "the app saw the end and closed");
    proxy.until_held(0).await;
}

#[tokio::test]
async fn bytes_sent_along_with_the_handshake_are_not_lost() {
    let (app, _) = App::once(|mut wire| async move {
        wire.head().await;
        wire.send(format!("{AGREE}early")).await;
        wire.exactly(4).await;
        wire.send("late").await;
    })
    .await;
    let proxy = Proxy::before(&app).await;
    let mut client = proxy.client().await;
    client.send(format!("{ASK}ping")).await;
    client.head().await;
    assert_eq!(client.rest().await, "earlylate");
}

/// The story: Go's sidecar keeps the slot of a tunnel whose app has closed until the client
/// closes too, which an idle client may never do.
#[tokio::test]
async fn the_slot_comes_back_when_the_app_closes() {
    let (app, _) = App::once(|mut wire| async move {
        wire.head().await;
        wire.send(AGREE).await;
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
async fn an_app_that_declines_answers_as_usual() {
    let (app, _) = App::answering("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno").await;
    let proxy = Proxy::before(&app).await;
    let mut client = proxy.client().await;
    for _ in 0..2 {
        client.send(ASK).await;
        let (head, body) = client.answer().await;
        assert!(head.starts_with("HTTP/1.1 403"), "{head}");
        assert_eq!(body, "no");
    }
}

#[tokio::test]
async fn a_switch_nobody_asked_for_is_refused() {
    let other = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\n";
    for (request, told) in [
        (ASK, "backend tried to switch protocol \"foo\" when \"websocket\" was requested\n"),
        (
            "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
            "backend tried to switch protocol \"foo\" when \"\" was requested\n",
        ),
    ] {
        let (app, _) = App::answering(other).await;
        let proxy = Proxy::before(&app).await;
        let mut client = proxy.client().await;
        client.send(request).await;
        let (head, body) = client.answer().await;
        assert!(head.starts_with("HTTP/1.1 502"), "{head}");
        assert_eq!(body, told);
        proxy.until_held(0).await;
    }
}

#[tokio::test]
async fn connect_is_passed_on_and_tunnels_when_the_app_agrees() {
    let (app, seen) = App::once(|mut wire| async move {
        let head = wire.head().await;
        wire.send("HTTP/1.1 200 Connection established\r\n\r\n").await;
        let said = wire.exactly(4).await;
        wire.send(&said).await;
        head
    })
    .await;
    let proxy = Proxy::before(&app).await;
    let mut client = proxy.client().await;
    client.send("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n").await;
    assert!(client.head().await.starts_with("HTTP/1.1 200 "));
    client.send("ping").await;
    assert_eq!(client.rest().await, "ping");
    let head = seen.await.expect("the app was asked");
    assert!(head.starts_with("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n"), "{head}");
}

/// The story: Go's timers never see a tunnel's bytes, so the idle and the response-start limit
/// killed busy WebSockets.
#[tokio::test]
async fn a_busy_tunnel_outlives_the_idle_and_the_start_limit() {
    let limit = Some(Duration::from_millis(300));
    let limits = TimeLimits { response_start: limit, idle: limit, overall: None };
    let app = App::playing(|wire, _| echo(wire)).await;
    let proxy = Proxy::limited(&app, limits).await;
    let mut client = proxy.client().await;
    shake_hands(&mut client).await;
    let started = tokio::time::Instant::now();
    while started.elapsed() < Duration::from_millis(900) {
        client.send("ping").await;
        assert_eq!(client.exactly(4).await, "ping");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(client.rest().await, "", "but not silence");
    proxy.until_held(0).await;
}
