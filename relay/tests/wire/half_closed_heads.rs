//! The byte that is sent ahead, and every head that may follow it.
//!
//! A client that has ended its direction is sent the first byte of its response early, to detect
//! whether it has gone. The next head must leave that byte out, whatever it is: a response of the
//! app or of the relay, an informational one, the head of a tunnel, a refusal. Otherwise the client
//! reads
//! `HHTTP/1.1`, or `TTP/1.1` where the byte is left out twice; and without a head to follow, the
//! byte would become the first of a tunnel.

use std::time::Duration;

use tidegate_relay::{Phase, TimeLimits};
use tokio::io::AsyncWriteExt;
use tokio::sync::oneshot;

use crate::harness::{App, HELLO, Proxy, Wire};

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const BAD: &str = "HTTP/1.1 502 Bad Gateway";
const OK: &str = "HTTP/1.1 200 OK";
const HINTS: &str = "HTTP/1.1 103 Early Hints";
const CONTINUE: &str = "HTTP/1.1 100 Continue";

/// The status lines in what a client has read.
fn status_lines(response: &str) -> Vec<&str> {
    let is_one = |line: &&str| line.contains("TTP/1.1 ") || line.contains("TTP/1.0 ");
    response.lines().filter(is_one).collect()
}

/// An app that responds to one request when the sender sends, or is dropped.
async fn responds_on_signal(response: &'static str) -> (App, oneshot::Sender<()>) {
    let (go, wait) = oneshot::channel::<()>();
    let (app, _) = App::once(move |mut wire| async move {
        wire.head().await;
        let _ = wait.await;
        wire.send(response).await;
        if !response.is_empty() {
            wire.rest().await;
        }
    })
    .await;
    (app, go)
}

/// A client that has ended its direction behind `request`.
async fn half_closing(proxy: &Proxy, request: &str) -> Wire {
    let mut client = proxy.client().await;
    client.send(request).await;
    client.stream.shutdown().await.expect("the connection is open");
    client
}

/// Half-closes behind `request`, reads the first byte, lets the app respond, and gives all that the
/// client reads.
async fn half_closed(request: &str, response: &'static str, limits: TimeLimits) -> String {
    let (app, go) = responds_on_signal(response).await;
    let proxy = Proxy::limited(&app, limits).await;
    let mut client = half_closing(&proxy, request).await;
    let first = client.exactly(1).await;
    assert_eq!(first, "H", "{request:?}");
    if limits.overall.is_none() {
        let _ = go.send(());
        return first + &client.rest().await;
    }
    let whole = first + &client.rest().await;
    drop(go);
    whole
}

#[tokio::test]
async fn the_byte_is_part_of_the_first_head_whichever_that_is() {
    let two_hints = "HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n\
                     HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let hint_and_garbage = "HTTP/1.1 103 Early Hints\r\n\r\ngarbage\r\n\r\n";
    let continued = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let post = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab";
    let expecting =
        "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nab";
    let head = "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n";
    for (request, response, expected) in [
        (GET, HELLO, vec![OK]),
        (head, HELLO, vec![OK]),
        (post, HELLO, vec![OK]),
        (GET, two_hints, vec![HINTS, HINTS, OK]),
        (GET, "", vec![BAD]),
        (GET, "garbage\r\n\r\n", vec![BAD]),
        (GET, hint_and_garbage, vec![HINTS, BAD]),
        (GET, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", vec![BAD]),
        (expecting, HELLO, vec![OK]),
        (expecting, continued, vec![CONTINUE, OK]),
        ("GET / HTTP/1.0\r\n\r\n", two_hints, vec!["HTTP/1.0 200 OK"]),
    ] {
        let response = half_closed(request, response, TimeLimits::default()).await;
        assert_eq!(status_lines(&response), expected, "{request:?}: {response:?}");
    }
}

#[tokio::test]
async fn a_timeout_continues_behind_the_byte() {
    let overall = Some(Duration::from_millis(300));
    let limits = TimeLimits { overall, ..TimeLimits::default() };
    let response = half_closed(GET, HELLO, limits).await;
    assert_eq!(status_lines(&response), ["HTTP/1.1 504 Gateway Timeout"], "{response:?}");
}

#[tokio::test]
async fn a_drain_closes_behind_the_response() {
    let (app, go) = responds_on_signal(HELLO).await;
    let proxy = Proxy::before(&app).await;
    let mut client = half_closing(&proxy, GET).await;
    assert_eq!(client.exactly(1).await, "H");
    proxy.drain.set_phase(Phase::Closing);
    go.send(()).expect("the app waits");
    let response = client.rest().await;
    assert!(response.starts_with("TTP/1.1 200 OK\r\n"), "{response:?}");
    assert!(
        response.contains("Connection: close\r\n") && response.ends_with("hello"),
        "{response:?}"
    );
    proxy.drain.until_empty().await;
}

#[tokio::test]
async fn a_refusal_behind_the_first_response_is_whole() {
    for (second, expected) in [
        ("bad\r\n\r\n", "HTTP/1.1 400 Bad Request"),
        ("GET / HTTP/1.1\r\nHost: h\r\nExpect: x\r\n\r\n", "HTTP/1.1 417 Expectation Failed"),
        ("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", OK),
        (
            "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\n\
             Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
            "HTTP/1.1 101 Switching Protocols",
        ),
    ] {
        let request = format!("{GET}{second}");
        let response = half_closed(&request, HELLO, TimeLimits::default()).await;
        let lines = status_lines(&response);
        // Behind `hello`, which ends in no line, the next status line begins.
        let second = lines.get(1).map(|line| line.trim_start_matches("hello"));
        assert_eq!((lines[0], second), (OK, Some(expected)), "{request:?}: {response:?}");
    }
}

/// An app that switches protocols and sends data at once.
async fn switching(mut wire: Wire, fields_bytes: usize) -> String {
    wire.head().await;
    let field = format!("X-Fill: {}\r\n", "x".repeat(60_000));
    let fields = field.repeat(fields_bytes / field.len());
    wire.send(format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n{fields}\r\n"
    ))
    .await;
    wire.send("tunnel").await;
    wire.rest().await
}

/// The head that opens a tunnel was not treated as the last one: while a long one was being written
/// to a client that did not read, its half-close put an `H` in front of the tunnel's first byte.
#[tokio::test]
async fn no_byte_is_sent_ahead_into_a_tunnel() {
    for fields_bytes in [0, 9 << 20] {
        let (app, received) = App::once(move |wire| switching(wire, fields_bytes)).await;
        let proxy = Proxy::before(&app).await;
        let mut client = proxy.client().await;
        client
            .send("GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
            .await;
        let mut response = String::new();
        if fields_bytes > 0 {
            // The head fills every buffer on the way to the client before the half-close.
            response = client.until("X-Fill").await;
        }
        client.stream.shutdown().await.expect("the connection is open");
        response += &client.rest().await;
        assert!(response.starts_with("HTTP/1.1 101 "), "{}", &response[..response.len().min(80)]);
        assert!(response.ends_with("\r\n\r\ntunnel"), "{}", &response[response.len() - 20..]);
        assert_eq!(received.await.expect("the app reads the end"), "");
        proxy.until_held(0).await;
    }
}

/// One byte detected only a client that had closed before it was sent: one that half-closed, read
/// the byte, and then closed kept its place in the queue, and its request went to the app.
#[tokio::test]
async fn a_client_that_closes_after_the_first_byte_is_detected() {
    let (app, ended) = App::once(|mut wire| async move {
        wire.head().await;
        wire.rest().await
    })
    .await;
    let proxy = Proxy::before(&app).await;
    let mut client = half_closing(&proxy, GET).await;
    assert_eq!(client.exactly(1).await, "H");
    proxy.until_held(1).await;
    drop(client);
    ended.await.expect("the app reads the end too");
    proxy.until_held(0).await;
}

#[tokio::test]
async fn more_bytes_sent_ahead_are_part_of_the_head_as_well() {
    for (request, expected) in
        [(GET, "TP/1.1 200 OK\r\n"), ("GET / HTTP/1.0\r\n\r\n", "TP/1.0 200")]
    {
        let (app, go) = responds_on_signal(HELLO).await;
        let proxy = Proxy::before(&app).await;
        let mut client = half_closing(&proxy, request).await;
        assert_eq!(client.exactly(2).await, "HT");
        go.send(()).expect("the app waits");
        let response = client.rest().await;
        assert!(response.starts_with(expected) && response.ends_with("hello"), "{response:?}");
    }
}
