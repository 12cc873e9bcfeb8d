//! A revision as it is shown.

use super::Revision;
use crate::declaration::PolicyChoice;
use crate::instance::Instance;
use crate::status::{InstanceStatus, RevisionStatus};

impl Revision {
    /// What the load of one instance should come to.
    fn target(&self) -> Option<f64> {
        match &self.declaration.policy {
            PolicyChoice::Knative(settings) => Some(settings.spec.target_value),
            _ => None,
        }
    }

    pub(crate) fn status(&self) -> RevisionStatus {
        let last = self.journal.last();
        let numbers = self.overview();
        RevisionStatus {
            revision: numbers.revision,
            desired: numbers.desired,
            ready: numbers.ready,
            starting: numbers.starting,
            draining: numbers.draining,
            frozen: numbers.frozen,
            in_panic: numbers.in_panic,
            stable_concurrency: numbers.windows.map_or(0.0, |windows| windows.stable),
            panic_concurrency: numbers.windows.map_or(0.0, |windows| windows.panic),
            waiting: numbers.waiting,
            in_flight: numbers.in_flight,
            last_reason: last.map(|record| record.to_string()).unwrap_or_default(),
            target: self.target(),
            limit: self
                .instances
                .figures()
                .mean_limit()
                .unwrap_or_else(|| f64::from(self.declaration.container_concurrency)),
            bounds: self.declaration.lifecycle.bounds,
            pinned: self.pinned,
            outdated: self.instances.figures().outdated(),
            instances: self.instances.all().map(|each| self.instance_status(each)).collect(),
        }
    }

    pub(super) fn instance_status(&self, instance: &Instance) -> InstanceStatus {
        InstanceStatus {
            name: instance.name.clone(),
            phase: instance.phase,
            in_flight: self.demand.at_instance(&instance.name),
            started: instance.started,
            outdated: instance.outdated && instance.is_kept(),
            counts_connections: instance.counts_connections,
        }
    }
}
