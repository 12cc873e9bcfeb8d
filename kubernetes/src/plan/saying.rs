//! When the status is written.

use super::{Action, NUMBERS_MS, ScalerPlan, ScalerView, Step};
use crate::request::ApiRequest;
use crate::status;

impl ScalerView<'_> {
    pub(super) fn status_step(&self, plan: &mut ScalerPlan) {
        let (said, status) = (&self.scaler.status, status::status(self));
        let is_written = status::says_the_same(said, &status);
        let are_numbers = !is_written && status::differs_in_numbers(said, &status);
        let since = are_numbers.then(|| self.memory.numbers_since.unwrap_or(self.now));
        plan.memory.numbers_since = since;
        let due = since.map(|since| since.plus_millis(NUMBERS_MS)).filter(|due| *due > self.now);
        plan.due = [plan.due, due].into_iter().flatten().min();
        let is_said = is_written || due.is_some();
        // Each write makes the object another, which the other write would not find.
        if is_said || self.scaler.is_deleted || !self.scaler.is_protected() {
            self.finalizer_step(plan);
        }
        if !is_said {
            let request = ApiRequest::apply_status(self.key, &status);
            plan.actions.push(Action { scaler: self.key.clone(), step: Step::Status, request });
        }
    }
}
