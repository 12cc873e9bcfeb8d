//! The process log: what is logged, and what is left out of it.

use crate::app::{App, eventually};
use crate::client::{Client, get, root};
use crate::sidecar::Sidecar;

const PROMETHEUS: (&str, &str) =
    ("OBSERVABILITY_CONFIG", r#"{"requestMetrics":{"protocol":"prometheus"}}"#);

/// Its name is repeated, so that the sidecar refuses it and logs that at level `info`.
const REFUSED: &str = "K-Original-Host: a\r\nK-Original-Host: b\r\n";

#[test]
fn tidegates_filter_overrides_knatives_level() {
    let changes = [
        ("SERVING_LOGGING_LEVEL", "debug"),
        ("TIDEGATE_LOG", "off,tidegate_queue_proxy::process=info"),
    ];
    let mut sidecar = Sidecar::start(App::absent_port(), &changes);
    assert_eq!(get(sidecar.ports.main, &root("")).status, 502);
    assert_eq!(get(sidecar.ports.main, &root(REFUSED)).status, 400);
    sidecar.signal("TERM");
    sidecar.wait();
    let log = sidecar.stderr.all();
    assert!(!log.contains("a request"), "{log}");
}

#[test]
fn an_invalid_filter_prevents_the_start() {
    let mut sidecar = Sidecar::spawn(1, &[("TIDEGATE_LOG", "wran")]);
    assert_eq!(sidecar.wait().code(), Some(1));
    let expected = "TIDEGATE_LOG: \"wran\" is no level, expected off, error, warn";
    assert!(sidecar.stderr.all().contains(expected), "{}", sidecar.stderr.all());
}

/// A flood of lines would cost more than the requests that it is about; what is dropped is
/// counted.
#[test]
fn log_lines_that_are_dropped_are_counted() {
    let sidecar = Sidecar::start(App::absent_port(), &[PROMETHEUS]);
    eventually("a line that is left out", || {
        let mut client = Client::connect(sidecar.ports.main);
        client.send(&root(REFUSED).repeat(250));
        for _ in 0..250 {
            assert_eq!(client.response().status, 400);
        }
        let page = get(sidecar.ports.metrics, "GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n");
        let dropped = page.text().lines().find_map(|line| {
            line.strip_prefix("tidegate_log_lines_dropped_total{")?.rsplit(' ').next()
        });
        let failed = page.text().lines().any(|line| {
            line.starts_with("tidegate_requests_failed_total{")
                && line.contains("cause=\"malformed_request\"")
                && !line.ends_with(" 0")
        });
        assert!(failed, "{}", page.text());
        dropped.expect("it is there from the start") != "0"
    });
}
