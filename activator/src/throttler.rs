//! Every revision that one activator knows, each with its throttler.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use tidegate_reporter::{EndpointMap, HoldBoundsMap, QueueRulesMap, RevisionName, StartMap};

use crate::queue_rules::Rules;
use crate::revision_throttler::{RevisionThrottler, Status, ThrottlerSettings};
use crate::route::RouteKey;

/// Most revisions one activator serves; a controller that names more is broken.
pub const MAX_REVISIONS: usize = 10_000;

/// The throttlers by revision. A revision is known because it was configured or because the
/// controller named it, until the controller says that it is none; a client's request never creates
/// one.
#[derive(Debug)]
pub struct Throttler {
    settings: ThrottlerSettings,
    default: Option<Arc<RevisionThrottler>>,
    known: RwLock<HashMap<RevisionName, Arc<RevisionThrottler>>>,
    /// How often a revision was refused beyond [`MAX_REVISIONS`].
    refused: AtomicU64,
    /// The totals of revisions that were forgotten: what is counted never becomes less.
    forgotten: Mutex<Status>,
}

impl Throttler {
    /// Knows only the default revision, if there is one.
    pub fn new(settings: ThrottlerSettings, default: Option<RevisionName>) -> Self {
        let new = |revision| RevisionThrottler::new(revision, settings.clone());
        let default = default.map(new);
        let known =
            default.iter().map(|throttler| (throttler.revision().clone(), Arc::clone(throttler)));
        let known = RwLock::new(known.collect());
        Self { settings, known, default, refused: AtomicU64::new(0), forgotten: Mutex::default() }
    }

    /// The throttler that a request is for; `None` if its revision is unknown.
    pub fn find(&self, key: &RouteKey<'_>) -> Option<Arc<RevisionThrottler>> {
        let named = key.named().and_then(|revision| self.known.read().get(&revision).cloned());
        if key.is_explicit() { named } else { named.or_else(|| self.default.clone()) }
    }

    /// The throttler of a revision; `None` if it is unknown.
    pub fn of(&self, revision: &RevisionName) -> Option<Arc<RevisionThrottler>> {
        self.known.read().get(revision).cloned()
    }

    /// The throttler of a revision, created if it is new. `None` beyond [`MAX_REVISIONS`].
    pub fn register(&self, revision: &RevisionName) -> Option<Arc<RevisionThrottler>> {
        let mut known = self.known.write();
        if let Some(throttler) = known.get(revision) {
            return Some(Arc::clone(throttler));
        }
        if known.len() >= MAX_REVISIONS {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let throttler = RevisionThrottler::new(revision.clone(), self.settings.clone());
        known.insert(revision.clone(), Arc::clone(&throttler));
        Some(throttler)
    }

    /// Sets the instances of every revision that is named, known or new.
    pub fn set_endpoints(&self, endpoints: &EndpointMap) {
        for (revision, instances) in endpoints {
            if let Some(throttler) = self.register(revision) {
                throttler.set_endpoints(instances);
            }
        }
    }

    /// Sets how the instances of revisions came up, before they are set themselves. Of a revision
    /// that is not known yet no request waits.
    pub fn set_starts(&self, mut starts: StartMap) {
        for throttler in self.all() {
            throttler.set_starts(starts.remove(throttler.revision()).unwrap_or_default());
        }
    }

    /// Forgets a revision that is none any more, unless it is the default one. Requests that wait
    /// for an instance are refused: there will be none.
    pub fn forget(&self, revision: &RevisionName) {
        if self.default.as_ref().is_some_and(|default| default.revision() == revision) {
            return;
        }
        let Some(throttler) = self.known.write().remove(revision) else { return };
        throttler.refuse_waiting();
        let last = throttler.status();
        let mut totals = self.forgotten.lock();
        totals.requests += last.requests;
        totals.cold_starts += last.cold_starts;
        totals.endpoints_ignored += last.endpoints_ignored;
        totals.refused += last.refused;
        totals.failed += last.failed;
        totals.abandoned_total += last.abandoned_total;
    }

    /// The totals of the revisions that were forgotten.
    pub fn forgotten(&self) -> Status {
        *self.forgotten.lock()
    }

    /// Sets the bounds of every revision's queue: its own as far as it has some, which can only be
    /// shorter waits than this activator is configured for; else those.
    pub fn set_hold_bounds(&self, bounds: &HoldBoundsMap) {
        for throttler in self.all() {
            let own = bounds.get(throttler.revision()).copied().unwrap_or_default();
            let ours = &self.settings.dispatch;
            let longest_wait = [own.longest_wait, ours.longest_wait];
            let max_waiting = own.max_waiting.unwrap_or(ours.max_waiting);
            throttler.set_queue_bounds(max_waiting, longest_wait.into_iter().flatten().min());
        }
    }

    /// Sets whose turn it is in every revision's queue: by its own rules as far as it has some,
    /// and else as this activator is configured.
    pub fn set_queue_rules(&self, rules: &QueueRulesMap) {
        for throttler in self.all() {
            let own = rules.get(throttler.revision());
            let followed = own.map_or_else(
                || Ok(Rules::configured(&self.settings)),
                |own| Rules::over(&self.settings, own),
            );
            match followed {
                Ok(followed) => throttler.set_queue_rules(&followed),
                Err(unusable) => {
                    let revision = throttler.revision();
                    let (namespace, name) = (&revision.namespace, &revision.name);
                    tracing::warn!(namespace, name, %unusable, "its queue keeps the order it had");
                }
            }
        }
    }

    /// How long a request may wait for an instance, where its revision says nothing else.
    pub fn longest_wait(&self) -> Option<Duration> {
        self.settings.dispatch.longest_wait
    }

    /// How often a revision was refused because there are [`MAX_REVISIONS`].
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Every throttler, in no order.
    pub fn all(&self) -> Vec<Arc<RevisionThrottler>> {
        self.known.read().values().cloned().collect()
    }
}
