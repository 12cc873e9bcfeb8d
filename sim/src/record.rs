//! One thing that happened: a decision, or a request from its arrival to its end.

use serde::{Deserialize, Serialize};

use crate::arrival::RevisionIndex;
use crate::time::{SimSpan, SimTime};

/// A decision and why it was made. Kept when it differs from the one before it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DecisionRecord {
    /// When, seconds since the beginning.
    pub at_s: f64,
    /// For which revision, by name.
    pub revision: String,
    /// What made it decide: `tick`, `wake-up` or `failure`.
    pub trigger: String,
    /// Instances that the policy recommended, before bounds and lifecycle.
    pub desired: u64,
    /// Instances wanted after bounds and lifecycle.
    pub wanted: u64,
    /// Ready instances at that moment.
    pub ready: u64,
    /// Value over the stable window (requests in flight, or requests per second).
    pub stable: f64,
    /// Value over the panic window.
    pub panic: f64,
    /// Whether panic mode was on.
    pub panicking: bool,
    /// Whether requests go through the activator.
    pub proxied: bool,
    /// Spare capacity for a burst; negative keeps the activator in the path.
    pub excess_burst_capacity: f64,
    /// The reason in one or two sentences.
    pub reason: String,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// Answered.
    Completed,
    /// Refused by a full queue.
    Rejected,
    /// Given up, waiting or being served.
    TimedOut,
    /// Lost with its instance or node.
    Failed,
    /// Still there when the simulation ended.
    InFlight,
}

impl Outcome {
    /// The name in files, as serialization writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Outcome::Completed => "completed",
            Outcome::Rejected => "rejected",
            Outcome::TimedOut => "timed_out",
            Outcome::Failed => "failed",
            Outcome::InFlight => "in_flight",
        }
    }
}

/// A request from its arrival to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestRecord {
    /// Number in order of arrival, from 0.
    pub number: u64,
    /// For which revision.
    pub revision: RevisionIndex,
    /// When it reached the activator or ingress.
    pub arrived: SimTime,
    /// When service began; `None` when it never did.
    pub started: Option<SimTime>,
    /// When it was answered or given up.
    pub ended: SimTime,
    /// Time the work would take on an instance of its own.
    pub service: SimSpan,
    /// The instance of the revision that served it, numbered from 0 in order of creation.
    pub instance: Option<u32>,
    /// Whether it found no ready instance on arrival.
    pub cold: bool,
    /// Tries before this one.
    pub retries: u32,
    /// How it ended.
    pub outcome: Outcome,
}

/// Receives events of a run as they happen. Every method does nothing unless overridden.
pub trait Observer {
    /// A request ended. Requests come in order of their end.
    fn request(&mut self, _request: &RequestRecord) {}

    /// A decision differed from the one before it.
    fn decision(&mut self, _decision: &DecisionRecord) {}

    /// Whether it receives decisions although the scenario's recording keeps none.
    fn wants_decisions(&self) -> bool {
        false
    }

    /// Simulated time has come so far and so many requests have arrived; told now and then, for
    /// progress bars. Returning `false` ends the simulation early.
    fn progress(&mut self, _now: SimTime, _requests: u64) -> bool {
        true
    }
}

/// Ignores everything.
impl Observer for () {}
