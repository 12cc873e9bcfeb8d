//! The revisions that sleep: who has to be woken when.

use std::collections::BTreeMap;

use crate::events::NEVER;
use crate::scenario::{Keep, Scenario};

/// The sleeping revisions.
#[derive(Debug, Default)]
pub(super) struct Sleepers {
    /// Those to look at in each whole second. One that was woken before stays listed, so that each
    /// is listed once.
    pub(super) by_second: BTreeMap<u64, Vec<u32>>,
    /// How many sleep.
    pub(super) count: u64,
    /// Those that were woken since the last tick, as [`World`] lists those that tick.
    pub(super) woken: Vec<(u64, u32)>,
}

impl Sleepers {
    /// Whether none sleeps and none was woken since the last tick.
    pub(super) fn are_none(&self) -> bool {
        self.count == 0 && self.woken.is_empty()
    }

    /// The next second in which one is to be looked at.
    pub(super) fn next_at(&self) -> u64 {
        self.by_second.first_key_value().map_or(NEVER, |(second, _)| *second)
    }

    pub(super) fn list(&mut self, index: u32, at: u64) {
        self.by_second.entry(at).or_default().push(index);
    }
}

/// Whether revisions may sleep. A series shows the averages of every decision, and failures change
/// what is decided from outside.
pub(super) fn is_possible(scenario: &Scenario) -> bool {
    scenario.recording.series == Keep::No && scenario.failures.is_empty()
}
