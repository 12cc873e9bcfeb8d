//! Kinds `window`, `max_window`, `smoothing`, `sample_size`: the pieces decisions are made from.

use serde::{Deserialize, Serialize};
use tidegate_autoscaler::window::max::MaxWindow;
use tidegate_autoscaler::window::{MAX_BUCKETS, Resize, Window, smoothing as smooth};
use tidegate_autoscaler::{Aggregation, scrape};

use crate::context::{Context, TimeMs};
use crate::error::{At, ScenarioError};
use crate::number::Number;

#[derive(Debug, Deserialize)]
pub(super) struct WindowInput {
    #[serde(default)]
    algorithm: Algorithm,
    #[serde(default)]
    window_ms: u64,
    #[serde(default)]
    granularity_ms: u64,
    #[serde(default)]
    ops: Vec<Op>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Algorithm {
    #[default]
    #[serde(alias = "")]
    Linear,
    #[serde(alias = "weighted-exponential", alias = "weightedExponential")]
    Weighted,
}

#[derive(Debug, Deserialize)]
struct Op {
    op: OpKind,
    #[serde(default)]
    t_ms: TimeMs,
    #[serde(default)]
    value: f64,
    #[serde(default)]
    window_ms: u64,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum OpKind {
    Record,
    Query,
    Resize,
}

#[derive(Debug, Serialize)]
pub(super) struct WindowOutput {
    buckets: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    smoothing_coeff: Option<Number>,
    results: Vec<QueryResult>,
}

#[derive(Debug, Serialize)]
struct QueryResult {
    op_index: usize,
    t_ms: i64,
    average: Number,
    empty: bool,
}

pub(super) fn window(
    input: WindowInput,
    context: &mut Context,
) -> Result<WindowOutput, ScenarioError> {
    let aggregation = match input.algorithm {
        Algorithm::Linear => Aggregation::Linear,
        Algorithm::Weighted => Aggregation::WeightedExponential,
    };
    check_granularity(input.granularity_ms)?;
    let mut window = Window::<1>::new(aggregation, input.window_ms, input.granularity_ms)
        .at("input.window_ms")?;
    let mut output = WindowOutput {
        buckets: window.buckets(),
        smoothing_coeff: window.smoothing_coefficient().map(Number),
        results: Vec::new(),
    };
    for (op_index, op) in input.ops.iter().enumerate() {
        let at = op.t_ms.after(context.base_unix_ms);
        match op.op {
            OpKind::Record => window.record(at, [op.value]),
            OpKind::Resize => window
                .resize(at, op.window_ms, Resize::ForgetAge)
                .at(format!("input.ops[{op_index}].window_ms"))?,
            OpKind::Query => {
                let (average, empty) = (Number(window.average(at, 0)), window.is_empty(at));
                let result = QueryResult { op_index, t_ms: op.t_ms.get(), average, empty };
                context.explanations.say(|| result.explain(window.buckets()));
                output.results.push(result);
            }
        }
    }
    Ok(output)
}

/// Knative cuts time into buckets from the year 1 and numbers them from 1970 on. The two agree
/// where whole buckets make a day; elsewhere its windows are of no use to anybody.
fn check_granularity(granularity_ms: u64) -> Result<(), ScenarioError> {
    const DAY_MS: u64 = 86_400_000;
    let whole = granularity_ms.is_multiple_of(1000) && DAY_MS.is_multiple_of(granularity_ms);
    if whole {
        return Ok(());
    }
    let message =
        format!("{granularity_ms} ms, expected whole seconds, a whole number of which is a day");
    Err(ScenarioError::new("input.granularity_ms", message))
}

impl QueryResult {
    fn explain(&self, buckets: usize) -> String {
        let Self { t_ms, average: Number(average), empty, .. } = self;
        if *empty {
            return format!("at {t_ms} ms: nothing recorded within the window's {buckets} buckets");
        }
        format!("at {t_ms} ms: the average over up to {buckets} buckets is {average}")
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct MaxWindowInput {
    #[serde(default)]
    duration_ms: u64,
    #[serde(default)]
    granularity_ms: u64,
    #[serde(default)]
    records: Vec<MaxRecord>,
}

#[derive(Debug, Deserialize)]
struct MaxRecord {
    #[serde(default)]
    t_ms: TimeMs,
    #[serde(default)]
    value: i32,
}

#[derive(Debug, Serialize)]
pub(super) struct MaxWindowOutput {
    current: Vec<i32>,
}

pub(super) fn max_window(
    input: MaxWindowInput,
    context: &mut Context,
) -> Result<MaxWindowOutput, ScenarioError> {
    let (duration_ms, granularity_ms) = (input.duration_ms, input.granularity_ms);
    let slots = duration_ms.checked_div(granularity_ms).unwrap_or(u64::MAX);
    if granularity_ms < 1000 || duration_ms == 0 || slots > MAX_BUCKETS {
        let message = format!(
            "{duration_ms} ms in slots of {granularity_ms} ms, expected slots of at least 1000 ms \
             and 1 to {MAX_BUCKETS} of them"
        );
        return Err(ScenarioError::new("input.duration_ms", message));
    }
    let mut window = MaxWindow::new(duration_ms, granularity_ms);
    let mut current = Vec::with_capacity(input.records.len());
    for record in &input.records {
        window.record(record.t_ms.after(context.base_unix_ms), record.value);
        let most = window.current().unwrap_or(record.value);
        current.push(most);
        context.explanations.say(|| {
            let (t_ms, value) = (record.t_ms.get(), record.value);
            format!("at {t_ms} ms: {value} recorded, {most} is the most of the window")
        });
    }
    Ok(MaxWindowOutput { current })
}

#[derive(Debug, Deserialize)]
pub(super) struct SmoothingInput {
    #[serde(default)]
    buckets: Vec<usize>,
}

#[derive(Debug, Serialize)]
pub(super) struct SmoothingOutput {
    coefficients: Vec<Number>,
}

pub(super) fn smoothing(
    input: SmoothingInput,
    context: &mut Context,
) -> Result<SmoothingOutput, ScenarioError> {
    let mut coefficients = Vec::with_capacity(input.buckets.len());
    for (index, &buckets) in input.buckets.iter().enumerate() {
        if buckets == 0 {
            let path = format!("input.buckets[{index}]");
            return Err(ScenarioError::new(path, "0 buckets, expected at least 1"));
        }
        let coefficient = smooth::coefficient(buckets);
        coefficients.push(Number(coefficient));
        context.explanations.say(|| {
            format!("{buckets} buckets: the newest weighs {coefficient}, each older one less")
        });
    }
    Ok(SmoothingOutput { coefficients })
}

#[derive(Debug, Deserialize)]
pub(super) struct SampleSizeInput {
    #[serde(default)]
    populations: Vec<u32>,
}

#[derive(Debug, Serialize)]
pub(super) struct SampleSizeOutput {
    sizes: Vec<u32>,
}

pub(super) fn sample_size(
    input: SampleSizeInput,
    context: &mut Context,
) -> Result<SampleSizeOutput, ScenarioError> {
    let mut sizes = Vec::with_capacity(input.populations.len());
    for &population in &input.populations {
        let size = scrape::sample_size(population);
        sizes.push(size);
        context.explanations.say(|| format!("{size} of {population} instances are asked"));
    }
    Ok(SampleSizeOutput { sizes })
}
