//! The story: "secrets never reach a log" was wider than what held it. `traceparent: 00-S3CRET` was
//! written down as a trace's identifier, and `?token=…` was in request logs and in spans. Here
//! every output is on, at its most verbose, and everything that a client or an app may choose
//! contains the same word, in requests that succeed and in requests that fail.

use crate::app::App;
use crate::client::{Client, get};
use crate::sidecar::Sidecar;

/// What must not be seen.
const SECRET: &str = "S3CRET";

/// An app that fails in the way the path says.
fn app() -> App {
    App::start(|connection| {
        let Some(head) = connection.request() else { return };
        match head.split(['?', ' ']).nth(1) {
            Some("/echo") => connection.send(&head),
            Some("/line") => connection.send(&format!("token={SECRET}\r\n\r\n")),
            Some("/close") => {}
            Some("/cut") => connection.send(&format!(
                "HTTP/1.1 200 OK\r\nX-Key: {SECRET}\r\nContent-Length: 99\r\n\r\n{SECRET}"
            )),
            Some("/length") => {
                connection.send(&format!("HTTP/1.1 200 OK\r\nContent-Length: {SECRET}\r\n\r\n"));
            }
            Some("/500") => connection.send(&format!(
                "HTTP/1.1 500 No\r\nSet-Cookie: a={SECRET}\r\nContent-Length: 6\r\n\r\n{SECRET}"
            )),
            _ => connection.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        }
    })
}

fn requests() -> Vec<String> {
    let headers = [
        "Authorization: Bearer S3CRET",
        "Proxy-Authorization: Basic S3CRET",
        "Cookie: session=S3CRET",
        "X-Api-Key: S3CRET",
        "X-Request-Id: S3CRET",
        "traceparent: 00-S3CRET",
        "traceparent: 00-S3CRET-b7ad6b7169203331-01",
        "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-S3CRET",
        "tracestate: a=S3CRET",
        "baggage: a=S3CRET",
        "X-B3-TraceId: S3CRET",
        "X-B3-SpanId: S3CRET",
        "b3: S3CRET",
        "Referer: http://u:S3CRET@h/?token=S3CRET",
        "Forwarded: for=S3CRET",
        "X-Forwarded-Host: S3CRET",
        "Sec-WebSocket-Key: S3CRET",
        "K-Network-Hash: S3CRET",
    ];
    let all: String = headers
        .iter()
        .filter(|line| !line.starts_with("trace"))
        .map(|l| format!("{l}\r\n"))
        .collect();
    let mut requests = Vec::new();
    for header in headers {
        requests.push(format!("GET / HTTP/1.1\r\nHost: h\r\n{header}\r\n\r\n"));
    }
    for path in ["/echo", "/line", "/close", "/cut", "/length", "/500"] {
        requests.push(format!(
            "POST {path}?token={SECRET}&a=1 HTTP/1.1\r\nHost: h\r\n{all}Content-Length: 6\r\n\r\n\
             {SECRET}"
        ));
    }
    for target in [
        "/?access_token=S3CRET",
        "/?a=1;%70assword=S3CRET",
        "/;jsessionid=S3CRET",
        "http://h/?Signature=S3CRET&X-Amz-Credential=S3CRET",
    ] {
        requests.push(format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n"));
    }
    // Malformed requests: refused with a reason, and nothing of them is logged.
    for broken in [
        "GET / HTTP/1.1\r\nHost: h\r\nS3CRET\r\n\r\n",
        "S3CRET\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: S3CRET\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nS3CRET\r\n",
        "GET / HTTP/1.1\r\nHost: S3CRET S3CRET\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nS3CRETS3CRETS3CRET",
    ] {
        requests.push(broken.to_owned());
    }
    requests
}

fn run(app: &App, requests: &[String], more: &[(&str, &str)]) -> String {
    let config = r#"{"enableRequestLog":true,"enableProbeRequestLog":true,
        "tracing":{"protocol":"stdout"},"requestMetrics":{"protocol":"prometheus"}}"#;
    let mut changes = vec![
        ("OBSERVABILITY_CONFIG", config),
        ("SERVING_LOGGING_LEVEL", "debug"),
        ("CONTAINER_CONCURRENCY", "1"),
    ];
    changes.extend_from_slice(more);
    let mut sidecar = Sidecar::start(app.port, &changes);
    for request in requests {
        let mut client = Client::connect(sidecar.ports.main);
        client.send(request);
        let _ = client.stream.shutdown(std::net::Shutdown::Write);
        // Whatever the response is, the exchange has ended when the connection does.
        let _ = std::io::copy(&mut client.stream, &mut std::io::sink());
    }
    let page = get(sidecar.ports.metrics, "GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(page.status, 200);
    sidecar.signal("TERM");
    assert_eq!(sidecar.wait().code(), Some(0));
    format!("{}\n{}\n{}", sidecar.stdout.all(), sidecar.stderr.all(), page.text())
}

#[test]
fn no_secret_is_ever_written_down() {
    let app = app();
    let requests = requests();
    for more in [&[][..], &[("TIDEGATE_REQUEST_LOG", "json")]] {
        let written = run(&app, &requests, more);
        let leaks: Vec<&str> = written.lines().filter(|line| line.contains(SECRET)).collect();
        assert!(leaks.is_empty(), "{leaks:#?}");
        assert!(written.contains("token") && written.contains("***"), "{written}");
        assert!(written.contains("a request failed"), "{written}");
    }
}

#[test]
fn the_masking_of_queries_is_configurable() {
    let app = app();
    let requests = ["GET /a?token=S3CRET&id=7 HTTP/1.1\r\nHost: h\r\n\r\n".to_owned()];
    let json = ("TIDEGATE_REQUEST_LOG", "json");
    for (name, value, shown) in [
        ("TIDEGATE_LOG_QUERY", "masked", "/a?token=***&id=7"),
        ("TIDEGATE_LOG_QUERY", "full", "/a?token=S3CRET&id=7"),
        ("TIDEGATE_LOG_QUERY", "none", "/a"),
        ("TIDEGATE_LOG_QUERY_NAMES", "id", "/a?token=***&id=***"),
        ("TIDEGATE_LOG_QUERY_NAMES", "*", "/a?token=***&id=***"),
    ] {
        let written = run(&app, &requests, &[json, (name, value)]);
        assert!(written.contains(&format!("\"target\":\"{shown}\"")), "{name} {value}: {written}");
        let full = written.lines().find(|line| line.contains("url.full")).unwrap();
        assert!(full.contains(&format!("{shown}\"")), "{name} {value}: {full}");
    }
    let mut sidecar = Sidecar::spawn(app.port, &[("TIDEGATE_LOG_QUERY", "all")]);
    assert_eq!(sidecar.wait().code(), Some(1));
    let expected = "TIDEGATE_LOG_QUERY: cannot use 'all', expected masked, full or none";
    assert!(sidecar.stderr.all().contains(expected), "{}", sidecar.stderr.all());
}
