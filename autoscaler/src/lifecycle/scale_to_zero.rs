//! How the last instance is removed: never before the activator is in the path.

use super::{
    ActivatorProbe, ActiveCondition, ActiveStatus, LifecycleSpec, ProbeUse, StepRule, TrafficMode,
    UNDECIDED, ZeroScale,
};
use crate::pauses::Outlook;
use crate::settings::GoDuration;
use crate::time::Timestamp;

/// Time on top of the progress deadline before an activation counts as failed, so that the
/// deployment's own deadline fires first.
const ACTIVATION_MARGIN: GoDuration = GoDuration::from_seconds(30);

/// When to look again at a revision that is idle while its activator is already in the path: no
/// event would come.
const PROXY_RECHECK_MS: i64 = 3_000;

/// What is known when the bounded recommendation is zero.
#[derive(Debug, Clone, Copy)]
pub(super) struct Idle {
    pub(super) now: Timestamp,
    pub(super) active: ActiveCondition,
    pub(super) mode: TrafficMode,
    pub(super) activator: InPath,
    pub(super) outlook: Outlook,
}

/// Whether requests go through the activator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InPath {
    /// They cannot go another way.
    Always,
    /// They do since then, or do not.
    Since(Option<Timestamp>),
}

/// What to do about it.
#[derive(Debug, Clone, Copy)]
pub(super) struct ZeroOutcome {
    pub(super) want: i32,
    pub(super) applies: bool,
    pub(super) rule: StepRule,
    pub(super) recheck_ms: Option<i64>,
    pub(super) probe: ProbeUse,
}

impl ZeroOutcome {
    fn apply(want: i32, rule: StepRule) -> Self {
        Self { want, applies: true, rule, recheck_ms: None, probe: ProbeUse::NotNeeded }
    }

    fn hold(want: i32, rule: StepRule) -> Self {
        Self { applies: false, ..Self::apply(want, rule) }
    }

    fn recheck_after(self, rest: GoDuration) -> Self {
        Self { recheck_ms: Some(rest.milliseconds()), ..self }
    }

    fn probed(self, probe: ProbeUse) -> Self {
        Self { probe, ..self }
    }
}

pub(super) fn decide(spec: &LifecycleSpec, idle: &Idle, probe: ActivatorProbe) -> ZeroOutcome {
    if spec.zero_scale == ZeroScale::Forbidden {
        return ZeroOutcome::apply(1, StepRule::ZeroForbidden);
    }
    let age = elapsed(idle.active.since, idle.now);
    match idle.active.status {
        ActiveStatus::Unknown => while_activating(spec, age),
        ActiveStatus::True => while_active(spec, age, idle),
        ActiveStatus::False => while_inactive(spec, idle, age, probe),
    }
}

fn while_activating(spec: &LifecycleSpec, age: GoDuration) -> ZeroOutcome {
    let limit = plus(spec.progress_deadline, ACTIVATION_MARGIN);
    if age > limit {
        return ZeroOutcome::apply(0, StepRule::ActivationFailed { limit });
    }
    ZeroOutcome::hold(UNDECIDED, StepRule::Activating { limit }).recheck_after(limit)
}

/// The first step towards zero removes nothing: it puts the activator into the path.
/// A revision that became active just now stays so for a window, for another request may come;
/// unless it is known that none does.
fn while_active(spec: &LifecycleSpec, age: GoDuration, idle: &Idle) -> ZeroOutcome {
    if age < spec.stable_window && idle.outlook != Outlook::Long {
        let rest = minus(spec.stable_window, age);
        return ZeroOutcome::apply(1, StepRule::ActiveTooShortly { rest }).recheck_after(rest);
    }
    let outcome = ZeroOutcome::hold(0, StepRule::BecameIdle);
    match idle.mode {
        TrafficMode::Proxy => ZeroOutcome { recheck_ms: Some(PROXY_RECHECK_MS), ..outcome },
        TrafficMode::Serve => outcome,
    }
}

fn while_inactive(
    spec: &LifecycleSpec,
    idle: &Idle,
    age: GoDuration,
    probe: ActivatorProbe,
) -> ZeroOutcome {
    // With an unbounded burst capacity the activator never leaves the path: no need to ask.
    let always_in_path =
        spec.decision.target_burst_capacity == -1.0 || idle.activator == InPath::Always;
    let asked = match (always_in_path, probe) {
        (true, _) => ProbeUse::NotNeeded,
        (false, ActivatorProbe::Confirmed) => ProbeUse::Confirmed,
        (false, ActivatorProbe::Denied | ActivatorProbe::NotAsked) => {
            let outcome = ZeroOutcome::hold(0, StepRule::ActivatorUnconfirmed);
            return outcome.probed(ProbeUse::Unconfirmed);
        }
    };
    once_in_path(spec, idle, age).probed(asked)
}

fn once_in_path(spec: &LifecycleSpec, idle: &Idle, age: GoDuration) -> ZeroOutcome {
    let (grace, retention) = (spec.grace_period, spec.retention);
    if age >= grace.max(retention) {
        return ZeroOutcome::apply(0, StepRule::IdleLongEnough { age });
    }
    if retention > GoDuration::ZERO && age < retention {
        let rest = minus(retention, age);
        return ZeroOutcome::hold(0, StepRule::Retained { rest }).recheck_after(rest);
    }
    let InPath::Since(since) = idle.activator else {
        return ZeroOutcome::apply(0, StepRule::AlwaysInPath);
    };
    let in_path = since.map_or(GoDuration::ZERO, |since| elapsed(since, idle.now));
    let rest = minus(grace, in_path);
    if rest <= GoDuration::ZERO {
        return ZeroOutcome::apply(0, StepRule::ActivatorLongInPath { in_path });
    }
    ZeroOutcome::hold(0, StepRule::Grace { rest }).recheck_after(rest)
}

fn elapsed(since: Timestamp, now: Timestamp) -> GoDuration {
    GoDuration::from_milliseconds(now.as_millis().saturating_sub(since.as_millis()))
}

fn plus(a: GoDuration, b: GoDuration) -> GoDuration {
    GoDuration::from_nanoseconds(a.nanoseconds().saturating_add(b.nanoseconds()))
}

fn minus(a: GoDuration, b: GoDuration) -> GoDuration {
    GoDuration::from_nanoseconds(a.nanoseconds().saturating_sub(b.nanoseconds()))
}
