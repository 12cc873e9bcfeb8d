//! Time limits: before the first byte an error response, after it a visible end.

use std::time::Duration;

use crate::harness::{App, HELLO, Proxy, field};
use tidegate_relay::{StreamLimits, TimeLimits};

const SHORT: Option<Duration> = Some(Duration::from_millis(200));
/// The pause between two bytes of a sender that is slow, but within [`SHORT`].
const SLOW_SENDER_PAUSE: Duration = Duration::from_millis(60);
/// How many bytes it sends: their pauses together exceed [`SHORT`].
const SLOW_SENDER_BYTES: usize = 10;
/// How long an app works on each of several requests, together longer than [`SHORT`].
const APP_WORK: Duration = Duration::from_millis(50);
/// The silence of an idle connection, longer than [`SHORT`].
const IDLE_SILENCE: Duration = Duration::from_millis(400);
const NONE: TimeLimits = TimeLimits {
    response_start: None,
    idle: None,
    overall: None,
    stream: StreamLimits { idle: None, lifetime: None },
};

#[tokio::test]
async fn a_silent_app_is_a_504_and_its_connection_is_closed() {
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
        let (head, body) = client.response().await;
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
    let response = proxy.get("/").await;
    assert!(
        response.starts_with("HTTP/1.1 200") && response.ends_with("5\r\nhello\r\n"),
        "{response}"
    );
    assert_eq!(seen.await.as_deref(), Ok(""), "and the app's connection is closed");
    proxy.until_held(0).await;

    let (app, _) = dripping("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhello").await;
    let proxy = Proxy::limited(&app, limits).await;
    let response = proxy.get("/").await;
    assert!(response.ends_with("\r\n\r\nhello"), "{response}");
    proxy.until_held(0).await;
}

#[tokio::test]
async fn a_stream_that_keeps_moving_is_not_idle_and_has_started() {
    let (app, _) = App::once(|mut wire| async move {
        wire.head().await;
        wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        for _ in 0..SLOW_SENDER_BYTES {
            tokio::time::sleep(SLOW_SENDER_PAUSE).await;
            wire.send("1\r\nx\r\n").await;
        }
        wire.send("0\r\n\r\n").await;
    })
    .await;
    let limits = TimeLimits { idle: SHORT, response_start: SHORT, ..NONE };
    let proxy = Proxy::limited(&app, limits).await;
    let response = proxy.get("/").await;
    assert!(response.ends_with("0\r\n\r\n"), "{response}");
    assert_eq!(response.matches("1\r\nx\r\n").count(), SLOW_SENDER_BYTES);
}

/// The story: Go's idle timer sees responses only, so a slow upload ended with a 504.
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
    for _ in 0..SLOW_SENDER_BYTES {
        tokio::time::sleep(SLOW_SENDER_PAUSE).await;
        client.send("x").await;
    }
    assert_eq!(client.response().await.1, "hello");
}

#[tokio::test]
async fn limits_start_anew_with_every_request() {
    let app = App::scripted(|mut wire, _| async move {
        while !wire.head().await.is_empty() {
            tokio::time::sleep(APP_WORK).await;
            wire.send(HELLO).await;
        }
    })
    .await;
    let proxy = Proxy::limited(&app, TimeLimits { overall: SHORT, ..NONE }).await;
    let mut client = proxy.client().await;
    for _ in 0..10 {
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        assert_eq!(client.response().await.1, "hello");
    }
}

#[tokio::test]
async fn a_head_that_never_ends_is_closed_without_a_response() {
    let (app, seen) = App::responding(HELLO).await;
    let settings = tidegate_relay::ServerSettings {
        head_timeout: SHORT.expect("it is set"),
        ..Default::default()
    };
    let proxy = Proxy::with(app.address, NONE, settings).await;
    assert_eq!(proxy.request("GET / HTTP/1.1\r\nHo").await, "");
    assert_eq!(proxy.request("").await, "", "nor is a client kept that sends nothing");
    assert_eq!(proxy.request("PRI * HTTP/2.0\r\n").await, "");
    // A connection in use may be idle for any time, but not within a head.
    let mut client = proxy.client().await;
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    client.response().await;
    tokio::time::sleep(IDLE_SILENCE).await;
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert!(field(&client.response().await.0, "date").is_some());
    client.send("GET /").await;
    assert_eq!(client.rest().await, "");
    assert_eq!(seen.lock().len(), 2);
}
