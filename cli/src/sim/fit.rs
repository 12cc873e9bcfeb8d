//! `tidegate sim fit`: models of traffic, service times and start-ups from recordings.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use serde_json::json;
use tidegate_sim::SimSpan;
use tidegate_sim::fit::{self, DurationFit, TrafficFit};
use tidegate_sim::report::figures;
use tidegate_sim::traffic::parse_span;

use super::output;
use super::traffic_args::{TrafficArgs, span};

/// What was typed after `tidegate sim fit`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    traffic: TrafficArgs,
    /// Start-up times, one a line (`1.5s`, `800ms`; a bare number is seconds), to fit as well.
    #[arg(long, value_name = "PATH")]
    start_ups: Option<PathBuf>,
    /// When generated traffic ends.
    #[arg(long, value_name = "TIME", value_parser = span, default_value = "1h")]
    duration: SimSpan,
    /// Seed of all chance.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// The fits as JSON; `-` is standard output and nothing else is written there.
    #[arg(long, value_name = "PATH")]
    json: Option<PathBuf>,
}

/// Does what was asked.
pub(super) fn execute(args: &Args) -> anyhow::Result<()> {
    let chosen = args.traffic.build(args.seed, Some(args.duration))?;
    let (traffic, services) =
        fit::traffic(chosen.traffic.as_ref()).map_err(anyhow::Error::from_boxed)?;
    let service = fit::durations(&services);
    let start_up = match &args.start_ups {
        Some(path) => fit::durations(&start_ups(path)?),
        None => None,
    };
    if let Some(path) = &args.json {
        let value = json!({
            "traffic": traffic,
            "service": service.as_ref().map(duration_json),
            "start_up": start_up.as_ref().map(duration_json),
        });
        let mut text = serde_json::to_string_pretty(&value)?;
        text.push('\n');
        output::write_file(path, text.as_bytes())?;
        if output::is_stdout(path) {
            return Ok(());
        }
    }
    let mut text = traffic_text(&traffic);
    for (name, option, fitted) in
        [("service time", "--service", &service), ("start-up", "--cold-start", &start_up)]
    {
        if let Some(fitted) = fitted {
            text.push_str(&duration_text(name, option, fitted));
        }
    }
    output::write_file(Path::new("-"), text.as_bytes())
}

/// One duration a line; an error names the line.
fn start_ups(path: &Path) -> anyhow::Result<Vec<SimSpan>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(number, line)| {
            parse_span(line.trim()).ok_or_else(|| {
                let place = format!("{}:{}:1", path.display(), number + 1);
                anyhow!("{place}: expected a time such as 1.5s or 800ms, found {line:?}")
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
         gaps           coefficient of variation {} (1 is a Poisson process)\n\
         seconds        variance over mean {}, {} requests at most, {} without any\n\
         nearest        --arrivals {}\n",
        figures::count(traffic.requests),
        figures::seconds(traffic.seconds),
        figures::number(traffic.rate),
        figures::number(traffic.gap_variation),
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
        text.push_str(&format!("{distance:>14} {option} {}\n", candidate.law));
    }
    text.push_str("               (distance of Kolmogorov and Smirnov: 0 is a perfect fit)\n");
    text
}
