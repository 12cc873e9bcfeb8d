//! What is told of many scalers at once: rows for people, objects for programs.

use std::cmp::Reverse;

use serde_json::{Value, json};
use tidegate_kubernetes_objects::traffic_scaler::{Mode, TrafficScaler};
use tidegate_proto::scale::v1::RevisionStatus;

/// Longest reason in a row, in characters: the rest is in the object, and in `explain`.
const REASON_CHARS_MAX: usize = 100;

/// Where there is nothing to say.
const NOTHING: &str = "-";

/// One scaler, as far as its object tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScalerRow {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Kind and name of what it scales.
    pub target: String,
    /// Where requests go; `None` before the controller has seen it.
    pub mode: Option<&'static str>,
    /// Replicas that the target is set to.
    pub replicas: Option<i32>,
    /// Replicas that are wanted.
    pub desired: Option<i32>,
    /// The status of the condition `Ready`; `None` before there is one.
    pub ready: Option<String>,
    /// The reason of that condition.
    pub reason: String,
    /// Why it is not ready; else why the last decision was made.
    pub why: String,
}

impl ScalerRow {
    /// What an object tells.
    #[must_use]
    pub fn of(scaler: &TrafficScaler) -> Self {
        let reference = &scaler.spec.target_ref;
        let status = scaler.status.clone().unwrap_or_default();
        let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready");
        let decided = status.last_decision.as_ref().map(|decision| decision.reason.clone());
        let message = ready.map(|ready| ready.message.clone()).filter(|text| !text.is_empty());
        let unseen = "no controller has looked at it: is one running?".to_owned();
        Self {
            namespace: scaler.metadata.namespace.clone().unwrap_or_default(),
            name: scaler.metadata.name.clone().unwrap_or_default(),
            target: format!("{}/{}", reference.kind, reference.name),
            mode: status.mode.map(mode_name),
            replicas: status.replicas,
            desired: status.desired_replicas,
            reason: ready.map_or_else(String::new, |ready| ready.reason.clone()),
            why: match ready {
                None => unseen,
                Some(_) => message.or(decided).unwrap_or_default(),
            },
            ready: ready.map(|ready| ready.status.clone()),
        }
    }

    /// It as an object for programs.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({
            "namespace": self.namespace,
            "name": self.name,
            "target": self.target,
            "mode": self.mode,
            "replicas": self.replicas,
            "desired": self.desired,
            "ready": self.ready,
            "reason": self.reason,
            "why": self.why,
        })
    }
}

fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Warm => "Warm",
        Mode::Draining => "Draining",
        Mode::Zero => "Zero",
        Mode::Activating => "Activating",
        Mode::Suspended => "Suspended",
    }
}

/// Scalers as lines: first what needs somebody, then by name.
#[must_use]
pub fn scaler_table(mut rows: Vec<ScalerRow>) -> Vec<String> {
    if rows.is_empty() {
        return vec!["There is no TrafficScaler here.".to_owned()];
    }
    let needs_somebody = |row: &ScalerRow| row.ready.as_deref() == Some("False");
    rows.sort_by_cached_key(|row| (!needs_somebody(row), row.namespace.clone(), row.name.clone()));
    let number = |number: Option<i32>| number.map_or(NOTHING.to_owned(), |n| n.to_string());
    let cells = rows.iter().map(|row| {
        [
            row.namespace.clone(),
            row.name.clone(),
            row.target.clone(),
            row.mode.unwrap_or(NOTHING).to_owned(),
            number(row.replicas),
            number(row.desired),
            row.ready.clone().unwrap_or_else(|| "Unknown".to_owned()),
            shorten(&row.why),
        ]
    });
    let heading = ["NAMESPACE", "NAME", "TARGET", "MODE", "REPLICAS", "WANTED", "READY", "WHY"];
    columns(std::iter::once(heading.map(str::to_owned)).chain(cells).collect())
}

/// One scaler with everything that its object says, as lines.
#[must_use]
pub fn scaler_summary(scaler: &TrafficScaler) -> Vec<String> {
    let row = ScalerRow::of(scaler);
    let number = |number: Option<i32>| number.map_or("?".to_owned(), |n| n.to_string());
    let mut lines = vec![format!(
        "{}/{} scales {} by the requests of Service {}: mode {}, {} replicas, {} wanted",
        row.namespace,
        row.name,
        row.target,
        scaler.spec.service.name,
        row.mode.unwrap_or("not known"),
        number(row.replicas),
        number(row.desired),
    )];
    let status = scaler.status.clone().unwrap_or_default();
    if status.conditions.is_empty() {
        lines.push(row.why);
    }
    lines.extend(status.conditions.iter().map(|condition| {
        let message = plain(&condition.message);
        let line = format!("{} {}: {}", condition.type_, condition.status, condition.reason);
        if message.is_empty() { line } else { format!("{line}. {message}") }
    }));
    if let Some(decision) = &status.last_decision {
        let (time, reason) = (decision.time.0, plain(&decision.reason));
        lines.push(format!("last change at {time} to {}: {reason}", decision.replicas));
    }
    lines
}

/// By what live revisions are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SortKey {
    /// Requests in flight, most first.
    InFlight,
    /// Requests that wait, most first.
    Waiting,
    /// Replicas that are wanted, most first.
    Wanted,
    /// Ready instances, most first.
    Ready,
    /// Namespace and name.
    Name,
}

/// Revisions as the controller knows them now, as lines; those of one namespace if one is given.
#[must_use]
pub fn live_table(
    revisions: &[RevisionStatus],
    namespace: Option<&str>,
    sort: SortKey,
) -> Vec<String> {
    let rows = live_rows(revisions, namespace, sort);
    if rows.is_empty() {
        return vec!["The controller scales nothing here yet.".to_owned()];
    }
    let cells = rows.into_iter().map(|row| {
        let wanted = if row.desired < 0 { NOTHING.to_owned() } else { row.desired.to_string() };
        [
            row.namespace.clone(),
            row.name.clone(),
            wanted,
            row.ready.to_string(),
            row.starting.to_string(),
            row.in_flight.to_string(),
            row.waiting.to_string(),
            format!("{:.1}", row.stable_concurrency),
            format!("{:.1}", row.panic_concurrency),
            if row.in_panic { "yes" } else { "no" }.to_owned(),
        ]
    });
    let heading = [
        "NAMESPACE",
        "NAME",
        "WANTED",
        "READY",
        "STARTING",
        "IN FLIGHT",
        "WAITING",
        "STABLE",
        "PANIC",
        "IN PANIC",
    ];
    columns(std::iter::once(heading.map(str::to_owned)).chain(cells).collect())
}

/// The revisions of a namespace, or of all, in order.
#[must_use]
pub fn live_rows<'a>(
    revisions: &'a [RevisionStatus],
    namespace: Option<&str>,
    sort: SortKey,
) -> Vec<&'a RevisionStatus> {
    let is_here = |row: &&RevisionStatus| namespace.is_none_or(|n| row.namespace == n);
    let mut rows: Vec<&RevisionStatus> = revisions.iter().filter(is_here).collect();
    let most = |row: &RevisionStatus| match sort {
        SortKey::InFlight => i64::from(row.in_flight),
        SortKey::Waiting => i64::from(row.waiting),
        SortKey::Wanted => i64::from(row.desired),
        SortKey::Ready => i64::from(row.ready),
        SortKey::Name => 0,
    };
    rows.sort_by_key(|row| (Reverse(most(row)), &row.namespace, &row.name));
    rows
}

/// Rows in columns two spaces apart; the last one is as wide as it is.
fn columns<const COUNT: usize>(rows: Vec<[String; COUNT]>) -> Vec<String> {
    let mut widths = [0; COUNT];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |row: [String; COUNT]| {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            line.push_str(&format!("{cell:width$}  "));
        }
        line.trim_end().to_owned()
    };
    rows.into_iter().map(line).collect()
}

/// One line, without what a terminal would take for an order.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// One line of bounded length.
fn shorten(text: &str) -> String {
    let mut line: String = plain(text).chars().take(REASON_CHARS_MAX + 1).collect();
    if line.chars().count() > REASON_CHARS_MAX {
        line = line.chars().take(REASON_CHARS_MAX - 1).collect();
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, ready: Option<&str>, why: &str) -> ScalerRow {
        ScalerRow {
            namespace: "shop".to_owned(),
            name: name.to_owned(),
            target: format!("Deployment/{name}"),
            mode: Some("Warm"),
            replicas: Some(2),
            desired: None,
            ready: ready.map(str::to_owned),
            reason: String::new(),
            why: why.to_owned(),
        }
    }

    #[test]
    fn what_needs_somebody_comes_first() {
        let rows = vec![
            row("a", Some("True"), "because"),
            row("b", Some("False"), "two\nlines\u{1b}[2J"),
            row("c", None, ""),
        ];
        assert_eq!(
            scaler_table(rows),
            [
                "NAMESPACE  NAME  TARGET        MODE  REPLICAS  WANTED  READY    WHY",
                "shop       b     Deployment/b  Warm  2         -       False    two lines [2J",
                "shop       a     Deployment/a  Warm  2         -       True     because",
                "shop       c     Deployment/c  Warm  2         -       Unknown",
            ]
        );
        assert_eq!(scaler_table(Vec::new()), ["There is no TrafficScaler here."]);
    }

    #[test]
    fn reasons_are_cut_by_characters() {
        let told = shorten(&"ü".repeat(500));
        assert_eq!((told.chars().count(), told.chars().last()), (REASON_CHARS_MAX, Some('…')));
    }

    #[test]
    fn the_busiest_come_first_and_equals_by_name() {
        let revision = |namespace: &str, name: &str, in_flight, desired| RevisionStatus {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            in_flight,
            desired,
            ..RevisionStatus::default()
        };
        let all = [revision("b", "x", 1, 5), revision("a", "z", 7, -1), revision("a", "y", 1, 5)];
        let names = |namespace, sort| -> Vec<String> {
            let rows = live_rows(&all, namespace, sort);
            rows.iter().map(|row| format!("{}/{}", row.namespace, row.name)).collect()
        };
        assert_eq!(names(None, SortKey::InFlight), ["a/z", "a/y", "b/x"]);
        assert_eq!(names(None, SortKey::Wanted), ["a/y", "b/x", "a/z"]);
        assert_eq!(names(Some("a"), SortKey::Name), ["a/y", "a/z"]);
        let table = live_table(&all, Some("a"), SortKey::InFlight);
        assert!(table[1].contains("z     -"), "{table:?}");
        assert_eq!(live_table(&[], None, SortKey::Name).len(), 1);
    }
}
