//! Injected failures, and the platform's recovery from them.

use super::{ScheduledEvent, World};
use crate::record::Observer;
use crate::scaler::Trigger;
use crate::scenario::FailureKind;

impl<O: Observer> World<'_, O> {
    /// Injects failure number `index` of the scenario.
    pub(super) fn fail(&mut self, index: usize) {
        let Some(failure) = self.scenario.failures.get(index) else { return };
        match &failure.kind {
            FailureKind::Instances { revision, count } => {
                let named = |name: &String| self.revisions.iter().position(|r| r.name == *name);
                let index = revision.as_ref().map_or(Some(0), named);
                if let Some(index) = index.filter(|index| *index < self.revisions.len()) {
                    self.fail_instances(index as u32, *count);
                }
            }
            FailureKind::Node => {
                self.fail_node();
                for index in 0..self.revisions.len() {
                    self.replace_lost(index as u32);
                }
            }
            FailureKind::Controller { down } => {
                let back = self.now.saturating_add(down.as_nanos());
                self.controller_down_until = self.controller_down_until.max(back);
                self.schedule(back, ScheduledEvent::ControllerBack);
            }
        }
    }

    fn fail_instances(&mut self, index: u32, count: u32) {
        for _ in 0..count {
            // The one that has been ready for longest: it holds a fair share of the requests.
            let Some(slot) = self.revisions[index as usize].longest_ready() else { break };
            self.kill_instance(slot);
        }
        self.replace_lost(index);
    }

    /// Replaces lost instances: the platform keeps the number wanted without any decision.
    fn replace_lost(&mut self, index: u32) {
        let wanted = self.revisions[index as usize].wanted();
        self.scale_to(index, wanted);
    }

    /// The controller restarts without its history.
    pub(super) fn controller_back(&mut self) {
        if self.now < self.controller_down_until {
            return;
        }
        for index in 0..self.revisions.len() {
            let revision = &mut self.revisions[index];
            revision.restart_scaler(self.now);
            if revision.is_exact() {
                self.decide(index as u32, Trigger::WakeUp);
            } else {
                self.activate(index as u32);
            }
        }
    }
}
