//! A run as text for a terminal: the figures, and a chart of what happened.

use std::fmt::Write as _;

use tidegate_sim::engine::RunOutput;
use tidegate_sim::price::Prices;
use tidegate_sim::result::{Quantiles, SimResult};
use tidegate_sim::series::{SeriesPoint, TimeSeries};

use crate::figures;
use crate::intervals;

/// Eighths of a character cell, from nothing to full.
const BLOCKS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Narrower than this, columns are left out.
const NARROW: usize = 72;
/// A chart is not wider than this, so that the eye can follow a row.
const CHART_WIDTH_MAX: usize = 100;
/// Revisions listed on a terminal; the busiest first.
pub const REVISIONS_LISTED_MAX: usize = 10;

/// Whether the terminal shows colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// It does, and the reader wants them.
    On,
    /// It does not, or `NO_COLOR` is set.
    Off,
}

/// How wide, and in colour or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terminal {
    /// Columns.
    pub width: usize,
    /// Colours.
    pub colour: Colour,
}

impl Terminal {
    /// `text` in the 256-colour `code`, when there are colours.
    fn paint(self, code: u8, text: &str) -> String {
        match self.colour {
            Colour::On => format!("\u{1b}[38;5;{code}m{text}\u{1b}[0m"),
            Colour::Off => text.to_owned(),
        }
    }

    fn muted(self, text: &str) -> String {
        self.paint(245, text)
    }
}

/// The figures of `run`, its chart and its busiest revisions.
pub fn summary(run: &RunOutput, terminal: Terminal, prices: Prices) -> String {
    let result = &run.result;
    let mut text = String::new();
    if let Some(series) = run.series.first().filter(|series| series.points.len() > 1) {
        text.push_str(&chart(series, terminal));
        text.push('\n');
    }
    text.push_str(&revisions(result, terminal));
    text.push_str(&latencies(result, terminal));
    text.push('\n');
    for (name, value, note) in headline(result, prices) {
        let note = if terminal.width < NARROW { String::new() } else { note };
        let note = terminal.muted(&note);
        let _ = writeln!(text, "{name:<16}{value:>14}  {note}");
    }
    if let Some(over_seeds) = &result.over_seeds {
        let (header, rows) = intervals::as_text(over_seeds);
        let _ = write!(text, "\n{}\n{rows}", terminal.muted(&header));
    }
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n") + "\n"
}

/// The key figures, last on the screen: name, value, note.
fn headline(result: &SimResult, prices: Prices) -> Vec<(&'static str, String, String)> {
    let lost = result.rejected + result.timed_out + result.failed;
    let share = |part: u64| {
        let whole = result.requests.max(1) as f64;
        if part == 0 { String::new() } else { figures::percent(part as f64 / whole) }
    };
    let hours = result.instance_seconds / 3_600.0;
    let mut lines = vec![
        (
            "requests",
            figures::count(result.requests),
            format!(
                "in {}, simulated in {} ({}/s)",
                figures::seconds(result.simulated_seconds),
                figures::millis(result.wall_seconds * 1e3),
                figures::number(result.requests_per_wall_second)
            ),
        ),
        (
            "lost",
            figures::count(lost),
            match lost {
                0 => String::new(),
                _ => format!(
                    "{}: {} refused, {} given up, {} failed",
                    share(lost),
                    figures::count(result.rejected),
                    figures::count(result.timed_out),
                    figures::count(result.failed)
                ),
            },
        ),
        ("cold starts", figures::count(result.cold_starts), share(result.cold_starts)),
        (
            "instances",
            figures::number(result.instances.mean),
            format!(
                "mean; {} at most, {}",
                figures::count(result.instances.max),
                figures::counted(result.scale_events, "scale event")
            ),
        ),
        (
            "instance-hours",
            figures::number(hours),
            format!("{} of them idle", figures::percent(result.idle_share)),
        ),
    ];
    lines.extend(super::labels::used(result));
    if let Some(cost) = result.cost {
        lines.push(("cost", figures::money(cost), prices.to_string()));
    }
    lines.push(("latency p50", figures::millis(result.latency_ms.p50), String::new()));
    lines.push((
        "latency p99",
        figures::millis(result.latency_ms.p99),
        format!("waiting p99 {}", figures::millis(result.wait_ms.p99)),
    ));
    lines
}

/// Latency and waiting side by side.
fn latencies(result: &SimResult, terminal: Terminal) -> String {
    let row = |name: &str, quantiles: &Quantiles| {
        let values = [
            quantiles.mean,
            quantiles.p50,
            quantiles.p90,
            quantiles.p95,
            quantiles.p99,
            quantiles.p999,
            quantiles.max,
        ];
        let keep = if terminal.width < NARROW { &[1, 4, 6][..] } else { &[0, 1, 2, 3, 4, 5, 6] };
        let cells: Vec<String> =
            keep.iter().map(|at| format!("{:>10}", figures::millis(values[*at]))).collect();
        format!("{name:<8}{}\n", cells.concat())
    };
    let names: &[&str] = if terminal.width < NARROW {
        &["p50", "p99", "max"]
    } else {
        &["mean", "p50", "p90", "p95", "p99", "p99.9", "max"]
    };
    let header: String = names.iter().map(|name| format!("{name:>10}")).collect();
    format!(
        "{}\n{}{}",
        terminal.muted(&format!("{:<8}{header}", "")),
        row("latency", &result.latency_ms),
        row("waiting", &result.wait_ms)
    )
}

/// The busiest revisions, when there are several.
fn revisions(result: &SimResult, terminal: Terminal) -> String {
    if result.revisions.len() < 2 {
        return String::new();
    }
    let mut busiest: Vec<_> = result.revisions.iter().collect();
    busiest.sort_by(|left, right| {
        right.requests.cmp(&left.requests).then_with(|| left.revision.cmp(&right.revision))
    });
    let wide = terminal.width >= NARROW;
    let room = if wide { 32 } else { 18 };
    let mut text = String::new();
    let mut header = format!("{:<room$}{:>12}{:>10}{:>10}", "revision", "requests", "cold", "p99");
    if wide {
        let _ = write!(header, "{:>12}", "instances");
    }
    let _ = writeln!(text, "{}", terminal.muted(&header));
    for one in busiest.iter().take(REVISIONS_LISTED_MAX) {
        let name = clip(&one.revision, room - 2);
        let _ = write!(
            text,
            "{name:<room$}{:>12}{:>10}{:>10}",
            figures::count(one.requests),
            figures::count(one.cold_starts),
            figures::millis(one.latency_ms.p99)
        );
        if wide {
            let _ = write!(text, "{:>12}", figures::number(one.instances.mean));
        }
        text.push('\n');
    }
    if busiest.len() > REVISIONS_LISTED_MAX {
        let more =
            format!("and {} more", figures::count((busiest.len() - REVISIONS_LISTED_MAX) as u64));
        let _ = writeln!(text, "{}", terminal.muted(&more));
    }
    text.push('\n');
    text
}

/// `text` in at most `width` characters, with nothing that could disturb a terminal.
fn clip(text: &str, width: usize) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    if clean.chars().count() <= width {
        return clean;
    }
    let kept: String = clean.chars().take(width.saturating_sub(1)).collect();
    format!("{kept}…")
}

/// What a row shows of a step, and how its peak is written.
type Value = fn(&SeriesPoint) -> f64;
type Show = fn(f64) -> String;

/// Rows of bars on one time axis: demand, instances, waiting, latency.
fn chart(series: &TimeSeries, terminal: Terminal) -> String {
    let label = if terminal.width < NARROW { 11 } else { 24 };
    let width = terminal.width.saturating_sub(label + 1).clamp(10, CHART_WIDTH_MAX);
    let mut text = String::new();
    let rate: Value = |p| if p.length_s > 0.0 { p.arrivals as f64 / p.length_s } else { 0.0 };
    let rows: [(&str, Value, u8, Show); 5] = [
        ("requests/s", rate, 39, figures::number),
        ("instances", |p| p.ready_mean, 32, figures::number),
        ("starting", |p| p.starting_mean, 214, figures::number),
        ("waiting", |p| p.waiting_mean, 166, figures::number),
        ("p99", |p| p.p99_ms, 166, figures::millis),
    ];
    for (name, value, colour, show) in rows {
        let columns = columns(series, width, value);
        let peak = columns.iter().copied().fold(0.0, f64::max);
        if peak <= 0.0 && matches!(name, "starting" | "waiting") {
            continue;
        }
        let bars = terminal.paint(colour, &bars(&columns, peak));
        let name = if label > 20 { format!("{name}, max {}", show(peak)) } else { name.to_owned() };
        let _ = writeln!(text, "{}{bars}", terminal.muted(&format!("{name:<label$}")));
    }
    let end = series.points.last().map_or(0.0, |point| point.at_s + point.length_s);
    let end = figures::seconds(end);
    let gap = width.saturating_sub(end.chars().count() + 1);
    let axis = format!("{:<label$}0{:gap$}{end}", "", "");
    let _ = writeln!(text, "{}", terminal.muted(&axis));
    text
}

/// The series in `width` columns: the greatest value of each, so that no peak is lost.
fn columns(series: &TimeSeries, width: usize, value: fn(&SeriesPoint) -> f64) -> Vec<f64> {
    let points = &series.points;
    let width = width.min(points.len().max(1) * 8);
    (0..width)
        .map(|column| {
            let from = column * points.len() / width;
            let to = ((column + 1) * points.len() / width).max(from + 1).min(points.len());
            points[from..to].iter().map(value).fold(0.0, f64::max)
        })
        .collect()
}

fn bars(columns: &[f64], peak: f64) -> String {
    let level = |value: f64| {
        if peak <= 0.0 || value <= 0.0 {
            return 0;
        }
        // Anything above zero shows.
        ((value / peak * 8.0 + 0.5) as usize).clamp(1, 8)
    };
    columns.iter().map(|value| BLOCKS[level(*value)]).collect()
}

/// Two runs side by side, with the difference in words first.
pub fn comparison(runs: &[(&str, &SimResult)], terminal: Terminal) -> String {
    let mut text = String::new();
    let Some(((base_name, base), others)) = runs.split_first() else { return text };
    for (name, other) in others {
        let _ = writeln!(text, "{}", super::labels::difference((base_name, base), (name, other)));
    }
    text.push('\n');
    let seeds = base.over_seeds.as_ref().map_or(1, |over_seeds| over_seeds.seeds.len());
    let (room, column) = (18, if seeds > 1 { 20 } else { 16 });
    // What does not fit side by side stands one block below the other.
    let side_by_side = (terminal.width.saturating_sub(room) / column).max(1);
    for (number, block) in runs.chunks(side_by_side).enumerate() {
        if number > 0 {
            text.push('\n');
        }
        let mut header = format!("{:<room$}", "");
        for (name, _) in block {
            let _ = write!(header, "{:>column$}", clip(name, column - 1));
        }
        let _ = writeln!(text, "{}", terminal.muted(&header));
        for (name, value) in super::labels::figure_rows(runs) {
            let cells: Vec<String> =
                block.iter().map(|(_, result)| format!("{:>column$}", value(result))).collect();
            let _ = writeln!(text, "{name:<room$}{}", cells.concat());
        }
    }
    if seeds > 1 {
        let _ = write!(text, "\n{}", intervals::paired_note(seeds));
    }
    text
}
