//! The result of a simulation, under stable names.
//!
//! The JSON form of [`SimResult`] is the public schema. All counts are whole requests, all times
//! are in the unit of their name. For the same traffic, settings and seed every field is the same
//! to the bit on any machine and any number of threads, with three exceptions that describe the
//! machine: `wall_seconds`, `requests_per_wall_second` and `peak_rss_bytes`.

mod counts;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::interval::OverSeeds;
use crate::usage::Usage;
use counts::Counts;

/// Everything a run found out, over all revisions and for each.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SimResult {
    /// Requests that arrived. Always `completed + rejected + timed_out + failed + in_flight`.
    pub requests: u64,
    /// Requests answered by an instance.
    pub completed: u64,
    /// Requests refused because a queue was full.
    pub rejected: u64,
    /// Requests given up because their time ran out, waiting or being served.
    pub timed_out: u64,
    /// Requests lost with an instance or node that failed under them.
    pub failed: u64,
    /// Requests still waiting or being served when the simulation ended.
    pub in_flight: u64,
    /// Requests that arrived while no instance was ready and so waited for one to start.
    pub cold_starts: u64,
    /// From arrival to answer, of completed requests.
    pub latency_ms: Quantiles,
    /// From arrival to the start of service, of completed requests.
    pub wait_ms: Quantiles,
    /// Ready instances over time.
    pub instances: Levels,
    /// Seconds of instances alive: starting, ready and draining.
    pub instance_seconds: f64,
    /// Share of the ready instances' time in which they served nothing, 0 to 1.
    pub idle_share: f64,
    /// Times the wanted number of instances changed.
    pub scale_events: u64,
    /// Simulated time covered, seconds.
    pub simulated_seconds: f64,
    /// Real time taken, seconds. Describes the machine.
    pub wall_seconds: f64,
    /// Requests per second of real time. Describes the machine.
    pub requests_per_wall_second: f64,
    /// Most memory the process held, bytes. Describes the machine.
    pub peak_rss_bytes: u64,
    /// The seed.
    pub seed: u64,
    /// SHA-256 of what defines the arrivals, lower-case hexadecimal.
    pub trace_sha256: String,
    /// The settings that were in force, by name.
    pub settings: BTreeMap<String, serde_json::Value>,
    /// The same for each revision, in order of first sight in the traffic.
    pub revisions: Vec<RevisionResult>,
    /// What was used and is paid for, beside instances.
    #[serde(default)]
    pub usage: Usage,
    /// What all of it cost, where anything has a price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
    /// Details that only this simulator reports; see [`Extra`].
    pub extra: Extra,
    /// The figures over several seeds, of which this result is the first one's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over_seeds: Option<OverSeeds>,
}

impl SimResult {
    /// The same without those of single revisions.
    pub(crate) fn without_revisions(&self) -> SimResult {
        SimResult {
            revisions: Vec::new(),
            settings: BTreeMap::new(),
            trace_sha256: String::new(),
            extra: Extra::default(),
            latency_ms: self.latency_ms,
            wait_ms: self.wait_ms,
            instances: self.instances,
            usage: self.usage.clone(),
            over_seeds: None,
            ..*self
        }
    }

    /// Requests that were refused, given up or lost.
    pub const fn lost(&self) -> u64 {
        self.rejected + self.timed_out + self.failed
    }
}

/// What a run found out about one revision.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RevisionResult {
    /// Its name.
    pub revision: String,
    /// As in [`SimResult::requests`].
    pub requests: u64,
    /// As in [`SimResult::completed`].
    pub completed: u64,
    /// As in [`SimResult::rejected`].
    pub rejected: u64,
    /// As in [`SimResult::timed_out`].
    pub timed_out: u64,
    /// As in [`SimResult::failed`].
    pub failed: u64,
    /// As in [`SimResult::in_flight`].
    pub in_flight: u64,
    /// As in [`SimResult::cold_starts`].
    pub cold_starts: u64,
    /// As in [`SimResult::latency_ms`].
    pub latency_ms: Quantiles,
    /// As in [`SimResult::wait_ms`].
    pub wait_ms: Quantiles,
    /// As in [`SimResult::instances`].
    pub instances: Levels,
    /// As in [`SimResult::instance_seconds`].
    pub instance_seconds: f64,
    /// As in [`SimResult::idle_share`].
    pub idle_share: f64,
    /// As in [`SimResult::scale_events`].
    pub scale_events: u64,
    /// Details that only this simulator reports.
    pub extra: Extra,
}

/// Further figures, beside the stable core.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Extra {
    /// Time-weighted mean of requests in the system (waiting or being served).
    pub concurrency_mean: f64,
    /// Time that all counted requests together were inside, seconds. Without a warm-up this is
    /// `concurrency_mean` times `simulated_seconds`: Little's law.
    pub time_in_system_seconds: f64,
    /// Time-weighted mean of requests waiting.
    pub waiting_mean: f64,
    /// Most requests waiting at once.
    pub waiting_max: u64,
    /// Time-weighted mean of instances serving at least one request.
    pub busy_mean: f64,
    /// Most instances alive at once: starting, ready and draining.
    pub alive_max: u64,
    /// Instances that were started.
    pub instances_started: u64,
    /// Seconds in panic mode.
    pub panic_seconds: f64,
    /// Times a client tried again.
    pub retries: u64,
    /// Decisions of the policy.
    pub decisions: u64,
    /// Seconds for which n instances were ready, by n.
    pub ready_histogram: BTreeMap<u64, f64>,
}

/// Mean, percentiles and maximum of a duration, in milliseconds; all zero when nothing was counted.
///
/// Percentiles come from a histogram with the steps of HdrHistogram's three significant digits, so
/// they are within 0.1 % of the exact value; mean and maximum are exact.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Quantiles {
    /// Arithmetic mean.
    pub mean: f64,
    /// Median.
    pub p50: f64,
    /// 90th percentile.
    pub p90: f64,
    /// 95th percentile.
    pub p95: f64,
    /// 99th percentile.
    pub p99: f64,
    /// 99.9th percentile.
    pub p999: f64,
    /// Largest.
    pub max: f64,
}

/// Time-weighted mean and maximum of a level.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Levels {
    /// Time-weighted mean.
    pub mean: f64,
    /// Maximum.
    pub max: u64,
}

/// Collects durations for [`Quantiles`] in bounded memory.
#[derive(Debug, Clone)]
pub struct DurationStats {
    /// Microseconds.
    counts: Counts,
    count: u64,
    /// Durations of nothing at all, the commonest by far among waits; kept out of `counts`.
    zeros: u64,
    sum_ns: u128,
    max_ns: u64,
}

/// Longest duration resolved by the histogram, microseconds: ten days.
const HIGHEST_US: u64 = 10 * 86_400 * 1_000_000;

impl Default for DurationStats {
    fn default() -> Self {
        Self::new()
    }
}

impl DurationStats {
    /// Nothing counted yet.
    pub const fn new() -> Self {
        DurationStats { counts: Counts::new(), count: 0, zeros: 0, sum_ns: 0, max_ns: 0 }
    }

    /// Counts one duration of `nanos` nanoseconds.
    #[inline]
    pub fn record(&mut self, nanos: u64) {
        self.count += 1;
        if nanos == 0 {
            self.zeros += 1;
            return;
        }
        self.sum_ns += u128::from(nanos);
        self.max_ns = self.max_ns.max(nanos);
        self.counts.record(((nanos + 500) / 1_000).min(HIGHEST_US));
    }

    /// Number of values.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Sum of all, nanoseconds, exact.
    pub const fn sum_ns(&self) -> u128 {
        self.sum_ns
    }

    /// Adds everything `other` counted.
    pub fn merge(&mut self, other: &DurationStats) {
        self.count += other.count;
        self.zeros += other.zeros;
        self.sum_ns += other.sum_ns;
        self.max_ns = self.max_ns.max(other.max_ns);
        self.counts.merge(&other.counts);
    }

    /// The summary in milliseconds.
    pub fn quantiles(&self) -> Quantiles {
        let counted = self.count - self.zeros;
        if counted == 0 {
            return Quantiles::default();
        }
        let max = self.max_ns as f64 / 1e6;
        let at = |share: f64| {
            // The rank among all, of which the zeros are the first.
            let rank = libm::ceil(share * self.count as f64) - self.zeros as f64;
            if rank <= 0.0 {
                return 0.0;
            }
            // Through a share and back, as a histogram is asked.
            let rank = libm::ceil(rank / counted as f64 * counted as f64) as u64;
            (self.counts.at_rank(rank.clamp(1, counted)) as f64 / 1e3).min(max)
        };
        Quantiles {
            mean: self.sum_ns as f64 / self.count as f64 / 1e6,
            p50: at(0.5),
            p90: at(0.9),
            p95: at(0.95),
            p99: at(0.99),
            p999: at(0.999),
            max,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_a_thousandth_and_ends_are_exact() {
        let mut stats = DurationStats::new();
        for micros in 1..=100_000_u64 {
            stats.record(micros * 1_000);
        }
        let quantiles = stats.quantiles();
        assert!((quantiles.mean - 50.0005).abs() < 1e-9, "{}", quantiles.mean);
        assert!((quantiles.p50 / 50.0 - 1.0).abs() < 0.001, "{}", quantiles.p50);
        assert!((quantiles.p999 / 99.9 - 1.0).abs() < 0.001, "{}", quantiles.p999);
        assert_eq!(quantiles.max, 100.0);
    }

    #[test]
    fn merging_equals_counting_together() {
        let (mut left, mut right, mut both) =
            (DurationStats::new(), DurationStats::new(), DurationStats::new());
        for value in 0..1_000_u64 {
            let nanos = value * value * 1_000;
            if value % 3 == 0 {
                left.record(nanos);
            } else {
                right.record(nanos);
            }
            both.record(nanos);
        }
        left.merge(&right);
        assert_eq!(left.quantiles(), both.quantiles());
    }
}
