//! A scaler's status and its conditions.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff;
use tidegate_autoscaler::Timestamp;
use tidegate_kubernetes_objects::TrafficScalerStatus;
use tidegate_kubernetes_objects::traffic_scaler::{LastDecision, Mode, PortProtocol};

use crate::plan::{MOMENT_MS, SILENT_MS, ScalerView};
use crate::rival::expected_kind;
use crate::slices::Unheld;

/// Longest text of a condition and of a decision's reason, in characters.
const TEXT_CHARS_MAX: usize = 1_000;

/// The status for a scaler. Unchanged conditions keep their times.
#[must_use]
pub fn status(view: &ScalerView<'_>) -> TrafficScalerStatus {
    let before = &view.scaler.status;
    let desired = view.desired.map(|desired| desired.replicas);
    let last_decision = match view.desired {
        Some(desired) if before.desired_replicas != Some(desired.replicas) => Some(LastDecision {
            time: time(desired.decided),
            replicas: desired.replicas,
            reason: bounded(&desired.reason),
        }),
        _ => before.last_decision.clone(),
    };
    let observed = [ready(view), adopted(view), sidecar(view), at_zero(view), conflict(view)];
    TrafficScalerStatus {
        observed_generation: Some(view.scaler.generation),
        mode: view.mode.or(before.mode),
        replicas: view.target.map(|target| target.replicas),
        desired_replicas: desired.or(before.desired_replicas),
        last_decision,
        activator_ports: view.ports.clone(),
        conditions: observed.into_iter().map(|one| condition(view, one)).collect(),
    }
}

/// Whether two are equal but for the order of lists.
#[must_use]
pub fn says_the_same(one: &TrafficScalerStatus, other: &TrafficScalerStatus) -> bool {
    let in_order = |status: &TrafficScalerStatus| {
        let mut status = status.clone();
        status.conditions.sort_by(|one, other| one.type_.cmp(&other.type_));
        status
    };
    in_order(one) == in_order(other)
}

/// Whether two statuses that differ do so in numbers of replicas alone, and what is said of them.
#[must_use]
pub fn differs_in_numbers(said: &TrafficScalerStatus, status: &TrafficScalerStatus) -> bool {
    let numbers_as_said = TrafficScalerStatus {
        replicas: said.replicas,
        desired_replicas: said.desired_replicas,
        last_decision: said.last_decision.clone(),
        ..status.clone()
    };
    says_the_same(said, &numbers_as_said)
}

/// A condition's status, reason and message.
struct Observed {
    type_: &'static str,
    status: ConditionStatus,
    reason: &'static str,
    message: String,
    /// What is said again instead, since this may be over in a moment.
    said: Option<Condition>,
}

#[derive(Clone, Copy)]
enum ConditionStatus {
    True,
    False,
    Unknown,
}

impl ConditionStatus {
    fn text(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

fn observed(
    type_: &'static str,
    status: ConditionStatus,
    reason: &'static str,
    message: String,
) -> Observed {
    Observed { type_, status, reason, message, said: None }
}

/// What was last said.
fn said<'a>(view: &ScalerView<'a>, type_: &str) -> Option<&'a Condition> {
    view.scaler.status.conditions.iter().find(|condition| condition.type_ == type_)
}

fn condition(view: &ScalerView<'_>, observed: Observed) -> Condition {
    let status = observed.status.text().to_owned();
    if let Some(said) = observed.said {
        return said;
    }
    let since = said(view, observed.type_).filter(|before| before.status == status);
    Condition {
        type_: observed.type_.to_owned(),
        last_transition_time: since
            .map_or_else(|| time(view.now), |before| before.last_transition_time.clone()),
        status,
        reason: observed.reason.to_owned(),
        message: bounded(&observed.message),
        observed_generation: Some(view.scaler.generation),
    }
}

fn ready(view: &ScalerView<'_>) -> Observed {
    let type_ = "Ready";
    match (&view.obstacle, view.mode, view.desired) {
        _ if view.scaler.is_deleted => {
            let message = "it is being deleted, and goes once its target is awake".to_owned();
            observed(type_, ConditionStatus::False, "Deleted", message)
        }
        (Some(obstacle), _, _) => {
            observed(type_, ConditionStatus::False, obstacle.reason(), obstacle.to_string())
        }
        (None, None, _) => {
            let message = format!("{} has not been seen yet", view.scaler.target);
            observed(type_, ConditionStatus::Unknown, "TargetNotSeen", message)
        }
        (None, Some(Mode::Suspended), _) => {
            let message =
                "the target was set to zero outside of Tidegate; set it to 1 or more to resume";
            observed(type_, ConditionStatus::False, "Suspended", message.to_owned())
        }
        (None, Some(_), None) => {
            let message = "nothing has been decided yet: no queue-proxy has reported".to_owned();
            observed(type_, ConditionStatus::Unknown, "Undecided", message)
        }
        (None, Some(_), Some(_)) => match missing_autoscaler(view) {
            Some(message) => observed(type_, ConditionStatus::False, "AutoscalerNotFound", message),
            None => observed(type_, ConditionStatus::True, "Scaling", String::new()),
        },
    }
}

/// What to create, where the replicas are set by an autoscaler that is not there.
fn missing_autoscaler(view: &ScalerView<'_>) -> Option<String> {
    let kind = expected_kind(view.scaler.actuator)?;
    let is_there = view.claimants.iter().any(|claimant| claimant.kind == kind);
    let target = &view.scaler.target;
    (!is_there)
        .then(|| format!("no {kind} scales {target}: create one, or set spec.actuator to direct"))
}

fn adopted(view: &ScalerView<'_>) -> Observed {
    let type_ = "Adopted";
    match &view.obstacle {
        Some(obstacle) => {
            observed(type_, ConditionStatus::False, obstacle.reason(), obstacle.to_string())
        }
        None => observed(type_, ConditionStatus::True, "Adopted", String::new()),
    }
}

fn sidecar(view: &ScalerView<'_>) -> Observed {
    let type_ = "SidecarInjected";
    let ready = view.target.map_or(0, |target| target.ready);
    let reporting = view.desired.map_or(0, |desired| desired.reporting);
    if ready == 0 {
        let message = "no pod is ready, so none can be heard of".to_owned();
        return observed(type_, ConditionStatus::Unknown, "NoPodReady", message);
    }
    let has_tcp = view.ports.iter().any(|port| port.protocol == PortProtocol::Tcp);
    let counting = view.desired.map_or(0, |desired| desired.counting);
    if reporting >= ready && has_tcp && counting < ready {
        let message = "the Service has a port that carries no HTTP, and not every ready pod's \
                       queue-proxy counts its connections: set tcp-ports for the sidecar; nothing \
                       is scaled down until then";
        return observed(type_, ConditionStatus::False, "ConnectionsUncounted", message.to_owned());
    }
    if reporting >= ready {
        return observed(type_, ConditionStatus::True, "AllReport", String::new());
    }
    // A queue-proxy that has just begun is heard of within a second.
    let is_lasting =
        view.memory.silent_since.is_some_and(|since| view.now.millis_since(since) >= SILENT_MS);
    if !is_lasting {
        let message = "not every ready pod has been heard of yet: nothing is scaled down meanwhile";
        let said = said(view, type_).filter(|_| is_momentary(view, view.memory.silent_since));
        let observed = observed(type_, ConditionStatus::False, "SomeSilent", message.to_owned());
        return Observed { said: said.cloned(), ..observed };
    }
    let name = &view.scaler.target.object.name;
    let message = format!(
        "some ready pods are not heard of, and nothing is scaled down until they are: put the \
         sidecar into them with `tidegate inject` or the webhook, have it report to the controller \
         as revision {name}, and look at its log for what keeps it from that"
    );
    observed(type_, ConditionStatus::False, "NotHeardOf", message)
}

fn at_zero(view: &ScalerView<'_>) -> Observed {
    let type_ = "ScaledToZero";
    match view.mode {
        Some(Mode::Zero) => {
            let message = match &view.slices.wanted {
                Ok(_) => "it was idle; activators hold its requests".to_owned(),
                Err(unheld) => {
                    format!("it was idle, but its requests cannot be held: {}", unheld.why())
                }
            };
            observed(type_, ConditionStatus::True, "Idle", message)
        }
        Some(Mode::Suspended) => {
            let message =
                "the target was set to zero outside of Tidegate, which is respected".to_owned();
            observed(type_, ConditionStatus::False, "SetExternally", message)
        }
        _ if view.may_be_zero() && lacks_ports_for_a_moment(view) => {
            let said = said(view, type_).filter(|said| said.status == "False");
            let observed = observed(type_, ConditionStatus::False, "HasReplicas", String::new());
            Observed { said: said.cloned(), ..observed }
        }
        _ => match view.unheld() {
            Some(why) => observed(type_, ConditionStatus::False, "NotPossible", why.to_owned()),
            None => observed(type_, ConditionStatus::False, "HasReplicas", String::new()),
        },
    }
}

/// Whether requests cannot be held for want of ports, which may be over in a moment.
fn lacks_ports_for_a_moment(view: &ScalerView<'_>) -> bool {
    let lacks_ports = matches!(view.slices.wanted, Err(Unheld::Ports(_)));
    lacks_ports && is_momentary(view, view.memory.portless_since)
}

/// Whether what has been so since `since` may be over in a moment.
fn is_momentary(view: &ScalerView<'_>, since: Option<Timestamp>) -> bool {
    since.is_none_or(|since| view.now.millis_since(since) < MOMENT_MS)
}

fn conflict(view: &ScalerView<'_>) -> Observed {
    let type_ = "Conflict";
    match view.obstacle.as_ref().filter(|obstacle| obstacle.is_conflict()) {
        Some(obstacle) => {
            observed(type_, ConditionStatus::True, obstacle.reason(), obstacle.to_string())
        }
        None => observed(type_, ConditionStatus::False, "OnlyOwner", String::new()),
    }
}

/// A time as the API writes it: whole seconds, since that is what it keeps.
#[must_use]
pub fn time(at: Timestamp) -> Time {
    Time(jiff::Timestamp::from_second(at.unix_seconds()).unwrap_or(jiff::Timestamp::UNIX_EPOCH))
}

pub(crate) fn bounded(text: &str) -> String {
    text.chars().take(TEXT_CHARS_MAX).collect()
}
