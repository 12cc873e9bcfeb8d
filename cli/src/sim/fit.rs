//! `tidegate sim fit`: models of traffic, service times and start-ups from recordings.

mod population;

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use serde_json::json;
use tidegate_sim::SimSpan;
use tidegate_sim::fit::starts::{ControlPlaneFit, StartFit};
use tidegate_sim::fit::{self, DurationFit, TrafficFit};
use tidegate_sim::scenario::StartsInTurns;
use tidegate_sim_report::{ColdStart, figures, phase_figures, svg, waterfall};
use tidegate_words::excerpt;
use tidegate_words::time::compact;

use super::as_recorded::{control_plane, in_turns, seen_starts};
use super::output;
use super::traffic_args::{Chosen, TrafficArgs};
use crate::typed::{span, span_above_zero, whole};
use population::Population;
use tidegate_flags::files::text_of;

/// What was typed after `tidegate sim fit`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Start-up times, one a line (`1.5s`, `800ms`; a bare number is seconds), to fit as well; a
    /// recording has its own.
    #[arg(long, value_name = "FILE")]
    start_ups: Option<PathBuf>,
    /// When generated traffic ends.
    #[arg(long, value_name = "TIME", value_parser = span_above_zero, default_value = "1h")]
    duration: SimSpan,
    /// Seed of all chance.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = whole(0..=u64::MAX))]
    seed: u64,
    #[command(flatten)]
    traffic: TrafficArgs,
    /// The cold starts of a recording as a waterfall, an SVG: one row for each instance, one bar
    /// for each phase of its first request.
    #[arg(long, value_name = "FILE", help_heading = "Answers")]
    waterfall: Option<PathBuf>,
    /// The fits as JSON; `-` is standard output and nothing else is written there.
    #[arg(long, value_name = "FILE", help_heading = "Answers")]
    json: Option<PathBuf>,
}

/// Runs the verb.
pub(super) fn execute(args: &Args) -> anyhow::Result<()> {
    let chosen = args.traffic.build(args.seed, Some(args.duration))?;
    let (traffic, services) =
        fit::traffic(chosen.traffic.as_ref()).map_err(anyhow::Error::from_boxed)?;
    let service = fit::durations(&services);
    let population = population::of(chosen.traffic.as_ref(), &args.traffic, args.seed)?;
    let starts = Starts::of(&chosen);
    let start_ups = match &args.start_ups {
        Some(path) => start_ups(path)?,
        None => starts.alone.clone(),
    };
    let start_up = fit::durations(&start_ups);
    let cold_starts = chosen.cold_starts();
    if let Some(path) = &args.waterfall {
        if cold_starts.is_empty() {
            bail!("--waterfall: expected a recording with cold starts, and there are none");
        }
        output::write_file(path, svg(&waterfall(&cold_starts)).as_bytes())?;
    }
    if let Some(path) = &args.json {
        let value = json!({
            "traffic": traffic,
            "population": population.as_ref().map(Population::json),
            "service": service.as_ref().map(duration_json),
            "start_up": start_up.as_ref().map(duration_json),
            "start_contention": starts.contention.as_ref().map(contention_json),
            "control_plane": starts.control_plane.as_ref().map(control_plane_json),
            "starts_at_once": starts.in_turns.map(|turns| turns.to_string()),
            "cold_starts": cold_starts_json(&cold_starts),
        });
        let mut text = serde_json::to_string_pretty(&value)?;
        text.push('\n');
        output::write_file(path, text.as_bytes())?;
        if output::is_stdout(path) {
            return Ok(());
        }
    }
    let mut text = traffic_text(&traffic);
    if let Some(population) = &population {
        text.push_str(&population.text());
    }
    for (name, option, fitted) in
        [("service time", "--service", &service), ("start-up", "--cold-start", &start_up)]
    {
        if let Some(fitted) = fitted {
            text.push_str(&duration_text(name, option, fitted));
        }
    }
    text.push_str(&starts.text());
    text.push_str(&cold_starts_text(&cold_starts));
    output::write_file(Path::new("-"), text.as_bytes())
}

/// What a recording says of start-ups.
#[derive(Default)]
struct Starts {
    /// Their times alone.
    alone: Vec<SimSpan>,
    contention: Option<StartFit>,
    control_plane: Option<ControlPlaneFit>,
    in_turns: Option<StartsInTurns>,
}

impl Starts {
    /// Of the first recording among the traffic: each ran on a machine of its own.
    fn of(chosen: &Chosen) -> Self {
        let Some(recorded) = chosen.recordings().next() else { return Self::default() };
        let contention = fit::starts::start_ups(&seen_starts(recorded));
        let alone = contention.as_ref().map_or(&[][..], |fitted| &fitted.alone);
        let alone = alone.iter().flatten().copied().collect();
        let control_plane = control_plane(recorded);
        Self { alone, contention, control_plane, in_turns: in_turns(recorded) }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        if let Some(fitted) = &self.contention {
            text.push_str(&format!(
                "\nside by side   {} start-ups, {} of them beside others; their times, as they \
                 would be alone, are above\n               --start-contention {}: it leaves a \
                 spread of {} unexplained, of {}\n",
                figures::count(fitted.count as u64),
                figures::count(fitted.shared as u64),
                fitted.contention,
                figures::percent(fitted.unexplained),
                figures::percent(fitted.spread),
            ));
        }
        if let Some(turns) = &self.in_turns {
            text.push_str(&format!(
                "\nturns          {} started at a time, and {} more a second while the machine \
                 had time left: --starts-at-once {turns}\n",
                turns.pace.at_once,
                figures::number(turns.slack_per_second),
            ));
        }
        if let Some(fitted) = &self.control_plane {
            let rate = match fitted.per_second {
                Some(rate) => format!("--starts-per-second {}", figures::number(rate)),
                None => "no limit to be seen".to_owned(),
            };
            text.push_str(&format!(
                "\ncontrol plane  {} decisions for more instances: {rate} --schedule const:{}\n",
                figures::count(fitted.orders as u64),
                compact(fitted.latency.into()),
            ));
        }
        text
    }
}

fn contention_json(fitted: &StartFit) -> serde_json::Value {
    json!({
        "law": fitted.contention.to_string(),
        "start_ups": fitted.count,
        "beside_others": fitted.shared,
        "spread": fitted.spread,
        "unexplained": fitted.unexplained,
    })
}

fn control_plane_json(fitted: &ControlPlaneFit) -> serde_json::Value {
    json!({
        "orders": fitted.orders,
        "per_second": fitted.per_second,
        "latency_s": fitted.latency.as_secs_f64(),
    })
}

/// How long each phase of the recorded cold starts was; nothing without one.
fn cold_starts_text(starts: &[ColdStart]) -> String {
    if starts.is_empty() {
        return String::new();
    }
    let mut text = format!(
        "\ncold starts    {} that met no ready instance, by what they waited for\n\
         {:<15}{:>10}{:>10}{:>10}{:>10}\n",
        figures::counted(starts.len() as u64, "request"),
        "",
        "mean",
        "p50",
        "p99",
        "longest",
    );
    for phase in phase_figures(starts) {
        let [mean, p50, p99, max] =
            [phase.mean_ms, phase.p50_ms, phase.p99_ms, phase.max_ms].map(figures::millis);
        let (name, meaning) = (phase.name(), phase.meaning());
        text.push_str(&format!("  {name:<13}{mean:>10}{p50:>10}{p99:>10}{max:>10}  {meaning}\n"));
    }
    text
}

fn cold_starts_json(starts: &[ColdStart]) -> serde_json::Value {
    let phases: Vec<_> = phase_figures(starts)
        .iter()
        .map(|phase| {
            json!({
                "phase": phase.name(),
                "count": phase.count,
                "mean_ms": phase.mean_ms,
                "p50_ms": phase.p50_ms,
                "p99_ms": phase.p99_ms,
                "max_ms": phase.max_ms,
            })
        })
        .collect();
    json!({ "requests": starts.len(), "phases": phases })
}

/// One duration a line; an error names the line.
fn start_ups(path: &Path) -> anyhow::Result<Vec<SimSpan>> {
    let text = text_of(path).with_context(|| path.display().to_string())?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(number, line)| {
            span(line).map_err(|problem| {
                let place = format!("{}:{}:1", path.display(), number + 1);
                anyhow!("{place}: {problem}, found '{}'", excerpt(line))
            })
        })
        .collect()
}

fn duration_json(fitted: &DurationFit) -> serde_json::Value {
    let candidates: Vec<_> = fitted
        .candidates
        .iter()
        .map(|one| json!({ "distribution": one.law.to_string(), "distance": one.distance }))
        .collect();
    json!({
        "count": fitted.count,
        "mean_s": fitted.mean_s,
        "sd_s": fitted.sd_s,
        "candidates": candidates,
    })
}

fn traffic_text(traffic: &TrafficFit) -> String {
    format!(
        "traffic        {} requests in {}, {} a second on average\n\
         gaps           {}\n\
         seconds        variance over mean {}, {} requests at most, {} without any\n\
         nearest        --arrivals {}\n",
        figures::count(traffic.requests),
        figures::seconds(traffic.seconds),
        figures::number(traffic.rate),
        super::traffic::variation(traffic.gap_variation),
        figures::number(traffic.dispersion),
        figures::count(traffic.peak_in_a_second),
        figures::percent(traffic.quiet_share),
        traffic.generator
    )
}

fn duration_text(name: &str, option: &str, fitted: &DurationFit) -> String {
    let mut text = format!(
        "\n{name:<15}{} values, mean {}, standard deviation {}\n",
        figures::count(fitted.count),
        figures::millis(fitted.mean_s * 1e3),
        figures::millis(fitted.sd_s * 1e3)
    );
    for candidate in &fitted.candidates {
        let distance = figures::number(candidate.distance);
        text.push_str(&format!("{distance:>14} {option} {}\n", candidate.law.rounded()));
    }
    text.push_str("               (distance of Kolmogorov and Smirnov: 0 is a perfect fit)\n");
    text
}
