//! Injected failures, and the platform's recovery from them.

use super::{ScheduledEvent, World};
use crate::error::RunError;
use crate::record::Observer;
use crate::scaler::Trigger;
use crate::scenario::{FailureKind, Scenario};

/// Refuses failures that could not happen: without a word they would be taken for survived.
pub(super) fn check(scenario: &Scenario) -> Result<(), RunError> {
    for failure in &scenario.failures {
        let at_s = failure.at.as_secs_f64();
        if failure.kind == FailureKind::Node && scenario.nodes.is_none() {
            return Err(RunError::Model(format!(
                "a node is to fail at {at_s} s, but the scenario has no nodes; give it some \
                 (--nodes), or let instances fail"
            )));
        }
        if let Some(end) = scenario.duration
            && failure.at.as_nanos() > end.as_nanos()
        {
            let end_s = end.as_secs_f64();
            return Err(RunError::Model(format!(
                "a failure at {at_s} s comes after the end of the run at {end_s} s; expected it \
                 before"
            )));
        }
    }
    Ok(())
}

impl<O: Observer> World<'_, O> {
    /// Injects failure number `index` of the scenario.
    pub(super) fn fail(&mut self, index: usize) -> Result<(), RunError> {
        let Some(failure) = self.scenario.failures.get(index) else { return Ok(()) };
        match &failure.kind {
            FailureKind::Instances { revision, count } => {
                let named = |name: &String| self.revisions.iter().position(|r| r.name == *name);
                let index = revision.as_ref().map_or(Some(0), named);
                let Some(index) = index.filter(|index| *index < self.revisions.len()) else {
                    let (name, at_s) = (revision.as_deref(), failure.at.as_secs_f64());
                    return Err(RunError::Model(format!(
                        "instances of revision `{}` are to fail at {at_s} s, and until then the \
                         traffic has not named it; expected a revision that it names",
                        name.unwrap_or("(the first one)")
                    )));
                };
                self.fail_instances(index as u32, *count);
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
        Ok(())
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
