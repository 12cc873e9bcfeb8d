//! Wake-ups of a revision: those that its policy asks for, and in local mode the activator's
//! reports between two ticks.

use tidegate_autoscaler::driver::Urgency;

use super::told::Told;
use super::{Revision, Ticking};
use crate::events::{EventQueue, Kind, NEVER, Tag};
use crate::time::NANOS_PER_SEC;
use crate::world::urgency::LATE_NS;

impl Revision {
    /// Whether the activator may report between ticks: local mode.
    #[inline]
    pub(crate) fn is_attended(&self) -> bool {
        self.urgent.is_some()
    }

    /// Wakes a revision that did not tick. The empty seconds in between are closed unreported, so
    /// that they do not dilute the average of the second that begins. In local mode, where the
    /// activator goes on reporting, the first decision follows soon.
    pub(crate) fn wake(&mut self, now: u64) {
        if self.urgent.is_some() {
            let _ = self.reporters.close_all(now / NANOS_PER_SEC * NANOS_PER_SEC);
            self.told = Told::new(now, self.model.platform.into_second().as_nanos());
            self.scaler.wake(now);
        } else {
            self.reporters.rested(now);
        }
    }

    /// Whether the queue has just formed: an arrival joins a queue that exists, so a length of one
    /// means that this arrival began it.
    #[inline]
    pub(crate) fn has_just_formed_queue(&self) -> bool {
        self.front.waiting() == 1
    }

    /// Records that a queue has formed; returns whether the activator may report it now.
    pub(crate) fn reports_new_queue(&mut self, now: u64) -> bool {
        self.urgent.as_mut().is_some_and(|urgent| urgent.queue_formed(now))
    }

    /// Whether the activator's next early report is due, by time and by the queue's growth.
    pub(crate) fn is_report_due(&mut self, now: u64) -> bool {
        let waiting = self.front.waiting();
        self.urgent.as_mut().is_some_and(|urgent| urgent.is_report_due(now, waiting))
    }

    /// Records that the activator has reported between two ticks.
    pub(crate) fn reported_early(&mut self, now: u64) {
        self.tell(now);
        let waiting = self.front.waiting();
        if let Some(urgent) = &mut self.urgent {
            urgent.reported_early(now, waiting);
        }
    }

    /// Records that the report of the second has carried the queue's length as well.
    pub(crate) fn reported_in_turn(&mut self, now: u64) {
        let waiting = self.front.waiting();
        if let Some(urgent) = &mut self.urgent {
            urgent.reported_in_turn(now, waiting);
        }
    }

    /// When the controller decides because requests wait; `None` when none do, or outside local
    /// mode.
    pub(crate) fn urge(&mut self, now: u64) -> Option<Urgency> {
        let waiting = self.front.waiting();
        (waiting > 0 && self.urgent.is_some()).then(|| self.scaler.urge(now, waiting))
    }

    /// Whether a regular decision is due now, in local mode; it is postponed to `down_until`.
    pub(crate) fn takes_turn(&mut self, now: u64, down_until: u64) -> bool {
        if now < self.scaler.next_due().saturating_add(LATE_NS) {
            return false;
        }
        if now < down_until {
            self.scaler.postpone(down_until);
            return false;
        }
        self.ticking == Ticking::On
    }

    /// Schedules the next timer of local mode.
    pub(crate) fn arm(&mut self, now: u64, events: &mut EventQueue) {
        let Some(urgent) = &self.urgent else { return };
        if self.ticking == Ticking::On {
            let next_tick = self.scaler.next_due().saturating_add(LATE_NS);
            let second_ends = self.told.ends_apart().map_or(NEVER, |at| at.saturating_add(LATE_NS));
            let next = urgent.next_look().min(next_tick).min(second_ends);
            self.look_again_at(next, now, events);
        }
    }

    /// Schedules a wake-up at `at`, or now if that has passed.
    pub(crate) fn look_again_at(&mut self, at: u64, now: u64, events: &mut EventQueue) {
        self.wake.set(at, now, events, (Kind::Revision, self.index));
    }

    /// Whether `tag` is the pending wake-up.
    pub(crate) fn wake_rings(&mut self, tag: Tag) -> bool {
        self.wake.rings(tag)
    }
}
