//! Why a decision is what it is: a value, and one or two plain sentences.

mod words;

use crate::collector::Missing;
use crate::decide::{Inputs, Outcome, PanicState};
use crate::hpa::HpaTrace;
use crate::lifecycle::Step;
use crate::observed::Observed;
use crate::signal::{MAX_SIGNALS, SignalKind};
use crate::time::Timestamp;

/// How a decision came about, whoever decided.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Explanation {
    /// The time of the decision.
    pub at: Timestamp,
    /// The decider's own account.
    pub detail: Detail,
    /// What was decided.
    pub outcome: Outcome,
    /// What the lifecycle made of it: bounds, scale to zero, who is in the path. None until a
    /// [`crate::Lifecycle`] has reconciled the decision.
    pub lifecycle: Option<Step>,
}

impl Explanation {
    /// The same explanation with what the lifecycle made of the decision.
    pub fn with_lifecycle(mut self, step: Step) -> Explanation {
        self.lifecycle = Some(step);
        self
    }
}

/// The account of one kind of decider.
#[derive(Clone, Copy, Debug, PartialEq)]
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
}

/// The rule that had the last word on the wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Rule {
    /// The instances could not be counted, so the last wish stands.
    CountUnknown,
    /// There is no load to go by, so the last wish stands.
    NoLoad(Missing),
    /// The stable window.
    Stable,
    /// The stable window wants more than the rate of growth allows.
    GrowthRate,
    /// The stable window wants less than the rate of shrinking allows.
    ShrinkRate,
    /// The stable window wants something, but less than the activation scale.
    ActivationScale,
    /// The stable window wants more than the busiest recent second needs.
    RecentPeak,
    /// The panic window, in panic.
    Panic,
    /// Panic does not let the wish fall.
    PanicHeld,
    /// Most of what was requested is still starting, so no more is.
    Starting,
    /// The scale-down delay does not let the wish fall yet.
    Delayed,
}

/// What became of panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum PanicChange {
    /// No panic before or after.
    Calm,
    /// The panic window wants so much more than is there that panic began.
    Entered,
    /// It still does.
    Extended,
    /// It no longer does, but a stable window has not passed since.
    Continues,
    /// A stable window has passed since it last did.
    Left,
    /// A stable window has passed, and there were no data to tell.
    LeftWithoutData,
}

/// One window's wish.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Wish {
    /// Load divided by target, rounded up.
    pub needed: f64,
    /// That within the rates of growth and shrinking.
    pub limited: i32,
    /// That raised to the activation scale.
    pub wish: i32,
}

/// One signal and its wishes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct SignalTrace {
    /// Which signal.
    pub kind: SignalKind,
    /// Over the stable window.
    pub stable: Wish,
    /// Over the panic window.
    pub panic: Wish,
}

impl SignalTrace {
    const NONE: SignalTrace = {
        let wish = Wish { needed: 0.0, limited: 0, wish: 0 };
        SignalTrace { kind: SignalKind::Concurrency, stable: wish, panic: wish }
    };
}

/// What the scale-down delay did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Delay {
    /// The wish before.
    pub wish: i32,
    /// The largest wish within the delay.
    pub held: i32,
}

/// Excess burst capacity before and after hysteresis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct BurstCapacity {
    /// As computed.
    pub exact: i32,
    /// As decided.
    pub decided: i32,
}

/// The account of Knative's algorithm.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct DecisionTrace {
    /// What it was computed from; deciding again from it gives the same steps.
    pub inputs: Inputs,
    /// What was computed.
    pub steps: Steps,
}

/// Everything that was computed on the way from inputs to outcome.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Steps {
    /// The largest wish that the rate of growth allows.
    pub limit_up: i32,
    /// The smallest wish that the rate of shrinking allows.
    pub limit_down: i32,
    /// The signals' wishes; as many as there are signals in the inputs.
    pub signals: [SignalTrace; MAX_SIGNALS],
    /// Which signal's stable wish is the largest: its place in [`Self::signals`].
    pub stable_winner: u8,
    /// Which signal's panic wish is the largest.
    pub panic_winner: u8,
    /// What became of panic.
    pub panic_change: PanicChange,
    /// The state of panic after the decision.
    pub panic_after: PanicState,
    /// What the scale-down delay did, if there is one.
    pub delay: Option<Delay>,
    /// Excess burst capacity.
    pub burst: BurstCapacity,
    /// The rule that had the last word.
    pub rule: Rule,
}

impl Steps {
    /// Steps in which nothing has happened yet.
    pub(crate) const NONE: Steps = Steps {
        limit_up: 0,
        limit_down: 0,
        signals: [SignalTrace::NONE; MAX_SIGNALS],
        stable_winner: 0,
        panic_winner: 0,
        panic_change: PanicChange::Calm,
        panic_after: PanicState { since: None, max_instances: 0 },
        delay: None,
        burst: BurstCapacity { exact: 0, decided: 0 },
        rule: Rule::Stable,
    };

    /// The signal whose stable wish is the largest.
    pub fn winner(&self) -> &SignalTrace {
        &self.signals[usize::from(self.stable_winner) % MAX_SIGNALS]
    }

    /// The signal whose panic wish is the largest.
    pub fn panic_winner(&self) -> &SignalTrace {
        &self.signals[usize::from(self.panic_winner) % MAX_SIGNALS]
    }
}

impl DecisionTrace {
    /// The instances the decision saw.
    pub fn observed(&self) -> Observed {
        self.inputs.observed.unwrap_or_default()
    }
}
