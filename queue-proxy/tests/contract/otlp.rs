//! Pushing to a collector.

use crate::app::{App, Gate};
use crate::client::{get, root};
use crate::sidecar::Sidecar;

/// A collector that takes one push over HTTP/1.1 and opens the gate when it has it.
fn collector(gate: &Gate) -> App {
    let gate = gate.clone();
    App::start(move |connection| {
        while let Some(head) = connection.request() {
            let length = head.to_lowercase();
            let length = length.split("content-length: ").nth(1).unwrap();
            let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
            let body = connection.body(length);
            let text = String::from_utf8_lossy(&body);
            assert!(text.contains("web-00001"), "{text}");
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            gate.open(1);
        }
    })
}

#[test]
fn spans_and_metrics_reach_a_collector_before_the_end() {
    let (app, gate) = (App::hello(), Gate::default());
    let collector = collector(&gate);
    let endpoint = format!("http://127.0.0.1:{}", collector.port);
    let config = format!(
        "{{\"tracing\":{{\"protocol\":\"http/protobuf\",\"endpoint\":\"{endpoint}\",\
         \"samplingRate\":1}},\
         \"requestMetrics\":{{\"protocol\":\"http/protobuf\",\"endpoint\":\"{endpoint}\"}}}}"
    );
    let mut sidecar = Sidecar::start(app.port, &[("OBSERVABILITY_CONFIG", &config)]);
    assert_eq!(get(sidecar.ports.main, &root("")).text(), "hello");
    sidecar.signal("TERM");
    assert_eq!(sidecar.wait().code(), Some(0));
    gate.pass();
    gate.pass();
    let mut targets: Vec<String> =
        collector.heads(2).iter().map(|head| head.lines().next().unwrap().to_owned()).collect();
    targets.sort();
    assert_eq!(targets, ["POST /v1/metrics HTTP/1.1", "POST /v1/traces HTTP/1.1"]);
}

#[test]
fn an_unreachable_collector_causes_a_warning_and_nothing_else() {
    let app = App::hello();
    let endpoint = format!("http://127.0.0.1:{}", App::absent_port());
    let config = format!(
        "{{\"tracing\":{{\"protocol\":\"grpc\",\"endpoint\":\"{endpoint}\",\"samplingRate\":1}}}}"
    );
    let mut sidecar = Sidecar::start(app.port, &[("OBSERVABILITY_CONFIG", &config)]);
    assert_eq!(get(sidecar.ports.main, &root("")).text(), "hello");
    sidecar.signal("TERM");
    assert_eq!(sidecar.wait().code(), Some(0));
    sidecar.stderr.wait_for("cannot connect to the collector");
}
