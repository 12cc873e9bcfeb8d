//! The event queue: what happens next, in a total order.
//!
//! Events are ordered by time, and events of the same time in the order in which they were pushed,
//! so a run is the same on every machine. A queue of sixteen-byte keys in a four-ary heap: no
//! allocation per event, and a pop touches few cache lines even with a million events pending.

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
/// Children of a node: four fit in one cache line.
const ARITY: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    at: u64,
    /// 36 bits of sequence, then kind and slot; the sequence decides among equal times.
    tag: u64,
}

/// Pending events.
#[derive(Debug, Default)]
pub(crate) struct EventQueue {
    heap: Vec<Key>,
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

impl Key {
    /// One number for one comparison.
    fn rank(self) -> u128 {
        (u128::from(self.at) << 64) | u128::from(self.tag)
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
        let key = Key { at, tag };
        self.heap.push(key);
        self.sift_up(self.heap.len() - 1, key);
        Tag(tag)
    }

    /// When the next event happens; [`NEVER`] when there is none.
    #[inline]
    pub(crate) fn next_at(&self) -> u64 {
        self.heap.first().map_or(NEVER, |key| key.at)
    }

    /// Takes the next event.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<Event> {
        let first = *self.heap.first()?;
        if let Some(last) = self.heap.pop()
            && !self.heap.is_empty()
        {
            self.sift_down(last);
        }
        Some(Event { at: first.at, tag: Tag(first.tag) })
    }

    /// Number of pending events, stale ones included.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }

    fn sift_up(&mut self, mut hole: usize, key: Key) {
        let heap = self.heap.as_mut_slice();
        while hole > 0 {
            let parent = (hole - 1) / ARITY;
            if heap[parent].rank() <= key.rank() {
                break;
            }
            heap[hole] = heap[parent];
            hole = parent;
        }
        heap[hole] = key;
    }

    /// Puts `key` where the first one was: the hole sinks along the smallest children until `key`
    /// is not after any of them.
    fn sift_down(&mut self, key: Key) {
        let heap = self.heap.as_mut_slice();
        let len = heap.len();
        let mut hole = 0;
        loop {
            let first = hole * ARITY + 1;
            if first >= len {
                break;
            }
            let best = match heap.get(first..first + ARITY) {
                Some([a, b, c, d]) => {
                    // A tournament without branches: which child wins cannot be predicted.
                    let left = usize::from(b.rank() < a.rank());
                    let right = 2 + usize::from(d.rank() < c.rank());
                    let finals = heap[first + right].rank() < heap[first + left].rank();
                    first + if finals { right } else { left }
                }
                _ => (first..len).min_by_key(|child| heap[*child].rank()).unwrap_or(first),
            };
            if key.rank() <= heap[best].rank() {
                break;
            }
            heap[hole] = heap[best];
            hole = best;
        }
        heap[hole] = key;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn events_come_by_time_then_by_order_of_pushing(
            steps in prop::collection::vec(
                (0_u64..50, 0_u32..8, prop::bool::weighted(0.4)),
                1..400,
            ),
        ) {
            let mut queue = EventQueue::default();
            let mut model: Vec<(u64, u64, u32)> = Vec::new();
            for (number, (at, slot, pop)) in steps.into_iter().enumerate() {
                if pop {
                    model.sort_unstable();
                    let expected = (!model.is_empty()).then(|| model.remove(0));
                    let got = queue.pop().map(|event| (event.at, event.tag.slot()));
                    prop_assert_eq!(got, expected.map(|(at, _, slot)| (at, slot)));
                } else {
                    let tag = queue.push(at, Kind::Instance, slot);
                    prop_assert_eq!((tag.kind(), tag.slot()), (Kind::Instance, slot));
                    model.push((at, number as u64, slot));
                }
                prop_assert_eq!(queue.len(), model.len());
            }
        }
    }
}
