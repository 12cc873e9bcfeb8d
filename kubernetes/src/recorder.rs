//! What a person wants to know, as Events of the cluster.
//!
//! What only a status shows (a refusal, a pod that is not heard of) is told when its reason
//! changes. The same news about the same object is told once in a while, however often it happens.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tidegate_autoscaler::Timestamp;
use tidegate_kubernetes_objects::names::{API_VERSION, KIND, REPORTING_CONTROLLER, ROLLOUT_KIND};
use tidegate_rollout::{Change, Phase, Reason};

use crate::plan::{Action, Step};
use crate::reconciler::Response;
use crate::request::{ApiRequest, api};
use crate::world::{DesiredScale, ObjectKey, Scaler};

/// Longest note of an Event, as the API has it, in bytes.
const NOTE_BYTES_MAX: usize = 1_024;

/// The webhook, as the reporter of Events.
pub(crate) const WEBHOOK_REPORTER: &str = "tidegate.dev/webhook";

/// Time in which the same news is not told again: an Event lives for an hour, and what is tried
/// again fails again.
pub const REPEAT_MS: u64 = 600_000;

/// News of one object that are remembered: there are not as many reasons.
const TOLD_MAX: usize = 32;

/// Who reports.
#[derive(Debug, Clone, Default)]
pub struct Identity {
    /// The name of this process, such as a pod's.
    pub instance: String,
}

/// One piece of news about a scaler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// Whether somebody should look at it.
    pub kind: EventKind,
    /// The reason in the Event.
    pub reason: String,
    /// What happened and why, in a few sentences.
    pub note: String,
}

/// An Event's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// Everything is as it should be.
    Normal,
    /// Somebody should look at it.
    Warning,
}

/// What was told, and when.
#[derive(Debug, Clone, Default)]
pub struct Told(BTreeMap<ObjectKey, Vec<(Timestamp, News)>>);

impl Told {
    /// Whether this is to be told now; it then counts as told.
    pub fn is_new(&mut self, now: Timestamp, scaler: &ObjectKey, news: &News) -> bool {
        let told = self.0.entry(scaler.clone()).or_default();
        told.retain(|(at, _)| now.millis_since(*at) < REPEAT_MS);
        // Each change of the replicas is news, in whatever words.
        if news.kind == EventKind::Normal {
            return true;
        }
        if told.iter().any(|(_, known)| known == news) {
            return false;
        }
        if told.len() >= TOLD_MAX {
            told.remove(0);
        }
        told.push((now, news.clone()));
        true
    }

    /// The object is gone.
    pub fn forget(&mut self, scaler: &ObjectKey) {
        self.0.remove(scaler);
    }
}

/// What came of an action that a person wants to know.
#[must_use]
pub fn of(
    action: &Action,
    response: &Response,
    (scaler, desired): (Option<&Scaler>, Option<&DesiredScale>),
) -> Vec<News> {
    match (&action.step, response) {
        (Step::Scale { from, to, .. }, Response::Done(_)) if from != to => {
            let reason = match (*from, *to) {
                (0, _) => "Activated",
                (_, 0) => "ScaledToZero",
                _ => "Scaled",
            };
            let why = desired.map(|desired| desired.reason.as_str()).unwrap_or_default();
            vec![normal(reason, format!("from {from} to {to} replicas. {why}"))]
        }
        (Step::Scale { to, .. }, Response::Failed { why, .. }) => {
            vec![warning("ScaleFailed", format!("cannot set {to} replicas: {why}"))]
        }
        (Step::ApplySlice(_) | Step::DeleteSlice(_), Response::Failed { why, .. }) => {
            let note = format!("cannot change where the Service leads: {why}");
            vec![warning("EndpointSliceFailed", note)]
        }
        (Step::Protect | Step::Release, Response::Failed { why, .. }) => {
            vec![warning("FinalizerFailed", format!("cannot change its finalizer: {why}"))]
        }
        (Step::Status, Response::Done(written)) => {
            scaler.map(|seen| status_news(&action.request.body, seen, written)).unwrap_or_default()
        }
        _ => Vec::new(),
    }
}

fn normal(reason: &str, note: String) -> News {
    News { kind: EventKind::Normal, reason: reason.to_owned(), note }
}

fn warning(reason: &str, note: String) -> News {
    News { kind: EventKind::Warning, reason: reason.to_owned(), note }
}

/// Conditions whose change is news, each with the reasons that are.
const TELLING: &[(&str, &[&str])] = &[
    (
        "Ready",
        &[
            "InvalidSettings",
            "KindNotScalable",
            "TargetNotFound",
            "ServiceNotFound",
            "Conflict",
            "Suspended",
            "AutoscalerNotFound",
        ],
    ),
    ("SidecarInjected", &["NotHeardOf"]),
    ("ScaledToZero", &["NotPossible"]),
];

/// What only a status shows: reasons that were not there before, or for something else.
///
/// A watch may bring what a write made before the write's response is there. Then what the scaler
/// said before is not known any more, and everything is news that was not told before.
fn status_news(asked: &Value, seen: &Scaler, written: &Value) -> Vec<News> {
    let version = written.pointer("/metadata/resourceVersion").and_then(Value::as_str);
    let before = (version != Some(&seen.version.0)).then_some(&seen.status.conditions);
    let conditions = asked.pointer("/status/conditions").and_then(Value::as_array);
    let text = |condition: &Value, field: &str| {
        condition.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let mut news = Vec::new();
    for condition in conditions.into_iter().flatten() {
        let (type_, reason) = (text(condition, "type"), text(condition, "reason"));
        let telling = TELLING.iter().find(|(telling, _)| *telling == type_);
        if telling.is_none_or(|(_, reasons)| !reasons.contains(&reason.as_str())) {
            continue;
        }
        let message = text(condition, "message");
        let mut known = before.into_iter().flatten();
        let known = known.find(|known| known.type_ == type_);
        if known.is_some_and(|known| known.reason == reason && known.message == message) {
            continue;
        }
        // Not to come to zero is a person's choice where the settings say so.
        if reason == "NotPossible" && !seen.may_be_zero {
            continue;
        }
        news.push(match reason.as_str() {
            "Suspended" => normal(&reason, message),
            "NotPossible" => warning("ZeroNotPossible", message),
            _ => warning(&reason, message),
        });
    }
    news
}

/// The Event that tells news about a scaler.
#[must_use]
pub fn scaler_event(
    identity: &Identity,
    now: Timestamp,
    (key, uid): (&ObjectKey, &str),
    news: &News,
) -> ApiRequest {
    let kind = match news.kind {
        EventKind::Normal => "Normal",
        EventKind::Warning => "Warning",
    };
    event_of(identity, now, (KIND, key, uid), ("Scale", kind, &news.reason, &news.note))
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
        // Two reasons of one moment are two Events.
        "metadata": {
            "name": format!("{stem}.{}.{millis:x}", note.reason.to_lowercase()),
            "namespace": namespace,
        },
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

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    #[test]
    fn the_same_warning_is_told_once_in_a_while_and_every_change_at_once() {
        let (mut told, scaler) = (Told::default(), ObjectKey::new("shop", "till"));
        let failed = warning("ScaleFailed", "cannot set 3 replicas: 403 forbidden".to_owned());
        let other = warning("ScaleFailed", "cannot set 4 replicas: 403 forbidden".to_owned());
        assert!(told.is_new(NOW, &scaler, &failed));
        assert!(!told.is_new(NOW.plus_millis(REPEAT_MS - 1), &scaler, &failed));
        assert!(told.is_new(NOW, &scaler, &other));
        assert!(told.is_new(NOW, &ObjectKey::new("shop", "door"), &failed));
        assert!(told.is_new(NOW.plus_millis(REPEAT_MS), &scaler, &failed));
        let scaled = normal("Scaled", "from 1 to 2 replicas.".to_owned());
        assert!(told.is_new(NOW, &scaler, &scaled) && told.is_new(NOW, &scaler, &scaled));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (mut told, scaler) = (Told::default(), ObjectKey::new("shop", "till"));
        for number in 0..10 * TOLD_MAX {
            let news = warning("ScaleFailed", format!("cannot set {number} replicas"));
            assert!(told.is_new(NOW, &scaler, &news));
        }
        assert!(told.0.values().all(|all| all.len() <= TOLD_MAX));
        told.forget(&scaler);
        assert!(told.0.is_empty());
    }
}
