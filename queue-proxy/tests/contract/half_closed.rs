//! Clients that half-close their connection after the request, and what is recorded of them.
//!
//! The first byte of a response is sent ahead to find out whether such a client still reads. The
//! response it gets in the end, and what metrics, log and recording have of it, must agree, also
//! when the response comes from the queue and not from the app.

use std::net::Shutdown;
use std::time::Duration;

use crate::app::{App, Gate, eventually};
use crate::client::{Client, get};
use crate::sidecar::Sidecar;

/// Metrics, request log and recording are on.
fn observed(app: &App, record: &std::path::Path, changes: &[(&str, &str)]) -> Sidecar {
    let config = r#"{"requestMetrics":{"protocol":"prometheus"},"enableRequestLog":true}"#;
    let mut all = vec![
        ("CONTAINER_CONCURRENCY", "1"),
        ("OBSERVABILITY_CONFIG", config),
        ("TIDEGATE_RECORD", record.to_str().unwrap()),
    ];
    all.extend_from_slice(changes);
    Sidecar::start(app.port, &all)
}

fn metrics(sidecar: &Sidecar) -> String {
    get(sidecar.ports.metrics, "GET /metrics HTTP/1.0\r\n\r\n").text().to_owned()
}

/// A client whose request is sent, whose direction has ended, and that has the first byte.
fn half_closed(sidecar: &Sidecar, target: &str) -> Client {
    let mut client = Client::connect(sidecar.ports.main);
    client.send(&format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n"));
    client.stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.bytes(1), b"H");
    client
}

/// Disconnects with a reset, as a program does that is killed with unread bytes.
fn reset(client: Client) {
    socket2::SockRef::from(&client.stream).set_linger(Some(Duration::ZERO)).unwrap();
}

/// The rest of a response after the byte that was sent ahead.
fn status(client: &mut Client) -> u16 {
    let head = client.head();
    assert!(head.starts_with("TTP/1.1 "), "{head:?}");
    head[8..11].parse().unwrap()
}

/// Each way out of the queue: a response, a refusal, a time limit, and the client's disconnect,
/// with what the client gets and what is recorded.
#[test]
fn what_is_recorded_is_what_a_half_closed_client_received() {
    for (changes, told) in [
        (&[][..], 200),
        (&[("TIDEGATE_QUEUE_TIMEOUT_MS", "100")][..], 503),
        (&[("REVISION_TIMEOUT_SECONDS", "1")][..], 504),
        (&[][..], 499),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let record = directory.path().join("trace.jsonl");
        let gate = Gate::default();
        let app = App::held(&gate);
        let mut sidecar = observed(&app, &record, changes);
        let mut first = Client::connect(sidecar.ports.main);
        first.send("GET /first HTTP/1.1\r\nHost: h\r\n\r\n");
        app.heads(1);
        let mut client = half_closed(&sidecar, "/second");
        match told {
            200 => {
                gate.open(2);
                assert_eq!(status(&mut client), told);
                assert_eq!(client.bytes(5), b"hello");
                assert!(client.is_closed());
            }
            499 => {
                reset(client);
                sidecar.stdout.wait_for("\"requestUrl\": \"/second\"");
                gate.open(1);
            }
            _ => {
                assert_eq!(status(&mut client), told);
                gate.open(2);
            }
        }
        let line = sidecar.stdout.wait_for("\"requestUrl\": \"/second\"");
        assert!(line.contains(&format!("\"status\": {told},")), "{line}");
        let series = format!("http_response_status_code=\"{told}\"");
        eventually("the metrics", || metrics(&sidecar).contains(&series));
        if told == 499 || told == 503 {
            assert_eq!(app.requests(), 1, "it never reached the app");
        }
        first.response();
        sidecar.signal("TERM");
        sidecar.wait();
        let rows = std::fs::read_to_string(&record).unwrap();
        let status = format!("\"status\":{told},");
        let noted = rows.lines().filter(|row| row.contains(&status));
        // The first request is served as well, or runs into the same limit.
        let expected = if matches!(told, 200 | 504) { 2 } else { 1 };
        assert_eq!(noted.count(), expected, "{told}: {rows}");
    }
}

/// A half-closed client that disconnects in the queue gives its place to the next request.
#[test]
fn a_half_closed_client_that_leaves_frees_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let gate = Gate::default();
    let app = App::held(&gate);
    let changes = [("TIDEGATE_QUEUE_DEPTH", "1")];
    let sidecar = observed(&app, &directory.path().join("trace.jsonl"), &changes);
    let mut first = Client::connect(sidecar.ports.main);
    first.send("GET /first HTTP/1.1\r\nHost: h\r\n\r\n");
    app.heads(1);
    reset(half_closed(&sidecar, "/left"));
    sidecar.stdout.wait_for("\"requestUrl\": \"/left\"");
    let mut next = half_closed(&sidecar, "/next");
    gate.open(2);
    assert_eq!(status(&mut next), 200);
    assert_eq!(first.response().text(), "hello");
    assert_eq!(app.requests(), 2);
}
