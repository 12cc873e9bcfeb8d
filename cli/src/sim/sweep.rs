//! `tidegate sim sweep`: which of many settings are worth having?

use std::io::Write;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::Context;
use tidegate_sim::figure::Figure;
use tidegate_sim::recommend::Objective;
use tidegate_sim::sweep::{Dimension, Plan, Refused, SweepOutput, SweepPoint, sweep};
use tidegate_sim::{Recording, Scenario, Traffic, measured, parallel};
use tidegate_sim_report as report;
use tidegate_sim_report::{Page, SweepPage, View};

use super::model_args::ModelArgs;
use super::observer::Steps;
use super::output;
use super::run;
use super::traffic_args::TrafficArgs;
use crate::terminal::counted;
use crate::typed::whole;
use tidegate_flags::files::make_folder;

/// Most threads accepted; more is a typing error.
const THREADS_MAX: NonZeroUsize = NonZeroUsize::new(1_024).unwrap();

/// Rows of the front on a terminal.
const FRONT_ROWS: usize = 20;

/// Most invalid combinations listed one by one; the rest is counted.
const REFUSED_ROWS: usize = 5;

/// What was typed after `tidegate sim sweep`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A setting and its values: NAME=VALUE,VALUE,... or NAME=FROM..TO/STEP, as in
    /// stable-window=30s..120s/30s. Names are those of --set, and policy, concurrency, queue, ...
    #[arg(long, value_name = "NAME=VALUES", required = true, value_parser = Dimension::parse)]
    vary: Vec<Dimension>,
    /// Only so many combinations, drawn at random.
    #[arg(long, value_name = "N", value_parser = whole(1..=1_000_000usize))]
    random: Option<usize>,
    #[command(flatten)]
    traffic: TrafficArgs,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    answers: Answers,
}

/// Destinations of a sweep's results.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Answers")]
pub(crate) struct Answers {
    /// All points as JSON; `-` is standard output and nothing else is written there.
    #[arg(long, value_name = "FILE")]
    pub(super) json: Option<PathBuf>,
    /// All points as CSV.
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// One page with cost against latency.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// A page for the run of each point of the front into this directory, linked from --html.
    #[arg(long, value_name = "DIR", requires = "html")]
    runs: Option<PathBuf>,
    /// The scatter as SVG.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// The scatter as PNG.
    #[arg(long, value_name = "FILE")]
    png: Option<PathBuf>,
    /// Threads; all cores otherwise. Results do not depend on it.
    #[arg(long, value_name = "N", value_parser = whole(NonZeroUsize::MIN..=THREADS_MAX))]
    threads: Option<NonZeroUsize>,
    /// No progress and no table.
    #[arg(long, short)]
    pub(super) quiet: bool,
}

/// The sweep that the results are of.
pub(super) struct Question<'a> {
    pub(super) title: String,
    pub(super) subtitle: String,
    pub(super) base: &'a Scenario,
    pub(super) traffic: &'a dyn Traffic,
    pub(super) objectives: Vec<Objective>,
    pub(super) best: Option<String>,
}

/// Runs the verb.
pub(super) fn execute(args: &Args) -> anyhow::Result<()> {
    let chosen = run::choose(&args.traffic, &args.model)?;
    let base = args.model.scenario(Recording::NOTHING, chosen.as_recorded()?.as_ref())?;
    let dimensions = &args.vary;
    let plan = match args.random {
        Some(runs) => Plan::Random { runs, seed: args.model.seed },
        None => Plan::Grid,
    };
    let traffic = chosen.traffic.as_ref();
    run::note_missing_service(&chosen, &args.model)?;
    let steps = if args.answers.quiet { Steps::silent() } else { Steps::new(0, "runs") };
    let effort = args.model.effort(args.answers.threads());
    let found = sweep(&base, traffic, dimensions, plan, effort, |done, of| {
        steps.show(done, of);
    });
    steps.finish();
    let found = found.map_err(run::explain)?;
    chosen.note_skipped();
    note_refused(&found.refused);
    let names: Vec<&str> = dimensions.iter().map(|one| one.setting.as_str()).collect();
    let question = Question {
        title: args.traffic.title(),
        subtitle: format!(
            "{} of {}",
            counted(found.points.len() as u64, "combination"),
            names.join(", ")
        ),
        base: &base,
        traffic,
        objectives: Vec::new(),
        best: None,
    };
    args.answers.write(&found.points, &question)?;
    if let Some(path) = &args.answers.json {
        write_json(path, &found)?;
    }
    if args.answers.summarises() {
        let mut text = report::front_text(&found.points, FRONT_ROWS);
        text.push_str(&format!("\n{}; the front of", question.subtitle));
        text.push_str(" cost, p99, cold starts and losses is above\n");
        if effort.seeds > NonZeroUsize::MIN {
            text.push_str(&format!(
                "means over {} seeds, ± half of the 95 % interval\n",
                effort.seeds
            ));
        }
        output::write_file(Path::new("-"), text.as_bytes())?;
    }
    Ok(())
}

fn write_json(path: &Path, found: &SweepOutput) -> anyhow::Result<()> {
    let mut text = serde_json::to_string_pretty(found)?;
    text.push('\n');
    output::write_file(path, text.as_bytes())
}

impl Answers {
    pub(super) fn threads(&self) -> NonZeroUsize {
        self.threads.unwrap_or_else(parallel::all_cores)
    }

    pub(super) fn summarises(&self) -> bool {
        !self.quiet && !self.json.as_deref().is_some_and(output::is_stdout)
    }

    /// Writes the files about `points` that were asked for, except JSON.
    pub(super) fn write(&self, points: &[SweepPoint], about: &Question<'_>) -> anyhow::Result<()> {
        if let Some(path) = &self.csv {
            let mut file = output::create(path)?;
            write_csv(points, &mut file).with_context(|| output::cannot_write(path))?;
        }
        self.write_pictures(points, about)
    }

    /// Where CSV goes, when it was asked for.
    pub(super) fn csv(&self) -> Option<&Path> {
        self.csv.as_deref()
    }

    /// Writes the pictures and the page of `points` that were asked for.
    pub(super) fn write_pictures(
        &self,
        points: &[SweepPoint],
        about: &Question<'_>,
    ) -> anyhow::Result<()> {
        let scene = report::scatter(&about.title, points, &about.objectives);
        if let Some(path) = &self.svg {
            output::write_file(path, report::svg(&scene).as_bytes())?;
        }
        if let Some(path) = &self.png {
            output::write_file(path, &report::png(&scene)?)?;
        }
        let Some(path) = &self.html else { return Ok(()) };
        let runs = match &self.runs {
            Some(directory) => self.single_runs(directory, path, points, about)?,
            None => Vec::new(),
        };
        let page = SweepPage {
            title: about.title.clone(),
            subtitle: about.subtitle.clone(),
            command: output::command_line(),
            points,
            objectives: about.objectives.clone(),
            best: about.best.clone(),
            now: None,
            runs,
        };
        output::write_file(path, report::sweep_html(&page).as_bytes())
    }

    /// Runs each point of the front again with everything kept, and writes its page.
    fn single_runs(
        &self,
        directory: &Path,
        page: &Path,
        points: &[SweepPoint],
        about: &Question<'_>,
    ) -> anyhow::Result<Vec<(String, String)>> {
        make_folder("--runs", directory)?;
        let mut links = Vec::new();
        for (number, point) in points.iter().filter(|point| point.on_front).enumerate() {
            let mut scenario = Scenario { recording: Recording::REPORT, ..about.base.clone() };
            for (key, value) in &point.settings {
                scenario.set(key, value).map_err(anyhow::Error::msg)?;
            }
            let run = measured::run(&scenario, about.traffic, &mut ()).map_err(run::explain)?;
            let view = View { name: point.label.clone(), run: &run };
            let single = Page {
                title: format!("{}, {}", about.title, point.label),
                command: output::command_line(),
                prices: about.base.prices,
                origin_unix_s: None,
                cold_starts: Vec::new(),
                views: vec![view],
            };
            let file = directory.join(format!("front-{number:03}.html"));
            output::write_file(&file, report::html(&single).as_bytes())?;
            let beside = page.parent().unwrap_or(Path::new(""));
            let link = file.strip_prefix(beside).unwrap_or(&file);
            links.push((point.label.clone(), link.display().to_string()));
        }
        Ok(links)
    }
}

/// One row a point.
fn write_csv(points: &[SweepPoint], out: &mut dyn Write) -> anyhow::Result<()> {
    let names: Vec<&String> = points.first().map_or(Vec::new(), |p| p.settings.keys().collect());
    let quoted = |text: &str| match text.contains([',', '"', '\n']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    };
    let header: Vec<String> = names.iter().map(|name| quoted(name)).collect();
    let figures = "instance_seconds,p50_ms,p99_ms,cold_share,lost_share,instances_mean,on_front";
    write!(out, "{},{figures}", header.join(","))?;
    let known: Vec<Figure> = Figure::all()
        .filter(|figure| points.iter().any(|point| figure.is_known(&point.result)))
        .collect();
    if known.contains(&Figure::Cost) {
        write!(out, ",cost")?;
    }
    let several = points.iter().any(|point| point.result.over_seeds.is_some());
    for figure in known.iter().filter(|_| several) {
        let name = figure.name().replace(['-', '.'], "_");
        write!(out, ",{name}_low,{name}_high")?;
    }
    writeln!(out)?;
    for point in points {
        let values: Vec<String> = point.settings.values().map(|value| quoted(value)).collect();
        write!(
            out,
            "{},{},{},{},{},{},{},{}",
            values.join(","),
            point.instance_seconds,
            Figure::P50.mean(&point.result),
            point.p99_ms,
            point.cold_share,
            point.lost_share,
            Figure::InstancesMean.mean(&point.result),
            point.on_front
        )?;
        if let Some(cost) = point.cost {
            write!(out, ",{cost}")?;
        }
        for figure in known.iter().filter(|_| several) {
            match figure.interval(&point.result) {
                Some(interval) => write!(out, ",{},{}", interval.low, interval.high)?,
                None => write!(out, ",,")?,
            }
        }
        writeln!(out)?;
    }
    out.flush()?;
    Ok(())
}

/// Warns about the combinations that were left out, with the reasons.
pub(super) fn note_refused(refused: &[Refused]) {
    for Refused { settings, reason } in refused.iter().take(REFUSED_ROWS) {
        let settings: Vec<String> =
            settings.iter().map(|(key, value)| format!("{key}={value}")).collect();
        eprintln!("tidegate sim: note: left out {}: {reason}", settings.join(" "));
    }
    if let count @ 1.. = refused.len().saturating_sub(REFUSED_ROWS) {
        let more = counted(count as u64, "more combination");
        eprintln!("tidegate sim: note: left out {more} that cannot be run");
    }
}
