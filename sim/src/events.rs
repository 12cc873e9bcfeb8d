//! The event queue: what happens next, in a total order.
//!
//! Events are ordered by time, and events of the same time in the order in which they were pushed,
//! so a run is the same on every machine. The next few stand in a row; all others lie unsorted by
//! how far off they are (`later`), and are sorted when their time comes near. So an event costs the
//! same with ten of them pending and with a thousand, allocates nothing, and touches two or three
//! lines of the cache.

mod later;

use later::Later;

/// The time of what never happens.
pub(crate) const NEVER: u64 = u64::MAX;

/// What kind of thing an event wakes. Two bits of the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A request's service ends, or its time runs out while being served.
    Request,
    /// An instance has something to do.
    Instance,
    /// A revision has something to do.
    Revision,
    /// Something else, found in the world's table of scheduled events.
    Other,
}

/// Names one pushed event; never the same twice in a run. Zero names none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tag(u64);

/// An event that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Event {
    /// When, nanoseconds.
    pub(crate) at: u64,
    /// Its place in the order of pushes.
    pub(crate) tag: Tag,
}

/// Bits of a tag that name the slot: 67 million things at once.
const SLOT_BITS: u32 = 26;
/// Bits that name the kind.
const KIND_BITS: u32 = 2;
/// The largest slot an event can name.
pub(crate) const MAX_SLOT: u32 = (1 << SLOT_BITS) - 1;
/// Most events that stand in a row: a newcomer moves half of them, 512 bytes.
const ROW_MAX: usize = 64;
/// Of these, how many are fetched at once: there is room for as many newcomers among them.
const FETCHED_MAX: usize = ROW_MAX / 2;

/// When an event happens, and its tag: 36 bits of sequence, then kind and slot. One number, so that
/// one comparison orders by time and, among equal times, by sequence.
type Key = u128;

/// Pending events.
#[derive(Debug)]
pub(crate) struct EventQueue {
    /// The next ones, the very next one last. Never empty while there are any.
    row: Vec<Key>,
    /// Events from here on are not in the row.
    horizon: Key,
    later: Later,
    pushed: u64,
}

impl Tag {
    /// No event.
    pub(crate) const NONE: Tag = Tag(0);

    pub(crate) fn kind(self) -> Kind {
        match (self.0 >> SLOT_BITS) & 3 {
            0 => Kind::Request,
            1 => Kind::Instance,
            2 => Kind::Revision,
            _ => Kind::Other,
        }
    }

    pub(crate) fn slot(self) -> u32 {
        (self.0 as u32) & MAX_SLOT
    }
}

impl Default for EventQueue {
    fn default() -> Self {
        EventQueue { row: Vec::new(), horizon: Key::MAX, later: Later::default(), pushed: 0 }
    }
}

impl EventQueue {
    /// Lets `kind` number `slot` happen at `at`.
    #[inline]
    pub(crate) fn push(&mut self, at: u64, kind: Kind, slot: u32) -> Tag {
        debug_assert!(slot <= MAX_SLOT, "a slot beyond what a tag can name");
        // The sequence begins at 1, so no tag is zero.
        self.pushed += 1;
        let kind_bits = (kind as u64) << SLOT_BITS;
        let tag = (self.pushed << (SLOT_BITS + KIND_BITS)) | kind_bits | u64::from(slot);
        let key = (Key::from(at) << u64::BITS) | Key::from(tag);
        if key >= self.horizon {
            self.later.insert(key);
        } else {
            let place = self.row.partition_point(|other| *other > key);
            self.row.insert(place, key);
            if self.row.len() > ROW_MAX {
                self.put_off();
            }
        }
        Tag(tag)
    }

    /// When the next event happens; [`NEVER`] when there is none.
    #[inline]
    pub(crate) fn next_at(&self) -> u64 {
        self.row.last().map_or(NEVER, |key| time_of(*key))
    }

    /// The next event's tag.
    #[inline]
    pub(crate) fn next_tag(&self) -> Option<Tag> {
        self.row.last().map(|key| tag_of(*key))
    }

    /// Takes the next event.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<Event> {
        let key = self.row.pop()?;
        if self.row.is_empty() {
            self.fetch();
        }
        Some(Event { at: time_of(key), tag: tag_of(key) })
    }

    /// Takes the later half out of the row.
    fn put_off(&mut self) {
        let half = self.row.len() / 2;
        self.horizon = self.row[half - 1];
        self.later.open_to(self.horizon);
        self.row.drain(..half).for_each(|key| self.later.insert(key));
    }

    /// Makes a new row of the events that are next, if there are any.
    fn fetch(&mut self) {
        self.horizon = self.later.take_least(FETCHED_MAX, &mut self.row);
        self.row.sort_unstable_by(|one, other| other.cmp(one));
        if self.later.is_empty() {
            self.horizon = Key::MAX;
        }
    }
}

#[inline]
fn time_of(key: Key) -> u64 {
    (key >> u64::BITS) as u64
}

#[inline]
fn tag_of(key: Key) -> Tag {
    Tag(key as u64)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// Times that are close together, far apart, and at the ends.
    fn time() -> impl Strategy<Value = u64> {
        prop_oneof![0_u64..50, 0..10_000_u64, 0..NEVER, Just(NEVER), Just(7_000)]
    }

    proptest! {
        #[test]
        fn events_come_by_time_then_by_order_of_pushing(
            steps in prop::collection::vec((time(), 0_u32..8, 0..100_u32), 1..800),
            pops_percent in 20_u32..60,
        ) {
            let mut queue = EventQueue::default();
            let mut model: BTreeSet<(u64, usize, u32)> = BTreeSet::new();
            for (number, (at, slot, chance)) in steps.into_iter().enumerate() {
                if chance < pops_percent {
                    let got = queue.pop().map(|event| (event.at, event.tag.slot()));
                    prop_assert_eq!(got, model.pop_first().map(|(at, _, slot)| (at, slot)));
                } else {
                    let tag = queue.push(at, Kind::Instance, slot);
                    prop_assert_eq!((tag.kind(), tag.slot()), (Kind::Instance, slot));
                    model.insert((at, number, slot));
                }
                prop_assert_eq!(queue.next_at(), model.first().map_or(NEVER, |first| first.0));
            }
            while let Some((at, _, slot)) = model.pop_first() {
                let got = queue.pop().map(|event| (event.at, event.tag.slot()));
                prop_assert_eq!(got, Some((at, slot)));
            }
            prop_assert_eq!(queue.pop(), None);
        }
    }

    #[test]
    fn a_burst_at_one_moment_keeps_its_order() {
        let mut queue = EventQueue::default();
        for slot in 0..10_000 {
            queue.push(1_000_000_000, Kind::Request, slot);
            // Earlier ones than all that were put off, again and again.
            queue.push(u64::from(10_000 - slot), Kind::Other, slot);
        }
        let order = std::iter::from_fn(|| queue.pop()).map(|event| event.tag.slot());
        assert!(order.eq((0..10_000).rev().chain(0..10_000)));
    }
}
