//! The answer of Prometheus to `query_range`: rates per step of one or many series.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use tidegate_sim::arrival::RevisionNames;
use tidegate_sim::time::SimSpan;

use crate::azure2019::{CountTable, Entry};
use crate::counts::COUNT_MAX;
use crate::document;
use crate::error::TrafficError;
use crate::input::Input;
use crate::options::Grouping;

/// Labels that name a revision, in order of preference; all labels together when none is there.
const NAME_LABELS: [&str; 8] = [
    "revision_name",
    "revision",
    "configuration_name",
    "service_name",
    "app",
    "deployment",
    "service",
    "job",
];

/// Steps between the first and the last point at most: a year of seconds.
const STEPS_MAX: u64 = 366 * 86_400;

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    data: Option<Data>,
    // The `data` object alone, as some tools save it.
    #[serde(default)]
    result: Option<Vec<Series>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    result_type: String,
    result: Vec<Series>,
}

#[derive(Deserialize)]
struct Series {
    #[serde(default)]
    metric: BTreeMap<String, String>,
    #[serde(default)]
    values: Vec<(f64, String)>,
}

/// What the numbers of the series are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PrometheusValue {
    /// Requests per second, as `rate(...)` gives.
    Rate,
    /// Requests in the step, as `increase(...)` over the step gives.
    Increase,
    /// Requests so far: only what is added from point to point counts.
    Counter,
    /// A counter where the name of a series says so, and a rate where nothing has a name.
    #[default]
    ByName,
}

/// Ends of names of counters.
const COUNTER_ENDINGS: [&str; 6] =
    ["_total", "_count", "_current_offset", "_end_offset", "_last_seq", "_messages_received"];

/// Names of what waits, not of what arrives.
const WAITING_NAMES: [&str; 6] =
    ["lag", "num_pending", "ack_pending", "queue_length", "messages_ready", "backlog"];

/// Points that must rise for a series without a telling name to be taken for a counter.
const RISING_POINTS_MIN: usize = 3;

/// Reads the whole answer.
pub(crate) fn read(
    input: &Input,
    value: PrometheusValue,
    grouping: Grouping,
    interval: Option<SimSpan>,
) -> Result<CountTable, TrafficError> {
    let answer: Answer = document::parse(input)?;
    let problem = |problem: String| TrafficError::Document {
        file: input.name().to_owned(),
        line: 1,
        column: 1,
        problem,
    };
    if answer.status.as_deref() == Some("error") {
        let said = answer.error.unwrap_or_default();
        return Err(problem(format!("expected an answer with data, found an error: {said}")));
    }
    let series = match (answer.data, answer.result) {
        (Some(data), _) if data.result_type == "matrix" => data.result,
        (Some(data), _) => {
            return Err(problem(format!(
                "expected resultType \"matrix\" (ask query_range, not query), found \"{}\"",
                data.result_type
            )));
        }
        (None, Some(result)) => result,
        (None, None) => return Err(problem("expected data.result of query_range".into())),
    };
    let ask = |why| TrafficError::Undeclared { file: input.name().to_owned(), why };
    let value = meaning(&series, value).map_err(ask)?;
    let step = step(&series, interval).map_err(ask)?;
    table(&series, value, grouping, step).map_err(problem)
}

/// What the values of `series` are, when their names say it or nothing else is left.
fn meaning(series: &[Series], value: PrometheusValue) -> Result<PrometheusValue, String> {
    if value != PrometheusValue::ByName {
        return Ok(value);
    }
    let names: Vec<&str> =
        series.iter().filter_map(|one| one.metric.get("__name__")).map(String::as_str).collect();
    if let Some(name) = names.iter().find(|name| WAITING_NAMES.iter().any(|w| name.contains(w))) {
        return Err(format!(
            "{name} is what waits, not what arrives; ask for increase(...) of what is produced, \
             or pass --prometheus rate, increase or counter"
        ));
    }
    if let Some(name) = names.iter().find(|n| n.ends_with("_bucket") || n.ends_with("_sum")) {
        return Err(format!(
            "{name} counts no requests; ask for the series that ends in _count or _total instead"
        ));
    }
    let counter = |name: &&str| COUNTER_ENDINGS.iter().any(|ending| name.ends_with(ending));
    if !names.is_empty() && names.iter().all(counter) {
        return Ok(PrometheusValue::Counter);
    }
    if series.iter().any(Series::only_rises) {
        return Err(
            "its values only rise, as those of a counter do; pass --prometheus counter, or rate \
             or increase if they are that"
                .into(),
        );
    }
    Ok(PrometheusValue::Rate)
}

/// Seconds between points: the shortest gap, or what was declared.
fn step(series: &[Series], interval: Option<SimSpan>) -> Result<f64, String> {
    if let Some(interval) = interval {
        return Ok(interval.as_secs_f64());
    }
    let gaps = series.iter().flat_map(|one| one.values.windows(2));
    let step = gaps.map(|pair| pair[1].0 - pair[0].0).fold(f64::INFINITY, f64::min);
    if !step.is_finite() {
        return Err(
            "its series have one point each, so that nothing says how long a step is; pass \
                    --interval with the step of the query, such as --interval 60s"
                .into(),
        );
    }
    Ok(step)
}

impl Series {
    /// Whether values rise from point to point and never fall.
    fn only_rises(&self) -> bool {
        let numbers: Vec<f64> =
            self.values.iter().filter_map(|(_, text)| text.parse().ok()).collect();
        let first = numbers.first().copied().unwrap_or(0.0);
        let whole = numbers.iter().all(|number| number.fract() == 0.0);
        let rises = numbers.windows(2).all(|pair| pair[1] >= pair[0]);
        numbers.len() >= RISING_POINTS_MIN
            && rises
            && whole
            && numbers.last().is_some_and(|last| *last > first)
    }
}

/// Turns values into whole counts, carrying the rest of each step over to the next.
fn table(
    series: &[Series],
    value: PrometheusValue,
    grouping: Grouping,
    step: f64,
) -> Result<CountTable, String> {
    let stamps = || series.iter().flat_map(|one| one.values.iter().map(|point| point.0));
    let first = stamps().fold(f64::INFINITY, f64::min);
    if !first.is_finite() {
        return Err("expected at least one point, found none".into());
    }
    if step <= 0.0 || step.is_nan() {
        return Err("expected points in order of time, found one that goes back".into());
    }
    let mut names = RevisionNames::new();
    let mut counts: BTreeMap<(u32, u32), u64> = BTreeMap::new();
    for one in series {
        let revision = names.intern(&name(&one.metric, grouping)).0;
        let mut rest = 0.0;
        let mut before = None;
        for (at, text) in &one.values {
            let Some(number) = number(*at, text)? else { continue };
            let exact = rest
                + match value {
                    PrometheusValue::Increase => number,
                    // A counter that falls began again from zero.
                    PrometheusValue::Counter => match before.replace(number) {
                        Some(before) if number >= before => number - before,
                        Some(_) => number,
                        None => continue,
                    },
                    _ => number * step,
                };
            let whole = (exact as u64).min(COUNT_MAX);
            rest = exact - whole as f64;
            let interval = ((at - first) / step + 0.5) as u64;
            // What a counter gained came before its point.
            let interval = interval.saturating_sub(u64::from(value == PrometheusValue::Counter));
            if interval > STEPS_MAX {
                return Err(format!("expected at most {STEPS_MAX} steps, found {interval}"));
            }
            if whole > 0 {
                let interval = u32::try_from(interval).unwrap_or(u32::MAX);
                *counts.entry((interval, revision)).or_default() += whole;
            }
        }
    }
    let entries: Arc<[Entry]> = counts
        .into_iter()
        .map(|((interval, revision), count)| Entry { interval, revision, count })
        .collect();
    let interval_ns = (step * 1e9 + 0.5) as u64;
    let taken = match value {
        PrometheusValue::Increase => "values are requests in each step",
        PrometheusValue::Counter => "values are requests so far, of which the differences count",
        _ => "values are requests a second (--prometheus says otherwise)",
    };
    let taken = taken.to_owned();
    Ok(CountTable { names, entries, interval_ns, skipped: 0, keys: Vec::new(), taken })
}

/// The value of a point; `None` where there was nothing to divide by, which is no traffic.
fn number(at: f64, text: &str) -> Result<Option<f64>, String> {
    let number: f64 =
        text.parse().map_err(|_| format!("at {at}: expected a number, found \"{text}\""))?;
    if number.is_nan() {
        return Ok(None);
    }
    if !(0.0..1e12).contains(&number) {
        return Err(format!("at {at}: expected a rate from 0 to 1e12, found {text}"));
    }
    Ok(Some(number))
}

fn name(metric: &BTreeMap<String, String>, grouping: Grouping) -> String {
    if grouping == Grouping::All || metric.is_empty() {
        return "traffic".to_owned();
    }
    let preferred = NAME_LABELS.iter().find_map(|label| metric.get(*label));
    preferred.cloned().unwrap_or_else(|| {
        let labels = metric.iter().filter(|(label, _)| *label != "__name__");
        labels.map(|(label, value)| format!("{label}={value}")).collect::<Vec<_>>().join(",")
    })
}
