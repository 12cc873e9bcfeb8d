//! Every failure is told as what it is.
//!
//! An answer with a sound head and a broken chunk reached nobody: its head waited for the first
//! bytes of the body, from which its type is guessed, counted as sent, and the connection was
//! closed without a word. Whoever stood in front said that the app had closed the connection before
//! it answered. And an answer that broke off was told in the words for one that never came. Here is
//! one scene for each thing that can go wrong, and what the client is told of it.

use std::time::Duration;

use tidegate_relay::{ServerSettings, TimeLimits};
use tokio::net::TcpListener;

use crate::stage::{App, Proxy};

/// What an app answers, and what its client reads at the end of its 502. Nothing of the answer has
/// reached the client by then.
const SCENES: &[(&str, &str)] = &[
    ("", "EOF\n"),
    (
        "HTTP/1.1 200 OK\r\nConte",
        "net/http: HTTP/1.x transport connection broken: unexpected EOF\n",
    ),
    ("garbage\r\n\r\n", "broken: malformed HTTP response \"garbage\"\n"),
    ("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "broken: bad Content-Length\n"),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: x\r\n\r\n", "broken: unsupported transfer encoding\n"),
    (
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
        "backend tried to switch protocol \"x\" when \"\" was requested\n",
    ),
    // A sound head, and a body that is none.
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "\r\nmalformed response body: invalid byte in chunk length\n",
    ),
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\n",
        "\r\nmalformed response body: chunk size line ends in a bare line feed\n",
    ),
    // One that never begins.
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "\r\nunexpected EOF\n"),
    ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "\r\nunexpected EOF\n"),
];

#[tokio::test]
async fn what_an_app_did_is_what_its_client_is_told() {
    for (said, told) in SCENES {
        let (app, _) = App::once(move |mut wire| async move {
            wire.head().await;
            wire.send(said).await;
        })
        .await;
        let proxy = Proxy::before(&app).await;
        let answer = proxy.get("/").await;
        assert!(answer.starts_with("HTTP/1.1 502 Bad Gateway\r\n"), "{said:?}: {answer:?}");
        assert!(answer.ends_with(told), "{said:?}: {answer:?}");
        proxy.until_held(0).await;
    }
}

#[tokio::test]
async fn what_the_client_did_is_told_as_its_own_fault() {
    let (app, _) = App::once(|mut wire| async move {
        wire.head().await;
        wire.rest().await;
    })
    .await;
    let proxy = Proxy::before(&app).await;
    let request = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n";
    let answer = proxy.talk(request).await;
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer:?}");
    assert!(answer.ends_with("malformed request body: invalid byte in chunk length\n"));
}

#[tokio::test]
async fn who_cannot_be_reached_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    drop(listener);
    let proxy = Proxy::with(address, TimeLimits::default(), ServerSettings::default()).await;
    let answer = proxy.get("/").await;
    assert!(answer.ends_with(&format!("dial tcp {address}: connect: connection refused\n")));
}

/// Time runs out before the head, or between the head and the first byte of a body whose type is
/// guessed: the client has nothing of an answer in both, and is told in both.
#[tokio::test]
async fn silence_is_a_timeout_until_the_client_has_something() {
    for said in ["", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"] {
        let (app, _) = App::once(move |mut wire| async move {
            wire.head().await;
            wire.send(said).await;
            wire.rest().await;
        })
        .await;
        let idle = Some(Duration::from_millis(100));
        let limits = TimeLimits { idle, ..TimeLimits::default() };
        let proxy = Proxy::limited(&app, limits).await;
        let answer = proxy.get("/").await;
        assert!(answer.starts_with("HTTP/1.1 504 Gateway Timeout\r\n"), "{said:?}: {answer:?}");
        assert!(answer.ends_with("request timeout\n"), "{said:?}: {answer:?}");
    }
}
