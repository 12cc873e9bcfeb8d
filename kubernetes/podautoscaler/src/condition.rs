//! Conditions as Knative's objects have them, and how `Ready` follows from the others.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tidegate_autoscaler::Timestamp;

/// The condition that sums the others up.
pub const READY: &str = "Ready";

/// Whether the target has the replicas it needs.
pub const ACTIVE: &str = "Active";

/// Whether the target was once ready.
pub const INITIALIZED: &str = "ScaleTargetInitialized";

/// Whether the ServerlessService is ready.
pub const SERVICE_READY: &str = "SKSReady";

/// The conditions that [`READY`] depends on.
const DEPENDENTS: [&str; 3] = [ACTIVE, INITIALIZED, SERVICE_READY];

/// Whether a condition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConditionStatus {
    /// It does.
    True,
    /// It does not.
    False,
    /// It is not known, or on its way.
    Unknown,
}

impl ConditionStatus {
    fn name(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// One condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// Whether it holds.
    pub status: ConditionStatus,
    /// Why, as one word; empty where there is nothing to say.
    pub reason: String,
    /// Why, as a sentence.
    pub message: String,
    /// The whole second since which all of that is so.
    pub since: Timestamp,
}

/// Sets a condition. Its time changes only when something else of it does.
pub(crate) fn set(
    conditions: &mut BTreeMap<String, Condition>,
    (name, status): (&str, ConditionStatus),
    (reason, message): (&str, &str),
    now: Timestamp,
) {
    let (reason, message) = (reason.to_owned(), message.to_owned());
    let next = Condition { status, reason, message, since: now.whole_second() };
    let before = conditions.get(name);
    let is_same = before.is_some_and(|c| {
        (c.status, &c.reason, &c.message) == (next.status, &next.reason, &next.message)
    });
    if !is_same {
        conditions.insert(name.to_owned(), next);
    }
}

/// Sums up: what is false decides before what is unknown, the latest first, and what nobody has
/// said anything about is unknown.
pub(crate) fn sum_up(conditions: &mut BTreeMap<String, Condition>, now: Timestamp) {
    for name in DEPENDENTS {
        if !conditions.contains_key(name) {
            set(conditions, (name, ConditionStatus::Unknown), ("", ""), now);
        }
    }
    let latest = |status: ConditionStatus| {
        // Of those that changed in one second the first in order counts.
        let of_status = DEPENDENTS.iter().rev().filter_map(|name| conditions.get(*name));
        of_status.filter(|c| c.status == status).max_by_key(|c| c.since).cloned()
    };
    let unhappy = latest(ConditionStatus::False).or_else(|| latest(ConditionStatus::Unknown));
    let (status, reason, message) = match unhappy {
        Some(unhappy) => (unhappy.status, unhappy.reason, unhappy.message),
        None => (ConditionStatus::True, String::new(), String::new()),
    };
    set(conditions, (READY, status), (&reason, &message), now);
}

/// All of them as an object's status has them, in the order of their types.
pub(crate) fn to_json(conditions: &BTreeMap<String, Condition>) -> Value {
    let one = |(name, condition): (&String, &Condition)| {
        let at = jiff::Timestamp::from_second(condition.since.unix_seconds()).unwrap_or_default();
        let mut object = json!({
            "type": name,
            "status": condition.status.name(),
            "lastTransitionTime": at.to_string(),
        });
        for (field, text) in [("reason", &condition.reason), ("message", &condition.message)] {
            if !text.is_empty() {
                object[field] = json!(text);
            }
        }
        object
    };
    conditions.iter().map(one).collect()
}
