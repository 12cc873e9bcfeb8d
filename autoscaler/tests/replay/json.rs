//! Reading scenarios and comparing answers.

use serde_json::Value;
use tidegate_autoscaler::{Aggregation, DecisionSpec, MetricSpec, ScalingMetric, Timestamp};

pub(crate) fn number(value: &Value, field: &str) -> f64 {
    value[field].as_f64().unwrap_or(0.0)
}

pub(crate) fn integer(value: &Value, field: &str) -> i64 {
    value[field].as_i64().unwrap_or(0)
}

pub(crate) fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or("")
}

pub(crate) fn truth(value: &Value, field: &str) -> bool {
    value[field].as_bool().unwrap_or(false)
}

pub(crate) fn list<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value[field].as_array().map_or(&[], Vec::as_slice)
}

pub(crate) fn time(base: i64, value: &Value, field: &str) -> Timestamp {
    Timestamp::from_millis(base + integer(value, field))
}

pub(crate) fn spec(value: &Value) -> DecisionSpec {
    DecisionSpec {
        max_scale_up_rate: number(value, "max_scale_up_rate"),
        max_scale_down_rate: number(value, "max_scale_down_rate"),
        scaling_metric: if text(value, "scaling_metric") == "rps" {
            ScalingMetric::RequestRate
        } else {
            ScalingMetric::Concurrency
        },
        target_value: number(value, "target_value"),
        total_value: number(value, "total_value"),
        target_burst_capacity: number(value, "target_burst_capacity"),
        activator_capacity: number(value, "activator_capacity"),
        panic_threshold: number(value, "panic_threshold"),
        stable_window_ms: integer(value, "stable_window_ms") as u64,
        scale_down_delay_ms: integer(value, "scale_down_delay_ms") as u64,
        initial_scale: integer(value, "initial_scale") as i32,
        reachable: truth(value, "reachable"),
        activation_scale: integer(value, "activation_scale") as i32,
        ..DecisionSpec::default()
    }
}

pub(crate) fn metric(value: &Value) -> MetricSpec {
    MetricSpec {
        stable_window_ms: integer(value, "stable_window_ms") as u64,
        panic_window_ms: integer(value, "panic_window_ms") as u64,
        aggregation: aggregation(text(value, "algorithm")),
        scraped: truth(value, "scrape"),
    }
}

pub(crate) fn aggregation(name: &str) -> Aggregation {
    match name {
        "weighted" | "weighted-exponential" | "weightedExponential" => {
            Aggregation::WeightedExponential
        }
        _ => Aggregation::Linear,
    }
}

pub(crate) fn is_weighted(input: &Value) -> bool {
    let name = input["algorithm"].as_str().or(input["metric"]["algorithm"].as_str());
    aggregation(name.unwrap_or("")) == Aggregation::WeightedExponential
}

pub(crate) fn compare(
    at: &str,
    expected: &Value,
    answer: &Value,
    weighted: bool,
    differences: &mut Vec<String>,
) {
    match (expected, answer) {
        (Value::Object(expected), Value::Object(answer)) => {
            for key in expected.keys().chain(answer.keys().filter(|k| !expected.contains_key(*k))) {
                let get = |map: &serde_json::Map<_, _>| map.get(key).cloned().unwrap_or_default();
                let at = format!("{at}.{key}");
                compare(&at, &get(expected), &get(answer), weighted, differences);
            }
        }
        (Value::Array(expected), Value::Array(answer)) => {
            if expected.len() != answer.len() {
                differences.push(format!("{at}: {} entries, not {}", answer.len(), expected.len()));
            }
            for (index, (expected, answer)) in expected.iter().zip(answer).enumerate() {
                compare(&format!("{at}[{index}]"), expected, answer, weighted, differences);
            }
        }
        (Value::Number(wanted), Value::Number(given)) => {
            let (wanted, given) = (wanted.as_f64().unwrap(), given.as_f64().unwrap());
            let close = weighted && (wanted - given).abs() <= 1e-9 * wanted.abs();
            if wanted != given && !close {
                differences.push(format!("{at}: {given}, not {wanted}"));
            }
        }
        _ if expected == answer => {}
        _ => differences.push(format!("{at}: {answer}, not {expected}")),
    }
}
