//! A request while it is in the system.

use crate::events::Tag;
use crate::record::Outcome;

/// The request came with the traffic, not from a client of the closed loop.
pub(crate) const NO_CLIENT: u32 = u32::MAX;
/// The request is at no instance.
pub(crate) const NO_INSTANCE: u32 = u32::MAX;
/// Service has not begun.
pub(crate) const NOT_STARTED: u64 = u64::MAX;

/// A request while it is in the system. It is as long as a line of the cache, and lies in one.
#[derive(Debug, Clone)]
#[repr(align(64))]
pub(crate) struct Request {
    pub(crate) number: u64,
    pub(crate) arrived: u64,
    /// When service began, or [`NOT_STARTED`].
    pub(crate) started: u64,
    pub(crate) service_ns: u64,
    /// The event at which its service ends; any other one is stale.
    pub(crate) event: Tag,
    pub(crate) revision: u32,
    /// Where it is served or waits, or [`NO_INSTANCE`] at the activator.
    pub(crate) instance: u32,
    pub(crate) client: u32,
    pub(crate) attempt: u32,
    pub(crate) cold: Cold,
    pub(crate) way: Way,
    /// How it will end at `event`.
    pub(crate) ending: Outcome,
}

/// A request that has arrived and is not dispatched yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Newcomer {
    pub(crate) service_ns: u64,
    pub(crate) way: Way,
    pub(crate) cold: Cold,
}

/// The outcome of dispatching a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entrance {
    /// It goes to this instance.
    Sent(u32),
    /// It is in the activator's queue.
    Waiting,
    /// There is no room for it.
    Refused,
}

/// Whether no instance was there for a request when it arrived, so that it had to wait for one to
/// start. Where instances are shared none is there while none is ready; where each is for one
/// request, while each that is ready or starting has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cold {
    Yes,
    No,
}

/// The way a request took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Through the activator, which accounts for it at its instance.
    Activator,
    /// Straight to an instance.
    Direct,
}

impl Request {
    /// A request that has just arrived and is at no instance yet.
    #[inline]
    pub(crate) fn new(
        number: u64,
        now: u64,
        revision: u32,
        newcomer: Newcomer,
        client: u32,
        attempt: u32,
    ) -> Self {
        Request {
            number,
            arrived: now,
            started: NOT_STARTED,
            service_ns: newcomer.service_ns,
            event: Tag::NONE,
            revision,
            instance: NO_INSTANCE,
            client,
            attempt,
            cold: newcomer.cold,
            way: newcomer.way,
            ending: Outcome::InFlight,
        }
    }

    /// Whether its service has not begun.
    pub(crate) fn waits(&self) -> bool {
        self.started == NOT_STARTED
    }

    /// How long it waited, if its service has begun.
    pub(crate) fn waited_ns(&self) -> u64 {
        self.started.saturating_sub(self.arrived)
    }
}
