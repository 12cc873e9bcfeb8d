//! Why a decision is what it is: a value, and its display in a few sentences.

mod custom;
mod display;
mod figure;
mod hpa;
mod load;

use crate::lifecycle::Step;
use crate::pauses::Outlook;
use crate::time::Timestamp;

use crate::decision::Outcome;
pub use crate::decision::{
    BurstCapacity, Clamp, Coverage, DecisionTrace, Delay, PanicChange, Recommendation, Rule,
    SignalTrace, Span, Steps,
};
pub use custom::{Custom, FIGURES_MAX, LABEL_BYTES_MAX};
pub use hpa::{HpaRule, HpaTrace};

/// How a decision came about, whichever policy decided.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Explanation {
    /// The time of the decision.
    pub at: Timestamp,
    /// The account of the policy that decided.
    pub detail: Detail,
    /// What was decided.
    pub outcome: Outcome,
    /// What the lifecycle made of it: bounds, scale to zero, the activator in the path. None until
    /// a [`crate::Lifecycle`] has reconciled the decision.
    pub lifecycle: Option<Step>,
}

impl Explanation {
    /// The same explanation with what the lifecycle made of the decision.
    pub fn with_lifecycle(mut self, step: Step) -> Explanation {
        self.lifecycle = Some(step);
        self
    }
}

/// The account of one kind of policy.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[expect(clippy::large_enum_variant, reason = "an explanation is made without allocating")]
#[non_exhaustive]
pub enum Detail {
    /// Knative's algorithm, improved or not.
    Knative(DecisionTrace),
    /// A fixed number.
    Fixed {
        /// The number.
        instances: u32,
    },
    /// One request per instance, and a fixed time before an idle one goes.
    KeepAlive {
        /// Requests in flight and waiting now.
        needed: u32,
        /// How long an idle instance is kept, in milliseconds.
        idle_ms: u64,
    },
    /// Kubernetes' HPA.
    Hpa(HpaTrace),
    /// A policy of the embedder.
    Custom(Custom),
}

/// A decision and its reason.
#[must_use = "a decision that is not followed changes nothing"]
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Decision {
    /// Whether there was enough to decide from; if not, the last recommendation stands.
    pub valid: bool,
    /// Instances recommended, before bounds; 0 when not valid.
    pub desired: i32,
    /// Load that still fits on top of the target burst capacity; 0 when not valid.
    pub excess_burst_capacity: i32,
    /// How it came about.
    pub explanation: Explanation,
}

impl Decision {
    /// A decision with the outcome that `explanation` states.
    pub fn new(explanation: Explanation) -> Decision {
        let Outcome { valid, desired, excess_burst_capacity } = explanation.outcome;
        Decision { valid, desired, excess_burst_capacity, explanation }
    }

    /// A decision of Knative's algorithm that no lifecycle has seen yet.
    pub(crate) fn of_knative(at: Timestamp, outcome: Outcome, trace: DecisionTrace) -> Decision {
        let detail = Detail::Knative(trace);
        Decision::new(Explanation { at, detail, outcome, lifecycle: None })
    }

    /// What is expected of the pause that the revision is in.
    pub fn outlook(&self) -> Outlook {
        match &self.explanation.detail {
            Detail::Knative(trace) => trace.inputs.outlook,
            _ => Outlook::Open,
        }
    }

    /// The outcome alone.
    pub fn outcome(&self) -> Outcome {
        self.explanation.outcome
    }
}
