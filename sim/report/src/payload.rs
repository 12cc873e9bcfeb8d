//! What the page's script draws from: columns of numbers, cut to what a screen can show.

use serde_json::{Map, Value, json};

use tidegate_sim::engine::RunOutput;
use tidegate_sim::record::DecisionRecord;
use tidegate_sim::series::{SeriesPoint, TimeSeries};

use crate::chart::idle_share;
use crate::page::Page;

/// All data of a page together: with the script and the tables it stays below a megabyte.
const PAYLOAD_BYTES_MAX: usize = 680_000;
/// Decisions of a page at most: more markers than pixel columns tell nothing.
const DECISIONS_BYTES_MAX: usize = 260_000;
/// Cold starts marked at most, spread over the whole time.
const COLD_STARTS_MAX: usize = 2_000;
/// Steps of a single revision's series; the sum of all keeps every step.
const REVISION_POINTS_MAX: usize = 512;

/// A column of the payload and how to take it from a step.
type Column = (&'static str, fn(&SeriesPoint) -> f64);

/// Every column the script knows, under the names it knows them by.
const COLUMNS: [Column; 20] = [
    ("rate", |p| per_second(p.arrivals, p)),
    ("conc", |p| p.concurrency_mean),
    ("concMax", |p| p.concurrency_max as f64),
    ("stable", |p| p.stable),
    ("panic", |p| p.panic),
    ("starting", |p| p.starting_mean),
    ("ready", |p| p.ready_mean),
    ("draining", |p| p.draining_mean),
    ("wanted", |p| p.wanted_mean),
    ("busy", |p| p.busy_mean),
    ("idle", idle_share),
    ("waiting", |p| p.waiting_mean),
    ("waitingMax", |p| p.waiting_max as f64),
    ("waitMax", |p| p.wait_max_ms),
    ("p50", |p| p.p50_ms),
    ("p95", |p| p.p95_ms),
    ("p99", |p| p.p99_ms),
    ("mode", |p| p.panic_share),
    ("cold", |p| p.cold_starts as f64),
    ("lost", |p| (p.rejected + p.timed_out + p.failed) as f64),
];

fn per_second(count: u64, point: &SeriesPoint) -> f64 {
    if point.length_s > 0.0 { count as f64 / point.length_s } else { 0.0 }
}

/// The page's data as JSON.
pub(crate) fn payload(page: &Page<'_>) -> String {
    let mut left = PAYLOAD_BYTES_MAX;
    let share = DECISIONS_BYTES_MAX / page.views.len().max(1);
    let mut views = Vec::new();
    for view in &page.views {
        let run = view.run;
        let cold_starts = thinned(&run.cold_starts_s, COLD_STARTS_MAX / page.views.len().max(1));
        let mut object = Map::new();
        object.insert("name".into(), json!(view.name));
        object
            .insert("cold".into(), Value::Array(cold_starts.iter().map(|at| short(*at)).collect()));
        object.insert("decisions".into(), decisions(run, share));
        object.insert("bounds".into(), bounds(run));
        let series = run.series.first().map(|all| columns(all, usize::MAX));
        object.insert("series".into(), Value::Array(series.into_iter().collect()));
        left = left.saturating_sub(object.values().map(length).sum());
        views.push(object);
    }
    // Single revisions come last and only as far as there is room.
    for (view, object) in page.views.iter().zip(&mut views) {
        let Some(Value::Array(series)) = object.get_mut("series") else { continue };
        for one in view.run.series.iter().skip(1) {
            let value = columns(one, REVISION_POINTS_MAX);
            let size = length(&value);
            if size > left {
                break;
            }
            left -= size;
            series.push(value);
        }
    }
    json!({ "views": views, "origin": page.origin_unix_s }).to_string()
}

fn length(value: &Value) -> usize {
    value.to_string().len()
}

/// At most `most` of `values`, evenly chosen.
fn thinned(values: &[f64], most: usize) -> Vec<f64> {
    let stride = values.len().div_ceil(most.max(1)).max(1);
    values.iter().copied().step_by(stride).collect()
}

/// A number with four significant digits, as short as JSON can write it.
fn short(value: f64) -> Value {
    if !value.is_finite() {
        return Value::Null;
    }
    if value == 0.0 {
        return json!(0);
    }
    let digits = 3 - libm::floor(libm::log10(value.abs())) as i32;
    let unit = libm::pow(10.0, f64::from(digits));
    let rounded = (value * unit).round() / unit;
    if rounded.fract() == 0.0 && rounded.abs() < 1e15 {
        json!(rounded as i64)
    } else {
        json!(rounded)
    }
}

/// `series` with neighbouring steps joined until there are at most `most`, for small pictures.
pub(crate) fn coarser(series: &TimeSeries, most: usize) -> TimeSeries {
    let group = series.points.len().div_ceil(most).max(1);
    let points = series.points.chunks(group).map(|steps| {
        let mut point = steps[0];
        let join = |name, value| join(name, steps, value);
        point.length_s = steps.iter().map(|step| step.length_s).sum();
        point.arrivals = steps.iter().map(|step| step.arrivals).sum();
        point.cold_starts = steps.iter().map(|step| step.cold_starts).sum();
        point.concurrency_mean = join("", |p| p.concurrency_mean);
        point.stable = join("", |p| p.stable);
        point.panic = join("", |p| p.panic);
        point.starting_mean = join("", |p| p.starting_mean);
        point.ready_mean = join("", |p| p.ready_mean);
        point.draining_mean = join("", |p| p.draining_mean);
        point.wanted_mean = join("", |p| p.wanted_mean);
        point.busy_mean = join("", |p| p.busy_mean);
        point.waiting_mean = join("", |p| p.waiting_mean);
        point.waiting_max = steps.iter().map(|step| step.waiting_max).max().unwrap_or(0);
        point.panic_share = join("", |p| p.panic_share);
        point.p50_ms = join("", |p| p.p50_ms);
        point.p95_ms = join("p95", |p| p.p95_ms);
        point.p99_ms = join("p99", |p| p.p99_ms);
        point
    });
    let step_s = series.step_s * group as f64;
    TimeSeries { revision: series.revision.clone(), step_s, points: points.collect() }
}

/// A series as columns, with neighbouring steps joined until there are at most `most`.
fn columns(series: &TimeSeries, most: usize) -> Value {
    let group = series.points.len().div_ceil(most).max(1);
    let mut object = Map::new();
    object.insert("name".into(), json!(series.revision));
    let starts = series.points.chunks(group).filter_map(|steps| steps.first());
    object.insert("at".into(), Value::Array(starts.map(|p| json!(p.at_s)).collect()));
    let end = series.points.last().map_or(0.0, |point| point.at_s + point.length_s);
    object.insert("end".into(), json!(end));
    for (name, value) in COLUMNS {
        let joined = series.points.chunks(group).map(|steps| short(join(name, steps, value)));
        object.insert(name.into(), Value::Array(joined.collect()));
    }
    Value::Object(object)
}

/// One value for several steps: peaks stay peaks, counts add up, the rest is averaged over time.
fn join(name: &str, steps: &[SeriesPoint], value: fn(&SeriesPoint) -> f64) -> f64 {
    let values = steps.iter().map(value);
    match name {
        "concMax" | "waitingMax" | "waitMax" | "p95" | "p99" => values.fold(0.0, f64::max),
        "cold" | "lost" => values.sum(),
        _ => {
            let length: f64 = steps.iter().map(|step| step.length_s).sum();
            let sum: f64 = steps.iter().map(|step| value(step) * step.length_s).sum();
            if length > 0.0 { sum / length } else { 0.0 }
        }
    }
}

/// The scale bounds that were set, to be drawn as faint lines.
fn bounds(run: &RunOutput) -> Value {
    let set = run.result.settings.get("set").and_then(Value::as_object);
    let find = |names: [&str; 2]| {
        let text = names.iter().find_map(|name| {
            set?.iter().find(|(key, _)| key.ends_with(name)).and_then(|(_, value)| value.as_str())
        });
        text.and_then(|text| text.parse::<u32>().ok()).filter(|bound| *bound > 0)
    };
    json!({
        "min": find(["min-scale", "minScale"]),
        "max": find(["max-scale", "maxScale"]),
    })
}

/// As many of the weightiest as fit into `bytes`; of equally weighty ones, those spread evenly.
fn weightiest(
    mut weights: Vec<(u64, usize)>,
    bytes: usize,
    size: impl Fn(usize) -> usize,
) -> Vec<usize> {
    weights.sort_by(|left, right| right.0.cmp(&left.0).then(left.1.cmp(&right.1)));
    let (mut kept, mut left) = (Vec::new(), bytes);
    for class in weights.chunk_by(|one, next| one.0 == next.0) {
        let whole: usize = class.iter().map(|(_, index)| size(*index)).sum();
        // Odd, because decisions up and down take turns and differ in length; and with room to
        // spare, so that the choice reaches the end.
        let stride = (whole + whole / 8).div_ceil(left.max(1)) | 1;
        for (_, index) in class.iter().step_by(stride) {
            let Some(rest) = left.checked_sub(size(*index)) else { return kept };
            left = rest;
            kept.push(*index);
        }
    }
    kept
}

/// Decisions as columns. When there are too many, those that changed the most stay.
fn decisions(run: &RunOutput, bytes: usize) -> Value {
    let all = &run.decisions;
    let mut kept: Vec<usize> = (0..all.len()).collect();
    let size = |decision: &DecisionRecord| decision.reason.len() + 60;
    if all.iter().map(size).sum::<usize>() > bytes {
        let mut weights: Vec<(u64, usize)> = Vec::with_capacity(all.len());
        let mut last = std::collections::BTreeMap::new();
        for (index, decision) in all.iter().enumerate() {
            let now = (decision.wanted, decision.panicking);
            let (wanted, panicking) =
                last.insert(decision.revision.as_str(), now).unwrap_or((0, false));
            let change = wanted.abs_diff(decision.wanted) * 2;
            weights.push((change + u64::from(panicking != decision.panicking), index));
        }
        kept = weightiest(weights, bytes, |index| size(&all[index]));
        kept.sort_unstable();
    }
    let mut names: Vec<&str> = Vec::new();
    let mut revisions = Vec::new();
    for index in &kept {
        let name = all[*index].revision.as_str();
        let id = names.iter().position(|known| *known == name).unwrap_or_else(|| {
            names.push(name);
            names.len() - 1
        });
        revisions.push(id);
    }
    let column = |value: &dyn Fn(&DecisionRecord) -> Value| -> Value {
        kept.iter().map(|index| value(&all[*index])).collect()
    };
    json!({
        "names": names,
        "revision": revisions,
        "at": column(&|d| json!((d.at_s * 1e3).round() / 1e3)),
        "wanted": column(&|d| json!(d.wanted)),
        "ready": column(&|d| json!(d.ready)),
        "panicking": column(&|d| json!(u8::from(d.panicking))),
        "trigger": column(&|d| json!(d.trigger)),
        "reason": column(&|d| json!(d.reason)),
        "left_out": run.decisions_dropped + (all.len() - kept.len()) as u64,
    })
}
