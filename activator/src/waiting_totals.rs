//! What waits in the queues of all revisions together, and its bounds.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What may wait in all queues of one activator together. `None` has no bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WaitingBounds {
    /// Requests.
    pub requests: Option<u64>,
    /// What they weigh.
    pub bytes: Option<u64>,
}

/// Counts what waits. Shared by the revisions of one activator.
#[derive(Debug, Default)]
pub struct WaitingTotals {
    bounds: WaitingBounds,
    requests: AtomicU64,
    bytes: AtomicU64,
}

/// A request's place among all that wait, given back by its drop.
#[derive(Debug)]
pub(crate) struct WaitingPlace {
    totals: Arc<WaitingTotals>,
    bytes: u64,
}

impl WaitingTotals {
    /// Nothing waits yet.
    pub fn new(bounds: WaitingBounds) -> Arc<Self> {
        Arc::new(Self { bounds, ..Self::default() })
    }

    /// The requests that wait, and what they weigh.
    pub fn now(&self) -> (u64, u64) {
        (self.requests.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }

    /// A place for a request of so many bytes; `None` if that is too much.
    pub(crate) fn enter(self: &Arc<Self>, bytes: u32) -> Option<WaitingPlace> {
        // Counted first, so that two that come together cannot both be the last.
        let place = self.enter_anyway(bytes);
        let (requests, bytes) = self.now();
        let within = |count, bound: Option<u64>| bound.is_none_or(|most| count <= most);
        let fits = within(requests, self.bounds.requests) && within(bytes, self.bounds.bytes);
        fits.then_some(place)
    }

    /// A place whatever the bounds: for the first request of a revision, without which nothing
    /// would wake it as long as the others wait.
    pub(crate) fn enter_anyway(self: &Arc<Self>, bytes: u32) -> WaitingPlace {
        let bytes = u64::from(bytes);
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        WaitingPlace { totals: Arc::clone(self), bytes }
    }
}

impl Drop for WaitingPlace {
    fn drop(&mut self) {
        self.totals.requests.fetch_sub(1, Ordering::Relaxed);
        self.totals.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_bounds_hold_and_places_come_back() {
        let bounds = WaitingBounds { requests: Some(2), bytes: Some(100) };
        let totals = WaitingTotals::new(bounds);
        let first = totals.enter(60).unwrap();
        assert!(totals.enter(41).is_none(), "too many bytes");
        let second = totals.enter(40).unwrap();
        assert!(totals.enter(0).is_none(), "too many requests");
        let anyway = totals.enter_anyway(10);
        assert_eq!(totals.now(), (3, 110));
        drop((first, second, anyway));
        assert_eq!(totals.now(), (0, 0));
    }
}
