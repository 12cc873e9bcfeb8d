//! What clients see when the app or the connection fails.

use crate::app::{App, Gate};
use crate::client::{Client, get, root};
use crate::sidecar::Sidecar;

fn failing(script: impl Fn(&mut crate::app::Connection) + Send + Sync + 'static) -> (u16, String) {
    let app = App::start(script);
    let sidecar = Sidecar::start(app.port, &[]);
    let response = get(sidecar.ports.main, &root(""));
    let body = response.text().to_owned();
    (response.status, body)
}

#[test]
fn an_app_that_does_not_listen() {
    let port = App::absent_port();
    let sidecar = Sidecar::start(port, &[]);
    let response = get(sidecar.ports.main, &root(""));
    assert_eq!(response.status, 502);
    let expected = format!("dial tcp 127.0.0.1:{port}: connect: connection refused\n");
    assert_eq!(response.text(), expected);
    assert_eq!(response.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
    sidecar.stderr.wait_for("connection refused");
}

#[test]
fn an_app_that_sends_nothing() {
    let silent = failing(|connection| {
        connection.request();
    });
    assert_eq!(silent, (502, "EOF\n".to_owned()));
}

#[test]
fn an_app_that_does_not_speak_http() {
    let (status, body) = failing(|connection| {
        connection.request();
        connection.send("junk junk junk\r\n\r\n");
    });
    assert_eq!(status, 502);
    let words = "net/http: HTTP/1.x transport connection broken: malformed HTTP response";
    assert!(body.starts_with(words), "{body}");
}

#[test]
fn a_response_that_the_app_cuts_short_is_cut_short_for_the_client() {
    for (head, sent) in [
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n", "one"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome", "some"),
    ] {
        let app = App::start(move |connection| {
            connection.request();
            connection.send(head);
        });
        let sidecar = Sidecar::start(app.port, &[]);
        let mut client = Client::connect(sidecar.ports.main);
        let response = client.ask(&root(""));
        assert_eq!((response.text(), response.whole), (sent, false));
        assert!(client.is_closed());
    }
}

/// The app hangs up on a connection that the proxy kept: Knative's answers 502 at random.
#[test]
fn a_stale_connection_loses_no_request() {
    // Each connection serves one request, as if it were kept, and is reset with the next.
    let app = App::start(|connection| {
        connection.request();
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
        connection.request();
    });
    let sidecar = Sidecar::start(app.port, &[]);
    let ask = |request: &str| {
        let response = get(sidecar.ports.main, request);
        (response.status, response.text().to_owned())
    };
    let hello = (200, "hello".to_owned());
    let eof = (502, "EOF\n".to_owned());
    assert_eq!(ask(&root("")), hello);
    assert_eq!(ask(&root("")), hello);
    // A request that may have been acted upon is not sent twice.
    let post = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi";
    assert_eq!(ask(post), eof);
    assert_eq!(ask(&root("")), hello);
    assert_eq!(ask("DELETE / HTTP/1.1\r\nHost: h\r\n\r\n"), eof);
    assert_eq!(ask(&root("")), hello);
    let keyed = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nIdempotency-Key: k\r\n\r\n";
    assert_eq!(ask(keyed), hello);
}

#[test]
fn an_unrequested_switch_of_protocols() {
    let (status, body) = failing(|connection| {
        connection.request();
        connection.send(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\n",
        );
    });
    assert_eq!(status, 502);
    assert_eq!(body, "backend tried to switch protocol \"foo\" when \"\" was requested\n");

    let app = App::start(|connection| {
        connection.request();
        connection.send(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\n",
        );
    });
    let sidecar = Sidecar::start(app.port, &[]);
    let asked = root("Connection: Upgrade\r\nUpgrade: websocket\r\n");
    let response = get(sidecar.ports.main, &asked);
    let expected = "backend tried to switch protocol \"foo\" when \"websocket\" was requested\n";
    assert_eq!((response.status, response.text()), (502, expected));
}

/// Knative's response recorder latches on the first status it sees, informational or not: after a
/// 103, or after the app's own 100, the client gets 200 whatever the app says.
#[test]
fn informational_statuses_do_not_become_the_final_one() {
    let app = App::start(|connection| {
        connection.request();
        connection.send(
            "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n\
             HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        );
    });
    let sidecar = Sidecar::start(app.port, &[]);
    let mut client = Client::connect(sidecar.ports.main);
    client.send(&root(""));
    assert!(client.head().starts_with("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n"));
    assert_eq!(client.response().status, 404);
}

#[test]
fn expect_continue_is_forwarded() {
    let app = App::start(|connection| {
        let head = connection.request().unwrap();
        if head.contains("/refuse") {
            connection.send("HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n");
            return;
        }
        assert!(head.to_lowercase().contains("expect: 100-continue"), "{head}");
        connection.send("HTTP/1.1 100 Continue\r\n\r\n");
        assert_eq!(connection.body(2), b"hi");
        connection.send("HTTP/1.1 201 Created\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    });
    let sidecar = Sidecar::start(app.port, &[]);
    let mut client = Client::connect(sidecar.ports.main);
    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    assert!(client.head().starts_with("HTTP/1.1 100 Continue\r\n"));
    client.send("hi");
    assert_eq!(client.response().status, 201);

    let refused = get(
        sidecar.ports.main,
        "POST /refuse HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n",
    );
    assert_eq!(refused.status, 417);
    let bogus = get(sidecar.ports.main, &root("Expect: bogus\r\n"));
    assert_eq!(bogus.status, 417);
    assert_eq!(app.requests(), 2);
}

#[test]
fn an_endless_response_head_from_the_app() {
    let (status, body) = failing(|connection| {
        connection.request();
        let line = format!("X-A: {}\r\n", "a".repeat(1 << 20));
        connection.send("HTTP/1.1 200 OK\r\n");
        for _ in 0..11 {
            connection.send(&line);
        }
        connection.send("\r\n");
    });
    assert_eq!(status, 502);
    assert!(body.contains("server response headers exceeded 10485760 bytes; aborted"), "{body}");
}

#[test]
fn a_client_that_disconnects_cancels_its_request() {
    let gate = Gate::default();
    let opened = gate.clone();
    let app = App::start(move |connection| {
        connection.request();
        assert!(connection.is_closed_by_peer());
        opened.open(1);
    });
    let sidecar = Sidecar::start(app.port, &[]);
    let mut client = Client::connect(sidecar.ports.main);
    client.send(&root(""));
    app.heads(1);
    drop(client);
    gate.pass();
}

/// The header is off by default: clients then see Knative's bytes.
#[test]
fn responses_carry_the_cause_header_where_it_is_enabled() {
    let port = App::absent_port();
    let quiet = Sidecar::start(port, &[]);
    assert_eq!(get(quiet.ports.main, &root("")).header("tidegate-error"), None);
    quiet.stderr.wait_for("\"cause\":\"unreachable\"");
    let open = Sidecar::start(port, &[("TIDEGATE_CAUSE_HEADER", "true")]);
    let response = get(open.ports.main, &root(""));
    assert_eq!((response.status, response.header("tidegate-error")), (502, Some("unreachable")));
    let refused = get(open.ports.main, "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
    assert_eq!(
        (refused.status, refused.header("tidegate-error")),
        (400, Some("malformed_request"))
    );
}
