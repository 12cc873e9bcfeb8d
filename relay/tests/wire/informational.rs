//! 1xx answers, and `Expect`.

use crate::stage::{App, HELLO, Proxy, field};

/// The story: Go's sidecar latches the first status it writes, informational ones included, so
/// after a 103 every answer became a 200.
#[tokio::test]
async fn the_final_status_survives_an_early_hint() {
    let (app, _) = App::answering(
        "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n\
         HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
    )
    .await;
    let proxy = Proxy::before(&app).await;
    let answer = proxy.get("/").await;
    assert!(
        answer.starts_with(
            "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 404 Not Found\r\n"
        ),
        "{answer}"
    );
}

#[tokio::test]
async fn an_old_client_is_spared_hints() {
    let (app, _) = App::answering(
        "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
    )
    .await;
    let proxy = Proxy::before(&app).await;
    let answer = proxy.talk("GET / HTTP/1.0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 404 Not Found\r\n"), "{answer}");
}

const EXPECTING: &str =
    "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";

#[tokio::test]
async fn the_apps_go_ahead_is_passed_on_once() {
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
    let (head, body) = seen.await.expect("the app was asked");
    assert_eq!(field(&head, "expect"), Some("100-continue"));
    assert_eq!(body, "body");
}

/// A client may send its body without waiting. Once the body was under way, the app's own word was
/// swallowed, and the client saw less than the app had said.
#[tokio::test]
async fn the_apps_go_ahead_is_passed_on_to_a_client_that_did_not_wait() {
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
async fn an_app_that_says_nothing_does_not_hold_the_client_up() {
    let (app, _) = App::once(|mut wire| async move {
        wire.head().await;
        let body = wire.exactly(4).await;
        // Said too late, and not passed on a second time.
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
async fn a_refusal_arrives_instead_of_the_go_ahead() {
    let (app, _) =
        App::answering("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n").await;
    let proxy = Proxy::before(&app).await;
    let answer = proxy.talk(EXPECTING).await;
    assert!(answer.starts_with("HTTP/1.1 417 Expectation Failed\r\n"), "{answer}");
    assert_eq!(field(&answer, "connection"), Some("close"), "the body may or may not follow");
}

#[tokio::test]
async fn an_unknown_expectation_is_refused_here() {
    let (app, seen) = App::answering(HELLO).await;
    let proxy = Proxy::before(&app).await;
    let answer = proxy
        .talk("POST / HTTP/1.1\r\nHost: h\r\nExpect: bogus\r\nContent-Length: 0\r\n\r\n")
        .await;
    assert!(answer.starts_with("HTTP/1.1 417 Expectation Failed\r\n"), "{answer}");
    assert_eq!(field(&answer, "connection"), Some("close"));
    assert!(seen.lock().is_empty());
}
