//! Distributed traces.

use crate::app::App;
use crate::client::{get, root};
use crate::sidecar::Sidecar;

const STDOUT: (&str, &str) = ("OBSERVABILITY_CONFIG", r#"{"tracing":{"protocol":"stdout"}}"#);
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn spans(sidecar: &Sidecar, count: usize) -> Vec<serde_json::Value> {
    let lines = sidecar.stdout.wait_for_many("SpanContext", count);
    lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn named<'a>(spans: &'a [serde_json::Value], name: &str) -> &'a serde_json::Value {
    spans
        .iter()
        .find(|span| span["Name"] == name)
        .unwrap_or_else(|| panic!("no {name}: {spans:#?}"))
}

#[test]
fn a_request_with_a_limit_has_four_spans_and_the_app_continues_the_last() {
    let app = App::hello();
    let sidecar = Sidecar::start(app.port, &[STDOUT, ("CONTAINER_CONCURRENCY", "1")]);
    get(sidecar.ports.main, &root(&format!("traceparent: {PARENT}\r\n")));
    let spans = spans(&sidecar, 4);
    let server = named(&spans, "GET");
    assert_eq!(server["SpanKind"], 2);
    assert_eq!(server["Parent"]["SpanID"], "b7ad6b7169203331");
    assert_eq!(server["Parent"]["Remote"], true);
    let proxy = named(&spans, "kn.queueproxy.proxy");
    assert_eq!(proxy["Parent"]["SpanID"], server["SpanContext"]["SpanID"]);
    let wait = named(&spans, "kn.queueproxy.wait");
    assert_eq!(wait["Parent"]["SpanID"], proxy["SpanContext"]["SpanID"]);
    let client = named(&spans, "HTTP GET");
    assert_eq!(client["SpanKind"], 3);
    assert_eq!(client["Parent"]["SpanID"], wait["SpanContext"]["SpanID"]);
    let trace = "0af7651916cd43dd8448eb211c80319c";
    for span in &spans {
        assert_eq!(span["SpanContext"]["TraceID"], trace);
    }
    let id = client["SpanContext"]["SpanID"].as_str().unwrap();
    let continued = format!("Traceparent: 00-{trace}-{id}-01");
    assert!(app.head().contains(&continued), "no {continued} in {}", app.head());
}

#[test]
fn without_a_limit_there_is_no_wait_and_probes_leave_no_trace() {
    let app = App::hello();
    let mut sidecar = Sidecar::start(app.port, &[STDOUT]);
    get(sidecar.ports.main, &root("User-Agent: kube-probe/1\r\nK-Network-Probe: queue\r\n"));
    get(sidecar.ports.main, &root(""));
    sidecar.signal("TERM");
    assert_eq!(sidecar.wait().code(), Some(0));
    let spans = spans(&sidecar, 3);
    assert_eq!(named(&spans, "GET")["Parent"]["SpanID"], "0000000000000000");
    assert_eq!(sidecar.stdout.all().lines().count(), 3);
}
