//! Contradictory specs are refused, with messages that say what to write.

use kube_cel::Validator;
use serde_json::{Value, json};
use tidegate_autoscaler::settings::annotation;
use tidegate_kubernetes_objects::{DEFINITION, TrafficScalerSpec};

fn schema() -> Value {
    let definition: Value = serde_saphyr::from_str(DEFINITION).expect("the file is YAML");
    let schema = definition.pointer("/spec/versions/0/schema/openAPIV3Schema");
    schema.expect("there is one version with a schema").clone()
}

/// A spec with `more` in it.
fn spec(more: Value) -> Value {
    let mut spec = json!({
        "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
        "service": {"name": "web"},
    });
    let fields = spec.as_object_mut().expect("an object");
    fields.extend(more.as_object().expect("an object").clone());
    json!({"spec": spec})
}

/// The messages of the rules for an object, and for one that replaces `old`.
fn said(object: &Value, old: Option<&Value>) -> String {
    match Validator::new().validate(&schema(), object, old) {
        Ok(()) => String::new(),
        Err(found) => found.to_string(),
    }
}

#[test]
fn usual_specs_pass() {
    for more in [
        json!({}),
        json!({"sidecar": {"concurrency": 10}, "scale": {"minScale": 1, "maxScale": 5}}),
        json!({"sidecar": {"concurrency": "auto"}, "zero": {"enabled": true}}),
        json!({"sidecar": {"concurrency": 0}, "scale": {"minScale": 3, "maxScale": 0}}),
        json!({"sidecar": {"concurrency": "1000"}}),
        json!({"scale": {"minScale": 2}, "zero": {"enabled": false}}),
        json!({"actuator": "keda"}),
        json!({"actuator": "externalMetrics"}),
        json!({"scale": {"minScale": 0}, "zero": {"enabled": true}}),
        json!({"scale": {"activationScale": 3, "maxScale": 3, "targetUtilizationPercentage": 70}}),
        json!({"sidecar": {
            "queue": {"depth": 0, "bytes": "32Mi", "timeout": "1m30s"},
            "overflow": {"status": 429, "retryAfterSeconds": 2},
        }}),
        json!({"coldStart": {"depth": 50}}),
        json!({"queue": {"order": "deadline"}}),
        json!({"queue": {"order": "fair", "fairBy": "client-address"}}),
        json!({"queue": {
            "order": "fair",
            "fairBy": "header:x-user",
            "classes": [{"name": "gold", "weight": 10}, {"name": "other", "weight": 1}],
            "classHeader": "x-plan",
        }}),
        json!({"coldStart": {"timeout": "30s"}, "zero": {"enabled": true}}),
        json!({"service": {"name": "web", "ports": [80, 443]}}),
    ] {
        assert_eq!(said(&spec(more.clone()), None), "", "{more}");
    }
}

#[test]
fn contradictions_are_refused_with_a_correction() {
    for (more, expected) in [
        (json!({"scale": {"minScale": 5, "maxScale": 2}}), "lower the one or raise the other"),
        (json!({"scale": {"activationScale": 5, "maxScale": 2}}), "scale.activationScale is above"),
        (json!({"scale": {"minScale": 1}, "zero": {"enabled": true}}), "zero.enabled to false"),
        (json!({"sidecar": {"concurrency": -1}}), "from 0 to 1000, or auto"),
        (json!({"sidecar": {"concurrency": 1001}}), "from 0 to 1000, or auto"),
        (json!({"sidecar": {"concurrency": "many"}}), "from 0 to 1000, or auto"),
        (json!({"scale": {"targetUtilizationPercentage": 0.5}}), "from 1 to 100"),
        (json!({"scale": {"targetUtilizationPercentage": 101.0}}), "from 1 to 100"),
        (json!({"sidecar": {"queue": {"bytes": "32MB"}}}), "whole number of Mi or Gi"),
        (json!({"sidecar": {"queue": {"timeout": "soon"}}}), "a time such as 500ms"),
        (json!({"sidecar": {"overflow": {"status": 500}}}), "503 or 429"),
        (json!({"coldStart": {}}), "coldStart.depth or coldStart.timeout"),
        (json!({"queue": {"order": "fair"}}), "give both or neither"),
        (json!({"queue": {"fairBy": "path"}}), "give both or neither"),
        (json!({"queue": {"order": "fair", "fairBy": "user"}}), "header:NAME, cookie:NAME"),
        (json!({"queue": {"order": "fair", "fairBy": "header:a b"}}), "header:NAME, cookie:NAME"),
        (json!({"queue": {"classHeader": "x-plan"}}), "give queue.classes or remove it"),
        (
            json!({"queue": {"classes": [{"name": "a", "weight": 1}, {"name": "a", "weight": 2}]}}),
            "name each once",
        ),
        (json!({"coldStart": {"timeout": "2h"}}), "a time such as 500ms"),
        (json!({"coldStart": {"depth": 5}, "zero": {"enabled": false}}), "never comes to zero"),
        (json!({"coldStart": {"depth": 5}, "scale": {"minScale": 1}}), "never comes to zero"),
        (json!({"service": {"name": "web", "ports": [80, 80]}}), "name each once"),
    ] {
        let said = said(&spec(more.clone()), None);
        assert!(said.contains(expected), "{more}: {said}");
    }
}

#[test]
fn neither_target_nor_service_can_be_changed() {
    let old = spec(json!({}));
    for (field, value) in [
        ("targetRef", json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "other"})),
        ("service", json!({"name": "other"})),
    ] {
        let new = spec(json!({field: value}));
        let said = said(&new, Some(&old));
        assert!(said.contains(&format!("{field} cannot be changed")), "{field}: {said}");
    }
    assert_eq!(said(&spec(json!({"scale": {"maxScale": 9}})), Some(&old)), "");
}

/// A spec as an API server returns it.
fn read(more: Value) -> TrafficScalerSpec {
    serde_json::from_value(spec(more)["spec"].clone()).expect("it has the shape of a spec")
}

#[test]
fn every_key_of_scale_is_a_setting_of_knatives() {
    let properties = schema().pointer("/properties/spec/properties/scale/properties").cloned();
    let properties = properties.expect("scale has properties");
    for key in properties.as_object().expect("an object").keys().filter(|key| *key != "policy") {
        let more = json!({"scale": {key.as_str(): sample(key)}});
        let annotations = read(more).annotations();
        let (name, _) = annotations.first_key_value().expect("it has become an annotation");
        assert_eq!(annotation(name).as_deref(), Some(name.as_str()), "{key}");
    }
    let more = json!({"zero": {"podRetentionPeriod": "30s"}});
    let annotations = read(more).annotations();
    let (name, value) = annotations.first_key_value().expect("it has become an annotation");
    assert_eq!((annotation(name).as_ref(), value.as_str()), (Some(name), "30s"));
}

/// A value that each key takes.
fn sample(key: &str) -> Value {
    match key {
        "metric" => json!("rps"),
        "window" | "scaleDownDelay" => json!("30s"),
        "metricAggregationAlgorithm" => json!("weighted-exponential"),
        "target" => json!(0.5),
        _ => json!(120),
    }
}

#[test]
fn values_parse_as_in_knative() {
    let spec = read(json!({
        "sidecar": {"concurrency": 10},
        "scale": {"minScale": 1, "target": 0.5, "metric": "rps", "policy": "knative"},
    }));
    let annotations = spec.annotations();
    let value = |key: &str| annotations.get(&format!("autoscaling.knative.dev/{key}")).cloned();
    assert_eq!(value("min-scale").as_deref(), Some("1"));
    assert_eq!(value("target").as_deref(), Some("0.5"));
    assert_eq!(value("metric").as_deref(), Some("rps"));
    assert_eq!((spec.container_concurrency(), spec.decides_like_knative()), (10, true));
    assert!(!spec.allows_zero());
    assert!(read(json!({})).allows_zero());
    assert_eq!(read(json!({"sidecar": {"concurrency": "auto"}})).container_concurrency(), 0);
}
