//! The environment: what is read, and what prevents the start.

use std::net::TcpListener;

use crate::app::App;
use crate::client::{get, root};
use crate::sidecar::Sidecar;

/// Starts with `changes`, expects failure, and returns standard error.
fn fails(changes: &[(&str, &str)]) -> String {
    let mut sidecar = Sidecar::spawn(1, changes);
    assert_eq!(sidecar.wait().code(), Some(1), "{changes:?}");
    sidecar.stderr.all()
}

#[test]
fn each_missing_required_variable_is_named() {
    for key in [
        "CONTAINER_CONCURRENCY",
        "QUEUE_SERVING_PORT",
        "QUEUE_SERVING_TLS_PORT",
        "USER_PORT",
        "REVISION_TIMEOUT_SECONDS",
        "SERVING_LOGGING_CONFIG",
        "SERVING_LOGGING_LEVEL",
        "SERVING_NAMESPACE",
        "SERVING_CONFIGURATION",
        "SERVING_REVISION",
        "SERVING_POD",
        "SERVING_POD_IP",
    ] {
        let stderr = fails(&[(key, "-")]);
        assert!(stderr.contains(key), "{key} is not in {stderr}");
    }
}

/// Knative reports the first problem only, so a wrong environment takes one restart for each
/// mistake.
#[test]
fn all_problems_are_reported_at_once() {
    let stderr = fails(&[
        ("CONTAINER_CONCURRENCY", "abc"),
        ("ENABLE_HTTP_FULL_DUPLEX", "yes"),
        ("SERVING_POD", "-"),
    ]);
    for key in ["CONTAINER_CONCURRENCY", "ENABLE_HTTP_FULL_DUPLEX", "SERVING_POD"] {
        assert!(stderr.contains(key), "{key} is not in {stderr}");
    }
}

#[test]
fn values_that_cannot_be_parsed_prevent_the_start() {
    for changes in [
        [("CONTAINER_CONCURRENCY", "abc")],
        [("CONTAINER_CONCURRENCY", "")],
        [("REVISION_TIMEOUT_SECONDS", "")],
        [("ENABLE_HTTP_FULL_DUPLEX", "yes")],
        [("QUEUE_SERVING_PORT", "junk")],
        [("SERVING_READINESS_PROBE", "{")],
        [("SERVING_READINESS_PROBE", "[]")],
        [("OBSERVABILITY_CONFIG", "{")],
        [("OBSERVABILITY_CONFIG", r#"{"requestMetrics":{"protocol":"statsd"}}"#)],
        [("OBSERVABILITY_CONFIG", r#"{"requestMetrics":{"protocol":""}}"#)],
        [("OBSERVABILITY_CONFIG", r#"{"tracing":{"protocol":"zipkin"}}"#)],
    ] {
        let stderr = fails(&changes);
        assert!(stderr.contains(changes[0].0), "{changes:?}: {stderr}");
    }
    fails(&[("SERVING_READINESS_PROBE", "{}"), ("ENABLE_MULTI_CONTAINER_PROBES", "true")]);
}

/// An empty optional variable kills Knative's sidecar; here it counts as absent, so that a new
/// controller and an old one can both write the pod.
#[test]
fn empty_optional_variables_are_absent() {
    let app = App::hello();
    let sidecar = Sidecar::start(
        app.port,
        &[
            ("REVISION_IDLE_TIMEOUT_SECONDS", ""),
            ("REVISION_RESPONSE_START_TIMEOUT_SECONDS", ""),
            ("ENABLE_HTTP_FULL_DUPLEX", ""),
            ("OBSERVABILITY_CONFIG", ""),
            ("SERVING_READINESS_PROBE", ""),
        ],
    );
    assert_eq!(get(sidecar.ports.main, &root("")).text(), "hello");
}

#[test]
fn numbers_parse_as_in_go_and_huge_limits_start_at_once() {
    let app = App::hello();
    for limit in ["-1", "0x10", "2147483647"] {
        let sidecar = Sidecar::start(app.port, &[("CONTAINER_CONCURRENCY", limit)]);
        assert_eq!(get(sidecar.ports.main, &root("")).text(), "hello", "{limit}");
    }
}

#[test]
fn an_invalid_logger_configuration_is_not_fatal() {
    let app = App::hello();
    let changes = [("SERVING_LOGGING_CONFIG", "{"), ("SERVING_LOGGING_LEVEL", "junk")];
    let sidecar = Sidecar::start(app.port, &changes);
    assert_eq!(get(sidecar.ports.main, &root("")).text(), "hello");
}

#[test]
fn a_port_in_use_prevents_the_start() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let stderr = fails(&[("TIDEGATE_STATS_PORT", &port)]);
    assert!(stderr.contains(&format!("port {port} for statistics")), "{stderr}");
}

#[test]
fn fixed_ports_can_be_disabled() {
    let app = App::hello();
    let changes = [("TIDEGATE_ADMIN_PORT", "off"), ("TIDEGATE_STATS_PORT", "off")];
    let sidecar = Sidecar::start(app.port, &changes);
    assert_eq!((sidecar.ports.admin, sidecar.ports.stats), (0, 0));
    assert_eq!(get(sidecar.ports.main, &root("")).text(), "hello");
}

/// Knative accepts `null` and dies with a nil dereference on the first probe.
#[test]
fn null_probes_are_refused_at_start_with_a_message() {
    for (probe, several) in [("null", "false"), ("[null]", "true")] {
        let changes =
            [("SERVING_READINESS_PROBE", probe), ("ENABLE_MULTI_CONTAINER_PROBES", several)];
        let stderr = fails(&changes);
        assert!(stderr.contains("null is not a probe"), "{stderr}");
    }
}

#[test]
fn a_recording_that_cannot_be_opened_prevents_the_start() {
    let stderr = fails(&[("TIDEGATE_RECORD", "/nowhere/trace.jsonl")]);
    assert!(stderr.contains("TIDEGATE_RECORD"), "{stderr}");
}
