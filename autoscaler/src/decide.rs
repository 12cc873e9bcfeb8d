//! The rule itself: a pure function from what is known to an explained outcome.
//!
//! [`decide`] reads nothing but its [`Inputs`] and changes nothing. The caller applies the
//! outcome to the memory the next inputs are made of ([`crate::RevisionAutoscaler`] does).

use crate::decision::{
    BurstCapacity, Clamp, DecisionTrace, Delay, PanicChange, Recommendation, Rule, SignalTrace,
    Steps, Turnover,
};
use crate::observed::Observed;
use crate::pauses::Outlook;
use crate::signal::SignalKind;
use crate::spec::Improvements;
use crate::time::Timestamp;

pub use crate::decision::{Inputs, Outcome, PanicState, Signals};
pub use crate::explain::Decision;

/// Decides for one tick, from nothing but its inputs: no state is kept, and the same inputs give
/// the same decision. The decision is in instances; when `inputs` say that nothing was measured it
/// is not valid, and the caller keeps to the last one.
pub fn decide(inputs: &Inputs) -> Decision {
    let mut steps = Steps::NONE;
    let outcome = settle(inputs, &mut steps);
    Decision::of_knative(inputs.now, outcome, DecisionTrace { inputs: *inputs, steps })
}

/// Decides, step by step; the steps are [`Steps::NONE`] before.
pub(crate) fn settle(inputs: &Inputs, steps: &mut Steps) -> Outcome {
    match (inputs.observed, inputs.missing) {
        (Some(observed), None) => decide_with(inputs, observed, steps),
        (None, _) => undecided(inputs, Rule::CountUnknown, steps),
        (_, Some(missing)) => undecided(inputs, Rule::NoLoad(missing), steps),
    }
}

/// Leaves everything as it is, but for panic that has had its time.
fn undecided(inputs: &Inputs, rule: Rule, steps: &mut Steps) -> Outcome {
    steps.rule = rule;
    steps.panic_after = inputs.panic;
    let since = inputs.panic.since;
    let lasts = since.is_none_or(|since| !has_passed(inputs, since));
    if inputs.improvements.leave_panic_without_data && !lasts {
        steps.panic_change = PanicChange::LeftWithoutData;
        steps.panic_after = PanicState::default();
    } else if since.is_some() {
        steps.panic_change = PanicChange::Continues;
    }
    Outcome::default()
}

/// Decides from loads and instances that are known.
fn decide_with(inputs: &Inputs, observed: Observed, steps: &mut Steps) -> Outcome {
    let spec = &inputs.spec;
    let limits = Limits::new(inputs, observed);
    (steps.limit_up, steps.limit_down) = (limits.up as i32, limits.down as i32);
    let pressure = weigh_signals(inputs, observed, &limits, steps);
    let stable = steps.winner().stable.recommended;

    settle_panic(inputs, observed, pressure, steps);
    let mut recommended = stable;
    limits.note_clamps(steps);
    let panics = steps.panic_after.since.is_some();
    if panics
        && let Some(panic) = panic_recommendation(inputs, observed, pressure, steps)
            .filter(|&panic| panic > recommended)
    {
        steps.rule = Rule::Panic;
        recommended = panic;
    }
    if let Some(requested) = growth_on_its_way(inputs, observed, pressure, recommended) {
        steps.rule = Rule::Starting;
        recommended = requested;
    }
    if recommended <= 0 && inputs.outlook == Outlook::Soon {
        steps.rule = Rule::PauseEnds;
        recommended = 1;
    }
    if panics {
        let max = &mut steps.panic_after.max_instances;
        if *max > recommended {
            steps.rule = Rule::PanicHeld;
        }
        *max = recommended.max(*max);
        recommended = *max;
    }
    if let (true, Some(held)) = (spec.reachable, inputs.delayed) {
        steps.delay = Some(Delay { recommended, held });
        if held > recommended {
            steps.rule = Rule::Delayed;
            recommended = held;
        }
    }
    steps.burst = burst_capacity(inputs, observed);
    Outcome { valid: true, desired: recommended, excess_burst_capacity: steps.burst.decided }
}

/// The first of falling loads, by its place in their order, for which another number of instances
/// is recommended than `desired`, with everything else as it is in `inputs`.
pub(crate) fn first_other(
    inputs: &Inputs,
    observed: Observed,
    desired: i32,
    loads: impl Iterator<Item = f64>,
) -> Option<usize> {
    let limits = Limits::new(inputs, observed);
    let target = inputs.spec.target_value;
    // Most seconds that leave the window were empty.
    let mut before = f64::NAN;
    let mut is_other = |load: f64| {
        let is_new = load != before;
        before = load;
        is_new && limits.recommendation(load, target, f64::INFINITY).recommended != desired
    };
    loads.into_iter().position(&mut is_other)
}

/// What bounds the recommendation of a single decision.
struct Limits<'a> {
    /// The largest recommendation that the rate of growth allows.
    up: f64,
    /// The smallest recommendation that the rate of shrinking allows, where nothing routes to the
    /// revision 0.
    shrunk: f64,
    /// That, or what the busiest recent second needs if that is less.
    down: f64,
    /// The most that the busiest recent second needs.
    peak: f64,
    activation_scale: i32,
    outlook: Outlook,
    improvements: &'a Improvements,
}

/// The least that the busiest recent second leaves. The last instance stays for the whole window
/// unless the pauses so far say that nothing comes in it, or somebody said when it is to go.
fn least_peak(inputs: &Inputs) -> f64 {
    let stays = inputs.improvements.learn_pauses
        && inputs.outlook == Outlook::Open
        && inputs.spec.idle_floor_ms == 0;
    if stays { 1.0 } else { 0.0 }
}

impl Limits<'_> {
    fn new(inputs: &Inputs, observed: Observed) -> Limits<'_> {
        let spec = &inputs.spec;
        let ready = f64::from(observed.ready.max(1));
        let shrunk = if spec.reachable { (ready / spec.max_scale_down_rate).floor() } else { 0.0 };
        let peak = match inputs.recent_peak {
            Some(load) => (load / spec.target_value).ceil().max(least_peak(inputs)),
            None => f64::INFINITY,
        };
        Limits {
            up: (spec.max_scale_up_rate * ready).ceil(),
            shrunk,
            down: shrunk.min(peak),
            peak,
            activation_scale: spec.activation_scale,
            outlook: inputs.outlook,
            improvements: &inputs.improvements,
        }
    }

    /// The most that a signal may recommend by the busiest recent second, which is one of requests
    /// and says nothing of other loads.
    fn peak_for(&self, kind: SignalKind) -> f64 {
        if kind.is_request_load() { self.peak } else { f64::INFINITY }
    }

    /// Takes a load through every clamp, in Knative's order.
    fn recommendation(&self, load: f64, target: f64, peak: f64) -> Recommendation {
        let needed = (load / target).ceil();
        let capped = needed.min(peak);
        let limited = self.improvements.narrow(capped.max(self.down).min(self.up));
        let raised = self.activation_scale > 1 && capped > 0.0;
        let recommended = if raised { limited.max(self.activation_scale) } else { limited };
        Recommendation { needed, limited, recommended }
    }

    /// What kept a recommendation from what its load needs.
    fn clamp_of(&self, recommendation: &Recommendation, peak: f64) -> Clamp {
        // First of all, because most loads ask for what they may have.
        if recommendation.needed >= self.down
            && recommendation.needed <= self.up
            && recommendation.needed <= peak
        {
            return Clamp::Free;
        }
        let capped = recommendation.needed.min(peak);
        if capped.max(self.down) > self.up {
            Clamp::GrowthRate
        } else if capped < self.down && self.down < self.shrunk {
            Clamp::RecentFloor
        } else if capped < self.down {
            Clamp::ShrinkRate
        } else if recommendation.needed > peak && peak == 0.0 && self.outlook == Outlook::Long {
            Clamp::LongPause
        } else if recommendation.needed > peak {
            Clamp::RecentPeak
        } else {
            Clamp::Free
        }
    }

    /// Notes what kept the two largest recommendations from what their loads need, and which rule
    /// the stable one goes by.
    fn note_clamps(&self, steps: &mut Steps) {
        let winner = steps.winner();
        let is_raised = winner.stable.recommended > winner.stable.limited;
        let stable_clamp = self.clamp_of(&winner.stable, self.peak_for(winner.kind));
        steps.panic_clamp = self.clamp_of(&steps.panic_winner().panic, f64::INFINITY);
        steps.stable_clamp = stable_clamp;
        steps.rule = match stable_clamp {
            _ if is_raised => Rule::ActivationScale,
            Clamp::Free => Rule::Stable,
            Clamp::GrowthRate => Rule::GrowthRate,
            Clamp::ShrinkRate => Rule::ShrinkRate,
            Clamp::RecentPeak => Rule::RecentPeak,
            Clamp::LongPause => Rule::LongPause,
            Clamp::RecentFloor => Rule::RecentFloor,
        };
    }
}

/// What the panic window needs, against what is ready or starting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pressure {
    /// Below the panic threshold.
    Usual,
    /// At or above it: panic begins or is renewed.
    CausesPanic,
}

/// Computes the recommendations of every signal and which is largest. Returns whether the
/// need of one of them is a cause for panic.
fn weigh_signals(
    inputs: &Inputs,
    observed: Observed,
    limits: &Limits<'_>,
    steps: &mut Steps,
) -> Pressure {
    let starting = if inputs.improvements.count_starting { observed.starting } else { 0 };
    let capacity = f64::from(observed.ready.saturating_add(starting).max(1));
    let mut pressure = Pressure::Usual;
    for (index, signal) in inputs.signals.as_slice().iter().enumerate() {
        let peak = limits.peak_for(signal.kind);
        let traced = SignalTrace {
            kind: signal.kind,
            stable: limits.recommendation(signal.stable, signal.target, peak),
            panic: limits.recommendation(signal.panic, signal.target, f64::INFINITY),
        };
        if traced.panic.needed / capacity >= inputs.spec.panic_threshold {
            pressure = Pressure::CausesPanic;
        }
        if traced.stable.recommended
            > steps.signals[usize::from(steps.stable_winner)].stable.recommended
        {
            steps.stable_winner = index as u8;
        }
        if traced.panic.recommended
            > steps.signals[usize::from(steps.panic_winner)].panic.recommended
        {
            steps.panic_winner = index as u8;
        }
        steps.signals[index] = traced;
    }
    pressure
}

/// Whether a stable window has passed since.
fn has_passed(inputs: &Inputs, since: Timestamp) -> bool {
    since.plus_millis(inputs.spec.stable_window_ms) < inputs.now
}

/// Enters, extends, continues or leaves panic.
fn settle_panic(inputs: &Inputs, observed: Observed, pressure: Pressure, steps: &mut Steps) {
    let before = inputs.panic;
    steps.panic_after = before;
    steps.panic_change = match before.since {
        None if pressure == Pressure::CausesPanic => PanicChange::Entered,
        None => PanicChange::Calm,
        Some(_) if pressure == Pressure::CausesPanic => PanicChange::Extended,
        Some(since) if has_passed(inputs, since) => PanicChange::Left,
        Some(_) => PanicChange::Continues,
    };
    match steps.panic_change {
        PanicChange::Entered | PanicChange::Extended => {
            steps.panic_after.since = Some(inputs.now);
        }
        PanicChange::Left => steps.panic_after = PanicState::default(),
        _ => {}
    }
    if steps.panic_change == PanicChange::Entered && inputs.improvements.count_starting {
        let requested = i32::try_from(observed.requested).unwrap_or(i32::MAX);
        let max = &mut steps.panic_after.max_instances;
        *max = requested.max(*max);
    }
}

/// What the panic window recommends, where it counts. With `Improvements::count_starting` only a
/// new cause for panic raises the recommendation again: what was requested before is on its way.
/// Once most of it has come, what still waits for long requests to end counts.
fn panic_recommendation(
    inputs: &Inputs,
    observed: Observed,
    pressure: Pressure,
    steps: &Steps,
) -> Option<i32> {
    let is_stuck = inputs.turnover == Turnover::Stuck && !observed.is_mostly_starting();
    let counts =
        pressure == Pressure::CausesPanic || !inputs.improvements.count_starting || is_stuck;
    counts.then(|| steps.panic_winner().panic.recommended)
}

/// With `Improvements::count_starting`, the most that may be recommended, if the recommendation
/// exceeds it.
///
/// Requests that wait for starting instances are no reason for more of them. Where it is known how
/// long requests take without a queue, the recommendation is bounded by what arrives, panic
/// threshold included, until the queue has had a stable window to drain. Where it is not, and while
/// at least half of what was requested is still starting, only a new cause for panic asks for more.
fn growth_on_its_way(
    inputs: &Inputs,
    observed: Observed,
    pressure: Pressure,
    recommended: i32,
) -> Option<i32> {
    let spec = &inputs.spec;
    let needed = match inputs.arriving_load {
        _ if !inputs.improvements.count_starting => return None,
        Some(load) => (load / spec.target_value * spec.panic_threshold).ceil() as i32,
        None if observed.is_mostly_starting() && pressure == Pressure::Usual => 0,
        None => return None,
    };
    // The first request after a rest waits before any second has counted it as an arrival.
    let least = i32::from(observed.waiting > 0);
    let most = needed.max(i32::try_from(observed.requested).unwrap_or(i32::MAX)).max(least);
    (recommended > most).then_some(most)
}

/// The share of the target burst capacity by which excess burst capacity must be positive before
/// activators leave the path again. Small enough that a tenth more instances are reason enough,
/// large enough that one request more or less is none.
const BURST_MARGIN: f64 = 0.1;

/// How much load would still fit.
fn burst_capacity(inputs: &Inputs, observed: Observed) -> BurstCapacity {
    let spec = &inputs.spec;
    let panic = inputs.signals.as_slice().first().map_or(0.0, |signal| signal.panic);
    let target = spec.target_burst_capacity;
    let exact = if target == 0.0 {
        0
    } else if target > 0.0 {
        let spare = f64::from(observed.ready) * spec.total_value - target - panic;
        inputs.improvements.narrow(spare.floor())
    } else {
        -1
    };
    let margin = (target * BURST_MARGIN).ceil() as i32;
    let hesitates = inputs.improvements.burst_hysteresis
        && inputs.last_burst_capacity < 0
        && (0..margin).contains(&exact);
    BurstCapacity { exact, decided: if hesitates { -1 } else { exact } }
}
