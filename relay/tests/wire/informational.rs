//! 1xx responses, and `Expect`.

use crate::harness::{App, HELLO, Proxy, field};

/// The story: Go's sidecar keeps the first status that it writes, informational ones included, so
/// after a 103 every response became a 200.
#[tokio::test]
async fn the_final_status_follows_an_early_hint() {
    let (app, _) = App::responding(
        "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n\
         HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
    )
    .await;
    let proxy = Proxy::before(&app).await;
    let response = proxy.get("/").await;
    assert!(
        response.starts_with(
            "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 404 Not Found\r\n"
        ),
        "{response}"
    );
}

#[tokio::test]
async fn an_http10_client_gets_no_hints() {
    let (app, _) = App::responding(
        "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
    )
    .await;
    let proxy = Proxy::before(&app).await;
    let response = proxy.request("GET / HTTP/1.0\r\n\r\n").await;
    assert!(response.starts_with("HTTP/1.0 404 Not Found\r\n"), "{response}");
}

const EXPECTING: &str =
    "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";

#[tokio::test]
async fn the_apps_100_continue_is_forwarded_once() {
    let (app, seen) = App::once(|mut wire| async move {
        let head = wire.head().await;
        wire.send("HTTP/1.1 100 Continue\r\n\r\n").await;
        let body = wire.exactly(4).await;
        wire.send("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n").await;
        (head, body)
    })
    .await;
    let proxy = Proxy::before(&app).await;
    let mut client = proxy.client().await;
    client.send(EXPECTING).await;
    assert_eq!(client.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("body").await;
    assert!(client.head().await.starts_with("HTTP/1.1 201 Created\r\n"));
    let (head, body) = seen.await.expect("the app got the request");
    assert_eq!(field(&head, "expect"), Some("100-continue"));
    assert_eq!(body, "body");
}

/// A client may send its body without waiting. Once the body was being sent, the app's
/// `100 Continue` was dropped, and the client got less than the app had sent.
#[tokio::test]
async fn the_apps_100_continue_reaches_a_client_that_did_not_wait() {
    let (app, _) = App::once(|mut wire| async move {
        wire.head().await;
        let body = wire.exactly(4).await;
        wire.send("HTTP/1.1 100 Continue\r\n\r\n").await;
        wire.send("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n").await;
        body
    })
    .await;
    let proxy = Proxy::before(&app).await;
    let mut client = proxy.client().await;
    client.send(&format!("{EXPECTING}body")).await;
    assert_eq!(client.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
    assert!(client.head().await.starts_with("HTTP/1.1 201 Created\r\n"));
}

#[tokio::test]
async fn an_app_without_100_continue_does_not_delay_the_client() {
    let (app, _) = App::once(|mut wire| async move {
        wire.head().await;
        let body = wire.exactly(4).await;
        // Too late, and not forwarded a second time.
        wire.send("HTTP/1.1 100 Continue\r\n\r\n").await;
        wire.send("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n").await;
        body
    })
    .await;
    let proxy = Proxy::before(&app).await;
    let mut client = proxy.client().await;
    client.send(EXPECTING).await;
    assert_eq!(client.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("body").await;
    assert!(client.head().await.starts_with("HTTP/1.1 201 Created\r\n"));
}

#[tokio::test]
async fn a_refusal_arrives_instead_of_100_continue() {
    let (app, _) =
        App::responding("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n").await;
    let proxy = Proxy::before(&app).await;
    let response = proxy.request(EXPECTING).await;
    assert!(response.starts_with("HTTP/1.1 417 Expectation Failed\r\n"), "{response}");
    assert_eq!(field(&response, "connection"), Some("close"), "the body may or may not follow");
}

#[tokio::test]
async fn an_unknown_expectation_is_refused_by_the_relay() {
    let (app, seen) = App::responding(HELLO).await;
    let proxy = Proxy::before(&app).await;
    let response = proxy
        .request("POST / HTTP/1.1\r\nHost: h\r\nExpect: bogus\r\nContent-Length: 0\r\n\r\n")
        .await;
    assert!(response.starts_with("HTTP/1.1 417 Expectation Failed\r\n"), "{response}");
    assert_eq!(field(&response, "connection"), Some("close"));
    assert!(seen.lock().is_empty());
}
