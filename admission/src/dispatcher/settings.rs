//! What a dispatcher is configured with.

use core::time::Duration;

use super::Policy;
use crate::attributes::{Classes, Order};

/// The bounds of a dispatcher's queue, and how it chooses among instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DispatcherSettings {
    /// Which of the available instances gets the next request.
    pub policy: Policy,
    /// In which order requests of one class leave the queue.
    pub order: Order,
    /// The classes of requests.
    pub classes: Classes,
    /// How many requests may wait; zero refuses every request that cannot be sent at once.
    pub max_waiting: u32,
    /// What those that wait may weigh together; `None` leaves that to their number.
    pub max_waiting_bytes: Option<u64>,
    /// How long a request may wait; `None` leaves that to the request's own timeouts.
    pub longest_wait: Option<Duration>,
}

impl Default for DispatcherSettings {
    /// Least loaded, and a queue of 10,000: the figure that Knative documents for its activator but
    /// does not enforce. First in, first out; no bound on bytes, no deadline.
    fn default() -> Self {
        Self {
            policy: Policy::LeastLoaded,
            order: Order::Arrival,
            classes: Classes::ONE,
            max_waiting: 10_000,
            max_waiting_bytes: None,
            longest_wait: None,
        }
    }
}

impl DispatcherSettings {
    /// Whether more must be known of a request that waits than when it arrived.
    pub(super) fn needs_turns(&self) -> bool {
        self.order != Order::Arrival
            || self.classes.count() > 1
            || self.policy == Policy::ConsistentHash
    }
}
