//! The pods of revisions as they were last seen.

use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet};

use tidegate_autoscaler::Timestamp;
use tidegate_kubernetes_objects::store::{Change, ObjectKey, Store};

use crate::object::Pod;

/// Pods, and which of them are whose.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pods {
    all: Store<ObjectKey, Pod>,
    of_revision: BTreeMap<ObjectKey, BTreeSet<ObjectKey>>,
}

impl Pods {
    /// Takes in a change. Returns the revisions that it concerns.
    pub(crate) fn take_in(&mut self, change: Change<ObjectKey, Pod>) -> BTreeSet<ObjectKey> {
        let key = match &change {
            Change::Listed(_) => None,
            Change::Seen(key, _) | Change::Gone(key, _) => Some(key.clone()),
        };
        let mut concerned = BTreeSet::new();
        match key {
            Some(key) => {
                self.forget(&key, &mut concerned);
                self.all.take_in(|_| true, change);
                self.index(&key, &mut concerned);
            }
            None => {
                concerned.extend(std::mem::take(&mut self.of_revision).into_keys());
                self.all.take_in(|_| true, change);
                let keys: Vec<ObjectKey> = self.all.iter().map(|(key, _)| key.clone()).collect();
                for key in keys {
                    self.index(&key, &mut concerned);
                }
            }
        }
        concerned
    }

    fn forget(&mut self, key: &ObjectKey, concerned: &mut BTreeSet<ObjectKey>) {
        let Some(pod) = self.all.get(key) else { return };
        if let Some(pods) = self.of_revision.get_mut(&pod.revision) {
            pods.remove(key);
            if pods.is_empty() {
                self.of_revision.remove(&pod.revision);
            }
        }
        concerned.insert(pod.revision.clone());
    }

    fn index(&mut self, key: &ObjectKey, concerned: &mut BTreeSet<ObjectKey>) {
        let Some(pod) = self.all.get(key) else { return };
        self.of_revision.entry(pod.revision.clone()).or_default().insert(key.clone());
        concerned.insert(pod.revision.clone());
    }

    /// Whether a whole list was ever seen.
    pub(crate) fn is_complete(&self) -> bool {
        self.all.is_complete()
    }

    fn of<'a>(&'a self, revision: &ObjectKey) -> impl Iterator<Item = &'a Pod> {
        let keys = self.of_revision.get(revision).into_iter().flatten();
        keys.filter_map(|key| self.all.get(key))
    }

    /// How many pods of a revision are ready.
    pub(crate) fn ready(&self, revision: &ObjectKey) -> u32 {
        let ready = self.of(revision).filter(|pod| pod.ready.is_some()).count();
        u32::try_from(ready).unwrap_or(u32::MAX)
    }

    /// Where ready pods are reached: those that were started by `settled`, and the others.
    pub(crate) fn addresses(
        &self,
        revision: &ObjectKey,
        settled: Timestamp,
    ) -> (Vec<IpAddr>, Vec<IpAddr>) {
        let (mut old, mut young) = (Vec::new(), Vec::new());
        for pod in self.of(revision) {
            let Some(address) = pod.ready else { continue };
            if pod.started <= settled { &mut old } else { &mut young }.push(address);
        }
        (old, young)
    }
}
