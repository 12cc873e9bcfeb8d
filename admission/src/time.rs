//! Points in time, given by the caller.

use core::time::Duration;

/// Nanoseconds since an epoch that the caller chose (process start, simulation start).
///
/// Two moments may only be compared when they share an epoch. The range is 584 years; arithmetic
/// saturates instead of wrapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(u64);

impl Moment {
    /// The epoch itself.
    pub const ZERO: Self = Self(0);
    /// Later than every event; the deadline of tickets without one.
    pub const NEVER: Self = Self(u64::MAX);

    /// `nanos` nanoseconds after the epoch.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// `micros` microseconds after the epoch.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros.saturating_mul(1_000))
    }

    /// `millis` milliseconds after the epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// Nanoseconds since the epoch.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The moment `later` after this one; [`Moment::NEVER`] if that is out of range.
    pub fn after(self, later: Duration) -> Self {
        let nanos = u64::try_from(later.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }
}

impl From<Duration> for Moment {
    /// The moment that lies `since_epoch` after the epoch.
    fn from(since_epoch: Duration) -> Self {
        Self::ZERO.after(since_epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        let one = Moment::from_millis(1);
        assert_eq!(Moment::ZERO.since(one), Duration::ZERO);
        assert_eq!(one.since(Moment::ZERO), Duration::from_millis(1));
        assert_eq!(one.after(Duration::MAX), Moment::NEVER);
        assert_eq!(Moment::from_millis(u64::MAX), Moment::NEVER);
        assert_eq!(Moment::from_micros(1_000), one);
        assert_eq!(Moment::from(Duration::from_millis(1)), one);
    }
}
