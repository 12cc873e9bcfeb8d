//! How long something that has begun may go on: by silence, and in all.

use std::time::Duration;

use tidegate_relay::{StreamLimits, TimeLimits};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{App, Proxy};
use crate::websocket_client::{close_code, connect, echo, echoing, open};

const SHORT: Duration = Duration::from_millis(200);

fn lifetime() -> TimeLimits {
    let stream = StreamLimits { lifetime: Some(SHORT), idle: None };
    TimeLimits { stream, ..TimeLimits::default() }
}

fn idle() -> TimeLimits {
    let stream = StreamLimits { lifetime: None, idle: Some(SHORT) };
    TimeLimits { stream, ..TimeLimits::default() }
}

#[tokio::test]
async fn a_websocket_whose_time_is_over_is_closed_in_order() {
    let app = echoing().await;
    for limits in [lifetime(), idle()] {
        let proxy = Proxy::limited(&app, limits).await;
        let mut requests = connect(&proxy).await;
        let mut over_http2 = open(&mut requests).await;
        echo(&mut over_http2, Message::text("hello")).await;
        assert_eq!(close_code(&mut over_http2).await, 1001);
        let stream = TcpStream::connect(proxy.address).await.expect("the proxy listens");
        let opened = tokio_tungstenite::client_async("ws://h.example/chat", stream).await;
        let (mut over_http1, _) = opened.expect("it is opened");
        echo(&mut over_http1, Message::text("hello")).await;
        assert_eq!(close_code(&mut over_http1).await, 1001);
        proxy.until_held(0).await;
        proxy.until_handled().await;
    }
}

/// An app that sends an event every now and then, without end.
async fn streaming(pause: Duration) -> App {
    App::scripted(move |mut wire, _| async move {
        wire.head().await;
        wire.send(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
             Transfer-Encoding: chunked\r\n\r\n",
        )
        .await;
        use tokio::io::AsyncWriteExt as _;
        while wire.stream.write_all(b"9\r\ndata: 1\n\n\r\n").await.is_ok() {
            tokio::time::sleep(pause).await;
        }
    })
    .await
}

#[tokio::test]
async fn a_response_without_end_is_cut_visibly() {
    let busy = streaming(SHORT / 10).await;
    let proxy = Proxy::limited(&busy, lifetime()).await;
    let response = proxy.get("/events").await;
    assert!(response.contains("data: 1"), "{response}");
    assert!(!response.ends_with("0\r\n\r\n"), "{response}");
    // One that is busy is not idle, however long it lasts.
    let proxy = Proxy::limited(&busy, idle()).await;
    let mut client = proxy.client().await;
    client.send("GET /events HTTP/1.1\r\nHost: h\r\n\r\n").await;
    for _ in 0..30 {
        assert!(!client.until("data: 1").await.is_empty());
    }
    let silent = streaming(Duration::from_secs(3600)).await;
    let proxy = Proxy::limited(&silent, idle()).await;
    assert!(!proxy.get("/events").await.ends_with("0\r\n\r\n"));
}

#[tokio::test]
async fn what_has_not_begun_is_no_stream() {
    let app = App::scripted(|mut wire, _| async move {
        wire.head().await;
        tokio::time::sleep(3 * SHORT).await;
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    })
    .await;
    for limits in [lifetime(), idle()] {
        let response = Proxy::limited(&app, limits).await.get("/slow").await;
        assert!(response.ends_with("\r\n\r\nok"), "{response}");
    }
}
