//! `tidegate sim recommend --per-revision`: settings for each revision alone, under bounds on all
//! of them.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::anyhow;
use tidegate_sim::recommend::per_revision::{PerRevision, RevisionSearch, recommend_per_revision};
use tidegate_sim::recommend::{Evidence, Figure};
use tidegate_sim::sweep::Dimension;
use tidegate_sim::{Recording, Scenario};
use tidegate_sim_report::figures;

use super::{Args, SEEDS, shown};
use crate::sim::observer::Steps;
use crate::sim::sweep::{Question, note_refused};
use crate::sim::{NothingKeeps, output, revision_settings, run};
use crate::terminal::counted;

/// Revisions listed on a terminal.
const ROWS: usize = 12;

/// What is varied unless it is said: what keeps a revision warm.
fn usual_dimensions() -> Vec<Dimension> {
    let values = ["0", "1", "2", "3", "5", "10"].map(str::to_owned).to_vec();
    vec![Dimension { setting: "min-scale".to_owned(), values }]
}

/// Runs the verb.
pub(super) fn execute(args: &Args) -> anyhow::Result<()> {
    let chosen = run::choose(&args.traffic, &args.model)?;
    let base = args.model.scenario(Recording::NOTHING, chosen.as_recorded()?.as_ref())?;
    let keep: Vec<&str> = args.keep.iter().map(|(text, _)| text.as_str()).collect();
    let dimensions = if args.vary.is_empty() { usual_dimensions() } else { args.vary.clone() };
    for Dimension { setting, values } in &dimensions {
        for value in values {
            let named = base.revision.clone().set(setting, value);
            named.map_err(|problem| anyhow!("--vary {setting}: {problem}"))?;
        }
    }
    let traffic = chosen.traffic.as_ref();
    run::note_missing_service(&chosen, &args.model)?;
    let effort = args.model.effort_or(SEEDS, args.answers.threads());
    let objectives = args.keep.iter().map(|(_, objective)| *objective).collect();
    let search = RevisionSearch { objectives, dimensions, effort };
    let steps = if args.answers.quiet { Steps::silent() } else { Steps::new(0, "runs") };
    let found = recommend_per_revision(&base, traffic, &search, |done, of| steps.show(done, of));
    steps.finish();
    let found = found.map_err(run::explain)?;
    chosen.note_skipped();
    note_refused(&found.refused);
    write(args, &found, &keep, &base, traffic)?;
    match found.best {
        Some(_) => Ok(()),
        None => Err(NothingKeeps(keep.join(" and ")).into()),
    }
}

fn write(
    args: &Args,
    found: &PerRevision,
    keep: &[&str],
    base: &Scenario,
    traffic: &dyn tidegate_sim::Traffic,
) -> anyhow::Result<()> {
    let all = [&found.baseline].into_iter().chain(&found.uniform).chain(&found.best);
    let points: Vec<_> = all.map(|evidence| evidence.point.clone()).collect();
    let question = Question {
        title: args.traffic.title(),
        subtitle: sentence(found, keep),
        base,
        traffic,
        objectives: args.keep.iter().map(|(_, objective)| *objective).collect(),
        best: found.best.as_ref().map(|best| best.point.label.clone()),
    };
    args.answers.write_pictures(&points, &question)?;
    if let (Some(path), Some(_)) = (args.answers.csv(), &found.best) {
        output::write_file(path, revision_settings::rows(&found.changes).as_bytes())?;
    }
    if let Some(path) = &args.answers.json {
        let mut text = serde_json::to_string_pretty(found)?;
        text.push('\n');
        output::write_file(path, text.as_bytes())?;
    }
    if args.answers.summarises() {
        output::write_file(Path::new("-"), text(found, keep).as_bytes())?;
    }
    Ok(())
}

/// The result in one sentence.
fn sentence(found: &PerRevision, keep: &[&str]) -> String {
    let objectives = keep.join(" and ");
    let Some(best) = &found.best else {
        return format!(
            "nothing that was tried keeps {objectives} with every seed; widen --vary, or ask for \
             less"
        );
    };
    let own = format!(
        "{} of {} with settings of their own",
        found.changes.len(),
        counted(found.revisions as u64, "revision")
    );
    let mut text = format!("{own}: {} for {objectives}", cost(best));
    let cheapest = found.uniform.iter().find(|evidence| evidence.keeps_all);
    match cheapest {
        Some(same) => {
            let _ =
                write!(text, ", where {} for all of them takes {}", same.point.label, cost(same));
        }
        None => text.push_str(", which the same settings for all of them do not keep"),
    }
    if let Some(gap) = found.gap_share {
        let _ = write!(
            text,
            "; no choice among these values takes less by more than {}",
            figures::percent(gap)
        );
    }
    text
}

/// What it takes: money, or instance-hours.
fn cost(evidence: &Evidence) -> String {
    let result = &evidence.point.result;
    let price = Figure::price(result);
    let cost = figures::figure(price, price.mean(result));
    if price == Figure::Cost { cost } else { format!("{cost} instance-hours") }
}

/// The evidence first, the result last.
fn text(found: &PerRevision, keep: &[&str]) -> String {
    let price = Figure::price(&found.baseline.point.result);
    let mut text = format!("{:>18}", price.name());
    for objective in &found.baseline.objectives {
        let _ = write!(text, "{:>20}", objective.objective);
    }
    text.push_str("  settings\n");
    let mut row = |evidence: &Evidence, name: &str| {
        let _ = write!(text, "{:>18}", figures::figure_of(price, &evidence.point.result));
        for judged in &evidence.objectives {
            let _ = write!(text, "{:>20}", shown(evidence, judged));
        }
        let _ = writeln!(text, "  {name}");
    };
    row(&found.baseline, "as it is");
    for evidence in found.uniform.iter().take(ROWS) {
        row(evidence, &format!("{} for all", evidence.point.label));
    }
    if let Some(best) = &found.best {
        row(best, "each its own");
    }
    if !found.changes.is_empty() {
        let _ = writeln!(
            text,
            "\n{:<32}{:>12}{:>14}{:>22}  settings",
            "revision",
            "cold before",
            "cold then",
            format!("more {}", price.name())
        );
    }
    for change in found.changes.iter().take(ROWS) {
        let settings: Vec<String> =
            change.settings.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let clean: String = change.revision.chars().filter(|c| !c.is_control()).take(30).collect();
        let _ = writeln!(
            text,
            "{clean:<32}{:>12}{:>14}{:>22}  {}",
            figures::number(change.cold_starts[0]),
            figures::number(change.cold_starts[1]),
            figures::number(change.cost[1] - change.cost[0]),
            settings.join(" ")
        );
    }
    if found.changes.len() > ROWS {
        let _ = writeln!(text, "and {} more; --csv has all", found.changes.len() - ROWS);
    }
    let _ = writeln!(text, "\n{}", sentence(found, keep));
    text
}
