//! `tidegate sim run`: one what-if.

use std::sync::Arc;

use anyhow::{Context, bail};
use tidegate_sim::seeds::{run_seeds, seeds, with_intervals};
use tidegate_sim::{
    Recording, RevisionNames, RunError, RunOutput, Scenario, Traffic, measured, parallel,
};
use tidegate_sim_report::{MinuteRows, Page, RequestRows, View};
use tidegate_sim_traffic::Ahead;

use super::as_recorded::DEFAULT_SERVICE;
use super::model_args::ModelArgs;
use super::observer::{Progress, Rows};
use super::output::{self, OutputArgs};
use super::traffic_args::{Chosen, TrafficArgs};

/// What was typed after `tidegate sim run`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    traffic: TrafficArgs,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs the verb.
pub(super) fn execute(args: &Args) -> anyhow::Result<()> {
    let (scenario, chosen) = prepare(args, args.output.recording())?;
    let traffic = chosen.traffic.as_ref();
    note_missing_service(&chosen, &args.model)?;
    // Reading or making up arrivals takes a thread of its own beside the simulation's.
    let ahead = Ahead::new(Arc::clone(&chosen.traffic));
    let mut run = simulate(&scenario, &ahead, &args.output)?;
    let effort = args.model.effort(parallel::all_cores());
    let others = &seeds(scenario.seed, effort.seeds.get())[1..];
    let others = run_seeds(&scenario, traffic, others, effort.threads).map_err(explain)?;
    run.result = with_intervals(run.result, &others);
    chosen.note_skipped();
    let command = output::command_line();
    let page = Page {
        title: args.traffic.title(),
        command,
        prices: args.model.prices(),
        origin_unix_s: args.traffic.origin_unix_s(&chosen),
        cold_starts: chosen.cold_starts(),
        views: vec![View { name: scenario.revision.policy.to_string(), run: &run }],
    };
    args.output.write(&run, &page)
}

/// What is run, and on which traffic.
pub(super) fn prepare(args: &Args, kept: Recording) -> anyhow::Result<(Scenario, Chosen)> {
    let chosen = choose(&args.traffic, &args.model)?;
    let scenario = args.model.scenario(kept, chosen.as_recorded()?.as_ref())?;
    Ok((scenario, chosen))
}

/// Traffic that ends, or an error that says how to end it.
pub(super) fn choose(traffic: &TrafficArgs, model: &ModelArgs) -> anyhow::Result<Chosen> {
    if model.says_clients() && traffic.trace.is_empty() && traffic.arrivals.is_empty() {
        return TrafficArgs::nothing(model.seed);
    }
    let chosen = traffic.build(model.seed, model.duration)?;
    if !chosen.ends && model.duration.is_none() {
        bail!("expected --duration, because the arrivals never end by themselves");
    }
    Ok(chosen)
}

/// Warns when service times are assumed, because nothing else in the output would show it.
pub(super) fn note_missing_service(chosen: &Chosen, model: &ModelArgs) -> anyhow::Result<()> {
    // A recording has some, and what failed takes as long as others did.
    if model.says_service() || chosen.recordings().any(|one| !one.services_us.is_empty()) {
        return Ok(());
    }
    let mut source = chosen.traffic.open().map_err(anyhow::Error::from_boxed)?;
    let first = source.next().transpose().map_err(anyhow::Error::from_boxed)?;
    if first.is_some_and(|arrival| arrival.service.is_none()) {
        eprintln!(
            "tidegate sim: note: the traffic has no service times; assuming {DEFAULT_SERVICE} \
             (--service says otherwise)"
        );
    }
    Ok(())
}

/// Runs, with progress and rows as asked.
pub(super) fn simulate(
    scenario: &Scenario,
    traffic: &dyn Traffic,
    output: &OutputArgs,
) -> anyhow::Result<RunOutput> {
    let mut progress = if output.quiet {
        Progress::silent()
    } else {
        Progress::new(traffic.len_hint(), scenario.duration)
    };
    if output.requests_csv.is_none() && output.minutes_csv.is_none() {
        let run = measured::run(scenario, traffic, &mut progress);
        progress.finish();
        return run.map_err(explain);
    }
    let requests = match &output.requests_csv {
        Some(path) => {
            let rows = RequestRows::new(output::create(path)?, names(traffic)?);
            Some(rows.with_context(|| output::cannot_write(path))?)
        }
        None => None,
    };
    let minutes = output.minutes_csv.is_some().then(MinuteRows::new);
    let mut rows = Rows { progress, requests, minutes };
    let run = measured::run(scenario, traffic, &mut rows);
    rows.progress.finish();
    let run = run.map_err(explain)?;
    if let (Some(path), Some(rows)) = (&output.requests_csv, rows.requests) {
        rows.finish().with_context(|| output::cannot_write(path))?;
    }
    if let (Some(path), Some(rows)) = (&output.minutes_csv, rows.minutes) {
        rows.write(output::create(path)?).with_context(|| output::cannot_write(path))?;
    }
    Ok(run)
}

/// The names of all revisions, by reading the traffic once.
fn names(traffic: &dyn Traffic) -> anyhow::Result<RevisionNames> {
    let mut source = traffic.open().map_err(anyhow::Error::from_boxed)?;
    while let Some(arrival) = source.next() {
        arrival.map_err(anyhow::Error::from_boxed)?;
    }
    Ok(source.names().clone())
}

/// An engine error in the words of the command line.
pub(super) fn explain(error: RunError) -> anyhow::Error {
    match error {
        // The reader's own message has file, line and column; nothing before it helps.
        RunError::Traffic(cause) => anyhow::Error::from_boxed(cause),
        // Settings apply to all revisions alike, so naming one would mislead.
        RunError::Setting { problem, .. } => anyhow::anyhow!("{problem}"),
        other => other.into(),
    }
}
