//! Kinds `window`, `max_window`, `smoothing` and `sample_size`.

use serde_json::{Value, json};
use tidegate_autoscaler::scrape;
use tidegate_autoscaler::window::max::MaxWindow;
use tidegate_autoscaler::window::{Resize, Window, smoothing};

use crate::json::{aggregation, integer, list, number, text, time};

pub(crate) fn window(base: i64, input: &Value) -> Value {
    let mut window = Window::<1>::new(
        aggregation(text(input, "algorithm")),
        integer(input, "window_ms") as u64,
        integer(input, "granularity_ms") as u64,
    )
    .unwrap();
    let buckets = window.buckets();
    let coefficient = window.smoothing_coefficient();
    let mut results = Vec::new();
    for (index, op) in list(input, "ops").iter().enumerate() {
        let at = time(base, op, "t_ms");
        match text(op, "op") {
            "record" => window.record(at, [number(op, "value")]),
            "query" => results.push(json!({
                "op_index": index,
                "t_ms": integer(op, "t_ms"),
                "average": window.average(at, 0),
                "empty": window.is_empty(at),
            })),
            _ => {
                window.resize(at, integer(op, "window_ms") as u64, Resize::ForgetAge).unwrap();
            }
        }
    }
    match coefficient {
        None => json!({"buckets": buckets, "results": results}),
        Some(k) => json!({"buckets": buckets, "smoothing_coeff": k, "results": results}),
    }
}

pub(crate) fn max_window(base: i64, input: &Value) -> Value {
    let mut window = MaxWindow::new(
        integer(input, "duration_ms") as u64,
        integer(input, "granularity_ms") as u64,
    );
    let current = list(input, "records").iter().map(|record| {
        let (at, value) = (time(base, record, "t_ms"), integer(record, "value") as i32);
        let foreseen = window.current_at(at).map_or(value, |held| held.max(value));
        window.record(at, value);
        assert_eq!(window.current(), Some(foreseen), "asking first gives the same");
        foreseen
    });
    json!({"current": current.collect::<Vec<_>>()})
}

pub(crate) fn smoothing(input: &Value) -> Value {
    let buckets = list(input, "buckets").iter().map(|n| n.as_u64().unwrap() as usize);
    json!({"coefficients": buckets.map(smoothing::coefficient).collect::<Vec<_>>()})
}

pub(crate) fn sample_size(input: &Value) -> Value {
    let populations = list(input, "populations").iter().map(|n| n.as_u64().unwrap() as u32);
    json!({"sizes": populations.map(scrape::sample_size).collect::<Vec<_>>()})
}
