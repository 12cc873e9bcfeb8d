//! What a dispatcher is told of a request, beyond that it is there; and the classes of requests.

use core::num::NonZeroU16;

use crate::time::Moment;

/// The most classes of one queue. Choosing among them looks at each, so it is a small number, and
/// nobody can say of more than a few how much each is worth.
pub const CLASSES_MAX: usize = 8;

/// What orders a request in the queue, what it weighs there, and where it belongs.
///
/// The default is a request of which nothing is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes {
    /// Its class, from 0; one that does not exist is the last that does.
    pub class: u8,
    /// Whose it is, for [`Order::Fair`]: requests with one key take turns with those of another.
    pub key: u64,
    /// When its response is due, for [`Order::EarliestDeadline`].
    pub due: Moment,
    /// What it weighs while it waits.
    pub bytes: u32,
    /// What it is about, for [`Policy::ConsistentHash`](crate::Policy::ConsistentHash): requests
    /// with one value go to one instance.
    pub affinity: Option<u64>,
}

impl Default for Attributes {
    fn default() -> Self {
        Self { class: 0, key: 0, due: Moment::NEVER, bytes: 0, affinity: None }
    }
}

/// Whether a request that waits waits for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coming {
    /// It does.
    First,
    /// It had its turn, and its instance turned out to be gone: it is ahead of all orders.
    Again,
}

/// In which order the requests of one class leave the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// First in, first out.
    #[default]
    Arrival,
    /// The one that is due first; those that are due at the same time, or never, by arrival.
    EarliestDeadline,
    /// Keys take turns, one request each; within a key by arrival. A key that comes anew is last.
    Fair,
}

/// The classes of requests, each with a weight: while requests of several wait, instances are
/// given to them in proportion to the weights, and no class ever waits for another to be empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Classes {
    weights: [NonZeroU16; CLASSES_MAX],
    count: u8,
}

impl Classes {
    /// One class: all requests are equal.
    pub const ONE: Self = Self { weights: [NonZeroU16::MIN; CLASSES_MAX], count: 1 };

    /// Classes of these weights; `None` if there are none, or more than [`CLASSES_MAX`].
    pub fn new(weights: &[NonZeroU16]) -> Option<Self> {
        if weights.is_empty() {
            return None;
        }
        let mut classes = Self { count: u8::try_from(weights.len()).ok()?, ..Self::ONE };
        classes.weights.get_mut(..weights.len())?.copy_from_slice(weights);
        Some(classes)
    }

    /// How many there are.
    pub const fn count(&self) -> usize {
        self.count as usize
    }

    /// The index of the class that `class` means.
    pub(crate) fn index(&self, class: u8) -> usize {
        usize::from(class.min(self.count - 1))
    }

    /// The weight of the class with this index.
    pub(crate) fn weight(&self, index: usize) -> NonZeroU16 {
        self.weights.get(index).copied().unwrap_or(NonZeroU16::MIN)
    }
}

impl Default for Classes {
    fn default() -> Self {
        Self::ONE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_bounded_in_number_and_one_that_does_not_exist_is_the_last() {
        let weight = |weight| NonZeroU16::new(weight).unwrap();
        assert_eq!(Classes::new(&[]), None);
        assert_eq!(Classes::new(&[weight(1); CLASSES_MAX + 1]), None);
        let classes = Classes::new(&[weight(7), weight(2)]).unwrap();
        assert_eq!((classes.count(), classes.index(0), classes.index(9)), (2, 0, 1));
        assert_eq!((classes.weight(0), classes.weight(1)), (weight(7), weight(2)));
    }
}
