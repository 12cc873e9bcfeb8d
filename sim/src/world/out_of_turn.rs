//! Local mode's reports and decisions out of turn.
//!
//! In local mode the front door tells the controller at once that a line has formed or has doubled,
//! and the controller decides at once, by what is there at that moment. When to tell is said by the
//! reporters' machine and when to decide by the scaler's driver, as in production; here are only
//! the timers that both are waited for with.

use tidegate_autoscaler::driver::Urgency;

use super::World;
use crate::record::Observer;
use crate::scaler::Trigger;

impl<O: Observer> World<'_, O> {
    /// After an arrival: the front door tells of a line that formed, at once or as soon as it may.
    pub(super) fn attend_arrival(&mut self, index: u32) {
        let revision = &mut self.revisions[index as usize];
        if !revision.has_just_formed_line() {
            return;
        }
        if revision.tells_of_new_line(self.now) {
            return self.tell(index);
        }
        self.arm(index);
    }

    /// After a second's report, which also says how many wait.
    pub(super) fn attend_beat(&mut self, index: u32) {
        self.revisions[index as usize].told_in_turn(self.now);
        self.arm(index);
        self.urgent(index);
    }

    /// A tick, a look at the line, or another time at which to look.
    pub(super) fn attend_wake(&mut self, index: u32) {
        if self.revisions[index as usize].tells(self.now) {
            self.tell(index);
        }
        if self.revisions[index as usize].takes_turn(self.now, self.controller_down_until) {
            self.decide(index, Trigger::Tick);
        }
        self.arm(index);
    }

    /// The front door says how many wait.
    fn tell(&mut self, index: u32) {
        self.revisions[index as usize].told_early(self.now);
        self.arm(index);
        self.urgent(index);
    }

    /// Requests wait: the controller decides now, or as soon as it may.
    fn urgent(&mut self, index: u32) {
        if self.now < self.controller_down_until {
            return;
        }
        match self.revisions[index as usize].urge(self.now) {
            Some(Urgency::Now) => self.decide(index, Trigger::WakeUp),
            Some(Urgency::At(_)) => self.arm(index),
            None => {}
        }
    }

    /// Makes sure that the next timer comes.
    pub(super) fn arm(&mut self, index: u32) {
        self.revisions[index as usize].arm(self.now, &mut self.events);
    }
}
