//! The end of a run: its result.

use std::collections::BTreeMap;

use super::World;
use super::counters::idle_share;
use super::drawn::Drawn;
use crate::arrival::RevisionNames;
use crate::output::RunOutput;
use crate::record::Observer;
use crate::result::{DurationStats, Extra, Levels, RevisionResult, SimResult};
use crate::series::TimeSeries;
use crate::time::NANOS_PER_SEC;

impl<O: Observer> World<'_, O> {
    /// Sums up. Wall-clock figures, settings and the trace's hash are the caller's to add.
    pub(super) fn finish(mut self, names: &RevisionNames) -> RunOutput {
        let end = match self.scenario.duration {
            Some(duration) if !self.stopped => duration.as_nanos(),
            _ => self.now,
        };
        self.rouse_all(self.last_tick());
        let begin = self.counted_from.min(end);
        let mut in_flight = vec![(0_u64, 0_u128); self.revisions.len()];
        for (_, request) in &self.requests {
            let (count, inside) = &mut in_flight[request.revision as usize];
            if request.arrived >= self.counted_from {
                *count += 1;
                *inside += u128::from(end - request.arrived);
            }
        }
        let mut series = Vec::new();
        if let Some(recorder) = self.total.series_mut().take() {
            series.push(recorder.finish(end, None));
        }
        let mut results = Vec::with_capacity(self.revisions.len());
        let mut sum = Sum::default();
        for (revision, (in_flight, inside)) in self.revisions.iter_mut().zip(in_flight) {
            let result = revision.counters.result(&revision.name, end, in_flight, inside);
            debug_assert!(revision.counters.adds_up(in_flight, inside), "the counts do not add up");
            sum.add(&result, &revision.counters);
            results.push(result);
            if let Some(recorder) = revision.series_mut().take() {
                series.push(recorder.finish(end, Some(revision.name.clone())));
            }
        }
        // A single revision's own series says the same as the sum.
        if names.len() <= 1 {
            series.truncate(1);
            series.iter_mut().for_each(|series: &mut TimeSeries| series.revision = None);
        }
        let simulated_seconds = (end - begin) as f64 / NANOS_PER_SEC as f64;
        let mut result = sum.result(&results, self.total.peak_ready, self.total.peak_alive);
        result.simulated_seconds = simulated_seconds;
        result.seed = self.scenario.seed;
        result.revisions = results;
        RunOutput {
            result,
            series,
            decisions: self.decisions,
            decisions_dropped: self.decisions_dropped,
            cold_starts_s: self.cold_starts_s,
        }
    }
}

/// Revisions added up.
#[derive(Default)]
struct Sum {
    latency: DurationStats,
    wait: DurationStats,
    ready: u128,
    busy: u128,
}

impl Sum {
    fn add(&mut self, _result: &RevisionResult, counters: &super::counters::Counters) {
        self.latency.merge(&counters.latency);
        self.wait.merge(&counters.wait);
        self.ready += counters.ready_area();
        self.busy += counters.busy_area();
    }

    fn result(&self, parts: &[RevisionResult], peak_ready: u64, peak_alive: u64) -> SimResult {
        let count = |of: fn(&RevisionResult) -> u64| parts.iter().map(of).sum::<u64>();
        let total = |of: fn(&RevisionResult) -> f64| parts.iter().map(of).sum::<f64>();
        let single = parts.len() == 1;
        let ready_histogram = match parts {
            [only] => only.extra.ready_histogram.clone(),
            _ => BTreeMap::new(),
        };
        SimResult {
            requests: count(|part| part.requests),
            completed: count(|part| part.completed),
            rejected: count(|part| part.rejected),
            timed_out: count(|part| part.timed_out),
            failed: count(|part| part.failed),
            in_flight: count(|part| part.in_flight),
            cold_starts: count(|part| part.cold_starts),
            latency_ms: self.latency.quantiles(),
            wait_ms: self.wait.quantiles(),
            instances: Levels {
                mean: total(|part| part.instances.mean),
                max: if single { count(|part| part.instances.max) } else { peak_ready },
            },
            instance_seconds: total(|part| part.instance_seconds),
            idle_share: idle_share(self.ready, self.busy),
            scale_events: count(|part| part.scale_events),
            extra: Extra {
                concurrency_mean: total(|part| part.extra.concurrency_mean),
                time_in_system_seconds: total(|part| part.extra.time_in_system_seconds),
                waiting_mean: total(|part| part.extra.waiting_mean),
                waiting_max: parts.iter().map(|part| part.extra.waiting_max).max().unwrap_or(0),
                busy_mean: total(|part| part.extra.busy_mean),
                alive_max: if single { count(|part| part.extra.alive_max) } else { peak_alive },
                instances_started: count(|part| part.extra.instances_started),
                panic_seconds: total(|part| part.extra.panic_seconds),
                retries: count(|part| part.extra.retries),
                decisions: count(|part| part.extra.decisions),
                ready_histogram,
            },
            ..SimResult::default()
        }
    }
}
