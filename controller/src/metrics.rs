//! Metrics of a controller. None is labelled by revision: a controller may have very many of
//! them, and explains each on request (`tidegate explain`).

use tidegate_telemetry::{Counter, Gauge, Metric, NoopRecorder, Recorder};

use crate::event::StreamRefusal;
use crate::report::ReportError;
use crate::state::Totals;

const REVISIONS: Metric =
    Metric::gauge("tidegate_controller_revisions", "Revisions that are decided for.");
const REPORTERS: Metric = Metric::gauge(
    "tidegate_controller_reporters",
    "Report streams that are open, those of activators included.",
);
const ACTIVATORS: Metric =
    Metric::gauge("tidegate_controller_activators", "Activators that are connected.");
const INSTANCES: Metric =
    Metric::gauge("tidegate_controller_instances", "Instances of all revisions, by phase.")
        .labelled(&["phase"]);
const WAITING: Metric = Metric::gauge(
    "tidegate_controller_requests_waiting",
    "Requests that wait for an instance, as reported.",
);
const DECISIONS: Metric =
    Metric::counter("tidegate_controller_decisions_total", "Decisions that were made.");
const REPORTS: Metric =
    Metric::counter("tidegate_controller_reports_total", "Reports that were accepted.");
const REPORTS_IGNORED: Metric = Metric::counter(
    "tidegate_controller_reports_ignored_total",
    "Reports that were left out because they are invalid, by what is wrong with them.",
)
.labelled(&["reason"]);
const REPORTS_PACED: Metric = Metric::counter(
    "tidegate_controller_reports_paced_total",
    "Times that a report stream was read more slowly because it sent too many reports.",
);
const STREAMS_REFUSED: Metric = Metric::counter(
    "tidegate_controller_streams_refused_total",
    "Report streams that were ended because of the identity they claim, by reason.",
)
.labelled(&["reason"]);
const STREAMS_BROKEN: Metric = Metric::counter(
    "tidegate_controller_streams_broken_total",
    "Report streams that were ended because of an invalid message, or of none in time.",
);
const CALLS_REFUSED: Metric = Metric::counter(
    "tidegate_controller_calls_refused_total",
    "Calls refused before their body was read, by reason.",
)
.labelled(&["reason"]);
const WATCHES_REFUSED: Metric = Metric::counter(
    "tidegate_controller_watches_refused_total",
    "Calls to watch decisions that were refused because there are too many.",
);
const DECISIONS_MISSED: Metric = Metric::counter(
    "tidegate_controller_decisions_missed_total",
    "Decisions that a watcher was not sent because it reads too slowly.",
);
const CONNECTIONS_REFUSED: Metric = Metric::counter(
    "tidegate_controller_connections_refused_total",
    "Connections that were closed before the first call, by cause.",
)
.labelled(&["cause"]);

/// Every metric of this crate.
pub const METRICS: &[Metric] = &[
    REVISIONS,
    REPORTERS,
    ACTIVATORS,
    INSTANCES,
    WAITING,
    DECISIONS,
    REPORTS,
    REPORTS_IGNORED,
    REPORTS_PACED,
    STREAMS_REFUSED,
    STREAMS_BROKEN,
    CALLS_REFUSED,
    WATCHES_REFUSED,
    DECISIONS_MISSED,
    CONNECTIONS_REFUSED,
];

/// Every metric that a controller can show.
pub fn metrics() -> impl Iterator<Item = &'static Metric> {
    METRICS.iter().chain(tidegate_telemetry::metrics())
}

/// Reasons of refusals, in the order of their counters.
const REASONS: [&str; 5] = ["unknown", "name_in_use", "foreign_address", "full", "replaced"];

/// Handles of this crate's metrics. The default ones record nothing.
#[derive(Debug, Clone)]
pub struct Metrics {
    revisions: Gauge,
    reporters: Gauge,
    activators: Gauge,
    ready: Gauge,
    starting: Gauge,
    draining: Gauge,
    frozen: Gauge,
    waiting: Gauge,
    pub(crate) decisions: Counter,
    pub(crate) reports: Counter,
    reports_ignored: [Counter; ReportError::LABELS.len()],
    pub(crate) reports_paced: Counter,
    streams_refused: [Counter; REASONS.len()],
    pub(crate) streams_broken: Counter,
    /// The call does not carry the secret.
    pub(crate) secrets_refused: Counter,
    /// The call is none of gRPC.
    pub(crate) calls_not_grpc: Counter,
    pub(crate) watches_refused: Counter,
    pub(crate) decisions_missed: Counter,
    /// The system gave none, for want of descriptors or memory.
    pub(crate) accepts_failed: Counter,
    /// The bound on open connections is reached.
    pub(crate) connections_too_many: Counter,
    /// The TLS handshake failed or took too long.
    pub(crate) handshakes_failed: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new(&NoopRecorder)
    }
}

impl Metrics {
    /// Handles that `recorder` keeps.
    pub fn new(recorder: &dyn Recorder) -> Self {
        let gauge = |metric: Metric| metric.register_gauge(recorder, &[]);
        let counter = |metric: Metric| metric.register_counter(recorder, &[]);
        let instances = |phase| INSTANCES.register_gauge(recorder, &[phase]);
        let calls = |reason| CALLS_REFUSED.register_counter(recorder, &[reason]);
        let connections = |cause| CONNECTIONS_REFUSED.register_counter(recorder, &[cause]);
        Self {
            revisions: gauge(REVISIONS),
            reporters: gauge(REPORTERS),
            activators: gauge(ACTIVATORS),
            ready: instances("ready"),
            starting: instances("starting"),
            draining: instances("draining"),
            frozen: instances("frozen"),
            waiting: gauge(WAITING),
            decisions: counter(DECISIONS),
            reports: counter(REPORTS),
            reports_ignored: ReportError::LABELS
                .map(|reason| REPORTS_IGNORED.register_counter(recorder, &[reason])),
            reports_paced: counter(REPORTS_PACED),
            streams_refused: REASONS
                .map(|reason| STREAMS_REFUSED.register_counter(recorder, &[reason])),
            streams_broken: counter(STREAMS_BROKEN),
            secrets_refused: calls("secret"),
            calls_not_grpc: calls("not_grpc"),
            watches_refused: counter(WATCHES_REFUSED),
            decisions_missed: counter(DECISIONS_MISSED),
            accepts_failed: connections("accept"),
            connections_too_many: connections("too_many"),
            handshakes_failed: connections("handshake"),
        }
    }

    /// A report was left out.
    pub(crate) fn ignored(&self, error: &ReportError) {
        let counters = ReportError::LABELS.iter().zip(&self.reports_ignored);
        for (_, counter) in counters.filter(|(label, _)| **label == error.label()) {
            counter.increment(1);
        }
    }

    pub(crate) fn refused(&self, refusal: &StreamRefusal) {
        let reason = match refusal {
            StreamRefusal::Undeclared(_)
            | StreamRefusal::NoInstance { .. }
            | StreamRefusal::Settings(_) => 0,
            StreamRefusal::NameInUse(_) => 1,
            StreamRefusal::NotWhereItWasStarted { .. } => 2,
            StreamRefusal::Full { .. } => 3,
            StreamRefusal::Replaced => 4,
        };
        self.streams_refused[reason].increment(1);
    }

    pub(crate) fn show(&self, totals: &Totals) {
        self.revisions.set(totals.revisions as f64);
        self.reporters.set(totals.reporters as f64);
        self.activators.set(totals.activators as f64);
        self.ready.set(totals.ready as f64);
        self.starting.set(totals.starting as f64);
        self.draining.set(totals.draining as f64);
        self.frozen.set(totals.frozen as f64);
        self.waiting.set(totals.waiting as f64);
    }
}
