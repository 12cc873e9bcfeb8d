//! What is sent to the API server, as data.

use serde_json::{Value, json};
use tidegate_autoscaler::lifecycle::TrafficMode;
use tidegate_kubernetes_objects::names::FIELD_MANAGER;
use tidegate_kubernetes_objects::store::ObjectKey;

use crate::condition;
use crate::names::{
    AUTOSCALING, METRIC_ANNOTATION, METRICS, NETWORKING, POD_AUTOSCALERS, SERVERLESS_SERVICES,
};
use crate::object::{PodAutoscaler, PodAutoscalerStatus};
use crate::settings::Settings;

/// A change of one object.
#[derive(Debug, Clone, PartialEq)]
pub struct Patch {
    /// Where, beginning with `/`, and the query.
    pub path: String,
    /// In which way.
    pub kind: PatchKind,
    /// The change.
    pub body: Value,
}

/// How a change is to be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatchKind {
    /// As a merge patch.
    Merge,
    /// As what is applied: the object is made if there is none.
    Apply,
}

fn path(api_version: &str, plural: &str, key: &ObjectKey, rest: &str) -> String {
    let ObjectKey { namespace, name } = key;
    format!(
        "/apis/{api_version}/namespaces/{namespace}/{plural}/{name}{rest}\
         fieldManager={FIELD_MANAGER}"
    )
}

/// Sets the replicas of a Deployment.
pub(crate) fn scale(deployment: &ObjectKey, replicas: i32) -> Patch {
    let path = path("apps/v1", "deployments", deployment, "/scale?");
    Patch { path, kind: PatchKind::Merge, body: json!({"spec": {"replicas": replicas}}) }
}

/// The spec that a ServerlessService is to have.
pub(crate) fn service_spec(
    autoscaler: &PodAutoscaler,
    (mode, activators): (TrafficMode, i32),
) -> Value {
    json!({
        "mode": mode.to_string(),
        "numActivators": activators,
        "objectRef": autoscaler.target_reference,
        "protocolType": autoscaler.protocol,
    })
}

/// Makes a ServerlessService what it is to be.
pub(crate) fn apply_service(key: &ObjectKey, autoscaler: &PodAutoscaler, spec: Value) -> Patch {
    let mut annotations = autoscaler.annotations.clone();
    annotations.remove(METRIC_ANNOTATION);
    apply(
        (NETWORKING, "ServerlessService", SERVERLESS_SERVICES),
        key,
        autoscaler,
        annotations,
        spec,
    )
}

/// The spec that a Metric is to have: durations in nanoseconds, as Go writes them.
///
/// Nobody is named to be scraped. Knative's autoscaler scrapes for the Metrics of every class, and
/// each pod would be asked twice a second for nothing: the decisions are made here.
pub(crate) fn metric_spec(settings: &Settings) -> Value {
    json!({
        "panicWindow": settings.panic_window.nanoseconds(),
        "scrapeTarget": "",
        "stableWindow": settings.stable_window.nanoseconds(),
    })
}

/// Makes a Metric what it is to be.
pub(crate) fn apply_metric(key: &ObjectKey, autoscaler: &PodAutoscaler, spec: Value) -> Patch {
    let annotations = autoscaler.annotations.clone();
    apply((AUTOSCALING, "Metric", METRICS), key, autoscaler, annotations, spec)
}

fn apply(
    (api_version, kind, plural): (&str, &str, &str),
    key: &ObjectKey,
    autoscaler: &PodAutoscaler,
    annotations: crate::object::Texts,
    spec: Value,
) -> Patch {
    let body = json!({
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {
            "name": key.name,
            "namespace": key.namespace,
            "labels": autoscaler.labels,
            "annotations": annotations,
            "ownerReferences": [{
                "apiVersion": AUTOSCALING,
                "kind": "PodAutoscaler",
                "name": key.name,
                "uid": autoscaler.uid,
                "controller": true,
                "blockOwnerDeletion": true,
            }],
        },
        "spec": spec,
    });
    let path = path(api_version, plural, key, "?force=true&");
    Patch { path, kind: PatchKind::Apply, body }
}

/// Writes what is said about a PodAutoscaler.
pub(crate) fn status(key: &ObjectKey, status: &PodAutoscalerStatus) -> Patch {
    let path = path(AUTOSCALING, POD_AUTOSCALERS, key, "/status?");
    let body = json!({"status": {
        "observedGeneration": status.observed_generation,
        "conditions": condition::to_json(&status.conditions),
        "serviceName": status.service_name,
        "metricsServiceName": status.metrics_service_name,
        "desiredScale": status.desired_scale,
        "actualScale": status.actual_scale,
    }});
    Patch { path, kind: PatchKind::Merge, body }
}
