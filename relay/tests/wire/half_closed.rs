//! A client that ends its direction of the connection behind its request, as `nc -N` and `socat`
//! do.
//!
//! The end of its input was taken for the end of the connection: the app was disconnected, the
//! client read a 500 that was not counted, and metrics reported a 499. Such a client now gets its
//! response. A client that has closed its connection looks the same until something is written; the
//! first byte of the response is sent ahead to tell the two apart while the app is still working.

use tokio::io::AsyncWriteExt;
use tokio::sync::oneshot;

use crate::harness::{App, HELLO, Proxy};

#[tokio::test]
async fn a_client_that_half_closes_gets_its_response() {
    for request in [
        "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
    ] {
        let (go, wait) = oneshot::channel::<()>();
        let (app, _) = App::once(|mut wire| async move {
            wire.head().await;
            let _ = wait.await;
            wire.send("HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n").await;
            wire.send(HELLO).await;
            wire.rest().await;
        })
        .await;
        let proxy = Proxy::before(&app).await;
        let mut client = proxy.client().await;
        client.send(request).await;
        client.stream.shutdown().await.expect("the connection is open");
        proxy.until_held(1).await;
        // The first byte of the response arrives before the app has responded.
        assert_eq!(client.exactly(1).await, "H");
        go.send(()).expect("the app waits");
        let response = client.rest().await;
        let version = if request.contains("HTTP/1.0") { "TTP/1.0 200" } else { "TTP/1.1 103" };
        assert!(response.starts_with(version), "{request:?}: {response:?}");
        assert!(response.contains("200 OK\r\n") && response.ends_with("hello"), "{response:?}");
    }
}

#[tokio::test]
async fn pipelined_requests_get_their_responses_as_well() {
    let (app, seen) = App::responding(HELLO).await;
    let proxy = Proxy::before(&app).await;
    let mut client = proxy.client().await;
    client.send("GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n").await;
    client.stream.shutdown().await.expect("the connection is open");
    let responses = client.rest().await;
    assert_eq!(responses.matches("HTTP/1.1 200 OK\r\n").count(), 2, "{responses:?}");
    assert_eq!(seen.lock().len(), 2);
}

#[tokio::test]
async fn an_end_inside_the_request_is_a_hang_up() {
    let (app, ended) = App::once(|mut wire| async move {
        wire.head().await;
        wire.rest().await
    })
    .await;
    let proxy = Proxy::before(&app).await;
    let mut client = proxy.client().await;
    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab").await;
    client.stream.shutdown().await.expect("the connection is open");
    assert_eq!(client.rest().await, "", "no error response is sent");
    ended.await.expect("the app reads the end too");
    proxy.until_held(0).await;
}
