//! Request metrics for Prometheus, by the names, labels and buckets that Knative's dashboards use,
//! and some that answer what its users ask for: where the time went, who was refused and why.
//!
//! Nothing here exists unless the configuration asks for it. Label values that clients choose are
//! bounded in number and length.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Version};
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{
    BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
use parking_lot::Mutex;
use tidegate_admission::Refusal;

use crate::gate::{Cut, Levels};
use crate::settings::Identity;

mod names;
mod process;
mod series;

use names as name;
use series::{SeriesCache, SeriesKey, StatusCache};

/// The scope of Knative's own instruments.
const SCOPE_QUEUE: &str = "knative.dev/serving/pkg/queue";
/// The scope of the instruments around HTTP exchanges.
const SCOPE_HTTP: &str = "go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp";
/// The version of that scope whose names and labels these are.
const SCOPE_HTTP_VERSION: &str = "0.69.0";
/// The scope of what Knative does not have.
const SCOPE_OURS: &str = "tidegate";

/// Bounds of durations in seconds, OpenTelemetry's for HTTP.
const SECONDS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
/// Bounds of sizes, OpenTelemetry's default.
const BYTES: [f64; 15] = [
    0.0, 5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 250.0, 500.0, 750.0, 1000.0, 2500.0, 5000.0, 7500.0,
    10000.0,
];

/// The longest page: two budgets of series, the statuses, and some for what is there once.
pub const PAGE_BYTES: usize = 3 << 20;

/// The metrics of this process. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    shared: Arc<Shared>,
}

struct Shared {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
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
    refused_full: Counter,
    refused_late: Counter,
    connect_failures: Counter,
    record_lost: Gauge,
    memory_charged: Gauge,
    memory_budget: Gauge,
    memory_refused: Counter,
    log_lost: Gauge,
}

/// What could not be written so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct Lost {
    /// Rows of the recording.
    pub record_rows: u64,
    /// Lines of the request log.
    pub log_lines: u64,
}

/// Whether the gauge of the line exists: as in Knative it is absent without a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DepthGauge {
    /// It exists.
    Shown,
    /// There is no line.
    Absent,
}

/// One finished exchange.
#[derive(Debug, Clone)]
pub struct Observation<'a> {
    /// The method.
    pub method: &'a Method,
    /// The client's protocol.
    pub version: Version,
    /// The host that the client asked for, with a port if it named one.
    pub host: &'a str,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// The value of `kn.route.tag`.
    pub tag: &'a str,
    /// What the client was told; 500 when it was cut off.
    pub status: u16,
    /// Body bytes towards the app.
    pub request_bytes: u64,
    /// Body bytes towards the client.
    pub response_bytes: u64,
    /// From arrival to the end.
    pub latency: Duration,
    /// In line.
    pub wait: Duration,
    /// In the app; `None` when it never got there.
    pub service: Option<Duration>,
    /// Whether the message was cut off.
    pub ending: Ending,
}

/// How an exchange ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Ending {
    /// With a whole response.
    #[default]
    Whole,
    /// Cut off; Knative's HTTP metrics know nothing of it.
    Aborted,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

// === impl Metrics ===

impl Metrics {
    /// Registers everything that exists from the start.
    ///
    /// # Errors
    ///
    /// Never in practice: the bounds of the buckets are constants.
    pub fn new(
        identity: &Identity,
        service: &Service,
        app_port: u16,
        depth: DepthGauge,
    ) -> Result<Self, BuildError> {
        let recorder = recorder()?;
        let queue = scope(SCOPE_QUEUE, "");
        let depth = match depth {
            DepthGauge::Shown => Some(gauge(&recorder, name::DEPTH, queue)),
            DepthGauge::Absent => None,
        };
        if let Some(depth) = &depth {
            depth.set(0.0);
        }
        target_info(&recorder, identity, service);
        let own = Own::new(&recorder);
        let handle = recorder.handle();
        Ok(Self {
            shared: Arc::new(Shared {
                recorder,
                handle,
                app_port,
                invocations: Mutex::new(StatusCache::default()),
                exchanges: Mutex::new(SeriesCache::default()),
                depth,
                own,
            }),
        })
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
            Refusal::LineFull => self.shared.own.refused_full.increment(1),
            Refusal::WaitedTooLong => self.shared.own.refused_late.increment(1),
        }
    }

    /// The app could not be reached.
    pub fn connect_failed(&self) {
        self.shared.own.connect_failures.increment(1);
    }

    /// An exchange ended.
    pub fn finished(&self, observation: &Observation<'_>) {
        let shared = &self.shared;
        let seconds = observation.latency.as_secs_f64();
        let status = if observation.ending == Ending::Aborted { 500 } else { observation.status };
        shared.invocation(status).record(seconds);
        shared.own.wait.record(observation.wait.as_secs_f64());
        if let Some(service) = observation.service {
            shared.own.service.record(service.as_secs_f64());
        }
        if observation.ending == Ending::Aborted {
            return;
        }
        let exchanges = shared.exchanges(SeriesKey::of(observation));
        exchanges.duration.record(seconds);
        exchanges.request_size.record(observation.request_bytes as f64);
        exchanges.response_size.record(observation.response_bytes as f64);
        if let Some(service) = observation.service {
            exchanges.client_duration.record(service.as_secs_f64());
            exchanges.client_request_size.record(observation.request_bytes as f64);
        }
    }

    /// Once a second: gauges follow the gate, and samples are folded into buckets so that they do
    /// not pile up between two scrapes.
    pub fn tick(&self, cut: &Cut, lost: Lost) {
        self.shared.show(cut.levels);
        self.shared.own.record_lost.set(lost.record_rows as f64);
        self.shared.own.log_lost.set(lost.log_lines as f64);
        self.shared.handle.run_upkeep();
    }

    /// The page that Prometheus scrapes.
    pub fn render(&self, levels: Levels) -> String {
        self.shared.show(levels);
        let mut page = self.shared.handle.render();
        process::append(&mut page);
        page
    }
}

// === impl Shared ===

impl Shared {
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
        let memory = tidegate_relay::memory::usage();
        self.own.memory_charged.set(memory.charged_bytes as f64);
        self.own.memory_budget.set(memory.budget_bytes as f64);
        self.own.memory_refused.absolute(memory.refusals);
    }

    fn invocation(&self, status: u16) -> Histogram {
        self.invocations.lock().get_or_insert(status, |status| {
            let mut labels = scope(SCOPE_QUEUE, "");
            let status = status.unwrap_or(0).to_string();
            labels.push(Label::new(name::STATUS, status));
            histogram(&self.recorder, name::INVOCATION, labels)
        })
    }

    fn exchanges(&self, key: SeriesKey) -> Exchanges {
        self.exchanges.lock().get_or_insert(key, |key| {
            let server = series::server_labels(key);
            let client = series::client_labels(key, self.app_port);
            let histogram = |name, labels: &[Label]| {
                let mut all = scope(SCOPE_HTTP, SCOPE_HTTP_VERSION);
                all.extend_from_slice(labels);
                histogram(&self.recorder, name, all)
            };
            Exchanges {
                duration: histogram(name::SERVER_DURATION, &server),
                request_size: histogram(name::SERVER_REQUEST_SIZE, &server),
                response_size: histogram(name::SERVER_RESPONSE_SIZE, &server),
                client_duration: histogram(name::CLIENT_DURATION, &client),
                client_request_size: histogram(name::CLIENT_REQUEST_SIZE, &client),
            }
        })
    }
}

// === impl Own ===

impl Own {
    fn new(recorder: &PrometheusRecorder) -> Self {
        let ours = || scope(SCOPE_OURS, env!("CARGO_PKG_VERSION"));
        let refused = |reason: &'static str| {
            let mut labels = ours();
            labels.push(Label::new("reason", reason));
            counter(recorder, name::REFUSED, labels)
        };
        Self {
            wait: histogram(recorder, name::WAIT, ours()),
            service: histogram(recorder, name::SERVICE, ours()),
            executing: gauge(recorder, name::EXECUTING, ours()),
            waiting: gauge(recorder, name::WAITING, ours()),
            limit: gauge(recorder, name::LIMIT, ours()),
            abandoned: gauge(recorder, name::ABANDONED, ours()),
            abandoned_total: counter(recorder, name::ABANDONED_TOTAL, ours()),
            refused_full: refused("line_full"),
            refused_late: refused("waited_too_long"),
            connect_failures: counter(recorder, name::CONNECT_FAILURES, ours()),
            record_lost: gauge(recorder, name::RECORD_LOST, ours()),
            log_lost: gauge(recorder, name::LOG_LOST, ours()),
            memory_charged: gauge(recorder, name::MEMORY_CHARGED, ours()),
            memory_budget: gauge(recorder, name::MEMORY_BUDGET, ours()),
            memory_refused: counter(recorder, name::MEMORY_REFUSED, ours()),
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

fn recorder() -> Result<PrometheusRecorder, BuildError> {
    let mut builder = PrometheusBuilder::new();
    for (name, bounds) in [
        (name::INVOCATION, &SECONDS[..]),
        (name::SERVER_DURATION, &SECONDS[..]),
        (name::CLIENT_DURATION, &SECONDS[..]),
        (name::WAIT, &SECONDS[..]),
        (name::SERVICE, &SECONDS[..]),
        (name::SERVER_REQUEST_SIZE, &BYTES[..]),
        (name::SERVER_RESPONSE_SIZE, &BYTES[..]),
        (name::CLIENT_REQUEST_SIZE, &BYTES[..]),
    ] {
        builder = builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), bounds)?;
    }
    let recorder = builder.build_recorder();
    for (name, help) in name::HELP {
        let name = KeyName::from_const_str(name);
        recorder.describe_histogram(name, None, (*help).into());
    }
    Ok(recorder)
}

fn scope(name: &'static str, version: &'static str) -> Vec<Label> {
    vec![
        Label::from_static_parts("otel_scope_name", name),
        Label::from_static_parts("otel_scope_schema_url", ""),
        Label::from_static_parts("otel_scope_version", version),
    ]
}

const METADATA: Metadata<'static> = Metadata::new("tidegate", Level::INFO, None);

fn histogram(recorder: &PrometheusRecorder, name: &'static str, labels: Vec<Label>) -> Histogram {
    recorder.register_histogram(&Key::from_parts(name, labels), &METADATA)
}

fn gauge(recorder: &PrometheusRecorder, name: &'static str, labels: Vec<Label>) -> Gauge {
    recorder.register_gauge(&Key::from_parts(name, labels), &METADATA)
}

fn counter(recorder: &PrometheusRecorder, name: &'static str, labels: Vec<Label>) -> Counter {
    recorder.register_counter(&Key::from_parts(name, labels), &METADATA)
}

fn target_info(recorder: &PrometheusRecorder, identity: &Identity, service: &Service) {
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
    gauge(recorder, name::TARGET_INFO, labels.collect()).set(1.0);
}

/// Appends one line of the text format.
fn push_sample(page: &mut String, name: &str, kind: &str, value: f64) {
    // Writing to a string cannot fail.
    write!(page, "# TYPE {name} {kind}\n{name} {value}\n\n").ok();
}

#[cfg(test)]
mod tests;
