//! All steps in the order in which the autoscaler takes them.

use serde::Serialize;

use crate::behavior::{Direction, limit, windows_seconds};
use crate::metric::{Proposal, Tolerances, propose};
use crate::object::Hpa;

/// What was computed again.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Replay {
    /// The object.
    pub hpa: Hpa,
    /// How far a ratio may be from 1.
    pub tolerances: Tolerances,
    /// What each metric proposes, in the order of the spec.
    pub proposals: Vec<Proposal>,
    /// What the metrics propose together, before windows, policies and bounds; `None` where they
    /// were not asked, or not enough of them could be had.
    pub proposed: Option<Range>,
    /// What comes of it.
    pub replicas: Range,
    /// Why it is this number.
    pub cause: Cause,
}

/// Numbers of replicas that fit what is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Range {
    /// The least.
    pub low: i32,
    /// The most.
    pub high: i32,
}

impl Range {
    fn only(replicas: i32) -> Self {
        Self { low: replicas, high: replicas }
    }

    fn clamp(self, low: i32, high: i32) -> Self {
        // As the autoscaler: the lower bound counts where the two contradict each other.
        let within = |replicas: i32| replicas.min(high).max(low);
        Self { low: within(self.low), high: within(self.high) }
    }

    /// Whether a number fits.
    #[must_use]
    pub fn contains(self, replicas: i32) -> bool {
        (self.low..=self.high).contains(&replicas)
    }
}

/// Why the autoscaler left or set what it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// It could not read the target's scale.
    TargetNotRead,
    /// It could not write the target's scale.
    TargetNotWritten,
    /// The target is at zero, and it was not this autoscaler that brought it there.
    Disabled,
    /// There were more replicas than allowed.
    AboveMaximum,
    /// There were fewer replicas than allowed.
    BelowMinimum,
    /// Too many metrics could not be had.
    MetricsMissing,
    /// An earlier recommendation within a stabilization window counts instead.
    Stabilized,
    /// The policies allow no further step yet.
    RateLimited,
    /// The metrics ask for more than `maxReplicas`.
    AtMaximum,
    /// The metrics ask for less than `minReplicas`.
    AtMinimum,
    /// Every metric is where it should be, within the tolerance.
    WithinTolerance,
    /// The metrics ask for what there is.
    AsProposed,
}

impl Replay {
    /// The replicas that its last look set, or left. A look that fails leaves `desiredReplicas` as
    /// an earlier one wrote it.
    #[must_use]
    pub fn outcome(&self) -> i32 {
        match self.cause {
            Cause::TargetNotRead | Cause::TargetNotWritten | Cause::MetricsMissing => {
                self.hpa.current_replicas
            }
            _ => self.hpa.desired_replicas,
        }
    }

    /// Whether what was computed again is what the object says. Where it is not, something mattered
    /// that the object does not hold.
    #[must_use]
    pub fn agrees(&self) -> bool {
        self.cause == Cause::TargetNotWritten || self.replicas.contains(self.outcome())
    }
}

/// Computes again what the autoscaler did at its last look. `tolerance` is the cluster's, which
/// counts where the object has none of its own.
#[must_use]
pub fn replay(hpa: &Hpa, tolerance: f64) -> Replay {
    let tolerances = Tolerances::of(hpa, tolerance);
    let now = hpa.current_replicas;
    let proposals: Vec<Proposal> =
        hpa.metrics.iter().map(|metric| propose(metric, now, tolerances)).collect();
    let mut replay = Replay {
        hpa: hpa.clone(),
        tolerances,
        proposals,
        proposed: None,
        replicas: Range::only(now),
        cause: Cause::Disabled,
    };
    if let Some((replicas, cause)) = unasked(hpa) {
        (replay.replicas, replay.cause) = (Range::only(replicas), cause);
        return replay;
    }
    replay.proposed = together(hpa, &replay.proposals);
    (replay.replicas, replay.cause) = match replay.proposed {
        None => (Range::only(now), Cause::MetricsMissing),
        Some(proposed) => normalized(hpa, proposed, &replay.proposals),
    };
    if hpa.condition("AbleToScale").is_some_and(|able| able.reason == "FailedUpdateScale") {
        replay.cause = Cause::TargetNotWritten;
    }
    replay
}

/// What is done without a look at any metric.
fn unasked(hpa: &Hpa) -> Option<(i32, Cause)> {
    let now = hpa.current_replicas;
    if hpa.condition("AbleToScale").is_some_and(|able| able.reason == "FailedGetScale") {
        return Some((now, Cause::TargetNotRead));
    }
    if now == 0 {
        return is_disabled(hpa).then_some((0, Cause::Disabled));
    }
    match now {
        _ if now > hpa.max_replicas => Some((hpa.max_replicas, Cause::AboveMaximum)),
        _ if now < hpa.min_replicas => Some((hpa.min_replicas, Cause::BelowMinimum)),
        _ => None,
    }
}

/// Only what the autoscaler itself has brought to zero does it bring back. Whether that was so, it
/// says; the condition `ScaledToZero` is already about what came of the same look.
fn is_disabled(hpa: &Hpa) -> bool {
    match hpa.condition("ScalingActive") {
        Some(active) => active.reason == "ScalingDisabled",
        None => hpa.min_replicas != 0,
    }
}

/// The highest proposal. Where one is missing it counts only if it does not scale down: the missing
/// one might ask for more.
fn together(hpa: &Hpa, proposals: &[Proposal]) -> Option<Range> {
    let known = proposals.iter().filter_map(|proposal| match proposal {
        Proposal::Known { low, high, .. } => Some(Range { low: *low, high: *high }),
        Proposal::Unwritten => Some(Range { low: 0, high: hpa.max_replicas }),
        Proposal::Missing => None,
    });
    let highest = known.reduce(|one, other| Range {
        low: one.low.max(other.low),
        high: one.high.max(other.high),
    })?;
    let is_missing = proposals.contains(&Proposal::Missing);
    let failed = hpa.condition("ScalingActive").is_some_and(|active| !active.is_true);
    (!(is_missing && (failed || highest.high < hpa.current_replicas))).then_some(highest)
}

/// What windows, policies and bounds make of what is proposed.
fn normalized(hpa: &Hpa, proposed: Range, proposals: &[Proposal]) -> (Range, Cause) {
    let now = hpa.current_replicas;
    let stabilized = stabilized(hpa, proposed);
    let (up, up_bounded) = limit(hpa, Direction::Up);
    let (down, down_bounded) = limit(hpa, Direction::Down);
    let mut replicas = stabilized.clamp(down_bounded, up_bounded);
    // What was scaled within the last period counts against the policies, and is not written down.
    let limited = hpa.condition("ScalingLimited").filter(|limited| limited.is_true);
    let reason = limited.map_or("", |limited| limited.reason.as_str());
    match reason {
        "ScaleUpLimit" => replicas.low = replicas.low.min(now),
        "ScaleDownLimit" => replicas.high = replicas.high.max(now),
        _ => {}
    }
    let is_tolerated = proposals
        .iter()
        .all(|proposal| matches!(proposal, Proposal::Known { is_tolerated: true, .. }));
    let desired = hpa.desired_replicas;
    let cause = match reason {
        _ if is_stabilized(hpa) => Cause::Stabilized,
        "ScaleUpLimit" | "ScaleDownLimit" => Cause::RateLimited,
        "TooManyReplicas" => Cause::AtMaximum,
        "TooFewReplicas" => Cause::AtMinimum,
        // An object from before it said why, and one that a person has written.
        _ if stabilized.low > up_bounded && up_bounded == up => Cause::RateLimited,
        _ if stabilized.low > up_bounded => Cause::AtMaximum,
        _ if stabilized.high < down_bounded && down_bounded == down => Cause::RateLimited,
        _ if stabilized.high < down_bounded => Cause::AtMinimum,
        _ if !proposed.contains(desired) && stabilized.contains(desired) => Cause::Stabilized,
        _ if is_tolerated => Cause::WithinTolerance,
        _ => Cause::AsProposed,
    };
    (replicas, cause)
}

fn is_stabilized(hpa: &Hpa) -> bool {
    hpa.condition("AbleToScale").is_some_and(|able| {
        able.reason == "ScaleDownStabilized" || able.reason == "ScaleUpStabilized"
    })
}

/// What the windows may make of a proposal: what was recommended before is not written down, but
/// whether it counted is, unless the target was scaled.
fn stabilized(hpa: &Hpa, proposed: Range) -> Range {
    let now = hpa.current_replicas;
    let reason = hpa.condition("AbleToScale").map_or("", |able| able.reason.as_str());
    if !is_stabilized(hpa) && reason != "SucceededRescale" {
        return proposed;
    }
    let (up, down) = windows_seconds(hpa.behavior.as_ref());
    let mut range = proposed;
    if proposed.low < now && down > 0 {
        range.high = range.high.max(now);
    }
    if proposed.high > now && up > 0 {
        range.low = range.low.min(now);
    }
    range
}
