//! What may happen how fast: stabilization windows and behavior policies.

use std::collections::VecDeque;

use super::settings::{HpaSettings, ScalingPolicy, ScalingRules, ScalingStep, SelectPolicy};
use crate::explain::HpaRule;
use crate::time::Timestamp;

/// The most recommendations and the most changes that are remembered: an hour of both at the
/// shortest interval that makes sense. Beyond it the oldest are forgotten.
const REMEMBERED_MAX: usize = 4096;

/// What was recommended and what was done lately.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Behavior {
    recommendations: VecDeque<(Timestamp, u32)>,
    /// Changes of the number of replicas, upwards positive.
    changes: VecDeque<(Timestamp, i64)>,
}

/// A number of replicas that the rates allow, and what held it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limited {
    pub(super) replicas: u32,
    pub(super) rule: HpaRule,
}

impl Behavior {
    /// The recommendation that both windows agree on: growth only to the least that was
    /// recommended lately, shrinking only to the most.
    pub(super) fn stabilize(
        &mut self,
        settings: &HpaSettings,
        now: Timestamp,
        current: u32,
        proposed: u32,
    ) -> u32 {
        let (up_ms, down_ms) =
            (settings.scale_up.stabilization_ms, settings.scale_down.stabilization_ms);
        let within = |window_ms: u64, at: Timestamp| at > now.minus_millis(window_ms);
        let longest_ms = up_ms.max(down_ms);
        self.recommendations.retain(|&(at, _)| within(longest_ms, at));
        let (mut least, mut most) = (proposed, proposed);
        for &(at, replicas) in &self.recommendations {
            if within(up_ms, at) {
                least = least.min(replicas);
            }
            if within(down_ms, at) {
                most = most.max(replicas);
            }
        }
        remember(&mut self.recommendations, (now, proposed));
        // One after the other, as `clamp` would not take `least` above `most`.
        current.max(least).min(most)
    }

    /// What the rates and the bounds make of a recommendation.
    pub(super) fn limit(
        &self,
        settings: &HpaSettings,
        now: Timestamp,
        current: u32,
        wanted: u32,
    ) -> Limited {
        let (min, max) = (settings.min_replicas, settings.max_replicas);
        if wanted > current {
            let rate = self.growth_limit(&settings.scale_up, now, current).max(current);
            return match wanted {
                wanted if wanted > rate && rate < max => {
                    Limited { replicas: rate, rule: HpaRule::RateLimited }
                }
                wanted => Limited { replicas: wanted.min(max), rule: HpaRule::LoweredToMax },
            };
        }
        if wanted < current {
            let rate = self.shrinking_limit(&settings.scale_down, now, current).min(current);
            return match wanted {
                wanted if wanted < rate && rate > min => {
                    Limited { replicas: rate, rule: HpaRule::RateLimited }
                }
                wanted => Limited { replicas: wanted.max(min), rule: HpaRule::RaisedToMin },
            };
        }
        Limited { replicas: wanted, rule: HpaRule::Ratio }
    }

    /// Remembers what was done, for the rates.
    pub(super) fn remember_scaling(&mut self, now: Timestamp, from: u32, to: u32) {
        if from != to {
            remember(&mut self.changes, (now, i64::from(to) - i64::from(from)));
        }
    }

    /// The most replicas there may be.
    fn growth_limit(&self, rules: &ScalingRules, now: Timestamp, current: u32) -> u32 {
        let allowed = rules.policies.iter().map(|policy| {
            let start = self.at_period_start(policy, now, current);
            match policy.step {
                ScalingStep::Replicas(step) => start + f64::from(step),
                ScalingStep::Percent(step) => (start * (1.0 + f64::from(step) / 100.0)).ceil(),
            }
        });
        match rules.select {
            SelectPolicy::Disabled => current,
            SelectPolicy::Max => whole(allowed.fold(0.0, f64::max)),
            SelectPolicy::Min => whole(allowed.fold(f64::MAX, f64::min)),
        }
    }

    /// The fewest replicas there may be.
    fn shrinking_limit(&self, rules: &ScalingRules, now: Timestamp, current: u32) -> u32 {
        let allowed = rules.policies.iter().map(|policy| {
            let start = self.at_period_start(policy, now, current);
            match policy.step {
                ScalingStep::Replicas(step) => start - f64::from(step),
                ScalingStep::Percent(step) => (start * (1.0 - f64::from(step) / 100.0)).trunc(),
            }
        });
        match rules.select {
            SelectPolicy::Disabled => current,
            SelectPolicy::Max => whole(allowed.fold(f64::MAX, f64::min)),
            SelectPolicy::Min => whole(allowed.fold(0.0, f64::max)),
        }
    }

    /// The replicas there were when a policy's period began, going by what was done since.
    fn at_period_start(&self, policy: &ScalingPolicy, now: Timestamp, current: u32) -> f64 {
        let cutoff = now.minus_millis(policy.period_ms);
        let since = self.changes.iter().filter(|&&(at, _)| at > cutoff);
        f64::from(current) - since.map(|&(_, change)| change as f64).sum::<f64>()
    }
}

/// Adds to a bounded memory.
fn remember<T>(memory: &mut VecDeque<T>, entry: T) {
    if memory.len() == REMEMBERED_MAX {
        memory.pop_front();
    }
    memory.push_back(entry);
}

/// A number of replicas; what is out of range becomes the nearest.
fn whole(replicas: f64) -> u32 {
    replicas as u32
}
