//! When the activator reports a revision's queue between two ticks, in local mode.

use tidegate_admission::{EarlyReports, Moment};

use crate::events::NEVER;

/// Lateness of timers, nanoseconds: real ones round up to the next millisecond. It matters, because
/// panic ends only when strictly more than its window has passed.
pub(crate) const LATE_NS: u64 = 1_000_000;

/// When the activator reports that a queue has formed or doubled, by production's own rule.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UrgentDecisions {
    early: EarlyReports,
}

impl UrgentDecisions {
    pub(crate) const fn new(now: u64) -> Self {
        UrgentDecisions { early: EarlyReports::new(Moment::from_nanos(now)) }
    }

    /// When the activator next compares its queue with the last report, nanoseconds.
    pub(crate) fn next_look(&self) -> u64 {
        self.early.next_check().map_or(NEVER, |at| at.as_nanos().saturating_add(LATE_NS))
    }

    /// Records that a queue has formed; returns whether to report it now.
    pub(crate) fn queue_formed(&mut self, now: u64) -> bool {
        self.early.queue_formed();
        self.early.check(Moment::from_nanos(now), 1)
    }

    /// Whether a queue of `waiting` requests is to be reported now.
    pub(crate) fn is_report_due(&mut self, now: u64, waiting: u32) -> bool {
        now >= self.next_look() && self.early.check(Moment::from_nanos(now), waiting)
    }

    /// Records an early report of `waiting` queued requests.
    pub(crate) fn reported_early(&mut self, now: u64, waiting: u32) {
        self.early.reported_early(Moment::from_nanos(now), waiting);
    }

    /// Records a regular report of `waiting` queued requests.
    pub(crate) fn reported_in_turn(&mut self, now: u64, waiting: u32) {
        self.early.reported_in_turn(Moment::from_nanos(now), waiting);
    }
}
