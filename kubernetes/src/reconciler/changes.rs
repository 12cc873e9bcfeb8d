//! How changes of objects are taken in, and which plans they make stale.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{Change, Reconciler};
use crate::world::{KindKey, ObjectKey, Rival, RivalKey, Service, Slice, Target, TargetKey};

impl Reconciler {
    pub(super) fn targets(&mut self, kind: &KindKey, change: Change<TargetKey, Target>) {
        match &change {
            Change::Listed(_) => self.planner.everything(),
            Change::Seen(key, _) | Change::Gone(key, _) => self.planner.target(&key.object),
        }
        self.world.targets.take_in(|key: &TargetKey| key.kind == *kind, change);
    }

    pub(super) fn services(&mut self, change: Change<ObjectKey, Service>) {
        let one = match &change {
            Change::Listed(_) => None,
            Change::Seen(key, _) | Change::Gone(key, _) => Some(key.clone()),
        };
        let Some(key) = one else {
            self.world.services.take_in(|_| true, change);
            self.planner.everything();
            return;
        };
        let before = self.world.services.get(&key).cloned();
        self.world.services.take_in(|_| true, change);
        self.planner.service(&key, before.as_ref(), self.world.services.get(&key));
    }

    pub(super) fn rivals(&mut self, kind: &'static str, change: Change<RivalKey, Rival>) {
        let is_listed = |key: &RivalKey| key.kind == kind;
        let one = match &change {
            Change::Listed(_) => None,
            Change::Seen(key, _) | Change::Gone(key, _) => Some(key.clone()),
        };
        let Some(key) = one else {
            self.world.rivals.take_in(is_listed, change);
            self.planner.rivals_listed(&self.world);
            return;
        };
        let before = self.world.rivals.get(&key).cloned();
        self.world.rivals.take_in(is_listed, change);
        self.planner.rival(&key, before.as_ref(), self.world.rivals.get(&key));
    }

    pub(super) fn slices(&mut self, namespace: Option<&str>, change: Change<ObjectKey, Slice>) {
        let is_within = |of: &ObjectKey| namespace.is_none_or(|n| n == of.namespace);
        let are_activators = self.activators.as_ref().is_some_and(is_within);
        let is_list = matches!(change, Change::Listed(_));
        self.take_in_slices(is_within, change);
        if are_activators && (is_list || self.world.activators.is_some()) {
            self.note_activators();
        }
    }

    pub(super) fn take_in_slices(
        &mut self,
        is_listed: impl Fn(&ObjectKey) -> bool,
        change: Change<ObjectKey, Slice>,
    ) {
        if let Change::Seen(key, _) | Change::Gone(key, _) = &change
            && let Some(before) = self.world.slices.get(key)
        {
            self.planner.slice(key, before);
        }
        match change {
            Change::Listed(all) => {
                self.world.slices.replace_some(is_listed, all);
                self.planner.everything();
            }
            Change::Seen(key, slice) => {
                self.planner.slice(&key, &slice);
                self.world.slices.upsert(key, slice);
            }
            Change::Gone(key, version) => self.world.slices.remove(&key, &version),
        }
    }

    pub(super) fn note_activators(&mut self) {
        let Some(service) = &self.activators else { return };
        let of_activators = self.world.slices.of_service(service);
        let addresses = of_activators.flat_map(|(_, slice)| slice.content.addresses.iter());
        let activators: BTreeSet<IpAddr> = addresses.copied().collect();
        // Whoever comes to have the address of one that is gone is tried anew.
        self.world.listening.retain(|(address, _), _| activators.contains(address));
        if self.world.activators.as_ref() != Some(&activators) {
            self.world.activators = Some(activators);
            self.planner.everything();
        }
    }
}
