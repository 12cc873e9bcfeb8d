//! One instance as a dispatcher keeps it.

use core::num::NonZeroU32;

use crate::limit::Limit;

/// An instance that becomes ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewInstance {
    /// Its limit.
    pub limit: Limit,
    /// What it is known by to all dispatchers: with [`Policy::ConsistentHash`](super::Policy), they
    /// send it the same requests.
    pub identity: u64,
    /// What it may have in flight for now; see [`Dispatcher::set_allowance`](super::Dispatcher).
    pub allowance: Option<NonZeroU32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Ready,
    Draining,
    Removed,
}

/// Aligned, so that two are in a line of the cache and none in two: a choice looks at any of them.
#[derive(Debug, Clone, Copy)]
#[repr(align(32))]
pub(super) struct Slot {
    pub(super) generation: u32,
    pub(super) state: State,
    pub(super) limit: Limit,
    /// What it may have in flight for now, where that is less.
    pub(super) allowance: Option<NonZeroU32>,
    pub(super) in_flight: u32,
    /// Credits of it that can be spent; `None` where it grants none.
    pub(super) credits: Option<u32>,
}

impl Slot {
    /// The load of an instance that is available to the policy; `None` while it takes no request.
    pub(super) fn available_at(&self) -> Option<u32> {
        let is_allowed = self.allowance.is_none_or(|allowed| self.in_flight < allowed.get());
        let has_room = is_allowed && self.limit.has_room_beside(self.in_flight);
        let is_open = self.state == State::Ready && self.credits != Some(0);
        (is_open && has_room).then_some(self.in_flight)
    }
}
