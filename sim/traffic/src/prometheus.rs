//! The answer of Prometheus to `query_range`: rates per step of one or many series.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use tidegate_sim::arrival::RevisionNames;

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
    #[default]
    Rate,
    /// Requests in the step, as `increase(...)` over the step gives.
    Increase,
}

/// Reads the whole answer.
pub(crate) fn read(
    input: &Input,
    value: PrometheusValue,
    grouping: Grouping,
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
    table(&series, value, grouping).map_err(problem)
}

/// Turns rates into whole counts, carrying the rest of each step over to the next.
fn table(
    series: &[Series],
    value: PrometheusValue,
    grouping: Grouping,
) -> Result<CountTable, String> {
    let stamps = || series.iter().flat_map(|one| one.values.iter().map(|point| point.0));
    let first = stamps().fold(f64::INFINITY, f64::min);
    let step = series
        .iter()
        .flat_map(|one| one.values.windows(2).map(|pair| pair[1].0 - pair[0].0))
        .fold(f64::INFINITY, f64::min);
    if !first.is_finite() {
        return Err("expected at least one point, found none".into());
    }
    let step = if step.is_finite() { step } else { 60.0 };
    if step <= 0.0 || step.is_nan() {
        return Err("expected points in order of time, found one that goes back".into());
    }
    let mut names = RevisionNames::new();
    let mut counts: BTreeMap<(u32, u32), u64> = BTreeMap::new();
    for one in series {
        let revision = names.intern(&name(&one.metric, grouping)).0;
        let mut rest = 0.0;
        for (at, text) in &one.values {
            let number: f64 = text
                .parse()
                .map_err(|_| format!("at {at}: expected a number, found \"{text}\""))?;
            // NaN stands for "nothing to divide by", which is no traffic.
            if number.is_nan() {
                continue;
            }
            if !(0.0..1e12).contains(&number) {
                return Err(format!("at {at}: expected a rate from 0 to 1e12, found {text}"));
            }
            let exact = rest
                + match value {
                    PrometheusValue::Rate => number * step,
                    PrometheusValue::Increase => number,
                };
            let whole = (exact as u64).min(COUNT_MAX);
            rest = exact - whole as f64;
            let interval = ((at - first) / step + 0.5) as u64;
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
    Ok(CountTable { names, entries, interval_ns, skipped: 0, keys: Vec::new() })
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
