//! A series as columns of numbers, as short as JSON can write what a screen can show of it.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use tidegate_sim::series::{SeriesPoint, TimeSeries};

use crate::chart::idle_share;

/// A shorter run of one value is written out: `0,0,0` is no longer than `[0,3]`.
const RUN_LENGTH_MIN: usize = 4;

/// A column of the payload and how to take it from a step.
type Column = (&'static str, fn(&SeriesPoint) -> f64);

/// Every column the script knows, under the names it knows them by.
const COLUMNS: [Column; 15] = [
    ("rate", |p| per_second(p.arrivals, p)),
    ("conc", |p| p.concurrency_mean),
    ("stable", |p| p.stable),
    ("panic", |p| p.panic),
    ("starting", |p| p.starting_mean),
    ("ready", |p| p.ready_mean),
    ("draining", |p| p.draining_mean),
    ("wanted", |p| p.wanted_mean),
    ("idle", idle_share),
    ("waiting", |p| p.waiting_mean),
    ("waitingMax", |p| p.waiting_max as f64),
    ("waitMax", |p| p.wait_max_ms),
    ("p50", |p| p.p50_ms),
    ("p95", |p| p.p95_ms),
    ("p99", |p| p.p99_ms),
];

/// The columns that the script draws across panels.
const MARKS: [Column; 2] = [("mode", |p| p.panic_share), ("cold", |p| p.cold_starts as f64)];

fn per_second(count: u64, point: &SeriesPoint) -> f64 {
    if point.length_s > 0.0 { count as f64 / point.length_s } else { 0.0 }
}

/// One series.
#[derive(Serialize)]
pub(super) struct Columns {
    /// Seconds between two steps; the first begins at zero.
    step: f64,
    count: usize,
    end: f64,
    columns: BTreeMap<&'static str, Vec<Run>>,
}

/// A value, or several equal ones after each other.
#[derive(Serialize)]
#[serde(untagged)]
enum Run {
    One(Short),
    Many(Short, usize),
}

/// A number with four significant digits, as short as JSON can write it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Short(pub(super) f64);

/// Whole numbers below it have no more digits than are kept.
const WHOLE_MAX: f64 = 10_000.0;

/// What `size` is multiplied with so that the digits to be kept stand before the point.
fn unit(size: f64) -> f64 {
    // Most sizes lie here, and pages have hundreds of thousands of them.
    const UNITS: [(f64, f64); 8] = [
        (1e3, 1.0),
        (1e2, 1e1),
        (1e1, 1e2),
        (1e0, 1e3),
        (1e-1, 1e4),
        (1e-2, 1e5),
        (1e-3, 1e6),
        (1e-4, 1e7),
    ];
    match UNITS.iter().find(|(least, _)| size >= *least) {
        Some((_, unit)) if size < WHOLE_MAX => *unit,
        _ => libm::pow(10.0, 3.0 - libm::floor(libm::log10(size))),
    }
}

impl Serialize for Short {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value = self.0;
        if !value.is_finite() {
            return serializer.serialize_none();
        }
        if value == 0.0 {
            return serializer.serialize_i64(0);
        }
        if value.fract() == 0.0 && value.abs() < WHOLE_MAX {
            return serializer.serialize_i64(value as i64);
        }
        let unit = unit(value.abs());
        let rounded = (value * unit).round() / unit;
        if rounded.fract() == 0.0 && rounded.abs() < 1e15 {
            serializer.serialize_i64(rounded as i64)
        } else {
            serializer.serialize_f64(rounded)
        }
    }
}

impl Columns {
    /// `series` with neighbouring steps joined until there are at most `most`.
    pub(super) fn new(series: &TimeSeries, most: usize) -> Self {
        let group = series.points.len().div_ceil(most).max(1);
        let column = |(name, value): &Column| {
            let joined = series.points.chunks(group).map(|steps| join(name, steps, *value));
            (*name, runs(joined))
        };
        Columns {
            step: series.step_s * group as f64,
            count: series.points.len().div_ceil(group),
            end: series.points.last().map_or(0.0, |point| point.at_s + point.length_s),
            columns: COLUMNS.iter().chain(&MARKS).map(column).collect(),
        }
    }
}

/// Equal neighbours joined where that is shorter.
fn runs(values: impl Iterator<Item = f64>) -> Vec<Run> {
    let values: Vec<f64> = values.collect();
    let mut runs = Vec::new();
    for same in values.chunk_by(|one, next| one.to_bits() == next.to_bits()) {
        if same.len() < RUN_LENGTH_MIN {
            runs.extend(same.iter().map(|value| Run::One(Short(*value))));
        } else {
            runs.push(Run::Many(Short(same[0]), same.len()));
        }
    }
    runs
}

/// One value for several steps: peaks stay peaks, counts add up, the rest is averaged over time.
fn join(name: &str, steps: &[SeriesPoint], value: fn(&SeriesPoint) -> f64) -> f64 {
    let values = steps.iter().map(value);
    match name {
        "waitingMax" | "waitMax" | "p95" | "p99" => values.fold(0.0, f64::max),
        "cold" => values.sum(),
        _ => {
            let length: f64 = steps.iter().map(|step| step.length_s).sum();
            let sum: f64 = steps.iter().map(|step| value(step) * step.length_s).sum();
            if length > 0.0 { sum / length } else { 0.0 }
        }
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
