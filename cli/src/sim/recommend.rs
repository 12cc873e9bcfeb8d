//! `tidegate sim recommend`: the cheapest settings that keep stated objectives, with the evidence.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::anyhow;
use tidegate_sim::Recording;
use tidegate_sim::recommend::{
    Evidence, Judged, Objective, ObjectiveError, Recommendation, Search, recommend,
    usual_dimensions,
};
use tidegate_sim::sweep::Dimension;
use tidegate_sim_report::figures;

use super::NothingKeeps;
use super::model_args::ModelArgs;
use super::observer::Steps;
use super::output;
use super::run;
use super::sweep::{Answers, Question, note_refused};
use super::traffic_args::TrafficArgs;
use crate::terminal::counted;
use crate::typed::whole;

/// Rows of evidence on a terminal.
const EVIDENCE_ROWS: usize = 12;

/// How the settings that were given are called, whatever was varied.
const AS_THEY_ARE: &str = "the settings as they are";

/// What was typed after `tidegate sim recommend`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// An objective: FIGURE<BOUND, such as p99<250ms, cold<1%, lost<0.1% or instances<20;
    /// again for more.
    #[arg(long, value_name = "FIGURE<BOUND", required = true, value_parser = objective)]
    keep: Vec<(String, Objective)>,
    /// What may be varied, as for sweep; otherwise the settings that are usually tuned first.
    #[arg(long, value_name = "NAME=VALUES", value_parser = Dimension::parse)]
    vary: Vec<Dimension>,
    /// Runs at most.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = whole(1..=1_000_000usize))]
    budget: usize,
    #[command(flatten)]
    traffic: TrafficArgs,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    answers: Answers,
}

/// Runs the verb.
pub(super) fn execute(args: &Args) -> anyhow::Result<()> {
    let chosen = run::choose(&args.traffic, &args.model)?;
    let base = args.model.scenario(Recording::NOTHING, chosen.as_recorded()?.as_ref())?;
    let objectives = args.keep.iter().map(|(_, objective)| *objective).collect();
    let keep: Vec<&str> = args.keep.iter().map(|(text, _)| text.as_str()).collect();
    let dimensions = if args.vary.is_empty() { usual_dimensions() } else { args.vary.clone() };
    for Dimension { setting, values } in &dimensions {
        for value in values {
            let named = base.clone().set(setting, value);
            named.map_err(|problem| anyhow!("--vary {setting}: {problem}"))?;
        }
    }
    let traffic = chosen.traffic.as_ref();
    run::note_missing_service(&chosen, &args.model)?;
    let search =
        Search { objectives, dimensions, budget: args.budget, threads: args.answers.threads() };
    let steps =
        if args.answers.quiet { Steps::silent() } else { Steps::new(search.budget, "runs") };
    let found = recommend(&base, traffic, &search, |done, of| steps.show(done, of));
    steps.finish();
    let found = found.map_err(run::explain)?;
    chosen.note_skipped();
    note_refused(&found.refused);
    let points: Vec<_> = found.tried.iter().map(|evidence| evidence.point.clone()).collect();
    let question = Question {
        title: args.traffic.title(),
        subtitle: sentence(&found, &keep),
        base: &base,
        traffic,
        objectives: search.objectives.clone(),
        best: found.best.as_ref().map(|best| best.point.label.clone()),
    };
    args.answers.write(&points, &question)?;
    if let Some(path) = &args.answers.json {
        let mut text = serde_json::to_string_pretty(&found)?;
        text.push('\n');
        output::write_file(path, text.as_bytes())?;
    }
    if args.answers.summarises() {
        output::write_file(Path::new("-"), text(&found, &keep).as_bytes())?;
    }
    match found.best {
        Some(_) => Ok(()),
        None => Err(NothingKeeps(keep.join(" and ")).into()),
    }
}

/// An objective, and how it was typed.
fn objective(text: &str) -> Result<(String, Objective), ObjectiveError> {
    Ok((text.to_owned(), Objective::parse(text)?))
}

/// The result in one sentence.
fn sentence(found: &Recommendation, keep: &[&str]) -> String {
    let objectives = keep.join(" and ");
    match &found.best {
        Some(best) => {
            let label = name(best);
            let verb = if best.point.label.is_empty() { "keep" } else { "keeps" };
            let hours = figures::number(best.point.instance_seconds / 3_600.0);
            let keeps = format!("{label} {verb} {objectives} for {hours} instance-hours");
            let (before, after) =
                (found.baseline.point.instance_seconds, best.point.instance_seconds);
            if best.point.label.is_empty() {
                return format!("{keeps}; nothing that was tried does it for fewer");
            }
            match figures::more_or_fewer(before, after) {
                than if than.ends_with("as many") => format!("{keeps}, {than} as {AS_THEY_ARE}"),
                than => format!("{keeps}, {than} than {AS_THEY_ARE}"),
            }
        }
        None => format!(
            "nothing that was tried keeps {objectives} with every seed; raise --budget, widen \
             --vary, or ask for less"
        ),
    }
}

fn name(evidence: &Evidence) -> String {
    if evidence.point.label.is_empty() {
        AS_THEY_ARE.to_owned()
    } else {
        evidence.point.label.clone()
    }
}

/// A figure in the unit of the bound that it is held against.
fn shown(judged: &Judged, figure: f64) -> String {
    if judged.objective.figure.is_share() {
        figures::percent(figure)
    } else {
        figures::number(figure)
    }
}

/// The evidence first, the result last.
fn text(found: &Recommendation, keep: &[&str]) -> String {
    let mut text = format!("{:>14}", "instance-hours");
    for objective in &found.baseline.objectives {
        let _ = write!(text, "{:>16}", objective.objective);
    }
    text.push_str("  settings\n");
    let mut row = |evidence: &Evidence, marker: &str| {
        let _ = write!(text, "{:>14}", figures::number(evidence.point.instance_seconds / 3_600.0));
        for judged in &evidence.objectives {
            let kept = if judged.kept { "" } else { " ✗" };
            let _ = write!(text, "{:>16}", format!("{}{kept}", shown(judged, judged.figure)));
        }
        let _ = writeln!(text, "  {marker}{}", name(evidence));
    };
    row(&found.baseline, "as it is: ");
    let kept = |evidence: &&Evidence| evidence.objectives.iter().all(|judged| judged.kept);
    for evidence in found.tried.iter().filter(kept).take(EVIDENCE_ROWS) {
        let confirmed = evidence.worst.is_empty() || evidence.keeps_all;
        row(evidence, if confirmed { "" } else { "not with other seeds: " });
    }
    if !found.tried.iter().any(|evidence| kept(&evidence)) {
        found.tried.iter().rev().take(3).for_each(|evidence| row(evidence, "nearest: "));
    }
    let _ = writeln!(
        text,
        "\n{}, with {} in all",
        counted(found.tried.len() as u64, "run"),
        counted(found.combinations as u64, "combination"),
    );
    if let Some(best) = &found.best {
        let worst: Vec<String> = best
            .objectives
            .iter()
            .zip(&best.worst)
            .map(|(judged, worst)| {
                format!("{} was at worst {}", judged.objective, shown(judged, *worst))
            })
            .collect();
        if !worst.is_empty() {
            let _ = writeln!(text, "with other seeds, {}", worst.join(", "));
        }
        let settings: Vec<String> =
            best.point.settings.iter().map(|(key, value)| format!("--set {key}={value}")).collect();
        let _ = writeln!(text, "{}\n{}", sentence(found, keep), settings.join(" "));
    } else {
        let _ = writeln!(text, "{}", sentence(found, keep));
    }
    text
}
