//! What is forwarded, and what the other side reads.

use crate::harness::{App, HELLO, Proxy, field};

#[tokio::test]
async fn the_target_arrives_byte_for_byte() {
    let (app, seen) = App::responding(HELLO).await;
    let proxy = Proxy::before(&app).await;
    for target in ["/a%2Fb//c/../d?x=%zz;y", "/", "/?", "//x", "/a|b^c`{}\"", "/\u{e9}"] {
        let response = proxy.get(target).await;
        assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{target}: {response}");
        let head = seen.lock().pop().expect("the app got the request");
        assert!(head.starts_with(&format!("GET {target} HTTP/1.1\r\n")), "{head}");
    }
}

#[tokio::test]
async fn an_absolute_target_is_taken_apart() {
    let (app, seen) = App::responding(HELLO).await;
    let proxy = Proxy::before(&app).await;
    for (target, origin) in [
        ("http://o.example:81/p?q", "/p?q"),
        ("http://o.example:81", "/"),
        ("https://o.example:81?q", "/?q"),
    ] {
        proxy.get(target).await;
        let head = seen.lock().pop().expect("the app got the request");
        assert!(head.starts_with(&format!("GET {origin} HTTP/1.1\r\n")), "{head}");
        assert_eq!(field(&head, "host"), Some("o.example:81"));
    }
}

#[tokio::test]
async fn nothing_is_added_but_forwarding_fields() {
    let (app, seen) = App::responding(HELLO).await;
    let proxy = Proxy::before(&app).await;
    proxy.get("/").await;
    let head = seen.lock().pop().expect("the app got the request");
    assert_eq!(head, "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n");
}

#[tokio::test]
async fn hop_by_hop_fields_are_not_forwarded() {
    let (app, seen) = App::responding(
        "HTTP/1.1 200 OK\r\nConnection: x-b\r\nX-B: 1\r\nKeep-Alive: timeout=5\r\n\
         Proxy-Authenticate: x\r\nX-C: 1\r\nContent-Length: 0\r\n\r\n",
    )
    .await;
    let proxy = Proxy::before(&app).await;
    let response = proxy
        .request(
            "GET / HTTP/1.1\r\nHost: h\r\nConnection: x-a2, close\r\nX-A2: 1\r\nX-A3: 1\r\n\
             Keep-Alive: 1\r\nProxy-Connection: x\r\nProxy-Authorization: x\r\n\
             TE: gzip, trailers\r\nUpgrade: foo\r\n\r\n",
        )
        .await;
    let head = seen.lock().pop().expect("the app got the request").to_lowercase();
    for gone in ["x-a2", "keep-alive", "proxy-", "upgrade", "connection", "gzip"] {
        assert!(!head.contains(gone), "{gone} in {head}");
    }
    assert!(head.contains("te: trailers") && head.contains("x-a3: 1"), "{head}");
    let response = response.to_lowercase();
    assert!(!response.contains("x-b") && !response.contains("keep-alive"), "{response}");
    assert!(!response.contains("proxy-") && response.contains("x-c: 1"), "{response}");
}

#[tokio::test]
async fn repeated_fields_keep_their_order_and_names_are_canonical() {
    let (app, _) = App::responding(
        "HTTP/1.1 200 OK\r\nset-cookie: a=1\r\nSET-COOKIE: b=2\r\nx-mIxEd: 1\r\n\
         Date: then\r\nServer: s\r\nContent-Length: 0\r\n\r\n",
    )
    .await;
    let proxy = Proxy::before(&app).await;
    let response = proxy.get("/").await;
    assert!(response.contains("Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n"), "{response}");
    assert!(
        response.contains("X-Mixed: 1\r\n") && response.contains("Server: s\r\n"),
        "{response}"
    );
    assert!(response.contains("Date: then\r\n"), "the app's date is kept: {response}");
}

#[tokio::test]
async fn a_missing_date_and_type_are_added() {
    let (app, _) = App::responding("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>").await;
    let proxy = Proxy::before(&app).await;
    let response = proxy.get("/").await;
    assert!(field(&response, "date").is_some_and(|date| date.ends_with("GMT")), "{response}");
    assert_eq!(field(&response, "content-type"), Some("text/html; charset=utf-8"));

    let (app, _) = App::responding(
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
    )
    .await;
    let proxy = Proxy::before(&app).await;
    assert_eq!(field(&proxy.get("/").await, "content-type"), None);

    let (app, _) =
        App::responding("HTTP/1.1 200 OK\r\nContent-Type:\r\nContent-Length: 5\r\n\r\nhello").await;
    let proxy = Proxy::before(&app).await;
    assert_eq!(field(&proxy.get("/").await, "content-type"), Some(""), "an empty value is kept");
}

#[tokio::test]
async fn responses_without_a_body_stay_without() {
    for (line, length) in
        [("204 No Content", None), ("304 Not Modified", None), ("205 x", Some("0"))]
    {
        let response = format!(
            "HTTP/1.1 {line}\r\nX-A: 1\r\n{}\r\n",
            match length {
                Some(_) => "Content-Length: 0\r\n",
                None => "",
            }
        );
        let (app, _) = App::responding(response.leak()).await;
        let proxy = Proxy::before(&app).await;
        let mut client = proxy.client().await;
        for _ in 0..2 {
            client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
            let head = client.head().await;
            assert!(head.starts_with(&format!("HTTP/1.1 {}", &line[..3])), "{head}");
            assert_eq!(field(&head, "content-length"), length, "{head}");
            assert_eq!(field(&head, "transfer-encoding"), None);
        }
    }
}

#[tokio::test]
async fn a_response_to_head_keeps_its_length() {
    let (app, _) = App::responding("HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n").await;
    let proxy = Proxy::before(&app).await;
    let mut client = proxy.client().await;
    for _ in 0..3 {
        client.send("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        let head = client.head().await;
        assert_eq!(field(&head, "content-length"), Some("1234"));
    }
}

#[tokio::test]
async fn an_unknown_status_passes_with_gos_phrase() {
    let (app, _) = App::responding("HTTP/1.1 999 Whatever\r\nContent-Length: 2\r\n\r\nhi").await;
    let proxy = Proxy::before(&app).await;
    let response = proxy.get("/").await;
    assert!(response.starts_with("HTTP/1.1 999 status code 999\r\n"), "{response}");
    assert!(response.ends_with("\r\n\r\nhi"), "{response}");
}

#[tokio::test]
async fn http10_apps_and_clients_are_supported() {
    let (app, _) = App::once(|mut wire| async move {
        wire.head().await;
        wire.send("HTTP/1.0 200 OK\r\nContent-Type: a/b\r\n\r\nold and long").await;
    })
    .await;
    let proxy = Proxy::before(&app).await;
    let response = proxy.get("/").await;
    assert_eq!(field(&response, "transfer-encoding"), Some("chunked"), "{response}");
    assert!(response.ends_with("c\r\nold and long\r\n0\r\n\r\n"), "{response}");

    let (app, seen) = App::responding(HELLO).await;
    let proxy = Proxy::before(&app).await;
    let response = proxy.request("GET / HTTP/1.0\r\n\r\n").await;
    assert!(
        response.starts_with("HTTP/1.0 200 OK\r\n") && response.ends_with("hello"),
        "{response}"
    );
    let address = app.address;
    let expected = format!("GET / HTTP/1.1\r\nHost: {address}\r\n");
    assert!(seen.lock()[0].starts_with(&expected), "{:?}", seen.lock());

    let mut client = proxy.client().await;
    for _ in 0..2 {
        client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").await;
        let (head, body) = client.response().await;
        assert_eq!(field(&head, "connection"), Some("keep-alive"));
        assert_eq!(body, "hello");
    }
}

#[tokio::test]
async fn a_chunked_response_to_an_http10_client_ends_with_the_connection() {
    let (app, _) = App::responding(
        "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nTransfer-Encoding: chunked\r\n\r\n\
         5\r\nhello\r\n0\r\n\r\n",
    )
    .await;
    let proxy = Proxy::before(&app).await;
    let response = proxy.request("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").await;
    assert!(response.ends_with("\r\n\r\nhello") && !response.contains("chunked"), "{response}");
}

#[tokio::test]
async fn pipelined_requests_get_responses_in_order() {
    let app = App::scripted(|mut wire, _| async move {
        loop {
            let head = wire.head().await;
            let Some(target) = head.split(' ').nth(1).map(str::to_owned) else { return };
            let length = target.len();
            wire.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{target}")).await;
        }
    })
    .await;
    let proxy = Proxy::before(&app).await;
    let mut client = proxy.client().await;
    let many: String = (0..50).map(|n| format!("GET /{n} HTTP/1.1\r\nHost: h\r\n\r\n")).collect();
    client.send(many).await;
    for n in 0..50 {
        assert_eq!(client.response().await.1, format!("/{n}"));
    }
}

#[tokio::test]
async fn bodies_stream_both_ways() {
    const SIZE: usize = 8 << 20;
    let app = App::scripted(|mut wire, _| async move {
        let head = wire.head().await;
        let length: usize =
            field(&head, "content-length").and_then(|n| n.parse().ok()).unwrap_or(0);
        wire.send(format!(
            "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Length: {length}\r\n\r\n"
        ))
        .await;
        let mut left = length;
        while left > 0 {
            let piece = wire.exactly(left.min(65_536)).await;
            left -= piece.len();
            wire.send(piece).await;
        }
    })
    .await;
    let proxy = Proxy::before(&app).await;
    let mut client = proxy.client().await;
    client.send(format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {SIZE}\r\n\r\n")).await;
    client.head().await;
    let mut echoed = 0;
    for n in 0..SIZE / 65_536 {
        let piece = format!("{n:08}").repeat(8192);
        client.send(&piece).await;
        assert_eq!(client.exactly(65_536).await, piece);
        echoed += piece.len();
    }
    assert_eq!(echoed, SIZE);
    proxy.until_held(0).await;
}

#[tokio::test]
async fn a_head_is_forwarded_before_its_body() {
    let (app, _) = App::once(|mut wire| async move {
        wire.head().await;
        wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        // The rest is sent only after the client has confirmed the head.
        wire.until("go").await;
        wire.send("2\r\nhi\r\n").await;
        wire.until("on").await;
        wire.send("0\r\n\r\n").await;
    })
    .await;
    let proxy = Proxy::before(&app).await;
    let mut client = proxy.client().await;
    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n").await;
    assert!(client.head().await.starts_with("HTTP/1.1 200"));
    client.send("go").await;
    assert_eq!(client.until("hi\r\n").await, "2\r\nhi\r\n");
    client.send("on").await;
    assert_eq!(client.until("\r\n\r\n").await, "0\r\n\r\n");
}

#[tokio::test]
async fn trailers_are_forwarded_both_ways() {
    let (app, seen) = App::once(|mut wire| async move {
        let head = wire.head().await;
        let body = wire.until("\r\n\r\n").await;
        wire.send(
            "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nTransfer-Encoding: chunked\r\n\
             Trailer: X-Announced\r\n\r\n2\r\nhi\r\n0\r\nX-Announced: 1\r\nX-Other: 2\r\n\r\n",
        )
        .await;
        (head, body)
    })
    .await;
    let proxy = Proxy::before(&app).await;
    let mut client = proxy.client().await;
    client
        .send(
            "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
             3\r\nabc\r\n0\r\nX-Sum: 6\r\n\r\n",
        )
        .await;
    let head = client.head().await;
    assert_eq!(field(&head, "trailer"), Some("X-Announced"));
    let body = client.until("\r\n\r\n").await;
    assert_eq!(body, "2\r\nhi\r\n0\r\nX-Announced: 1\r\nX-Other: 2\r\n\r\n");
    let (head, body) = seen.await.expect("the app got the request");
    assert_eq!(field(&head, "trailer"), Some("X-Sum"));
    assert_eq!(body, "3\r\nabc\r\n0\r\nX-Sum: 6\r\n\r\n");
}

#[tokio::test]
async fn options_asterisk_never_reaches_the_app() {
    let (app, seen) = App::responding(HELLO).await;
    let proxy = Proxy::before(&app).await;
    let mut client = proxy.client().await;
    client.send("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n").await;
    let (head, _) = client.response().await;
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    assert_eq!(field(&head, "content-length"), Some("0"));
    client.send("OPTIONS /x HTTP/1.1\r\nHost: h\r\n\r\n").await;
    client.response().await;
    assert_eq!(seen.lock().len(), 1);
}

#[tokio::test]
async fn connections_to_the_app_are_reused() {
    let (app, _) = App::responding(HELLO).await;
    let proxy = Proxy::before(&app).await;
    let mut client = proxy.client().await;
    for _ in 0..20 {
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        assert_eq!(client.response().await.1, "hello");
    }
    proxy.get("/").await;
    assert_eq!(app.connections.load(std::sync::atomic::Ordering::SeqCst), 1);
}
