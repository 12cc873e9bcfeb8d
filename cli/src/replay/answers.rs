//! What came of a replay: on the screen, as JSON, as a curve.

use std::io::IsTerminal;
use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use tidegate_replay::report::Figures;
use tidegate_replay::{Latencies, Report, Sent, percentiles};
use tidegate_sim::Traffic;
use tidegate_sim_report::figures;

use super::target::To;
use crate::sim::output::{is_stdout, write_file};
use crate::terminal::counted;

/// How many requests have an outcome so far, on a terminal.
pub(super) fn progress() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {human_pos} requests, {per_sec}") {
        bar.set_style(style);
    }
    bar
}

/// A replay that has ended.
pub(super) struct Answers<'a> {
    pub(super) to: &'a [To],
    pub(super) sent: Sent,
    pub(super) report: &'a Report,
    pub(super) traffic: &'a dyn Traffic,
    pub(super) seed: u64,
}

impl Answers<'_> {
    /// Writes what was asked for, the summary last.
    pub(super) fn write(&self, json: Option<&Path>, hgrm: Option<&Path>) -> anyhow::Result<()> {
        if let Some(path) = hgrm {
            write_file(path, percentiles::hgrm(&self.report.all.latency).as_bytes())?;
        }
        if let Some(path) = json {
            let mut text = serde_json::to_string_pretty(&self.json())?;
            text.push('\n');
            write_file(path, text.as_bytes())?;
        }
        if [json, hgrm].into_iter().flatten().any(is_stdout) {
            return Ok(());
        }
        write_file(Path::new("-"), self.text().as_bytes())
    }

    fn text(&self) -> String {
        let all = &self.report.all;
        let lasted_s = self.sent.lasted.as_secs_f64();
        let rate = figures::number(self.sent.requests as f64 / lasted_s.max(f64::MIN_POSITIVE));
        let mut text = format!(
            "{} in {} ({rate}/s), at most {} in flight; {} failed\n",
            counted(self.sent.requests, "request"),
            figures::seconds(lasted_s),
            self.sent.in_flight_peak,
            figures::count(all.failed()),
        );
        if let Some(left) = self.sent.interrupted {
            text.push_str(&format!("interrupted, with {left} in flight\n"));
        }
        text.push_str(&format!("\n{}", self.report));
        for (to, target) in self.to.iter().zip(&self.report.targets) {
            text.push_str(&format!(
                "\n{}: {}, {} failed, p50 {}, p99 {}",
                to.revision.as_deref().unwrap_or("all others"),
                counted(target.requests, "request"),
                figures::count(target.failed()),
                figures::millis(target.latency.quantile(0.5).as_secs_f64() * 1e3),
                figures::millis(target.latency.quantile(0.99).as_secs_f64() * 1e3),
            ));
        }
        if !self.report.targets.is_empty() {
            text.push('\n');
        }
        for example in self.report.examples() {
            text.push_str(&format!("for example: {}\n", example.replace(char::is_control, "?")));
        }
        text
    }

    fn json(&self) -> Value {
        let mut value = of_figures(&self.report.all);
        let each = self.to.iter().zip(&self.report.targets).map(|(to, figures)| {
            let mut value = of_figures(figures);
            value["to"] = json!(to.url);
            value["revision"] = json!(to.revision);
            value
        });
        value["targets"] = each.collect();
        value["sent_late_ms"] = of_latencies(&self.report.sent_late);
        value["sent"] = json!(self.sent.requests);
        value["seconds"] = json!(self.sent.lasted.as_secs_f64());
        value["in_flight_peak"] = json!(self.sent.in_flight_peak);
        value["interrupted"] = json!(self.sent.interrupted);
        value["examples"] = self.report.examples().collect();
        value["traffic"] = json!(self.traffic.describe());
        value["trace_sha256"] = json!(self.traffic.sha256());
        value["seed"] = json!(self.seed);
        value
    }
}

fn of_figures(figures: &Figures) -> Value {
    json!({
        "requests": figures.requests,
        "failed": figures.failed(),
        "latency_ms": of_latencies(&figures.latency),
        "headers_ms": of_latencies(&figures.headers),
        "statuses": figures.statuses,
        "no_connection": figures.unconnected,
        "timed_out": figures.timed_out,
        "broken_off": figures.broken,
        "body_bytes": figures.body_bytes,
    })
}

fn of_latencies(latencies: &Latencies) -> Value {
    let ms = |time: std::time::Duration| time.as_secs_f64() * 1e3;
    json!({
        "count": latencies.count(),
        "mean": ms(latencies.mean()),
        "p50": ms(latencies.quantile(0.5)),
        "p90": ms(latencies.quantile(0.9)),
        "p95": ms(latencies.quantile(0.95)),
        "p99": ms(latencies.quantile(0.99)),
        "p999": ms(latencies.quantile(0.999)),
        "max": ms(latencies.max()),
    })
}
