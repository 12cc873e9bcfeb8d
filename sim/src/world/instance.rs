//! One instance of a revision.

use tidegate_admission::{Breaker, InstanceId, Meter};

use super::alarm::Alarm;
use super::contention::Shared;
use super::slots::Slots;
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

/// Whether an instance's node lacks the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pull {
    /// It must be fetched.
    Needed,
    /// It is there.
    Cached,
}

/// One instance.
#[derive(Debug, Clone)]
pub(crate) struct Instance {
    pub(crate) revision: u32,
    /// Number within the revision, in order of creation.
    pub(crate) number: u32,
    pub(crate) state: State,
    pub(crate) node: u32,
    /// Requests being served or waiting here.
    pub(crate) holds: u32,
    /// Its name at the front door while it is known there.
    pub(crate) at_front_door: Option<InstanceId>,
    /// Its name on the direct way while it is known there.
    pub(crate) at_ingress: Option<InstanceId>,
    /// The sidecar's limit and line; only where requests can come both ways.
    pub(crate) breaker: Option<Breaker>,
    /// Which request holds which place in the line.
    pub(crate) waiters: Slots,
    /// The sidecar's account of direct requests; only where each instance is asked by itself.
    pub(crate) meter: Option<Box<Meter>>,
    /// Requests that slow each other; only with contention.
    pub(crate) shared: Option<Box<Shared>>,
    /// The event at which its state changes by itself; any other one is stale.
    pub(crate) change: Tag,
    /// When somebody in `shared` or in line is due.
    pub(crate) due: Alarm,
}

impl Instance {
    /// Number `number` of a revision, for which there is no room yet.
    pub(crate) fn new(revision: u32, number: u32) -> Self {
        Instance {
            revision,
            number,
            state: State::Pending,
            node: NO_NODE,
            holds: 0,
            at_front_door: None,
            at_ingress: None,
            breaker: None,
            waiters: Slots::default(),
            meter: None,
            shared: None,
            change: Tag::NONE,
            due: Alarm::OFF,
        }
    }

    /// Whether it takes requests.
    #[inline]
    pub(crate) fn is_ready(&self) -> bool {
        self.state == State::Ready
    }

    /// Whether it is on its way out and has finished what it had.
    pub(crate) fn is_drained(&self) -> bool {
        self.state == State::Draining && self.holds == 0
    }
}
