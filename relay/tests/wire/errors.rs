//! Apps that fail, and what the client is told.

use std::time::Duration;

use tokio::net::TcpListener;

use crate::stage::{App, HELLO, Proxy, field};
use tidegate_relay::{ServerSettings, TimeLimits};

#[tokio::test]
async fn a_refused_connection_is_reported_in_gos_words() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    drop(listener);
    let proxy = Proxy::with(address, TimeLimits::default(), ServerSettings::default()).await;
    let answer = proxy.get("/").await;
    assert!(answer.starts_with("HTTP/1.1 502 Bad Gateway\r\n"), "{answer}");
    assert_eq!(field(&answer, "x-content-type-options"), Some("nosniff"));
    assert_eq!(field(&answer, "content-type"), Some("text/plain; charset=utf-8"));
    let expected = format!("\r\n\r\ndial tcp {address}: connect: connection refused\n");
    assert!(answer.ends_with(&expected), "{answer}");
}

#[tokio::test]
async fn an_app_that_hangs_up_is_an_eof() {
    let app = App::playing(|mut wire, _| async move {
        wire.head().await;
    })
    .await;
    let proxy = Proxy::before(&app).await;
    let mut client = proxy.client().await;
    for method in ["GET", "POST"] {
        client.send(format!("{method} / HTTP/1.1\r\nHost: h\r\n\r\n")).await;
        let (head, body) = client.answer().await;
        assert!(head.starts_with("HTTP/1.1 502"), "{head}");
        assert_eq!(body, "EOF\n");
    }
    assert_eq!(app.connections.load(std::sync::atomic::Ordering::SeqCst), 2, "no second attempt");
}

#[tokio::test]
async fn garbage_is_quoted() {
    for (garbage, told) in [
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
        let answer = proxy.get("/").await;
        assert!(answer.starts_with("HTTP/1.1 502"), "{garbage}: {answer}");
        let start = "\r\n\r\nnet/http: HTTP/1.x transport connection broken: ";
        assert!(answer.ends_with(&format!("{start}{told}")), "{garbage}: {answer}");
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
    let answer = proxy.get("/").await;
    assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
    assert!(answer.contains("server response headers exceeded 10485760 bytes; aborted"));
}

#[tokio::test]
async fn an_app_that_dies_mid_body_leaves_a_visible_hole() {
    // Chunks: no terminal chunk. Length: short. Old client: reset, for want of anything better.
    let (app, _) = App::once(|mut wire| async move {
        wire.head().await;
        wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n").await;
    })
    .await;
    let proxy = Proxy::before(&app).await;
    let answer = proxy.get("/").await;
    assert!(answer.ends_with("5\r\nhello\r\n"), "{answer:?}");

    let (app, _) = App::once(|mut wire| async move {
        wire.head().await;
        wire.send("HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Length: 9\r\n\r\nhello").await;
    })
    .await;
    let proxy = Proxy::before(&app).await;
    let answer = proxy.get("/").await;
    assert_eq!(field(&answer, "content-length"), Some("9"));
    assert!(answer.ends_with("hello"), "{answer:?}");

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

/// An app whose first connection answers one request and then dies on the second.
async fn app_with_a_stale_connection() -> App {
    App::playing(|mut wire, earlier| async move {
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
async fn a_stale_connection_is_retried_only_where_that_is_harmless() {
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
        client.answer().await;
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
    let app = App::playing(|mut wire, _| async move {
        wire.head().await;
        wire.send(HELLO).await;
    })
    .await;
    let proxy = Proxy::before(&app).await;
    let mut client = proxy.client().await;
    for _ in 0..20 {
        client.send("DELETE / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n").await;
        let (head, _) = client.answer().await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        // The app's goodbye has arrived by the time ours does.
        tokio::time::sleep(Duration::from_millis(5)).await;
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
    let (_, rest) = seen.await.expect("the app saw its connection close");
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
        let body = seen.await.expect("the app saw its connection close");
        assert!(!body.contains("0\r\n\r\n"), "{body:?}");
        proxy.until_held(0).await;
    }
}

#[tokio::test]
async fn a_refusal_of_a_long_body_says_that_the_connection_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    drop(listener);
    let proxy = Proxy::with(address, TimeLimits::default(), ServerSettings::default()).await;
    for (fields, connection) in [
        ("Content-Length: 10000000", Some("close")),
        ("Content-Length: 5\r\nExpect: 100-continue", Some("close")),
        ("Content-Length: 5", None),
    ] {
        let mut client = proxy.client().await;
        client.send(format!("POST / HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\n")).await;
        let (head, _) = client.answer().await;
        assert!(head.starts_with("HTTP/1.1 502"), "{head}");
        assert_eq!(field(&head, "connection"), connection, "{fields}");
    }
}
