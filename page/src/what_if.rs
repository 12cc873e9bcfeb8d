//! What would the last hour of a revision have been by other settings? Asked of whoever can
//! simulate: the page knows what was seen, and nothing of simulations.

use std::fmt;

use serde::Serialize;
use tidegate_controller::{ColdStart, Declaration};

use crate::trail::{Point, Trail};

/// Settings that are given at a time.
pub(crate) const SETTINGS_MAX: usize = 16;

/// Steps of an outcome that are told: the columns of a screen.
pub const STEPS_MAX: usize = 1_200;

/// Whoever can say what would have been.
pub trait WhatIf: fmt::Debug + Send + Sync + 'static {
    /// Replays `past` by the settings that it had, and by these instead. It may take seconds, and
    /// is called where that delays nobody.
    ///
    /// # Errors
    ///
    /// Why that cannot be said, as a sentence for whoever asked.
    fn replay(&self, past: &Past, settings: &[(String, String)]) -> Result<Replay, String>;
}

/// What was seen of a revision.
#[derive(Debug, Clone)]
pub struct Past {
    /// How it is scaled now.
    pub declaration: Declaration,
    /// What was seen, the oldest first; each holds until the next.
    pub moments: Vec<Moment>,
    /// Until when the last one holds, in Unix milliseconds.
    pub until_ms: i64,
    /// The last cold starts.
    pub cold_starts: Vec<ColdStart>,
}

/// What was seen at a moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moment {
    /// When, in Unix milliseconds.
    pub at_ms: i64,
    /// Requests executing and waiting.
    pub in_flight: f64,
    /// Those of them that wait.
    pub waiting: f64,
    /// Requests that ended, a second.
    pub rate: f64,
    /// Instances that took requests.
    pub ready: u32,
}

/// What would have been.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Replay {
    /// By the settings that it has.
    pub present: Outcome,
    /// By the other ones.
    pub other: Outcome,
    /// What had to be assumed, in a sentence.
    pub assumed: String,
}

/// What came of one of them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// Requests that arrived.
    pub requests: u64,
    /// Those that met no ready instance.
    pub cold_starts: u64,
    /// Those that got no response.
    pub lost: u64,
    /// What half of them took at most, in milliseconds.
    pub p50_ms: f64,
    /// What all but one in a hundred took at most.
    pub p99_ms: f64,
    /// Instances that were ready, in the mean.
    pub ready_mean: f64,
    /// And at most.
    pub ready_max: u64,
    /// Hours of all instances together.
    pub instance_hours: f64,
    /// Over time; at most [`STEPS_MAX`].
    pub steps: Vec<Step>,
}

/// A part of the time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Step {
    /// When it began, in Unix milliseconds.
    pub at: i64,
    /// Instances that were ready.
    pub ready: f64,
    /// Requests that waited.
    pub waiting: f64,
}

impl Past {
    pub(crate) fn new(
        declaration: Declaration,
        trail: &Trail,
        until_ms: i64,
        cold_starts: Vec<ColdStart>,
    ) -> Self {
        let moment = |Point { at_ms, load }: &Point| Moment {
            at_ms: *at_ms,
            in_flight: load.in_flight.into(),
            waiting: load.waiting.into(),
            rate: load.rate.into(),
            ready: load.ready,
        };
        Self { declaration, moments: trail.points().map(moment).collect(), until_ms, cold_starts }
    }
}
