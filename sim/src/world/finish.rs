//! The end of a run: its result.

use super::World;
use super::counters::{Counters, Durations, idle_share};
use super::drawn::Drawn;
use crate::arrival::RevisionNames;
use crate::billing::add_held;
use crate::error::RunError;
use crate::output::RunOutput;
use crate::record::Observer;
use crate::result::{RevisionResult, SimResult};
use crate::scenario::Detail;
use crate::series::TimeSeries;
use crate::time::{NANOS_PER_SEC, SimSpan};
use crate::usage::Usage;

impl<O: Observer> World<'_, O> {
    /// When it ended, in nanoseconds.
    fn ended_at(&self) -> u64 {
        match self.scenario.duration {
            Some(duration) if !self.stopped => duration.as_nanos(),
            _ => self.now,
        }
    }

    /// Whether anything is left to be summed up.
    ///
    /// # Errors
    ///
    /// When it ended within its warm-up.
    pub(super) fn outlasted_warm_up(&self) -> Result<(), RunError> {
        let end = self.ended_at();
        if self.counted_from == 0 || end > self.counted_from {
            return Ok(());
        }
        Err(RunError::Model(format!(
            "the warm-up of {} s leaves nothing of a run of {} s: expected a shorter warm-up or a \
             longer run",
            self.scenario.warm_up.as_secs_f64(),
            SimSpan::from_nanos(end).as_secs_f64()
        )))
    }

    /// Sums up. Wall-clock figures, settings and the trace's hash are the caller's to add.
    pub(super) fn finish(mut self, names: &RevisionNames) -> RunOutput {
        let end = self.ended_at();
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
        let keeps = self.scenario.recording.detail == Detail::Revisions || names.len() <= 1;
        let (mut results, mut usage) = (Vec::new(), Usage::default());
        let mut sum =
            Sum { durations: std::mem::take(&mut self.total.durations), ..Sum::default() };
        // One after another, so that what a revision takes is free before the next result is made.
        for (revision, (in_flight, inside)) in self.revisions.drain(..).zip(in_flight) {
            let mut revision = revision;
            let result = revision.counters.result(&revision.name, end, in_flight, inside);
            debug_assert!(revision.counters.adds_up(in_flight, inside), "the counts do not add up");
            sum.add(&result, &revision.counters);
            let memory_mb = self.traffic.memory_mb(&revision.name);
            add_held(&mut usage, &revision.model, memory_mb, result.instance_seconds);
            if let Some(recorder) = revision.series_mut().take() {
                series.push(recorder.finish(end, Some(revision.name.clone())));
            }
            if keeps {
                results.push(result);
            }
        }
        // A single revision's own series says the same as the sum.
        if names.len() <= 1 {
            series.truncate(1);
            series.iter_mut().for_each(|series: &mut TimeSeries| series.revision = None);
        }
        let simulated_seconds = (end - begin) as f64 / NANOS_PER_SEC as f64;
        let mut result = sum.finish(names.len(), self.total.peak_ready, self.total.peak_alive);
        result.simulated_seconds = simulated_seconds;
        result.seed = self.scenario.seed;
        result.revisions = results;
        if let Some(nodes) = &mut self.nodes {
            usage.nodes = nodes.usage(end);
        }
        result.usage = usage;
        let (decisions, decisions_dropped) = self.decisions.finish();
        RunOutput {
            result,
            series,
            decisions,
            decisions_dropped,
            cold_starts_s: self.cold_starts_s,
        }
    }
}

/// Revisions added up, in their order.
#[derive(Default)]
struct Sum {
    durations: Durations,
    ready: u128,
    busy: u128,
    sums: SimResult,
    /// Most instances ready, and alive, of the last revision.
    most: (u64, u64),
}

impl Sum {
    fn add(&mut self, part: &RevisionResult, counters: &Counters) {
        self.durations.merge(&counters.durations);
        self.ready += counters.ready_area();
        self.busy += counters.busy_area();
        let sums = &mut self.sums;
        sums.requests += part.requests;
        sums.completed += part.completed;
        sums.rejected += part.rejected;
        sums.timed_out += part.timed_out;
        sums.failed += part.failed;
        sums.in_flight += part.in_flight;
        sums.cold_starts += part.cold_starts;
        sums.instances.mean += part.instances.mean;
        sums.instance_seconds += part.instance_seconds;
        sums.scale_events += part.scale_events;
        let (extra, of) = (&mut sums.extra, &part.extra);
        extra.concurrency_mean += of.concurrency_mean;
        extra.time_in_system_seconds += of.time_in_system_seconds;
        extra.waiting_mean += of.waiting_mean;
        extra.waiting_max = extra.waiting_max.max(of.waiting_max);
        extra.busy_mean += of.busy_mean;
        extra.instances_started += of.instances_started;
        extra.panic_seconds += of.panic_seconds;
        extra.retries += of.retries;
        extra.decisions += of.decisions;
        // Of a single revision; of several it is not kept.
        extra.ready_histogram.clone_from(&of.ready_histogram);
        self.most = (part.instances.max, of.alive_max);
    }

    fn finish(self, revisions: usize, peak_ready: u64, peak_alive: u64) -> SimResult {
        let mut result = self.sums;
        result.latency_ms = self.durations.latency.quantiles();
        result.wait_ms = self.durations.wait.quantiles();
        result.idle_share = idle_share(self.ready, self.busy);
        (result.instances.max, result.extra.alive_max) = (peak_ready, peak_alive);
        if revisions == 1 {
            (result.instances.max, result.extra.alive_max) = self.most;
        } else {
            result.extra.ready_histogram.clear();
        }
        result
    }
}
