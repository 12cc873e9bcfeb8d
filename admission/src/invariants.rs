//! What must hold in every state: shared by debug assertions, property tests and the simulator.

use core::fmt;

use crate::limit::Limit;
use crate::queue::Queue;

/// An invariant that does not hold: a defect of this crate, never of its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Violation {
    /// Someone waits although an instance has room.
    WaitsBesideRoom {
        /// How many wait.
        waiting: u32,
    },
    /// An instance holds more than its limit allows.
    LimitExceeded {
        /// The limit.
        limit: u32,
        /// What it holds.
        executing: u32,
    },
    /// The line's order, deadlines or length do not agree.
    LineUnsound,
    /// A running count and a recount differ.
    CountsDiffer {
        /// What is counted.
        what: &'static str,
        /// The running count.
        kept: u64,
        /// The recount.
        counted: u64,
    },
    /// A policy's index of instances with room does not tell the truth about one.
    IndexOutOfDate {
        /// The slot of the instance.
        slot: u32,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WaitsBesideRoom { waiting } => {
                write!(f, "{waiting} requests wait although there is room")
            }
            Self::LimitExceeded { limit, executing } => {
                write!(f, "{executing} requests execute under a limit of {limit}")
            }
            Self::LineUnsound => f.write_str("the line is out of order"),
            Self::CountsDiffer { what, kept, counted } => {
                write!(f, "{what}: kept count is {kept}, recount is {counted}")
            }
            Self::IndexOutOfDate { slot } => {
                write!(f, "the index of instances with room is wrong about slot {slot}")
            }
        }
    }
}

impl core::error::Error for Violation {}

/// Nobody stands in line while there is room: so a newcomer who finds room overtakes nobody.
pub const fn nobody_waits_beside_room(waiting: u32, has_room: bool) -> Result<(), Violation> {
    if waiting > 0 && has_room { Err(Violation::WaitsBesideRoom { waiting }) } else { Ok(()) }
}

/// No more run than the limit allows. Holds at each entry; a limit that shrinks later may leave
/// more inside until they finish.
pub fn within_limit(limit: Limit, executing: u32) -> Result<(), Violation> {
    match limit.count() {
        Some(count) if executing > count.get() => {
            Err(Violation::LimitExceeded { limit: count.get(), executing })
        }
        _ => Ok(()),
    }
}

/// Arrival order and deadlines rise along the line, and its length is the number who stand in it.
pub fn queue_is_sound(line: &Queue) -> Result<(), Violation> {
    let mut before = None;
    let mut counted = 0_u32;
    for (ticket, deadline) in line.iter() {
        let in_order =
            before.is_none_or(|(order, earlier)| order < ticket.order() && earlier <= deadline);
        if !in_order || !line.is_waiting(ticket) {
            return Err(Violation::LineUnsound);
        }
        before = Some((ticket.order(), deadline));
        counted += 1;
    }
    counts_agree("requests in line", u64::from(line.len()), u64::from(counted))
}

/// A count that is kept equals what is counted anew.
pub const fn counts_agree(what: &'static str, kept: u64, counted: u64) -> Result<(), Violation> {
    if kept == counted { Ok(()) } else { Err(Violation::CountsDiffer { what, kept, counted }) }
}
