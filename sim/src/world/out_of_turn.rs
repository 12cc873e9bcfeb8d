//! Local mode's reports and decisions between two ticks.
//!
//! In local mode the activator reports at once that a queue has formed or doubled, and the
//! controller decides at once from the state of that moment. When to report is decided by
//! [`tidegate_admission::EarlyReports`], when to decide by the scaler's driver, both as in
//! production; this module has only their timers.

use tidegate_autoscaler::driver::Urgency;

use super::World;
use crate::record::Observer;
use crate::scaler::Trigger;

impl<O: Observer> World<'_, O> {
    /// After an arrival: reports a queue that has just formed, at once or as soon as allowed.
    pub(super) fn attend_arrival(&mut self, index: u32) {
        let revision = &mut self.revisions[index as usize];
        if !revision.has_just_formed_queue() {
            return;
        }
        if revision.reports_new_queue(self.now) {
            return self.report_urgently(index);
        }
        self.arm(index);
    }

    /// After a second's report, which carries the queue's length too.
    pub(super) fn attend_tick(&mut self, index: u32) {
        self.revisions[index as usize].reported_in_turn(self.now);
        self.arm(index);
        self.urgent(index);
    }

    /// Handles a wake-up: an early report, a regular decision, or both may be due.
    pub(super) fn attend_wake(&mut self, index: u32) {
        self.revisions[index as usize].end_second(self.now);
        if self.revisions[index as usize].is_report_due(self.now) {
            self.report_urgently(index);
        }
        if self.revisions[index as usize].takes_turn(self.now, self.controller_down_until) {
            self.decide(index, Trigger::Tick);
        }
        self.arm(index);
    }

    /// Sends the queue's length to the controller now.
    fn report_urgently(&mut self, index: u32) {
        self.revisions[index as usize].reported_early(self.now);
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

    /// Schedules the next timer.
    pub(super) fn arm(&mut self, index: u32) {
        self.revisions[index as usize].arm(self.now, &mut self.events);
    }
}
