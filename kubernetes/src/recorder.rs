//! What a person wants to know, as Events of the cluster.

use serde_json::json;
use tidegate_autoscaler::Timestamp;
use tidegate_kubernetes_objects::names::{API_VERSION, KIND, REPORTING_CONTROLLER};
use tidegate_kubernetes_objects::traffic_scaler::Mode;

use crate::plan::{Action, Step};
use crate::reconciler::Response;
use crate::request::{ApiRequest, api};
use crate::world::{DesiredScale, ObjectKey, Scaler};

/// Longest note of an Event, as the API has it, in bytes.
const NOTE_BYTES_MAX: usize = 1_024;

/// Who reports.
#[derive(Debug, Clone, Default)]
pub struct Identity {
    /// The name of this process, such as a pod's.
    pub instance: String,
}

/// An Event about what came of an action, if a person wants to know.
#[must_use]
pub fn of(
    identity: &Identity,
    now: Timestamp,
    (action, response): (&Action, &Response),
    (scaler, desired): (Option<&Scaler>, Option<&DesiredScale>),
) -> Option<ApiRequest> {
    let scaler_key = &action.scaler;
    let (kind, reason, note) = match (&action.step, response) {
        (Step::Scale { from, to, .. }, Response::Done(_)) => {
            let reason = match (*from, *to) {
                (0, _) => "Activated",
                (_, 0) => "ScaledToZero",
                _ => "Scaled",
            };
            let why = desired.map(|desired| desired.reason.as_str()).unwrap_or_default();
            ("Normal", reason, format!("from {from} to {to} replicas. {why}"))
        }
        (Step::Scale { to, .. }, Response::Failed { why, .. }) => {
            ("Warning", "ScaleFailed", format!("cannot set {to} replicas: {why}"))
        }
        (Step::ApplySlice(_) | Step::DeleteSlice(_), Response::Failed { why, .. }) => {
            let note = format!("cannot change where the Service leads: {why}");
            ("Warning", "EndpointSliceFailed", note)
        }
        (Step::Status, Response::Done(_)) => suspended(action, scaler?)?,
        _ => return None,
    };
    let uid = scaler.map(|scaler| scaler.uid.as_str()).unwrap_or_default();
    Some(event(identity, now, (scaler_key, uid), (kind, reason, &note)))
}

/// What only a status shows: that somebody else has set the target to zero.
fn suspended(action: &Action, before: &Scaler) -> Option<(&'static str, &'static str, String)> {
    let written = action.request.body.pointer("/status/mode")?.as_str()?;
    let is_new = written == "Suspended" && before.status.mode != Some(Mode::Suspended);
    let note = "somebody else set the target to zero; it stays there until it is set to 1 or more";
    is_new.then(|| ("Normal", "Suspended", note.to_owned()))
}

fn event(
    identity: &Identity,
    now: Timestamp,
    (key, uid): (&ObjectKey, &str),
    (kind, reason, note): (&str, &str, &str),
) -> ApiRequest {
    let ObjectKey { namespace, name } = key;
    let millis = now.as_millis();
    let at = k8s_openapi::jiff::Timestamp::from_millisecond(millis).unwrap_or_default();
    // The API refuses names of more than 253 characters.
    let stem: String = name.chars().take(200).collect();
    let mut note = note.trim().to_owned();
    while note.len() > NOTE_BYTES_MAX {
        note.pop();
    }
    let body = json!({
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": format!("{stem}.{millis:x}"), "namespace": namespace},
        "eventTime": format!("{at:.6}"),
        "reportingController": REPORTING_CONTROLLER,
        "reportingInstance": identity.instance,
        "action": "Scale",
        "reason": reason,
        "regarding": {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "name": name,
            "namespace": namespace,
            "uid": uid,
        },
        "note": note,
        "type": kind,
    });
    ApiRequest::create(format!("{}/namespaces/{namespace}/events", api("events.k8s.io/v1")), body)
}
