//! Local mode's reports and decisions out of turn.
//!
//! In local mode the front door tells the controller at once that a line has formed or has doubled,
//! and the controller decides at once, by what is there at that moment. When to tell is said by
//! [`EarlyReports`] and when to decide by the scaler's driver, as in production; here are only the
//! timers that both are waited for with.

use tidegate_admission::{EarlyReports, Moment};
use tidegate_autoscaler::driver::Urgency;

use super::beat::Trigger;
use super::revision::{Beat, Revision};
use super::{NEVER, World};
use crate::events::Kind;
use crate::record::Observer;
use crate::time::NANOS_PER_SEC;

/// Real timers come at least this late: they round up to the next millisecond. It matters, because
/// panic ends only when its window has passed by more than nothing.
const LATE_NS: u64 = 1_000_000;

/// What the front door of one revision tells out of turn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attention {
    early: EarlyReports,
}

impl Attention {
    pub(crate) const fn new(now: u64) -> Self {
        Attention { early: EarlyReports::new(Moment::from_nanos(now)) }
    }

    /// When the front door looks how long its line is.
    fn next_look(&self) -> u64 {
        self.early.next_look().map_or(NEVER, |at| at.as_nanos().saturating_add(LATE_NS))
    }
}

impl Revision {
    /// When a timer of the controller or of the front door comes.
    fn next_timer(&self) -> Option<u64> {
        let attention = self.attention.as_ref()?;
        let next_tick = self.scaler.next_due().saturating_add(LATE_NS);
        Some(attention.next_look().min(next_tick))
    }
}

impl<O: Observer> World<'_, O> {
    /// A revision becomes active: its first tick is soon.
    pub(super) fn rouse(&mut self, index: u32) {
        let now = self.now;
        let revision = &mut self.revisions[index as usize];
        if revision.attention.is_some() {
            // The front door reported every second that nobody was there, and nobody listened.
            let second = now / NANOS_PER_SEC * NANOS_PER_SEC;
            let _ = revision.meter.cut(Moment::from_nanos(second));
            revision.scaler.rouse(now);
            self.arm(index);
        }
    }

    /// After an arrival: the front door tells of a line that formed, at once or as soon as it may.
    pub(super) fn attend_arrival(&mut self, index: u32) {
        let now = Moment::from_nanos(self.now);
        let revision = &mut self.revisions[index as usize];
        // Whoever comes while a line stands joins it, so one in line has just formed it.
        let formed = revision.front.waiting() == 1;
        let Some(attention) = &mut revision.attention else { return };
        if !formed {
            return;
        }
        attention.early.line_formed();
        if attention.early.look(now, 1) {
            return self.tell(index);
        }
        self.arm(index);
    }

    /// After a second's report, which also says how many wait.
    pub(super) fn attend_beat(&mut self, index: u32) {
        let now = Moment::from_nanos(self.now);
        let revision = &mut self.revisions[index as usize];
        let waiting = revision.front.waiting();
        if let Some(attention) = &mut revision.attention {
            attention.early.reported_in_turn(now, waiting);
        }
        self.arm(index);
        self.urgent(index);
    }

    /// A tick, a look at the line, or another time at which to look.
    pub(super) fn attend_wake(&mut self, index: u32) {
        let now = self.now;
        let revision = &mut self.revisions[index as usize];
        let waiting = revision.front.waiting();
        let Some(attention) = &mut revision.attention else { return };
        if now >= attention.next_look() && attention.early.look(Moment::from_nanos(now), waiting) {
            self.tell(index);
        }
        let revision = &mut self.revisions[index as usize];
        if now >= revision.scaler.next_due().saturating_add(LATE_NS) {
            if now < self.controller_down_until {
                revision.scaler.postpone(self.controller_down_until);
            } else if revision.beat == Beat::On {
                self.decide(index, Trigger::Tick);
            }
        }
        self.arm(index);
    }

    /// The front door says how many wait.
    fn tell(&mut self, index: u32) {
        let now = Moment::from_nanos(self.now);
        let revision = &mut self.revisions[index as usize];
        let waiting = revision.front.waiting();
        if let Some(attention) = &mut revision.attention {
            attention.early.reported_early(now, waiting);
        }
        self.arm(index);
        self.urgent(index);
    }

    /// Requests wait: the controller decides now, or as soon as it may.
    fn urgent(&mut self, index: u32) {
        let now = self.now;
        let revision = &mut self.revisions[index as usize];
        let waiting = revision.front.waiting();
        if now < self.controller_down_until || waiting == 0 || revision.attention.is_none() {
            return;
        }
        match revision.scaler.urge(now, waiting) {
            Urgency::Now => self.decide(index, Trigger::WakeUp),
            Urgency::At(_) => self.arm(index),
        }
    }

    /// Makes sure that the next timer comes.
    pub(super) fn arm(&mut self, index: u32) {
        let revision = &mut self.revisions[index as usize];
        let Some(next) = revision.next_timer() else { return };
        if revision.beat == Beat::On && next < revision.wake_at {
            revision.wake_at = next.max(self.now);
            revision.wake = self.events.push(revision.wake_at, Kind::Revision, index);
        }
    }
}
