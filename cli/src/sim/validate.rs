//! `tidegate sim validate`: the simulator against theory and published measurements.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::bail;
use serde_json::json;
use tidegate_sim::{SimSpan, parallel};
use tidegate_sim_report::figures;
use tidegate_sim_validate::{Allowed, Check, ValidateOptions, validate};

use super::ChecksFailed;
use super::observer::Steps;
use super::output;
use super::run;
use crate::typed::{span_above_zero, whole};

/// Requests for which the bounds of the closed forms are meant: tails need that many.
const REQUESTS: u64 = 10_000_000;

/// What was typed after `tidegate sim validate`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Requests simulated for each closed form.
    #[arg(
        long,
        value_name = "N",
        default_value_t = REQUESTS,
        value_parser = whole(1_000..=1_000_000_000_000u64)
    )]
    requests: u64,
    /// Only groups whose name contains this.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// invocations.csv of a published Azure 2019 sample, to count cold starts in; again for more.
    #[arg(long, value_name = "FILE")]
    azure: Vec<PathBuf>,
    /// Instead: play traffic against real processes on this machine, record it, simulate the
    /// recording, and report how far apart the two are.
    #[arg(long)]
    live: bool,
    /// How long the traffic of --live lasts.
    #[arg(
        long,
        value_name = "TIME",
        value_parser = span_above_zero,
        default_value = "3m",
        requires = "live"
    )]
    duration: SimSpan,
    /// Keep the recording of --live in this directory: what was sent, recorded and measured.
    #[arg(long, value_name = "DIR", requires = "live")]
    keep: Option<PathBuf>,
    /// Seed of all runs.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = whole(0..=u64::MAX))]
    seed: u64,
    /// The checks as JSON; `-` is standard output and nothing else is written there.
    #[arg(long, value_name = "FILE", help_heading = "Answers")]
    json: Option<PathBuf>,
    /// The checks as a table in Markdown.
    #[arg(long, value_name = "FILE", help_heading = "Answers")]
    markdown: Option<PathBuf>,
    /// No progress and no table.
    #[arg(long, short, help_heading = "Answers")]
    quiet: bool,
}

/// Runs the verb; checks that fail are an error.
pub(super) fn execute(args: &Args) -> anyhow::Result<()> {
    if args.live {
        return live(args);
    }
    let options = ValidateOptions {
        requests: args.requests,
        only: args.only.clone(),
        azure_invocations: args.azure.clone(),
        threads: parallel::all_cores(),
        seed: args.seed,
    };
    let steps = if args.quiet { Steps::silent() } else { Steps::new(0, "cases") };
    let checks = validate(&options, |done, of, _| steps.show(done, of));
    steps.finish();
    let checks = checks.map_err(run::explain)?;
    if checks.is_empty() {
        bail!("--only {}: no group has such a name", args.only.as_deref().unwrap_or(""));
    }
    let failed = checks.iter().filter(|check| !check.passed).count();
    if let Some(path) = &args.markdown {
        output::write_file(path, markdown(&checks).as_bytes())?;
    }
    if let Some(path) = &args.json {
        let value = json!({ "checks": checks, "failed": failed });
        let mut text = serde_json::to_string_pretty(&value)?;
        text.push('\n');
        output::write_file(path, text.as_bytes())?;
    }
    if !args.quiet && !args.json.as_deref().is_some_and(output::is_stdout) {
        output::write_file(Path::new("-"), text(&checks).as_bytes())?;
    }
    if failed > 0 {
        let note = match args.requests < REQUESTS {
            true => format!(
                "; {} requests are too few to judge by: the bounds are for {}",
                figures::count(args.requests),
                figures::count(REQUESTS)
            ),
            false => String::new(),
        };
        return Err(ChecksFailed { failed, of: checks.len(), note }.into());
    }
    Ok(())
}

/// A real run beside its simulation; aims that are missed are an error.
fn live(args: &Args) -> anyhow::Result<()> {
    if !args.quiet {
        let length = figures::seconds(args.duration.as_secs_f64());
        eprintln!("tidegate sim: playing {length} of traffic against real processes");
    }
    let beside = super::live::measure(args.duration, args.seed, args.keep.as_deref())?;
    if let Some(path) = &args.json {
        let mut text = serde_json::to_string_pretty(&beside)?;
        text.push('\n');
        output::write_file(path, text.as_bytes())?;
    }
    if !args.quiet && !args.json.as_deref().is_some_and(output::is_stdout) {
        output::write_file(Path::new("-"), beside.to_string().as_bytes())?;
    }
    let (failed, of) = beside.missed();
    if failed > 0 {
        let note = "; a busy machine misses more of them".to_owned();
        return Err(ChecksFailed { failed, of, note }.into());
    }
    Ok(())
}

fn bound(check: &Check) -> String {
    match check.allowed {
        Allowed::Exact => "exactly".to_owned(),
        Allowed::Share(share) => format!("± {}", figures::percent(share)),
        Allowed::Absolute(bound) => format!("± {}", figures::number(bound)),
        Allowed::AtLeast => "at least".to_owned(),
        Allowed::AtMost => "at most".to_owned(),
        Allowed::Shown => "shown".to_owned(),
    }
}

/// The difference as it is judged: relative where the bound is.
fn error(check: &Check) -> String {
    let sign = if check.error > 0.0 { "+" } else { "" };
    match check.allowed {
        Allowed::Share(_) | Allowed::Shown => format!("{sign}{}", figures::percent(check.error)),
        _ => format!("{sign}{}", figures::number(check.error)),
    }
}

fn verdict(check: &Check) -> &'static str {
    match (check.allowed, check.passed) {
        (Allowed::Shown, _) => "·",
        (_, true) => "✓",
        (_, false) => "✗",
    }
}

fn text(checks: &[Check]) -> String {
    let mut text = String::new();
    let mut group = "";
    let widest = |of: fn(&Check) -> &str| {
        checks.iter().map(|check| of(check).chars().count()).max().unwrap_or(0)
    };
    let (case, figure) = (widest(|check| &check.case), widest(|check| &check.figure));
    for check in checks {
        if check.group != group {
            group = &check.group;
            let _ = writeln!(text, "\n{group}");
        }
        let _ = writeln!(
            text,
            "  {} {:<case$}  {:<figure$}{:>12}{:>12}{:>11}  {}",
            verdict(check),
            check.case,
            check.figure,
            figures::number(check.expected),
            figures::number(check.ours),
            error(check),
            bound(check)
        );
    }
    let failed = checks.iter().filter(|check| !check.passed).count();
    let judged = checks.iter().filter(|check| check.allowed != Allowed::Shown).count();
    let _ = writeln!(text, "\n{} checks, {} judged, {failed} failed", checks.len(), judged);
    text
}

fn markdown(checks: &[Check]) -> String {
    let mut text = String::new();
    let mut group = "";
    for check in checks {
        if check.group != group {
            group = &check.group;
            let _ = writeln!(
                text,
                "\n### {group}\n\n| | case | figure | expected | ours | off by | allowed | \
                 source |\n\
                 |---|---|---|---|---|---|---|---|"
            );
        }
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} |",
            verdict(check),
            check.case,
            check.figure,
            figures::number(check.expected),
            figures::number(check.ours),
            error(check),
            bound(check),
            check.source
        );
    }
    text
}
