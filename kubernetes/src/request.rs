//! Requests to the API server as data: method, path, content type, body.

use serde_json::{Value, json};
use tidegate_kubernetes_objects::names::{
    API_VERSION, FIELD_MANAGER, KIND, MANAGED_BY_LABEL, PLURAL, ROLLOUT_KIND, ROLLOUT_PLURAL,
    SERVICE_NAME_LABEL,
};
use tidegate_kubernetes_objects::{TrafficRolloutStatus, TrafficScalerStatus};

use crate::world::{ObjectKey, Scaler, SliceContent, TargetKey, Version};

/// The content type of a merge patch.
pub const MERGE_PATCH: &str = "application/merge-patch+json";

/// How a JSON patch is sent.
pub const JSON_PATCH: &str = "application/json-patch+json";

/// The content type of server-side apply; JSON is YAML.
pub const APPLY_PATCH: &str = "application/apply-patch+yaml";

/// The content type of an object.
pub const JSON: &str = "application/json";

/// The method of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Read.
    Get,
    /// Create.
    Post,
    /// Replace.
    Put,
    /// Change.
    Patch,
    /// Delete.
    Delete,
}

/// One request.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiRequest {
    /// The method.
    pub method: Method,
    /// The path, beginning with `/`, and the query.
    pub path: String,
    /// The content type; `None` without a body.
    pub content_type: Option<&'static str>,
    /// The body.
    pub body: Value,
}

impl ApiRequest {
    fn with_body(method: Method, path: String, content_type: &'static str, body: Value) -> Self {
        Self { method, path, content_type: Some(content_type), body }
    }

    /// Sets a target's replicas. With a version, only if nothing of the target has changed since.
    #[must_use]
    pub fn scale(target: &TargetKey, plural: &str, replicas: i32, only: Option<&Version>) -> Self {
        let mut body = json!({"spec": {"replicas": replicas}});
        if let Some(Version(version)) = only {
            body["metadata"] = json!({"resourceVersion": version});
        }
        let TargetKey { kind, object } = target;
        let base = api(&kind.api_version);
        let ObjectKey { namespace, name } = object;
        let path = format!(
            "{base}/namespaces/{namespace}/{plural}/{name}/scale?fieldManager={FIELD_MANAGER}"
        );
        Self::with_body(Method::Patch, path, MERGE_PATCH, body)
    }

    /// Sets a pod's deletion cost, by which its ReplicaSet chooses pods to remove.
    #[must_use]
    pub fn deletion_cost(pod: &ObjectKey, cost: i32) -> Self {
        let ObjectKey { namespace, name } = pod;
        let path = format!(
            "{}/namespaces/{namespace}/pods/{name}?fieldManager={FIELD_MANAGER}",
            api("v1")
        );
        let annotations = json!({"controller.kubernetes.io/pod-deletion-cost": cost.to_string()});
        let body = json!({"metadata": {"annotations": annotations}});
        Self::with_body(Method::Patch, path, MERGE_PATCH, body)
    }

    /// Applies an EndpointSlice.
    #[must_use]
    pub fn apply_slice(
        key: &ObjectKey,
        (owner, scaler): (&ObjectKey, &Scaler),
        content: &SliceContent,
    ) -> Self {
        let ports: Vec<Value> = content
            .ports
            .iter()
            .map(|(name, (port, app_protocol))| {
                let mut entry = json!({"name": name, "port": port, "protocol": "TCP"});
                if let Some(protocol) = app_protocol {
                    entry["appProtocol"] = json!(protocol);
                }
                entry
            })
            .collect();
        let ready = json!({"ready": true, "serving": true, "terminating": false});
        let endpoints: Vec<Value> = content
            .addresses
            .iter()
            .map(|address| json!({"addresses": [address.to_string()], "conditions": ready}))
            .collect();
        let body = json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": key.name,
                "namespace": key.namespace,
                "labels": {
                    SERVICE_NAME_LABEL: scaler.service.name,
                    MANAGED_BY_LABEL: FIELD_MANAGER,
                },
                "ownerReferences": [{
                    "apiVersion": API_VERSION,
                    "kind": KIND,
                    "name": owner.name,
                    "uid": scaler.uid,
                    "controller": true,
                    "blockOwnerDeletion": false,
                }],
            },
            "addressType": content.family.name(),
            "ports": ports,
            "endpoints": endpoints,
        });
        Self::apply(&slice_path(key), body)
    }

    /// Deletes an EndpointSlice, if it is still of this version.
    #[must_use]
    pub fn delete_slice(key: &ObjectKey, Version(version): &Version) -> Self {
        let body = json!({
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"resourceVersion": version},
        });
        Self::with_body(Method::Delete, slice_path(key), JSON, body)
    }

    /// Applies a scaler's status.
    #[must_use]
    pub fn apply_status(key: &ObjectKey, status: &TrafficScalerStatus) -> Self {
        Self::apply_status_of((KIND, PLURAL), key, json!(status))
    }

    /// Writes what is said about a rollout.
    #[must_use]
    pub fn apply_rollout_status(key: &ObjectKey, status: &TrafficRolloutStatus) -> Self {
        Self::apply_status_of((ROLLOUT_KIND, ROLLOUT_PLURAL), key, json!(status))
    }

    fn apply_status_of((kind, plural): (&str, &str), key: &ObjectKey, status: Value) -> Self {
        let ObjectKey { namespace, name } = key;
        let base = api(API_VERSION);
        let path = format!("{base}/namespaces/{namespace}/{plural}/{name}/status");
        let body = json!({
            "apiVersion": API_VERSION,
            "kind": kind,
            "metadata": {"name": name, "namespace": namespace},
            "status": status,
        });
        Self::apply(&path, body)
    }

    /// Makes the object at `path` what is said of it, whoever said otherwise before.
    #[must_use]
    pub fn apply(path: &str, body: Value) -> Self {
        let path = format!("{path}?fieldManager={FIELD_MANAGER}&force=true");
        Self::with_body(Method::Patch, path, APPLY_PATCH, body)
    }

    /// Changes fields of the object at `path`.
    #[must_use]
    pub fn merge(path: &str, body: Value) -> Self {
        let path = format!("{path}?fieldManager={FIELD_MANAGER}");
        Self::with_body(Method::Patch, path, MERGE_PATCH, body)
    }

    /// Changes the object at `path` by the operations of a JSON patch, by all of them or by none.
    #[must_use]
    pub fn json_patch(path: String, operations: Value) -> Self {
        Self::with_body(Method::Patch, path, JSON_PATCH, operations)
    }

    /// Says what has to be done before a scaler can be deleted, if nothing of it has changed since.
    #[must_use]
    pub fn finalizers(key: &ObjectKey, Version(version): &Version, finalizers: &[String]) -> Self {
        let ObjectKey { namespace, name } = key;
        let base = api(API_VERSION);
        let path =
            format!("{base}/namespaces/{namespace}/{PLURAL}/{name}?fieldManager={FIELD_MANAGER}");
        let finalizers = match finalizers {
            [] => Value::Null,
            some => json!(some),
        };
        let body = json!({"metadata": {"resourceVersion": version, "finalizers": finalizers}});
        Self::with_body(Method::Patch, path, MERGE_PATCH, body)
    }

    /// Reads an object.
    #[must_use]
    pub fn get(path: String) -> Self {
        Self { method: Method::Get, path, content_type: None, body: Value::Null }
    }

    /// Creates an object in the collection at `path`.
    #[must_use]
    pub fn create(path: String, body: Value) -> Self {
        Self::with_body(Method::Post, path, JSON, body)
    }

    /// Replaces the object at `path`.
    #[must_use]
    pub fn replace(path: String, body: Value) -> Self {
        Self::with_body(Method::Put, path, JSON, body)
    }
}

fn slice_path(key: &ObjectKey) -> String {
    let ObjectKey { namespace, name } = key;
    format!("{}/namespaces/{namespace}/endpointslices/{name}", api("discovery.k8s.io/v1"))
}

/// Where a group and version are served; the core group has a path of its own.
#[must_use]
pub fn api(api_version: &str) -> String {
    let root = if api_version.contains('/') { "/apis" } else { "/api" };
    format!("{root}/{api_version}")
}
