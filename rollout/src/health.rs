//! What the new revision must be like beside the stable one, and whether it is.

use crate::comparison::{Comparison, Counts, Evidence, mean_ln};
use crate::outcomes::{Outcomes, bucket, upper_bound_us};

/// The most rollouts of a new revision that is no worse that each of the two measures returns: one
/// of so many.
pub const ROLLOUTS_FOR_A_FALSE_RETURN: f64 = 1_000.0;

/// The shares of requests above the quantiles that are compared: the median, and the slowest tenth
/// and hundredth.
const SHARES_ABOVE: [f64; 3] = [0.5, 0.1, 0.01];

/// Requests that must be above a quantile before it is known well enough to compare by.
const ABOVE_MIN: f64 = 10.0;

/// Service times of the stable revision that its quantiles are of, at most. Beyond it older ones
/// fade, so that quantiles follow the load.
const REFERENCE_MAX: u64 = 20_000;

/// What nobody minds whatever its proportion, in microseconds: two milliseconds in place of one.
const LATENCY_FLOOR_US: f64 = 5_000.0;

/// What is tolerated in a new revision, and what must be known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gate {
    /// How much more often its requests may fail, in thousandths of them. What is surely more than
    /// with the stable revision, but by no more than this, is let pass.
    pub tolerated_errors_permille: u16,
    /// How much longer its requests may take in the app, in percent of the stable revision's.
    pub tolerated_latency_percent: u32,
    /// Requests of it that must have ended at each step before it gets more.
    pub requests_min: u64,
}

impl Default for Gate {
    /// Half a percent more failures, half as long again, and a hundred requests: one that fails for
    /// one of twenty is then found out with a chance of more than four fifths at one step.
    fn default() -> Self {
        Self { tolerated_errors_permille: 5, tolerated_latency_percent: 50, requests_min: 100 }
    }
}

/// What speaks against the new revision.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Finding {
    /// By what it is worse.
    pub measure: Measure,
    /// Over how long, in milliseconds.
    pub over_ms: u64,
    /// Requests of both in that time, and those that failed or were slow.
    pub counts: Counts,
    /// The chance with which a new revision that is no worse would ever come to look like this, at
    /// most.
    pub chance: f64,
}

/// By what revisions are compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Measure {
    /// How often requests fail.
    Errors,
    /// How often requests are slow.
    Latency {
        /// Which part of the stable revision's requests is slow.
        share_above: f64,
        /// What those take longer than, in microseconds.
        stable_us: f64,
        /// What a request of the new revision must take longer than to be slow.
        new_us: f64,
    },
}

/// Both revisions compared, from the beginning of a rollout on.
#[derive(Debug, Clone, Default)]
pub struct Health {
    errors: Comparison,
    latency: [Comparison; SHARES_ABOVE.len()],
    /// Service times of the stable revision before the current period.
    reference: Outcomes,
}

impl Health {
    /// What both revisions did from `from_ms` on.
    pub fn observe(&mut self, from_ms: i64, gate: &Gate, stable: &Outcomes, new: &Outcomes) {
        let errors = Counts {
            stable_requests: stable.finished(),
            stable_events: stable.failed(),
            new_requests: new.finished(),
            new_events: new.failed(),
        };
        self.errors.observe(from_ms, &errors);
        for (share, comparison) in SHARES_ABOVE.iter().zip(&mut self.latency) {
            // Thresholds are made of what was known before this period: whoever chose them by the
            // requests that they judge could find anything.
            let Some((stable_above, new_above)) = thresholds(&self.reference, *share, gate) else {
                continue;
            };
            let slow = Counts {
                stable_requests: stable.timed(),
                stable_events: stable.timed_above(stable_above),
                new_requests: new.timed(),
                new_events: new.timed_above(new_above),
            };
            comparison.observe(from_ms, &slow);
        }
        self.reference.add(stable);
        if self.reference.timed() > REFERENCE_MAX {
            self.reference.fade();
        }
    }

    /// What speaks against the new revision so strongly that it is to be returned.
    #[must_use]
    pub fn finding(&self, now_ms: i64, gate: &Gate) -> Option<Finding> {
        self.errors_finding(now_ms, gate).or_else(|| self.latency_finding(now_ms, gate))
    }

    fn errors_finding(&self, now_ms: i64, gate: &Gate) -> Option<Finding> {
        let evidence = self.errors.evidence()?;
        let counts = &evidence.counts;
        let more = counts.new_ratio() - counts.stable_ratio();
        let is_tolerated = more * 1_000.0 <= f64::from(gate.tolerated_errors_permille);
        let strength_ln = evidence.strength_ln;
        (is_enough(strength_ln) && !is_tolerated)
            .then(|| finding(Measure::Errors, now_ms, &evidence, strength_ln))
    }

    fn latency_finding(&self, now_ms: i64, gate: &Gate) -> Option<Finding> {
        let parts = self.latency.iter().map(Comparison::evidence);
        let parts: Vec<Option<Evidence>> = parts.collect();
        let strength = |part: &Option<Evidence>| {
            part.as_ref().map_or(f64::NEG_INFINITY, |evidence| evidence.strength_ln)
        };
        // A mean of measures of evidence is one as well.
        let strength_ln = mean_ln(&parts.iter().map(strength).collect::<Vec<f64>>());
        if !is_enough(strength_ln) {
            return None;
        }
        let found = parts.iter().zip(SHARES_ABOVE);
        let (evidence, share_above) =
            found.max_by(|(one, _), (other, _)| strength(one).total_cmp(&strength(other)))?;
        let (stable, new) = thresholds(&self.reference, share_above, gate)?;
        let (stable_us, new_us) = (upper_bound_us(stable), upper_bound_us(new));
        let measure = Measure::Latency { share_above, stable_us, new_us };
        Some(finding(measure, now_ms, evidence.as_ref()?, strength_ln))
    }
}

fn is_enough(strength_ln: f64) -> bool {
    strength_ln >= libm::log(ROLLOUTS_FOR_A_FALSE_RETURN)
}

fn finding(measure: Measure, now_ms: i64, evidence: &Evidence, strength_ln: f64) -> Finding {
    let over_ms = now_ms.saturating_sub(evidence.since_ms);
    Finding {
        measure,
        over_ms: u64::try_from(over_ms).unwrap_or(0),
        counts: evidence.counts,
        chance: libm::exp(-strength_ln),
    }
}

/// The buckets above which a request of the stable and of the new revision is slow; `None` while
/// too little is known.
fn thresholds(reference: &Outcomes, share: f64, gate: &Gate) -> Option<(usize, usize)> {
    let above = reference.timed() as f64 * share;
    let stable = reference.quantile_bucket(share).filter(|_| above >= ABOVE_MIN)?;
    let stable_us = upper_bound_us(stable);
    let factor = 1.0 + f64::from(gate.tolerated_latency_percent) / 100.0;
    let new_us = (stable_us * factor).max(stable_us + LATENCY_FLOOR_US);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a time, and what does not fit is in the last bucket"
    )]
    let new = bucket(libm::ceil(new_us) as u64);
    Some((stable, new))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcomes(finished: u64, failed: u64, service_us: u64) -> Outcomes {
        let mut outcomes = Outcomes::default();
        outcomes.count(finished, failed);
        outcomes.took(service_us, finished);
        outcomes
    }

    /// What is found after `seconds` of the same.
    fn found(seconds: i64, stable: &Outcomes, new: &Outcomes) -> Option<Finding> {
        let (mut health, gate) = (Health::default(), Gate::default());
        for second in 0..seconds {
            health.observe(second * 1_000, &gate, stable, new);
        }
        health.finding(seconds * 1_000, &gate)
    }

    #[test]
    fn failures_are_found_and_told_with_their_numbers() {
        let finding = found(10, &outcomes(90, 0, 20_000), &outcomes(10, 1, 20_000));
        let finding = finding.expect("one of ten fails");
        assert_eq!(finding.measure, Measure::Errors);
        assert_eq!((finding.counts.new_requests, finding.counts.new_events), (100, 10));
        assert!(finding.chance < 0.001 && finding.over_ms == 10_000, "{finding:?}");
    }

    #[test]
    fn slowness_is_found_where_it_is() {
        let finding = found(30, &outcomes(90, 0, 20_000), &outcomes(10, 0, 60_000));
        let measure = finding.expect("three times as long").measure;
        assert!(matches!(measure, Measure::Latency { .. }), "{measure:?}");
    }

    #[test]
    fn what_is_tolerated_is_no_finding_however_sure_it_is() {
        // Four of a thousand more fail, with certainty.
        let (stable, new) = (outcomes(50_000, 50, 20_000), outcomes(50_000, 250, 20_000));
        assert_eq!(found(60, &stable, &new), None);
        // A quarter longer, and a millisecond in place of half of one.
        assert_eq!(found(60, &outcomes(900, 0, 20_000), &outcomes(100, 0, 25_000)), None);
        assert_eq!(found(60, &outcomes(900, 0, 500), &outcomes(100, 0, 1_000)), None);
    }

    #[test]
    fn a_trouble_of_both_speaks_against_neither() {
        let (mut health, gate) = (Health::default(), Gate::default());
        for second in 0..120 {
            // For a minute a third fails, and everything is ten times as slow.
            let (failed, service_us) = if second > 60 { (3, 200_000) } else { (0, 20_000) };
            let stable = outcomes(90, failed * 9, service_us);
            let new = outcomes(9, failed, service_us);
            health.observe(second * 1_000, &gate, &stable, &new);
            assert_eq!(health.finding(second * 1_000, &gate), None, "in second {second}");
        }
    }
}
