//! Decisions and states as text and as JSON.

use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};
use tidegate_proto::scale::v1::{Decision, RevisionStatus};

/// One decision in words: when, which revision, what and why.
pub fn decision(decision: &Decision) -> String {
    let Decision { namespace, name, desired, reason, .. } = decision;
    let time = time(decision.unix_ms);
    format!("{time}  {namespace}/{name}  {desired}  {reason}")
}

/// One decision with every number that went in.
pub fn decision_json(decision: &Decision) -> String {
    let explanation: Value =
        serde_json::from_str(&decision.explanation_json).unwrap_or(Value::Null);
    json!({
        "namespace": decision.namespace,
        "name": decision.name,
        "unix_ms": decision.unix_ms,
        "desired": decision.desired,
        "excess_burst_capacity": decision.excess_burst_capacity,
        "reason": decision.reason,
        "explanation": explanation,
    })
    .to_string()
}

/// A revision's state, and its decisions in their order, a line each.
pub fn history(status: &RevisionStatus, decisions: &[Decision]) -> Vec<String> {
    let mut lines = vec![summary(status)];
    if decisions.is_empty() {
        lines.push("Nothing has been decided yet.".to_owned());
    }
    lines.extend(decisions.iter().map(decision));
    lines
}

/// A revision's state, in one line.
pub fn summary(status: &RevisionStatus) -> String {
    let RevisionStatus { namespace, name, ready, starting, draining, .. } = status;
    let panic = if status.in_panic { ", in panic" } else { "" };
    format!(
        "{namespace}/{name}: {ready} ready, {starting} not ready, {draining} draining; wanted \
         {}{}; {} in flight, {} of them waiting",
        wanted(status.desired),
        panic,
        status.in_flight,
        status.waiting.min(status.in_flight)
    )
}

/// A revision's state, as JSON.
pub fn status_json(status: &RevisionStatus) -> String {
    json!({
        "namespace": status.namespace,
        "name": status.name,
        "desired": status.desired,
        "ready": status.ready,
        "starting": status.starting,
        "draining": status.draining,
        "in_panic": status.in_panic,
        "stable_concurrency": status.stable_concurrency,
        "panic_concurrency": status.panic_concurrency,
        "waiting": status.waiting,
        "in_flight": status.in_flight,
        "last_reason": status.last_reason,
    })
    .to_string()
}

/// All revisions, a line each, in columns.
pub fn table(statuses: &[RevisionStatus]) -> Vec<String> {
    if statuses.is_empty() {
        return vec!["The controller knows no revision yet.".to_owned()];
    }
    let names: Vec<String> =
        statuses.iter().map(|status| format!("{}/{}", status.namespace, status.name)).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max(8);
    let heading = format!("{:width$}  WANTED  READY  IN FLIGHT  WAITING  WHY", "REVISION");
    let rows = names.iter().zip(statuses).map(|(name, status)| {
        let RevisionStatus { ready, in_flight, waiting, last_reason, .. } = status;
        let wanted = wanted(status.desired);
        format!(
            "{name:width$}  {wanted:>6}  {ready:>5}  {in_flight:>9}  {waiting:>7}  {last_reason}"
        )
    });
    std::iter::once(heading).chain(rows).collect()
}

fn wanted(desired: i32) -> String {
    if desired < 0 { "?".to_owned() } else { desired.to_string() }
}

/// A point in time as RFC 3339 with milliseconds; what lies before 1970 is shown as 1970.
fn time(unix_ms: i64) -> String {
    let since = Duration::from_millis(u64::try_from(unix_ms).unwrap_or(0));
    match UNIX_EPOCH.checked_add(since) {
        Some(time) if since < MAX_SHOWN => humantime::format_rfc3339_millis(time).to_string(),
        _ => format!("{unix_ms} ms"),
    }
}

/// The last year that can be written with four digits, and then some to spare.
const MAX_SHOWN: Duration = Duration::from_secs(250_000_000_000);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decisions_are_printed_with_their_time() {
        let made = Decision {
            namespace: "local".into(),
            name: "web".into(),
            unix_ms: 1_700_000_000_123,
            desired: 3,
            excess_burst_capacity: -11,
            reason: "3 instances: because.".into(),
            explanation_json: r#"{"at": 1}"#.into(),
        };
        assert_eq!(
            decision(&made),
            "2023-11-14T22:13:20.123Z  local/web  3  3 instances: because."
        );
        let json: Value = serde_json::from_str(&decision_json(&made)).unwrap_or_default();
        assert_eq!(json["explanation"]["at"], 1);
        assert_eq!(time(i64::MIN), "1970-01-01T00:00:00.000Z");
        assert_eq!(time(i64::MAX), format!("{} ms", i64::MAX));
    }

    #[test]
    fn revisions_stand_in_columns() {
        let web =
            RevisionStatus { namespace: "a".into(), name: "web".into(), ..Default::default() };
        let other = RevisionStatus {
            namespace: "longer".into(),
            name: "name".into(),
            desired: -1,
            last_reason: "no reason".into(),
            ..Default::default()
        };
        assert_eq!(
            table(&[web, other]),
            [
                "REVISION     WANTED  READY  IN FLIGHT  WAITING  WHY",
                "a/web             0      0          0        0  ",
                "longer/name       ?      0          0        0  no reason",
            ]
        );
        assert_eq!(table(&[]), ["The controller knows no revision yet."]);
    }
}
