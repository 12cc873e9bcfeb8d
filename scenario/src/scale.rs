//! Kind `scale`: decisions from given averages; and what every kind with decisions shares.

use serde::{Deserialize, Serialize};
use tidegate_autoscaler::collector::{Averages, Missing};
use tidegate_autoscaler::settings::ScaleBounds;
use tidegate_autoscaler::window::MAX_BUCKETS;
use tidegate_autoscaler::{
    Decision, DecisionSpec, MetricSpec, Observed, RevisionAutoscaler, RevisionSettings,
    ScalingMetric,
};

use crate::context::{Context, TimeMs};
use crate::error::{At, ScenarioError};

/// The longest scale-down delay that is remembered in full, in slots of two seconds.
const MAX_DELAY_MS: u64 = MAX_BUCKETS * 2000;

/// The specification of a decider.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Spec {
    max_scale_up_rate: f64,
    max_scale_down_rate: f64,
    scaling_metric: String,
    target_value: f64,
    total_value: f64,
    target_burst_capacity: f64,
    activator_capacity: f64,
    panic_threshold: f64,
    stable_window_ms: u64,
    scale_down_delay_ms: Delay,
    initial_scale: i32,
    reachable: bool,
    activation_scale: i32,
}

impl Spec {
    pub(super) fn to_decision_spec(&self) -> DecisionSpec {
        DecisionSpec {
            max_scale_up_rate: self.max_scale_up_rate,
            max_scale_down_rate: self.max_scale_down_rate,
            scaling_metric: match self.scaling_metric.as_str() {
                "rps" => ScalingMetric::RequestRate,
                _ => ScalingMetric::Concurrency,
            },
            target_value: self.target_value,
            total_value: self.total_value,
            target_burst_capacity: self.target_burst_capacity,
            activator_capacity: self.activator_capacity,
            panic_threshold: self.panic_threshold,
            stable_window_ms: self.stable_window_ms,
            scale_down_delay_ms: self.scale_down_delay_ms.0,
            initial_scale: self.initial_scale,
            reachable: self.reachable,
            activation_scale: self.activation_scale,
            ..DecisionSpec::default()
        }
    }
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(try_from = "u64")]
struct Delay(u64);

impl TryFrom<u64> for Delay {
    type Error = String;

    fn try_from(delay_ms: u64) -> Result<Self, String> {
        if delay_ms <= MAX_DELAY_MS {
            return Ok(Self(delay_ms));
        }
        Err(format!("a delay of {delay_ms} ms, expected at most {MAX_DELAY_MS} ms (two days)"))
    }
}

/// Why instances could not be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ReadyError {
    #[default]
    #[serde(rename = "")]
    None,
    NotFound,
    Other,
}

/// What a decision sees of the instances; nothing when they cannot be counted.
pub(super) fn observed(ready: u32, error: ReadyError) -> Option<Observed> {
    match error {
        ReadyError::None => Some(Observed::ready(ready)),
        ReadyError::NotFound => Some(Observed::ready(0)),
        ReadyError::Other => None,
    }
}

/// The state of panic.
#[derive(Debug, Serialize)]
pub(super) struct PanicOutput {
    in_panic: bool,
    panic_since_ms: Option<i64>,
    max_panic_pods: i32,
}

impl PanicOutput {
    pub(super) fn of(autoscaler: &RevisionAutoscaler, base_unix_ms: i64) -> Self {
        let panic = autoscaler.panic();
        Self {
            in_panic: panic.since.is_some(),
            panic_since_ms: panic.since.map(|since| since.as_millis() - base_unix_ms),
            max_panic_pods: panic.max_instances,
        }
    }
}

/// One decision.
#[derive(Debug, Serialize)]
pub(super) struct TickOutput {
    t_ms: i64,
    valid: bool,
    desired: i32,
    ebc: i32,
    bounded: i32,
    num_activators: i32,
    #[serde(flatten)]
    panic: PanicOutput,
}

impl TickOutput {
    /// Writes a decision down and says why it is what it is.
    pub(super) fn of(
        t_ms: i64,
        decision: &Decision,
        autoscaler: &RevisionAutoscaler,
        bounds: ScaleBounds,
        ready: u32,
        context: &mut Context,
    ) -> Self {
        let bounded = bounds.apply(decision.desired);
        context.explanations.say(|| {
            let explanation = &decision.explanation;
            // Without a decision there is nothing for the bounds to change.
            let bound = match decision.valid && bounded != decision.desired {
                true => format!(" Bounds make that {bounded}."),
                false => String::new(),
            };
            format!("at {t_ms} ms: {explanation}{bound}")
        });
        Self {
            t_ms,
            valid: decision.valid,
            desired: decision.desired,
            ebc: decision.excess_burst_capacity,
            bounded,
            num_activators: wrapped(autoscaler.settings().spec.activators_unbounded(ready)),
            panic: PanicOutput::of(autoscaler, context.base_unix_ms),
        }
    }
}

/// What Go on amd64 makes of a double beyond 32 bits: the smallest integer.
fn wrapped(value: f64) -> i32 {
    let fits = value > -2_147_483_649.0 && value < 2_147_483_648.0;
    if fits { value as i32 } else { i32::MIN }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ScaleInput {
    start_ms: TimeMs,
    initial_ready: u32,
    initial_ready_error: ReadyError,
    spec: Spec,
    min_scale: i32,
    max_scale: i32,
    ticks: Vec<Tick>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Tick {
    t_ms: TimeMs,
    ready: u32,
    ready_error: ReadyError,
    stable: f64,
    panic: f64,
    stable_rps: f64,
    panic_rps: f64,
    metric_error: MetricError,
    spec: Option<Spec>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum MetricError {
    #[default]
    #[serde(rename = "")]
    None,
    NoData,
    NotCollecting,
    Other,
}

impl Tick {
    fn averages(&self, metric: ScalingMetric) -> Result<Averages, Missing> {
        match self.metric_error {
            MetricError::NoData => Err(Missing::NoData),
            MetricError::NotCollecting => Err(Missing::NotCollecting),
            MetricError::Other => Err(Missing::Failed),
            MetricError::None => Ok(match metric {
                ScalingMetric::Concurrency => Averages { stable: self.stable, panic: self.panic },
                ScalingMetric::RequestRate => {
                    Averages { stable: self.stable_rps, panic: self.panic_rps }
                }
            }),
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct ScaleOutput {
    initial: PanicOutput,
    ticks: Vec<TickOutput>,
}

pub(super) fn scale(
    input: ScaleInput,
    context: &mut Context,
) -> Result<ScaleOutput, ScenarioError> {
    let base = context.base_unix_ms;
    let settings = RevisionSettings {
        spec: input.spec.to_decision_spec(),
        metric: MetricSpec::default(),
        improvements: context.rules.improvements(),
    };
    let ready = observed(input.initial_ready, input.initial_ready_error);
    let ready = ready.map_or(0, |observed| observed.ready);
    let mut autoscaler =
        RevisionAutoscaler::new(settings, input.start_ms.after(base), ready).at("input")?;
    let initial = PanicOutput::of(&autoscaler, base);
    let bounds = ScaleBounds { min: input.min_scale, max: input.max_scale };
    let mut ticks = Vec::with_capacity(input.ticks.len());
    for tick in &input.ticks {
        if let Some(spec) = &tick.spec {
            autoscaler.set_spec(spec.to_decision_spec());
        }
        let averages = tick.averages(autoscaler.settings().spec.scaling_metric);
        let seen = observed(tick.ready, tick.ready_error);
        let decision = autoscaler.tick_with(tick.t_ms.after(base), seen, averages, &[]);
        let t_ms = tick.t_ms.get();
        ticks.push(TickOutput::of(t_ms, &decision, &autoscaler, bounds, tick.ready, context));
    }
    Ok(ScaleOutput { initial, ticks })
}
