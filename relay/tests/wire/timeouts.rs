//! Time limits: before the first byte an answer, after it a visible end.

use std::time::Duration;

use crate::stage::{App, HELLO, Proxy, field};
use tidegate_relay::TimeLimits;

const SHORT: Option<Duration> = Some(Duration::from_millis(200));
const NONE: TimeLimits = TimeLimits { response_start: None, idle: None, overall: None };

#[tokio::test]
async fn a_silent_app_is_given_up_and_its_connection_closed() {
    for limits in [
        TimeLimits { overall: SHORT, ..NONE },
        TimeLimits { response_start: SHORT, ..NONE },
        TimeLimits { idle: SHORT, ..NONE },
    ] {
        let (app, seen) = App::once(|mut wire| async move {
            wire.head().await;
            wire.rest().await
        })
        .await;
        let proxy = Proxy::limited(&app, limits).await;
        let mut client = proxy.client().await;
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        let (head, body) = client.answer().await;
        assert!(head.starts_with("HTTP/1.1 504 Gateway Timeout\r\n"), "{head}");
        assert_eq!(body, "request timeout\n");
        assert_eq!(seen.await.as_deref(), Ok(""));
        proxy.until_held(0).await;
    }
}

/// The story: on a time-out mid-body Go's sidecar appends its error text to the body and ends
/// the message cleanly, so a client stores a truncated file as whole.
#[tokio::test]
async fn a_limit_mid_body_cuts_the_message_visibly() {
    let dripping = |head: &'static str| {
        App::once(move |mut wire| async move {
            wire.head().await;
            wire.send(head).await;
            wire.rest().await
        })
    };
    let limits = TimeLimits { overall: SHORT, ..NONE };
    let (app, seen) =
        dripping("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n").await;
    let proxy = Proxy::limited(&app, limits).await;
    let answer = proxy.get("/").await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("5\r\nhello\r\n"), "{answer}");
    assert_eq!(seen.await.as_deref(), Ok(""), "and the app's connection is closed");
    proxy.until_held(0).await;

    let (app, _) = dripping("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhello").await;
    let proxy = Proxy::limited(&app, limits).await;
    let answer = proxy.get("/").await;
    assert!(answer.ends_with("\r\n\r\nhello"), "{answer}");
    proxy.until_held(0).await;
}

#[tokio::test]
async fn a_stream_that_keeps_moving_is_not_idle_and_has_started() {
    let (app, _) = App::once(|mut wire| async move {
        wire.head().await;
        wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_millis(60)).await;
            wire.send("1\r\nx\r\n").await;
        }
        wire.send("0\r\n\r\n").await;
    })
    .await;
    let limits = TimeLimits { idle: SHORT, response_start: SHORT, overall: None };
    let proxy = Proxy::limited(&app, limits).await;
    let answer = proxy.get("/").await;
    assert!(answer.ends_with("0\r\n\r\n"), "{answer}");
    assert_eq!(answer.matches("1\r\nx\r\n").count(), 10);
}

/// The story: Go's idle timer looks at answers only, so a slow upload was killed with a 504.
#[tokio::test]
async fn a_slow_upload_is_not_idle() {
    let (app, _) = App::once(|mut wire| async move {
        wire.head().await;
        wire.exactly(10).await;
        wire.send(HELLO).await;
    })
    .await;
    let proxy = Proxy::limited(&app, TimeLimits { idle: SHORT, ..NONE }).await;
    let mut client = proxy.client().await;
    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n").await;
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(60)).await;
        client.send("x").await;
    }
    assert_eq!(client.answer().await.1, "hello");
}

#[tokio::test]
async fn limits_start_anew_with_every_request() {
    let app = App::playing(|mut wire, _| async move {
        while !wire.head().await.is_empty() {
            tokio::time::sleep(Duration::from_millis(50)).await;
            wire.send(HELLO).await;
        }
    })
    .await;
    let proxy = Proxy::limited(&app, TimeLimits { overall: SHORT, ..NONE }).await;
    let mut client = proxy.client().await;
    for _ in 0..10 {
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        assert_eq!(client.answer().await.1, "hello");
    }
}

#[tokio::test]
async fn a_head_that_never_ends_is_closed_without_a_word() {
    let (app, seen) = App::answering(HELLO).await;
    let settings = tidegate_relay::ServerSettings {
        head_timeout: Duration::from_millis(200),
        ..Default::default()
    };
    let proxy = Proxy::with(app.address, NONE, settings).await;
    assert_eq!(proxy.talk("GET / HTTP/1.1\r\nHo").await, "");
    assert_eq!(proxy.talk("").await, "", "nor is a client that says nothing at all kept");
    assert_eq!(proxy.talk("PRI * HTTP/2.0\r\n").await, "");
    // A connection in use may be idle for as long as it likes, but not between two halves.
    let mut client = proxy.client().await;
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    client.answer().await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert!(field(&client.answer().await.0, "date").is_some());
    client.send("GET /").await;
    assert_eq!(client.rest().await, "");
    assert_eq!(seen.lock().len(), 2);
}
