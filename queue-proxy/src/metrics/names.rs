//! Names on the wire.

/// Latency by status, as Knative counts it.
pub(super) const INVOCATION: &str = "kn_serving_invocation_duration_seconds";
/// Requests inside the gate.
pub(super) const DEPTH: &str = "kn_serving_queue_depth";
/// Latency as clients see it.
pub(super) const SERVER_DURATION: &str = "http_server_request_duration_seconds";
/// Size of request bodies.
pub(super) const SERVER_REQUEST_SIZE: &str = "http_server_request_body_size_bytes";
/// Size of response bodies.
pub(super) const SERVER_RESPONSE_SIZE: &str = "http_server_response_body_size_bytes";
/// Latency of the app.
pub(super) const CLIENT_DURATION: &str = "http_client_request_duration_seconds";
/// Size of request bodies towards the app.
pub(super) const CLIENT_REQUEST_SIZE: &str = "http_client_request_body_size_bytes";
/// Who this is.
pub(super) const TARGET_INFO: &str = "target_info";
/// Time in line.
pub(super) const WAIT: &str = "tidegate_queue_wait_seconds";
/// Time in the app.
pub(super) const SERVICE: &str = "tidegate_app_duration_seconds";
/// Requests that hold a slot.
pub(super) const EXECUTING: &str = "tidegate_requests_executing";
/// Requests in line.
pub(super) const WAITING: &str = "tidegate_requests_waiting";
/// The concurrency limit; 0 is unlimited.
pub(super) const LIMIT: &str = "tidegate_concurrency_limit";
/// Requests whose client has gone, and which hold their slot because the app is not done.
pub(super) const ABANDONED: &str = "tidegate_requests_abandoned";
/// Requests whose client went away, or whose time was up, inside the app.
pub(super) const ABANDONED_TOTAL: &str = "tidegate_requests_abandoned_total";
/// Requests that were refused, by reason.
pub(super) const REFUSED: &str = "tidegate_requests_refused_total";
/// Connections to the app that could not be made.
pub(super) const CONNECT_FAILURES: &str = "tidegate_app_connect_failures_total";
/// Rows of the recorded trace that were lost.
pub(super) const RECORD_LOST: &str = "tidegate_record_rows_lost";
/// Lines of the request log that were lost.
pub(super) const LOG_LOST: &str = "tidegate_request_log_lines_lost";

/// What peers make us hold in memory.
pub(super) const MEMORY_CHARGED: &str = "tidegate_memory_charged_bytes";
/// The most of it.
pub(super) const MEMORY_BUDGET: &str = "tidegate_memory_budget_bytes";
/// Work that was refused for want of memory.
pub(super) const MEMORY_REFUSED: &str = "tidegate_memory_refusals_total";

/// The status label.
pub(super) const STATUS: &str = "http_response_status_code";

/// What each metric means.
pub(super) const HELP: &[(&str, &str)] = &[
    (INVOCATION, "The duration of task execution."),
    (DEPTH, "Number of current items in the queue proxy queue."),
    (SERVER_DURATION, "Duration of HTTP server requests."),
    (SERVER_REQUEST_SIZE, "Size of HTTP server request bodies."),
    (SERVER_RESPONSE_SIZE, "Size of HTTP server response bodies."),
    (CLIENT_DURATION, "Duration of HTTP client requests."),
    (CLIENT_REQUEST_SIZE, "Size of HTTP client request bodies."),
    (TARGET_INFO, "Target metadata."),
    (WAIT, "Time requests spent waiting for a slot."),
    (SERVICE, "Time requests spent in the app."),
    (EXECUTING, "Requests that hold a slot now."),
    (WAITING, "Requests that wait for a slot now."),
    (LIMIT, "Requests that the app takes at a time; 0 is unlimited."),
    (ABANDONED, "Requests whose client has gone, and whose slot the app still needs."),
    (ABANDONED_TOTAL, "Requests whose client went away or whose time was up inside the app."),
    (REFUSED, "Requests that were refused, by reason."),
    (CONNECT_FAILURES, "Failed attempts to connect to the app."),
    (RECORD_LOST, "Rows of the recorded trace that could not be written."),
    (LOG_LOST, "Lines of the request log that could not be written."),
    (MEMORY_CHARGED, "Bytes that clients and the app make the sidecar hold now."),
    (MEMORY_BUDGET, "The most bytes that they can make it hold."),
    (MEMORY_REFUSED, "Requests, streams and connections refused because the budget was used up."),
];
