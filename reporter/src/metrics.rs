//! Metrics of the report stream.

use tidegate_telemetry::{Counter, Gauge, Metric, NoopRecorder, Recorder};

const CONNECTED: Metric = Metric::gauge(
    "tidegate_report_stream_connected",
    "Report streams to the controller that are open: 1 or 0, and with shards one for each.",
);
const STREAMS: Metric = Metric::counter(
    "tidegate_report_streams_total",
    "Report streams that were opened; all but the first are reconnections.",
);
const FAILURES: Metric = Metric::counter(
    "tidegate_report_stream_failures_total",
    "Attempts to reach the controller that failed, and streams that were lost, by cause.",
)
.labelled(&["cause"]);
const FORGOTTEN: Metric = Metric::counter(
    "tidegate_reports_forgotten_total",
    "Reports that no controller has been sent, because they were too old or too many.",
);
const TOO_LARGE: Metric = Metric::counter(
    "tidegate_reports_too_large_total",
    "Reports that were left out because no message may be that long.",
);

/// Every metric of this crate.
pub const METRICS: &[Metric] = &[CONNECTED, STREAMS, FAILURES, FORGOTTEN, TOO_LARGE];

/// Handles of this crate's metrics. The default ones record nothing.
#[derive(Debug, Clone)]
pub struct Metrics {
    pub(crate) connected: Gauge,
    pub(crate) streams: Counter,
    /// There was no peer, or none any more.
    pub(crate) gone: Counter,
    /// The peer spoke another protocol, or TLS failed.
    pub(crate) mismatched: Counter,
    /// The controller refused this reporter.
    pub(crate) refused: Counter,
    pub(crate) forgotten: Counter,
    pub(crate) too_large: Counter,
}

impl Metrics {
    /// Handles that `recorder` keeps.
    pub fn new(recorder: &dyn Recorder) -> Self {
        let failures = |cause| FAILURES.register_counter(recorder, &[cause]);
        Self {
            connected: CONNECTED.register_gauge(recorder, &[]),
            streams: STREAMS.register_counter(recorder, &[]),
            gone: failures("gone"),
            mismatched: failures("mismatch"),
            refused: failures("refused"),
            forgotten: FORGOTTEN.register_counter(recorder, &[]),
            too_large: TOO_LARGE.register_counter(recorder, &[]),
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new(&NoopRecorder)
    }
}
