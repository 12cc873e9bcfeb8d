//! Whether a target may be scaled by its scaler at all, and why not.

use std::collections::BTreeMap;

use tidegate_kubernetes_objects::traffic_scaler::Actuator;

use crate::world::{KindKey, ObjectKey, Scaler, TargetKey, World};

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

    /// Whether somebody else claims the same.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Rival { .. } | Self::SameName { .. } | Self::ServiceClaimed { .. })
    }
}

/// Who owns which target and which Service: computed once for all scalers.
#[derive(Debug, Clone, Default)]
pub struct Claims {
    /// The oldest scaler of each name of a target, and its target.
    targets: BTreeMap<ObjectKey, (ObjectKey, TargetKey)>,
    services: BTreeMap<ObjectKey, ObjectKey>,
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

/// Which workload: kinds are the same across versions of a group.
type Identity = (String, String, ObjectKey);

fn identity(target: &TargetKey) -> Identity {
    let KindKey { kind, .. } = &target.kind;
    (target.kind.group().to_owned(), kind.clone(), target.object.clone())
}

impl Claims {
    /// The claims of everybody that is seen.
    #[must_use]
    pub fn of(world: &World) -> Self {
        let mut claims = Self::default();
        let mut oldest_first: Vec<(&ObjectKey, &Scaler)> = world.scalers.iter().collect();
        oldest_first.sort_by_key(|(_, scaler)| (scaler.created, &scaler.uid));
        for (key, scaler) in oldest_first {
            let named = || (key.clone(), scaler.target.clone());
            claims.targets.entry(scaler.target.object.clone()).or_insert_with(named);
            claims.services.entry(scaler.service.clone()).or_insert_with(|| key.clone());
        }
        for (key, rival) in world.rivals.iter() {
            let (kind, name) = (key.kind, key.object.name.clone());
            let claimant = Claimant { kind, name, may_be_zero: rival.may_be_zero };
            claims.rivals.entry(identity(&rival.target)).or_default().push(claimant);
        }
        claims
    }

    /// The HPAs and ScaledObjects of a target.
    #[must_use]
    pub fn claimants(&self, target: &TargetKey) -> &[Claimant] {
        self.rivals.get(&identity(target)).map_or(&[], Vec::as_slice)
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
        let older = self.targets.get(&scaler.target.object).filter(|(other, _)| other != key);
        if let Some((other, others)) = older {
            let (kind, name) = ("TrafficScaler", other.name.clone());
            return Some(match identity(others) == target {
                true => Obstacle::Rival { kind, name, target: named },
                false => Obstacle::SameName { name, target: others.clone() },
            });
        }
        if let Some(other) = self.services.get(&scaler.service).filter(|other| *other != key) {
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
