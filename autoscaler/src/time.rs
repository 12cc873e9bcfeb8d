//! Time as an argument: a point in whole milliseconds since the Unix epoch.

/// Milliseconds in a second.
pub const MS_PER_SECOND: i64 = 1000;

/// A point in time: whole milliseconds since 1970-01-01T00:00:00Z, negative before it.
///
/// All arithmetic saturates, so no time a caller can pass makes the library panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(transparent))]
pub struct Timestamp(i64);

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Timestamp = Timestamp(0);

    /// The point `ms` milliseconds after the epoch.
    pub const fn from_millis(ms: i64) -> Timestamp {
        Timestamp(ms)
    }

    /// The point `s` seconds after the epoch.
    pub const fn from_secs(s: i64) -> Timestamp {
        Timestamp(s.saturating_mul(MS_PER_SECOND))
    }

    /// Milliseconds since the epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn unix_seconds(self) -> i64 {
        self.0.div_euclid(MS_PER_SECOND)
    }

    /// This point rounded down to a whole second.
    pub const fn whole_second(self) -> Timestamp {
        Timestamp::from_secs(self.unix_seconds())
    }

    /// The next whole second after this point.
    pub const fn next_second(self) -> Timestamp {
        self.whole_second().plus_millis(MS_PER_SECOND.unsigned_abs())
    }

    /// The point `ms` milliseconds later.
    pub const fn plus_millis(self, ms: u64) -> Timestamp {
        Timestamp(self.0.saturating_add_unsigned(ms))
    }

    /// The point `ms` milliseconds earlier.
    pub const fn minus_millis(self, ms: u64) -> Timestamp {
        Timestamp(self.0.saturating_sub_unsigned(ms))
    }

    /// Milliseconds from `earlier` to this point; 0 when `earlier` is in fact later.
    pub const fn millis_since(self, earlier: Timestamp) -> u64 {
        if self.0 <= earlier.0 { 0 } else { self.0.saturating_sub(earlier.0) as u64 }
    }
}
