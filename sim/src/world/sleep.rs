//! Revisions fall asleep because their instances idle, and are woken.

use super::World;
use crate::events::NEVER;
use crate::record::Observer;
use crate::time::NANOS_PER_SEC;

impl<O: Observer> World<'_, O> {
    /// After a tick: lets a revision sleep if it can; returns whether it does.
    pub(super) fn lull(&mut self, index: u32) -> bool {
        let revision = &mut self.revisions[index as usize];
        let Some(until) = revision.fall_asleep(self.now) else { return false };
        self.sleepers.count += 1;
        if until < revision.listed_at {
            revision.listed_at = until;
            self.sleepers.list(index, until);
        }
        true
    }

    /// Something happens to a sleeping revision.
    pub(super) fn rouse(&mut self, index: u32) {
        let last = self.last_tick();
        let revision = &mut self.revisions[index as usize];
        revision.catch_up(last, self.counted_from);
        self.sleepers.count -= 1;
        let activation = revision.activation;
        self.sleepers.woken.push((activation, index));
        self.next_tick = self.next_tick.min(self.tick_after_now());
    }

    /// Wakes those whose time it is, and has all that were woken tick, in the order in which they
    /// became active.
    pub(super) fn rouse_due(&mut self) {
        let now = self.now;
        while let Some(entry) = self.sleepers.by_second.first_entry()
            && *entry.key() <= now
        {
            for index in entry.remove() {
                let revision = &mut self.revisions[index as usize];
                revision.listed_at = NEVER;
                match revision.sleeps_until() {
                    Some(until) if until <= now => self.rouse(index),
                    Some(until) if until < NEVER => {
                        revision.listed_at = until;
                        self.sleepers.list(index, until);
                    }
                    Some(_) | None => {}
                }
            }
        }
        if self.sleepers.woken.is_empty() {
            return;
        }
        self.sleepers.woken.sort_unstable();
        self.active.append(&mut self.sleepers.woken);
        // Two sorted runs, which this sort makes one of in one pass.
        self.active.sort();
    }

    /// Ends all sleep at the end of a run.
    pub(super) fn rouse_all(&mut self, last: u64) {
        if self.sleepers.count > 0 {
            let counted_from = self.counted_from;
            self.revisions.iter_mut().for_each(|one| one.catch_up(last, counted_from));
        }
    }

    /// At the end of a run: the whole seconds until then pass, as they do while revisions tick.
    pub(super) fn sleep_to_the_end(&mut self) {
        let last = self.end / NANOS_PER_SEC * NANOS_PER_SEC;
        if self.sleepers.count > 0 && !self.stopped && self.end < NEVER && last >= self.now {
            (self.now, self.ticked) = (last, last);
        }
    }

    /// The last whole second whose tick is over.
    pub(super) fn last_tick(&self) -> u64 {
        let before = self.now.saturating_sub(1) / NANOS_PER_SEC * NANOS_PER_SEC;
        if self.ticked == self.now { self.now } else { before }
    }

    /// The first whole second from now on whose tick is not over.
    pub(super) fn tick_after_now(&self) -> u64 {
        let next = self.now.div_ceil(NANOS_PER_SEC) * NANOS_PER_SEC;
        if next == self.ticked { next + NANOS_PER_SEC } else { next }
    }
}
