//! One revision's autoscaler: its windows, the rule, and what must be remembered between ticks.

mod load;
mod steady;

pub use steady::Steady;

use std::sync::Arc;

use crate::collector::{Averages, Collector, Missing, StaleData};
use crate::decide::settle;
use crate::decision::{Coverage, DecisionTrace, Inputs, Outcome, PanicState, Steps, Turnover};
use crate::explain::Decision;
use crate::observed::Observed;
use crate::pauses::Pauses;
use crate::sample::{Origin, Sample};
use crate::service_time::ServiceTimeEstimate;
use crate::signal::Signal;
use crate::spec::{DecisionSpec, Improvements, MetricSpec, ScalingMetric};
use crate::time::Timestamp;
use crate::window::WindowError;
use crate::window::max::MaxWindow;

/// How often decisions are made, in milliseconds, and the size of a slot of the scale-down delay.
pub const TICK_INTERVAL_MS: u64 = 2_000;

/// How a revision is scaled.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
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

/// The last valid decision, which stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Status {
    /// Instances recommended, before bounds; -1 until something was decided.
    pub desired: i32,
    /// Excess burst capacity.
    pub excess_burst_capacity: i32,
}

impl Status {
    /// Whether `next` is worth reporting: another number of instances, or another sign of excess
    /// burst capacity, 0 being positive.
    pub fn is_news(&self, next: &Status) -> bool {
        let negative = |status: &Status| status.excess_burst_capacity < 0;
        self.desired != next.desired || negative(self) != negative(next)
    }
}

/// The load that a decision goes by.
struct Measured {
    averages: Result<Averages, Missing>,
    /// Whether it is the last known load, held because no report comes.
    held: bool,
    /// What it is averaged from, if that was done here.
    coverage: Option<Coverage>,
}

impl Measured {
    /// Averages that were computed elsewhere.
    fn elsewhere(averages: Result<Averages, Missing>) -> Measured {
        Measured { averages, held: false, coverage: None }
    }
}

/// Decides how many instances one revision should have.
///
/// Record samples as they come, call [`tick`](Self::tick) every [`TICK_INTERVAL_MS`], and at once
/// when a request waits and [`should_wake`](Self::should_wake) says so.
#[derive(Debug, Clone, PartialEq)]
pub struct RevisionAutoscaler {
    collector: Option<Collector>,
    settings: Arc<RevisionSettings>,
    panic: PanicState,
    delay: Option<MaxWindow>,
    status: Status,
    /// The instances that were ready at the last tick: those that should be reporting.
    reporters: u32,
    service_time: ServiceTimeEstimate,
    /// As of this decision.
    turnover: Turnover,
    pauses: Pauses,
    /// The ready instances of the last decision, if it was valid and saw no cause for panic.
    calm: Option<u32>,
}

impl RevisionAutoscaler {
    /// An autoscaler that starts at `now` with `ready` instances. With more than one it starts in
    /// panic, so that a restarted autoscaler holds what it finds for one stable window.
    ///
    /// Settings may be shared by many revisions; pass a clone of one `Arc` then.
    ///
    /// # Errors
    ///
    /// [`WindowError`] when a window's length is 0 or beyond a day.
    pub fn new(
        settings: impl Into<Arc<RevisionSettings>>,
        now: Timestamp,
        ready: u32,
    ) -> Result<RevisionAutoscaler, WindowError> {
        let settings = settings.into();
        let mut autoscaler = RevisionAutoscaler {
            collector: Some(Collector::new(&settings.metric)?),
            panic: PanicState::default(),
            delay: None,
            status: Status { desired: -1, excess_burst_capacity: 0 },
            reporters: ready,
            service_time: ServiceTimeEstimate::default(),
            turnover: Turnover::Usual,
            pauses: Pauses::NONE,
            calm: None,
            settings,
        };
        autoscaler.start_deciding(now, ready);
        Ok(autoscaler)
    }

    /// Forgets panic, delay and last recommendation as if the decisions began at `now` with `ready`
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
        let silence = self.silence(self.reporters);
        if self.settings.improvements.learn_pauses && sample.is_busy() {
            self.pauses.note_busy(at, self.settings.spec.stable_window_ms);
        }
        let Some(collector) = &mut self.collector else { return };
        if self.settings.improvements.average_reports {
            collector.record_averaged(at, origin, sample, silence);
        } else {
            if silence == StaleData::Hold {
                collector.repeat(at, u64::MAX);
            }
            collector.record(at, sample);
        }
    }

    /// Decides from what was recorded. `observed` is none when the instances could not be
    /// counted; `extra` are signals of the caller's, of which the first
    /// [`MAX_EXTRA_SIGNALS`](crate::signal::MAX_EXTRA_SIGNALS) sound ones count.
    pub fn tick(
        &mut self,
        now: Timestamp,
        observed: Option<Observed>,
        extra: &[Signal],
    ) -> Decision {
        if let Some(observed) = observed {
            self.reporters = observed.ready;
        }
        let silence = self.silence(self.reporters);
        let measured = match &self.collector {
            Some(collector) => {
                let metric = self.settings.spec.scaling_metric;
                let (averages, coverage) = collector.averages_with_coverage(now, metric, silence);
                let held = silence == StaleData::Hold && collector.is_silent(now);
                Measured { averages, held, coverage: Some(coverage) }
            }
            None => Measured::elsewhere(Err(Missing::NotCollecting)),
        };
        self.decide(now, observed, &measured, extra)
    }

    /// Decides from averages computed elsewhere instead of what was recorded.
    pub fn tick_with(
        &mut self,
        now: Timestamp,
        observed: Option<Observed>,
        averages: Result<Averages, Missing>,
        extra: &[Signal],
    ) -> Decision {
        self.decide(now, observed, &Measured::elsewhere(averages), extra)
    }

    fn decide(
        &mut self,
        now: Timestamp,
        observed: Option<Observed>,
        measured: &Measured,
        extra: &[Signal],
    ) -> Decision {
        let averages = measured.averages;
        if self.settings.improvements.count_starting {
            self.learn(now, observed, averages);
        }
        let mut trace = DecisionTrace { inputs: Inputs::none(now), steps: Steps::NONE };
        self.fill(&mut trace.inputs, observed, measured, extra);
        let outcome = settle(&trace.inputs, &mut trace.steps);
        self.apply(now, outcome, &trace.steps);
        let is_calm = outcome.valid && !trace.steps.panic_change.is_caused();
        self.calm = observed.filter(|_| is_calm).map(|observed| observed.ready);
        Decision::of_knative(now, outcome, trace)
    }

    /// Fills in what a decision is made from, where it will stay: a decision is large enough that
    /// each copy of it costs a tenth of deciding.
    fn fill(
        &self,
        inputs: &mut Inputs,
        observed: Option<Observed>,
        measured: &Measured,
        extra: &[Signal],
    ) {
        let now = inputs.now;
        inputs.spec = self.settings.spec;
        inputs.improvements = self.settings.improvements;
        inputs.observed = observed;
        inputs.held = measured.held;
        inputs.coverage = measured.coverage;
        inputs.arriving_load = self.arriving_load(now);
        inputs.turnover = self.turnover;
        inputs.outlook = self.outlook(now);
        inputs.recent_peak = self.recent_peak(now, inputs.outlook);
        inputs.panic = self.panic;
        let delayed = |delay: &MaxWindow| delay.current_at(now).unwrap_or(i32::MIN);
        inputs.delayed = self.delay.as_ref().map(delayed);
        inputs.last_burst_capacity = self.status.excess_burst_capacity;
        match measured.averages {
            Ok(averages) if averages.stable.is_finite() && averages.panic.is_finite() => {
                self.fill_signals(&mut inputs.signals, averages, observed, extra);
            }
            Ok(_) => inputs.missing = Some(Missing::Failed),
            Err(missing) => inputs.missing = Some(missing),
        }
    }

    /// The requests in flight that the present arrivals come to if they take as long as without a
    /// queue, where that bounds the recommendation.
    fn arriving_load(&self, now: Timestamp) -> Option<f64> {
        let settings = &self.settings;
        if !settings.improvements.count_starting {
            return None;
        }
        let request_s =
            self.service_time.bounding_request_s(now, settings.spec.stable_window_ms)?;
        Some(self.request_rates(now)?.panic * request_s)
    }

    /// Learns how long requests take, if nothing is starting and there is no panic, and forgets it
    /// where it is evidently wrong.
    fn learn(
        &mut self,
        now: Timestamp,
        observed: Option<Observed>,
        averages: Result<Averages, Missing>,
    ) {
        self.turnover = Turnover::Usual;
        let (Some(observed), Ok(_)) = (observed, averages) else { return };
        if observed.is_mostly_starting() {
            self.service_time.note_starting(now);
        }
        if self.settings.spec.scaling_metric != ScalingMetric::Concurrency {
            return;
        }
        let silence = self.silence(self.reporters);
        let Some(collector) = &self.collector else { return };
        let settled = observed.starting == 0 && observed.ready > 0 && self.panic.since.is_none();
        let spec = &self.settings.spec;
        if settled && let Some(flow) = collector.stable_flow(now, silence) {
            self.service_time.learn(&flow);
        }
        let may_be_stuck =
            self.panic.since.is_some() || self.service_time.is_bounding(now, spec.stable_window_ms);
        if may_be_stuck && let Some((flow, least)) = collector.panic_flow(now, silence) {
            let places = f64::from(observed.ready) * spec.total_value;
            self.turnover = self.service_time.doubt(&flow, least, places);
        }
    }

    /// Requests that arrive per second.
    fn request_rates(&self, now: Timestamp) -> Option<Averages> {
        let silence = self.silence(self.reporters);
        self.collector.as_ref()?.averages(now, ScalingMetric::RequestRate, silence).ok()
    }

    /// How stale data counts while `reporters` instances are there to report.
    fn silence(&self, reporters: u32) -> StaleData {
        if self.settings.improvements.hold_in_silence && reporters > 0 {
            StaleData::Hold
        } else {
            StaleData::Decay
        }
    }

    /// Remembers what the next decision needs.
    fn apply(&mut self, now: Timestamp, outcome: Outcome, steps: &Steps) {
        self.panic = steps.panic_after;
        if let (Some(window), Some(delay)) = (&mut self.delay, steps.delay) {
            window.record(now, delay.recommended);
        }
        if outcome.valid {
            self.status = Status {
                desired: outcome.desired,
                excess_burst_capacity: outcome.excess_burst_capacity,
            };
        }
    }

    /// The averages of the scaling metric as seen at `now`.
    ///
    /// # Errors
    ///
    /// [`Missing`] when nothing is collected or nothing was recorded for a stable window.
    pub fn averages(&self, now: Timestamp) -> Result<Averages, Missing> {
        let collector = self.collector.as_ref().ok_or(Missing::NotCollecting)?;
        let silence = self.silence(self.reporters);
        collector.averages(now, self.settings.spec.scaling_metric, silence)
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
        if spec.stable_window_ms != self.settings.spec.stable_window_ms {
            self.pauses.forget();
        }
        let changed = spec.scale_down_delay_ms != self.settings.spec.scale_down_delay_ms;
        if changed && self.settings.improvements.keep_history {
            self.delay = match (self.delay.take(), spec.scale_down_delay_ms) {
                (_, 0) => None,
                (None, delay_ms) => Some(MaxWindow::new(delay_ms, TICK_INTERVAL_MS)),
                (Some(mut window), delay_ms) => {
                    window.resize(delay_ms);
                    Some(window)
                }
            };
        }
        Arc::make_mut(&mut self.settings).spec = spec;
    }

    /// Replaces the switches; what was recorded stays as it is.
    pub fn set_improvements(&mut self, improvements: Improvements) {
        Arc::make_mut(&mut self.settings).improvements = improvements;
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
        Arc::make_mut(&mut self.settings).metric = metric;
        Ok(())
    }

    /// Drops the windows and records nothing until [`set_metric`](Self::set_metric).
    pub fn stop_collecting(&mut self) {
        self.collector = None;
    }

    /// Notes that so many instances should be reporting from now on: what is silent because it is
    /// gone is not held. A decision notes it, too.
    pub fn expect_reports_of(&mut self, instances: u32) {
        self.reporters = instances;
    }

    /// Has panic, if there is any, hold at least so many instances.
    pub(crate) fn raise_panic(&mut self, instances: u32) {
        let instances = i32::try_from(instances).unwrap_or(i32::MAX);
        if self.panic.since.is_some() {
            self.panic.max_instances = self.panic.max_instances.max(instances);
        }
    }
}
