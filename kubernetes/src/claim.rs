//! Whether a target may be scaled by its scaler at all, and why not.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_autoscaler::Timestamp;
use tidegate_kubernetes_objects::traffic_scaler::Actuator;

use crate::world::{KindKey, ObjectKey, Rival, RivalKey, Scaler, TargetKey, World};

/// Why nothing is scaled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    /// The settings contradict themselves or cannot be read.
    #[error("{0}")]
    Settings(String),
    /// The kind has no scale subresource, or does not exist.
    #[error("{0}")]
    Kind(String),
    /// There is no such target.
    #[error("there is no {0}: create it, or correct spec.targetRef by a new TrafficScaler")]
    NoTarget(TargetKey),
    /// There is no such Service.
    #[error("there is no Service {0}: create it, or correct spec.service by a new TrafficScaler")]
    NoService(ObjectKey),
    /// Something else scales the target.
    #[error(
        "{kind} {name} scales {target} as well: delete one of the two, for each would undo what \
         the other does"
    )]
    Rival {
        /// The other's kind.
        kind: &'static str,
        /// The other's name.
        name: String,
        /// What both scale.
        target: TargetKey,
    },
    /// An older scaler scales a workload of another kind and the same name.
    #[error(
        "TrafficScaler {name} scales a workload of the same name, {target}: the reports of both \
         could not be told apart; delete one of the two, or give a workload another name"
    )]
    SameName {
        /// The other's name.
        name: String,
        /// What the other scales.
        target: TargetKey,
    },
    /// An older scaler has claimed the Service.
    #[error("TrafficScaler {name} has claimed Service {service} before: delete one of the two")]
    ServiceClaimed {
        /// The other's name.
        name: String,
        /// The Service.
        service: String,
    },
}

impl Obstacle {
    /// The reason in a condition.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Settings(_) => "InvalidSettings",
            Self::Kind(_) => "KindNotScalable",
            Self::NoTarget(_) => "TargetNotFound",
            Self::NoService(_) => "ServiceNotFound",
            Self::Rival { .. } | Self::SameName { .. } | Self::ServiceClaimed { .. } => "Conflict",
        }
    }

    /// Whether another scaler or autoscaler claims the same.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Rival { .. } | Self::SameName { .. } | Self::ServiceClaimed { .. })
    }
}

/// Who claims which target and which Service; of several the oldest has it.
#[derive(Debug, Clone, Default)]
pub struct Claims {
    /// By the target's name, since reports name no kind.
    targets: BTreeMap<ObjectKey, BTreeMap<Age, TargetKey>>,
    services: BTreeMap<ObjectKey, BTreeSet<Age>>,
    /// In the order of their kinds and names.
    rivals: BTreeMap<Identity, Vec<Claimant>>,
}

/// An HPA or a ScaledObject that scales a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimant {
    /// Its kind.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// Whether it may bring the target to zero.
    pub may_be_zero: bool,
}

/// When a scaler was created, its uid, and which it is: the order among those that claim the same.
type Age = (Timestamp, String, ObjectKey);

/// Which workload: the group and name of its kind, and its own name.
type Identity = (String, String, ObjectKey);

fn age(key: &ObjectKey, scaler: &Scaler) -> Age {
    (scaler.created, scaler.uid.clone(), key.clone())
}

/// Which workload: kinds are the same across versions of a group.
fn identity(target: &TargetKey) -> Identity {
    let KindKey { kind, .. } = &target.kind;
    (target.kind.group().to_owned(), kind.clone(), target.object.clone())
}

impl Claims {
    /// The claims of all scalers that are seen.
    #[must_use]
    pub fn of(world: &World) -> Self {
        let mut claims = Self::default();
        for (key, scaler) in world.scalers.iter() {
            claims.add(key, scaler);
        }
        for (key, rival) in world.rivals.iter() {
            claims.add_rival(key, rival);
        }
        claims
    }

    /// The HPAs and ScaledObjects of a target.
    #[must_use]
    pub fn claimants(&self, target: &TargetKey) -> &[Claimant] {
        self.rivals.get(&identity(target)).map_or(&[], Vec::as_slice)
    }

    /// A scaler has come.
    pub fn add(&mut self, key: &ObjectKey, scaler: &Scaler) {
        let of_target = self.targets.entry(scaler.target.object.clone()).or_default();
        of_target.insert(age(key, scaler), scaler.target.clone());
        self.services.entry(scaler.service.clone()).or_default().insert(age(key, scaler));
    }

    /// A scaler that was as `scaler` is gone.
    pub fn remove(&mut self, key: &ObjectKey, scaler: &Scaler) {
        let age = age(key, scaler);
        if let Some(of_target) = self.targets.get_mut(&scaler.target.object) {
            of_target.remove(&age);
            if of_target.is_empty() {
                self.targets.remove(&scaler.target.object);
            }
        }
        if let Some(of_service) = self.services.get_mut(&scaler.service) {
            of_service.remove(&age);
            if of_service.is_empty() {
                self.services.remove(&scaler.service);
            }
        }
    }

    /// Somebody else has come to scale a target.
    pub fn add_rival(&mut self, key: &RivalKey, rival: &Rival) {
        let (kind, name) = (key.kind, key.object.name.clone());
        let claimants = self.rivals.entry(identity(&rival.target)).or_default();
        let place = claimants.partition_point(|c| (c.kind, &c.name) < (kind, &name));
        claimants.insert(place, Claimant { kind, name, may_be_zero: rival.may_be_zero });
    }

    /// One that was as `rival` is gone.
    pub fn remove_rival(&mut self, key: &RivalKey, rival: &Rival) {
        let target = identity(&rival.target);
        if let Some(of_target) = self.rivals.get_mut(&target) {
            of_target.retain(|c| (c.kind, &c.name) != (key.kind, &key.object.name));
            if of_target.is_empty() {
                self.rivals.remove(&target);
            }
        }
    }

    /// What is in the way of a scaler, if anything is.
    #[must_use]
    pub fn obstacle(&self, world: &World, key: &ObjectKey, scaler: &Scaler) -> Option<Obstacle> {
        let target = identity(&scaler.target);
        let named = scaler.target.clone();
        if let Some(Claimant { kind, name, .. }) = self.claimants(&scaler.target).first()
            && scaler.actuator == Actuator::Direct
        {
            return Some(Obstacle::Rival { kind, name: name.clone(), target: named });
        }
        let oldest = self.targets.get(&scaler.target.object).and_then(BTreeMap::first_key_value);
        if let Some(((_, _, other), others)) = oldest.filter(|((_, _, other), _)| other != key) {
            let (kind, name) = ("TrafficScaler", other.name.clone());
            return Some(match identity(others) == target {
                true => Obstacle::Rival { kind, name, target: named },
                false => Obstacle::SameName { name, target: others.clone() },
            });
        }
        let oldest = self.services.get(&scaler.service).and_then(BTreeSet::first);
        if let Some((_, _, other)) = oldest.filter(|(_, _, other)| other != key) {
            let (name, service) = (other.name.clone(), scaler.service.name.clone());
            return Some(Obstacle::ServiceClaimed { name, service });
        }
        if let Err(wrong) = &scaler.settings {
            return Some(Obstacle::Settings(wrong.clone()));
        }
        if let Some(Err(why)) = world.kinds.get(&scaler.target.kind) {
            return Some(Obstacle::Kind(why.clone()));
        }
        if world.services.get(&scaler.service).is_none() {
            return Some(Obstacle::NoService(scaler.service.clone()));
        }
        let is_known = world.kinds.contains_key(&scaler.target.kind);
        match world.targets.get(&scaler.target) {
            None if is_known => Some(Obstacle::NoTarget(named)),
            _ => None,
        }
    }
}
