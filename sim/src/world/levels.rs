//! Levels over time, of each revision and of all together.
//!
//! Every caller names one level, so what follows is inlined always: the compiler then keeps the
//! branch of that level alone. Left to itself it does not, which costs 4 % of a request.

use super::World;
use super::drawn::Drawn;
use crate::record::Observer;
use crate::series::recorder::{Count, Level};

impl<O: Observer> World<'_, O> {
    /// A level of a revision changes.
    #[inline(always)]
    pub(super) fn change(&mut self, index: u32, level: Level, change: i64) {
        let revision = &mut self.revisions[index as usize];
        revision.counters.shift(self.now, level, change);
        revision.draw(self.now, level);
        self.total.shift(level, change);
        self.total.draw(self.now, level);
    }

    /// Shows a change of a level that the revision's counters contain already.
    #[inline(always)]
    pub(super) fn show_change(&mut self, index: u32, level: Level, change: i64) {
        self.total.shift(level, change);
        self.show(index, level);
    }

    /// A ready instance begins or ceases to hold requests.
    #[inline]
    pub(super) fn change_busy(&mut self, slot: u32, change: i64) {
        let place = &self.instances[slot as usize];
        if place.is_ready() {
            self.change(place.revision, Level::Busy, change);
        }
    }

    /// Draws the present value of a level into the series.
    #[inline(always)]
    pub(super) fn show(&mut self, index: u32, level: Level) {
        self.revisions[index as usize].draw(self.now, level);
        self.total.draw(self.now, level);
    }

    /// Counts something that happened to a revision, in the series.
    #[inline]
    pub(super) fn count(&mut self, index: u32, count: Count) {
        self.revisions[index as usize].count(self.now, count);
        self.total.count(self.now, count);
    }
}
