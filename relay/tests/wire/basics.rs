//! What passes, and how it looks on the other side.

use crate::stage::{App, HELLO, Proxy, field};

#[tokio::test]
async fn the_target_arrives_byte_for_byte() {
    let (app, seen) = App::answering(HELLO).await;
    let proxy = Proxy::before(&app).await;
    for target in ["/a%2Fb//c/../d?x=%zz;y", "/", "/?", "//x", "/a|b^c`{}\"", "/\u{e9}"] {
        let answer = proxy.get(target).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{target}: {answer}");
        let head = seen.lock().pop().expect("the app was asked");
        assert!(head.starts_with(&format!("GET {target} HTTP/1.1\r\n")), "{head}");
    }
}

#[tokio::test]
async fn an_absolute_target_is_taken_apart() {
    let (app, seen) = App::answering(HELLO).await;
    let proxy = Proxy::before(&app).await;
    for (target, origin) in [
        ("http://o.example:81/p?q", "/p?q"),
        ("http://o.example:81", "/"),
        ("https://o.example:81?q", "/?q"),
    ] {
        proxy.get(target).await;
        let head = seen.lock().pop().expect("the app was asked");
        assert!(head.starts_with(&format!("GET {origin} HTTP/1.1\r\n")), "{head}");
        assert_eq!(field(&head, "host"), Some("o.example:81"));
    }
}

#[tokio::test]
async fn nothing_is_added_but_forwarding_fields() {
    let (app, seen) = App::answering(HELLO).await;
    let proxy = Proxy::before(&app).await;
    proxy.get("/").await;
    let head = seen.lock().pop().expect("the app was asked");
    assert_eq!(head, "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n");
}

#[tokio::test]
async fn hop_by_hop_fields_stay_here() {
    let (app, seen) = App::answering(
        "HTTP/1.1 200 OK\r\nConnection: x-b\r\nX-B: 1\r\nKeep-Alive: timeout=5\r\n\
         Proxy-Authenticate: x\r\nX-C: 1\r\nContent-Length: 0\r\n\r\n",
    )
    .await;
    let proxy = Proxy::before(&app).await;
    let answer = proxy
        .talk(
            "GET / HTTP/1.1\r\nHost: h\r\nConnection: x-a2, close\r\nX-A2: 1\r\nX-A3: 1\r\n\
             Keep-Alive: 1\r\nProxy-Connection: x\r\nProxy-Authorization: x\r\n\
             TE: gzip, trailers\r\nUpgrade: foo\r\n\r\n",
        )
        .await;
    let head = seen.lock().pop().expect("the app was asked").to_lowercase();
    for gone in ["x-a2", "keep-alive", "proxy-", "upgrade", "connection", "gzip"] {
        assert!(!head.contains(gone), "{gone} in {head}");
    }
    assert!(head.contains("te: trailers") && head.contains("x-a3: 1"), "{head}");
    let answer = answer.to_lowercase();
    assert!(!answer.contains("x-b") && !answer.contains("keep-alive"), "{answer}");
    assert!(!answer.contains("proxy-") && answer.contains("x-c: 1"), "{answer}");
}

#[tokio::test]
async fn repeated_fields_keep_their_order_and_names_are_canonical() {
    let (app, _) = App::answering(
        "HTTP/1.1 200 OK\r\nset-cookie: a=1\r\nSET-COOKIE: b=2\r\nx-mIxEd: 1\r\n\
         Date: then\r\nServer: s\r\nContent-Length: 0\r\n\r\n",
    )
    .await;
    let proxy = Proxy::before(&app).await;
    let answer = proxy.get("/").await;
    assert!(answer.contains("Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n"), "{answer}");
    assert!(answer.contains("X-Mixed: 1\r\n") && answer.contains("Server: s\r\n"), "{answer}");
    assert!(answer.contains("Date: then\r\n"), "the app's date is kept: {answer}");
}

#[tokio::test]
async fn a_missing_date_and_type_are_added() {
    let (app, _) = App::answering("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>").await;
    let proxy = Proxy::before(&app).await;
    let answer = proxy.get("/").await;
    assert!(field(&answer, "date").is_some_and(|date| date.ends_with("GMT")), "{answer}");
    assert_eq!(field(&answer, "content-type"), Some("text/html; charset=utf-8"));

    let (app, _) = App::answering(
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
    )
    .await;
    let proxy = Proxy::before(&app).await;
    assert_eq!(field(&proxy.get("/").await, "content-type"), None);

    let (app, _) =
        App::answering("HTTP/1.1 200 OK\r\nContent-Type:\r\nContent-Length: 5\r\n\r\nhello").await;
    let proxy = Proxy::before(&app).await;
    assert_eq!(field(&proxy.get("/").await, "content-type"), Some(""), "empty is an answer");
}

#[tokio::test]
async fn answers_without_a_body_stay_without() {
    for (line, length) in
        [("204 No Content", None), ("304 Not Modified", None), ("205 x", Some("0"))]
    {
        let answer = format!(
            "HTTP/1.1 {line}\r\nX-A: 1\r\n{}\r\n",
            match length {
                Some(_) => "Content-Length: 0\r\n",
                None => "",
            }
        );
        let (app, _) = App::answering(answer.leak()).await;
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
async fn a_head_request_keeps_the_length_it_asked_about() {
    let (app, _) = App::answering("HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n").await;
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
    let (app, _) = App::answering("HTTP/1.1 999 Whatever\r\nContent-Length: 2\r\n\r\nhi").await;
    let proxy = Proxy::before(&app).await;
    let answer = proxy.get("/").await;
    assert!(answer.starts_with("HTTP/1.1 999 status code 999\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nhi"), "{answer}");
}

#[tokio::test]
async fn old_apps_and_old_clients_are_understood() {
    let (app, _) = App::once(|mut wire| async move {
        wire.head().await;
        wire.send("HTTP/1.0 200 OK\r\nContent-Type: a/b\r\n\r\nold and long").await;
    })
    .await;
    let proxy = Proxy::before(&app).await;
    let answer = proxy.get("/").await;
    assert_eq!(field(&answer, "transfer-encoding"), Some("chunked"), "{answer}");
    assert!(answer.ends_with("c\r\nold and long\r\n0\r\n\r\n"), "{answer}");

    let (app, seen) = App::answering(HELLO).await;
    let proxy = Proxy::before(&app).await;
    let answer = proxy.talk("GET / HTTP/1.0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n") && answer.ends_with("hello"), "{answer}");
    let address = app.address;
    let expected = format!("GET / HTTP/1.1\r\nHost: {address}\r\n");
    assert!(seen.lock()[0].starts_with(&expected), "{:?}", seen.lock());

    let mut client = proxy.client().await;
    for _ in 0..2 {
        client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").await;
        let (head, body) = client.answer().await;
        assert_eq!(field(&head, "connection"), Some("keep-alive"));
        assert_eq!(body, "hello");
    }
}

#[tokio::test]
async fn a_chunked_answer_to_an_old_client_ends_with_the_connection() {
    let (app, _) = App::answering(
        "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nTransfer-Encoding: chunked\r\n\r\n\
         5\r\nhello\r\n0\r\n\r\n",
    )
    .await;
    let proxy = Proxy::before(&app).await;
    let answer = proxy.talk("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").await;
    assert!(answer.ends_with("\r\n\r\nhello") && !answer.contains("chunked"), "{answer}");
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let app = App::playing(|mut wire, _| async move {
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
        assert_eq!(client.answer().await.1, format!("/{n}"));
    }
}

#[tokio::test]
async fn bodies_stream_both_ways_and_memory_does_not_care() {
    const SIZE: usize = 8 << 20;
    let app = App::playing(|mut wire, _| async move {
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
async fn the_first_byte_is_not_held_back() {
    let (app, _) = App::once(|mut wire| async move {
        wire.head().await;
        wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        // The rest comes only after the client has confirmed that it has the head.
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
async fn trailers_travel_both_ways() {
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
    let (head, body) = seen.await.expect("the app was asked");
    assert_eq!(field(&head, "trailer"), Some("X-Sum"));
    assert_eq!(body, "3\r\nabc\r\n0\r\nX-Sum: 6\r\n\r\n");
}

#[tokio::test]
async fn a_question_about_the_server_never_reaches_the_app() {
    let (app, seen) = App::answering(HELLO).await;
    let proxy = Proxy::before(&app).await;
    let mut client = proxy.client().await;
    client.send("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n").await;
    let (head, _) = client.answer().await;
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    assert_eq!(field(&head, "content-length"), Some("0"));
    client.send("OPTIONS /x HTTP/1.1\r\nHost: h\r\n\r\n").await;
    client.answer().await;
    assert_eq!(seen.lock().len(), 1);
}

#[tokio::test]
async fn connections_to_the_app_are_reused() {
    let (app, _) = App::answering(HELLO).await;
    let proxy = Proxy::before(&app).await;
    let mut client = proxy.client().await;
    for _ in 0..20 {
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        assert_eq!(client.answer().await.1, "hello");
    }
    proxy.get("/").await;
    assert_eq!(app.connections.load(std::sync::atomic::Ordering::SeqCst), 1);
}
