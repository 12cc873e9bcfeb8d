//! What keeps a scaler that is deleted until its target has been woken, and what is done until
//! then.

use tidegate_kubernetes_objects::names::FINALIZER;
use tidegate_kubernetes_objects::traffic_scaler::{Actuator, Mode};

use super::{Action, RESCUE, ScalerPlan, ScalerView, Step};
use crate::claim::Obstacle;
use crate::request::ApiRequest;
use crate::world::Target;

impl ScalerView<'_> {
    /// A target comes to zero only while its scaler cannot vanish: who deletes a scaler while no
    /// controller runs would leave a target at zero of which nobody knows whose zero it is. Another
    /// autoscaler would not wake it either, for its numbers would end with the scaler.
    pub(super) fn finalizer_step(&self, plan: &mut ScalerPlan) {
        let others = self.scaler.finalizers.iter().filter(|name| *name != FINALIZER);
        let mut finalizers: Vec<String> = others.cloned().collect();
        let is_draining = self.mode == Some(Mode::Draining) && self.holds();
        let step = match self.scaler.is_protected() {
            false if is_draining && self.can_be_woken() => {
                finalizers.push(FINALIZER.to_owned());
                Step::Protect
            }
            true if self.may_vanish() || !self.can_be_woken() => Step::Release,
            _ => return,
        };
        let request = ApiRequest::finalizers(self.key, &self.scaler.version, &finalizers);
        plan.actions.push(Action { scaler: self.key.clone(), step, request });
    }

    /// Whether somebody would set replicas again: we, or the autoscaler that has to.
    fn can_be_woken(&self) -> bool {
        self.scaler.actuator == Actuator::Direct || !self.claimants.is_empty()
    }

    /// Whether the scaler could vanish and leave a zero behind.
    pub(super) fn could_be_forgotten(&self) -> bool {
        !self.scaler.is_protected()
    }

    /// Whether nothing would be left at zero if the scaler vanished now.
    fn may_vanish(&self) -> bool {
        match self.mode {
            Some(Mode::Warm | Mode::Suspended) => !self.memory.asked_for_zero,
            Some(Mode::Draining | Mode::Zero | Mode::Activating) => false,
            None => matches!(self.obstacle, Some(Obstacle::NoTarget(_) | Obstacle::Kind(_))),
        }
    }

    /// Replicas of a target whose scaler has been deleted: it is not left at zero, and until the
    /// scaler is gone it gets what its requests need.
    pub(super) fn last_replicas(&self, target: &Target) -> Option<i32> {
        let needed = self.desired.filter(|_| self.obstacle.is_none()).map_or(0, |d| d.replicas);
        match target.replicas {
            0 => Some(needed.max(RESCUE)),
            there if self.scaler.is_protected() => Some(there.max(needed)),
            _ => None,
        }
    }
}
