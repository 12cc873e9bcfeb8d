//! What is said about a rollout: its status and its conditions.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use tidegate_autoscaler::Timestamp;
use tidegate_kubernetes_objects::TrafficRolloutStatus;
use tidegate_kubernetes_objects::traffic_rollout::{LastChange, RolloutPhase};
use tidegate_rollout::{Change, Phase};

use crate::rollout::RolloutView;
use crate::rollout::memory::Memory;
use crate::status::{bounded, time};

/// The status that a rollout is to have at `now`. It speaks of `known` once the route is as that
/// wants it; before, only of what is in the way. Times of what has not changed stay.
#[must_use]
pub fn status(
    view: &RolloutView<'_>,
    known: Option<&Memory>,
    followed: Followed,
    now: Timestamp,
) -> TrafficRolloutStatus {
    let before = &view.object.status;
    let mut status = before.clone();
    if let (Some(known), Followed::ByTheRoute) = (known, followed) {
        let is_same_run = before.run.as_ref() == Some(&known.run);
        status.phase = Some(phase(known.rollout.phase()));
        status.permille = Some(known.rollout.split().new_revision().permille().into());
        status.run = Some(known.run.clone());
        status.progress = Some(bounded(&known.progress));
        status.last_change = match &known.last_change {
            Some(change) => Some(last_change(change)),
            None => status.last_change.filter(|_| is_same_run),
        };
    }
    let Some(ready) = ready(view, known, followed) else {
        // What the route is about to be is told once it is.
        return status;
    };
    status.observed_generation = Some(view.object.generation);
    status.conditions = [ready, promoted(status.phase)]
        .into_iter()
        .map(|observed| condition(view, observed, now))
        .collect();
    status
}

/// Whether a route is divided as its rollout wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Followed {
    /// It is.
    ByTheRoute,
    /// Not yet.
    NotYet,
}

/// Whether two say the same, in whatever order.
#[must_use]
pub fn says_the_same(one: &TrafficRolloutStatus, other: &TrafficRolloutStatus) -> bool {
    let in_order = |status: &TrafficRolloutStatus| {
        let mut status = status.clone();
        status.conditions.sort_by(|one, other| one.type_.cmp(&other.type_));
        status
    };
    in_order(one) == in_order(other)
}

fn phase(phase: Phase) -> RolloutPhase {
    match phase {
        Phase::Progressing => RolloutPhase::Progressing,
        Phase::Paused => RolloutPhase::Paused,
        Phase::Promoted => RolloutPhase::Promoted,
        Phase::Returned => RolloutPhase::Returned,
        Phase::Aborted => RolloutPhase::Aborted,
    }
}

fn last_change(change: &Change) -> LastChange {
    LastChange {
        time: time(Timestamp::from_millis(change.at_ms)),
        from_permille: change.from.new_revision().permille().into(),
        to_permille: change.to.new_revision().permille().into(),
        reason: bounded(&change.to_string()),
    }
}

/// What a condition says.
struct Observed {
    type_: &'static str,
    status: &'static str,
    reason: &'static str,
    message: String,
}

fn ready(view: &RolloutView<'_>, known: Option<&Memory>, followed: Followed) -> Option<Observed> {
    let type_ = "Ready";
    let not = |reason, message| Some(Observed { type_, status: "False", reason, message });
    if let Err(obstacle) = &view.places {
        return not(obstacle.reason(), obstacle.to_string());
    }
    match (followed, known.and_then(|known| known.failure.as_ref())) {
        (Followed::ByTheRoute, _) => {
            let message = String::new();
            Some(Observed { type_, status: "True", reason: "Divided", message })
        }
        (Followed::NotYet, Some(why)) => {
            not("WeightsFailed", format!("the weights of the route cannot be set: {why}"))
        }
        (Followed::NotYet, None) => None,
    }
}

fn promoted(phase: Option<RolloutPhase>) -> Observed {
    let (status, reason) = match phase {
        None => ("False", "NotBegun"),
        Some(RolloutPhase::Progressing) => ("False", "Progressing"),
        Some(RolloutPhase::Paused) => ("False", "Paused"),
        Some(RolloutPhase::Promoted) => ("True", "Promoted"),
        Some(RolloutPhase::Returned) => ("False", "Returned"),
        Some(RolloutPhase::Aborted) => ("False", "Aborted"),
    };
    Observed { type_: "Promoted", status, reason, message: String::new() }
}

fn condition(view: &RolloutView<'_>, observed: Observed, now: Timestamp) -> Condition {
    let before = view.object.status.conditions.iter().find(|c| c.type_ == observed.type_);
    let since = before.filter(|before| before.status == observed.status);
    Condition {
        type_: observed.type_.to_owned(),
        last_transition_time: since
            .map_or_else(|| time(now), |before| before.last_transition_time.clone()),
        status: observed.status.to_owned(),
        reason: observed.reason.to_owned(),
        message: bounded(&observed.message),
        observed_generation: Some(view.object.generation),
    }
}
