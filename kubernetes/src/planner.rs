//! What is to be done, kept up to date: only what may have changed is looked at again.
//!
//! [`evaluate`] says what one scaler needs, from what is seen of it and from the time. This
//! remembers its answers, which of them what happens makes stale, and which of them time does. A
//! [`Planner::new`] looks at everything; one that was told of every change since has the same plan.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use tidegate_autoscaler::Timestamp;
use tidegate_controller::ActivatorPorts;
use tidegate_kubernetes_adapters::published::Said;
use tidegate_kubernetes_adapters::{NotRecommended, Recommendation};

use crate::claim::Claims;
use crate::endpoint_slice::service_of;
use crate::index::Index;
use crate::plan::{Action, DESIRED_FRESH_MS, ScalerPlan, evaluate, rescue_orphans};
use crate::ports::Ports;
use crate::world::{
    DesiredScale, KindKey, ObjectKey, Rival, RivalKey, Scaler, Service, Slice, World,
};

/// The plan, and what it depends on.
#[derive(Debug, Clone, Default)]
pub struct Planner {
    index: Index,
    claims: Claims,
    /// The ports of activators, as they are to be.
    ports: Ports,
    stale: Stale,
    plans: BTreeMap<ObjectKey, Kept>,
    /// All actions of all plans, the most urgent first.
    actions: BTreeMap<(u8, ObjectKey, usize), Action>,
    orphans: Vec<Action>,
    checks: BTreeSet<(IpAddr, u16, ObjectKey)>,
    /// When a plan is to be looked at again although nothing has happened.
    due: BTreeSet<(Timestamp, ObjectKey)>,
    evaluations: u64,
}

/// The scalers that are to be looked at again.
#[derive(Debug, Clone)]
enum Stale {
    All,
    Some(BTreeSet<ObjectKey>),
}

impl Default for Stale {
    fn default() -> Self {
        Self::Some(BTreeSet::new())
    }
}

/// A plan without its actions and checks, which are kept together with all others'.
#[derive(Debug, Clone)]
struct Kept {
    actions: Vec<(u8, usize)>,
    checks: Vec<(IpAddr, u16)>,
    due: Option<Timestamp>,
    needs_fresh: bool,
    reads_pods: bool,
    ports: ActivatorPorts,
    recommendation: Result<Recommendation, NotRecommended>,
    /// Its entry among all that are due.
    at: Option<Timestamp>,
}

impl Planner {
    /// One that has looked at nothing yet.
    #[must_use]
    pub fn new(world: &World) -> Self {
        let mut planner = Self::default();
        planner.scalers_listed(world);
        planner
    }

    /// All scalers were listed.
    pub fn scalers_listed(&mut self, world: &World) {
        self.index = Index::of(world);
        self.claims = Claims::of(world);
        self.everything();
    }

    /// Anything may have changed but which scalers there are.
    pub fn everything(&mut self) {
        self.ports.everything();
        self.stale = Stale::All;
    }

    /// A scaler that was as `before` is now as `after`.
    pub fn scaler(&mut self, key: &ObjectKey, before: Option<&Scaler>, after: Option<&Scaler>) {
        let claim = |scaler: Option<&Scaler>| {
            scaler.map(|s| (s.uid.clone(), s.created, s.target.clone(), s.service.clone()))
        };
        if claim(before) != claim(after) {
            for scaler in [before, after].into_iter().flatten() {
                self.mark(|index| index.of_target(&scaler.target.object));
                self.mark(|index| index.of_service(&scaler.service));
            }
        }
        if let Some(before) = before {
            self.index.remove(key, before);
            self.claims.remove(key, before);
        }
        if let Some(after) = after {
            self.index.insert(key, after);
            self.claims.add(key, after);
        }
        self.ports.one(key);
        self.one(key);
    }

    /// Something about one scaler has changed, such as what is remembered of it.
    pub fn one(&mut self, key: &ObjectKey) {
        if let Stale::Some(stale) = &mut self.stale {
            stale.insert(key.clone());
        }
    }

    fn mark<'a, I: Iterator<Item = &'a ObjectKey>>(&'a mut self, of: impl FnOnce(&'a Index) -> I) {
        if let Stale::Some(stale) = &mut self.stale {
            stale.extend(of(&self.index).cloned());
        }
    }

    /// A target of this name has changed.
    pub fn target(&mut self, object: &ObjectKey) {
        self.mark(|index| index.of_target(object));
    }

    /// Whether there is a scaler of a target of this name.
    #[must_use]
    pub fn has_scaler_of(&self, object: &ObjectKey) -> bool {
        self.index.of_target(object).next().is_some()
    }

    /// A Service that was as `before` is now as `after`.
    pub fn service(&mut self, key: &ObjectKey, before: Option<&Service>, after: Option<&Service>) {
        let ports = |service: Option<&Service>| service.map(|service| service.ports.clone());
        if ports(before) != ports(after) {
            self.index.of_service(key).for_each(|scaler| self.ports.one(scaler));
        }
        self.mark(|index| index.of_service(key));
    }

    /// A slice was or is as this one.
    pub fn slice(&mut self, key: &ObjectKey, slice: &Slice) {
        let service = service_of(key, slice);
        self.mark(|index| index.of_service(&service).chain(index.of_slice_name(key)));
    }

    /// Somebody else scales a target, or does no longer.
    pub fn rival(&mut self, key: &RivalKey, before: Option<&Rival>, after: Option<&Rival>) {
        if let Some(before) = before {
            self.claims.remove_rival(key, before);
            self.target(&before.target.object);
        }
        if let Some(after) = after {
            self.claims.add_rival(key, after);
            self.target(&after.target.object);
        }
    }

    /// All rivals of a kind were listed.
    pub fn rivals_listed(&mut self, world: &World) {
        self.claims = Claims::of(world);
        self.everything();
    }

    /// Whether a kind can be scaled has changed.
    pub fn kind(&mut self, world: &World, kind: &KindKey) {
        let of_kind = world.scalers.iter().filter(|(_, scaler)| scaler.target.kind == *kind);
        if let Stale::Some(stale) = &mut self.stale {
            stale.extend(of_kind.map(|(key, _)| key.clone()));
        }
    }

    /// It is known now whether a port of an activator is listened on.
    pub fn port(&mut self, port: u16) {
        self.mark(|index| index.of_port(port));
    }

    /// What is wanted of a target was `before` and is now `after`. That it still is, and was heard
    /// of in time, changes nothing.
    pub fn desired(
        &mut self,
        now: Timestamp,
        object: &ObjectKey,
        (before, after): (Option<&DesiredScale>, &DesiredScale),
    ) {
        let said =
            |d: &DesiredScale| (d.replicas, d.decided, d.reporting, d.counting, d.reason.clone());
        let is_same = before.is_some_and(|before| {
            now.millis_since(before.as_of) <= DESIRED_FRESH_MS && said(before) == said(after)
        });
        let same_pods = before.is_some_and(|before| before.pods == after.pods);
        if let Stale::Some(stale) = &mut self.stale {
            let of_target = self.index.of_target(object);
            let reads_pods = |key: &&ObjectKey| self.plans.get(*key).is_some_and(|p| p.reads_pods);
            let changed = of_target.filter(|key| !is_same || (!same_pods && reads_pods(key)));
            stale.extend(changed.cloned());
        }
    }

    /// Brings the plan up to `now`. What has to be remembered of it is noted in `world`. Returns
    /// the scalers that were looked at.
    pub fn update(&mut self, world: &mut World, now: Timestamp) -> Vec<ObjectKey> {
        if !world.is_complete() {
            return Vec::new();
        }
        let moved = self.ports.update(world);
        if let Stale::Some(stale) = &mut self.stale {
            stale.extend(moved);
        }
        self.mark_due(world, now);
        let stale = match std::mem::take(&mut self.stale) {
            Stale::All => {
                let gone = self.plans.keys().filter(|key| world.scalers.get(key).is_none());
                let there = world.scalers.iter().map(|(key, _)| key);
                gone.chain(there).cloned().collect()
            }
            Stale::Some(stale) => stale,
        };
        for key in &stale {
            self.evaluate(world, key, now);
        }
        self.orphans = rescue_orphans(world, &self.index);
        stale.into_iter().collect()
    }

    /// Marks the plans that time makes stale.
    fn mark_due(&mut self, world: &World, now: Timestamp) {
        while self.due.first().is_some_and(|(at, _)| *at <= now) {
            let Some((_, key)) = self.due.pop_first() else { return };
            let Some(plan) = self.plans.get_mut(&key) else { continue };
            let fresh = world.scalers.get(&key).filter(|_| plan.needs_fresh);
            let fresh = fresh.and_then(|scaler| stale_at(world, scaler));
            plan.at = plan.due.into_iter().chain(fresh).min();
            match plan.at.filter(|at| *at > now) {
                Some(at) => _ = self.due.insert((at, key)),
                None => self.one(&key),
            }
        }
    }

    fn evaluate(&mut self, world: &mut World, key: &ObjectKey, now: Timestamp) {
        self.forget(key);
        let Some(scaler) = world.scalers.get(key) else { return };
        self.evaluations += 1;
        let given = self.ports.of(key);
        let plan = evaluate(world, &self.claims, (key, scaler), given, now);
        let ScalerPlan { actions, checks, recommendation, due, memory, ports, .. } = plan;
        let ScalerPlan { needs_fresh, reads_pods, .. } = plan;
        let fresh = if needs_fresh { stale_at(world, scaler) } else { None };
        let at = due.into_iter().chain(fresh).min();
        let mut kept = Kept {
            actions: Vec::new(),
            checks,
            due,
            needs_fresh,
            reads_pods,
            ports,
            recommendation,
            at,
        };
        for (place, action) in actions.into_iter().enumerate() {
            let urgency = action.step.urgency();
            kept.actions.push((urgency, place));
            self.actions.insert((urgency, key.clone(), place), action);
        }
        self.checks.extend(kept.checks.iter().map(|(ip, port)| (*ip, *port, key.clone())));
        self.due.extend(at.map(|at| (at, key.clone())));
        self.plans.insert(key.clone(), kept);
        world.memory.insert(key.clone(), memory);
    }

    fn forget(&mut self, key: &ObjectKey) {
        let Some(kept) = self.plans.remove(key) else { return };
        for (urgency, place) in kept.actions {
            self.actions.remove(&(urgency, key.clone(), place));
        }
        for (address, port) in kept.checks {
            self.checks.remove(&(address, port, key.clone()));
        }
        if let Some(at) = kept.at {
            self.due.remove(&(at, key.clone()));
        }
    }

    /// All that is to be done now, the most urgent first.
    pub fn actions(&self) -> impl Iterator<Item = &Action> {
        self.orphans.iter().chain(self.actions.values())
    }

    /// Ports of activators to try a connection to.
    pub fn checks(&self) -> impl Iterator<Item = (IpAddr, u16)> {
        let mut last = None;
        self.checks.iter().filter_map(move |(address, port, _)| {
            let port = (*address, *port);
            (last.replace(port) != Some(port)).then_some(port)
        })
    }

    /// When to ask again, if nothing happens before.
    #[must_use]
    pub fn due(&self) -> Option<Timestamp> {
        self.due.first().map(|(at, _)| *at)
    }

    /// How activators are to take the requests of a scaler's Service.
    #[must_use]
    pub fn ports(&self, key: &ObjectKey) -> Option<&ActivatorPorts> {
        self.plans.get(key).map(|kept| &kept.ports)
    }

    /// What other autoscalers are to be told of a scaler.
    #[must_use]
    pub fn recommendation(&self, key: &ObjectKey) -> Option<Said> {
        self.plans.get(key).map(|kept| Some(kept.recommendation.clone()))
    }

    /// How many scalers were looked at since the beginning; one that is looked at twice counts
    /// twice.
    #[must_use]
    pub fn evaluations(&self) -> u64 {
        self.evaluations
    }

    /// How often it was looked who has a port of the activators, since the beginning.
    #[must_use]
    pub fn port_looks(&self) -> u64 {
        self.ports.looks()
    }
}

/// From when on what is wanted of a scaler's target is too old to lose replicas by.
fn stale_at(world: &World, scaler: &Scaler) -> Option<Timestamp> {
    let desired = world.desired.get(&scaler.target.object)?;
    Some(desired.as_of.plus_millis(DESIRED_FRESH_MS + 1))
}
