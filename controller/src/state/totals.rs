//! Sums over all revisions, for the metrics page.

use super::State;
use crate::instance::Phase;

/// Sums over all revisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Revisions.
    pub revisions: usize,
    /// Streams of sidecars and activators.
    pub reporters: usize,
    /// Activators among them.
    pub activators: usize,
    /// Instances that take requests.
    pub ready: u64,
    /// Instances that were started and do not take requests yet, or not just now.
    pub starting: u64,
    /// Instances that are being stopped.
    pub draining: u64,
    /// Instances that stand still until they are wanted, or are about to.
    pub frozen: u64,
    /// Requests in queues, at activators and sidecars.
    pub waiting: u64,
}

impl State {
    /// Sums over all revisions: O(revisions), and nothing is copied.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let mut totals = Totals {
            revisions: self.revisions.len(),
            reporters: self.reporters.len(),
            activators: self.activators.len(),
            ..Totals::default()
        };
        for revision in self.revisions.values() {
            totals.ready += u64::from(revision.count(Phase::Ready));
            totals.starting +=
                u64::from(revision.count(Phase::Starting) + revision.count(Phase::Unready));
            totals.draining += u64::from(revision.count(Phase::Draining));
            totals.frozen += u64::from(revision.resting());
            totals.waiting += u64::from(revision.waiting());
        }
        totals
    }
}
