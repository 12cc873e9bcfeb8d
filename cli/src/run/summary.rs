//! The summary of a run, as text and as JSON.

use std::time::Duration;

use serde_json::{Value, json};
use tidegate_activator::{Cause, Outcomes};
use tidegate_local::Status;
use tidegate_words::time::compact;

use crate::terminal::counted;

/// The summary in lines.
pub(super) fn text(status: &Status, up: Duration) -> Vec<String> {
    vec![sentence((status.activator.requests, status.activator.cold_starts), &status.outcomes, up)]
}

/// So many requests, some of which met a cold start, and what became of them.
pub(crate) fn sentence((requests, cold): (u64, u64), outcomes: &Outcomes, up: Duration) -> String {
    let cold = match cold {
        0 => String::new(),
        1 => "; 1 met a cold start".to_owned(),
        count => format!("; {count} met a cold start"),
    };
    let latency = match latency(outcomes).as_str() {
        "" => String::new(),
        latency => format!("; {latency}"),
    };
    format!(
        "{} in {}{cold}; {}{latency}",
        counted(requests, "request"),
        compact(in_words(up)),
        failed(outcomes),
    )
}

/// Whole seconds once there are some, milliseconds before.
fn in_words(time: Duration) -> Duration {
    match time.as_secs() {
        0 => Duration::from_millis(time.subsec_millis().max(1).into()),
        seconds => Duration::from_secs(seconds),
    }
}

/// The median latency and the highest but for one in a hundred; nothing before the first response.
pub(super) fn latency(outcomes: &Outcomes) -> String {
    if outcomes.p99.is_zero() {
        return String::new();
    }
    format!("p50 {}  p99 {}", milliseconds(outcomes.p50), milliseconds(outcomes.p99))
}

/// Whole milliseconds once there are some.
fn milliseconds(duration: Duration) -> String {
    match duration.as_secs_f64() * 1_000.0 {
        ms if ms < 10.0 => format!("{ms:.1} ms"),
        ms => format!("{ms:.0} ms"),
    }
}

/// Failed requests, by cause, in one sentence. Those that their clients left and error statuses of
/// the app itself are not failures of the service, and are listed apart.
fn failed(outcomes: &Outcomes) -> String {
    let causes = causes(outcomes);
    let failed = match causes.as_slice() {
        [] => "failed 0".to_owned(),
        causes => format!("failed {} ({})", outcomes.failures(), causes.join(", ")),
    };
    let apart = no_failures(outcomes).into_iter();
    std::iter::once(failed).chain(apart).collect::<Vec<_>>().join("  ")
}

/// The same in figures that may stand on lines of their own.
pub(super) fn failures(outcomes: &Outcomes) -> Vec<String> {
    let mut figures = vec![format!("failed {}", outcomes.failures())];
    figures.extend(causes(outcomes));
    figures.extend(no_failures(outcomes));
    figures
}

/// What ended otherwise than with a success, and yet is no failure of the service.
fn no_failures(outcomes: &Outcomes) -> Vec<String> {
    let counts =
        [("left by clients", outcomes.left), ("5xx of the app's own", outcomes.app_errors)];
    let counted = counts.into_iter().filter(|(_, count)| *count > 0);
    counted.map(|(name, count)| format!("{name} {count}")).collect()
}

fn causes(outcomes: &Outcomes) -> Vec<String> {
    let of = |((status, cause), count): (&(u16, Cause), &u64)| format!("{status} {cause}: {count}");
    outcomes.failed.iter().map(of).collect()
}

/// The summary for machines: counts, and latencies in milliseconds.
pub(super) fn json(status: &Status, up: Duration) -> Value {
    let Status { activator, outcomes, revision, .. } = status;
    let mut figures = figures((activator.requests, activator.cold_starts), outcomes, up);
    if let Value::Object(fields) = &mut figures {
        fields.insert("service".to_owned(), json!(revision.revision.name()));
    }
    figures
}

/// What became of so many requests, for machines.
pub(crate) fn figures((requests, cold): (u64, u64), outcomes: &Outcomes, up: Duration) -> Value {
    let ms = |duration: Duration| (duration.as_secs_f64() * 1e6).round() / 1e3;
    json!({
        "seconds": (up.as_secs_f64() * 1e3).round() / 1e3,
        "requests": requests,
        "cold_starts": cold,
        "failed": outcomes.failures(),
        "failed_by_cause": outcomes.failed.iter().map(|((status, cause), count)| json!({
            "status": status,
            "cause": cause.to_string(),
            "count": count,
        })).collect::<Vec<_>>(),
        "left": outcomes.left,
        "app_errors": outcomes.app_errors,
        "latency_ms": { "p50": ms(outcomes.p50), "p99": ms(outcomes.p99) },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_run_took_some_time() {
        let told = |ms| compact(in_words(Duration::from_millis(ms)));
        assert_eq!(
            [told(0), told(312), told(1_900), told(90_400)],
            ["1ms", "312ms", "1s", "1m30s"]
        );
    }

    #[test]
    fn every_failure_is_shown_with_its_cause() {
        let mut outcomes = Outcomes::default();
        assert_eq!(failed(&outcomes), "failed 0");
        outcomes.failed.insert((502, Cause::AppDied), 3);
        outcomes.failed.insert((503, Cause::QueueFull), 1);
        outcomes.app_errors = 2;
        outcomes.left = 5;
        assert_eq!(
            failed(&outcomes),
            "failed 4 (502 app died: 3, 503 queue full: 1)  left by clients 5  \
             5xx of the app's own 2"
        );
        assert_eq!(failures(&outcomes).len(), 5);
    }
}
