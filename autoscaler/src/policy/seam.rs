//! What every policy is given and what it returns.

use crate::explain::Decision;
use crate::observed::Observed;
use crate::revision::TICK_INTERVAL_MS;
use crate::sample::{Origin, Sample};
use crate::signal::Signal;
use crate::time::Timestamp;

/// What a policy is given when a decision is due.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TickInput<'a> {
    /// The time of the decision.
    pub now: Timestamp,
    /// The instances; none when they could not be counted.
    pub observed: Option<Observed>,
    /// Loads besides concurrency and request rate, as totals.
    pub signals: &'a [Signal],
}

/// When a policy is to be asked again although nothing happens to its revision: no request comes
/// or goes, no instance becomes ready or ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextWake {
    /// At every tick, also while there is no instance and no request.
    Tick,
    /// At this time, and not before.
    At(Timestamp),
    /// Not at all: without an event it would decide as it did.
    Event,
}

/// Decides how many instances one revision should have.
///
/// A policy owns its memory and is driven from outside: [`record`](Self::record) once a second,
/// [`tick`](Self::tick) every [`tick_interval_ms`](Self::tick_interval_ms), and also at once when
/// a request waits and [`should_wake`](Self::should_wake) returns true. It must not read a clock.
pub trait Policy {
    /// Records a report of the second that `at` falls into. Policies that do not go by reports
    /// ignore it.
    fn record(&mut self, at: Timestamp, origin: Origin, sample: &Sample) {
        let _ = (at, origin, sample);
    }

    /// Decides how many instances there should be at `input.now`.
    fn tick(&mut self, input: &TickInput<'_>) -> Decision;

    /// Whether `waiting` requests should cause a decision at once.
    fn should_wake(&self, waiting: u32) -> bool {
        waiting > 0
    }

    /// Milliseconds between decisions.
    fn tick_interval_ms(&self) -> u64 {
        TICK_INTERVAL_MS
    }

    /// When to be asked next while the revision has neither instances nor requests, as of the
    /// last decision. A policy that starts instances before requests come says when; one that only
    /// answers to requests says [`NextWake::Event`], and costs nothing while its revision rests.
    fn next_wake(&self) -> NextWake {
        NextWake::Tick
    }
}

impl Policy for Box<dyn Policy + Send> {
    fn record(&mut self, at: Timestamp, origin: Origin, sample: &Sample) {
        (**self).record(at, origin, sample);
    }

    fn tick(&mut self, input: &TickInput<'_>) -> Decision {
        (**self).tick(input)
    }

    fn should_wake(&self, waiting: u32) -> bool {
        (**self).should_wake(waiting)
    }

    fn tick_interval_ms(&self) -> u64 {
        (**self).tick_interval_ms()
    }

    fn next_wake(&self) -> NextWake {
        (**self).next_wake()
    }
}
