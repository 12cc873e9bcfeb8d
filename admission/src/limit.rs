//! How many requests one instance executes at a time.

use core::fmt;
use core::num::NonZeroU32;

/// A concurrency limit: at least one, or none at all.
///
/// A limit of zero cannot be expressed: an instance that takes no request is drained or removed,
/// not limited. On wires and in environments zero means *unlimited*, and [`Limit::from_wire`] reads
/// it so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Limit(Option<NonZeroU32>);

impl Limit {
    /// No limit.
    pub const UNLIMITED: Self = Self(None);

    /// At most `count` requests at a time.
    pub const fn at(count: NonZeroU32) -> Self {
        Self(Some(count))
    }

    /// Reads the number that container concurrency is written as: zero is unlimited.
    pub const fn from_wire(count: u32) -> Self {
        Self(NonZeroU32::new(count))
    }

    /// The number that [`Limit::from_wire`] reads: zero is unlimited.
    pub const fn to_wire(self) -> u32 {
        match self.0 {
            Some(count) => count.get(),
            None => 0,
        }
    }

    /// The limit as a number, if there is one.
    pub const fn count(self) -> Option<NonZeroU32> {
        self.0
    }

    /// How many more may start beside `executing` that run already.
    pub const fn capacity_beside(self, executing: u32) -> u32 {
        match self.0 {
            Some(count) => count.get().saturating_sub(executing),
            // The counter itself must not overflow, even where nothing else limits it.
            None => u32::MAX - executing,
        }
    }

    /// Whether one more may start beside `executing` that run already.
    pub const fn has_room_beside(self, executing: u32) -> bool {
        self.capacity_beside(executing) > 0
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(count) => write!(f, "{count}"),
            None => f.write_str("unlimited"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_on_the_wire_is_unlimited() {
        assert_eq!(Limit::from_wire(0), Limit::UNLIMITED);
        assert_eq!(Limit::from_wire(7).to_wire(), 7);
        assert_eq!(Limit::UNLIMITED.to_wire(), 0);
        assert!(Limit::UNLIMITED.has_room_beside(1_000_000));
        assert!(!Limit::UNLIMITED.has_room_beside(u32::MAX));
        assert!(Limit::from_wire(2).has_room_beside(1));
        assert!(!Limit::from_wire(2).has_room_beside(2));
        assert_eq!(Limit::from_wire(3).to_string(), "3");
        assert_eq!(Limit::UNLIMITED.to_string(), "unlimited");
    }
}
