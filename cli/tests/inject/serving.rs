//! A pod that serves: identity, readiness, limits and metrics as the manifest says.

use serde_json::json;

use crate::kubelet::{App, eventually, free_ports, pod, status};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n";

#[test]
fn the_sidecar_is_ready_when_the_app_is_and_serves_it() {
    let [app_port] = free_ports();
    let probe = json!({"readinessProbe": {"httpGet": {"path": "/healthz?$(X)", "port": app_port}}});
    let pod = pod(app_port, 30, &probe, &["-c", "1"]);
    assert_eq!(pod.app().get("readinessProbe"), None, "the sidecar carries it out");
    let sidecar = pod.start();
    assert_eq!((pod.readiness(), status(pod.main, GET)), (503, 502), "there is no app yet");
    let app = App::start(app_port);
    eventually("readiness", || pod.readiness() == 200);
    assert_eq!(status(pod.main, GET), 200);
    assert_eq!(
        status(pod.metrics, "GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"),
        200
    );
    app.end();
    eventually("unreadiness", || pod.readiness() == 503);
    drop(sidecar);
}

#[test]
fn the_environment_is_what_the_sidecar_reads() {
    let [app_port] = free_ports();
    let pod = pod(app_port, 30, &json!({}), &["-c", "7", "--set", "queue-timeout=2s"]);
    let environment = pod.environment();
    let of = |name: &str| {
        let mut found = environment.iter().filter(|(known, _)| known == name);
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} stands twice");
        value
    };
    for (name, value) in [
        ("CONTAINER_CONCURRENCY", "7"),
        ("SERVING_NAMESPACE", "shop"),
        ("SERVING_POD", "web-1"),
        ("SERVING_REVISION", "web-1"),
        ("TIDEGATE_QUEUE_TIMEOUT_MS", "2000"),
        ("TIDEGATE_QUIET_PERIOD_MS", "10000"),
        ("TIDEGATE_GRACE_PERIOD_MS", "25000"),
    ] {
        assert_eq!(of(name), Some(value), "{name}");
    }
    let app = pod.app()["env"].as_array().unwrap();
    assert_eq!(*app, [json!({"name": "PORT", "value": app_port.to_string()})]);
}
