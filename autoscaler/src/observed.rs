//! What is known about a revision's instances when a decision is due.

/// A revision's instances as counted by the controller or simulator that runs them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default))]
pub struct Observed {
    /// Instances that take requests now.
    pub ready: u32,
    /// Instances that were started and are not ready yet.
    pub starting: u32,
    /// Instances last asked for: the replicas of the deployment.
    pub requested: u32,
    /// Requests being served at this instant, where known.
    pub in_flight: u32,
    /// Requests waiting for an instance at this instant, where known.
    pub waiting: u32,
    /// All of both, where it is heard of at once that some begin to wait; [`crate::Driver`] says
    /// so. Where it is not, what waits may have come over a whole tick.
    pub at_once: Option<u32>,
}

impl Observed {
    /// `ready` instances, all that were asked for.
    pub const fn ready(ready: u32) -> Observed {
        Observed { ready, starting: 0, requested: ready, in_flight: 0, waiting: 0, at_once: None }
    }

    /// Whether at least half of what was requested is still starting.
    pub const fn is_mostly_starting(&self) -> bool {
        self.starting > 0 && self.starting.saturating_mul(2) >= self.requested
    }
}
