//! One rule for every spelling of a host, a target and a trailer.
//!
//! A host that `Host` was refused for reached the app as the authority of a target, as HTTP/2's
//! `:authority` or `host`; a trailer section in bare line feeds swallowed the request behind it;
//! HTTP/2's trailers brought framing and routing fields into HTTP/1. Each spelling here is sent in
//! every way there is, byte for byte, and all of them get the same verdict: 400 in HTTP/1, a stream
//! error in HTTP/2, where that is what a malformed message is (RFC 9113, section 8.1.1).

use crate::frames::{
    END_HEADERS, END_STREAM, StreamOutcome, block, frame, headers_frame, open, outcome,
};
use crate::harness::{App, HELLO, Proxy, Wire, field};

/// Malformed hosts, which no spelling may bring to the app.
const NO_HOSTS: [&str; 30] = [
    "u@h", "u:p@h", "@h", "a b", "a\tb", "a/b", "a\\b", "a\"b", "a<b", "a>b", "a|b", "a^b", "a`b",
    "{a}", "a?b", "a#b", "a%zz", "a%2", "a%20b", "h:x", "h:1:2", "h:99999", "h:-1", ":80", "::1",
    "[::1", "::1]", "[x]", "[::1]x", "[]",
];

const OK_HOSTS: [&str; 7] = ["h", "h:81", "H.Example", "a_b", "[::1]", "[::1]:81", "1.2.3.4:81"];

#[tokio::test]
async fn every_http1_spelling_of_a_host_has_the_same_outcome() {
    let (app, seen) = App::responding(HELLO).await;
    let proxy = Proxy::before(&app).await;
    for host in NO_HOSTS {
        for request in [
            format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"),
            format!("GET http://{host}/ HTTP/1.1\r\nHost: h\r\n\r\n"),
            format!("GET https://{host}?q HTTP/1.1\r\nHost: h\r\n\r\n"),
            format!("GET http://{host}/ HTTP/1.0\r\n\r\n"),
            format!("CONNECT {host}:80 HTTP/1.1\r\nHost: h\r\n\r\n"),
        ] {
            // A path begins at these two characters, and a valid host precedes it.
            if host.contains(['/', '?']) && request.contains("://") {
                continue;
            }
            let response = proxy.request(&request).await;
            assert!(response.starts_with("HTTP/1.1 400 "), "{request:?}: {response:?}");
            assert!(seen.lock().is_empty(), "{request:?}: {:?}", seen.lock());
        }
    }
    for host in OK_HOSTS {
        for request in [
            format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"),
            format!("GET http://{host}/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
        ] {
            let response = proxy.request(&request).await;
            assert!(response.starts_with("HTTP/1.1 200 "), "{request:?}: {response:?}");
            let head = seen.lock().pop().expect("the app got the request");
            assert_eq!(field(&head, "host"), Some(host));
        }
    }
}

#[tokio::test]
async fn what_http1_refuses_http2_refuses() {
    let (app, seen) = App::responding(HELLO).await;
    let proxy = Proxy::before(&app).await;
    for host in NO_HOSTS {
        refused(&proxy, &[(":path", "/"), (":authority", host)]).await;
        refused(&proxy, &[(":path", "/"), ("host", host)]).await;
        refused(&proxy, &[(":path", "/"), (":authority", "h"), ("host", host)]).await;
    }
    let h = (":authority", "h");
    for fields in [
        vec![(":path", "/")],
        vec![(":path", "/"), h, ("host", "other")],
        vec![(":path", "/"), h, ("host", "h:81")],
        vec![(":path", "/"), h, ("host", "h"), ("host", "h")],
        vec![(":path", "/"), ("host", "a"), ("host", "a")],
        vec![(":path", "*"), h],
        vec![(":path", "http://o/"), h],
        vec![(":path", "p"), h],
        vec![(":path", ""), h],
        vec![(":path", "/a b"), h],
        vec![(":path", "/"), h, ("x-a", " a")],
        vec![(":path", "/"), h, ("x-a", "a\t")],
        vec![(":path", "/"), h, ("X-A", "a")],
        vec![(":path", "/"), h, ("connection", "close")],
        vec![(":path", "/"), h, ("keep-alive", "5")],
        vec![(":path", "/"), h, ("proxy-connection", "close")],
        vec![(":path", "/"), h, ("upgrade", "h2c")],
        vec![(":path", "/"), h, ("transfer-encoding", "chunked")],
        vec![(":path", "/"), h, ("te", "gzip")],
        vec![(":path", "/"), h, ("content-length", "5")],
        vec![(":path", "/"), h, ("content-length", "+0")],
        vec![(":path", "/"), h, ("content-length", "0"), ("content-length", "1")],
        vec![(":path", "/"), h, ("content-length", "0, 0")],
        vec![(":path", "/"), h, (":path", "/x")],
        vec![("x-a", "a"), (":path", "/"), h],
        vec![(":path", "/"), h, (":protocol", "websocket")],
    ] {
        refused(&proxy, &fields).await;
    }
    assert!(seen.lock().is_empty(), "{:?}", seen.lock());
}

#[tokio::test]
async fn http2_trailers_cannot_frame_or_route() {
    let (app, seen) = http1_app().await;
    let proxy = Proxy::before(&app).await;
    let mut client = open(&proxy).await;
    let head = [(":path", "/"), (":authority", "h"), ("x-a", "1")];
    client.send(headers_frame("POST", &head, END_HEADERS)).await;
    client.send(frame(0, 0, b"ab")).await;
    let trailers = block(&[
        ("host", "evil"),
        ("content-length", "9"),
        ("authorization", "x"),
        ("x-forwarded-for", "6.6.6.6"),
        ("x-checksum", "1"),
    ]);
    client.send(frame(1, END_HEADERS | END_STREAM, &trailers)).await;
    assert_eq!(outcome(&mut client).await, StreamOutcome::Response);
    let seen = seen.lock().join("\n");
    assert!(seen.ends_with("0\r\nX-Checksum: 1\r\n\r\n"), "{seen:?}");
}

/// An HTTP/1 app that keeps one whole chunked request.
pub(crate) async fn http1_app() -> (App, std::sync::Arc<parking_lot::Mutex<Vec<String>>>) {
    let seen = std::sync::Arc::new(parking_lot::Mutex::new(Vec::new()));
    let kept = seen.clone();
    let app = App::scripted(move |mut wire: Wire, _| {
        let kept = kept.clone();
        async move {
            let head = wire.head().await;
            if head.starts_with("PRI ") {
                wire.send("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n").await;
                return;
            }
            let mut body = wire.until("\r\n0\r\n").await;
            loop {
                let line = wire.until("\r\n").await;
                body.push_str(&line);
                if line.is_empty() || line == "\r\n" {
                    break;
                }
            }
            kept.lock().push(head + &body);
            wire.send(HELLO).await;
        }
    })
    .await;
    (app, seen)
}

async fn refused(proxy: &Proxy, fields: &[(&str, &str)]) {
    let mut client = open(proxy).await;
    client.send(headers_frame("GET", fields, END_HEADERS | END_STREAM)).await;
    assert_ne!(outcome(&mut client).await, StreamOutcome::Response, "{fields:?}");
}
