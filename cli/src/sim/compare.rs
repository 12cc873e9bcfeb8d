//! `tidegate sim compare`: several settings or policies on the very same arrivals.

use std::path::{Path, PathBuf};

use anyhow::{anyhow, bail};
use serde_json::json;
use tidegate_sim::compare::{Variant, compare};
use tidegate_sim::figure::Figure;
use tidegate_sim::{Recording, Scenario, SimResult, parallel};
use tidegate_sim_report as report;
use tidegate_sim_report::{Page, View};
use tidegate_words::excerpt;

use super::model_args::ModelArgs;
use super::observer::Steps;
use super::output;
use super::run;
use super::traffic_args::TrafficArgs;
use crate::typed::setting;

/// Runs on one page at most: more lines in one chart cannot be told apart.
const VARIANTS_MAX: usize = 6;

/// What was typed after `tidegate sim compare`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What is tried besides the settings as they are: KEY=VALUE pairs separated by `;`, with an
    /// optional name before a colon and blank, as in "lean: target=100; scale-down-delay=0s". Keys
    /// are those of --set, and policy, concurrency, queue, service, cold-start, ..., and nodes,
    /// fail and price, which add to what there is. Again for more.
    #[arg(long, value_name = "[NAME: ]KEY=VALUE;...", required = true)]
    variant: Vec<String>,
    /// Leave out the settings as they are; the first variant is then what others are compared to.
    #[arg(long)]
    no_base: bool,
    #[command(flatten)]
    traffic: TrafficArgs,
    #[command(flatten)]
    model: ModelArgs,
    /// The results as JSON; `-` is standard output and nothing else is written there.
    #[arg(long, value_name = "FILE", help_heading = "Answers")]
    json: Option<PathBuf>,
    /// The results as CSV, one row for each variant.
    #[arg(long, value_name = "FILE", help_heading = "Answers")]
    csv: Option<PathBuf>,
    /// One page with all of them on the same axes.
    #[arg(long, value_name = "FILE", help_heading = "Answers")]
    html: Option<PathBuf>,
    /// No progress and no table.
    #[arg(long, short, help_heading = "Answers")]
    quiet: bool,
}

/// Runs the verb.
pub(super) fn execute(args: &Args) -> anyhow::Result<()> {
    let recording = if args.html.is_some() {
        Recording { revision_series: 0, ..Recording::REPORT }
    } else {
        Recording::NOTHING
    };
    let chosen = run::choose(&args.traffic, &args.model)?;
    let base = args.model.scenario(recording, chosen.as_recorded()?.as_ref())?;
    let variants = variants(args, &base)?;
    let traffic = chosen.traffic.as_ref();
    run::note_missing_service(&chosen, &args.model)?;
    let effort = args.model.effort(parallel::all_cores());
    let runs = variants.len() * effort.seeds.get();
    let steps = if args.quiet { Steps::silent() } else { Steps::new(runs, "runs") };
    let mut done = 0;
    let outputs = compare(&variants, traffic, effort, || {
        done += 1;
        steps.show(done, runs);
    });
    steps.finish();
    let outputs = outputs.map_err(run::explain)?;
    chosen.note_skipped();
    let results: Vec<(&str, &SimResult)> = variants
        .iter()
        .zip(&outputs)
        .map(|(variant, output)| (variant.name.as_str(), &output.result))
        .collect();
    if let Some(path) = &args.html {
        let views = variants.iter().zip(&outputs);
        let page = Page {
            title: args.traffic.title(),
            command: output::command_line(),
            prices: args.model.prices(),
            origin_unix_s: args.traffic.origin_unix_s(&chosen),
            cold_starts: chosen.cold_starts(),
            views: views.map(|(v, run)| View { name: v.name.clone(), run }).collect(),
        };
        output::write_file(path, report::html(&page).as_bytes())?;
    }
    if let Some(path) = &args.csv {
        output::write_file(path, csv(&results).as_bytes())?;
        if output::is_stdout(path) {
            return Ok(());
        }
    }
    if let Some(path) = &args.json {
        let rows: Vec<_> = results
            .iter()
            .map(|(name, result)| json!({ "name": name, "result": result }))
            .collect();
        let mut text = serde_json::to_string_pretty(&json!({ "variants": rows }))?;
        text.push('\n');
        output::write_file(path, text.as_bytes())?;
        if output::is_stdout(path) {
            return Ok(());
        }
    }
    if args.quiet {
        return Ok(());
    }
    let text = report::comparison(&results, output::terminal());
    output::write_file(Path::new("-"), text.as_bytes())
}

/// What was used and paid for beside instances; columns where it is known.
const USED: [Figure; 4] = [Figure::GbHours, Figure::NodeHours, Figure::GpuHours, Figure::Cost];

/// The name of a figure as a column.
fn column(figure: Figure) -> String {
    figure.name().replace(['-', '.'], "_")
}

/// One row for each variant. Over several seeds figures are means, and those of the model have the
/// ends of their interval behind the rest.
fn csv(results: &[(&str, &SimResult)]) -> String {
    let mut text = String::from(
        "name,requests,lost,cold_starts,latency_p50_ms,latency_p95_ms,latency_p99_ms,wait_p99_ms,\
         instances_mean,instances_max,instance_seconds,idle_share,scale_events",
    );
    let known = |figure: Figure| results.iter().any(|(_, run)| figure.is_known(run));
    let used: Vec<Figure> = USED.into_iter().filter(|figure| known(*figure)).collect();
    for figure in &used {
        text.push_str(&format!(",{}", column(*figure)));
    }
    let several = results.iter().any(|(_, run)| run.over_seeds.is_some());
    for figure in Figure::all().filter(|figure| several && known(*figure)) {
        let name = column(figure);
        text.push_str(&format!(",{name}_low,{name}_high"));
    }
    for (name, run) in results {
        let mean = |figure: Figure| figure.mean(run);
        let requests = mean(Figure::Requests);
        let of_requests = |share: Figure, exact: u64| match share.interval(run) {
            Some(interval) => interval.mean * requests,
            None => exact as f64,
        };
        text.push_str(&format!(
            "\n{},{requests},{},{}",
            super::traffic::quoted(name),
            of_requests(Figure::Lost, run.lost()),
            of_requests(Figure::Cold, run.cold_starts)
        ));
        for figure in [Figure::P50, Figure::P95, Figure::P99, Figure::WaitP99] {
            text.push_str(&format!(",{}", mean(figure)));
        }
        text.push_str(&format!(
            ",{},{},{},{},{}",
            mean(Figure::InstancesMean),
            mean(Figure::Instances),
            match Figure::InstanceHours.interval(run) {
                Some(hours) => hours.mean * 3_600.0,
                None => run.instance_seconds,
            },
            mean(Figure::Idle),
            mean(Figure::ScaleEvents)
        ));
        for figure in &used {
            text.push_str(&match figure.is_known(run) {
                true => format!(",{}", mean(*figure)),
                false => ",".to_owned(),
            });
        }
        for figure in Figure::all().filter(|figure| several && known(*figure)) {
            text.push_str(&match figure.interval(run) {
                Some(interval) => format!(",{},{}", interval.low, interval.high),
                None => ",,".to_owned(),
            });
        }
    }
    text.push('\n');
    text
}

/// The scenarios by their names, the settings as they are first.
fn variants(args: &Args, base: &Scenario) -> anyhow::Result<Vec<Variant>> {
    let mut all = Vec::new();
    if !args.no_base {
        all.push(Variant { name: "as it is".to_owned(), scenario: base.clone() });
    }
    for text in &args.variant {
        let variant = variant(text, base)?;
        if all.iter().any(|other| other.name == variant.name) {
            bail!(
                "--variant: expected a name of its own, found '{}' twice",
                excerpt(&variant.name)
            );
        }
        all.push(variant);
    }
    if all.len() > VARIANTS_MAX {
        bail!("expected at most {VARIANTS_MAX} variants, found {}; use sweep for more", all.len());
    }
    Ok(all)
}

fn variant(text: &str, base: &Scenario) -> anyhow::Result<Variant> {
    // A colon also stands inside values such as policy=fixed:10; the one of a name has a blank
    // behind it.
    let (name, pairs) = match text.split_once(": ") {
        Some((name, pairs)) if !name.contains('=') => (name.trim(), pairs),
        _ => (text, text),
    };
    let mut scenario = base.clone();
    for pair in pairs.split(';').map(str::trim).filter(|pair| !pair.is_empty()) {
        let set = setting(pair).and_then(|(key, value)| scenario.set(&key, &value));
        set.map_err(|problem| anyhow!("--variant {}: {problem}", excerpt(text)))?;
    }
    let checked = scenario.revision.check();
    checked.map_err(|problem| anyhow!("--variant {}: {problem}", excerpt(text)))?;
    Ok(Variant { name: name.to_owned(), scenario })
}
