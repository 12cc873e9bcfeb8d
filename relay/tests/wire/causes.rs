//! The error response names the actual failure.
//!
//! The head of a response is kept until the first bytes of the body arrive, from which its type is
//! sniffed. It was counted as sent already: when the first chunk was malformed, the connection was
//! closed without a response, and the proxy in front reported that the app had closed before it
//! responded. And a response that broke off was reported with the text for one that never began.
//! Here is one case for each failure, and the text that the client gets.

use std::time::Duration;

use tidegate_relay::{ServerSettings, TimeLimits};

use crate::harness::{App, Proxy, closed_port};

/// What an app sends, and the end of the 502 that its client gets. Nothing of the app's response
/// has reached the client by then.
const FAILURES: &[(&str, &str)] = &[
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
    // A valid head, and a malformed body.
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "\r\nmalformed response body: invalid byte in chunk length\n",
    ),
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\n",
        "\r\nmalformed response body: chunk size line ends in a bare line feed\n",
    ),
    // A body that never begins.
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "\r\nunexpected EOF\n"),
    ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "\r\nunexpected EOF\n"),
];

#[tokio::test]
async fn the_error_names_what_the_app_did() {
    for (sent, text) in FAILURES {
        let (app, _) = App::once(move |mut wire| async move {
            wire.head().await;
            wire.send(sent).await;
        })
        .await;
        let proxy = Proxy::before(&app).await;
        let response = proxy.get("/").await;
        assert!(response.starts_with("HTTP/1.1 502 Bad Gateway\r\n"), "{sent:?}: {response:?}");
        assert!(response.ends_with(text), "{sent:?}: {response:?}");
        proxy.until_held(0).await;
    }
}

#[tokio::test]
async fn a_malformed_request_body_is_the_clients_error() {
    let (app, _) = App::once(|mut wire| async move {
        wire.head().await;
        wire.rest().await;
    })
    .await;
    let proxy = Proxy::before(&app).await;
    let request = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n";
    let response = proxy.request(request).await;
    assert!(response.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{response:?}");
    assert!(response.ends_with("malformed request body: invalid byte in chunk length\n"));
}

#[tokio::test]
async fn an_unreachable_app_is_named() {
    let address = closed_port();
    let proxy = Proxy::with(address, TimeLimits::default(), ServerSettings::default()).await;
    let response = proxy.get("/").await;
    assert!(response.ends_with(&format!("dial tcp {address}: connect: connection refused\n")));
}

/// The time limit expires before the head, or between the head and the first byte of a body whose
/// type is sniffed. In both cases nothing was sent to the client, so it gets the 504.
#[tokio::test]
async fn silence_is_a_504_until_the_head_is_sent() {
    for sent in ["", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"] {
        let (app, _) = App::once(move |mut wire| async move {
            wire.head().await;
            wire.send(sent).await;
            wire.rest().await;
        })
        .await;
        let idle = Some(Duration::from_millis(100));
        let limits = TimeLimits { idle, ..TimeLimits::default() };
        let proxy = Proxy::limited(&app, limits).await;
        let response = proxy.get("/").await;
        assert!(response.starts_with("HTTP/1.1 504 Gateway Timeout\r\n"), "{sent:?}: {response:?}");
        assert!(response.ends_with("request timeout\n"), "{sent:?}: {response:?}");
    }
}
