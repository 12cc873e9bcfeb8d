//! Request metrics for Prometheus, by the names, labels and buckets that Knative's dashboards use,
//! and some that Knative's users ask for: where the time went, what was refused and why.
//!
//! Nothing here exists unless the configuration asks for it. Label values that clients choose are
//! bounded in number and length.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, Version};
use parking_lot::Mutex;
use tidegate_admission::Refusal;
use tidegate_relay::{self as relay, Cause};
use tidegate_telemetry::{Counter, Family, Gauge, Histogram, Label, Metric, Registry, page};

use crate::gate::{Levels, PeriodStats};
use crate::identity::Identity;

mod names;
mod series;

use names as name;
use series::{SeriesCache, SeriesKey, StatusCache};

/// The longest page: two budgets of series, the statuses, and some for what is there once.
pub const PAGE_BYTES: usize = 3 << 20;

/// Every metric that a sidecar can show.
pub fn metrics() -> impl Iterator<Item = &'static Metric> {
    let parts = [relay::metrics::METRICS, tidegate_reporter::metrics::METRICS];
    let shared = tidegate_telemetry::metrics();
    name::ALL.iter().chain(parts.into_iter().flatten()).chain(shared)
}

/// The metrics of this process. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    shared: Arc<MetricsState>,
}

struct MetricsState {
    registry: Registry,
    relay: relay::metrics::Metrics,
    app_port: u16,
    invocations: Mutex<StatusCache<Histogram>>,
    exchanges: Mutex<SeriesCache<Exchanges>>,
    depth: Option<Gauge>,
    own: Own,
}

/// The three histograms of Knative's server side, and the two of its client side.
#[derive(Clone)]
struct Exchanges {
    duration: Histogram,
    request_size: Histogram,
    response_size: Histogram,
    client_duration: Histogram,
    client_request_size: Histogram,
    /// Counts those whose series lacks some of their labels.
    folded: Option<Counter>,
}

/// What Knative does not have.
struct Own {
    wait: Histogram,
    service: Histogram,
    executing: Gauge,
    waiting: Gauge,
    limit: Gauge,
    abandoned: Gauge,
    abandoned_total: Counter,
    front_doors: Gauge,
    credits_promised: Gauge,
    credits_spent_total: Counter,
    credits_void_total: Counter,
    failed: [Counter; Cause::ALL.len()],
    left: Counter,
    handed_on: Counter,
    refused_full: Counter,
    refused_late: Counter,
    connect_failures: Counter,
    pushes_failed: Counter,
    record_lost: Gauge,
    log_lost: Gauge,
    folded: Counter,
    spans_dropped: Counter,
}

/// What could not be written so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct Lost {
    /// Rows of the recording.
    pub record_rows: u64,
    /// Lines of the request log.
    pub log_lines: u64,
    /// Spans of traces.
    pub spans: u64,
}

/// Whether the gauge of the queue exists: as in Knative it is absent without a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DepthGauge {
    /// It exists.
    Shown,
    /// There is no queue.
    Absent,
}

/// One finished exchange.
#[derive(Debug, Clone)]
pub struct Observation<'a> {
    /// The method.
    pub method: &'a Method,
    /// The client's protocol.
    pub version: Version,
    /// The host in the request, with a port if there is one.
    pub host: &'a str,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// The value of `kn.route.tag`.
    pub tag: &'a str,
    /// The status that the client got; 500 when the response was cut off.
    pub status: u16,
    /// Body bytes towards the app.
    pub request_bytes: u64,
    /// Body bytes towards the client.
    pub response_bytes: u64,
    /// From arrival to the end.
    pub latency: Duration,
    /// In the queue.
    pub wait: Duration,
    /// In the app; `None` when it never got there.
    pub service: Option<Duration>,
    /// Whether the response was cut off.
    pub outcome: ExchangeOutcome,
}

/// How an exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ExchangeOutcome {
    /// With a whole response.
    #[default]
    Whole,
    /// Cut off, which Knative's HTTP metrics have no label for.
    Aborted,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// Registers everything that exists from the start.
    #[must_use]
    pub fn new(identity: &Identity, service: &Service, app_port: u16, depth: DepthGauge) -> Self {
        let registry = Registry::new();
        let depth = match depth {
            DepthGauge::Shown => Some(name::DEPTH.register_gauge(&registry, &[])),
            DepthGauge::Absent => None,
        };
        target_info(&registry, identity, service);
        Self {
            shared: Arc::new(MetricsState {
                relay: relay::metrics::Metrics::new(&registry),
                app_port,
                invocations: Mutex::new(StatusCache::default()),
                exchanges: Mutex::new(SeriesCache::default()),
                depth,
                own: Own::new(&registry),
                registry,
            }),
        }
    }

    /// Those of the report stream, for a sidecar that has one.
    pub fn reporter(&self) -> tidegate_reporter::Metrics {
        tidegate_reporter::Metrics::new(&self.shared.registry)
    }

    /// A request entered the gate: the depth that Knative shows counts it.
    pub fn admitted(&self, levels: Levels) {
        if let Some(depth) = &self.shared.depth {
            depth.set(levels.inside());
        }
    }

    /// A request was refused.
    pub fn refused(&self, refusal: Refusal) {
        match refusal {
            Refusal::QueueFull => self.shared.own.refused_full.increment(1),
            Refusal::WaitedTooLong => self.shared.own.refused_late.increment(1),
        }
    }

    /// A request was handed on to an activator.
    pub fn handed_on(&self) {
        self.shared.own.handed_on.increment(1);
    }

    /// The sidecar responded itself, or cut a response short.
    pub fn failed(&self, cause: Cause) {
        self.shared.own.failed[cause as usize].increment(1);
    }

    /// A client left before its response was complete.
    pub fn left(&self) {
        self.shared.own.left.increment(1);
    }

    /// The app could not be reached.
    pub fn connect_failed(&self) {
        self.shared.own.connect_failures.increment(1);
    }

    /// A push of these metrics failed; the next one carries what it would have.
    pub fn push_failed(&self) {
        self.shared.own.pushes_failed.increment(1);
    }

    /// An exchange ended.
    pub fn finished(&self, observation: &Observation<'_>) {
        let shared = &self.shared;
        let seconds = observation.latency.as_secs_f64();
        let status =
            if observation.outcome == ExchangeOutcome::Aborted { 500 } else { observation.status };
        shared.invocation(status).record(seconds);
        shared.own.wait.record(observation.wait.as_secs_f64());
        if let Some(service) = observation.service {
            shared.own.service.record(service.as_secs_f64());
        }
        if observation.outcome == ExchangeOutcome::Aborted {
            return;
        }
        let exchanges = shared.exchanges(SeriesKey::of(observation));
        if let Some(folded) = &exchanges.folded {
            folded.increment(1);
        }
        exchanges.duration.record(seconds);
        exchanges.request_size.record(observation.request_bytes as f64);
        exchanges.response_size.record(observation.response_bytes as f64);
        if let Some(service) = observation.service {
            exchanges.client_duration.record(service.as_secs_f64());
            exchanges.client_request_size.record(observation.request_bytes as f64);
        }
    }

    /// Once a second: gauges follow the gate.
    pub fn tick(&self, stats: &PeriodStats, lost: Lost) {
        self.shared.show(stats.levels);
        self.shared.own.record_lost.set(lost.record_rows as f64);
        self.shared.own.log_lost.set(lost.log_lines as f64);
        self.shared.own.spans_dropped.absolute(lost.spans);
    }

    /// Everything as it is now, for an exporter.
    pub fn gather(&self, levels: Levels) -> Vec<Family> {
        self.shared.show(levels);
        self.shared.registry.gather()
    }

    /// The page that Prometheus scrapes.
    pub fn render(&self, levels: Levels) -> String {
        page::render(&self.gather(levels))
    }
}

impl MetricsState {
    /// Gauges follow the gate and the memory budget.
    fn show(&self, levels: Levels) {
        if let Some(depth) = &self.depth {
            depth.set(levels.inside());
        }
        self.own.executing.set(levels.executing);
        self.own.waiting.set(levels.waiting);
        self.own.limit.set(levels.limit.to_wire());
        self.own.abandoned.set(levels.abandoned);
        self.own.abandoned_total.absolute(levels.abandoned_total);
        self.own.front_doors.set(levels.doors);
        self.own.credits_promised.set(levels.promised);
        self.own.credits_spent_total.absolute(levels.honoured_total);
        self.own.credits_void_total.absolute(levels.void_total);
        self.relay.refresh();
    }

    fn invocation(&self, status: u16) -> Histogram {
        self.invocations.lock().get_or_insert(status, |status| {
            let status = status.unwrap_or(0).to_string();
            let labels = vec![Label::new(name::STATUS, status)];
            name::INVOCATION.register_histogram(&self.registry, labels)
        })
    }

    fn exchanges(&self, key: SeriesKey) -> Exchanges {
        self.exchanges.lock().get_or_insert(key, |key| {
            let server = series::server_labels(key);
            let client = series::client_labels(key, self.app_port);
            let histogram = |metric: Metric, labels: &[Label]| {
                metric.register_histogram(&self.registry, labels.to_vec())
            };
            Exchanges {
                duration: histogram(name::SERVER_DURATION, &server),
                request_size: histogram(name::SERVER_REQUEST_SIZE, &server),
                response_size: histogram(name::SERVER_RESPONSE_SIZE, &server),
                client_duration: histogram(name::CLIENT_DURATION, &client),
                client_request_size: histogram(name::CLIENT_REQUEST_SIZE, &client),
                folded: series::is_folded(key).then(|| self.own.folded.clone()),
            }
        })
    }
}

impl Own {
    fn new(registry: &Registry) -> Self {
        let histogram = |metric: Metric| metric.register_histogram(registry, Vec::new());
        let gauge = |metric: Metric| metric.register_gauge(registry, &[]);
        let counter = |metric: Metric| metric.register_counter(registry, &[]);
        let refused = |reason| name::REFUSED.register_counter(registry, &[reason]);
        Self {
            wait: histogram(name::WAIT),
            service: histogram(name::SERVICE),
            executing: gauge(name::EXECUTING),
            waiting: gauge(name::WAITING),
            limit: gauge(name::LIMIT),
            abandoned: gauge(name::ABANDONED),
            abandoned_total: counter(name::ABANDONED_TOTAL),
            front_doors: gauge(name::FRONT_DOORS),
            credits_promised: gauge(name::CREDITS_PROMISED),
            credits_spent_total: counter(name::CREDITS_SPENT_TOTAL),
            credits_void_total: counter(name::CREDITS_VOID_TOTAL),
            failed: Cause::ALL
                .map(|cause| name::FAILED.register_counter(registry, &[cause.label()])),
            left: counter(name::LEFT),
            handed_on: counter(name::HANDED_ON),
            refused_full: refused(Cause::QueueFull.label()),
            refused_late: refused(Cause::WaitedTooLong.label()),
            connect_failures: counter(name::CONNECT_FAILURES),
            pushes_failed: counter(name::PUSHES_FAILED),
            record_lost: gauge(name::RECORD_LOST),
            log_lost: gauge(name::LOG_LOST),
            folded: counter(name::FOLDED),
            spans_dropped: counter(name::SPANS_DROPPED),
        }
    }
}

/// What OpenTelemetry calls the resource, beyond the identity.
#[derive(Debug, Clone)]
pub struct Service {
    /// `service.name`.
    pub name: String,
    /// `service.instance.id` and `k8s.pod.name`.
    pub instance: String,
}

fn target_info(registry: &Registry, identity: &Identity, service: &Service) {
    let labels = [
        ("container_name", "queue-proxy"),
        ("k8s_namespace_name", &identity.namespace),
        ("k8s_pod_name", &service.instance),
        ("kn_configuration_name", &identity.configuration),
        ("kn_revision_name", &identity.revision),
        ("kn_service_name", &identity.service),
        ("service_instance_id", &service.instance),
        ("service_name", &service.name),
        ("service_version", env!("CARGO_PKG_VERSION")),
        ("telemetry_sdk_language", "rust"),
        ("telemetry_sdk_name", "tidegate"),
        ("telemetry_sdk_version", env!("CARGO_PKG_VERSION")),
    ];
    let labels = labels.into_iter().map(|(key, value)| Label::new(key, value.to_owned()));
    name::TARGET_INFO.register_gauge_labelled(registry, labels.collect()).set(1.0);
}

#[cfg(test)]
mod tests;
