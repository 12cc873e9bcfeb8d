//! Requests that two parsers might read differently: the app gets exactly one request for
//! each that was admitted, or none.

use crate::harness::{App, HELLO, Proxy, Wire, field};

/// An app that parses framing strictly and keeps what it got, one entry a request.
async fn strict_app() -> (App, std::sync::Arc<parking_lot::Mutex<Vec<String>>>) {
    let seen = std::sync::Arc::new(parking_lot::Mutex::new(Vec::new()));
    let kept = seen.clone();
    let app = App::scripted(move |mut wire: Wire, _| {
        let kept = kept.clone();
        async move {
            loop {
                let head = wire.head().await;
                if head.is_empty() {
                    return;
                }
                let body = match (field(&head, "transfer-encoding"), field(&head, "content-length"))
                {
                    (Some("chunked"), None) => wire.until("0\r\n\r\n").await,
                    (None, Some(length)) => wire.exactly(length.parse().expect("a length")).await,
                    (None, None) => String::new(),
                    both => panic!("ambiguous framing: {both:?}"),
                };
                kept.lock().push(head + &body);
                wire.send(HELLO).await;
            }
        }
    })
    .await;
    (app, seen)
}

/// Sends `request`, which must be refused with `status` and must not reach the app.
async fn refused(request: impl AsRef<[u8]>, status: &str) {
    let (app, seen) = strict_app().await;
    let proxy = Proxy::before(&app).await;
    let response = proxy.request(request.as_ref()).await;
    let shown = request.as_ref().escape_ascii().to_string();
    assert!(response.starts_with(&format!("HTTP/1.1 {status}")), "{shown}: {response:?}");
    assert_eq!(response.matches("HTTP/1.1").count(), 1, "{shown}: {response:?}");
    assert!(response.contains("Connection: close\r\n"), "{shown}: {response:?}");
    assert!(seen.lock().is_empty(), "{shown}: the app got {:?}", seen.lock());
}

#[tokio::test]
async fn ambiguous_heads_are_refused() {
    let with = |fields: &str| format!("POST / HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\nabcde");
    for (fields, status) in [
        ("Content-Length: 5\r\nContent-Length: 6", "400 Bad Request"),
        ("Content-Length: 5, 5", "400 Bad Request"),
        ("Content-Length: +5", "400 Bad Request"),
        ("Content-Length: -1", "400 Bad Request"),
        ("Content-Length: 0x5", "400 Bad Request"),
        ("Content-Length: 5 5", "400 Bad Request"),
        ("Content-Length:", "400 Bad Request"),
        ("Content-Length: 99999999999999999999", "400 Bad Request"),
        ("Content-Length : 5", "400 Bad Request"),
        ("Transfer-Encoding: gzip", "501 Not Implemented"),
        ("Transfer-Encoding: gzip, chunked", "501 Not Implemented"),
        ("Transfer-Encoding: chunked, chunked", "501 Not Implemented"),
        ("Transfer-Encoding: xchunked", "501 Not Implemented"),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "501 Not Implemented"),
        ("Transfer-Encoding: \x0bchunked", "400 Bad Request"),
        ("Transfer-Encoding : chunked", "400 Bad Request"),
        ("X-A: 1\r\n folded", "400 Bad Request"),
        ("X-A: 1\r\n\tContent-Length: 5", "400 Bad Request"),
        (" X-A: 1", "400 Bad Request"),
        ("X A: 1", "400 Bad Request"),
        ("X-A\0: 1", "400 Bad Request"),
        ("X-A: a\rb", "400 Bad Request"),
        ("X-A: a\0b", "400 Bad Request"),
        ("X(A): 1", "400 Bad Request"),
        (": 1", "400 Bad Request"),
        ("nocolon", "400 Bad Request"),
        ("X-A: 1\rContent-Length: 5", "400 Bad Request"),
        ("Host: other", "400 Bad Request: too many Host headers"),
    ] {
        refused(with(fields), status).await;
    }
}

#[tokio::test]
async fn malformed_request_lines_are_refused() {
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n", "400 Bad Request: missing required Host header"),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "400 Bad Request: malformed Host header"),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "400 Bad Request: malformed Host header"),
        ("G@T / HTTP/1.1\r\nHost: h\r\n\r\n", "400 Bad Request"),
        ("GET  / HTTP/1.1\r\nHost: h\r\n\r\n", "400 Bad Request"),
        ("GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", "400 Bad Request"),
        ("GET /\r\n\r\n", "400 Bad Request"),
        ("GET nonsense HTTP/1.1\r\nHost: h\r\n\r\n", "400 Bad Request"),
        ("GET http:///x HTTP/1.1\r\nHost: h\r\n\r\n", "400 Bad Request"),
        ("GET / HTTP/3.0\r\nHost: h\r\n\r\n", "505 HTTP Version Not Supported"),
        ("GET / HTTX/1.1\r\nHost: h\r\n\r\n", "400 Bad Request"),
        ("GET / HTTP/1.1 \r\nHost: h\r\n\r\n", "400 Bad Request"),
        ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400 Bad Request"),
        ("\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n", "400 Bad Request"),
    ] {
        refused(request, status).await;
    }
}

#[tokio::test]
async fn with_both_framings_the_chunks_count_and_nothing_follows() {
    let (app, seen) = strict_app().await;
    let proxy = Proxy::before(&app).await;
    let response = proxy
        .request(
            "POST /one HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\
             \r\n3\r\nabc\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
        )
        .await;
    assert_eq!(response.matches("HTTP/1.1 200").count(), 1, "{response}");
    let seen = seen.lock();
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!(field(&seen[0], "content-length"), None);
    assert!(seen[0].ends_with("3\r\nabc\r\n0\r\n\r\n"), "{seen:?}");
}

#[tokio::test]
async fn bare_line_feeds_in_a_head_are_parsed_as_in_go_and_not_forwarded() {
    let (app, seen) = strict_app().await;
    let proxy = Proxy::before(&app).await;
    let response = proxy.request("GET /lf HTTP/1.1\nHost: h\nConnection: close\nX-A: 1\n\n").await;
    assert!(response.starts_with("HTTP/1.1 200 OK"), "{response}");
    assert_eq!(
        seen.lock()[0],
        "GET /lf HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n"
    );
}

#[tokio::test]
async fn broken_chunks_end_the_request_and_the_connection() {
    for chunks in [
        "3\nabc\r\n0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "3\r\nab\r\n0\r\n\r\n",
        "+3\r\nabc\r\n0\r\n\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        " 3\r\nabc\r\n0\r\n\r\n",
        "\r\n3\r\nabc\r\n0\r\n\r\n",
        "g\r\nabc\r\n0\r\n\r\n",
        "3;a\nb\r\nabc\r\n0\r\n\r\n",
        "11111111111111111\r\nabc\r\n0\r\n\r\n",
        "3\r\nabc\r\n0\r\nX\r\n\r\n",
    ] {
        let (app, seen) = strict_app().await;
        let proxy = Proxy::before(&app).await;
        let request =
            format!("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
        let response =
            proxy.request(format!("{request}GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n")).await;
        assert!(response.starts_with("HTTP/1.1 400 Bad Request"), "{chunks:?}: {response:?}");
        assert_eq!(response.matches("HTTP/1.1").count(), 1, "{chunks:?}: {response:?}");
        let whole = seen.lock().iter().filter(|request| request.contains("0\r\n\r\n")).count();
        assert_eq!(whole, 0, "{chunks:?}: {:?}", seen.lock());
        assert!(!seen.lock().iter().any(|request| request.contains("smuggled")), "{chunks:?}");
    }
}

#[tokio::test]
async fn chunk_extensions_are_dropped_and_bounded() {
    let (app, seen) = strict_app().await;
    let proxy = Proxy::before(&app).await;
    let start = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut client = proxy.client().await;
    client.send(format!("{start}3;ext=\"0\"\r\nabc\r\n0;x\r\n\r\n")).await;
    assert_eq!(client.response().await.1, "hello");
    assert!(seen.lock()[0].ends_with("\r\n\r\n3\r\nabc\r\n0\r\n\r\n"), "{:?}", seen.lock());

    let flood = format!("1;{}\r\na\r\n", "x".repeat(200)).repeat(1000);
    let response = proxy.request(format!("{start}{flood}0\r\n\r\n")).await;
    assert!(response.starts_with("HTTP/1.1 400"), "{response}");
    let long = format!("{start}1;{}", "x".repeat(5000));
    assert!(proxy.request(long).await.starts_with("HTTP/1.1 400"));
}

#[tokio::test]
async fn heads_beyond_the_limit_are_refused() {
    let (app, seen) = strict_app().await;
    let proxy = Proxy::before(&app).await;
    let mut client = proxy.client().await;
    let near = "x".repeat((1 << 20) - 100);
    client.send(format!("GET / HTTP/1.1\r\nHost: h\r\nX-A: {near}\r\n\r\n")).await;
    assert!(client.head().await.starts_with("HTTP/1.1 200"), "a mebibyte is allowed");
    assert_eq!(seen.lock().len(), 1);
    let far = "x".repeat((1 << 20) + 5000);
    refused(
        format!("GET / HTTP/1.1\r\nHost: h\r\nX-A: {far}\r\n\r\n"),
        "431 Request Header Fields",
    )
    .await;
    let many = "A: b\r\n".repeat(20_000);
    refused(format!("GET / HTTP/1.1\r\nHost: h\r\n{many}\r\n"), "431 Request Header Fields").await;
}

#[tokio::test]
async fn five_hundred_fields_are_forwarded() {
    let (app, seen) = strict_app().await;
    let proxy = Proxy::before(&app).await;
    let many: String = (0..500).map(|n| format!("X-{n}: {n}\r\n")).collect();
    let response = proxy
        .request(format!("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{many}\r\n"))
        .await;
    assert!(response.starts_with("HTTP/1.1 200"), "{response}");
    assert!(seen.lock()[0].contains("X-499: 499\r\n"));
}

#[tokio::test]
async fn a_response_with_bytes_behind_it_ends_only_its_own_connection() {
    let (app, _) = App::responding(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n\
         okHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
    )
    .await;
    let proxy = Proxy::before(&app).await;
    let mut client = proxy.client().await;
    for _ in 0..3 {
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        assert_eq!(client.response().await.1, "ok");
    }
    assert_eq!(app.connections.load(std::sync::atomic::Ordering::SeqCst), 3);
}
