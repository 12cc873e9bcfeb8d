//! Which revisions are to be looked at, and when.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_autoscaler::Timestamp;
use tidegate_kubernetes_objects::store::ObjectKey;

/// One time for each revision.
#[derive(Debug, Clone, Default)]
pub(crate) struct Agenda {
    by_time: BTreeSet<(Timestamp, ObjectKey)>,
    by_key: BTreeMap<ObjectKey, Timestamp>,
}

impl Agenda {
    /// Has a revision looked at, at that time or before.
    pub(crate) fn look_at(&mut self, key: &ObjectKey, at: Timestamp) {
        match self.by_key.get(key) {
            Some(known) if *known <= at => return,
            Some(known) => _ = self.by_time.remove(&(*known, key.clone())),
            None => {}
        }
        self.by_key.insert(key.clone(), at);
        self.by_time.insert((at, key.clone()));
    }

    /// Takes a revision whose time has come.
    pub(crate) fn take_due(&mut self, now: Timestamp) -> Option<ObjectKey> {
        if self.by_time.first()?.0 > now {
            return None;
        }
        let (_, key) = self.by_time.pop_first()?;
        self.by_key.remove(&key);
        Some(key)
    }

    /// The time of the next one.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(at, _)| *at)
    }

    pub(crate) fn forget(&mut self, key: &ObjectKey) {
        if let Some(at) = self.by_key.remove(key) {
            self.by_time.remove(&(at, key.clone()));
        }
    }
}
