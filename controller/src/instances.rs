//! The instances of a revision, with every sum over them kept up to
//! date: a report costs the same whether there are ten instances or ten thousand.
//!
//! An instance is changed through [`Instances::change`] only, which takes what it counted for out
//! of the figures and puts back what it counts for afterwards.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_autoscaler::Timestamp;

use crate::event::Endpoint;
use crate::identity::InstanceName;
use crate::instance::{Failure, Instance, Owner, Phase};

/// The instances of one revision.
#[derive(Debug, Default)]
pub(crate) struct Instances {
    instances: BTreeMap<InstanceName, Instance>,
    figures: Figures,
    /// Instances of the controller that are not ready yet, the oldest first.
    starting: BTreeSet<(Timestamp, InstanceName)>,
    /// Those of others without a stream, the longest silent first.
    silent: BTreeSet<(Timestamp, InstanceName)>,
    /// Whether [`Self::endpoints`] may have changed since its last call.
    endpoints_changed: bool,
    /// Instances read in scans of all of them, for tests that count the cost of a report.
    #[cfg(test)]
    full_scans: std::cell::Cell<usize>,
}

/// Sums over all instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Figures {
    phases: [u32; Phase::COUNT],
    /// Instances of the controller that count against the number wanted.
    started_kept: u32,
    /// Those among them that are to be replaced.
    outdated: u32,
    /// Those among them that are new and have not been ready so far.
    coming: u32,
    /// Those that take requests and have a limit, and the sum of their limits.
    limited: u32,
    limits: u64,
}

/// What changes for others when an instance changes.
#[derive(PartialEq, Eq)]
struct Standing {
    figures: Figures,
    starting: Option<Timestamp>,
    silent: Option<Timestamp>,
    endpoint: Option<(std::sync::Arc<str>, u32)>,
}

impl Standing {
    fn of(instance: &Instance) -> Self {
        let started_here = instance.owner == Owner::Controller;
        let waits = started_here && instance.phase == Phase::Starting && instance.failure.is_none();
        let is_replaced = started_here && instance.is_kept() && instance.outdated;
        let is_coming = started_here && instance.phase == Phase::Starting && !instance.outdated;
        let takes = instance.takes_requests();
        let limited = takes && instance.limit > 0;
        let mut phases = [0; Phase::COUNT];
        phases[instance.phase as usize] = 1;
        Self {
            figures: Figures {
                phases,
                started_kept: u32::from(started_here && instance.is_kept()),
                outdated: u32::from(is_replaced),
                coming: u32::from(is_coming),
                limited: u32::from(limited),
                limits: if limited { instance.limit.into() } else { 0 },
            },
            starting: waits.then_some(instance.started),
            silent: instance.silent_since.filter(|_| !started_here),
            endpoint: takes.then(|| (instance.address.clone(), instance.limit)),
        }
    }
}

impl Figures {
    fn add(&mut self, other: &Self) {
        for (sum, part) in self.phases.iter_mut().zip(other.phases) {
            *sum += part;
        }
        self.started_kept += other.started_kept;
        self.outdated += other.outdated;
        self.coming += other.coming;
        self.limited += other.limited;
        self.limits += other.limits;
    }

    fn subtract(&mut self, other: &Self) {
        for (sum, part) in self.phases.iter_mut().zip(other.phases) {
            *sum -= part;
        }
        self.started_kept -= other.started_kept;
        self.outdated -= other.outdated;
        self.coming -= other.coming;
        self.limited -= other.limited;
        self.limits -= other.limits;
    }

    /// How many instances are in a phase.
    pub(crate) fn count(&self, phase: Phase) -> u32 {
        self.phases[phase as usize]
    }

    /// How many instances of the controller count against the number wanted.
    pub(crate) fn started_kept(&self) -> u32 {
        self.started_kept
    }

    /// How many of them are to be replaced.
    pub(crate) fn outdated(&self) -> u32 {
        self.outdated
    }

    /// How many of them are new and have not been ready so far.
    pub(crate) fn coming(&self) -> u32 {
        self.coming
    }

    /// The mean limit of those that take requests and have one.
    pub(crate) fn mean_limit(&self) -> Option<f64> {
        (self.limited > 0).then(|| self.limits as f64 / f64::from(self.limited))
    }
}

impl Instances {
    /// How many instances there are.
    pub(crate) fn len(&self) -> usize {
        self.instances.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.instances.is_empty()
    }

    pub(crate) fn figures(&self) -> &Figures {
        &self.figures
    }

    pub(crate) fn get(&self, name: &InstanceName) -> Option<&Instance> {
        self.instances.get(name)
    }

    /// All of them in the order of their names: O(instances).
    pub(crate) fn all(&self) -> impl Iterator<Item = &Instance> {
        #[cfg(test)]
        self.full_scans.update(|count| count + self.len());
        self.instances.values()
    }

    /// Adds an instance; there must be none of its name.
    pub(crate) fn add(&mut self, instance: Instance) {
        let name = instance.name.clone();
        let standing = Standing::of(&instance);
        self.enter(&name, &standing);
        self.endpoints_changed |= standing.endpoint.is_some();
        self.instances.insert(name, instance);
    }

    /// Changes an instance, if it is there.
    pub(crate) fn change<T>(
        &mut self,
        name: &InstanceName,
        change: impl FnOnce(&mut Instance) -> T,
    ) -> Option<T> {
        let instance = self.instances.get_mut(name)?;
        let before = Standing::of(instance);
        let outcome = change(instance);
        let after = Standing::of(instance);
        if before != after {
            self.leave(name, &before);
            self.enter(name, &after);
            // Leaving and entering as the same endpoint is no change of endpoints.
            self.endpoints_changed |= before.endpoint != after.endpoint;
        }
        Some(outcome)
    }

    /// Removes an instance.
    pub(crate) fn remove(&mut self, name: &InstanceName) -> Option<Instance> {
        let instance = self.instances.remove(name)?;
        let standing = Standing::of(&instance);
        self.endpoints_changed |= standing.endpoint.is_some();
        self.leave(name, &standing);
        Some(instance)
    }

    fn enter(&mut self, name: &InstanceName, standing: &Standing) {
        self.figures.add(&standing.figures);
        self.starting.extend(standing.starting.map(|at| (at, name.clone())));
        self.silent.extend(standing.silent.map(|at| (at, name.clone())));
    }

    fn leave(&mut self, name: &InstanceName, standing: &Standing) {
        self.figures.subtract(&standing.figures);
        if let Some(at) = standing.starting {
            self.starting.remove(&(at, name.clone()));
        }
        if let Some(at) = standing.silent {
            self.silent.remove(&(at, name.clone()));
        }
    }

    /// Whether an instance of the controller starts and has not failed.
    pub(crate) fn is_starting(&self, name: &InstanceName) -> bool {
        self.get(name).is_some_and(|instance| Standing::of(instance).starting.is_some())
    }

    /// When the controller's oldest instance was started that is not ready yet.
    pub(crate) fn longest_starting(&self) -> Option<Timestamp> {
        self.starting.first().map(|(since, _)| *since)
    }

    /// Since when the one of others has had no stream that has been without for longest.
    pub(crate) fn longest_silent(&self) -> Option<Timestamp> {
        self.silent.first().map(|(since, _)| *since)
    }

    /// Records an instance of the controller as failed that was started at or before `since` and
    /// never became ready.
    pub(crate) fn fail_starting(
        &mut self,
        since: Timestamp,
        failure: Failure,
    ) -> Option<InstanceName> {
        let (_, name) = self.starting.first().filter(|(at, _)| *at <= since)?.clone();
        self.change(&name, |instance| instance.failure = Some(failure));
        Some(name)
    }

    /// Removes one of others that has been silent since `since` or longer.
    pub(crate) fn forget_silent(&mut self, since: Timestamp) -> Option<InstanceName> {
        let (_, name) = self.silent.first().filter(|(at, _)| *at <= since)?.clone();
        self.remove(&name);
        Some(name)
    }

    /// Whether [`Self::endpoints`] may have changed since its last call.
    pub(crate) fn endpoints_changed(&self) -> bool {
        self.endpoints_changed
    }

    /// Where requests may be sent now: O(instances).
    pub(crate) fn endpoints(&mut self) -> Vec<Endpoint> {
        self.endpoints_changed = false;
        let taking = self.all().filter(|instance| instance.takes_requests());
        taking
            .map(|instance| Endpoint {
                instance: instance.name.clone(),
                address: instance.address.clone(),
                limit: instance.limit,
                start: instance.start,
            })
            .collect()
    }

    /// How many instances were read in scans of all of them.
    #[cfg(test)]
    pub(crate) fn full_scans(&self) -> usize {
        self.full_scans.get()
    }

    /// Asserts that the running sums equal a fresh count.
    #[cfg(test)]
    pub(crate) fn recount(&self) {
        let (mut figures, mut starting, mut silent) =
            (Figures::default(), BTreeSet::new(), BTreeSet::new());
        for (name, instance) in &self.instances {
            let standing = Standing::of(instance);
            figures.add(&standing.figures);
            starting.extend(standing.starting.map(|at| (at, name.clone())));
            silent.extend(standing.silent.map(|at| (at, name.clone())));
        }
        assert_eq!((figures, &starting, &silent), (self.figures, &self.starting, &self.silent));
    }
}
