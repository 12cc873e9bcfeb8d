//! An activator in numbers.
//!
//! What happens to a request is counted as it happens; what the throttlers and the outcome counter
//! keep anyway is copied when the metrics are read.

use std::time::Duration;

use tidegate_admission::outliers::Sign;
use tidegate_relay::Cause;
use tidegate_telemetry::{Counter, Gauge, Histogram, Label, Metric, NoopRecorder, Recorder};
use tidegate_timeline::{Moment, Timeline};

use crate::mirror_outcome::MirrorOutcome;
use crate::outcomes::Outcomes;
use crate::overflow::Substitute;
use crate::revision_throttler::{HedgeOutcome, Status, Unreachable};

const DURATION: Metric = Metric::histogram(
    "tidegate_activator_request_duration_seconds",
    "Time of requests that an instance answered, waiting included, by class of status.",
)
.labelled(&["status_class"]);
const FAILED: Metric = Metric::counter(
    "tidegate_activator_requests_failed_total",
    "Requests that were not answered by the app, by cause.",
)
.labelled(&["cause"]);
const LEFT: Metric = Metric::counter(
    "tidegate_activator_requests_left_total",
    "Requests whose clients left before the response was complete, in the queue or at an instance.",
);
const RETRIED: Metric = Metric::counter(
    "tidegate_activator_requests_retried_total",
    "Times that a request was offered to another instance because one failed.",
);
const HEDGES: Metric = Metric::counter(
    "tidegate_activator_hedges_total",
    "Requests that were to be sent to a second instance, by what became of that.",
)
.labelled(&["outcome"]);
const EJECTED: Metric = Metric::counter(
    "tidegate_activator_instances_ejected_total",
    "Times that an instance was ejected, by what was wrong with it.",
)
.labelled(&["how"]);
const ENDPOINTS_IGNORED: Metric = Metric::counter(
    "tidegate_activator_endpoints_ignored_total",
    "Instances that were left out because their address is not understood.",
);
const COLD_STARTS: Metric = Metric::counter(
    "tidegate_activator_cold_starts_total",
    "Requests that arrived while no instance was ready.",
);
const COLD_START: Metric = Metric::histogram(
    "tidegate_activator_cold_start_duration_seconds",
    "Time from the arrival of a request that met no ready instance to the begin of its response.",
);
const COLD_START_PHASE: Metric = Metric::histogram(
    "tidegate_activator_cold_start_phase_seconds",
    "The same by phase: what the request waited for.",
)
.labelled(&["phase"]);
const ABANDONED_TOTAL: Metric = Metric::counter(
    "tidegate_activator_requests_abandoned_total",
    "Requests whose clients left while an instance was at work, and those that a second instance \
     answered.",
);
const ABANDONED: Metric = Metric::gauge(
    "tidegate_activator_requests_abandoned",
    "Such requests that hold their slot at an instance now.",
);
const IN_FLIGHT: Metric =
    Metric::gauge("tidegate_activator_requests_in_flight", "Requests at instances now.");
const WAITING: Metric =
    Metric::gauge("tidegate_activator_requests_waiting", "Requests that wait for an instance now.");
const WAITING_BYTES: Metric = Metric::gauge(
    "tidegate_activator_waiting_bytes",
    "What the requests that wait for an instance weigh.",
);
const SUBSTITUTED: Metric = Metric::counter(
    "tidegate_activator_requests_substituted_total",
    "Requests that no instance took and that were answered in its place, by whom.",
)
.labelled(&["by"]);
const READY: Metric =
    Metric::gauge("tidegate_activator_instances_ready", "Instances that may be sent requests now.");
const CREDIT_STREAMS: Metric = Metric::gauge(
    "tidegate_activator_credit_streams",
    "Instances that grant credits now: their limit is exact behind any number of activators.",
);
const CREDITS: Metric = Metric::gauge(
    "tidegate_activator_credits",
    "Credits that can be spent now: places at instances that are kept free for this activator.",
);
const REVISIONS: Metric =
    Metric::gauge("tidegate_activator_revisions", "Revisions that are known.");
const REVISIONS_REFUSED: Metric = Metric::counter(
    "tidegate_activator_revisions_refused_total",
    "Times that a revision was refused because there are too many.",
);
const CONNECTIONS: Metric =
    Metric::gauge("tidegate_activator_connections", "Connections of clients that are open.");

const ANSWERED: Metric = Metric::counter(
    "tidegate_activator_requests_answered_total",
    "Requests that a route answered without an app.",
);
const MIRRORED: Metric = Metric::counter(
    "tidegate_activator_requests_mirrored_total",
    "Requests of which a copy was to go to another revision, by what became of the copy.",
)
.labelled(&["outcome"]);
const KNATIVE_STATS: Metric = Metric::counter(
    "tidegate_activator_knative_stats_total",
    "Numbers of a revision for a Knative autoscaler, by what became of them.",
)
.labelled(&["outcome"]);
const TCP_CONNECTIONS: Metric = Metric::gauge(
    "tidegate_activator_tcp_connections",
    "Connections that are passed on as they are, held or joined to an instance now.",
);
const TCP_CONNECTIONS_TOTAL: Metric = Metric::counter(
    "tidegate_activator_tcp_connections_total",
    "Connections to ports of other protocols than HTTP that have ended, by what became of them.",
)
.labelled(&["outcome"]);
const PORTS: Metric =
    Metric::gauge("tidegate_activator_ports", "Ports of one revision each that are listened on.");
const PORTS_MISSING: Metric = Metric::gauge(
    "tidegate_activator_ports_missing",
    "Ports that the controller gave to a revision and that cannot be listened on.",
);

/// Every metric of this crate.
pub const METRICS: &[Metric] = &[
    DURATION,
    FAILED,
    LEFT,
    RETRIED,
    HEDGES,
    EJECTED,
    COLD_STARTS,
    COLD_START,
    COLD_START_PHASE,
    ENDPOINTS_IGNORED,
    ABANDONED_TOTAL,
    ABANDONED,
    IN_FLIGHT,
    WAITING,
    WAITING_BYTES,
    SUBSTITUTED,
    READY,
    CREDIT_STREAMS,
    CREDITS,
    REVISIONS,
    REVISIONS_REFUSED,
    CONNECTIONS,
    ANSWERED,
    MIRRORED,
    KNATIVE_STATS,
    TCP_CONNECTIONS,
    TCP_CONNECTIONS_TOTAL,
    PORTS,
    PORTS_MISSING,
];

/// Classes of statuses, 1xx (an upgrade) to 5xx.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Every metric that an activator can show, those of its parts included.
pub fn metrics() -> impl Iterator<Item = &'static Metric> {
    let parts = [tidegate_relay::metrics::METRICS, tidegate_reporter::metrics::METRICS];
    let shared = tidegate_telemetry::metrics();
    METRICS.iter().chain(parts.into_iter().flatten()).chain(shared)
}

/// Handles of an activator's metrics and those of its parts. The default ones record nothing.
#[derive(Debug, Clone)]
pub struct Metrics {
    duration: [Histogram; CLASSES.len()],
    failed: [Counter; Cause::ALL.len()],
    left: Counter,
    retried: Counter,
    hedges: [Counter; HedgeOutcome::ALL.len()],
    ejected_refused: Counter,
    ejected_silent: Counter,
    ejected_app_refused: Counter,
    ejected_failing: Counter,
    ejected_slow: Counter,
    cold_starts: Counter,
    cold_start: Histogram,
    cold_start_phases: [Histogram; Moment::COUNT],
    endpoints_ignored: Counter,
    abandoned_total: Counter,
    abandoned: Gauge,
    in_flight: Gauge,
    waiting: Gauge,
    waiting_bytes: Gauge,
    substituted_by_page: Counter,
    substituted_by_fallback: Counter,
    ready: Gauge,
    credit_streams: Gauge,
    credits: Gauge,
    revisions: Gauge,
    revisions_refused: Counter,
    connections: Gauge,
    answered: Counter,
    mirrored: [Counter; MirrorOutcome::ALL.len()],
    knative_stats: [Counter; Pushed::ALL.len()],
    tcp_connections: Gauge,
    tcp_connections_total: [Counter; ConnectionOutcome::ALL.len()],
    ports: Gauge,
    ports_missing: Gauge,
    relay: tidegate_relay::metrics::Metrics,
    reporter: tidegate_reporter::Metrics,
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
        let ejected = |how| EJECTED.register_counter(recorder, &[how]);
        Self {
            duration: CLASSES.map(|class| {
                let labels = vec![Label::from_static_parts("status_class", class)];
                DURATION.register_histogram(recorder, labels)
            }),
            failed: Cause::ALL.map(|cause| FAILED.register_counter(recorder, &[cause.label()])),
            left: counter(LEFT),
            retried: counter(RETRIED),
            hedges: HedgeOutcome::ALL.map(|of| HEDGES.register_counter(recorder, &[of.label()])),
            ejected_refused: ejected("refused"),
            ejected_silent: ejected("silent"),
            ejected_app_refused: ejected("app_refused"),
            ejected_failing: ejected("failing"),
            ejected_slow: ejected("slow"),
            cold_starts: counter(COLD_STARTS),
            cold_start: COLD_START.register_histogram(recorder, Vec::new()),
            cold_start_phases: Moment::ALL.map(|moment| {
                let labels = vec![Label::from_static_parts("phase", moment.phase())];
                COLD_START_PHASE.register_histogram(recorder, labels)
            }),
            endpoints_ignored: counter(ENDPOINTS_IGNORED),
            abandoned_total: counter(ABANDONED_TOTAL),
            abandoned: gauge(ABANDONED),
            in_flight: gauge(IN_FLIGHT),
            waiting: gauge(WAITING),
            waiting_bytes: gauge(WAITING_BYTES),
            substituted_by_page: SUBSTITUTED.register_counter(recorder, &["placeholder"]),
            substituted_by_fallback: SUBSTITUTED.register_counter(recorder, &["fallback"]),
            ready: gauge(READY),
            credit_streams: gauge(CREDIT_STREAMS),
            credits: gauge(CREDITS),
            revisions: gauge(REVISIONS),
            revisions_refused: counter(REVISIONS_REFUSED),
            connections: gauge(CONNECTIONS),
            answered: counter(ANSWERED),
            mirrored: MirrorOutcome::ALL
                .map(|of| MIRRORED.register_counter(recorder, &[of.label()])),
            knative_stats: Pushed::ALL
                .map(|of| KNATIVE_STATS.register_counter(recorder, &[of.label()])),
            tcp_connections: gauge(TCP_CONNECTIONS),
            tcp_connections_total: ConnectionOutcome::ALL
                .map(|of| TCP_CONNECTIONS_TOTAL.register_counter(recorder, &[of.label()])),
            ports: gauge(PORTS),
            ports_missing: gauge(PORTS_MISSING),
            relay: tidegate_relay::metrics::Metrics::new(recorder),
            reporter: tidegate_reporter::Metrics::default(),
        }
    }

    /// The same with those of the report stream, for an activator that has a controller.
    #[must_use]
    pub fn with_report_stream(self, recorder: &dyn Recorder) -> Self {
        Self { reporter: tidegate_reporter::Metrics::new(recorder), ..self }
    }

    /// Those of the report stream.
    pub(crate) fn reporter(&self) -> tidegate_reporter::Metrics {
        self.reporter.clone()
    }

    /// An instance responded with `status`, its last byte `latency` after the request's arrival.
    pub(crate) fn responded(&self, status: u16, latency: Duration) {
        let class = usize::from(status / 100).clamp(1, CLASSES.len()) - 1;
        self.duration[class].record(latency.as_secs_f64());
    }

    /// The response to a request that met no ready instance has begun.
    pub(crate) fn cold_started(&self, timeline: &Timeline) {
        self.cold_start.record(timeline.total().as_secs_f64());
        for phase in timeline.phases() {
            let histogram = &self.cold_start_phases[phase.moment as usize];
            histogram.record(phase.length.as_secs_f64());
        }
    }

    /// A request is offered to another instance.
    pub(crate) fn retried(&self) {
        self.retried.increment(1);
    }

    /// That became of a second instance.
    pub(crate) fn hedged(&self, outcome: HedgeOutcome) {
        self.hedges[outcome as usize].increment(1);
    }

    /// Somebody answered in an instance's place.
    pub(crate) fn substituted(&self, by: Substitute) {
        match by {
            Substitute::Placeholder => self.substituted_by_page.increment(1),
            Substitute::Fallback => self.substituted_by_fallback.increment(1),
        }
    }

    /// An instance is left alone because it is worse than the others.
    pub(crate) fn left_alone(&self, sign: Sign) {
        match sign {
            Sign::Failing => self.ejected_failing.increment(1),
            Sign::Slow => self.ejected_slow.increment(1),
        }
    }

    /// An instance is left out.
    pub(crate) fn ejected(&self, how: Unreachable) {
        match how {
            Unreachable::Refused => self.ejected_refused.increment(1),
            Unreachable::Silent => self.ejected_silent.increment(1),
            Unreachable::AppRefused => self.ejected_app_refused.increment(1),
        }
    }

    /// A route answered a request.
    pub(crate) fn answered(&self) {
        self.answered.increment(1);
    }

    /// That became of a copy.
    pub(crate) fn mirrored(&self, outcome: MirrorOutcome) {
        self.mirrored[outcome as usize].increment(1);
    }

    /// That became of so many numbers for Knative's autoscaler.
    pub(crate) fn knative_stats(&self, became: Pushed, count: u64) {
        self.knative_stats[became as usize].increment(count);
    }

    /// A connection is there to be passed on as it is, for as long as the guard lives.
    pub(crate) fn connection_opened(&self) -> OpenConnection {
        self.tcp_connections.increment(1.0);
        OpenConnection(self.tcp_connections.clone())
    }

    /// That became of one.
    pub(crate) fn connection_ended(&self, outcome: ConnectionOutcome) {
        self.tcp_connections_total[outcome as usize].increment(1);
    }

    /// So many of the ports of one revision are listened on, and so many should be and are not.
    pub(crate) fn ports(&self, open: usize, missing: usize) {
        self.ports.set(open as f64);
        self.ports_missing.set(missing as f64);
    }

    /// Copies the numbers that are kept elsewhere.
    pub(crate) fn refresh(
        &self,
        (revisions, forgotten): (&[Status], &Status),
        revisions_refused: u64,
        outcomes: &Outcomes,
        connections: usize,
    ) {
        self.revisions_refused.absolute(revisions_refused);
        let sum = |of: fn(&Status) -> u64| revisions.iter().chain([forgotten]).map(of).sum::<u64>();
        self.cold_starts.absolute(sum(|revision| revision.cold_starts));
        self.endpoints_ignored.absolute(sum(|revision| revision.endpoints_ignored));
        self.abandoned_total.absolute(sum(|revision| revision.abandoned_total));
        self.abandoned.set(sum(|revision| revision.abandoned) as f64);
        self.in_flight.set(sum(|revision| revision.in_flight) as f64);
        self.waiting.set(sum(|revision| revision.waiting.into()) as f64);
        self.waiting_bytes.set(sum(|revision| revision.waiting_bytes) as f64);
        self.ready.set(sum(|revision| revision.ready.into()) as f64);
        self.credit_streams.set(sum(|revision| revision.credit_streams.into()) as f64);
        self.credits.set(sum(|revision| revision.credits) as f64);
        self.revisions.set(revisions.len() as f64);
        self.left.absolute(outcomes.left);
        self.connections.set(connections as f64);
        self.relay.refresh();
        for (counter, cause) in self.failed.iter().zip(Cause::ALL) {
            let of_cause = outcomes.failed.iter().filter(|((_, of), _)| *of == cause);
            counter.absolute(of_cause.map(|(_, count)| count).sum());
        }
    }
}

/// Counts a connection for as long as it lives.
pub(crate) struct OpenConnection(Gauge);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

/// What became of numbers for Knative's autoscaler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// They were handed to the connection.
    Sent,
    /// There was no connection, or it ended, or too many waited for it.
    Dropped,
}

impl Pushed {
    const ALL: [Self; 2] = [Self::Sent, Self::Dropped];

    fn label(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Dropped => "dropped",
        }
    }
}

/// What becomes of a connection to a port of another protocol than HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConnectionOutcome {
    /// It was joined to an instance, until one of them ended it.
    PassedOn,
    /// Its client left before an instance was there.
    Left,
    /// Too many waited already.
    QueueFull,
    /// No instance was there in time.
    WaitedTooLong,
    /// No instance took it.
    Unreachable,
    /// The activator has as many as it may have.
    TooMany,
    /// The controller has not named the revision.
    UnknownRevision,
}

impl ConnectionOutcome {
    const ALL: [Self; 7] = [
        Self::PassedOn,
        Self::Left,
        Self::QueueFull,
        Self::WaitedTooLong,
        Self::Unreachable,
        Self::TooMany,
        Self::UnknownRevision,
    ];

    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::PassedOn => "passed_on",
            Self::Left => "left",
            Self::QueueFull => "queue_full",
            Self::WaitedTooLong => "waited_too_long",
            Self::Unreachable => "unreachable",
            Self::TooMany => "too_many",
            Self::UnknownRevision => "unknown_revision",
        }
    }
}
