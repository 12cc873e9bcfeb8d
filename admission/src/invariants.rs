//! What holds in every state: shared by debug assertions, property tests and the simulator.

use core::fmt;

use crate::limit::Limit;
use crate::queue::Queue;

/// An invariant that does not hold: a defect of this crate, never of its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Violation {
    /// A request waits although an instance has capacity.
    WaitBesideCapacity {
        /// How many wait.
        waiting: u32,
    },
    /// An instance executes more requests than its limit allows.
    LimitExceeded {
        /// The limit.
        limit: u32,
        /// What it executes.
        executing: u32,
    },
    /// The queue's order, deadlines or length are inconsistent.
    QueueInconsistent,
    /// A running count and a recount differ.
    CountsDiffer {
        /// What is counted.
        what: &'static str,
        /// The running count.
        kept: u64,
        /// The recount.
        counted: u64,
    },
    /// A policy's index of available instances is wrong about one.
    IndexOutOfDate {
        /// The slot of the instance.
        slot: u32,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WaitBesideCapacity { waiting } => {
                write!(f, "{waiting} requests wait although there is capacity")
            }
            Self::LimitExceeded { limit, executing } => {
                write!(f, "{executing} requests execute under a limit of {limit}")
            }
            Self::QueueInconsistent => f.write_str("the queue is inconsistent"),
            Self::CountsDiffer { what, kept, counted } => {
                write!(f, "{what}: kept count is {kept}, recount is {counted}")
            }
            Self::IndexOutOfDate { slot } => {
                write!(f, "the index of available instances is wrong about slot {slot}")
            }
        }
    }
}

impl core::error::Error for Violation {}

/// No request is queued while there is capacity, so a request that finds capacity overtakes none.
pub const fn no_wait_beside_capacity(waiting: u32, capacity: u32) -> Result<(), Violation> {
    if waiting > 0 && capacity > 0 {
        Err(Violation::WaitBesideCapacity { waiting })
    } else {
        Ok(())
    }
}

/// No more requests execute than the limit allows. Holds at each admission; after a limit shrinks,
/// more may execute until they finish.
pub fn within_limit(limit: Limit, executing: u32) -> Result<(), Violation> {
    match limit.count() {
        Some(count) if executing > count.get() => {
            Err(Violation::LimitExceeded { limit: count.get(), executing })
        }
        _ => Ok(()),
    }
}

/// Arrival order and deadlines rise along the queue, and its length is its number of tickets.
pub fn queue_is_consistent(queue: &Queue) -> Result<(), Violation> {
    let mut before = None;
    let mut counted = 0_u32;
    for (ticket, deadline) in queue.iter() {
        let in_order =
            before.is_none_or(|(order, earlier)| order < ticket.order() && earlier <= deadline);
        if !in_order || !queue.is_waiting(ticket) {
            return Err(Violation::QueueInconsistent);
        }
        before = Some((ticket.order(), deadline));
        counted += 1;
    }
    counts_agree("queued requests", u64::from(queue.len()), u64::from(counted))
}

/// A running count equals a recount.
pub const fn counts_agree(what: &'static str, kept: u64, counted: u64) -> Result<(), Violation> {
    if kept == counted { Ok(()) } else { Err(Violation::CountsDiffer { what, kept, counted }) }
}
