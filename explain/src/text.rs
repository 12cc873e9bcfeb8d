//! Decisions and states as text and as JSON.

use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};
use tidegate_proto::scale::v1::{Decision, RevisionStatus};
use tidegate_proto::stats::v1::ColdStart;
use tidegate_timeline::Timeline;

use crate::find::full_name;
use crate::query::Past;

/// One decision in words: when, which revision, what and why.
pub fn decision(decision: &Decision) -> String {
    let Decision { site, namespace, name, desired, reason, .. } = decision;
    let time = time(decision.unix_ms);
    let site = if site.is_empty() { String::new() } else { format!("{site}:") };
    format!("{time}  {site}{namespace}/{name}  {desired}  {reason}")
}

/// One decision with every number that went in.
pub fn decision_json(decision: &Decision) -> String {
    let explanation: Value =
        serde_json::from_str(&decision.explanation_json).unwrap_or(Value::Null);
    let json = json!({
        "namespace": decision.namespace,
        "name": decision.name,
        "unix_ms": decision.unix_ms,
        "desired": decision.desired,
        "excess_burst_capacity": decision.excess_burst_capacity,
        "reason": decision.reason,
        "provisional": decision.provisional,
        "explanation": explanation,
    });
    of_site(&decision.site, json).to_string()
}

/// The same with the name of the site, where there are several.
fn of_site(site: &str, mut json: Value) -> Value {
    if let (false, Some(object)) = (site.is_empty(), json.as_object_mut()) {
        object.insert("site".to_owned(), site.into());
    }
    json
}

/// A revision's state, its decisions in their order, and its last cold start, a line each.
pub fn history(status: &RevisionStatus, past: &Past) -> Vec<String> {
    let Past { decisions, cold_starts } = past;
    let mut lines = vec![summary(status)];
    if decisions.is_empty() {
        lines.push("Nothing has been decided yet.".to_owned());
    }
    lines.extend(decisions.iter().map(decision));
    lines.extend(cold_starts.last().map(|start| cold_start(status, start)));
    lines
}

/// A revision's last cold starts in their order, a line each.
pub fn cold_starts(status: &RevisionStatus, past: &Past) -> Vec<String> {
    if past.cold_starts.is_empty() {
        return vec!["No activator has told of a cold start yet.".to_owned()];
    }
    past.cold_starts.iter().map(|start| cold_start(status, start)).collect()
}

/// One cold start in words: when, which revision and instance, and where the time went.
pub fn cold_start(status: &RevisionStatus, start: &ColdStart) -> String {
    let (time, timeline) = (time(start.seen_unix_ms), timeline(start));
    format!("{time}  {}  {}  {timeline}", full_name(status), start.instance)
}

/// One cold start as JSON, its phases in microseconds.
pub fn cold_start_json(status: &RevisionStatus, start: &ColdStart) -> String {
    let timeline = timeline(start);
    let us = |length: Duration| u64::try_from(length.as_micros()).unwrap_or(u64::MAX);
    let phases: serde_json::Map<String, Value> = timeline
        .phases()
        .map(|phase| (phase.moment.phase().to_owned(), us(phase.length).into()))
        .collect();
    let json = json!({
        "namespace": status.namespace,
        "name": status.name,
        "instance": start.instance,
        "seen_unix_ms": start.seen_unix_ms,
        "total_us": us(timeline.total()),
        "phases_us": phases,
    });
    of_site(&status.site, json).to_string()
}

/// What a controller told of; of moments in no order nothing is known.
fn timeline(start: &ColdStart) -> Timeline {
    Timeline::from_micros(start.timeline.unwrap_or_default().into()).unwrap_or_default()
}

/// A revision's state, in one line.
pub fn summary(status: &RevisionStatus) -> String {
    let RevisionStatus { ready, starting, draining, .. } = status;
    let panic = if status.in_panic { ", in panic" } else { "" };
    format!(
        "{}: {ready} ready, {starting} not ready, {draining} draining; wanted {}{}; {} in flight, \
         {} of them waiting",
        full_name(status),
        wanted(status.desired),
        panic,
        status.in_flight,
        status.waiting.min(status.in_flight)
    )
}

/// A revision's state, as JSON.
pub fn status_json(status: &RevisionStatus) -> String {
    let json = json!({
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
    });
    of_site(&status.site, json).to_string()
}

/// All revisions, a line each, in columns.
pub fn table(statuses: &[RevisionStatus]) -> Vec<String> {
    if statuses.is_empty() {
        return vec!["The controller knows no revision yet.".to_owned()];
    }
    let names: Vec<String> = statuses.iter().map(full_name).collect();
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

/// Instances wanted, as they are shown.
pub(crate) fn wanted(desired: i32) -> String {
    if desired < 0 { "?".to_owned() } else { desired.to_string() }
}

/// A point in time as RFC 3339 with milliseconds; what lies before 1970 is shown as 1970.
pub fn time(unix_ms: i64) -> String {
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
            provisional: true,
            ..Default::default()
        };
        assert_eq!(
            decision(&made),
            "2023-11-14T22:13:20.123Z  local/web  3  3 instances: because."
        );
        let json: Value = serde_json::from_str(&decision_json(&made)).unwrap_or_default();
        assert_eq!((&json["explanation"]["at"], &json["provisional"]), (&1.into(), &true.into()));
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

    #[test]
    fn a_cold_start_says_where_the_time_went() {
        let web =
            RevisionStatus { namespace: "a".into(), name: "web".into(), ..Default::default() };
        let start = ColdStart {
            instance: "web-1".into(),
            seen_unix_ms: 1_700_000_000_123,
            timeline: Some(tidegate_proto::stats::v1::Timeline {
                ready_us: Some(40_000),
                forwarded_us: Some(41_000),
                first_byte_us: Some(52_500),
                ..Default::default()
            }),
        };
        assert_eq!(
            cold_start(&web, &start),
            "2023-11-14T22:13:20.123Z  a/web  web-1  cold start of 52.5 ms: ready after 40.0 ms, \
             forwarded +1.0 ms, first byte +11.5 ms"
        );
        let json: Value = serde_json::from_str(&cold_start_json(&web, &start)).unwrap_or_default();
        assert_eq!(json["phases_us"]["respond"], 11_500);
        assert_eq!(json["total_us"], 52_500);
        let past = Past { cold_starts: vec![start], ..Past::default() };
        assert_eq!(history(&web, &past).len(), 3);
        let none = cold_starts(&web, &Past::default());
        assert_eq!(none, ["No activator has told of a cold start yet."]);
    }
}
