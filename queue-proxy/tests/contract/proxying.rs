//! What the app receives of a request, and what the client receives of a response.

use std::io::Write;

use crate::app::App;
use crate::client::{Client, assert_line, assert_no_header, get, root};
use crate::sidecar::Sidecar;

/// Sends header lines to an app, and returns the head that it received.
fn seen(lines: &str) -> String {
    let app = App::hello();
    let sidecar = Sidecar::start(app.port, &[]);
    assert_eq!(get(sidecar.ports.main, &root(lines)).text(), "hello");
    app.head()
}

/// Has the app send `response` and returns what the client got.
fn received(response: &'static str) -> crate::client::Response {
    let app = App::responding(response);
    let sidecar = Sidecar::start(app.port, &[]);
    get(sidecar.ports.main, &root(""))
}

#[test]
fn targets_pass_byte_for_byte() {
    let app = App::hello();
    let sidecar = Sidecar::start(app.port, &[]);
    get(sidecar.ports.main, "GET /a%2Fb//c/../d?x=%zz;y HTTP/1.1\r\nHost: h\r\n\r\n");
    get(sidecar.ports.main, "GET http://abs.example/p?q HTTP/1.1\r\nHost: h\r\n\r\n");
    let heads = app.heads(2);
    assert!(heads[0].starts_with("GET /a%2Fb//c/../d?x=%zz;y HTTP/1.1\r\n"), "{}", heads[0]);
    assert!(heads[1].starts_with("GET /p?q HTTP/1.1\r\n"), "{}", heads[1]);
    assert_line(&heads[1], "Host: abs.example");
}

#[test]
fn no_header_is_invented_for_the_client() {
    let head = seen("");
    assert_no_header(&head, "user-agent");
    assert_no_header(&head, "accept-encoding");
    assert_no_header(&head, "forwarded");
    assert_line(&head, "Host: web.example");
    assert_line(&head, "X-Forwarded-For: 127.0.0.1");
}

#[test]
fn routing_headers_are_applied_and_removed() {
    let head = seen(
        "K-Original-Host: o\r\nKnative-Serving-Revision: r\r\nKnative-Serving-Namespace: n\r\n\
         K-Proxy-Request: activator\r\nKnative-Serving-Tag: t\r\n\
         Knative-Serving-Default-Route: true\r\nK-Network-Hash: h\r\n",
    );
    assert_line(&head, "Host: o");
    for gone in ["k-original-host", "knative-serving-revision", "knative-serving-namespace"] {
        assert_no_header(&head, gone);
    }
    assert_line(&head, "K-Proxy-Request: activator");
    assert_line(&head, "Knative-Serving-Tag: t");
    assert_line(&head, "Knative-Serving-Default-Route: true");
    assert_line(&head, "K-Network-Hash: h");
}

#[test]
fn hop_by_hop_headers_are_not_forwarded() {
    let head = seen(
        "Connection: x-a2, keep-alive\r\nX-A2: 1\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\n\
         Proxy-Authorization: x\r\nTE: gzip\r\nX-Kept: 1\r\n",
    );
    for gone in ["x-a2", "keep-alive", "proxy-connection", "proxy-authorization", "te"] {
        assert_no_header(&head, gone);
    }
    assert_line(&head, "X-Kept: 1");
    assert_line(&seen("TE: trailers\r\n"), "Te: trailers");
}

#[test]
fn forwarded_headers_are_built_and_extended() {
    let head = seen(
        "X-Forwarded-For: 1.2.3.4, ::1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: ext\r\n",
    );
    assert_line(&head, "Forwarded: for=1.2.3.4;host=ext;proto=https, for=\"[::1]\"");
    assert_line(&head, "X-Forwarded-For: 1.2.3.4, ::1, 127.0.0.1");
    assert_line(&head, "X-Forwarded-Proto: https");

    let head = seen("X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2\r\n");
    assert_line(&head, "Forwarded: for=1.1.1.1");
    assert_line(&head, "X-Forwarded-For: 1.1.1.1, 2.2.2.2, 127.0.0.1");

    let head = seen("Forwarded: for=x\r\nX-Forwarded-Host: h\r\n");
    assert_line(&head, "Forwarded: for=x");
    assert_line(&seen("X-Forwarded-Host: h\r\n"), "Forwarded: host=h");
    assert_line(&seen("X-Forwarded-For: ,,,\r\n"), "Forwarded: for=, for=, for=");
}

#[test]
fn trace_context_passes_through() {
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let head = seen(&format!("traceparent: {parent}\r\ntracestate: a=b\r\nbaggage: c=d\r\n"));
    assert_line(&head, &format!("Traceparent: {parent}"));
    assert_line(&head, "Tracestate: a=b");
    assert_line(&head, "Baggage: c=d");
    assert_line(&seen("traceparent: bogus\r\n"), "Traceparent: bogus");
}

#[test]
fn missing_content_types_are_sniffed() {
    let sniffed = received("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(sniffed.header("content-type"), Some("text/plain; charset=utf-8"));
    let encoded =
        received("HTTP/1.1 200 OK\r\nContent-Encoding: x\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(encoded.header("content-type"), None);
}

#[test]
fn date_and_server_headers_of_the_app_are_kept() {
    let given = "HTTP/1.1 200 OK\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\nServer: s\r\n\
                 Content-Length: 0\r\n\r\n";
    let response = received(given);
    assert_eq!(response.header("date"), Some("Mon, 01 Jan 2024 00:00:00 GMT"));
    assert_eq!(response.header("server"), Some("s"));
    let response = received("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert!(response.header("date").is_some_and(|date| date.ends_with(" GMT")));
    assert_eq!(response.header("server"), None);
}

#[test]
fn repeated_headers_keep_their_order_and_names_are_canonical() {
    let response = received(
        "HTTP/1.1 200 OK\r\nset-cookie: a=1\r\nX-lower-CASE: v\r\nSet-Cookie: b=2\r\n\
         Content-Length: 0\r\n\r\n",
    );
    let cookies: Vec<&str> =
        response.head.lines().filter(|line| line.starts_with("Set-Cookie: ")).collect();
    assert_eq!(cookies, ["Set-Cookie: a=1", "Set-Cookie: b=2"]);
    assert_line(&response.head, "X-Lower-Case: v");
}

#[test]
fn unusual_statuses_pass() {
    assert_eq!(received("HTTP/1.1 204 No Content\r\n\r\n").status, 204);
    assert_eq!(received("HTTP/1.1 304 Not Modified\r\n\r\n").status, 304);
    let odd = received("HTTP/1.1 999 Odd\r\nContent-Length: 2\r\n\r\nhi");
    assert_eq!((odd.status, odd.text()), (999, "hi"));
    assert!(odd.head.starts_with("HTTP/1.1 999 status code 999\r\n"), "{}", odd.head);
}

#[test]
fn responses_to_head_keep_their_content_length() {
    let app = App::responding("HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n");
    let sidecar = Sidecar::start(app.port, &[]);
    let mut client = Client::connect(sidecar.ports.main);
    client.send("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_line(&client.head(), "Content-Length: 1234");
    // Nothing follows: the next response begins where it should.
    client.send("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(client.head().starts_with("HTTP/1.1 200 OK\r\n"));
}

#[test]
fn http_1_0_clients_and_apps_are_served() {
    let old = "HTTP/1.0 200 OK\r\n\r\nuntil the end";
    let app = App::start(move |connection| {
        connection.request();
        connection.send(old);
    });
    let sidecar = Sidecar::start(app.port, &[]);
    let response = get(sidecar.ports.main, &root(""));
    assert_eq!(response.header("transfer-encoding"), Some("chunked"));
    assert_eq!((response.text(), response.whole), ("until the end", true));

    let app = App::hello();
    let sidecar = Sidecar::start(app.port, &[]);
    let response = get(sidecar.ports.main, "GET / HTTP/1.0\r\n\r\n");
    assert!(response.head.starts_with("HTTP/1.0 200 OK\r\n"), "{}", response.head);
    assert_eq!(response.text(), "hello");
    let mut client = Client::connect(sidecar.ports.main);
    for _ in 0..2 {
        let response = client.ask("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        assert_eq!(response.text(), "hello");
    }
}

/// Knative holds a response with a length back until four KiB or its end have come.
#[test]
fn bytes_are_forwarded_as_they_arrive() {
    for head in [
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\none",
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 6\r\n\r\none",
    ] {
        let gate = crate::app::Gate::default();
        let passed = gate.clone();
        let app = App::start(move |connection| {
            connection.request();
            connection.send(head);
            passed.pass();
            let rest = if head.contains("chunked") { "3\r\ntwo\r\n0\r\n\r\n" } else { "two" };
            connection.send(rest);
        });
        let sidecar = Sidecar::start(app.port, &[]);
        let mut client = Client::connect(sidecar.ports.main);
        client.send(&root(""));
        // The first half arrives although the app does not go on until it has.
        assert!(client.head().starts_with("HTTP/1.1 200 OK"));
        let first = client.bytes(if head.contains("chunked") { 8 } else { 3 });
        assert!(String::from_utf8_lossy(&first).contains("one"), "{first:?}");
        gate.open(1);
        let rest = client.bytes(3);
        assert!(!rest.is_empty());
    }
}

#[test]
fn trailers_pass_both_ways() {
    let app = App::start(|connection| {
        connection.request();
        let body = connection.body_until("\r\n\r\n");
        assert!(body.contains("X-Sum: 42"), "{body}");
        connection.send(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Announced\r\n\r\n\
             2\r\nhi\r\n0\r\nX-Announced: 1\r\nX-Surprise: 2\r\n\r\n",
        );
    });
    let sidecar = Sidecar::start(app.port, &[]);
    let response = get(
        sidecar.ports.main,
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
         3\r\nabc\r\n0\r\nX-Sum: 42\r\n\r\n",
    );
    assert_eq!((response.text(), response.whole), ("hi", true));
    assert!(response.trailers.contains("X-Announced: 1"), "{}", response.trailers);
    assert!(response.trailers.contains("X-Surprise: 2"), "{}", response.trailers);
}

#[test]
fn malformed_requests_are_refused() {
    let app = App::hello();
    let sidecar = Sidecar::start(app.port, &[]);
    let status = |request: &str| get(sidecar.ports.main, request).status;
    assert_eq!(status("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"), 400);
    assert_eq!(status("GET / HTTP/1.1\r\n\r\n"), 400);
    let lengths = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab";
    assert_eq!(status(lengths), 400);
    let coding = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n";
    assert_eq!(status(coding), 501);
    assert_eq!(status("G(T / HTTP/1.1\r\nHost: h\r\n\r\n"), 400);
    assert_eq!(status("GET / HTTP/1.1\nHost: h\n\n"), 200);
    let large =
        format!("GET / HTTP/1.1\r\nHost: h\r\nX-A: {}\r\n\r\n", "a".repeat((1 << 20) + 5000));
    assert_eq!(status(&large), 431);
}

#[test]
fn chunked_encoding_wins_over_content_length() {
    let app = App::start(|connection| {
        while connection.request().is_some() {
            let body = connection.body_until("0\r\n\r\n");
            assert!(body.contains("abc"), "{body}");
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
        }
    });
    let sidecar = Sidecar::start(app.port, &[]);
    let request = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\
                   Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    assert_eq!(get(sidecar.ports.main, request).text(), "hello");
    assert_no_header(&app.head(), "content-length");
}

#[test]
fn unusual_methods_and_the_asterisk_target_pass() {
    let app = App::hello();
    let sidecar = Sidecar::start(app.port, &[]);
    let asterisk = get(sidecar.ports.main, "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!((asterisk.status, asterisk.text()), (200, ""));
    assert_eq!(app.requests(), 0);
    get(sidecar.ports.main, "TRACE / HTTP/1.1\r\nHost: h\r\n\r\n");
    get(sidecar.ports.main, "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n");
    let heads = app.heads(2);
    assert!(heads[0].starts_with("TRACE / "), "{heads:?}");
    assert!(heads[1].starts_with("CONNECT a:443 "), "{heads:?}");
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let app = App::start(|connection| {
        while let Some(head) = connection.request() {
            let target = head.split(' ').nth(1).unwrap();
            connection.send(&format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{target}",
                target.len()
            ));
        }
    });
    let sidecar = Sidecar::start(app.port, &[]);
    let mut client = Client::connect(sidecar.ports.main);
    let requests: String =
        (0..20).map(|number| format!("GET /{number} HTTP/1.1\r\nHost: h\r\n\r\n")).collect();
    client.send(&requests);
    for number in 0..20 {
        assert_eq!(client.response().text(), format!("/{number}"));
    }
}

#[test]
fn an_incomplete_head_is_closed_without_a_response() {
    let app = App::hello();
    let sidecar = Sidecar::start(app.port, &[("TIDEGATE_HEADER_TIMEOUT_MS", "100")]);
    let mut client = Client::connect(sidecar.ports.main);
    client.send("GET / HTTP/1.1\r\nHo");
    assert_eq!(client.head(), "");
}

#[test]
fn large_bodies_pass_intact_in_little_memory() {
    const SIZE: usize = 20 << 20;
    let app = App::start(|connection| {
        connection.request();
        let body = connection.body(SIZE);
        connection.send(&format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n"));
        connection.stream.write_all(&body).unwrap();
    });
    let sidecar = Sidecar::start(app.port, &[]);
    let mut client = Client::connect(sidecar.ports.main);
    let body: Vec<u8> = (0..SIZE).map(|index| (index * 31 % 251) as u8).collect();
    client.send(&format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {SIZE}\r\n\r\n"));
    let before = sidecar.status_field("VmRSS:");
    client.send_bytes(&body);
    assert!(client.response().body == body);
    let grown = sidecar.status_field("VmHWM:").saturating_sub(before);
    assert!(grown < 8 << 10, "memory grew by {grown} KiB");
}

/// With full duplex off Knative reads the request to its end before it responds, and loses bytes of
/// it when the app responds early. Here both directions always flow.
#[test]
fn an_early_response_does_not_wait_for_the_rest_of_the_request() {
    let app = App::start(|connection| {
        connection.request();
        connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nearly\r\n");
        let rest = connection.body(10);
        let text = String::from_utf8(rest).unwrap();
        connection.send(&format!("a\r\n{text}\r\n0\r\n\r\n"));
    });
    let sidecar = Sidecar::start(app.port, &[]);
    let mut client = Client::connect(sidecar.ports.main);
    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhalf ");
    assert!(client.head().starts_with("HTTP/1.1 200 OK"));
    assert_eq!(client.bytes(10), b"5\r\nearly\r\n");
    client.send("whole");
    assert_eq!(client.bytes(20), b"a\r\nhalf whole\r\n0\r\n\r\n");
}
