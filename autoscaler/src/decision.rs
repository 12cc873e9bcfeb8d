//! What a decision is made from and what it comes to, as data: inputs, steps, outcome.
//!
//! [`crate::decide`] computes them and [`crate::explain`] puts them into sentences.

use crate::observed::Observed;
use crate::pauses::Outlook;
use crate::signal::{MAX_SIGNALS, Signal, SignalKind};
use crate::spec::{DecisionSpec, Improvements};
use crate::time::Timestamp;

/// The outcome of a decision: all zero when nothing could be decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Outcome {
    /// Whether there was enough to decide from; if not, the last recommendation stands.
    pub valid: bool,
    /// Instances recommended, before bounds.
    pub desired: i32,
    /// Load that still fits on top of the target burst capacity; negative asks for activators
    /// in the path.
    pub excess_burst_capacity: i32,
}

/// Why there are no averages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Missing {
    /// Nothing was recorded yet, or nothing for longer than the stable window.
    NoData,
    /// The revision's metrics are not being collected.
    NotCollecting,
    /// They could not be obtained for another reason.
    Failed,
}

/// Whether a revision is in panic, and its largest recommendation there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct PanicState {
    /// When the last cause for panic was seen; none when not in panic.
    pub since: Option<Timestamp>,
    /// The largest recommendation of this panic, below which none falls.
    pub max_instances: i32,
}

/// The measured loads of a decision, at most [`MAX_SIGNALS`]; the first is the scaling metric.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Signals {
    values: [Signal; MAX_SIGNALS],
    count: u8,
}

impl Signals {
    /// No load at all.
    pub(crate) const NONE: Signals = Signals { values: [Signal::NONE; MAX_SIGNALS], count: 0 };

    /// Adds a signal; one too many is dropped.
    pub fn push(&mut self, signal: Signal) {
        if let Some(slot) = self.values.get_mut(usize::from(self.count)) {
            *slot = signal;
            self.count += 1;
        }
    }

    /// The signals in the order they were added.
    pub fn as_slice(&self) -> &[Signal] {
        self.values.get(..usize::from(self.count)).unwrap_or(&self.values)
    }
}

/// The seconds of a window that its average is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Span {
    /// Seconds that count, gaps included.
    pub known_s: u32,
    /// Seconds that the window has room for.
    pub whole_s: u32,
}

impl Span {
    /// Whether it is the whole window. The second that is not over yet is not waited for.
    pub const fn is_whole(self) -> bool {
        self.known_s.saturating_add(1) >= self.whole_s
    }
}

/// What the measured loads are averages of. It decides nothing; the explanation shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Coverage {
    /// The start of the last second that anything was reported for; none if nothing ever was.
    pub last_second: Option<Timestamp>,
    /// Seconds of the stable window that were ever written, however old: what a percentile is of.
    pub written_s: u32,
    /// What the average over the stable window is of.
    pub stable: Span,
    /// What the average over the panic window is of.
    pub panic: Span,
}

/// Whether instances end requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Turnover {
    /// As far as is known.
    #[default]
    Usual,
    /// For a panic window instances were full and ended fewer requests than they have places: what
    /// waits does not wait for instances that start, but for long requests to end.
    Stuck,
}

/// Everything a decision is computed from.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Inputs {
    /// The time of the decision.
    pub now: Timestamp,
    /// The numbers to decide by.
    pub spec: DecisionSpec,
    /// The switches to decide by.
    pub improvements: Improvements,
    /// The instances; none when they could not be counted.
    pub observed: Option<Observed>,
    /// The measured loads; of no meaning if they are missing.
    pub signals: Signals,
    /// Why there are no measured loads, if there are none.
    pub missing: Option<Missing>,
    /// Whether the loads are what was known last, held because no report comes.
    pub held: bool,
    /// What the loads are averages of; none when they were not averaged here.
    pub coverage: Option<Coverage>,
    /// The load of the busiest recent second, where that caps the recommendation.
    pub recent_peak: Option<f64>,
    /// What the pauses so far say of the one that the revision is in, where that counts.
    #[cfg_attr(feature = "serde", serde(default))]
    pub outlook: Outlook,
    /// The requests in flight that the present arrivals would come to if they took as long as
    /// without a queue, where that bounds the recommendation: while instances start, and a stable
    /// window on.
    pub arriving_load: Option<f64>,
    /// Whether full instances end requests, where starting instances are counted.
    #[cfg_attr(feature = "serde", serde(default))]
    pub turnover: Turnover,
    /// The state of panic before the decision.
    pub panic: PanicState,
    /// The largest recommendation that the scale-down delay still holds; none when there is no
    /// delay.
    pub delayed: Option<i32>,
    /// The excess burst capacity decided last.
    pub last_burst_capacity: i32,
}

impl Inputs {
    /// Nothing known, by Knative's default specification, at the epoch.
    pub(crate) const NONE: Inputs = Inputs {
        now: Timestamp::EPOCH,
        spec: DecisionSpec::KNATIVE,
        improvements: Improvements::none(),
        observed: None,
        signals: Signals::NONE,
        missing: None,
        held: false,
        coverage: None,
        recent_peak: None,
        outlook: Outlook::Open,
        arriving_load: None,
        turnover: Turnover::Usual,
        panic: PanicState { since: None, max_instances: 0 },
        delayed: None,
        last_burst_capacity: 0,
    };

    /// Nothing known, by Knative's default specification.
    pub const fn none(now: Timestamp) -> Inputs {
        Inputs { now, ..Inputs::NONE }
    }
}

/// The rule that determined the recommendation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Rule {
    /// The instances could not be counted, so the last recommendation stands.
    CountUnknown,
    /// There is no load to go by, so the last recommendation stands.
    NoLoad(Missing),
    /// The stable window.
    Stable,
    /// The stable window recommends more than the rate of growth allows.
    GrowthRate,
    /// The stable window recommends less than the rate of shrinking allows.
    ShrinkRate,
    /// The stable window recommends some, but fewer than the activation scale.
    ActivationScale,
    /// The stable window recommends more than the busiest recent second needs.
    RecentPeak,
    /// The stable window recommends some, but the revision is in a pause that will outlast it.
    LongPause,
    /// The stable window recommends less than the busiest recent second needs.
    RecentFloor,
    /// The panic window, in panic.
    Panic,
    /// Nothing is needed, but pauses like the one that the revision is in are about to end.
    PauseEnds,
    /// Panic keeps the recommendation from falling.
    PanicHeld,
    /// Most of what was requested is still starting, so no more is.
    Starting,
    /// The scale-down delay keeps the recommendation from falling yet.
    Delayed,
}

/// What kept a window's recommendation from what its load needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Clamp {
    /// No clamp applied.
    #[default]
    Free,
    /// The rate of growth allows less.
    GrowthRate,
    /// The rate of shrinking allows no less.
    ShrinkRate,
    /// No recent second needed more.
    RecentPeak,
    /// No recent second needed any, and pauses like this one outlast the stable window.
    LongPause,
    /// The busiest recent second needed more.
    RecentFloor,
}

/// What became of panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum PanicChange {
    /// No panic before or after.
    Calm,
    /// The panic window needs so much more than there is that panic began.
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

impl PanicChange {
    /// Whether there is a cause for panic at this moment.
    pub(crate) const fn is_caused(self) -> bool {
        matches!(self, PanicChange::Entered | PanicChange::Extended)
    }
}

/// One window's recommendation.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Recommendation {
    /// Load divided by target, rounded up.
    pub needed: f64,
    /// That within the rates of growth and shrinking.
    pub limited: i32,
    /// That raised to the activation scale.
    #[cfg_attr(feature = "serde", serde(rename = "wish"))]
    pub recommended: i32,
}

/// One signal and its recommendations.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct SignalTrace {
    /// What the signal measures.
    pub kind: SignalKind,
    /// Over the stable window.
    pub stable: Recommendation,
    /// Over the panic window.
    pub panic: Recommendation,
}

impl SignalTrace {
    const NONE: SignalTrace = {
        let nothing = Recommendation { needed: 0.0, limited: 0, recommended: 0 };
        SignalTrace { kind: SignalKind::Concurrency, stable: nothing, panic: nothing }
    };
}

/// What the scale-down delay did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Delay {
    /// The recommendation before.
    #[cfg_attr(feature = "serde", serde(rename = "wish"))]
    pub recommended: i32,
    /// The largest recommendation within the delay.
    pub held: i32,
}

/// Excess burst capacity before and after hysteresis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct BurstCapacity {
    /// As computed.
    pub exact: i32,
    /// As decided.
    pub decided: i32,
}

/// The account of Knative's algorithm.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct DecisionTrace {
    /// What it was computed from; deciding again from it gives the same steps.
    pub inputs: Inputs,
    /// What was computed.
    pub steps: Steps,
}

/// Everything that was computed on the way from inputs to outcome.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Steps {
    /// The largest recommendation that the rate of growth allows.
    pub limit_up: i32,
    /// The smallest recommendation that the rate of shrinking allows, or what the busiest recent
    /// second needs if that is less.
    pub limit_down: i32,
    /// What kept the largest stable recommendation from what its load needs, before the activation
    /// scale.
    pub stable_clamp: Clamp,
    /// The same of the largest panic recommendation.
    pub panic_clamp: Clamp,
    /// The recommendations by signal; as many as there are signals in the inputs.
    pub signals: [SignalTrace; MAX_SIGNALS],
    /// Which signal's stable recommendation is the largest: its place in [`Self::signals`].
    pub stable_winner: u8,
    /// Which signal's panic recommendation is the largest.
    pub panic_winner: u8,
    /// What became of panic.
    pub panic_change: PanicChange,
    /// The state of panic after the decision.
    pub panic_after: PanicState,
    /// What the scale-down delay did, if there is one.
    pub delay: Option<Delay>,
    /// Excess burst capacity.
    pub burst: BurstCapacity,
    /// The rule that determined the recommendation.
    pub rule: Rule,
}

impl Steps {
    /// Steps in which nothing has happened yet.
    pub(crate) const NONE: Steps = Steps {
        limit_up: 0,
        limit_down: 0,
        stable_clamp: Clamp::Free,
        panic_clamp: Clamp::Free,
        signals: [SignalTrace::NONE; MAX_SIGNALS],
        stable_winner: 0,
        panic_winner: 0,
        panic_change: PanicChange::Calm,
        panic_after: PanicState { since: None, max_instances: 0 },
        delay: None,
        burst: BurstCapacity { exact: 0, decided: 0 },
        rule: Rule::Stable,
    };

    /// The signal whose stable recommendation is the largest.
    pub fn winner(&self) -> &SignalTrace {
        self.signal(self.stable_winner)
    }

    /// The signal whose panic recommendation is the largest.
    pub fn panic_winner(&self) -> &SignalTrace {
        self.signal(self.panic_winner)
    }

    /// The signal at a place, or the first if there is no such place.
    fn signal(&self, place: u8) -> &SignalTrace {
        self.signals.get(usize::from(place)).unwrap_or(&self.signals[0])
    }
}

impl DecisionTrace {
    /// The instances the decision saw.
    pub fn observed(&self) -> Observed {
        self.inputs.observed.unwrap_or_default()
    }
}
