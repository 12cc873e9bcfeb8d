//! The byte that is sent ahead, and every head that may follow it.
//!
//! A client that has ended its direction is sent the first byte of its answer early, to see whether
//! it still listens. Whoever writes the next head must leave that byte out: answers of the app and
//! of our own, informational ones, the head of a tunnel, refusals. One that did not would make it
//! `HHTTP/1.1`, and one that left it out twice `TTP/1.1`; a byte sent ahead of nothing would be the
//! first of a tunnel.

use std::time::Duration;

use tidegate_relay::{Phase, TimeLimits};
use tokio::io::AsyncWriteExt;
use tokio::sync::oneshot;

use crate::stage::{App, HELLO, Proxy, Wire};

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const BAD: &str = "HTTP/1.1 502 Bad Gateway";
const OK: &str = "HTTP/1.1 200 OK";
const HINTS: &str = "HTTP/1.1 103 Early Hints";
const CONTINUE: &str = "HTTP/1.1 100 Continue";

/// The status lines in what a client has read.
fn status_lines(answer: &str) -> Vec<&str> {
    let is_one = |line: &&str| line.contains("TTP/1.1 ") || line.contains("TTP/1.0 ");
    answer.lines().filter(is_one).collect()
}

/// An app that answers one request when the sender says so, or is dropped.
async fn answers_when_told(answer: &'static str) -> (App, oneshot::Sender<()>) {
    let (go, wait) = oneshot::channel::<()>();
    let (app, _) = App::once(move |mut wire| async move {
        wire.head().await;
        let _ = wait.await;
        wire.send(answer).await;
        if !answer.is_empty() {
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

/// Has a client half-close behind `request`, waits until the byte has come, lets the app answer,
/// and gives back all that the client reads.
async fn half_closed(request: &str, answer: &'static str, limits: TimeLimits) -> String {
    let (app, go) = answers_when_told(answer).await;
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
    for (request, answer, expected) in [
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
        let answer = half_closed(request, answer, TimeLimits::default()).await;
        assert_eq!(status_lines(&answer), expected, "{request:?}: {answer:?}");
    }
}

#[tokio::test]
async fn a_timeout_goes_on_where_the_byte_left_off() {
    let overall = Some(Duration::from_millis(300));
    let limits = TimeLimits { overall, ..TimeLimits::default() };
    let answer = half_closed(GET, HELLO, limits).await;
    assert_eq!(status_lines(&answer), ["HTTP/1.1 504 Gateway Timeout"], "{answer:?}");
}

#[tokio::test]
async fn a_drain_closes_behind_the_answer() {
    let (app, go) = answers_when_told(HELLO).await;
    let proxy = Proxy::before(&app).await;
    let mut client = half_closing(&proxy, GET).await;
    assert_eq!(client.exactly(1).await, "H");
    proxy.drain.set_phase(Phase::Closing);
    go.send(()).expect("the app waits");
    let answer = client.rest().await;
    assert!(answer.starts_with("TTP/1.1 200 OK\r\n"), "{answer:?}");
    assert!(answer.contains("Connection: close\r\n") && answer.ends_with("hello"), "{answer:?}");
    proxy.drain.until_empty().await;
}

#[tokio::test]
async fn a_refusal_behind_the_first_answer_is_whole() {
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
        let answer = half_closed(&request, HELLO, TimeLimits::default()).await;
        let lines = status_lines(&answer);
        // Behind `hello`, which ends in no line, the next status line begins.
        let second = lines.get(1).map(|line| line.trim_start_matches("hello"));
        assert_eq!((lines[0], second), (OK, Some(expected)), "{request:?}: {answer:?}");
    }
}

/// An app that switches protocols and says something at once.
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

/// The head that opens a tunnel was not known to be the last one: while a long one was on its way
/// to a client that did not read, its half-close put an `H` in front of the tunnel's first byte.
#[tokio::test]
async fn no_byte_is_sent_ahead_into_a_tunnel() {
    for fields_bytes in [0, 9 << 20] {
        let (app, said) = App::once(move |wire| switching(wire, fields_bytes)).await;
        let proxy = Proxy::before(&app).await;
        let mut client = proxy.client().await;
        client
            .send("GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
            .await;
        let mut answer = String::new();
        if fields_bytes > 0 {
            // The head fills all that lies between before the end comes.
            answer = client.until("X-Fill").await;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        client.stream.shutdown().await.expect("the connection is open");
        answer += &client.rest().await;
        assert!(answer.starts_with("HTTP/1.1 101 "), "{}", &answer[..answer.len().min(80)]);
        assert!(answer.ends_with("\r\n\r\ntunnel"), "{}", &answer[answer.len() - 20..]);
        assert_eq!(said.await.expect("the app saw the end"), "");
        proxy.until_held(0).await;
    }
}

/// One byte told only who had gone before it came: a client that half-closed, read it, and closed
/// in order stayed in line, and its request went to the app.
#[tokio::test]
async fn a_client_that_leaves_behind_the_first_byte_is_noticed() {
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
    ended.await.expect("the app is cut off too");
    proxy.until_held(0).await;
}

#[tokio::test]
async fn more_bytes_sent_ahead_are_part_of_the_head_as_well() {
    for (request, expected) in
        [(GET, "TP/1.1 200 OK\r\n"), ("GET / HTTP/1.0\r\n\r\n", "TP/1.0 200")]
    {
        let (app, go) = answers_when_told(HELLO).await;
        let proxy = Proxy::before(&app).await;
        let mut client = half_closing(&proxy, request).await;
        assert_eq!(client.exactly(2).await, "HT");
        go.send(()).expect("the app waits");
        let answer = client.rest().await;
        assert!(answer.starts_with(expected) && answer.ends_with("hello"), "{answer:?}");
    }
}
