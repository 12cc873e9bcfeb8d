//! The instances of a revision: their names, connections and standing, by the dispatcher's slots.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tidegate_admission::{InstanceId, SlowStart};
use tidegate_relay::Address;
use tidegate_reporter::Endpoint;

use super::backend::{Backend, parse_address};
use super::ejection::{Record, Unreachable};

#[derive(Debug)]
pub(super) struct Instance {
    pub(super) id: InstanceId,
    pub(super) backend: Arc<Backend>,
    /// The controller lists it. If not, it is forgotten once it is done.
    pub(super) listed: bool,
    /// Whether it is sent requests, as far as connections to it succeed.
    pub(super) standing: Standing,
    pub(super) record: Record,
    /// While it is new, and could take any number.
    pub(super) slow_start: Option<SlowStart>,
    pub(super) stream: Stream,
}

/// The stream by which an instance grants credits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stream {
    /// There is none, and none is to be.
    None,
    /// One is to be opened.
    Sought,
    /// It is open and has this name.
    Open(Arc<str>),
}

impl Stream {
    pub(super) fn name(&self) -> Option<&Arc<str>> {
        match self {
            Self::Open(name) => Some(name),
            Self::None | Self::Sought => None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Trusted,
    /// It could not be reached; a recovery task probes it until it can be.
    Ejected,
}

/// Every instance that is listed, or has requests in flight.
#[derive(Debug, Default)]
pub(super) struct Roster {
    /// By slot of the dispatcher.
    instances: Vec<Option<Instance>>,
    by_name: HashMap<Arc<str>, InstanceId>,
    ejected: u32,
}

impl Roster {
    pub(super) fn get(&self, id: InstanceId) -> Option<&Instance> {
        self.instances.get(id.slot())?.as_ref().filter(|instance| instance.id == id)
    }

    pub(super) fn get_mut(&mut self, id: InstanceId) -> Option<&mut Instance> {
        self.instances.get_mut(id.slot())?.as_mut().filter(|instance| instance.id == id)
    }

    pub(super) fn is_listed(&self, id: InstanceId) -> bool {
        self.get(id).is_some_and(|instance| instance.listed)
    }

    /// The listed instance of this name.
    pub(super) fn listed(&self, name: &str) -> Option<&Instance> {
        let id = self.by_name.get(name)?;
        self.get(*id).filter(|instance| instance.listed)
    }

    pub(super) fn backends(&self) -> impl Iterator<Item = &Arc<Backend>> {
        self.instances.iter().flatten().map(|instance| &instance.backend)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Instance> {
        self.instances.iter_mut().flatten()
    }

    /// Instances that are new, and could take any number.
    pub(super) fn slow_starts(
        &mut self,
    ) -> impl Iterator<Item = (InstanceId, &mut Option<SlowStart>)> {
        let known = self.instances.iter_mut().flatten();
        known.map(|instance| (instance.id, &mut instance.slow_start)).filter(|(_, s)| s.is_some())
    }

    /// Instances that are ejected.
    pub(super) fn ejected(&self) -> u32 {
        self.ejected
    }

    /// Marks which instances `endpoints` lists. Gives those that it does not.
    pub(super) fn mark_listed(&mut self, endpoints: &[Endpoint]) -> Vec<InstanceId> {
        let named: HashMap<&str, Option<Address>> = endpoints
            .iter()
            .map(|endpoint| (endpoint.instance.as_str(), parse_address(&endpoint.address)))
            .collect();
        for instance in self.instances.iter_mut().flatten() {
            let Backend { name, upstream } = &*instance.backend;
            // One that has moved to another address stays unlisted, whatever is listed by its name.
            instance.listed = self.by_name.get(name) == Some(&instance.id)
                && named.get(&**name).and_then(Option::as_ref) == Some(upstream.address());
        }
        let known: Vec<_> = self.by_name.values().copied().collect();
        known.into_iter().filter(|id| !self.is_listed(*id)).collect()
    }

    /// Adds a listed instance. A namesake at another address keeps its slot until it is removed.
    pub(super) fn add(
        &mut self,
        id: InstanceId,
        backend: Arc<Backend>,
        slow_start: Option<SlowStart>,
    ) {
        if self.instances.len() <= id.slot() {
            self.instances.resize_with(id.slot() + 1, || None);
        }
        self.by_name.insert(Arc::clone(&backend.name), id);
        let record = Record::default();
        let (listed, standing) = (true, Standing::Trusted);
        let stream = Stream::None;
        let instance = Instance { id, backend, listed, standing, record, slow_start, stream };
        self.instances[id.slot()] = Some(instance);
    }

    pub(super) fn remove(&mut self, id: InstanceId) {
        self.end_ejection(id);
        if let Some(instance) = self.instances.get_mut(id.slot()).and_then(Option::take)
            && self.by_name.get(&instance.backend.name) == Some(&id)
        {
            self.by_name.remove(&instance.backend.name);
        }
    }

    /// Ejects an instance. Gives for how long, unless it is ejected already.
    pub(super) fn eject(&mut self, id: InstanceId, how: Unreachable) -> Option<Duration> {
        let instance = self.get_mut(id)?;
        if std::mem::replace(&mut instance.standing, Standing::Ejected) == Standing::Ejected {
            return None;
        }
        let out_for = instance.record.failed(how);
        self.ejected += 1;
        Some(out_for)
    }

    /// Leaves an instance alone for a while although it can be reached. False if it is left alone
    /// already.
    pub(super) fn rest(&mut self, id: InstanceId) -> bool {
        let Some(instance) = self.get_mut(id) else { return false };
        let before = std::mem::replace(&mut instance.standing, Standing::Ejected);
        self.ejected += u32::from(before == Standing::Trusted);
        before == Standing::Trusted
    }

    pub(super) fn end_ejection(&mut self, id: InstanceId) {
        let Some(instance) = self.get_mut(id) else { return };
        if std::mem::replace(&mut instance.standing, Standing::Trusted) == Standing::Ejected {
            self.ejected -= 1;
        }
    }
}
