//! Responses that do not wait for the end of the request.

use crate::harness::{App, HELLO, Proxy, field};

#[tokio::test]
async fn both_directions_flow_at_the_same_time() {
    let (app, _) = App::once(|mut wire| async move {
        wire.head().await;
        wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        for _ in 0..3 {
            let chunk = wire.until("ping\r\n").await;
            assert_eq!(chunk, "4\r\nping\r\n");
            wire.send("4\r\npong\r\n").await;
        }
        wire.until("0\r\n\r\n").await;
        wire.send("0\r\n\r\n").await;
    })
    .await;
    let proxy = Proxy::before(&app).await;
    let mut client = proxy.client().await;
    client.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    client.head().await;
    for _ in 0..3 {
        client.send("4\r\nping\r\n").await;
        assert_eq!(client.until("pong\r\n").await, "4\r\npong\r\n");
    }
    client.send("0\r\n\r\n").await;
    assert_eq!(client.until("\r\n\r\n").await, "0\r\n\r\n");
}

/// The story: with an app that responds early, Go's proxy stops reading the request and loses
/// what is still to come, sometimes behind a clean and complete 200.
#[tokio::test]
async fn no_byte_of_the_request_is_lost_behind_an_early_response() {
    const SIZE: usize = 2 << 20;
    let (app, received) = App::once(|mut wire| async move {
        wire.head().await;
        wire.send(HELLO).await;
        wire.exactly(SIZE).await.len()
    })
    .await;
    let proxy = Proxy::before(&app).await;
    let mut client = proxy.client().await;
    client.send(format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {SIZE}\r\n\r\n")).await;
    assert_eq!(client.response().await.1, "hello");
    client.send("x".repeat(SIZE)).await;
    assert_eq!(received.await, Ok(SIZE));
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 502"), "the app is gone, the connection is not: {head}");
}

#[tokio::test]
async fn a_refusal_reaches_a_client_that_is_still_sending() {
    // The app responds and closes without reading the body.
    let app = App::scripted(|mut wire, _| async move {
        wire.head().await;
        wire.send(
            "HTTP/1.1 413 Too Large\r\nContent-Type: a/b\r\nContent-Length: 3\r\n\
             Connection: close\r\n\r\nbig",
        )
        .await;
        use tokio::io::AsyncWriteExt as _;
        let _ = wire.stream.shutdown().await;
        wire.exactly(100_000).await;
    })
    .await;
    let proxy = Proxy::before(&app).await;
    let mut client = proxy.client().await;
    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000000\r\n\r\n").await;
    client.send("x".repeat(50_000)).await;
    let (head, body) = client.response().await;
    assert!(head.starts_with("HTTP/1.1 413 Request Entity Too Large\r\n"), "{head}");
    assert_eq!(body, "big");
    drop(client);
    proxy.until_held(0).await;
}

#[tokio::test]
async fn an_unread_body_does_not_become_the_next_request() {
    let app = App::scripted(|mut wire, _| async move {
        wire.head().await;
        wire.send(
            "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Length: 2\r\n\
             Connection: close\r\n\r\nok",
        )
        .await;
    })
    .await;
    let proxy = Proxy::before(&app).await;
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n";
    let mut client = proxy.client().await;
    client
        .send(format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", smuggled.len()))
        .await;
    let (head, _) = client.response().await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    client.send(smuggled).await;
    client.send("GET /next HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await;
    let rest = client.rest().await;
    assert!(rest.matches("HTTP/1.1").count() <= 1, "{rest}");
    assert!(field(&rest, "content-length").is_none_or(|length| length == "2"), "{rest}");
}
