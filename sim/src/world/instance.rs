//! One instance of a revision.

use tidegate_admission::{Breaker, InstanceId, Meter};

use super::alarm::Alarm;
use super::contention::SharedProcessor;
use super::slots::Slots;
use super::turns::Ordered;
use crate::events::Tag;

/// The instance has no node, because there are none or there is no room yet.
pub(crate) const NO_NODE: u32 = u32::MAX;

/// Where an instance is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Waits for room on a node.
    Pending,
    /// Scheduled, fetched, started, but not ready.
    Starting,
    /// Takes requests.
    Ready,
    /// Takes no new requests and finishes what it has.
    Draining,
}

/// Whether an instance's node has to fetch the image first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pull {
    /// The image must be fetched.
    Needed,
    /// The node has the image.
    Cached,
}

/// What an instance goes through between its place on a node and its readiness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StartDelays {
    /// Scheduling, and fetching the image.
    pub(crate) before_ns: u64,
    /// The start itself, when it is alone.
    pub(crate) work_ns: u64,
}

/// How far the start-up of an instance is.
///
/// One byte says it, so that no other value of it tells whether there is an instance: that would be
/// looked at for each request, and lies far from what else is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum StartPhase {
    /// It waits for its turn: a controller that paces starts does not have it yet.
    InLine,
    /// No other start-up touches it: its next event is its readiness.
    Alone,
    /// It is scheduled or fetched: its next event is the beginning of so much work.
    Before {
        /// The work in nanoseconds, alone.
        work_ns: u64,
    },
    /// It shares its machine with others.
    Sharing {
        /// Its number among all start-ups.
        job: u64,
        /// When it began to, nanoseconds.
        since: u64,
    },
}

/// The sidecar of an instance: its limit and its queue.
#[derive(Debug, Clone)]
#[repr(C)]
pub(crate) struct Sidecar {
    pub(crate) breaker: Breaker,
    /// The request in each place of the queue.
    pub(crate) waiters: Slots,
}

/// One instance.
///
/// A thousand of them do not fit the nearest cache, so its fields lie as they are listed, and so
/// that what each request touches is in two lines of the cache: that is the first five and the
/// breaker.
#[derive(Debug, Clone)]
#[repr(C, align(64))]
pub(crate) struct Instance {
    pub(crate) revision: u32,
    /// Requests being served or waiting here.
    pub(crate) holds: u32,
    /// Its id in the ingress's dispatcher while it is registered there.
    pub(crate) at_ingress: Option<InstanceId>,
    /// Its id in the activator's dispatcher while it is registered there.
    pub(crate) at_activator: Option<InstanceId>,
    pub(crate) state: State,
    pub(crate) node: u32,
    /// Only where requests may bypass the activator.
    pub(crate) sidecar: Option<Sidecar>,
    /// The sidecar's meter of direct requests; only where instances are scraped one by one.
    pub(crate) meter: Option<Box<Meter>>,
    /// Requests that slow each other; only with contention.
    pub(crate) shared: Option<Box<SharedProcessor>>,
    /// The next completion or timeout in `shared` or in the queue.
    pub(crate) due: Alarm,
    /// How many times as fast as usual its node serves.
    pub(crate) speed: f64,
    /// Number within the revision, in order of creation.
    pub(crate) number: u32,
    /// The event at which its state changes by itself; any other one is stale.
    pub(crate) change: Tag,
    /// How far its start-up is, where start-ups slow each other.
    pub(crate) start: StartPhase,
}

impl Instance {
    /// Instance number `number` of a revision, not yet placed on a node.
    pub(crate) fn new(revision: u32, number: u32) -> Self {
        Instance {
            revision,
            number,
            state: State::Pending,
            node: NO_NODE,
            speed: 1.0,
            holds: 0,
            at_activator: None,
            at_ingress: None,
            sidecar: None,
            meter: None,
            shared: None,
            change: Tag::NONE,
            start: StartPhase::Alone,
            due: Alarm::OFF,
        }
    }

    /// Its name, for lines in which it waits: it is in `slot` for as long as it is there.
    pub(super) fn in_slot(&self, slot: u32) -> Ordered {
        Ordered { slot, revision: self.revision, number: self.number }
    }

    /// Whether it is the one that was ordered.
    pub(super) fn is(&self, ordered: Ordered) -> bool {
        (self.revision, self.number) == (ordered.revision, ordered.number)
    }

    /// Whether it takes requests.
    #[inline]
    pub(crate) fn is_ready(&self) -> bool {
        self.state == State::Ready
    }

    /// Requests that its sidecar lets it serve now.
    #[inline]
    pub(crate) fn executing(&self) -> u32 {
        self.sidecar.as_ref().map_or(0, |sidecar| sidecar.breaker.executing())
    }

    /// Whether it drains and holds no more requests.
    pub(crate) fn is_drained(&self) -> bool {
        self.state == State::Draining && self.holds == 0
    }
}
