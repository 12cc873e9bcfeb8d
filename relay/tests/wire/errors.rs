//! Apps that fail, and the response that the client gets.

use crate::harness::{App, HELLO, Proxy, closed_port, field};
use tidegate_relay::{ServerSettings, TimeLimits};
use tokio::sync::mpsc;

#[tokio::test]
async fn a_refused_connection_is_reported_with_gos_text() {
    let address = closed_port();
    let proxy = Proxy::with(address, TimeLimits::default(), ServerSettings::default()).await;
    let response = proxy.get("/").await;
    assert!(response.starts_with("HTTP/1.1 502 Bad Gateway\r\n"), "{response}");
    assert_eq!(field(&response, "x-content-type-options"), Some("nosniff"));
    assert_eq!(field(&response, "content-type"), Some("text/plain; charset=utf-8"));
    let expected = format!("\r\n\r\ndial tcp {address}: connect: connection refused\n");
    assert!(response.ends_with(&expected), "{response}");
}

#[tokio::test]
async fn an_app_that_hangs_up_is_an_eof() {
    let app = App::scripted(|mut wire, _| async move {
        wire.head().await;
    })
    .await;
    let proxy = Proxy::before(&app).await;
    let mut client = proxy.client().await;
    for method in ["GET", "POST"] {
        client.send(format!("{method} / HTTP/1.1\r\nHost: h\r\n\r\n")).await;
        let (head, body) = client.response().await;
        assert!(head.starts_with("HTTP/1.1 502"), "{head}");
        assert_eq!(body, "EOF\n");
    }
    assert_eq!(app.connections.load(std::sync::atomic::Ordering::SeqCst), 2, "no second attempt");
}

#[tokio::test]
async fn garbage_is_quoted() {
    for (garbage, text) in [
        ("garbage\r\n\r\n", "malformed HTTP response \"garbage\"\n"),
        ("SSH-2.0-x\r\n", "malformed HTTP response \"SSH-2.0-x\"\n"),
        ("HTTP/1.1 OK\r\n\r\n", "malformed HTTP response \"HTTP/1.1 OK\"\n"),
        ("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "bad Content-Length\n"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "bad Content-Length\n",
        ),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "unsupported transfer encoding\n"),
        ("HTTP/1.1 200 OK\r\nConte", "unexpected EOF\n"),
    ] {
        let (app, _) = App::once(move |mut wire| async move {
            wire.head().await;
            wire.send(garbage).await;
        })
        .await;
        let proxy = Proxy::before(&app).await;
        let response = proxy.get("/").await;
        assert!(response.starts_with("HTTP/1.1 502"), "{garbage}: {response}");
        let start = "\r\n\r\nnet/http: HTTP/1.x transport connection broken: ";
        assert!(response.ends_with(&format!("{start}{text}")), "{garbage}: {response}");
    }
}

#[tokio::test]
async fn a_head_beyond_ten_mebibytes_is_an_error() {
    let (app, _) = App::once(|mut wire| async move {
        wire.head().await;
        let line = format!("X: {}\r\n", "x".repeat(1 << 20));
        wire.send("HTTP/1.1 200 OK\r\n").await;
        for _ in 0..11 {
            if tokio::io::AsyncWriteExt::write_all(&mut wire.stream, line.as_bytes()).await.is_err()
            {
                return;
            }
        }
    })
    .await;
    let proxy = Proxy::before(&app).await;
    let response = proxy.get("/").await;
    assert!(response.starts_with("HTTP/1.1 502"), "{response}");
    assert!(response.contains("server response headers exceeded 10485760 bytes; aborted"));
}

#[tokio::test]
async fn an_app_that_dies_mid_body_cuts_the_message_visibly() {
    // Chunks: no terminal chunk. Length: short. HTTP/1.0 client: reset, the only visible end.
    let (app, _) = App::once(|mut wire| async move {
        wire.head().await;
        wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n").await;
    })
    .await;
    let proxy = Proxy::before(&app).await;
    let response = proxy.get("/").await;
    assert!(response.ends_with("5\r\nhello\r\n"), "{response:?}");

    let (app, _) = App::once(|mut wire| async move {
        wire.head().await;
        wire.send("HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Length: 9\r\n\r\nhello").await;
    })
    .await;
    let proxy = Proxy::before(&app).await;
    let response = proxy.get("/").await;
    assert_eq!(field(&response, "content-length"), Some("9"));
    assert!(response.ends_with("hello"), "{response:?}");

    let (app, _) = App::once(|mut wire| async move {
        wire.head().await;
        wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n").await;
    })
    .await;
    let proxy = Proxy::before(&app).await;
    let mut client = proxy.client().await;
    client.send("GET / HTTP/1.0\r\n\r\n").await;
    assert!(client.ends_in_reset().await, "an orderly end would look like the end of the body");
    proxy.until_held(0).await;
}

/// An app whose first connection responds to one request and then dies on the second.
async fn app_with_a_stale_connection() -> App {
    App::scripted(|mut wire, earlier| async move {
        wire.head().await;
        wire.send(HELLO).await;
        wire.head().await;
        if earlier > 0 {
            wire.send(HELLO).await;
        }
    })
    .await
}

#[tokio::test]
async fn a_stale_connection_is_retried_only_where_that_is_safe() {
    for (second, status) in [
        ("GET / HTTP/1.1\r\nHost: h\r\n\r\n", "200"),
        ("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n", "200"),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx", "502"),
        ("DELETE / HTTP/1.1\r\nHost: h\r\n\r\n", "502"),
        ("POST / HTTP/1.1\r\nHost: h\r\nIdempotency-Key: 1\r\nContent-Length: 0\r\n\r\n", "200"),
        ("POST / HTTP/1.1\r\nHost: h\r\nX-Idempotency-Key: 1\r\n\r\n", "200"),
    ] {
        let app = app_with_a_stale_connection().await;
        let proxy = Proxy::before(&app).await;
        let mut client = proxy.client().await;
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        client.response().await;
        client.send(second).await;
        let head = client.head().await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{second}: {head}");
        if status == "502" {
            assert_eq!(client.exactly(4).await, "EOF\n", "{second}");
        }
        proxy.until_held(0).await;
    }
}

#[tokio::test]
async fn a_connection_known_to_be_closed_is_never_used() {
    let (closed, mut app_closes) = mpsc::unbounded_channel();
    let app = App::scripted(move |mut wire, _| {
        let closed = closed.clone();
        async move {
            wire.head().await;
            wire.send(HELLO).await;
            drop(wire);
            let _ = closed.send(());
        }
    })
    .await;
    let proxy = Proxy::before(&app).await;
    let mut client = proxy.client().await;
    for _ in 0..20 {
        client.send("DELETE / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n").await;
        let (head, _) = client.response().await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        // The proxy handles events in order: the app's close before the next request.
        app_closes.recv().await.expect("the app closes");
    }
}

#[tokio::test]
async fn a_client_that_hangs_up_frees_the_app_and_the_slot() {
    let (app, seen) = App::once(|mut wire| async move {
        let head = wire.head().await;
        (head, wire.rest().await)
    })
    .await;
    let proxy = Proxy::before(&app).await;
    let mut client = proxy.client().await;
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    proxy.until_held(1).await;
    drop(client);
    let (_, rest) = seen.await.expect("the app reads the end");
    assert_eq!(rest, "");
    proxy.until_held(0).await;
}

#[tokio::test]
async fn a_client_that_hangs_up_mid_body_never_completes_the_request() {
    for request in [
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nhalf",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ] {
        let (app, seen) = App::once(|mut wire| async move {
            wire.head().await;
            wire.rest().await
        })
        .await;
        let proxy = Proxy::before(&app).await;
        let mut client = proxy.client().await;
        client.send(request).await;
        proxy.until_held(1).await;
        drop(client);
        let body = seen.await.expect("the app reads the end");
        assert!(!body.contains("0\r\n\r\n"), "{body:?}");
        proxy.until_held(0).await;
    }
}

#[tokio::test]
async fn a_refusal_of_a_long_body_closes_the_connection() {
    let address = closed_port();
    let proxy = Proxy::with(address, TimeLimits::default(), ServerSettings::default()).await;
    for (fields, connection) in [
        ("Content-Length: 10000000", Some("close")),
        ("Content-Length: 5\r\nExpect: 100-continue", Some("close")),
        ("Content-Length: 5", None),
    ] {
        let mut client = proxy.client().await;
        client.send(format!("POST / HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\n")).await;
        let (head, _) = client.response().await;
        assert!(head.starts_with("HTTP/1.1 502"), "{head}");
        assert_eq!(field(&head, "connection"), connection, "{fields}");
    }
}
