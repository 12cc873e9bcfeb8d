//! Tunnels on streams of HTTP/2: WebSockets by extended CONNECT (RFC 8441), which apps get as the
//! upgrade they know, and plain CONNECT.

use bytes::Bytes;
use http::{Request, StatusCode, Version};
use tidegate_relay::Phase;
use tokio_tungstenite::tungstenite::Message;

use crate::frames::{self, StreamOutcome};
use crate::harness::{App, HELLO, Proxy, field};
use crate::websocket_client::{as_pipe, asking, close_code, connect, echo, echoing, open};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn a_websocket_on_a_stream_is_an_upgrade_toward_the_app() {
    let app = echoing().await;
    let proxy = Proxy::before(&app).await;
    let mut requests = connect(&proxy).await;
    let mut first = open(&mut requests).await;
    let mut second = open(&mut requests).await;
    proxy.until_held(2).await;
    for length in [0, 1, 125, 126, 70_000, 300_000] {
        echo(&mut first, Message::text("x".repeat(length))).await;
        echo(&mut second, Message::binary(vec![7; length])).await;
    }
    first.close(None).await.expect("it is open");
    proxy.until_held(1).await;
    echo(&mut second, Message::text("still here")).await;
    // One that vanishes leaves nothing behind either.
    drop(second);
    proxy.until_held(0).await;
    proxy.until_handled().await;
}

#[tokio::test]
async fn the_app_sees_the_handshake_of_http1() {
    let (app, seen) =
        App::responding("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno").await;
    let proxy = Proxy::before(&app).await;
    let mut requests = connect(&proxy).await;
    for _ in 0..2 {
        let mut request = asking("WebSocket");
        for (name, value) in [
            ("cookie", "a=1"),
            ("sec-websocket-protocol", "chat"),
            ("sec-websocket-key", "the client's own"),
            ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
            ("origin", "https://h.example"),
        ] {
            request.headers_mut().insert(name, http::HeaderValue::from_static(value));
        }
        let (response, _sending) = requests.send_request(request, false).expect("it is sent");
        let response = response.await.expect("a response");
        assert_eq!(response.status(), StatusCode::FORBIDDEN, "an app that declines is heard");
    }
    let heads = seen.lock().clone();
    let head = &heads[0];
    assert!(head.starts_with("GET /chat?room=1 HTTP/1.1\r\nHost: h.example\r\n"), "{head}");
    assert_eq!(field(head, "connection"), Some("Upgrade"));
    assert_eq!(field(head, "upgrade"), Some("WebSocket"));
    assert_eq!(field(head, "sec-websocket-version"), Some("13"));
    assert_eq!(field(head, "sec-websocket-protocol"), Some("chat"));
    assert_eq!(field(head, "sec-websocket-accept"), None);
    assert_eq!(field(head, "cookie"), Some("a=1"));
    assert_eq!(field(head, "transfer-encoding"), None);
    assert_eq!(field(head, "content-length"), None);
    let key = |head: &str| field(head, "sec-websocket-key").map(str::to_owned);
    assert_eq!(key(head).map(|key| key.len()), Some(24), "{head}");
    assert_ne!(key(head), key(&heads[1]), "each handshake has a key of its own");
}

/// A client of HTTP/2 takes any success for an open WebSocket, and would send its frames to an app
/// that reads them as requests.
#[tokio::test]
async fn no_response_but_a_switch_opens_one() {
    for response in [
        HELLO,
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    ] {
        let (app, _) = App::responding(response).await;
        let proxy = Proxy::before(&app).await;
        let mut requests = connect(&proxy).await;
        let (answer, mut sending) =
            requests.send_request(asking("websocket"), false).expect("it is sent");
        sending.send_data(Bytes::from_static(b"GET / HTTP/1.1\r\n\r\n"), false).expect("sent");
        let answer = answer.await.expect("a response");
        assert_eq!(answer.status(), StatusCode::BAD_GATEWAY, "{response}");
        proxy.until_held(0).await;
    }
}

#[tokio::test]
async fn other_protocols_are_refused_and_reach_no_app() {
    let (app, seen) = App::responding(HELLO).await;
    let proxy = Proxy::before(&app).await;
    let mut requests = connect(&proxy).await;
    for protocol in ["connect-udp", "webtransport", "websocket2", "h2c"] {
        let (response, _) = requests.send_request(asking(protocol), true).expect("it is sent");
        let response = response.await.expect("a response");
        assert_eq!(response.status(), StatusCode::NOT_IMPLEMENTED, "{protocol}");
    }
    assert!(seen.lock().is_empty());
}

/// Fields that would frame a body, or name another protocol, in the request that the app gets.
#[tokio::test]
async fn smuggling_through_extended_connect_is_malformed() {
    let (app, seen) = App::responding(HELLO).await;
    let proxy = Proxy::before(&app).await;
    let good = [(":path", "/"), (":authority", "h"), (":protocol", "websocket")];
    for bad in [
        ("content-length", "0"),
        ("content-length", "5"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        ("upgrade", "websocket"),
        ("connection", "upgrade"),
        ("keep-alive", "1"),
        ("proxy-connection", "keep-alive"),
        ("te", "gzip"),
        ("host", "other"),
        ("sec-websocket-protocol", "a\r\nx: y"),
        ("x", " blank"),
        (":status", "200"),
        (":protocol", "websocket"),
        (":path", "http://other/"),
    ] {
        let mut client = frames::open(&proxy).await;
        let pseudo = bad.0.starts_with(':');
        let fields = match pseudo {
            true => [&[bad][..], &good].concat(),
            false => [&good[..], &[bad]].concat(),
        };
        client.send(frames::headers_frame("CONNECT", &fields, frames::END_HEADERS)).await;
        assert_ne!(frames::outcome(&mut client).await, StreamOutcome::Response, "{bad:?}");
    }
    for (method, fields) in [
        ("GET", &good[..]),
        ("CONNECT", &[(":path", "/"), (":protocol", "websocket")]),
        ("CONNECT", &[(":authority", "h"), (":protocol", "websocket")]),
        ("CONNECT", &[(":path", "*"), (":authority", "h"), (":protocol", "websocket")]),
        ("CONNECT", &[(":path", "/"), (":authority", "a@b"), (":protocol", "websocket")]),
        ("CONNECT", &[(":path", "/"), (":authority", "h"), (":protocol", "web\r\nsocket")]),
    ] {
        let mut client = frames::open(&proxy).await;
        client.send(frames::headers_frame(method, fields, frames::END_HEADERS)).await;
        assert_ne!(frames::outcome(&mut client).await, StreamOutcome::Response, "{fields:?}");
    }
    assert!(seen.lock().is_empty(), "{:?}", seen.lock());
    let mut client = frames::open(&proxy).await;
    client.send(frames::headers_frame("CONNECT", &good, frames::END_HEADERS)).await;
    assert_eq!(frames::outcome(&mut client).await, StreamOutcome::Response, "the rest is sound");
}

#[tokio::test]
async fn closing_tells_both_ends_of_every_stream() {
    let app = echoing().await;
    let proxy = Proxy::before(&app).await;
    let mut requests = connect(&proxy).await;
    let mut sockets = [open(&mut requests).await, open(&mut requests).await];
    for socket in &mut sockets {
        echo(socket, Message::text("hello")).await;
    }
    proxy.drain.set_phase(Phase::Closing);
    for socket in &mut sockets {
        assert_eq!(close_code(socket).await, 1001);
    }
    drop(sockets);
    proxy.drain.until_empty().await;
    proxy.until_held(0).await;
}

#[tokio::test]
async fn a_client_that_resets_its_stream_ends_the_apps_side() {
    let (app, ended) = App::once(|mut wire| async move {
        let mut socket = tokio_tungstenite::accept_async(&mut wire.stream).await.expect("opened");
        use futures::StreamExt as _;
        socket.next().await.is_none_or(|end| end.is_err())
    })
    .await;
    let proxy = Proxy::before(&app).await;
    let mut requests = connect(&proxy).await;
    let (response, mut sending) =
        requests.send_request(asking("websocket"), false).expect("it is sent");
    let _response = response.await.expect("a response");
    sending.send_reset(h2::Reason::CANCEL);
    assert!(ended.await.expect("the app was asked"), "it saw the end");
    proxy.until_held(0).await;
}

#[tokio::test]
async fn connect_over_http2_tunnels_to_an_app_that_accepts_it_over_http1() {
    let (shown, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let app = App::scripted(move |mut wire, _| {
        let shown = shown.clone();
        async move {
            let head = wire.head().await;
            // It speaks HTTP/1 alone, which the first attempt finds out.
            if head.starts_with("PRI") {
                return;
            }
            wire.send("HTTP/1.1 200 Connection established\r\n\r\n").await;
            let sent = wire.exactly(4).await;
            wire.send("pong").await;
            let _ = shown.send((head, sent));
        }
    })
    .await;
    let proxy = Proxy::before(&app).await;
    let mut requests = crate::http2::client(&proxy).await;
    let request = Request::connect("a:443").version(Version::HTTP_2).body(()).expect("a request");
    let (response, sending) = requests.send_request(request, false).expect("it is sent");
    let response = response.await.expect("a response");
    assert_eq!(response.status(), StatusCode::OK);
    let mut tunnel = as_pipe(response, sending);
    tunnel.write_all(b"ping").await.expect("it is open");
    let mut answer = [0; 4];
    tunnel.read_exact(&mut answer).await.expect("it is open");
    assert_eq!(&answer, b"pong");
    drop(tunnel);
    let (head, sent) = seen.recv().await.expect("the app was asked");
    assert!(head.starts_with("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n"), "{head}");
    assert_eq!(field(&head, "transfer-encoding"), None, "{head}");
    assert_eq!(sent, "ping");
    proxy.until_held(0).await;
}
