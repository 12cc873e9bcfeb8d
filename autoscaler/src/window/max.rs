//! The maximum over a window: how a smaller recommendation is made to wait.

use std::collections::VecDeque;

use crate::time::{MS_PER_SECOND, Timestamp};

/// The largest of the values recorded into the last few slots of time.
///
/// Slots are counted from the newest record; nothing expires while nothing is recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaxWindow {
    /// Slots in rising order of time and falling order of value.
    falling: VecDeque<(i64, i32)>,
    slots: i64,
    granularity_s: i64,
}

impl MaxWindow {
    /// A window of `duration_ms` in slots of `granularity_ms`, which is rounded down to whole
    /// seconds; both are at least one slot of one second.
    ///
    /// At most `duration / granularity` values are ever held, and they are held from the start,
    /// so that recording allocates nothing.
    pub fn new(duration_ms: u64, granularity_ms: u64) -> MaxWindow {
        let slots = slots(duration_ms, granularity_ms);
        MaxWindow {
            falling: VecDeque::with_capacity(slots as usize),
            slots,
            granularity_s: ((granularity_ms / MS_PER_SECOND as u64) as i64).max(1),
        }
    }

    /// Records `value` at `at`; a time before the newest record counts as that.
    pub fn record(&mut self, at: Timestamp, value: i32) {
        let mut index = self.index(at);
        while self.falling.front().is_some_and(|oldest| oldest.0 <= index - self.slots) {
            self.falling.pop_front();
        }
        if let Some(newest) = self.falling.back() {
            index = index.max(newest.0);
            if newest.0 == index && newest.1 >= value {
                return;
            }
        }
        while self.falling.back().is_some_and(|newest| newest.1 <= value) {
            self.falling.pop_back();
        }
        self.falling.push_back((index, value));
    }

    /// The largest value of the window that ends with the newest record.
    pub fn current(&self) -> Option<i32> {
        self.falling.front().map(|&(_, value)| value)
    }

    /// What [`Self::current`] would be after recording the smallest possible value at `at`.
    pub fn current_at(&self, at: Timestamp) -> Option<i32> {
        let oldest = self.index(at) - self.slots;
        self.falling.iter().find(|&&(index, _)| index > oldest).map(|&(_, value)| value)
    }

    /// Changes the duration; what is older than the new one expires with the next record.
    pub fn resize(&mut self, duration_ms: u64) {
        self.slots = slots(duration_ms, self.granularity_s as u64 * MS_PER_SECOND as u64);
        let missing = (self.slots as usize).saturating_sub(self.falling.len());
        self.falling.reserve(missing);
    }

    fn index(&self, at: Timestamp) -> i64 {
        at.unix_seconds().div_euclid(self.granularity_s)
    }
}

/// The number of slots, at least one and at most an `i32`.
fn slots(duration_ms: u64, granularity_ms: u64) -> i64 {
    duration_ms.div_ceil(granularity_ms.max(1)).clamp(1, super::length::MAX_BUCKETS) as i64
}
