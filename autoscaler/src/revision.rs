//! One revision's autoscaler: its windows, the rule, and what must be remembered between ticks.

use crate::collector::{Averages, Collector, Missing};
use crate::decide::{Decision, Inputs, PanicState, Signals, decide};
use crate::explain::Detail;
use crate::observed::Observed;
use crate::sample::{Origin, Sample};
use crate::signal::{Signal, SignalKind};
use crate::spec::{DecisionSpec, Improvements, MetricSpec, ScalingMetric};
use crate::time::Timestamp;
use crate::window::WindowError;
use crate::window::max::MaxWindow;

/// How often decisions are made, in milliseconds, and the size of a slot of the scale-down delay.
pub const TICK_INTERVAL_MS: u64 = 2_000;

/// How a revision is scaled.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default))]
pub struct RevisionSettings {
    /// The numbers of the decision.
    pub spec: DecisionSpec,
    /// The windows.
    pub metric: MetricSpec,
    /// Where to decide otherwise than Knative.
    pub improvements: Improvements,
}

/// What stands: the last valid decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Status {
    /// Instances wished for, before bounds; -1 until something was decided.
    pub desired: i32,
    /// Excess burst capacity.
    pub excess_burst_capacity: i32,
}

impl Status {
    /// Whether `next` is worth telling: another number of instances, or another sign of excess
    /// burst capacity, 0 being positive.
    pub fn is_news(&self, next: &Status) -> bool {
        let negative = |status: &Status| status.excess_burst_capacity < 0;
        self.desired != next.desired || negative(self) != negative(next)
    }
}

/// Decides how many instances one revision should have.
///
/// Record samples as they come, call [`tick`](Self::tick) every [`TICK_INTERVAL_MS`], and at once
/// when a request waits and [`should_wake`](Self::should_wake) says so.
#[derive(Clone, Debug, PartialEq)]
pub struct RevisionAutoscaler {
    collector: Option<Collector>,
    settings: RevisionSettings,
    panic: PanicState,
    delay: Option<MaxWindow>,
    status: Status,
}

impl RevisionAutoscaler {
    /// An autoscaler that starts at `now` with `ready` instances. With more than one it starts in
    /// panic, so that a restarted autoscaler holds what it finds for one stable window.
    ///
    /// # Errors
    ///
    /// [`WindowError`] when a window's length is 0 or beyond a day.
    pub fn new(
        settings: RevisionSettings,
        now: Timestamp,
        ready: u32,
    ) -> Result<RevisionAutoscaler, WindowError> {
        let mut autoscaler = RevisionAutoscaler {
            collector: Some(Collector::new(&settings.metric)?),
            panic: PanicState::default(),
            delay: None,
            status: Status { desired: -1, excess_burst_capacity: 0 },
            settings,
        };
        autoscaler.start_deciding(now, ready);
        Ok(autoscaler)
    }

    /// Forgets panic, delay and last wish as if the decisions began at `now` with `ready`
    /// instances; the windows stay. A collector may run ahead of the decisions made from it.
    pub fn start_deciding(&mut self, now: Timestamp, ready: u32) {
        let spec = &self.settings.spec;
        self.panic = PanicState {
            since: (ready > 1).then_some(now),
            max_instances: i32::try_from(ready).unwrap_or(i32::MAX),
        };
        self.delay = (spec.scale_down_delay_ms > 0)
            .then(|| MaxWindow::new(spec.scale_down_delay_ms, TICK_INTERVAL_MS));
        self.status = Status { desired: -1, excess_burst_capacity: spec.initial_burst_capacity() };
    }

    /// Records a report of the second that `at` falls into.
    pub fn record(&mut self, at: Timestamp, origin: Origin, sample: &Sample) {
        if let Some(collector) = &mut self.collector {
            collector.record(at, origin, sample);
        }
    }

    /// Decides from what was recorded. `observed` is none when the instances could not be
    /// counted; `extra` are signals of the caller's, of which the first
    /// [`MAX_EXTRA_SIGNALS`](crate::signal::MAX_EXTRA_SIGNALS) count.
    pub fn tick(
        &mut self,
        now: Timestamp,
        observed: Option<Observed>,
        extra: &[Signal],
    ) -> Decision {
        let averages = self.averages(now);
        self.tick_with(now, observed, averages, extra)
    }

    /// Decides from averages computed elsewhere instead of what was recorded.
    pub fn tick_with(
        &mut self,
        now: Timestamp,
        observed: Option<Observed>,
        averages: Result<Averages, Missing>,
        extra: &[Signal],
    ) -> Decision {
        let signals = averages.map(|averages| self.signals(averages, extra));
        let explanation = decide(&Inputs {
            now,
            spec: self.settings.spec,
            improvements: self.settings.improvements,
            observed,
            signals,
            held: false,
            recent_peak: None,
            panic: self.panic,
            delayed: self.delay.as_ref().map(|delay| delay.current_at(now).unwrap_or(i32::MIN)),
            last_burst_capacity: self.status.excess_burst_capacity,
        });
        let decision = Decision::new(explanation);
        self.apply(now, &decision);
        decision
    }

    /// Remembers what the next decision needs.
    fn apply(&mut self, now: Timestamp, decision: &Decision) {
        let Detail::Knative(trace) = &decision.explanation.detail else { return };
        self.panic = trace.panic_after;
        if let (Some(window), Some(delay)) = (&mut self.delay, trace.delay) {
            window.record(now, delay.wish);
        }
        if decision.valid {
            self.status = Status {
                desired: decision.desired,
                excess_burst_capacity: decision.excess_burst_capacity,
            };
        }
    }

    /// The signals of a decision, the scaling metric first.
    fn signals(&self, averages: Averages, extra: &[Signal]) -> Signals {
        let spec = &self.settings.spec;
        let kind = match spec.scaling_metric {
            ScalingMetric::Concurrency => SignalKind::Concurrency,
            ScalingMetric::RequestRate => SignalKind::RequestRate,
        };
        let mut signals = Signals::default();
        signals.push(Signal {
            kind,
            stable: averages.stable,
            panic: averages.panic,
            target: spec.target_value,
        });
        for signal in extra {
            signals.push(*signal);
        }
        signals
    }

    /// The averages of the scaling metric as seen at `now`.
    ///
    /// # Errors
    ///
    /// [`Missing`] when nothing is collected or nothing was recorded for a stable window.
    pub fn averages(&self, now: Timestamp) -> Result<Averages, Missing> {
        let collector = self.collector.as_ref().ok_or(Missing::NotCollecting)?;
        collector.averages(now, self.settings.spec.scaling_metric)
    }

    /// Whether a waiting request (`waiting` of them, or that much concurrency at an activator)
    /// should cause a decision at once instead of at the next tick.
    pub fn should_wake(&self, waiting: f64) -> bool {
        let asleep = match self.status.desired {
            0 => true,
            -1 => self.settings.improvements.wake_after_restart,
            _ => false,
        };
        asleep && waiting != 0.0
    }

    /// The last valid decision.
    pub fn status(&self) -> Status {
        self.status
    }

    /// The state of panic.
    pub fn panic(&self) -> PanicState {
        self.panic
    }

    /// The settings.
    pub fn settings(&self) -> &RevisionSettings {
        &self.settings
    }

    /// Replaces the numbers of the decision. Without `Improvements::keep_history` a changed
    /// scale-down delay is ignored, as in Knative.
    pub fn set_spec(&mut self, spec: DecisionSpec) {
        self.settings.spec = spec;
    }

    /// Replaces the windows, or starts to collect if nothing was collected.
    ///
    /// # Errors
    ///
    /// As [`RevisionAutoscaler::new`]; the old windows stay then.
    pub fn set_metric(&mut self, now: Timestamp, metric: MetricSpec) -> Result<(), WindowError> {
        match &mut self.collector {
            Some(collector) => collector.update(now, &metric, &self.settings.improvements)?,
            None => self.collector = Some(Collector::new(&metric)?),
        }
        self.settings.metric = metric;
        Ok(())
    }

    /// Drops the windows and records nothing until [`set_metric`](Self::set_metric).
    pub fn stop_collecting(&mut self) {
        self.collector = None;
    }
}
