//! Every environment variable that the sidecar reads: Knative's, and Tidegate's own, which begin
//! with `TIDEGATE_`. `docs/queue-proxy.md` lists the same names; a test keeps the two equal.

/// A variable, and its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// Its documentation in this file.
    documentation: &'static str,
}

impl Variable {
    /// Its meaning, for a terminal.
    pub fn meaning(&self) -> String {
        let plain = self.documentation.replace("[`", "").replace("`]", "").replace('`', "");
        plain.trim().trim_end_matches(" Required.").trim_end_matches('.').to_owned()
    }

    /// Whether the sidecar cannot start without it; it may be empty all the same.
    pub fn is_required(&self) -> bool {
        self.documentation.ends_with("Required.")
    }

    /// Whether it is Tidegate's own, and unknown to Knative.
    pub fn is_ours(&self) -> bool {
        self.name.starts_with("TIDEGATE_")
    }
}

macro_rules! keys {
    ($($(#[doc = $doc:literal])+ $name:ident = $value:literal;)+) => {
        $($(#[doc = $doc])+ pub const $name: &str = $value;)+

        /// All names above with their meaning, in order: the table that the help is made of.
        pub const ALL: &[Variable] =
            &[$(Variable { name: $name, documentation: concat!($($doc),+) }),+];
    };
}

keys! {
    /// Requests that the app takes at a time; less than 1 is unlimited. Required.
    CONTAINER_CONCURRENCY = "CONTAINER_CONCURRENCY";
    /// Port of the main listener, plain text; empty picks a free one. Required.
    QUEUE_SERVING_PORT = "QUEUE_SERVING_PORT";
    /// Port of the main listener over TLS, used when certificates are mounted. Required.
    QUEUE_SERVING_TLS_PORT = "QUEUE_SERVING_TLS_PORT";
    /// Port of the app on 127.0.0.1. Required.
    USER_PORT = "USER_PORT";
    /// Longest time of one request in seconds; 0 is unlimited. Required.
    REVISION_TIMEOUT_SECONDS = "REVISION_TIMEOUT_SECONDS";
    /// Longest time until the response starts in seconds; 0 is unlimited.
    REVISION_RESPONSE_START_TIMEOUT_SECONDS = "REVISION_RESPONSE_START_TIMEOUT_SECONDS";
    /// Longest gap between bytes of an exchange in seconds; 0 is unlimited.
    REVISION_IDLE_TIMEOUT_SECONDS = "REVISION_IDLE_TIMEOUT_SECONDS";
    /// Kubernetes probe as JSON, or an array of them with [`ENABLE_MULTI_CONTAINER_PROBES`].
    SERVING_READINESS_PROBE = "SERVING_READINESS_PROBE";
    /// Accepted for compatibility: exchanges are always full duplex.
    ENABLE_HTTP_FULL_DUPLEX = "ENABLE_HTTP_FULL_DUPLEX";
    /// Try HTTP/2 first in readiness probes.
    ENABLE_HTTP2_AUTO_DETECTION = "ENABLE_HTTP2_AUTO_DETECTION";
    /// [`SERVING_READINESS_PROBE`] is an array.
    ENABLE_MULTI_CONTAINER_PROBES = "ENABLE_MULTI_CONTAINER_PROBES";
    /// Logger configuration as JSON; its `level` is used, the rest is ignored. Required.
    SERVING_LOGGING_CONFIG = "SERVING_LOGGING_CONFIG";
    /// Lowest level that is logged: debug, info, warn, error. Required.
    SERVING_LOGGING_LEVEL = "SERVING_LOGGING_LEVEL";
    /// Namespace of the revision. Required.
    SERVING_NAMESPACE = "SERVING_NAMESPACE";
    /// Configuration that made the revision. Required.
    SERVING_CONFIGURATION = "SERVING_CONFIGURATION";
    /// Name of the revision. Required.
    SERVING_REVISION = "SERVING_REVISION";
    /// Name of this pod. Required.
    SERVING_POD = "SERVING_POD";
    /// Address of this pod. Required.
    SERVING_POD_IP = "SERVING_POD_IP";
    /// Service that owns the revision.
    SERVING_SERVICE = "SERVING_SERVICE";
    /// Metrics, tracing and request log as JSON.
    OBSERVABILITY_CONFIG = "OBSERVABILITY_CONFIG";
    /// Lowest TLS version of the main listener: 1.2 or 1.3.
    QUEUE_PROXY_TLS_MIN_VERSION = "QUEUE_PROXY_TLS_MIN_VERSION";
    /// Highest TLS version of the main listener: 1.2 or 1.3.
    QUEUE_PROXY_TLS_MAX_VERSION = "QUEUE_PROXY_TLS_MAX_VERSION";
    /// Cipher suites of the main listener, comma separated, by their IANA names.
    QUEUE_PROXY_TLS_CIPHER_SUITES = "QUEUE_PROXY_TLS_CIPHER_SUITES";
    /// Key exchange groups of the main listener, comma separated.
    QUEUE_PROXY_TLS_CURVE_PREFERENCES = "QUEUE_PROXY_TLS_CURVE_PREFERENCES";
    /// Host of the metrics listener.
    METRICS_PROMETHEUS_HOST = "METRICS_PROMETHEUS_HOST";
    /// Port of the metrics listener, 1024 to 65535.
    METRICS_PROMETHEUS_PORT = "METRICS_PROMETHEUS_PORT";
    /// Name of this pod in metrics and traces.
    POD_NAME = "POD_NAME";
    /// Name of this host, when [`POD_NAME`] is absent.
    HOSTNAME = "HOSTNAME";
    /// Name of this service in metrics and traces.
    OTEL_SERVICE_NAME = "OTEL_SERVICE_NAME";
    /// OTLP endpoint that replaces those of the configuration.
    OTEL_EXPORTER_OTLP_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT";
    /// OTLP endpoint for metrics.
    OTEL_EXPORTER_OTLP_METRICS_ENDPOINT = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT";
    /// OTLP endpoint for traces.
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
    /// OpenTelemetry's sampler, such as `parentbased_traceidratio`.
    OTEL_TRACES_SAMPLER = "OTEL_TRACES_SAMPLER";
    /// Argument of [`OTEL_TRACES_SAMPLER`].
    OTEL_TRACES_SAMPLER_ARG = "OTEL_TRACES_SAMPLER_ARG";
    /// Milliseconds between exports of metrics.
    OTEL_METRIC_EXPORT_INTERVAL = "OTEL_METRIC_EXPORT_INTERVAL";
    /// Controller that receives reports, `host:port`, or all its shards with semicolons between;
    /// absent means no report stream.
    TIDEGATE_CONTROLLER = "TIDEGATE_CONTROLLER";
    /// Secret that is presented to the controller.
    TIDEGATE_SECRET = "TIDEGATE_SECRET";
    /// File with that secret; it wins over [`TIDEGATE_SECRET`].
    TIDEGATE_SECRET_FILE = "TIDEGATE_SECRET_FILE";
    /// Certificate authority of the controller's certificate, PEM; setting it enables TLS.
    TIDEGATE_CONTROLLER_CA = "TIDEGATE_CONTROLLER_CA";
    /// Certificate to present to the controller, PEM.
    TIDEGATE_CONTROLLER_CERT = "TIDEGATE_CONTROLLER_CERT";
    /// Key of [`TIDEGATE_CONTROLLER_CERT`], PEM.
    TIDEGATE_CONTROLLER_KEY = "TIDEGATE_CONTROLLER_KEY";
    /// Name under which this instance reports; the pod name when absent.
    TIDEGATE_INSTANCE = "TIDEGATE_INSTANCE";
    /// Address at which this instance takes traffic, `host:port`.
    TIDEGATE_ADDRESS = "TIDEGATE_ADDRESS";
    /// Address that listeners bind; all interfaces when absent.
    TIDEGATE_LISTEN_HOST = "TIDEGATE_LISTEN_HOST";
    /// Port of `/wait-for-drain`, or `off`.
    TIDEGATE_ADMIN_PORT = "TIDEGATE_ADMIN_PORT";
    /// Port of the statistics in protobuf, or `off`.
    TIDEGATE_STATS_PORT = "TIDEGATE_STATS_PORT";
    /// Port of the Prometheus metrics, or `off`.
    TIDEGATE_METRICS_PORT = "TIDEGATE_METRICS_PORT";
    /// Directory of `tls.crt` and `tls.key`.
    TIDEGATE_CERTIFICATE_DIRECTORY = "TIDEGATE_CERTIFICATE_DIRECTORY";
    /// Milliseconds between two checks of the certificate files.
    TIDEGATE_CERTIFICATE_POLL_MS = "TIDEGATE_CERTIFICATE_POLL_MS";
    /// `auto` adapts the concurrency limit to the latency of the app.
    TIDEGATE_CONCURRENCY = "TIDEGATE_CONCURRENCY";
    /// Requests that may wait beyond the limit.
    TIDEGATE_QUEUE_DEPTH = "TIDEGATE_QUEUE_DEPTH";
    /// Longest time in the queue, in milliseconds.
    TIDEGATE_QUEUE_TIMEOUT_MS = "TIDEGATE_QUEUE_TIMEOUT_MS";
    /// Status of a refusal: 503, as Knative's, or 429.
    TIDEGATE_REFUSAL_STATUS = "TIDEGATE_REFUSAL_STATUS";
    /// Seconds announced in `Retry-After` of a refusal.
    TIDEGATE_RETRY_AFTER_SECONDS = "TIDEGATE_RETRY_AFTER_SECONDS";
    /// Whether the slot of a request whose client has gone is kept: `hold` or `release`.
    TIDEGATE_ABANDONED = "TIDEGATE_ABANDONED";
    /// Longest time in milliseconds that such a slot is held.
    TIDEGATE_ABANDONED_TIMEOUT_MS = "TIDEGATE_ABANDONED_TIMEOUT_MS";
    /// Ports of the app that carry no HTTP, comma separated: their connections count as requests.
    TIDEGATE_TCP_PORTS = "TIDEGATE_TCP_PORTS";
    /// What the app speaks: `http`, or `tcp` for anything else, whose connections are requests.
    TIDEGATE_APP_PROTOCOL = "TIDEGATE_APP_PROTOCOL";
    /// Milliseconds without a new request that end a drain.
    TIDEGATE_QUIET_PERIOD_MS = "TIDEGATE_QUIET_PERIOD_MS";
    /// Milliseconds that work in flight may take after the drain began.
    TIDEGATE_GRACE_PERIOD_MS = "TIDEGATE_GRACE_PERIOD_MS";
    /// Milliseconds after which a drain without a signal is undone.
    TIDEGATE_DRAIN_RESET_MS = "TIDEGATE_DRAIN_RESET_MS";
    /// Milliseconds in which a request's head must arrive.
    TIDEGATE_HEADER_TIMEOUT_MS = "TIDEGATE_HEADER_TIMEOUT_MS";
    /// Milliseconds that a response or a connection may last once it has begun.
    TIDEGATE_STREAM_LIFETIME_MS = "TIDEGATE_STREAM_LIFETIME_MS";
    /// Milliseconds in which nothing may move on one.
    TIDEGATE_STREAM_IDLE_MS = "TIDEGATE_STREAM_IDLE_MS";
    /// Milliseconds between the sidecar's own readiness probes while the app is not ready.
    TIDEGATE_READY_POLL_MS = "TIDEGATE_READY_POLL_MS";
    /// File that gets one row for each request, for the simulator.
    TIDEGATE_RECORD = "TIDEGATE_RECORD";
    /// `json` writes one line of JSON for each request, without any other configuration.
    TIDEGATE_REQUEST_LOG = "TIDEGATE_REQUEST_LOG";
    /// What to log, such as `warn,tidegate_relay=debug`; wins over Knative's level.
    TIDEGATE_LOG = "TIDEGATE_LOG";
    /// How much of a query the request log and traces show: masked, full or none.
    TIDEGATE_LOG_QUERY = "TIDEGATE_LOG_QUERY";
    /// Further parameters whose values are masked, comma separated; `*` is all of them.
    TIDEGATE_LOG_QUERY_NAMES = "TIDEGATE_LOG_QUERY_NAMES";
    /// Secret that activators and sidecars share: errors of the sidecar's own in response to a
    /// request that carries it name their cause for that activator, which may also hold credits.
    TIDEGATE_FRONT_DOOR = "TIDEGATE_FRONT_DOOR";
    /// `true` tells clients in the header `tidegate-error` why the sidecar responds itself.
    TIDEGATE_CAUSE_HEADER = "TIDEGATE_CAUSE_HEADER";
    /// Threads that carry requests.
    TIDEGATE_DATA_THREADS = "TIDEGATE_DATA_THREADS";
    /// Bytes that clients and the app can make the sidecar hold at a time, such as `64Mi`.
    TIDEGATE_MEMORY_BUDGET = "TIDEGATE_MEMORY_BUDGET";
}
