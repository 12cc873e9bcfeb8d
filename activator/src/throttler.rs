//! All doors of one activator: which revisions it knows.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;
use tidegate_admission::DispatcherSettings;
use tidegate_reporter::{EndpointMap, RevisionName};

use crate::revision_throttler::RevisionThrottler;
use crate::route::RouteKey;

/// Most revisions one activator serves; a controller that names more is broken.
pub const MAX_REVISIONS: usize = 10_000;

/// The doors by revision. A revision is known because it was configured or because the controller
/// spoke of it; clients cannot make one up.
#[derive(Debug)]
pub struct Throttler {
    settings: DispatcherSettings,
    default: Option<Arc<RevisionThrottler>>,
    known: RwLock<HashMap<RevisionName, Arc<RevisionThrottler>>>,
    /// Revisions that were left out, each time that they were named.
    refused: AtomicU64,
}

impl Throttler {
    /// Knows only the default revision, if there is one.
    pub fn new(settings: DispatcherSettings, default: Option<RevisionName>) -> Self {
        let default = default.map(|revision| RevisionThrottler::new(revision, settings));
        let known = default.iter().map(|door| (door.revision().clone(), Arc::clone(door)));
        let known = RwLock::new(known.collect());
        Self { settings, known, default, refused: AtomicU64::new(0) }
    }

    /// The door that a request is for; `None` if its revision is unknown.
    pub fn find(&self, claim: &RouteKey<'_>) -> Option<Arc<RevisionThrottler>> {
        let named = claim.named().and_then(|revision| self.known.read().get(&revision).cloned());
        if claim.is_explicit() { named } else { named.or_else(|| self.default.clone()) }
    }

    /// The door of a revision, which is opened if it is new. `None` beyond [`MAX_REVISIONS`].
    pub fn open(&self, revision: &RevisionName) -> Option<(Arc<RevisionThrottler>, Opened)> {
        let mut known = self.known.write();
        if let Some(door) = known.get(revision) {
            return Some((Arc::clone(door), Opened::Before));
        }
        if known.len() >= MAX_REVISIONS {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let door = RevisionThrottler::new(revision.clone(), self.settings);
        known.insert(revision.clone(), Arc::clone(&door));
        Some((door, Opened::Now))
    }

    /// Tells every door its instances. Gives the doors that were opened by it.
    pub fn set_endpoints(&self, endpoints: &EndpointMap) -> Vec<Arc<RevisionThrottler>> {
        let mut opened = Vec::new();
        for (revision, instances) in endpoints {
            let Some((door, when)) = self.open(revision) else { continue };
            door.set_endpoints(instances);
            if when == Opened::Now {
                opened.push(door);
            }
        }
        opened
    }

    /// How often a revision was left out because there are [`MAX_REVISIONS`].
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Every door, in no order.
    pub fn all(&self) -> Vec<Arc<RevisionThrottler>> {
        self.known.read().values().cloned().collect()
    }
}

/// Whether a door is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opened {
    /// It was there.
    Before,
    /// It was opened by this call.
    Now,
}
