//! An explanation in one or two plain sentences.

use std::fmt;

use super::{Detail, Explanation};
use crate::collector::Missing;
use crate::decision::{DecisionTrace, PanicChange, Rule};
use crate::signal::{Signal, SignalKind};
use crate::time::MS_PER_SECOND;

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.detail {
            Detail::Knative(trace) => knative(self, trace, f)?,
            Detail::Fixed { instances } => {
                write!(f, "{}: the number is fixed.", Instances(i64::from(*instances)))?;
            }
            Detail::KeepAlive { needed, idle_ms } => {
                let wish = Instances(i64::from(self.outcome.desired));
                let idle = Seconds(*idle_ms);
                write!(f, "{wish}: {needed} busy now, and an idle one is kept for {idle}.")?;
            }
            Detail::Hpa(trace) if self.outcome.valid => {
                write!(f, "{}: {trace}.", Instances(i64::from(self.outcome.desired)))?;
            }
            Detail::Hpa(trace) => write!(f, "The last wish stands: {trace}.")?,
            Detail::Custom(account) if self.outcome.valid => {
                write!(f, "{}: {account}.", Instances(i64::from(self.outcome.desired)))?;
            }
            Detail::Custom(account) => write!(f, "The last wish stands: {account}.")?,
        }
        match &self.lifecycle {
            Some(step) => write!(f, " Then {step}."),
            None => Ok(()),
        }
    }
}

/// What Knative's algorithm did: the wish and its rule, then panic and burst capacity where they
/// are out of the ordinary.
fn knative(
    explanation: &Explanation,
    trace: &DecisionTrace,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    if explanation.outcome.valid {
        write!(f, "{}: ", Instances(i64::from(explanation.outcome.desired)))?;
        reason(trace, f)?;
        if trace.inputs.held {
            f.write_str(" (held since reports stopped)")?;
        }
    } else {
        f.write_str("The last wish stands: ")?;
        f.write_str(match trace.steps.rule {
            Rule::NoLoad(Missing::NoData) => "nothing has been reported within the stable window",
            Rule::NoLoad(Missing::NotCollecting) => "nobody collects the revision's load",
            Rule::NoLoad(Missing::Failed) => "the load could not be had",
            _ => "the instances could not be counted",
        })?;
    }
    f.write_str(".")?;
    panic(trace, f)?;
    burst(trace, f)
}

/// The rule that decided, with the numbers it went by.
fn reason(trace: &DecisionTrace, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let (winner, hasty) = (trace.steps.winner(), trace.steps.panic_winner());
    let stable = Load::stable(trace, trace.steps.stable_winner);
    let panic = Load::panic(trace, trace.steps.panic_winner);
    let ready = Ready(trace.observed().ready);
    let (need, needed) = (stable.need(), Figure(winner.stable.needed));
    match trace.steps.rule {
        Rule::Stable => write!(f, "{stable} {need} {needed}"),
        Rule::GrowthRate => {
            write!(
                f,
                "{stable} {need} {needed}, but {ready} may become at most {}",
                trace.steps.limit_up
            )
        }
        Rule::ShrinkRate => write!(
            f,
            "{stable} {need} {needed}, but {ready} may shrink no further than {} at once",
            trace.steps.limit_down
        ),
        Rule::ActivationScale => write!(
            f,
            "{stable} {need} {needed}, and the activation scale is {}",
            trace.inputs.spec.activation_scale
        ),
        Rule::RecentPeak => write!(
            f,
            "{stable} {need} {needed}, but no second of the last {} needed more than {}",
            Seconds(trace.inputs.spec.idle_floor()),
            winner.stable.limited
        ),
        Rule::Panic => {
            write!(f, "{panic} {} {}, in panic", panic.need(), Figure(hasty.panic.needed))
        }
        Rule::PanicHeld => write!(
            f,
            "panic keeps its largest wish for {}, while {stable} {need} {needed}",
            Seconds(trace.inputs.spec.stable_window_ms)
        ),
        Rule::Starting => match trace.inputs.arriving_load {
            Some(_) => f.write_str(
                "what arrives needs no more, and what waits was waiting for instances to start",
            ),
            None => {
                let starting = trace.observed().starting;
                write!(f, "{starting} of them are still starting, so no more are asked for yet")
            }
        },
        Rule::Delayed => write!(
            f,
            "as many were needed within the scale-down delay of {}, {} are now",
            Seconds(trace.inputs.spec.scale_down_delay_ms),
            trace.steps.delay.map_or(0, |delay| delay.wish)
        ),
        Rule::CountUnknown | Rule::NoLoad(_) => Ok(()),
    }
}

/// What became of panic, where something did.
fn panic(trace: &DecisionTrace, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let hasty = Figure(trace.steps.panic_winner().panic.needed);
    match trace.steps.panic_change {
        PanicChange::Entered => {
            let ready = trace.observed().ready;
            let are = if ready == 1 { "is" } else { "are" };
            write!(f, " Panic begins: the panic window needs {hasty} and {ready} {are} ready.")
        }
        PanicChange::Left => f.write_str(" Panic is over."),
        PanicChange::LeftWithoutData => f.write_str(" Panic is over, as nothing renews it."),
        PanicChange::Calm | PanicChange::Extended | PanicChange::Continues => Ok(()),
    }
}

/// Whether requests should go through activators, where that changes.
fn burst(trace: &DecisionTrace, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let now = trace.steps.burst.decided;
    let limited = trace.inputs.spec.target_burst_capacity > 0.0;
    let decided = !matches!(trace.steps.rule, Rule::CountUnknown | Rule::NoLoad(_));
    match (trace.inputs.last_burst_capacity < 0, now < 0) {
        _ if !limited || !decided => Ok(()),
        (true, false) => write!(f, " A burst fits now, so activators may leave the path."),
        (false, true) => {
            write!(f, " A burst no longer fits, so activators join the path.")
        }
        _ => Ok(()),
    }
}

/// A number of instances.
struct Instances(i64);

impl fmt::Display for Instances {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} instance{}", self.0, if self.0 == 1 { "" } else { "s" })
    }
}

/// A number of ready instances.
struct Ready(u32);

impl fmt::Display for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ready", self.0)
    }
}

/// Milliseconds, as seconds.
struct Seconds(u64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} s", Figure(self.0 as f64 / MS_PER_SECOND as f64))
    }
}

/// A number with at most two decimals.
struct Figure(f64);

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Adding nothing turns a negative zero, which windows leave behind, into a plain one.
        let rounded = (self.0 * 100.0).round() / 100.0 + 0.0;
        write!(f, "{rounded}")
    }
}

/// The load of a signal in one of its windows, and what an instance should carry of it.
struct Load {
    kind: SignalKind,
    value: f64,
    target: f64,
    window: &'static str,
    percentile: f64,
}

impl Load {
    fn stable(trace: &DecisionTrace, index: u8) -> Load {
        let signal = signal(trace, index);
        Load::new(trace, signal, signal.stable, "over the stable window")
    }

    fn panic(trace: &DecisionTrace, index: u8) -> Load {
        let signal = signal(trace, index);
        Load::new(trace, signal, signal.panic, "over the panic window")
    }

    fn new(trace: &DecisionTrace, signal: Signal, value: f64, window: &'static str) -> Load {
        let percentile = trace.inputs.spec.burst_percentile;
        Load { kind: signal.kind, value, target: signal.target, window, percentile }
    }
}

impl Load {
    /// Whether there is one request exactly, which is told of in the singular.
    fn is_one(&self) -> bool {
        self.value == 1.0
    }

    fn requests(&self) -> &'static str {
        if self.is_one() { "request" } else { "requests" }
    }

    fn need(&self) -> &'static str {
        let several = match self.kind {
            SignalKind::Concurrency | SignalKind::RequestRate => !self.is_one(),
            SignalKind::BurstPercentile => true,
            _ => false,
        };
        if several { "need" } else { "needs" }
    }
}

fn signal(trace: &DecisionTrace, index: u8) -> Signal {
    trace.inputs.signals.as_slice().get(usize::from(index)).copied().unwrap_or_default()
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (value, target, window) = (Figure(self.value), Figure(self.target), self.window);
        match self.kind {
            SignalKind::Concurrency => {
                let requests = self.requests();
                write!(f, "{value} {requests} in flight {window} at {target} each")
            }
            SignalKind::RequestRate => {
                let requests = self.requests();
                write!(f, "{value} {requests} a second {window} at {target} each")
            }
            SignalKind::BurstPercentile => {
                let percentile = Figure(self.percentile);
                write!(f, "bursts to {value} (percentile {percentile} {window}) at {target} each")
            }
            SignalKind::Cpu => write!(f, "processor load of {value} {window} at {target} each"),
            SignalKind::Memory => write!(f, "memory of {value} {window} at {target} each"),
            SignalKind::Latency => write!(f, "a latency of {value} {window} at {target} each"),
            SignalKind::Custom(id) => {
                write!(f, "custom signal {id} of {value} {window} at {target} each")
            }
        }
    }
}
