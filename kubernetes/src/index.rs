//! Which scalers an object is of concern to, so that what changes leads to them and to no others.

use std::collections::{BTreeMap, BTreeSet};

use crate::slices::service_of_name;
use crate::world::{ObjectKey, Scaler, World};

/// The scalers by what they name.
#[derive(Debug, Clone, Default)]
pub struct Index {
    /// By their target's name, whatever its kind.
    targets: BTreeMap<ObjectKey, BTreeSet<ObjectKey>>,
    services: BTreeMap<ObjectKey, BTreeSet<ObjectKey>>,
    /// By the ports of activators that their status gives.
    ports: BTreeMap<u16, BTreeSet<ObjectKey>>,
}

impl Index {
    /// All scalers that there are.
    #[must_use]
    pub fn of(world: &World) -> Self {
        let mut index = Self::default();
        for (key, scaler) in world.scalers.iter() {
            index.insert(key, scaler);
        }
        index
    }

    /// A scaler has come.
    pub fn insert(&mut self, key: &ObjectKey, scaler: &Scaler) {
        self.targets.entry(scaler.target.object.clone()).or_default().insert(key.clone());
        self.services.entry(scaler.service.clone()).or_default().insert(key.clone());
        for port in ports(scaler) {
            self.ports.entry(port).or_default().insert(key.clone());
        }
    }

    /// A scaler that was as `scaler` is gone.
    pub fn remove(&mut self, key: &ObjectKey, scaler: &Scaler) {
        unlink(&mut self.targets, &scaler.target.object, key);
        unlink(&mut self.services, &scaler.service, key);
        for port in ports(scaler) {
            unlink(&mut self.ports, &port, key);
        }
    }

    /// The scalers of targets of this name.
    pub fn of_target(&self, object: &ObjectKey) -> impl Iterator<Item = &ObjectKey> {
        self.targets.get(object).into_iter().flatten()
    }

    /// The scalers of a Service.
    pub fn of_service(&self, service: &ObjectKey) -> impl Iterator<Item = &ObjectKey> {
        self.services.get(service).into_iter().flatten()
    }

    /// The scalers that look at a slice: because it has the name of one of ours, whatever it is.
    pub fn of_slice_name(&self, slice: &ObjectKey) -> impl Iterator<Item = &ObjectKey> {
        let service = service_of_name(slice);
        service.into_iter().flat_map(|service| self.services.get(&service)).flatten()
    }

    /// The scalers that have a port of the activators.
    pub fn of_port(&self, port: u16) -> impl Iterator<Item = &ObjectKey> {
        self.ports.get(&port).into_iter().flatten()
    }
}

fn ports(scaler: &Scaler) -> impl Iterator<Item = u16> {
    let given = scaler.status.activator_ports.iter();
    given.filter_map(|port| u16::try_from(port.activator_port).ok())
}

fn unlink<K: Ord>(map: &mut BTreeMap<K, BTreeSet<ObjectKey>>, of: &K, key: &ObjectKey) {
    if let Some(keys) = map.get_mut(of) {
        keys.remove(key);
        if keys.is_empty() {
            map.remove(of);
        }
    }
}
