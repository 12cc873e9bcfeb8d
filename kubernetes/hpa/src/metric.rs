//! The formula for one metric: how many replicas it proposes.

use serde::Serialize;

use crate::object::{Hpa, Metric, Target};

/// How far a ratio may be from 1 without effect unless kube-controller-manager is told otherwise
/// (`--horizontal-pod-autoscaler-tolerance`).
pub const TOLERANCE: f64 = 0.1;

/// A tolerance as a person types it.
///
/// # Errors
/// What was expected.
pub fn parse_tolerance(text: &str) -> Result<f64, String> {
    match text.trim().parse() {
        Ok(ratio) if (0.0..f64::INFINITY).contains(&ratio) => Ok(ratio),
        _ => Err("expected a ratio from 0 on".to_owned()),
    }
}

/// How far a ratio may be from 1 without effect.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Tolerances {
    /// Below 1.
    pub down: f64,
    /// Above 1.
    pub up: f64,
}

impl Tolerances {
    /// Those of an object, with the cluster's where it says nothing.
    #[must_use]
    pub fn of(hpa: &Hpa, cluster: f64) -> Self {
        let behavior = hpa.behavior.as_ref();
        Self {
            down: behavior.and_then(|behavior| behavior.down.tolerance).unwrap_or(cluster),
            up: behavior.and_then(|behavior| behavior.up.tolerance).unwrap_or(cluster),
        }
    }

    /// Whether a ratio has no effect.
    #[must_use]
    pub fn hold(self, ratio: f64) -> bool {
        1.0 - self.down <= ratio && ratio <= 1.0 + self.up
    }
}

/// What one metric proposes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Proposal {
    /// It could not be had.
    Missing,
    /// It was had, but an average over no replica cannot be written down.
    Unwritten,
    /// It was had.
    Known {
        /// What was measured over what is wanted; of a range, the upper end.
        ratio: f64,
        /// Whether that is too near to 1 to have an effect.
        is_tolerated: bool,
        /// Fewest replicas that fit what is written down.
        low: i32,
        /// Most replicas that fit what is written down: averages are rounded.
        high: i32,
    },
}

/// What a metric proposes for a target of so many replicas, of which all are ready.
#[must_use]
pub fn propose(metric: &Metric, replicas: i32, tolerances: Tolerances) -> Proposal {
    let Some(current) = metric.current else { return Proposal::Missing };
    let target = metric.target.number() as f64;
    if target <= 0.0 {
        return Proposal::Missing;
    }
    let is_of_all = matches!(metric.target, Target::AverageValue(_)) && !metric.source.is_per_pod();
    if is_of_all {
        return average(current, replicas, (target, tolerances));
    }
    let ratio = current as f64 / target;
    let is_tolerated = replicas != 0 && tolerances.hold(ratio);
    let proposed = match (replicas, is_tolerated) {
        (0, _) => ceil(ratio),
        (_, true) => replicas,
        (_, false) => ceil(ratio * f64::from(replicas)),
    };
    Proposal::Known { ratio, is_tolerated, low: proposed, high: proposed }
}

/// A value for all replicas together, of which only the rounded average is written down.
fn average(current: i64, replicas: i32, (target, tolerances): (f64, Tolerances)) -> Proposal {
    if replicas == 0 {
        return Proposal::Unwritten;
    }
    let count = i64::from(replicas);
    let most = current.saturating_mul(count);
    let least = match current {
        ..=0 => most,
        _ => (current - 1).saturating_mul(count).saturating_add(1),
    };
    let ratio = |usage: i64| usage as f64 / (target * f64::from(replicas));
    let proposed = |usage: i64| match tolerances.hold(ratio(usage)) {
        true => replicas,
        false => ceil(usage as f64 / target),
    };
    Proposal::Known {
        ratio: ratio(most),
        is_tolerated: tolerances.hold(ratio(most)) && tolerances.hold(ratio(least)),
        low: proposed(least),
        high: proposed(most),
    }
}

/// Rounds up; the cast ends at the largest number there is, as the autoscaler does.
fn ceil(replicas: f64) -> i32 {
    replicas.ceil() as i32
}
