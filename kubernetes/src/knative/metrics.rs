//! This controller in numbers.

use tidegate_telemetry::{Counter, Gauge, Metric, NoopRecorder, Recorder};

const REVISIONS: Metric =
    Metric::gauge("tidegate_knative_revisions", "Revisions that are scaled here.");
const ACTIVATORS: Metric = Metric::gauge(
    "tidegate_knative_activator_connections",
    "Connections of Knative's activators that are relayed to its autoscaler.",
);
const HEARD: Metric = Metric::counter(
    "tidegate_knative_messages_total",
    "Messages of activators that were heard, by whom: directly, or by a peer.",
)
.labelled(&["heard_by"]);
const LOST: Metric = Metric::counter(
    "tidegate_knative_messages_lost_total",
    "Messages of activators that were relayed and not taken in here, by cause.",
)
.labelled(&["cause"]);
const SCRAPES: Metric = Metric::counter(
    "tidegate_knative_scrapes_total",
    "Requests for the statistics of a pod, by outcome.",
)
.labelled(&["outcome"]);
const STREAMS: Metric = Metric::gauge(
    "tidegate_knative_pod_streams",
    "Pods that are listened to: their sidecars say at once what is inside.",
);
const ACTIONS: Metric = Metric::counter(
    "tidegate_knative_requests_total",
    "Requests to the API server that changed something, by outcome.",
)
.labelled(&["outcome"]);

/// All metrics, for the book.
pub const ALL: [&Metric; 7] =
    [&REVISIONS, &ACTIVATORS, &HEARD, &LOST, &SCRAPES, &STREAMS, &ACTIONS];

/// What is counted.
#[derive(Clone)]
pub struct Metrics {
    pub(crate) revisions: Gauge,
    pub(crate) activators: Gauge,
    pub(crate) heard_directly: Counter,
    pub(crate) heard_by_peer: Counter,
    pub(crate) lost_too_long: Counter,
    pub(crate) lost_too_many: Counter,
    pub(crate) lost_unreadable: Counter,
    pub(crate) scraped: Counter,
    pub(crate) scrapes_failed: Counter,
    pub(crate) streams: Gauge,
    pub(crate) requests_done: Counter,
    pub(crate) requests_failed: Counter,
}

impl Metrics {
    /// Metrics that `recorder` keeps.
    #[must_use]
    pub fn new(recorder: &dyn Recorder) -> Self {
        Self {
            revisions: REVISIONS.register_gauge(recorder, &[]),
            activators: ACTIVATORS.register_gauge(recorder, &[]),
            heard_directly: HEARD.register_counter(recorder, &["self"]),
            heard_by_peer: HEARD.register_counter(recorder, &["peer"]),
            lost_too_long: LOST.register_counter(recorder, &["too_long"]),
            lost_too_many: LOST.register_counter(recorder, &["too_many"]),
            lost_unreadable: LOST.register_counter(recorder, &["unreadable"]),
            scraped: SCRAPES.register_counter(recorder, &["done"]),
            scrapes_failed: SCRAPES.register_counter(recorder, &["failed"]),
            streams: STREAMS.register_gauge(recorder, &[]),
            requests_done: ACTIONS.register_counter(recorder, &["done"]),
            requests_failed: ACTIONS.register_counter(recorder, &["failed"]),
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new(&NoopRecorder)
    }
}
