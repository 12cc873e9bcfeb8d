//! A sidecar as a process: every port a free one, and metrics on.

use std::process::Command;

/// Runs the sidecar of the instance `web-1` of `default/web`, with the app at `app`.
pub(crate) fn sidecar_command(app: u16) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.arg("queue-proxy").env("USER_PORT", app.to_string()).envs([
        ("QUEUE_SERVING_PORT", "0"),
        ("QUEUE_SERVING_TLS_PORT", "0"),
        ("REVISION_TIMEOUT_SECONDS", "300"),
        ("SERVING_LOGGING_CONFIG", ""),
        ("SERVING_LOGGING_LEVEL", ""),
        ("SERVING_NAMESPACE", "default"),
        ("SERVING_CONFIGURATION", "web"),
        ("SERVING_REVISION", "web"),
        ("SERVING_POD", "web-1"),
        ("SERVING_POD_IP", "127.0.0.1"),
        ("TIDEGATE_LISTEN_HOST", "127.0.0.1"),
        ("TIDEGATE_ADMIN_PORT", "0"),
        ("TIDEGATE_STATS_PORT", "0"),
        ("TIDEGATE_METRICS_PORT", "0"),
        ("OBSERVABILITY_CONFIG", r#"{"requestMetrics":{"protocol":"prometheus"}}"#),
    ]);
    command
}
