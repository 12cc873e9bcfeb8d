//! `tidegate sim recommend`: the cheapest settings that keep stated objectives, with the evidence.

mod per_revision;

use std::fmt::Write as _;
use std::num::NonZeroUsize;
use std::path::Path;

use anyhow::anyhow;
use tidegate_sim::Recording;
use tidegate_sim::recommend::{
    Evidence, Figure, Judged, Objective, ObjectiveError, Recommendation, Search, recommend,
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

/// Rows of what came nearest, when nothing keeps the objectives.
const NEAREST_ROWS: usize = 3;

/// Rows of evidence on a terminal.
const EVIDENCE_ROWS: usize = 12;

/// Seeds with which what wins must hold, unless the number is given: enough to tell luck, and few
/// enough to be a small part of the search.
const SEEDS: NonZeroUsize = NonZeroUsize::new(5).unwrap();

/// How the settings that were given are called, whatever was varied.
const AS_THEY_ARE: &str = "the settings as they are";

/// What was typed after `tidegate sim recommend`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// An objective: FIGURE<BOUND, such as p99<250ms, cold<1%, lost<0.1%, instances<20 or cost<50;
    /// again for more.
    #[arg(long, value_name = "FIGURE<BOUND", required = true, value_parser = objective)]
    keep: Vec<(String, Objective)>,
    /// What may be varied, as for sweep; otherwise the settings that are usually tuned first.
    #[arg(long, value_name = "NAME=VALUES", value_parser = Dimension::parse)]
    vary: Vec<Dimension>,
    /// Runs at most.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = whole(1..=1_000_000usize))]
    budget: usize,
    /// Settings for each revision alone; the bounds are on all revisions together. Without --vary,
    /// min-scale. --csv then has the settings, for --revision-settings of all verbs.
    #[arg(long, conflicts_with_all = ["budget", "runs"])]
    per_revision: bool,
    #[command(flatten)]
    traffic: TrafficArgs,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    answers: Answers,
}

/// Runs the verb.
pub(super) fn execute(args: &Args) -> anyhow::Result<()> {
    if args.per_revision {
        return per_revision::execute(args);
    }
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
    let effort = args.model.effort_or(SEEDS, args.answers.threads());
    let search = Search { objectives, dimensions, budget: args.budget, effort };
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
        objectives: search.objectives,
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
            let price = Figure::price(&best.point.result);
            let cost = figures::figure(price, price.mean(&best.point.result));
            let keeps = match price {
                Figure::Cost => format!("{label} {verb} {objectives} for {cost}"),
                _ => format!("{label} {verb} {objectives} for {cost} instance-hours"),
            };
            let less = if price == Figure::Cost { "less" } else { "fewer" };
            if best.point.label.is_empty() {
                return format!("{keeps}; nothing that was tried does it for {less}");
            }
            let (before, after) = (found.baseline.point.price(), best.point.price());
            let than = match price {
                Figure::Cost => figures::more_or_less(before, after),
                _ => figures::more_or_fewer(before, after),
            };
            let than = match than.ends_with("as many") || than.ends_with("as much") {
                true => format!("{than} as {AS_THEY_ARE}"),
                false => format!("{than} than {AS_THEY_ARE}"),
            };
            let chance = match &found.saving {
                Some(saving) if saving.covers_zero() && saving.half_width() > 0.0 => {
                    ", which is within chance"
                }
                _ => "",
            };
            format!("{keeps}, {than}{chance}")
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

/// What was found of an objective, in the unit of its bound.
fn shown(evidence: &Evidence, judged: &Judged) -> String {
    let kept = if judged.kept { "" } else { " ✗" };
    format!("{}{kept}", figures::figure_of(judged.objective.figure, &evidence.point.result))
}

/// The evidence first, the result last.
fn text(found: &Recommendation, keep: &[&str]) -> String {
    let price = Figure::price(&found.baseline.point.result);
    let mut text = format!("{:>18}", price.name());
    for objective in &found.baseline.objectives {
        let _ = write!(text, "{:>20}", objective.objective);
    }
    text.push_str("  settings\n");
    let mut row = |evidence: &Evidence, marker: &str| {
        let cost = figures::figure_of(price, &evidence.point.result);
        let _ = write!(text, "{cost:>18}");
        for judged in &evidence.objectives {
            let _ = write!(text, "{:>20}", shown(evidence, judged));
        }
        let _ = writeln!(text, "  {marker}{}", name(evidence));
    };
    row(&found.baseline, "as it is: ");
    let kept = |evidence: &&Evidence| evidence.objectives.iter().all(|judged| judged.kept);
    let others = found.tried.iter().filter(|evidence| !evidence.point.label.is_empty());
    for evidence in others.clone().filter(kept).take(EVIDENCE_ROWS) {
        row(evidence, if evidence.keeps_all { "" } else { "not with every seed: " });
    }
    if !found.tried.iter().any(|evidence| kept(&evidence)) {
        nearest(others.collect()).into_iter().for_each(|evidence| row(evidence, "nearest: "));
    }
    let _ = writeln!(
        text,
        "\n{}, with {} in all",
        counted(found.tried.len() as u64, "run"),
        counted(found.combinations as u64, "combination"),
    );
    if let Some(best) = &found.best {
        let seeds = best.point.result.over_seeds.as_ref().map_or(1, |over| over.seeds.len());
        let worst: Vec<String> = best
            .objectives
            .iter()
            .zip(&best.worst)
            .map(|(Judged { objective, .. }, worst)| {
                format!("{objective} was at worst {}", figures::figure(objective.figure, *worst))
            })
            .collect();
        if !worst.is_empty() {
            let _ = writeln!(
                text,
                "over {seeds} seeds, ± half of the 95 % interval; {}",
                worst.join(", ")
            );
        }
        let settings: Vec<String> =
            best.point.settings.iter().map(|(key, value)| format!("--set {key}={value}")).collect();
        let _ = writeln!(text, "{}\n{}", sentence(found, keep), settings.join(" "));
    } else {
        let _ = writeln!(text, "{}", sentence(found, keep));
    }
    text
}

/// Those that miss by the least.
fn nearest(mut tried: Vec<&Evidence>) -> Vec<&Evidence> {
    tried.sort_by(|a, b| a.missed_by().total_cmp(&b.missed_by()));
    tried.truncate(NEAREST_ROWS);
    tried
}
