//! Events of the cluster, for people.

use serde_json::json;
use tidegate_autoscaler::Timestamp;
use tidegate_kubernetes_objects::names::{API_VERSION, KIND, REPORTING_CONTROLLER, ROLLOUT_KIND};
use tidegate_kubernetes_objects::traffic_scaler::Mode;
use tidegate_rollout::{Change, Phase, Reason};

use crate::plan::{Action, Step};
use crate::reconciler::Response;
use crate::request::{ApiRequest, api};
use crate::world::{DesiredScale, ObjectKey, Scaler};

/// Longest note of an Event, as the API has it, in bytes.
const NOTE_BYTES_MAX: usize = 1_024;

/// The webhook, as the reporter of Events.
pub(crate) const WEBHOOK_REPORTER: &str = "tidegate.dev/webhook";

/// The reporter of Events.
#[derive(Debug, Clone, Default)]
pub struct Identity {
    /// The name of this process, such as a pod's.
    pub instance: String,
}

/// An Event about the outcome of an action, where people need one.
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
    Some(event_of(identity, now, (KIND, scaler_key, uid), ("Scale", kind, reason, &note)))
}

/// An Event about a change of a rollout.
#[must_use]
pub fn of_rollout(
    identity: &Identity,
    (key, uid): (&ObjectKey, &str),
    change: &Change,
) -> ApiRequest {
    let (kind, reason) = match (&change.reason, change.phase) {
        (Reason::Began, _) => ("Normal", "Began"),
        (_, Phase::Returned) => ("Warning", "Returned"),
        (_, Phase::Promoted) => ("Normal", "Promoted"),
        (_, Phase::Aborted) => ("Normal", "Aborted"),
        (_, Phase::Paused) => ("Normal", "Paused"),
        (Reason::Ordered(_), Phase::Progressing) => ("Normal", "Resumed"),
        (_, Phase::Progressing) => ("Normal", "StepReached"),
    };
    let at = Timestamp::from_millis(change.at_ms);
    let text = change.to_string();
    event_of(identity, at, (ROLLOUT_KIND, key, uid), ("Divide", kind, reason, &text))
}

/// An Event about weights that could not be set.
#[must_use]
pub fn of_weights(
    identity: &Identity,
    now: Timestamp,
    (key, uid): (&ObjectKey, &str),
    why: &str,
) -> ApiRequest {
    let text = format!("the weights of the route cannot be set: {why}");
    let note = ("Divide", "Warning", "WeightsFailed", text.as_str());
    event_of(identity, now, (ROLLOUT_KIND, key, uid), note)
}

/// An Event about an object of a kind of ours.
fn event_of(
    identity: &Identity,
    now: Timestamp,
    (kind, key, uid): (&str, &ObjectKey, &str),
    (action, type_, reason, text): (&str, &str, &str, &str),
) -> ApiRequest {
    let ObjectKey { namespace, name } = key;
    let about = About { api_version: API_VERSION, kind, namespace, name, uid };
    let note = Note { kind: type_, reason, action, text };
    event((REPORTING_CONTROLLER, &identity.instance), now, &about, &note)
}

/// An Event for what only a status shows: a target that was set to zero by a person or another
/// program.
fn suspended(action: &Action, before: &Scaler) -> Option<(&'static str, &'static str, String)> {
    let written = action.request.body.pointer("/status/mode")?.as_str()?;
    let is_new = written == "Suspended" && before.status.mode != Some(Mode::Suspended);
    let note = "set to zero outside of Tidegate; it stays there until it is set to 1 or more";
    is_new.then(|| ("Normal", "Suspended", note.to_owned()))
}

/// What an Event is about.
pub(crate) struct About<'a> {
    pub(crate) api_version: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
    /// Empty where it has none yet.
    pub(crate) uid: &'a str,
}

/// What an Event says.
pub(crate) struct Note<'a> {
    /// `Normal` or `Warning`.
    pub(crate) kind: &'a str,
    pub(crate) reason: &'a str,
    pub(crate) action: &'a str,
    pub(crate) text: &'a str,
}

/// An Event of a reporter, a controller and its instance.
pub(crate) fn event(
    (reporter, instance): (&str, &str),
    now: Timestamp,
    about: &About<'_>,
    note: &Note<'_>,
) -> ApiRequest {
    let About { api_version, kind, namespace, name, uid } = about;
    let millis = now.as_millis();
    let at = k8s_openapi::jiff::Timestamp::from_millisecond(millis).unwrap_or_default();
    // The API refuses names of more than 253 characters.
    let stem: String = name.chars().take(200).collect();
    let mut text = note.text.trim().to_owned();
    while text.len() > NOTE_BYTES_MAX {
        text.pop();
    }
    let mut regarding =
        json!({"apiVersion": api_version, "kind": kind, "name": name, "namespace": namespace});
    if !uid.is_empty() {
        regarding["uid"] = json!(uid);
    }
    let body = json!({
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": format!("{stem}.{millis:x}"), "namespace": namespace},
        "eventTime": format!("{at:.6}"),
        "reportingController": reporter,
        "reportingInstance": instance,
        "action": note.action,
        "reason": note.reason,
        "regarding": regarding,
        "note": text,
        "type": note.kind,
    });
    ApiRequest::create(format!("{}/namespaces/{namespace}/events", api("events.k8s.io/v1")), body)
}
