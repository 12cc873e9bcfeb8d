//! The moments of one request, in numbers and as a sentence.

use std::fmt;
use std::time::Duration;

use crate::moment::Moment;
use crate::start::Start;

/// Below this many milliseconds a tenth of one says something.
const TENTHS_BELOW_MS: f64 = 100.0;

/// From so many milliseconds on a time is shown in seconds.
const SECONDS_FROM_MS: f64 = 10_000.0;

/// When each moment of a request was, after the request was seen. They never decrease; one that
/// nobody saw belongs to the phase of the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Timeline {
    after: [Option<Duration>; Moment::COUNT],
}

impl Timeline {
    /// Joins what the front door saw of a request with what the controller saw of the instance that
    /// it was sent to. Both are times after the request was seen: those of the controller are
    /// negative where it came before, and each is taken to lie between the moment before it and the
    /// forwarding, which the front door saw itself.
    #[must_use]
    pub fn of(start: Start<i128>, forwarded: Duration, first_byte: Option<Duration>) -> Self {
        let mut after = [None; Moment::COUNT];
        let mut last = Duration::ZERO;
        for (moment, at_us) in start.moments() {
            let Some(at_us) = at_us else { continue };
            let at_us = u64::try_from(at_us.max(0)).unwrap_or(u64::MAX);
            last = Duration::from_micros(at_us).clamp(last, forwarded.max(last));
            after[moment as usize] = Some(last);
        }
        after[Moment::Forwarded as usize] = Some(forwarded);
        after[Moment::FirstByte as usize] = first_byte.map(|at| at.max(forwarded));
        Self { after }
    }

    /// From microseconds after the request was seen, as somebody has written them down in the order
    /// of [`Moment::ALL`]; `None` if one comes before one that it follows.
    #[must_use]
    pub fn from_micros(after_us: [Option<u64>; Moment::COUNT]) -> Option<Self> {
        let after = after_us.map(|us| us.map(Duration::from_micros));
        after.iter().flatten().is_sorted().then_some(Self { after })
    }

    /// Microseconds after the request was seen, in the order of [`Moment::ALL`].
    #[must_use]
    pub fn micros(&self) -> [Option<u64>; Moment::COUNT] {
        self.after.map(|at| at.map(|at| u64::try_from(at.as_micros()).unwrap_or(u64::MAX)))
    }

    /// When a moment was, after the request was seen.
    #[must_use]
    pub fn after(&self, moment: Moment) -> Option<Duration> {
        self.after[moment as usize]
    }

    /// The phases whose ends were seen, in their order, each with its begin and its length. They
    /// leave no gap: together they are [`Self::total`].
    pub fn phases(&self) -> impl Iterator<Item = Phase> + use<> {
        let mut last = Duration::ZERO;
        let after = self.after;
        Moment::ALL.into_iter().filter_map(move |moment| {
            let until = after[moment as usize]?;
            let from = std::mem::replace(&mut last, until);
            Some(Phase { moment, from, length: until.saturating_sub(from) })
        })
    }

    /// From the arrival to the last moment that was seen.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.after.iter().flatten().last().copied().unwrap_or_default()
    }

    /// The value of a `Server-Timing` field.
    #[must_use]
    pub fn server_timing(&self) -> ServerTiming<'_> {
        ServerTiming(self)
    }
}

/// The time that ended with a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Phase {
    /// The moment that ended it.
    pub moment: Moment,
    /// When it began, after the request was seen.
    pub from: Duration,
    /// How long it was.
    pub length: Duration,
}

impl fmt::Display for Timeline {
    /// One sentence without its full stop: the total, and what came after how much more.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "cold start of {}", Span(self.total()))?;
        for (nth, phase) in self.phases().enumerate() {
            let (before, state) = (if nth == 0 { ": " } else { ", " }, phase.moment.state());
            let after = if nth == 0 { "after " } else { "+" };
            write!(formatter, "{before}{state} {after}{}", Span(phase.length))?;
        }
        Ok(())
    }
}

/// A [`Timeline`] as the value of a `Server-Timing` field: each phase, then the sum.
#[derive(Debug, Clone, Copy)]
pub struct ServerTiming<'a>(&'a Timeline);

impl fmt::Display for ServerTiming<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |length: Duration| length.as_secs_f64() * 1e3;
        for Phase { moment, length, .. } in self.0.phases() {
            write!(formatter, "{};dur={:.3}, ", moment.phase(), ms(length))?;
        }
        write!(formatter, "cold-start;dur={:.3}", ms(self.0.total()))
    }
}

/// A length of time for people.
struct Span(Duration);

impl fmt::Display for Span {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.as_secs_f64() * 1e3;
        if ms < TENTHS_BELOW_MS {
            write!(formatter, "{ms:.1} ms")
        } else if ms < SECONDS_FROM_MS {
            write!(formatter, "{ms:.0} ms")
        } else {
            write!(formatter, "{:.1} s", ms / 1e3)
        }
    }
}
