//! What happened over time, in a bounded number of equal steps.
//!
//! A series begins with steps of one second; whenever it would need more than [`MAX_POINTS`], each
//! two neighbours become one. So a minute and a year take the same memory, and a chart never gets
//! more points than a screen can show.

pub(crate) mod recorder;
mod sketch;

use serde::{Deserialize, Serialize};

/// Most points a series holds: more than a wide screen has pixel columns to spare for one chart.
pub const MAX_POINTS: usize = 1_024;

/// A series of one revision, or of all together.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TimeSeries {
    /// The revision's name, or `None` for the sum over all of them.
    pub revision: Option<String>,
    /// Length of one step, seconds.
    pub step_s: f64,
    /// The steps, from time zero, without gaps.
    pub points: Vec<SeriesPoint>,
}

/// One step of a series.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct SeriesPoint {
    /// Begin of the step, seconds since the simulation began.
    pub at_s: f64,
    /// Part of the step that was simulated, seconds; shorter than the step only at the end.
    pub length_s: f64,
    /// Requests that arrived in this step.
    pub arrivals: u64,
    /// Requests answered in this step.
    pub completed: u64,
    /// Requests refused in this step.
    pub rejected: u64,
    /// Requests given up in this step.
    pub timed_out: u64,
    /// Requests lost with an instance in this step.
    pub failed: u64,
    /// Requests that arrived in this step and had to wait for an instance to start.
    pub cold_starts: u64,
    /// Requests in the system, waiting or being served: time-weighted mean.
    pub concurrency_mean: f64,
    /// The same, maximum.
    pub concurrency_max: u64,
    /// Requests waiting: time-weighted mean.
    pub waiting_mean: f64,
    /// The same, maximum.
    pub waiting_max: u64,
    /// Longest wait of a request whose service began in this step, milliseconds.
    pub wait_max_ms: f64,
    /// Instances starting (scheduled or booting, not ready): mean.
    pub starting_mean: f64,
    /// The same, maximum.
    pub starting_max: u64,
    /// Ready instances: mean.
    pub ready_mean: f64,
    /// The same, maximum.
    pub ready_max: u64,
    /// Instances finishing their last requests: mean.
    pub draining_mean: f64,
    /// The same, maximum.
    pub draining_max: u64,
    /// Instances serving at least one request: mean.
    pub busy_mean: f64,
    /// Instances wanted: mean.
    pub wanted_mean: f64,
    /// The same, maximum.
    pub wanted_max: u64,
    /// Share of the step in panic mode, 0 to 1.
    pub panic_share: f64,
    /// Share of the step with the activator in the path, 0 to 1.
    pub proxied_share: f64,
    /// Value over the stable window at the last decision up to the end of this step.
    pub stable: f64,
    /// Value over the panic window at the last decision up to the end of this step.
    pub panic: f64,
    /// Median latency of requests answered in this step, milliseconds; 0 without any. Latencies
    /// over time come from a coarse histogram and are within 7 %.
    pub p50_ms: f64,
    /// 95th percentile, likewise.
    pub p95_ms: f64,
    /// 99th percentile, likewise.
    pub p99_ms: f64,
}
