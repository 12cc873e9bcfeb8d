//! What the front door of one revision tells out of turn, in local mode.

use tidegate_admission::{EarlyReports, Moment};

use crate::events::NEVER;

/// Real timers come at least this late: they round up to the next millisecond. It matters, because
/// panic ends only when its window has passed by more than nothing.
pub(crate) const LATE_NS: u64 = 1_000_000;

/// When the front door tells that a line has formed or doubled, by the rule of production.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UrgentDecisions {
    early: EarlyReports,
}

impl UrgentDecisions {
    pub(crate) const fn new(now: u64) -> Self {
        UrgentDecisions { early: EarlyReports::new(Moment::from_nanos(now)) }
    }

    /// When the front door looks how long its line is.
    pub(crate) fn next_look(&self) -> u64 {
        self.early.next_look().map_or(NEVER, |at| at.as_nanos().saturating_add(LATE_NS))
    }

    /// A line has formed: whether that is told now.
    pub(crate) fn line_formed(&mut self, now: u64) -> bool {
        self.early.queue_formed();
        self.early.look(Moment::from_nanos(now), 1)
    }

    /// Whether it is told now that so many wait.
    pub(crate) fn looks(&mut self, now: u64, waiting: u32) -> bool {
        now >= self.next_look() && self.early.look(Moment::from_nanos(now), waiting)
    }

    /// A report out of turn has said how many wait.
    pub(crate) fn reported_early(&mut self, now: u64, waiting: u32) {
        self.early.reported_early(Moment::from_nanos(now), waiting);
    }

    /// A second's report has said how many wait.
    pub(crate) fn reported_in_turn(&mut self, now: u64, waiting: u32) {
        self.early.reported_in_turn(Moment::from_nanos(now), waiting);
    }
}
