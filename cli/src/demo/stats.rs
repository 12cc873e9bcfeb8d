//! The demo's measurements: outcomes of requests, and the service's state while they ran.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::load::Outcome;

/// The revision's state at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Standing {
    /// Time after the start of the traffic.
    pub(crate) at: Duration,
    /// Instances wanted, once there was a decision.
    pub(crate) desired: Option<u32>,
    pub(crate) ready: u32,
    pub(crate) starting: u32,
    pub(crate) draining: u32,
    /// Requests queued at the activator.
    pub(crate) waiting: u32,
    /// Requests at instances.
    pub(crate) in_flight: u32,
}

/// A decision that changed the number of instances, and its reason in words.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Change {
    /// Time after the start of the traffic.
    pub(crate) at: Duration,
    pub(crate) desired: u32,
    pub(crate) reason: String,
}

/// Everything that was measured.
#[derive(Debug)]
pub(crate) struct Tally {
    /// From the scheduled time to the last byte, in microseconds.
    pub(crate) latency_micros: Histogram<u64>,
    pub(crate) answered: u64,
    /// Requests without a response of the app, by cause.
    pub(crate) lost: BTreeMap<String, u64>,
    /// The most requests that any instance ever had at once, as it counted them.
    pub(crate) most_in_one_instance: u32,
    /// Responses by the second, after the start, in which their requests were scheduled.
    pub(crate) asked_per_second: Vec<f64>,
    pub(crate) standings: Vec<Standing>,
    pub(crate) changes: Vec<Change>,
    /// How long each instance took from its start to its readiness.
    pub(crate) start_ups_ms: Vec<u64>,
    /// Instances that ended without having been stopped.
    pub(crate) crashed: Vec<String>,
}

/// Most kinds of loss counted separately; the rest are counted together.
const MOST_KINDS_OF_LOSS: usize = 16;

/// Latencies are kept from a microsecond to this, to three digits.
const LONGEST_LATENCY: Duration = Duration::from_secs(600);

impl Tally {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let longest = u64::try_from(LONGEST_LATENCY.as_micros())?;
        Ok(Self {
            latency_micros: Histogram::new_with_bounds(1, longest, 3)?,
            answered: 0,
            lost: BTreeMap::new(),
            most_in_one_instance: 0,
            asked_per_second: Vec::new(),
            standings: Vec::new(),
            changes: Vec::new(),
            start_ups_ms: Vec::new(),
            crashed: Vec::new(),
        })
    }

    /// Counts one request.
    pub(crate) fn count(&mut self, outcome: Outcome) {
        let second = usize::try_from(outcome.scheduled.as_secs()).unwrap_or(usize::MAX);
        if second < 86_400 {
            if self.asked_per_second.len() <= second {
                self.asked_per_second.resize(second + 1, 0.0);
            }
            self.asked_per_second[second] += 1.0;
        }
        match outcome.answer {
            Ok(in_flight) => {
                self.answered += 1;
                self.most_in_one_instance = self.most_in_one_instance.max(in_flight);
                let micros = u64::try_from(outcome.latency.as_micros()).unwrap_or(u64::MAX);
                self.latency_micros.saturating_record(micros.max(1));
            }
            Err(why) => {
                let known = self.lost.contains_key(&why) || self.lost.len() < MOST_KINDS_OF_LOSS;
                *self.lost.entry(if known { why } else { "other".to_owned() }).or_default() += 1;
            }
        }
    }

    /// Records the present state.
    pub(crate) fn note(&mut self, standing: Standing) {
        self.standings.push(standing);
    }

    pub(crate) fn lost(&self) -> u64 {
        self.lost.values().sum()
    }

    pub(crate) fn requests(&self) -> u64 {
        self.answered + self.lost()
    }

    /// The latency that this share (0 to 1) of the responses did not exceed, milliseconds.
    pub(crate) fn latency_ms(&self, quantile: f64) -> f64 {
        self.latency_micros.value_at_quantile(quantile) as f64 / 1_000.0
    }

    /// How long instances took to become ready: the middle one, zero if there was none.
    pub(crate) fn start_up(&self) -> Duration {
        let mut sorted = self.start_ups_ms.clone();
        sorted.sort_unstable();
        Duration::from_millis(sorted.get(sorted.len() / 2).copied().unwrap_or(0))
    }

    /// Ready instances over time, averaged and at most.
    pub(crate) fn instances(&self) -> (f64, u32) {
        let mut weighted = 0.0;
        let mut length = 0.0;
        for pair in self.standings.windows(2) {
            let seconds = (pair[1].at.saturating_sub(pair[0].at)).as_secs_f64();
            weighted += f64::from(pair[0].ready) * seconds;
            length += seconds;
        }
        let most = self.standings.iter().map(|standing| standing.ready).max().unwrap_or(0);
        (if length > 0.0 { weighted / length } else { 0.0 }, most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(second: u64, answer: Result<u32, &str>) -> Outcome {
        Outcome {
            scheduled: Duration::from_secs(second),
            latency: Duration::from_millis(20),
            answer: answer.map_err(str::to_owned),
        }
    }

    #[test]
    fn answers_and_losses_add_up() {
        let mut tally = Tally::new().unwrap();
        tally.count(outcome(0, Ok(2)));
        tally.count(outcome(2, Ok(1)));
        for nth in 0..100 {
            tally.count(outcome(2, Err(&format!("status {nth}"))));
        }
        assert_eq!((tally.requests(), tally.answered, tally.lost()), (102, 2, 100));
        assert_eq!(tally.lost.len(), MOST_KINDS_OF_LOSS + 1);
        assert_eq!(tally.asked_per_second, [1.0, 0.0, 101.0]);
        assert_eq!(tally.most_in_one_instance, 2);
        assert!((tally.latency_ms(0.5) - 20.0).abs() < 0.1);
    }

    #[test]
    fn instances_are_weighted_by_time() {
        let mut tally = Tally::new().unwrap();
        for (second, ready) in [(0, 0), (1, 4), (4, 0)] {
            tally.note(Standing { at: Duration::from_secs(second), ready, ..Standing::default() });
        }
        assert_eq!(tally.instances(), (3.0, 4));
    }
}
