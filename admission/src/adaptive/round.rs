//! What was seen while the limit stayed as it is.

use core::time::Duration;

use crate::time::Moment;

/// Samples of a round, at least and at most.
const SAMPLES: (u32, u32) = (5, 1_000);
/// So many, for each unit of their squared coefficient of variation, say anything.
const SAMPLES_AT_LEAST: f64 = 20.0;
/// So many say enough: their mean is within 13 % of what many more would give.
const SAMPLES_WANTED: f64 = 60.0;
/// As many more as are inside, so often: requests that were inside together are alike.
const TURNS: f64 = 3.0;
/// For the same reason a mean is further off than one of as many that are not alike: by this
/// factor, for an app that shares one core.
const DEPENDENCE: f64 = 1.5;
/// A round is over after this many windows with as few samples as there are.
const WINDOWS_MAX: u32 = 100;

/// How long requests took, and how many were inside.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Level {
    pub(super) latency_seconds: f64,
    /// On average; at least one.
    pub(super) in_flight: f64,
    /// Of the latencies.
    squared_variation: f64,
    samples: f64,
}

/// An elasticity, and how far it may be off.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Elasticity {
    pub(super) value: f64,
    pub(super) error: f64,
}

impl Level {
    /// The squared relative error of the mean latency.
    fn squared_error(&self) -> f64 {
        self.squared_variation / self.samples
    }

    /// By how much latency grew from `low` to this, for the growth of requests inside: 0 for none,
    /// 1 for as much. `None` where they are within a factor of `near`.
    pub(super) fn elasticity_over(&self, low: &Self, near: f64) -> Option<Elasticity> {
        let more = self.in_flight / low.in_flight;
        (more >= near).then(|| Elasticity {
            value: (self.latency_seconds / low.latency_seconds).ln() / more.ln(),
            error: DEPENDENCE * (self.squared_error() + low.squared_error()).sqrt() / more.ln(),
        })
    }
}

/// The samples of a round.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Round {
    opened: Option<Moment>,
    samples: u32,
    seconds_sum: f64,
    squares_sum: f64,
    in_flight_sum: f64,
    most_in_flight: u32,
}

impl Round {
    pub(super) fn add(&mut self, now: Moment, seconds: f64, in_flight: u32) {
        self.opened.get_or_insert(now);
        self.samples += 1;
        self.seconds_sum += seconds;
        self.squares_sum += seconds * seconds;
        self.in_flight_sum += f64::from(in_flight.max(1));
        self.most_in_flight = self.most_in_flight.max(in_flight);
    }

    pub(super) fn most_in_flight(&self) -> u32 {
        self.most_in_flight
    }

    /// What it says so far, once that is anything: over a window at least.
    pub(super) fn level(&self, now: Moment, window: Duration) -> Option<Level> {
        let samples = f64::from(self.samples);
        let mean = self.seconds_sum / samples;
        let variation = (self.squares_sum / samples / (mean * mean) - 1.0).max(0.0);
        let in_flight = self.in_flight_sum / samples;
        let is_any = self.age(now) >= window && self.samples >= SAMPLES.0;
        let least = (SAMPLES_AT_LEAST + TURNS * in_flight) * variation;
        (is_any && samples >= least.min(f64::from(SAMPLES.1))).then_some(Level {
            latency_seconds: mean,
            in_flight,
            squared_variation: variation,
            samples,
        })
    }

    /// Whether more samples would say much more, and can be waited for.
    pub(super) fn may_go_on(&self, level: &Level, now: Moment, window: Duration) -> bool {
        let wanted = (SAMPLES_WANTED + TURNS * level.in_flight) * level.squared_variation;
        level.samples < wanted.min(f64::from(SAMPLES.1))
            && self.age(now) < window.saturating_mul(WINDOWS_MAX)
    }

    fn age(&self, now: Moment) -> Duration {
        self.opened.map_or(Duration::ZERO, |opened| now.since(opened))
    }
}
