//! Time, chance, and what is under way.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use tidegate_admission::Moment;
use tidegate_admission::credits::{Occupant, Orders, Report};

/// What happens at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// A client's request comes to a door; the app takes so long for it.
    Request { door: usize, takes: Duration },
    /// A request comes to an instance, with the stream and number of the credit that it shows.
    Arrival { instance: usize, request: usize, shown: Option<(u32, u64)> },
    /// The app is done with it.
    Done { instance: usize, life: u32, request: usize, by: Occupant },
    /// The response is back at its door.
    Response { request: usize },
    /// An instance's stream tells a door something.
    Told { door: usize, instance: usize, stream: u32, orders: Orders },
    /// A door's stream tells an instance something.
    Reported { instance: usize, stream: u32, report: Report },
    /// A door opens a stream.
    Opens { door: usize, instance: usize },
    /// A door learns that a stream has been cut.
    CutAtDoor { door: usize, instance: usize, stream: u32 },
    /// An instance does.
    CutAtInstance { instance: usize, stream: u32 },
    /// What can wait is told now.
    Late { door: usize, instance: usize },
    /// A door's answer is due.
    Due { instance: usize, stream: u32 },
    /// Something goes wrong, or the limit changes.
    Trouble(usize),
}

#[derive(Debug, PartialEq, Eq)]
struct Scheduled {
    at: Moment,
    order: u64,
    event: Event,
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// Everything that is to happen, in order.
#[derive(Default)]
pub(crate) struct Agenda {
    heap: BinaryHeap<Reverse<Scheduled>>,
    order: u64,
    pub(crate) now: Moment,
}

impl Agenda {
    pub(crate) fn after(&mut self, wait: Duration, event: Event) {
        self.at(self.now.after(wait), event);
    }

    pub(crate) fn at(&mut self, at: Moment, event: Event) {
        self.order += 1;
        self.heap.push(Reverse(Scheduled { at, order: self.order, event }));
    }

    pub(crate) fn next(&mut self) -> Option<Event> {
        let Reverse(next) = self.heap.pop()?;
        self.now = next.at;
        Some(next.event)
    }
}

/// SplitMix64: the same seed, the same world.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.number() % bound.max(1) as u64).unwrap()
    }

    /// Up to so long.
    pub(crate) fn up_to(&mut self, longest: Duration) -> Duration {
        longest.mul_f64(self.share())
    }

    /// Exponentially distributed around a mean.
    pub(crate) fn around(&mut self, mean: Duration) -> Duration {
        mean.mul_f64(-(1.0 - self.share()).ln())
    }

    fn share(&mut self) -> f64 {
        (self.number() >> 11) as f64 / (1_u64 << 53) as f64
    }
}
