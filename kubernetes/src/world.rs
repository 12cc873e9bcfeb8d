//! The observed state of the cluster: objects as they were last seen, and our writes since.
//!
//! Observations arrive late, twice, in the wrong order or not at all. So each object has its
//! version, an older one never replaces a newer one, the response to a write of ours is an
//! observation like any other, and a whole list replaces everything.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use tidegate_autoscaler::Timestamp;
use tidegate_kubernetes_objects::TrafficScalerStatus;
use tidegate_kubernetes_objects::names::FINALIZER;
use tidegate_kubernetes_objects::traffic_scaler::{Actuator, Mode, PortProtocol};

use crate::port_range::PortRange;
pub use crate::rival::{Rival, RivalKey};

pub use crate::endpoint_slice::{Family, Slice, SliceContent, SliceStore};
pub use tidegate_kubernetes_objects::store::{ObjectKey, Store, Version, Versioned};

/// A kind of workload.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KindKey {
    /// Group and version, such as `apps/v1`.
    pub api_version: String,
    /// Such as `Deployment`.
    pub kind: String,
}

impl KindKey {
    /// The group; empty for the core group.
    #[must_use]
    pub fn group(&self) -> &str {
        self.api_version.split_once('/').map_or("", |(group, _)| group)
    }
}

/// A workload whose replicas are set.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetKey {
    /// Its kind.
    pub kind: KindKey,
    /// Which one.
    pub object: ObjectKey,
}

impl std::fmt::Display for TargetKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.kind.kind, self.object)
    }
}

/// A `TrafficScaler`.
#[derive(Debug, Clone, PartialEq)]
pub struct Scaler {
    /// Its identity.
    pub uid: String,
    /// When it was created, which decides between two that claim the same.
    pub created: Timestamp,
    /// The generation of its spec.
    pub generation: i64,
    /// The version that was seen.
    pub version: Version,
    /// What it scales.
    pub target: TargetKey,
    /// The Service whose requests count.
    pub service: ObjectKey,
    /// What ports of the Service carry, by name or number, as the spec says it.
    pub protocols: BTreeMap<String, PortProtocol>,
    /// Whether its target may have no replica.
    pub may_be_zero: bool,
    /// Who sets the replicas.
    pub actuator: Actuator,
    /// The ports of the Service whose requests are held and wake its target; all when `None`.
    pub service_ports: Option<BTreeSet<u16>>,
    /// What is wrong with its settings, in the words of the settings.
    pub settings: Result<(), String>,
    /// What has to be done before it can be deleted, as names of finalizers.
    pub finalizers: Vec<String>,
    /// Whether somebody has deleted it, so that it goes once it has no finalizer.
    pub is_deleted: bool,
    /// What was last written about it.
    pub status: TrafficScalerStatus,
}

impl Scaler {
    /// Whether requests to a port of its Service are held.
    #[must_use]
    pub fn holds_port(&self, port: &ServicePort) -> bool {
        let is_named = |ports: &BTreeSet<u16>| ports.contains(&port.port);
        port.is_tcp && self.service_ports.as_ref().is_none_or(is_named)
    }

    /// Whether it stays, when it is deleted, until its target has been woken.
    #[must_use]
    pub fn is_protected(&self) -> bool {
        self.finalizers.iter().any(|name| name == FINALIZER)
    }

    /// Whether its target, being at zero, was brought there by us.
    #[must_use]
    pub fn is_zero_of_ours(&self, memory: &Memory) -> bool {
        match &memory.scaled {
            Some(scaled) => scaled.replicas == 0 || memory.asked_for_zero,
            // The written mode is one after which we set zero.
            None => {
                matches!(self.status.mode, Some(Mode::Draining | Mode::Zero | Mode::Activating))
            }
        }
    }
}

/// A workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The version that was seen.
    pub version: Version,
    /// Replicas that it is set to.
    pub replicas: i32,
    /// Replicas that are ready.
    pub ready: i32,
}

/// A port of a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePort {
    /// Its name, which is empty where there is only one.
    pub name: String,
    /// Its number.
    pub port: u16,
    /// The application's protocol, if it is given.
    pub app_protocol: Option<String>,
    /// Whether its protocol is TCP, the only one that an activator serves.
    pub is_tcp: bool,
}

/// A Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// The version that was seen.
    pub version: Version,
    /// Its ports.
    pub ports: Vec<ServicePort>,
    /// The families of its addresses.
    pub families: BTreeSet<Family>,
    /// Why activators cannot hold its requests, if so.
    pub unheld: Option<&'static str>,
}

/// The decision library's desired replicas, with the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredScale {
    /// Replicas.
    pub replicas: i32,
    /// When this number was decided.
    pub decided: Timestamp,
    /// When it was last confirmed.
    pub as_of: Timestamp,
    /// The reason.
    pub reason: String,
    /// Pods whose queue-proxies report that they are ready.
    pub reporting: i32,
    /// Those of them whose queue-proxies count connections that carry no HTTP as well.
    pub counting: i32,
    /// Those pods by name, with the requests at each.
    pub pods: Vec<(String, u32)>,
}

macro_rules! versioned {
    ($($kind:ty),+) => {
        $(impl Versioned for $kind {
            fn version(&self) -> &Version {
                &self.version
            }
        })+
    };
}

versioned!(Scaler, Target, Service, Rival);

/// What is remembered of a scaler and is in no object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Memory {
    /// Since when its slices have been as wanted.
    pub held_since: Option<Timestamp>,
    /// Since when its pods have been ready beside its slices.
    pub served_since: Option<Timestamp>,
    /// Since when nothing of ours leads its requests to activators any more.
    pub direct_since: Option<Timestamp>,
    /// Since when every ready pod has been reporting.
    pub all_reporting_since: Option<Timestamp>,
    /// Since when a ready pod has not been heard of.
    pub silent_since: Option<Timestamp>,
    /// Since when activators have had no port for its Service, or have not listened there.
    pub portless_since: Option<Timestamp>,
    /// Since when the status has told other numbers than there are, and nothing else that is wrong.
    pub numbers_since: Option<Timestamp>,
    /// The last number that the target was set to by us.
    pub scaled: Option<Scaled>,
    /// Whether a request of ours to set zero has no known outcome yet: a zero that is seen
    /// meanwhile is ours.
    pub asked_for_zero: bool,
}

/// A number that a target was set to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scaled {
    /// The number.
    pub replicas: i32,
    /// The target's version since then.
    pub version: Version,
}

/// The whole observed state.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// The scalers.
    pub scalers: Store<ObjectKey, Scaler>,
    /// The workloads.
    pub targets: Store<TargetKey, Target>,
    /// The Services.
    pub services: Store<ObjectKey, Service>,
    /// All EndpointSlices of Services.
    pub slices: SliceStore,
    /// The other autoscalers.
    pub rivals: Store<RivalKey, Rival>,
    /// The resource names of the kinds that can be scaled; or why a kind cannot be.
    pub kinds: BTreeMap<KindKey, Result<String, String>>,
    /// The addresses of activators; `None` until they were seen.
    pub activators: Option<BTreeSet<IpAddr>>,
    /// Whether a port of an activator accepts connections, as far as it was tried.
    pub listening: BTreeMap<(IpAddr, u16), bool>,
    /// The desired scales, by the target's namespace and name.
    pub desired: BTreeMap<ObjectKey, DesiredScale>,
    /// The deletion costs that were written to pods by their names, as far as those still report,
    /// by the target's namespace and name.
    pub costs: BTreeMap<ObjectKey, BTreeMap<String, i32>>,
    /// The memory of each scaler.
    pub memory: BTreeMap<ObjectKey, Memory>,
    /// Targets that were at zero when their scaler was deleted, and need a replica.
    pub orphans: BTreeSet<TargetKey>,
    /// The ports of activators that may be assigned.
    pub port_range: PortRange,
}

impl World {
    /// Whether enough was listed to act: an object that is missing then does not exist.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.scalers.is_complete()
            && self.services.is_complete()
            && self.slices.is_complete()
            && self.rivals.is_complete()
            && self.activators.is_some()
    }

    /// We have set a target to a number, and it is now `target`.
    pub fn scaled(&mut self, scaler: &ObjectKey, key: TargetKey, target: Target) {
        let scaled = Scaled { replicas: target.replicas, version: target.version.clone() };
        let memory = self.memory.entry(scaler.clone()).or_default();
        memory.scaled = Some(scaled);
        memory.asked_for_zero = false;
        self.orphans.remove(&key);
        // A Scale has no number of ready replicas.
        let ready = self.targets.get(&key).map_or(0, |known| known.ready);
        self.targets.upsert(key, Target { ready, ..target });
    }

    /// This is now desired of a target. The costs of its pods that no longer report are forgotten.
    pub fn desire(&mut self, target: ObjectKey, desired: DesiredScale) {
        if let Some(costs) = self.costs.get_mut(&target) {
            costs.retain(|pod, _| desired.pods.iter().any(|(name, _)| name == pod));
            if costs.is_empty() {
                self.costs.remove(&target);
            }
        }
        self.desired.insert(target, desired);
    }

    /// A pod of a target costs so much to delete, as we have written.
    pub fn note_cost(&mut self, target: &ObjectKey, pod: &str, cost: i32) {
        // What is not desired any more would never be forgotten.
        if self.desired.contains_key(target) {
            self.costs.entry(target.clone()).or_default().insert(pod.to_owned(), cost);
        }
    }

    /// A scaler is gone. If it had brought its target to zero, that is undone: nobody would hear
    /// its requests any more. Returns its target, unless it was gone before.
    pub fn scaler_gone(&mut self, key: &ObjectKey, version: &Version) -> Option<ObjectKey> {
        let scaler = self.scalers.remove(key, version)?;
        self.orphan(key, &scaler);
        Some(scaler.target.object)
    }

    /// All scalers that there are were listed. Returns those that are gone, with their targets.
    pub fn scalers_listed(&mut self, all: Vec<(ObjectKey, Scaler)>) -> Vec<(ObjectKey, ObjectKey)> {
        let listed: BTreeSet<&ObjectKey> = all.iter().map(|(key, _)| key).collect();
        let gone: Vec<(ObjectKey, Scaler)> = self
            .scalers
            .iter()
            .filter(|(key, _)| !listed.contains(key))
            .map(|(key, scaler)| (key.clone(), scaler.clone()))
            .collect();
        self.scalers.replace(all);
        for (key, scaler) in &gone {
            self.orphan(key, scaler);
        }
        gone.into_iter().map(|(key, scaler)| (key, scaler.target.object)).collect()
    }

    fn orphan(&mut self, key: &ObjectKey, scaler: &Scaler) {
        let is_at_zero = self.targets.get(&scaler.target).is_some_and(|t| t.replicas == 0);
        let memory = self.memory.remove(key).unwrap_or_default();
        let is_set_by_us = scaler.actuator == Actuator::Direct;
        if is_at_zero && is_set_by_us && scaler.is_zero_of_ours(&memory) {
            self.orphans.insert(scaler.target.clone());
        }
        self.desired.remove(&scaler.target.object);
        self.costs.remove(&scaler.target.object);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn desired(pods: &[&str]) -> DesiredScale {
        DesiredScale {
            replicas: 1,
            decided: Timestamp::EPOCH,
            as_of: Timestamp::EPOCH,
            reason: String::new(),
            reporting: 1,
            counting: 0,
            pods: pods.iter().map(|name| ((*name).to_owned(), 0)).collect(),
        }
    }

    #[test]
    fn costs_are_kept_for_as_long_as_their_pods_report() {
        let mut world = World::default();
        let [till, cart] = ["till", "cart"].map(|name| ObjectKey::new("shop", name));
        world.note_cost(&till, "till-1", -100);
        assert!(world.costs.is_empty(), "nothing would ever forget it");
        for target in [&till, &cart] {
            world.desire(target.clone(), desired(&["one", "two"]));
            world.note_cost(target, "one", -100);
            world.note_cost(target, "two", 0);
        }
        // A number of one target is no look at the pods of others.
        world.desire(till.clone(), desired(&["two"]));
        assert_eq!(world.costs[&till], BTreeMap::from([("two".to_owned(), 0)]));
        assert_eq!(world.costs[&cart].len(), 2);
        world.desire(till.clone(), desired(&[]));
        assert!(!world.costs.contains_key(&till));
    }
}
