//! Kind `collector`: decisions from recorded statistics.

use serde::{Deserialize, Serialize};
use tidegate_autoscaler::collector::{Averages, Missing};
use tidegate_autoscaler::settings::ScaleBounds;
use tidegate_autoscaler::{
    Aggregation, MetricSpec, Origin, RevisionAutoscaler, RevisionSettings, Sample,
};

use crate::context::{Context, TimeMs};
use crate::error::{At, ScenarioError};
use crate::number::Number;
use crate::scale::{PanicOutput, ReadyError, Spec, TickOutput, observed};

/// The windows of a revision.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Metric {
    stable_window_ms: u64,
    panic_window_ms: u64,
    algorithm: String,
    scrape: bool,
}

impl Metric {
    pub(super) fn to_metric_spec(&self) -> MetricSpec {
        MetricSpec {
            stable_window_ms: self.stable_window_ms,
            panic_window_ms: self.panic_window_ms,
            aggregation: match self.algorithm.as_str() {
                "weighted-exponential" | "weightedExponential" => Aggregation::WeightedExponential,
                _ => Aggregation::Linear,
            },
            scraped: self.scrape,
        }
    }
}

/// One report.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(try_from = "RawStat")]
pub(super) struct Stat(Option<Sample>);

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawStat {
    c: f64,
    pc: f64,
    r: f64,
    pr: f64,
    /// Read by scrapes through the service alone, which the vectors keep simple.
    #[serde(rename = "uptime")]
    _uptime: f64,
}

impl Stat {
    pub(super) fn sample(self) -> Sample {
        self.0.unwrap_or(Sample::IDLE)
    }
}

impl TryFrom<RawStat> for Stat {
    type Error = tidegate_autoscaler::sample::SampleError;

    fn try_from(raw: RawStat) -> Result<Self, Self::Error> {
        Ok(Self(Some(Sample::new(raw.c, raw.pc, raw.r, raw.pr)?)))
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct CollectorInput {
    metric: Metric,
    spec: Spec,
    initial_ready: u32,
    initial_ready_error: ReadyError,
    scaler_start_ms: TimeMs,
    min_scale: i32,
    max_scale: i32,
    events: Vec<Event>,
}

#[derive(Debug, Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: EventKind,
    #[serde(default)]
    t_ms: TimeMs,
    #[serde(default)]
    stat: Stat,
    stat_t_ms: Option<TimeMs>,
    #[serde(default)]
    ready: u32,
    #[serde(default)]
    ready_error: ReadyError,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    metric: Metric,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum EventKind {
    Record,
    Ready,
    Spec,
    Metric,
    DeleteMetric,
    Tick,
}

/// A decision and the averages it was made from.
#[derive(Debug, Serialize)]
pub(super) struct MeasuredTick {
    stable: Number,
    panic: Number,
    metric_error: &'static str,
    #[serde(flatten)]
    tick: TickOutput,
}

impl MeasuredTick {
    pub(super) fn of(averages: Result<Averages, Missing>, tick: TickOutput) -> Self {
        let known = averages.unwrap_or_default();
        Self {
            stable: Number(known.stable),
            panic: Number(known.panic),
            metric_error: match averages {
                Ok(_) => "",
                Err(Missing::NoData) => "no_data",
                Err(Missing::NotCollecting) => "not_collecting",
                Err(Missing::Failed) => "other",
            },
            tick,
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct CollectorOutput {
    initial: PanicOutput,
    ticks: Vec<MeasuredTick>,
}

pub(super) fn collector(
    input: CollectorInput,
    context: &mut Context,
) -> Result<CollectorOutput, ScenarioError> {
    let base = context.base_unix_ms;
    let settings = RevisionSettings {
        spec: input.spec.to_decision_spec(),
        metric: input.metric.to_metric_spec(),
        improvements: context.rules.improvements(),
    };
    let start = input.scaler_start_ms;
    let autoscaler = RevisionAutoscaler::new(settings, start.after(base), 0).at("input.metric")?;
    let mut replay = Replay {
        autoscaler,
        ready: input.initial_ready,
        ready_error: input.initial_ready_error,
        bounds: ScaleBounds { min: input.min_scale, max: input.max_scale },
        ticks: Vec::new(),
    };
    // The collection is there from the beginning, the decisions begin when they begin.
    let mut initial = None;
    for (index, event) in input.events.iter().enumerate() {
        if initial.is_none() && event.t_ms >= start {
            initial = Some(replay.start(start, base));
        }
        replay.apply(index, event, context)?;
    }
    let initial = initial.unwrap_or_else(|| replay.start(start, base));
    Ok(CollectorOutput { initial, ticks: replay.ticks })
}

struct Replay {
    autoscaler: RevisionAutoscaler,
    ready: u32,
    ready_error: ReadyError,
    bounds: ScaleBounds,
    ticks: Vec<MeasuredTick>,
}

impl Replay {
    fn start(&mut self, start: TimeMs, base: i64) -> PanicOutput {
        let ready = observed(self.ready, self.ready_error).map_or(0, |observed| observed.ready);
        self.autoscaler.start_deciding(start.after(base), ready);
        PanicOutput::of(&self.autoscaler, base)
    }

    fn apply(
        &mut self,
        index: usize,
        event: &Event,
        context: &mut Context,
    ) -> Result<(), ScenarioError> {
        let now = event.t_ms.after(context.base_unix_ms);
        match event.kind {
            EventKind::Record => {
                let at = event.stat_t_ms.unwrap_or(event.t_ms).after(context.base_unix_ms);
                self.autoscaler.record(at, Origin::Instances, &event.stat.sample());
            }
            EventKind::Ready => (self.ready, self.ready_error) = (event.ready, event.ready_error),
            EventKind::Spec => self.autoscaler.set_spec(event.spec.to_decision_spec()),
            EventKind::Metric => self
                .autoscaler
                .set_metric(now, event.metric.to_metric_spec())
                .at(format!("input.events[{index}].metric"))?,
            EventKind::DeleteMetric => self.autoscaler.stop_collecting(),
            EventKind::Tick => {
                let averages = self.autoscaler.averages(now);
                let seen = observed(self.ready, self.ready_error);
                let decision = self.autoscaler.tick(now, seen, &[]);
                let tick = TickOutput::of(
                    event.t_ms.get(),
                    &decision,
                    &self.autoscaler,
                    self.bounds,
                    self.ready,
                    context,
                );
                self.ticks.push(MeasuredTick::of(averages, tick));
            }
        }
        Ok(())
    }
}
