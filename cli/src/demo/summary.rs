//! The demo's summary: measured figures beside the predicted ones.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use super::prediction::Prediction;
use super::stats::{Change, Tally};
use crate::chart::{self, Ink};
use crate::terminal::wrap;

/// What the summary shows.
#[derive(Debug, Clone)]
pub(crate) struct Summary<'a> {
    pub(crate) tally: &'a Tally,
    /// Requests that arrived while no instance was ready.
    pub(crate) cold_starts: u64,
    /// Requests that one instance takes at a time; 0 is unlimited.
    pub(crate) concurrency: u32,
    pub(crate) seed: u64,
    pub(crate) prediction: Option<&'a Prediction>,
    pub(crate) ended: Ended,
}

/// How the instances ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// All of them were gone before the demo ended.
    AtZero,
    /// Some were still there.
    AboveZero,
    /// The demo was interrupted, and all of them were stopped.
    Interrupted {
        /// Time after the start of the traffic.
        after: Duration,
    },
}

/// Most decisions printed; of more, the first and the last ones are, and the rest is counted.
const MOST_CHANGES: usize = 24;
/// Lines of the chart of instances at most.
const CHART_HEIGHT: usize = 10;
/// Columns before the chart.
const CHART_MARGIN: usize = 8;
/// Columns of the chart at most.
const CHART_WIDTH: usize = 64;

/// The summary as text, every line with its end.
pub(crate) fn text(summary: &Summary<'_>, ink: Ink, width: usize) -> String {
    let mut out = String::new();
    figures(&mut out, summary);
    chart_of_instances(&mut out, summary.tally, ink, width);
    changes(&mut out, &summary.tally.changes, width);
    verdict(&mut out, summary);
    out
}

fn figures(out: &mut String, summary: &Summary<'_>) {
    let tally = summary.tally;
    let (mean, most) = tally.instances();
    let limit = match summary.concurrency {
        0 => "unlimited".to_owned(),
        limit => limit.to_string(),
    };
    let ms = |quantile| format!("{:.0} ms", tally.latency_ms(quantile));
    // Writing to a string cannot fail.
    let _ = writeln!(out, "\nrequests     {} sent, {} lost", tally.requests(), tally.lost());
    for (why, count) in &tally.lost {
        let _ = writeln!(out, "             {count} x {why}");
    }
    let _ = writeln!(
        out,
        "concurrency  at most {} at once in one instance (limit {limit})",
        tally.most_in_one_instance
    );
    let _ = writeln!(out, "latency      from the scheduled time to the last byte");
    let mut row = |name: &str, measured: String, predicted: Option<String>| {
        let predicted = predicted.map(|text| format!("{text:>12}")).unwrap_or_default();
        let _ = writeln!(out, "  {name:<22}{measured:>12}{predicted}");
    };
    let told = summary.prediction;
    row("", "measured".into(), told.map(|_| "simulated".into()));
    row(
        "cold starts",
        summary.cold_starts.to_string(),
        told.map(|predicted| predicted.cold_starts.to_string()),
    );
    row("latency p50", ms(0.5), told.map(|predicted| format!("{:.0} ms", predicted.p50_ms)));
    row("latency p90", ms(0.9), None);
    row("latency p99", ms(0.99), told.map(|predicted| format!("{:.0} ms", predicted.p99_ms)));
    row("latency max", ms(1.0), None);
    row(
        "instances, mean",
        format!("{mean:.2}"),
        told.map(|predicted| format!("{:.2}", predicted.mean_instances)),
    );
    row(
        "instances, most",
        most.to_string(),
        told.map(|predicted| predicted.most_instances.to_string()),
    );
    if let Some(predicted) = told {
        let percent = predicted.instances_error * 100.0;
        let _ = writeln!(out, "  instances second by second differ by {percent:.0} % on average");
    }
}

fn chart_of_instances(out: &mut String, tally: &Tally, ink: Ink, width: usize) {
    let columns = width.saturating_sub(CHART_MARGIN).clamp(1, CHART_WIDTH);
    let instances = over_time(tally, columns);
    let end = tally.standings.last().map_or(Duration::ZERO, |standing| standing.at);
    let _ = writeln!(out, "\nready instances over {:.0} s", end.as_secs_f64());
    let most = instances.iter().copied().fold(1.0, f64::max);
    // One line for each instance, as long as they are few.
    let height = (most as usize).clamp(1, CHART_HEIGHT);
    for line in chart::columns(&instances, columns, height, ink) {
        let _ = writeln!(out, "{line}");
    }
    let _ = writeln!(out, "       +{}", "-".repeat(columns));
    let _ = writeln!(out, "        {}", times(end, columns));
    let asked = &tally.asked_per_second;
    let demand = chart::sparkline(&in_chart_columns(asked, end, columns), columns, ink);
    let _ = writeln!(out, "demand  {}", demand.trim_end());
    let most = asked.iter().copied().fold(0.0, f64::max);
    let _ = writeln!(out, "        at most {most:.0} requests/s");
}

/// The times of a chart's beginning, middle and end, below them.
fn times(end: Duration, columns: usize) -> String {
    let at = |share: f64| format!("{:.0} s", end.as_secs_f64() * share);
    let (begin, middle, end) = (at(0.0), at(0.5), at(1.0));
    let gap = |from: usize, until: usize| " ".repeat(until.saturating_sub(from).max(1));
    let before_middle = gap(begin.len(), columns / 2);
    let so_far = begin.len() + before_middle.len() + middle.len();
    format!("{begin}{before_middle}{middle}{}{end}", gap(so_far, columns - end.len().min(columns)))
}

/// Ready instances at equal distances of time.
fn over_time(tally: &Tally, columns: usize) -> Vec<f64> {
    let Some(last) = tally.standings.last() else { return Vec::new() };
    let mut standings = tally.standings.iter().peekable();
    let mut ready = 0;
    (0..columns)
        .map(|column| {
            let until = last.at.mul_f64((column + 1) as f64 / columns as f64);
            let mut highest = ready;
            while let Some(standing) = standings.next_if(|standing| standing.at <= until) {
                ready = standing.ready;
                highest = highest.max(ready);
            }
            f64::from(highest)
        })
        .collect()
}

/// Stretches a figure for each second over the columns of the chart.
fn in_chart_columns(per_second: &[f64], end: Duration, columns: usize) -> Vec<f64> {
    let seconds = end.as_secs_f64();
    (0..columns)
        .map(|column| {
            let second = column as f64 / columns as f64 * seconds;
            per_second.get(second as usize).copied().unwrap_or(0.0)
        })
        .collect()
}

fn changes(out: &mut String, changes: &[Change], width: usize) {
    let _ = writeln!(out, "\ndecisions");
    let shown = changes.len().min(MOST_CHANGES);
    let left_out = changes.len() - shown;
    let head = if left_out > 0 { shown / 2 } else { shown };
    for (index, change) in changes.iter().enumerate() {
        if index == head && left_out > 0 {
            let _ = writeln!(out, "    ...    {left_out} more");
        }
        if index < head || index >= head + left_out {
            let at = change.at.as_secs_f64();
            let begin = format!("{at:>6.1} s  {:>2}  ", change.desired);
            for line in wrap(&begin, &change.reason, width, usize::MAX) {
                let _ = writeln!(out, "{line}");
            }
        }
    }
}

fn verdict(out: &mut String, summary: &Summary<'_>) {
    let lost = summary.tally.lost();
    let end = match summary.ended {
        Ended::AtZero => "every instance is gone again",
        Ended::AboveZero => "instances were still running at the end",
        Ended::Interrupted { after } => {
            let seconds = after.as_secs_f64();
            let _ = writeln!(out, "\ninterrupted after {seconds:.0} s; all instances stopped");
            return;
        }
    };
    let _ = match lost {
        0 => writeln!(out, "\nno request was lost; {end}"),
        lost => writeln!(out, "\n{lost} of {} requests were lost; {end}", summary.tally.requests()),
    };
}

/// The summary for machines.
pub(crate) fn json(summary: &Summary<'_>) -> Value {
    let tally = summary.tally;
    let (mean, most) = tally.instances();
    let seconds = |at: Duration| (at.as_secs_f64() * 1_000.0).round() / 1_000.0;
    json!({
        "requests": tally.requests(),
        "answered": tally.answered,
        "lost": tally.lost(),
        "lost_by_reason": tally.lost,
        "cold_starts": summary.cold_starts,
        "latency_ms": {
            "mean": tally.latency_micros.mean() / 1_000.0,
            "p50": tally.latency_ms(0.5),
            "p90": tally.latency_ms(0.9),
            "p95": tally.latency_ms(0.95),
            "p99": tally.latency_ms(0.99),
            "p999": tally.latency_ms(0.999),
            "max": tally.latency_ms(1.0),
        },
        "concurrency_limit": summary.concurrency,
        "most_in_one_instance": tally.most_in_one_instance,
        "instances": { "mean": mean, "max": most },
        "ended_at_zero": summary.ended == Ended::AtZero,
        "interrupted": matches!(summary.ended, Ended::Interrupted { .. }),
        "seed": summary.seed,
        "predicted": summary.prediction.map(|predicted| json!({
            "cold_starts": predicted.cold_starts,
            "latency_ms": { "p50": predicted.p50_ms, "p99": predicted.p99_ms },
            "instances": { "mean": predicted.mean_instances, "max": predicted.most_instances },
            "instances_error": predicted.instances_error,
            "ready_per_second": predicted.ready,
            "decisions": predicted.changes.iter().map(|(seconds, desired, reason)| json!({
                "seconds": seconds,
                "desired": desired,
                "reason": reason,
            })).collect::<Vec<_>>(),
        })),
        "standings": tally.standings.iter().map(|standing| json!({
            "seconds": seconds(standing.at),
            "desired": standing.desired,
            "ready": standing.ready,
            "starting": standing.starting,
            "draining": standing.draining,
            "waiting": standing.waiting,
            "in_flight": standing.in_flight,
        })).collect::<Vec<_>>(),
        "decisions": tally.changes.iter().map(|change| json!({
            "seconds": seconds(change.at),
            "desired": change.desired,
            "reason": change.reason,
        })).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_stand_below_their_columns() {
        assert_eq!(times(Duration::from_secs(60), 20), "0 s       30 s  60 s");
        let narrow = times(Duration::from_secs(60), 3);
        assert!(narrow.contains("0 s") && narrow.contains("60 s"), "{narrow}");
    }
}
