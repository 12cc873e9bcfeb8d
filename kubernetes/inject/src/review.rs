//! The same injection behind a cluster's admission: an `AdmissionReview` in, one with a patch out.
//!
//! A pod gets the sidecar where its namespace has opted in, which the webhook's selector sees to,
//! and the pod has the annotation. Nothing here ever prevents a pod: one that cannot have the
//! sidecar is admitted without it, with a warning that says why.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tidegate_words::excerpt;

use crate::json::{list, text};
use crate::patch::patch;
use crate::pod::{self, Injection};
use crate::settings::Settings;
use crate::workload::asks;

/// The only version there is.
const VERSION: &str = "admission.k8s.io/v1";

/// Longest warning that an API server forwards whole.
const WARNING_CHARS_MAX: usize = 256;

/// A response for the API server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Review {
    /// The `AdmissionReview` of the response, as JSON.
    pub body: Vec<u8>,
    /// The pod: namespace and name, or its `generateName`.
    pub pod: String,
    /// Its namespace.
    pub namespace: String,
    /// What a person looks at to find out why: the pod's controller, such as its replica set, or
    /// the pod itself where it has none.
    pub subject: Subject,
    /// Whether nothing may come of it: the API server only asks what would be.
    pub is_dry_run: bool,
    /// The outcome.
    pub outcome: Outcome,
}

/// An object that a pod is of, or the pod itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Subject {
    /// Group and version, such as `apps/v1`.
    pub api_version: String,
    /// Its kind.
    pub kind: String,
    /// Its name; of a pod whose name is not made yet, what that begins with.
    pub name: String,
    /// Its identity; empty where there is none yet.
    pub uid: String,
}

/// The outcome for a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It gets the sidecar, or the sidecar it has is changed.
    Injected,
    /// It is already as it should be: the webhook is called again after another one changed the
    /// pod.
    Unchanged,
    /// It has no annotation, declines, or is no new pod.
    Skipped,
    /// It cannot have the sidecar, for this reason; it is admitted without.
    Refused(String),
}

/// Why a request gets an error response.
#[derive(Debug, thiserror::Error)]
pub enum NotAReview {
    /// It is not JSON.
    #[error("cannot read the request: {0}")]
    Json(#[from] serde_json::Error),
    /// It is JSON of another kind.
    #[error("expected an AdmissionReview of {VERSION} with a request that has a uid")]
    Kind,
}

/// Handles one request.
///
/// # Errors
/// The request is no valid `AdmissionReview`; its sender gets 400.
pub fn review(body: &[u8], settings: &Settings) -> Result<Review, NotAReview> {
    let review: Value = serde_json::from_slice(body)?;
    let request = review.get("request").unwrap_or(&Value::Null);
    let uid = text(request, "uid").ok_or(NotAReview::Kind)?;
    let is_ours = text(&review, "apiVersion") == Some(VERSION)
        && text(&review, "kind") == Some("AdmissionReview");
    if !is_ours {
        return Err(NotAReview::Kind);
    }
    let pod = request.get("object").unwrap_or(&Value::Null);
    let mut response = json!({"uid": uid, "allowed": true});
    let outcome = match inject(request, pod, settings) {
        Ok(None) => Outcome::Skipped,
        Ok(Some(wanted)) if wanted == *pod => Outcome::Unchanged,
        Ok(Some(wanted)) => {
            let operations = Value::Array(patch(pod, &wanted)).to_string();
            response["patchType"] = json!("JSONPatch");
            response["patch"] = json!(STANDARD.encode(operations));
            Outcome::Injected
        }
        Err(reason) => {
            let warning = format!("tidegate: no sidecar: {reason}");
            let warning: String = warning.chars().take(WARNING_CHARS_MAX).collect();
            response["warnings"] = json!([warning]);
            Outcome::Refused(reason)
        }
    };
    let response = json!({"apiVersion": VERSION, "kind": "AdmissionReview", "response": response});
    let namespace = excerpt(text(request, "namespace").unwrap_or_default());
    let is_dry_run = request.get("dryRun") == Some(&json!(true));
    let (subject, name) = (subject(pod), excerpt(&pod_name(pod)));
    let (body, pod) = (response.to_string().into_bytes(), format!("{namespace}/{name}"));
    Ok(Review { body, pod, namespace, subject, is_dry_run, outcome })
}

/// The pod with the sidecar; `None` where it has no annotation.
fn inject(request: &Value, pod: &Value, settings: &Settings) -> Result<Option<Value>, String> {
    let is_new = text(request, "operation") == Some("CREATE");
    let is_pod = request.get("kind").and_then(|kind| text(kind, "kind")) == Some("Pod")
        && text(request, "subResource").unwrap_or_default().is_empty();
    if !is_new || !is_pod || !asks(pod) {
        return Ok(None);
    }
    match pod::inject(pod, &workload(pod), settings) {
        Ok(Injection::Injected(injected)) => Ok(Some(injected.template)),
        Ok(Injection::Declined) => Ok(None),
        Err(refusal) => Err(refusal.to_string()),
    }
}

/// The owner that controls a pod.
fn controller(pod: &Value) -> Option<&Value> {
    let metadata = pod.get("metadata")?;
    let mut owners = list(metadata, "ownerReferences").iter();
    owners.find(|owner| owner.get("controller") == Some(&json!(true)))
}

fn subject(pod: &Value) -> Subject {
    let Some(owner) = controller(pod) else {
        let (api_version, kind) = ("v1".to_owned(), "Pod".to_owned());
        return Subject { api_version, kind, name: pod_name(pod), uid: String::new() };
    };
    let of = |key| text(owner, key).unwrap_or_default().to_owned();
    Subject { api_version: of("apiVersion"), kind: of("kind"), name: of("name"), uid: of("uid") }
}

/// The name of the workload of a pod: that of its controller, for a Deployment without the
/// hash that its replica set's name ends with.
fn workload(pod: &Value) -> String {
    let metadata = pod.get("metadata").unwrap_or(&Value::Null);
    let Some(owner) = controller(pod) else { return pod_name(pod) };
    let name = text(owner, "name").unwrap_or_default();
    let hash = metadata.get("labels").and_then(|labels| text(labels, "pod-template-hash"));
    let without_hash = hash.and_then(|hash| name.strip_suffix(hash)?.strip_suffix('-'));
    match text(owner, "kind") {
        Some("ReplicaSet") => without_hash.unwrap_or(name).to_owned(),
        _ => name.to_owned(),
    }
}

/// A pod's name, or its `generateName` while it has none.
fn pod_name(pod: &Value) -> String {
    let metadata = pod.get("metadata").unwrap_or(&Value::Null);
    let generated = || text(metadata, "generateName").map(|name| name.trim_end_matches('-'));
    text(metadata, "name").or_else(generated).unwrap_or_default().to_owned()
}
