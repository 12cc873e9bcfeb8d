//! What the exporter counts about itself.

use std::time::Duration;

use tidegate_telemetry::{Counter, Gauge, Metric, Recorder};

const POINTS: Metric = Metric::counter(
    "tidegate_metrics_push_points_total",
    "Values that left the process or never will, by what became of them.",
)
.labelled(&["outcome"]);
const ATTEMPTS: Metric = Metric::counter(
    "tidegate_metrics_push_attempts_total",
    "Messages with metrics that were sent, by what became of them.",
)
.labelled(&["outcome"]);
const BYTES: Metric = Metric::counter(
    "tidegate_metrics_push_bytes_total",
    "Bytes of messages with metrics that were sent, repetitions included.",
);
const WAITING: Metric =
    Metric::gauge("tidegate_metrics_push_waiting_bytes", "What waits to be sent weighs.");
const OLDEST: Metric = Metric::gauge(
    "tidegate_metrics_push_oldest_seconds",
    "How long ago the oldest value was read that waits to be sent; 0 when none waits.",
);

/// Every metric of this package.
pub const METRICS: &[Metric] = &[POINTS, ATTEMPTS, BYTES, WAITING, OLDEST];

/// What becomes of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The receiver has it.
    Delivered,
    /// The receiver did not take it, or its whole message.
    Refused,
    /// It went for want of room, or because it was too old.
    Dropped,
}

/// What becomes of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// The message was taken.
    Taken,
    /// It was refused.
    Refused,
    /// It will be tried again.
    Failed,
}

const FATES: [&str; 3] = ["delivered", "refused", "dropped"];
const ATTEMPT_NAMES: [&str; 3] = ["taken", "refused", "failed"];

/// Handles of these metrics.
#[derive(Debug, Clone)]
pub struct Metrics {
    points: [Counter; 3],
    attempts: [Counter; 3],
    bytes: Counter,
    waiting: Gauge,
    oldest: Gauge,
}

impl Metrics {
    /// Handles in a recorder. They are zero where nothing is pushed.
    pub fn new(recorder: &dyn Recorder) -> Self {
        Self {
            points: FATES.map(|name| POINTS.register_counter(recorder, &[name])),
            attempts: ATTEMPT_NAMES.map(|name| ATTEMPTS.register_counter(recorder, &[name])),
            bytes: BYTES.register_counter(recorder, &[]),
            waiting: WAITING.register_gauge(recorder, &[]),
            oldest: OLDEST.register_gauge(recorder, &[]),
        }
    }

    pub(crate) fn points(&self, fate: Fate, count: u64) {
        self.points[fate as usize].increment(count);
    }

    pub(crate) fn attempt(&self, attempt: Attempt, bytes: usize) {
        self.attempts[attempt as usize].increment(1);
        self.bytes.increment(bytes as u64);
    }

    pub(crate) fn waits(&self, bytes: usize, oldest: Duration) {
        self.waiting.set(bytes as f64);
        self.oldest.set(oldest.as_secs_f64().floor());
    }
}
