//! Every metric of the sidecar itself, and the labels that are the same in many places.

use tidegate_telemetry::{Metric, Scope};

/// The scope of Knative's own instruments.
const QUEUE: Option<Scope> = Some(Scope { name: "knative.dev/serving/pkg/queue", version: "" });
/// The scope of the instruments around HTTP exchanges, in the version whose names and labels these
/// are.
const HTTP: Option<Scope> = Some(Scope {
    name: "go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp",
    version: "0.69.0",
});

/// The status label.
pub(super) const STATUS: &str = "http_response_status_code";
/// Labels of an exchange. Where there are too many kinds of them, `otel_metric_overflow` stands in
/// for what is left out.
const EXCHANGE: &[&str] = &[
    "http_request_method",
    STATUS,
    "kn_route_tag",
    "network_protocol_name",
    "network_protocol_version",
    "server_address",
    "server_port",
    "url_scheme",
    OVERFLOW,
];
/// Set on series that all further exchanges share.
pub(super) const OVERFLOW: &str = "otel_metric_overflow";

/// Latency by status, as Knative counts it.
pub(super) const INVOCATION: Metric =
    Metric::histogram("kn_serving_invocation_duration_seconds", "The duration of task execution.")
        .labelled(&[STATUS])
        .scoped(QUEUE);
/// Requests inside the gate.
pub(super) const DEPTH: Metric =
    Metric::gauge("kn_serving_queue_depth", "Number of current items in the queue proxy queue.")
        .scoped(QUEUE);
/// Latency as clients see it.
pub(super) const SERVER_DURATION: Metric =
    Metric::histogram("http_server_request_duration_seconds", "Duration of HTTP server requests.")
        .labelled(EXCHANGE)
        .scoped(HTTP);
/// Size of request bodies.
pub(super) const SERVER_REQUEST_SIZE: Metric =
    Metric::histogram("http_server_request_body_size_bytes", "Size of HTTP server request bodies.")
        .labelled(EXCHANGE)
        .scoped(HTTP);
/// Size of response bodies.
pub(super) const SERVER_RESPONSE_SIZE: Metric = Metric::histogram(
    "http_server_response_body_size_bytes",
    "Size of HTTP server response bodies.",
)
.labelled(EXCHANGE)
.scoped(HTTP);
/// Latency of the app.
pub(super) const CLIENT_DURATION: Metric =
    Metric::histogram("http_client_request_duration_seconds", "Duration of HTTP client requests.")
        .labelled(EXCHANGE)
        .scoped(HTTP);
/// Size of request bodies towards the app.
pub(super) const CLIENT_REQUEST_SIZE: Metric =
    Metric::histogram("http_client_request_body_size_bytes", "Size of HTTP client request bodies.")
        .labelled(EXCHANGE)
        .scoped(HTTP);
/// Who this is.
pub(super) const TARGET_INFO: Metric = Metric::gauge("target_info", "Target metadata.")
    .labelled(&[
        "container_name",
        "k8s_namespace_name",
        "k8s_pod_name",
        "kn_configuration_name",
        "kn_revision_name",
        "kn_service_name",
        "service_instance_id",
        "service_name",
        "service_version",
        "telemetry_sdk_language",
        "telemetry_sdk_name",
        "telemetry_sdk_version",
    ])
    .scoped(None);
/// Time in the queue.
pub(super) const WAIT: Metric =
    Metric::histogram("tidegate_queue_wait_seconds", "Time requests spent waiting for a slot.");
/// Time in the app.
pub(super) const SERVICE: Metric =
    Metric::histogram("tidegate_app_duration_seconds", "Time requests spent in the app.");
/// Requests that hold a slot.
pub(super) const EXECUTING: Metric =
    Metric::gauge("tidegate_requests_executing", "Requests that hold a slot now.");
/// Requests in the queue.
pub(super) const WAITING: Metric =
    Metric::gauge("tidegate_requests_waiting", "Requests that wait for a slot now.");
/// The concurrency limit; 0 is unlimited.
pub(super) const LIMIT: Metric = Metric::gauge(
    "tidegate_concurrency_limit",
    "Requests that the app takes at a time; 0 is unlimited.",
);
/// Requests whose client has gone, and which hold their slot because the app is not done.
pub(super) const ABANDONED: Metric = Metric::gauge(
    "tidegate_requests_abandoned",
    "Requests whose client has gone, and whose slot the app still needs.",
);
/// Requests whose client went away, or whose time was up, inside the app.
pub(super) const ABANDONED_TOTAL: Metric = Metric::counter(
    "tidegate_requests_abandoned_total",
    "Requests whose client went away or whose time was up inside the app.",
);
/// Activators that may hold credits.
pub(super) const FRONT_DOORS: Metric =
    Metric::gauge("tidegate_front_doors", "Activators with an open stream of credits.");
/// Places that are promised to them.
pub(super) const CREDITS_PROMISED: Metric = Metric::gauge(
    "tidegate_credits_promised",
    "Slots that are kept free for activators: their credits are not spent.",
);
/// Requests with a good credit.
pub(super) const CREDITS_SPENT_TOTAL: Metric = Metric::counter(
    "tidegate_credits_spent_total",
    "Requests that entered with a credit of their activator.",
);
/// Requests with a credit that was not good.
pub(super) const CREDITS_VOID_TOTAL: Metric = Metric::counter(
    "tidegate_credits_void_total",
    "Requests whose credit was not good any more, and which entered or waited like any other.",
);
/// Requests that the sidecar responded to itself, by cause.
pub(super) const FAILED: Metric = Metric::counter(
    "tidegate_requests_failed_total",
    "Requests that were not answered by the app, or whose response was cut short, by cause.",
)
.labelled(&["cause"]);
/// Requests whose clients left before the response was complete.
pub(super) const LEFT: Metric = Metric::counter(
    "tidegate_requests_left_total",
    "Requests whose clients left before the response was complete, in the queue or in the app.",
);
/// Requests that were handed on to an activator.
pub(super) const HANDED_ON: Metric = Metric::counter(
    "tidegate_requests_handed_on_total",
    "Requests that would have waited for long and were handed on to an activator.",
);
/// Requests that were refused, by reason.
pub(super) const REFUSED: Metric =
    Metric::counter("tidegate_requests_refused_total", "Requests that were refused, by reason.")
        .labelled(&["reason"]);
/// Pushes of metrics that a collector did not take.
pub(super) const PUSHES_FAILED: Metric = Metric::counter(
    "tidegate_metrics_pushes_failed_total",
    "Pushes of metrics to a collector that failed.",
);
/// Connections to the app that could not be made.
pub(super) const CONNECT_FAILURES: Metric = Metric::counter(
    "tidegate_app_connect_failures_total",
    "Failed attempts to connect to the app.",
);
/// Rows of the recorded trace that were lost.
pub(super) const RECORD_LOST: Metric = Metric::gauge(
    "tidegate_record_rows_lost",
    "Rows of the recorded trace that could not be written.",
);
/// Lines of the request log that were lost.
pub(super) const LOG_LOST: Metric = Metric::gauge(
    "tidegate_request_log_lines_lost",
    "Lines of the request log that could not be written.",
);
/// Exchanges that were counted under fewer labels than they have.
pub(super) const FOLDED: Metric = Metric::counter(
    "tidegate_metrics_exchanges_folded_total",
    "Exchanges counted without host and route tag, because there were too many kinds of them.",
);
/// Spans that a slow collector cost.
pub(super) const SPANS_DROPPED: Metric = Metric::counter(
    "tidegate_trace_spans_dropped_total",
    "Spans that were dropped because the collector is too slow, or takes none.",
);

/// Every metric of this module.
pub(super) const ALL: &[Metric] = &[
    INVOCATION,
    DEPTH,
    SERVER_DURATION,
    SERVER_REQUEST_SIZE,
    SERVER_RESPONSE_SIZE,
    CLIENT_DURATION,
    CLIENT_REQUEST_SIZE,
    TARGET_INFO,
    WAIT,
    SERVICE,
    EXECUTING,
    WAITING,
    LIMIT,
    ABANDONED,
    ABANDONED_TOTAL,
    FRONT_DOORS,
    CREDITS_PROMISED,
    CREDITS_SPENT_TOTAL,
    CREDITS_VOID_TOTAL,
    FAILED,
    LEFT,
    HANDED_ON,
    REFUSED,
    CONNECT_FAILURES,
    PUSHES_FAILED,
    RECORD_LOST,
    LOG_LOST,
    FOLDED,
    SPANS_DROPPED,
];
