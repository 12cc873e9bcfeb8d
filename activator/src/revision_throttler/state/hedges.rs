//! What a throttler's lock protects of hedges: the budget, and the place at another instance.

use tidegate_admission::InstanceId;

use super::super::second_attempts::HedgeOutcome;
use super::{Assignment, State};

impl State {
    /// A request that is at an instance is sent to another as well, within the budget.
    pub(in super::super) fn hedge(
        &mut self,
        at: InstanceId,
        order: u64,
    ) -> Result<Assignment, HedgeOutcome> {
        let is_left = self.attempts.hedges.as_mut().is_some_and(|hedges| hedges.take());
        if !is_left {
            return Err(HedgeOutcome::OverBudget);
        }
        let elsewhere = self.dispatcher().send_elsewhere(at);
        let assignment = elsewhere.and_then(|instance| self.spend_on(instance, order));
        assignment.ok_or_else(|| {
            if let Some(hedges) = &mut self.attempts.hedges {
                hedges.put_back();
            }
            HedgeOutcome::NoRoom
        })
    }
}
