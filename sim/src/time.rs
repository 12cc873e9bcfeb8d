//! Simulated time: whole nanoseconds, so that order and sums are exact on every machine.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Nanoseconds in one second.
pub const NANOS_PER_SEC: u64 = 1_000_000_000;

/// An instant of simulated time: nanoseconds since the simulation began (at most about 584 years).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct SimTime(u64);

/// A span of simulated time in nanoseconds; it cannot be negative.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct SimSpan(u64);

/// Whole nanoseconds nearest to `secs`; negative and NaN become 0, too large saturates.
fn nanos_of_secs(secs: f64) -> u64 {
    // `as` saturates and maps NaN to 0, and adding one half rounds to nearest without libm.
    (secs * NANOS_PER_SEC as f64 + 0.5) as u64
}

impl SimTime {
    /// The beginning of the simulation.
    pub const ZERO: SimTime = SimTime(0);
    /// Later than every other instant: never.
    pub const NEVER: SimTime = SimTime(u64::MAX);

    /// The instant `nanos` nanoseconds after the beginning.
    #[inline]
    pub const fn from_nanos(nanos: u64) -> Self {
        SimTime(nanos)
    }

    /// The instant `micros` microseconds after the beginning; saturates.
    pub const fn from_micros(micros: u64) -> Self {
        SimTime(micros.saturating_mul(1_000))
    }

    /// The instant `millis` milliseconds after the beginning; saturates.
    pub const fn from_millis(millis: u64) -> Self {
        SimTime(millis.saturating_mul(1_000_000))
    }

    /// The instant `secs` whole seconds after the beginning; saturates.
    pub const fn from_secs(secs: u64) -> Self {
        SimTime(secs.saturating_mul(NANOS_PER_SEC))
    }

    /// The instant `secs` seconds after the beginning; negative and NaN become 0.
    #[inline]
    pub fn from_secs_f64(secs: f64) -> Self {
        SimTime(nanos_of_secs(secs))
    }

    /// Nanoseconds since the beginning.
    #[inline]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Seconds since the beginning.
    #[inline]
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / NANOS_PER_SEC as f64
    }

    /// The span since `earlier`, or zero when `earlier` is later.
    #[inline]
    pub const fn since(self, earlier: SimTime) -> SimSpan {
        SimSpan(self.0.saturating_sub(earlier.0))
    }
}

impl Add<SimSpan> for SimTime {
    type Output = SimTime;

    fn add(self, span: SimSpan) -> SimTime {
        SimTime(self.0.saturating_add(span.0))
    }
}

impl AddAssign<SimSpan> for SimTime {
    fn add_assign(&mut self, span: SimSpan) {
        *self = *self + span;
    }
}

impl Sub<SimSpan> for SimTime {
    type Output = SimTime;

    fn sub(self, span: SimSpan) -> SimTime {
        SimTime(self.0.saturating_sub(span.0))
    }
}

impl fmt::Display for SimTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} s", self.as_secs_f64())
    }
}

impl SimSpan {
    /// No time at all.
    pub const ZERO: SimSpan = SimSpan(0);
    /// Longer than any simulation.
    pub const FOREVER: SimSpan = SimSpan(u64::MAX);

    /// A span of `nanos` nanoseconds.
    #[inline]
    pub const fn from_nanos(nanos: u64) -> Self {
        SimSpan(nanos)
    }

    /// A span of `micros` microseconds; saturates.
    pub const fn from_micros(micros: u64) -> Self {
        SimSpan(micros.saturating_mul(1_000))
    }

    /// A span of `millis` milliseconds; saturates.
    pub const fn from_millis(millis: u64) -> Self {
        SimSpan(millis.saturating_mul(1_000_000))
    }

    /// A span of `secs` whole seconds; saturates.
    pub const fn from_secs(secs: u64) -> Self {
        SimSpan(secs.saturating_mul(NANOS_PER_SEC))
    }

    /// A span of `secs` seconds; negative and NaN become 0, too long saturates.
    #[inline]
    pub fn from_secs_f64(secs: f64) -> Self {
        SimSpan(nanos_of_secs(secs))
    }

    /// Length in nanoseconds.
    #[inline]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Length in seconds.
    #[inline]
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / NANOS_PER_SEC as f64
    }

    /// Length in milliseconds.
    pub fn as_millis_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }
}

impl Add for SimSpan {
    type Output = SimSpan;

    fn add(self, other: SimSpan) -> SimSpan {
        SimSpan(self.0.saturating_add(other.0))
    }
}

impl AddAssign for SimSpan {
    fn add_assign(&mut self, other: SimSpan) {
        *self = *self + other;
    }
}

impl From<Duration> for SimSpan {
    fn from(duration: Duration) -> Self {
        SimSpan(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
    }
}

impl From<SimSpan> for Duration {
    fn from(span: SimSpan) -> Self {
        Duration::from_nanos(span.0)
    }
}
