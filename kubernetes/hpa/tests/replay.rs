//! Objects as Kubernetes' own autoscaler has written them, explained again.
//!
//! Each file of `vectors` is a HorizontalPodAutoscaler as it was read from a real cluster; beside
//! it stands what a person must be told.

#![expect(clippy::unwrap_used, reason = "what cannot be read fails the test")]

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tidegate_kubernetes_hpa::metric::TOLERANCE;
use tidegate_kubernetes_hpa::replay::Cause;
use tidegate_kubernetes_hpa::{Hpa, ReadError, Replay, replay};

fn vectors() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let entries = std::fs::read_dir(folder).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

#[test]
fn what_a_real_autoscaler_did_is_computed_again_and_explained() {
    let paths = vectors();
    assert!(paths.len() > 20, "{paths:?}");
    for path in paths {
        let vector: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let replay = replay(&Hpa::read(&vector["object"]).unwrap(), TOLERANCE);
        let text = replay.to_string();
        assert!(replay.agrees(), "{}:\n{text}", path.display());
        let cause = serde_json::to_value(replay.cause).unwrap();
        assert_eq!(cause, vector["cause"], "{}:\n{text}", path.display());
        for expected in vector["says"].as_array().unwrap() {
            let expected = expected.as_str().unwrap();
            assert!(text.contains(expected), "{}: no {expected:?} in\n{text}", path.display());
        }
    }
}

/// An HPA of a Deployment with these replicas, one External metric of this value for each replica
/// wanted and had, and more.
fn object(now: i64, desired: i64, (current, target): (&str, &str), more: Value) -> Value {
    let metric = json!({"name": "queue"});
    let mut object = json!({
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "minReplicas": 1,
            "maxReplicas": 100,
            "metrics": [{"type": "External", "external": {
                "metric": metric, "target": {"type": "AverageValue", "averageValue": target},
            }}],
        },
        "status": {
            "currentReplicas": now,
            "desiredReplicas": desired,
            "currentMetrics": [{"type": "External", "external": {
                "metric": metric, "current": {"averageValue": current},
            }}],
            "conditions": [],
        },
    });
    for (path, value) in more.as_object().unwrap() {
        *object.pointer_mut(path).unwrap() = value.clone();
    }
    object
}

fn explained(object: &Value) -> Replay {
    replay(&Hpa::read(object).unwrap(), TOLERANCE)
}

#[test]
fn averages_that_are_rounded_leave_a_range() {
    // 3 in all, of 7 replicas: 428.57 thousandths each, written down as 429.
    let replay = explained(&object(7, 3, ("429m", "1"), json!({})));
    assert_eq!((replay.replicas.low, replay.replicas.high), (3, 4));
    assert!(replay.agrees());
    let said = replay.to_string();
    assert!(said.contains("3 to 4 replicas; the status says 3"), "{said}");
}

#[test]
fn what_does_not_fit_is_said() {
    let replay = explained(&object(2, 9, ("1", "1"), json!({})));
    assert!(!replay.agrees());
    let said = replay.to_string();
    assert!(said.contains("2 replicas by the formula, but the status says 9"), "{said}");
}

#[test]
fn each_direction_has_its_tolerance() {
    let behavior = |up: &str| {
        let spec = object(10, 10, ("1050m", "1"), json!({}))["spec"].clone();
        let mut spec = spec;
        spec["behavior"] = json!({"scaleUp": {"tolerance": up}});
        json!({"/spec": spec})
    };
    let replay = explained(&object(10, 10, ("1050m", "1"), json!({})));
    assert_eq!((replay.cause, replay.replicas.high), (Cause::WithinTolerance, 10));
    let replay = explained(&object(10, 11, ("1050m", "1"), behavior("0.01")));
    assert_eq!((replay.cause, replay.replicas.high), (Cause::AsProposed, 11));
    let replay = explained(&object(10, 10, ("1050m", "1"), behavior("500m")));
    assert_eq!(replay.cause, Cause::WithinTolerance);
}

#[test]
fn what_cannot_be_explained_says_what_to_give() {
    let read = |object: Value| Hpa::read(&object).unwrap_err();
    let error = read(json!({"kind": "Deployment", "apiVersion": "apps/v1"})).to_string();
    assert!(error.contains("kubectl get hpa NAME -o yaml"), "{error}");
    assert!(error.contains("this is Deployment apps/v1"), "{error}");
    let old = json!({"kind": "HorizontalPodAutoscaler", "apiVersion": "autoscaling/v1"});
    assert!(matches!(read(old), ReadError::NotAnHpa(_)));
    let mut object = object(1, 1, ("1", "1"), json!({}));
    object["status"] = json!({});
    assert_eq!(read(object.clone()), ReadError::NoStatus);
    object["status"] = json!({"desiredReplicas": 1});
    object["spec"]["metrics"][0]["external"] = json!({});
    let error = read(object).to_string();
    assert!(error.contains("/spec/metrics/0"), "{error}");
}

/// Nothing that a person may write makes it fail in another way than by an error.
#[test]
fn odd_objects_are_explained_too() {
    let odd = [
        object(0, 0, ("-9223372036854775808m", "1"), json!({"/spec/minReplicas": 0})),
        object(i64::from(i32::MAX), 1, ("9E", "1m"), json!({})),
        object(5, 5, ("1", "0"), json!({})),
        object(-5, -5, ("1", "1"), json!({})),
        object(5, 5, ("1", "1"), json!({"/spec/maxReplicas": 2, "/spec/minReplicas": 4})),
        object(5, 5, ("1", "1"), json!({"/status/currentMetrics": null})),
        object(5, 5, ("1", "1"), json!({"/spec/metrics": []})),
    ];
    for object in odd {
        assert!(explained(&object).to_string().contains("why"));
    }
}
