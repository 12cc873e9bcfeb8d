//! The rule itself: a pure function from what is known to an explained outcome.
//!
//! [`decide`] reads nothing but its [`Inputs`] and changes nothing. Whoever calls it applies the
//! outcome to the memory the next inputs are made of ([`crate::RevisionAutoscaler`] does).

use crate::collector::Missing;
use crate::explain::{
    BurstCapacity, DecisionTrace, Delay, Detail, Explanation, PanicChange, Rule, SignalTrace,
};
use crate::observed::Observed;
use crate::signal::{MAX_SIGNALS, Signal};
use crate::spec::{DecisionSpec, Improvements};
use crate::time::Timestamp;

/// What was decided. All zero when nothing could be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Outcome {
    /// Whether there was enough to decide from; if not, the last wish stands.
    pub valid: bool,
    /// Instances wished for, before bounds.
    pub desired: i32,
    /// Load that still fits on top of the target burst capacity; negative asks for activators
    /// in the path.
    pub excess_burst_capacity: i32,
}

/// A decision and its reason.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Decision {
    /// Whether there was enough to decide from; if not, the last wish stands.
    pub valid: bool,
    /// Instances wished for, before bounds; 0 when not valid.
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

    /// The outcome alone.
    pub fn outcome(&self) -> Outcome {
        self.explanation.outcome
    }
}

/// Whether a revision panics, and how far it got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct PanicState {
    /// When the last cause for panic was seen; none when not in panic.
    pub since: Option<Timestamp>,
    /// The largest wish of this panic, below which it does not go.
    pub max_instances: i32,
}

/// The measured loads of a decision, at most [`MAX_SIGNALS`]; the first is the scaling metric.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Signals {
    values: [Signal; MAX_SIGNALS],
    count: u8,
}

impl Signals {
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

/// Everything a decision is computed from.
#[derive(Clone, Copy, Debug, PartialEq)]
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
    /// The measured loads, or why there are none.
    pub signals: Result<Signals, Missing>,
    /// Whether the loads are what was known last, held because nobody reports.
    pub held: bool,
    /// The load of the busiest recent second, where that caps the wish.
    pub recent_peak: Option<f64>,
    /// The state of panic before the decision.
    pub panic: PanicState,
    /// The largest wish that the scale-down delay still holds; none when there is no delay.
    pub delayed: Option<i32>,
    /// The excess burst capacity decided last.
    pub last_burst_capacity: i32,
}

/// Decides.
pub fn decide(inputs: &Inputs) -> Explanation {
    let mut trace = DecisionTrace::new(inputs);
    let outcome = match (inputs.observed, inputs.signals) {
        (Some(observed), Ok(signals)) => decide_with(inputs, observed, &signals, &mut trace),
        (None, _) => {
            trace.rule = Rule::CountUnknown;
            Outcome::default()
        }
        (_, Err(missing)) => {
            trace.rule = Rule::NoLoad(missing);
            Outcome::default()
        }
    };
    Explanation { at: inputs.now, detail: Detail::Knative(trace), outcome }
}

/// Decides from loads and instances that are known.
fn decide_with(
    inputs: &Inputs,
    observed: Observed,
    signals: &Signals,
    trace: &mut DecisionTrace,
) -> Outcome {
    let spec = &inputs.spec;
    let capacity = f64::from(observed.ready.max(1));
    let up = (spec.max_scale_up_rate * capacity).ceil();
    let down = if spec.reachable { (capacity / spec.max_scale_down_rate).floor() } else { 0.0 };
    (trace.limit_up, trace.limit_down) = (up as i32, down as i32);

    let mut over = false;
    let (mut stable_wish, mut panic_wish) = (i32::MIN, i32::MIN);
    for (slot, signal) in trace.signals.iter_mut().zip(signals.as_slice()) {
        *slot = SignalTrace::new(signal, up, down, spec.activation_scale);
        if slot.stable.wish > stable_wish {
            stable_wish = slot.stable.wish;
            trace.stable_winner = signal.kind;
        }
        panic_wish = panic_wish.max(slot.panic.wish);
        over |= slot.panic.needed / capacity >= spec.panic_threshold;
    }

    settle_panic(inputs, over, trace);
    let mut wish = stable_wish;
    trace.rule = Rule::Stable;
    if trace.panic_after.since.is_some() {
        wish = wish.max(panic_wish);
        let max = &mut trace.panic_after.max_instances;
        trace.rule = if wish >= *max { Rule::Panic } else { Rule::PanicHeld };
        *max = wish.max(*max);
        wish = *max;
    }
    if let (true, Some(held)) = (spec.reachable, inputs.delayed) {
        trace.delay = Some(Delay { wish, held });
        if held > wish {
            trace.rule = Rule::Delayed;
            wish = held;
        }
    }
    trace.burst = burst_capacity(inputs, observed, signals);
    Outcome { valid: true, desired: wish, excess_burst_capacity: trace.burst.decided }
}

/// Enters, extends, continues or leaves panic.
fn settle_panic(inputs: &Inputs, over: bool, trace: &mut DecisionTrace) {
    let before = inputs.panic;
    trace.panic_after = before;
    trace.panic_change = match before.since {
        None if over => PanicChange::Entered,
        None => PanicChange::Calm,
        Some(_) if over => PanicChange::Extended,
        Some(since) if since.plus_millis(inputs.spec.stable_window_ms) < inputs.now => {
            PanicChange::Left
        }
        Some(_) => PanicChange::Continues,
    };
    match trace.panic_change {
        PanicChange::Entered | PanicChange::Extended => trace.panic_after.since = Some(inputs.now),
        PanicChange::Left => trace.panic_after = PanicState::default(),
        PanicChange::Calm | PanicChange::Continues => {}
    }
}

/// How much load would still fit.
fn burst_capacity(inputs: &Inputs, observed: Observed, signals: &Signals) -> BurstCapacity {
    let spec = &inputs.spec;
    let panic = signals.as_slice().first().map_or(0.0, |signal| signal.panic);
    let target = spec.target_burst_capacity;
    let exact = if target == 0.0 {
        0
    } else if target > 0.0 {
        (f64::from(observed.ready) * spec.total_value - target - panic).floor() as i32
    } else {
        -1
    };
    BurstCapacity { exact, decided: exact }
}
