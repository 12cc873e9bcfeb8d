//! What is said about a scaler: its status and its conditions.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff;
use tidegate_autoscaler::Timestamp;
use tidegate_kubernetes_objects::TrafficScalerStatus;
use tidegate_kubernetes_objects::traffic_scaler::{LastDecision, Mode};

use crate::plan::Scene;

/// Longest text of a condition and of a decision's reason, in characters.
const TEXT_CHARS_MAX: usize = 1_000;

/// The status that a scaler is to have. Times of what has not changed stay.
#[must_use]
pub fn status(scene: &Scene<'_>) -> TrafficScalerStatus {
    let before = &scene.scaler.status;
    let desired = scene.wish.map(|wish| wish.replicas);
    let last_decision = match scene.wish {
        Some(wish) if before.desired_replicas != Some(wish.replicas) => Some(LastDecision {
            time: time(wish.decided),
            replicas: wish.replicas,
            reason: bounded(&wish.reason),
        }),
        _ => before.last_decision.clone(),
    };
    let said = [ready(scene), adopted(scene), sidecar(scene), at_zero(scene), conflict(scene)];
    TrafficScalerStatus {
        observed_generation: Some(scene.scaler.generation),
        mode: scene.mode.or(before.mode),
        replicas: scene.target.map(|target| target.replicas),
        desired_replicas: desired.or(before.desired_replicas),
        last_decision,
        activator_ports: scene.ports.clone(),
        conditions: said.into_iter().map(|said| condition(scene, said)).collect(),
    }
}

/// Whether two say the same, in whatever order.
#[must_use]
pub fn says_the_same(one: &TrafficScalerStatus, other: &TrafficScalerStatus) -> bool {
    let in_order = |status: &TrafficScalerStatus| {
        let mut status = status.clone();
        status.conditions.sort_by(|one, other| one.type_.cmp(&other.type_));
        status
    };
    in_order(one) == in_order(other)
}

/// What a condition says.
struct Said {
    about: &'static str,
    holds: Holds,
    reason: &'static str,
    message: String,
}

#[derive(Clone, Copy)]
enum Holds {
    Yes,
    No,
    Unknown,
}

impl Holds {
    fn text(self) -> &'static str {
        match self {
            Self::Yes => "True",
            Self::No => "False",
            Self::Unknown => "Unknown",
        }
    }
}

fn said(about: &'static str, holds: Holds, reason: &'static str, message: String) -> Said {
    Said { about, holds, reason, message }
}

fn condition(scene: &Scene<'_>, said: Said) -> Condition {
    let status = said.holds.text().to_owned();
    let before = scene.scaler.status.conditions.iter().find(|c| c.type_ == said.about);
    let since = before.filter(|before| before.status == status);
    Condition {
        type_: said.about.to_owned(),
        last_transition_time: since
            .map_or_else(|| time(scene.now), |before| before.last_transition_time.clone()),
        status,
        reason: said.reason.to_owned(),
        message: bounded(&said.message),
        observed_generation: Some(scene.scaler.generation),
    }
}

fn ready(scene: &Scene<'_>) -> Said {
    let about = "Ready";
    match (&scene.obstacle, scene.mode, scene.wish) {
        (Some(obstacle), _, _) => said(about, Holds::No, obstacle.reason(), obstacle.to_string()),
        (None, None, _) => {
            let message = format!("{} has not been seen yet", scene.scaler.target);
            said(about, Holds::Unknown, "TargetNotSeen", message)
        }
        (None, Some(Mode::Suspended), _) => {
            let message = "somebody else set the target to zero; set it to 1 or more to resume";
            said(about, Holds::No, "Suspended", message.to_owned())
        }
        (None, Some(_), None) => {
            let message = "nothing has been decided yet: no queue-proxy has reported".to_owned();
            said(about, Holds::Unknown, "Undecided", message)
        }
        (None, Some(_), Some(_)) => said(about, Holds::Yes, "Scaling", String::new()),
    }
}

fn adopted(scene: &Scene<'_>) -> Said {
    let about = "Adopted";
    match &scene.obstacle {
        Some(obstacle) => said(about, Holds::No, obstacle.reason(), obstacle.to_string()),
        None => said(about, Holds::Yes, "Adopted", String::new()),
    }
}

fn sidecar(scene: &Scene<'_>) -> Said {
    let about = "SidecarInjected";
    let ready = scene.target.map_or(0, |target| target.ready);
    let heard = scene.wish.map_or(0, |wish| wish.heard);
    if ready == 0 {
        let message = "no pod is ready, so none can be heard of".to_owned();
        return said(about, Holds::Unknown, "NoPodReady", message);
    }
    if heard >= ready {
        return said(about, Holds::Yes, "AllReport", String::new());
    }
    let message = "not every ready pod has a queue-proxy that reports: nothing is scaled down \
                   while one is not heard of";
    said(about, Holds::No, "SomeSilent", message.to_owned())
}

fn at_zero(scene: &Scene<'_>) -> Said {
    let about = "ScaledToZero";
    match scene.mode {
        Some(Mode::Zero) => {
            let message = match &scene.slices.wanted {
                Ok(_) => "it was idle; activators hold its requests".to_owned(),
                Err(why) => format!("it was idle, but its requests cannot be held: {why}"),
            };
            said(about, Holds::Yes, "Idle", message)
        }
        Some(Mode::Suspended) => {
            let message = "somebody else set the target to zero, which is respected".to_owned();
            said(about, Holds::No, "SetBySomebodyElse", message)
        }
        _ => match scene.unheld() {
            Some(why) => said(about, Holds::No, "NotPossible", why.to_owned()),
            None => said(about, Holds::No, "HasReplicas", String::new()),
        },
    }
}

fn conflict(scene: &Scene<'_>) -> Said {
    let about = "Conflict";
    match scene.obstacle.as_ref().filter(|obstacle| obstacle.is_conflict()) {
        Some(obstacle) => said(about, Holds::Yes, obstacle.reason(), obstacle.to_string()),
        None => said(about, Holds::No, "OnlyOwner", String::new()),
    }
}

/// A time as the API writes it: whole seconds, since that is what it keeps.
#[must_use]
pub fn time(at: Timestamp) -> Time {
    Time(jiff::Timestamp::from_second(at.unix_seconds()).unwrap_or(jiff::Timestamp::UNIX_EPOCH))
}

fn bounded(text: &str) -> String {
    text.chars().take(TEXT_CHARS_MAX).collect()
}
