//! The load of a signal in one of its windows, and what it needs.

use std::fmt;

use super::figure::{Figure, dividing_to};
use crate::decision::{Coverage, DecisionTrace, Span};
use crate::signal::{Signal, SignalKind};

/// One of the two windows.
#[derive(Clone, Copy)]
enum Over {
    Stable,
    Panic,
}

/// A signal's load over one window and the instances it needs, as a clause with a verb.
pub(super) struct Load<'a> {
    trace: &'a DecisionTrace,
    kind: SignalKind,
    over: Over,
    /// The load and what one instance should carry of it, as far as they are shown.
    value: f64,
    target: f64,
    needed: f64,
}

impl<'a> Load<'a> {
    /// The load with the largest recommendation over the stable window.
    pub(super) fn stable(trace: &'a DecisionTrace) -> Load<'a> {
        let index = usize::from(trace.steps.stable_winner);
        let signal = signal(trace, index);
        let needed = trace.steps.winner().stable.needed;
        Load::new(trace, signal, Over::Stable, signal.stable, needed)
    }

    /// The load with the largest recommendation over the panic window.
    pub(super) fn panic(trace: &'a DecisionTrace) -> Load<'a> {
        let index = usize::from(trace.steps.panic_winner);
        let signal = signal(trace, index);
        let needed = trace.steps.panic_winner().panic.needed;
        Load::new(trace, signal, Over::Panic, signal.panic, needed)
    }

    fn new(
        trace: &'a DecisionTrace,
        signal: Signal,
        over: Over,
        value: f64,
        needed: f64,
    ) -> Load<'a> {
        let (value, target) = dividing_to(needed, value, signal.target);
        Load { trace, kind: signal.kind, over, value, target, needed }
    }

    fn coverage(&self) -> Option<(Coverage, Span)> {
        let coverage = self.trace.inputs.coverage?;
        let span = match self.over {
            Over::Stable => coverage.stable,
            Over::Panic => coverage.panic,
        };
        Some((coverage, span))
    }

    /// Whether the load is zero only because nothing that was reported counts any more.
    fn is_silence(&self) -> bool {
        let averaged = matches!(self.kind, SignalKind::Concurrency | SignalKind::RequestRate);
        averaged && self.coverage().is_some_and(|(_, span)| span.known_s == 0)
    }

    fn requests(&self) -> &'static str {
        if self.value == 1.0 { "request" } else { "requests" }
    }

    fn need(&self) -> &'static str {
        let several = match self.kind {
            SignalKind::Concurrency | SignalKind::RequestRate | SignalKind::Held => {
                self.value != 1.0
            }
            SignalKind::BurstPercentile => true,
            _ => false,
        };
        if several { "need" } else { "needs" }
    }
}

/// The signal at a place; none where none was weighed.
fn signal(trace: &DecisionTrace, index: usize) -> Signal {
    trace.inputs.signals.as_slice().get(index).copied().unwrap_or_default()
}

/// What the panic window needs by the load that needs most of it.
pub(super) fn largest_panic_need(trace: &DecisionTrace) -> (SignalKind, f64) {
    let count = trace.inputs.signals.as_slice().len();
    let needs = trace.steps.signals.iter().take(count).map(|signal| (signal.kind, signal.panic));
    needs.fold((SignalKind::Concurrency, 0.0), |largest, (kind, panic)| {
        if panic.needed > largest.1 { (kind, panic.needed) } else { largest }
    })
}

impl fmt::Display for Load<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (need, needed) = (self.need(), Figure(self.needed));
        if self.is_silence() {
            return write!(
                f,
                "nothing reported {Window} counts as no load and needs {needed}",
                Window = Window(self)
            );
        }
        let (value, target, window) = (self.value, self.target, Window(self));
        match self.kind {
            SignalKind::Concurrency => write!(f, "{value} {} in flight {window}", self.requests())?,
            SignalKind::RequestRate => write!(f, "{value} {} a second {window}", self.requests())?,
            SignalKind::BurstPercentile => {
                let percentile = Figure(self.trace.inputs.spec.burst_percentile);
                write!(f, "bursts to {value} (percentile {percentile} {window})")?;
            }
            SignalKind::Held => write!(f, "{value} {} held now", self.requests())?,
            SignalKind::Cpu => write!(f, "processor load of {value} {window}")?,
            SignalKind::Memory => write!(f, "memory of {value} {window}")?,
            SignalKind::Latency => write!(f, "a latency of {value} {window}")?,
            SignalKind::Custom(id) => write!(f, "custom signal {id} of {value} {window}")?,
        }
        write!(f, " at {target} each {need} {needed}")
    }
}

/// The time that a load is an average of.
struct Window<'a>(&'a Load<'a>);

impl fmt::Display for Window<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.0.over {
            Over::Stable => "the stable window",
            Over::Panic => "the panic window",
        };
        // Other loads come averaged from their source.
        let Some((coverage, span)) = self.0.coverage().filter(|_| self.0.kind.is_request_load())
        else {
            return write!(f, "over {name}");
        };
        let of_old =
            self.0.kind == SignalKind::BurstPercentile && coverage.written_s > span.known_s;
        match span {
            _ if self.0.is_silence() => write!(f, "within {name}"),
            span if span.is_whole() => write!(f, "over {name}"),
            _ if of_old => write!(f, "of the last {} s reported", coverage.written_s),
            span => write!(f, "over the {} s known of {name}", span.known_s),
        }
    }
}
