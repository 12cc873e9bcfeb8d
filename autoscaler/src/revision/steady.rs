//! A revision whose instances are idle: how long the decision stays what it is, so that nobody
//! needs to make it again meanwhile, and how the seconds that passed are caught up with.
//!
//! With reports of no load every average falls, every second, to the bit: what is subtracted from
//! its sum is never negative, and what that is divided by never falls. So a recommendation that is
//! the same now and without any load is the same in between, and of one that is not the seconds of
//! the window say when it changes. Panic lasts for its time.

use super::{Measured, RevisionAutoscaler};
use crate::collector::StaleData;
use crate::decide::{first_other, settle};
use crate::decision::{Inputs, Signals, Steps};
use crate::observed::Observed;
use crate::signal::Signal;
use crate::spec::Improvements;
use crate::time::Timestamp;
use crate::window::BUCKET_MS;

/// A load that is little, and much beside what rounding leaves of the loads of a day.
const LITTLE_LOAD: f64 = 5e-4;

/// How long the last decision stays what it is if no instance comes or goes and each second is
/// reported to be without load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Steady {
    /// That is not known: decisions have to be made.
    Unknown,
    /// Decisions before this time are the same.
    Until(Timestamp),
    /// All of them are.
    Always,
}

impl RevisionAutoscaler {
    /// How long the decision that was made at `now` stays what it is, in the number of instances,
    /// the sign of excess burst capacity and panic, if `observed` stays what it is and each second
    /// from the next one on is recorded to be without load. Known for Knative's algorithm without a
    /// scale-down delay and with windows whose seconds all weigh the same.
    pub fn steady_until(&self, now: Timestamp, observed: Observed) -> Steady {
        let Some(collector) = &self.collector else { return Steady::Unknown };
        let settings = &self.settings;
        let is_plain = settings.improvements == Improvements::none() && self.delay.is_none();
        let is_reported = collector.last_recorded() == Some(now.whole_second());
        // What was decided may have been decided of other instances than there are now.
        if !is_plain || !is_reported || self.calm != Some(observed.ready) {
            return Steady::Unknown;
        }
        let metric = settings.spec.scaling_metric;
        let (averages, coverage) = collector.averages_with_coverage(now, metric, StaleData::Decay);
        let measured = Measured { averages, held: false, coverage: Some(coverage) };
        let mut inputs = Inputs::none(now);
        self.fill(&mut inputs, Some(observed), &measured, &[]);
        let mut steps = Steps::NONE;
        let idle = settle(&without_load(&inputs), &mut steps);
        let stands = self.status.excess_burst_capacity < 0;
        if (idle.excess_burst_capacity < 0) != stands {
            return Steady::Unknown;
        }
        if let Some(since) = self.panic.since {
            return Steady::Until(since.plus_millis(settings.spec.stable_window_ms + 1));
        }
        let desired = self.status.desired;
        if idle.desired == desired {
            return Steady::Always;
        }
        let after = |seconds: usize| {
            Steady::Until(now.whole_second().plus_millis(seconds as u64 * BUCKET_MS))
        };
        // Most often one instance is wanted for any load at all, and the last load says how long.
        if first_other(&inputs, observed, desired, std::iter::once(LITTLE_LOAD)).is_none()
            && let Some(seconds) = collector.stays_above(metric, LITTLE_LOAD)
        {
            return after(seconds);
        }
        let Some(averages) = collector.averages_without_load(metric) else {
            return Steady::Unknown;
        };
        let other = first_other(&inputs, observed, desired, averages);
        other.map_or(Steady::Unknown, |place| after(place + 1))
    }

    /// Records reports of no load, one for each second after the newest one up to that of `at`:
    /// the same to the bit as [`record`](Self::record) of each of them. Only where
    /// [`steady_until`](Self::steady_until) knows something, because improvements record otherwise.
    pub fn record_nothing_until(&mut self, at: Timestamp) {
        if let Some(collector) = &mut self.collector {
            collector.record_nothing_until(at);
        }
    }
}

/// The same with no load at all.
fn without_load(inputs: &Inputs) -> Inputs {
    let mut signals = Signals::NONE;
    for signal in inputs.signals.as_slice() {
        signals.push(Signal { stable: 0.0, panic: 0.0, ..*signal });
    }
    Inputs { signals, ..*inputs }
}
