//! The scale subresource of an object.

use serde_json::{Value, json};

use crate::reply::Reply;
use crate::store::Key;

pub(crate) fn negative(key: &Key, replicas: i64) -> Reply {
    let wrong = format!("Invalid value: {replicas}: must be greater than or equal to 0");
    let name = &key.name;
    let message = format!("Scale.autoscaling \"{name}\" is invalid: spec.replicas: {wrong}");
    let cause = json!({"reason": "FieldValueInvalid", "message": wrong, "field": "spec.replicas"});
    let details = json!({"name": name, "group": "autoscaling", "kind": "Scale", "causes": [cause]});
    Reply::refused(422, "Invalid", &message, details)
}

/// The scale subresource of an object. Zero is left out, as a real server does.
pub(crate) fn scale_of(object: &Value) -> Value {
    let mut spec = json!({});
    let replicas = object["spec"]["replicas"].as_i64().unwrap_or(1);
    if replicas != 0 {
        spec["replicas"] = json!(replicas);
    }
    let mut status = json!({"replicas": object["status"]["replicas"].as_i64().unwrap_or(0)});
    if let Some(labels) = object["spec"]["selector"]["matchLabels"].as_object() {
        let terms = labels
            .iter()
            .map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()));
        status["selector"] = json!(terms.collect::<Vec<_>>().join(","));
    }
    let from = &object["metadata"];
    let mut metadata = json!({});
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        metadata[field] = from[field].clone();
    }
    json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": metadata,
        "spec": spec,
        "status": status,
    })
}
