//! `tidegate sim validate --live`: a real run on this machine, compared with the simulator.
//!
//! The demo's traffic is played against real processes behind real sidecars, which record each
//! request (`TIDEGATE_RECORD`). What was sent, with the service times that were recorded, becomes a
//! trace; it is simulated under the settings of the run, with the start-up times that were
//! measured; and what came out is held against what was measured.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::Parser;
use serde::Serialize;
use tidegate_sim::scenario::{Keep, Path as Way, Platform, StartUp};
use tidegate_sim::{
    Distribution, PolicyChoice, Recording, RevisionModel, RunOutput, Scenario, SimSpan, Traffic,
    measured,
};
use tidegate_sim_report::figures;
use tidegate_sim_traffic::{TraceFile, TraceOptions};

use super::run;
use crate::demo::{self, Measured, harness, prediction};
use crate::files::make_folder;

/// Requests one instance takes at a time, and instances at most: the demo's own defaults.
const CONCURRENCY: u32 = 4;
const INSTANCES_MAX: u32 = 8;

/// What was measured and what was simulated, figure by figure.
#[derive(Debug, Serialize)]
pub(super) struct Beside {
    /// Requests that were sent.
    requests: u64,
    /// Requests without the app's own answer.
    lost: u64,
    /// The figures.
    figures: Vec<Figure>,
}

#[derive(Debug, Serialize)]
struct Figure {
    name: &'static str,
    measured: f64,
    simulated: f64,
    /// Difference as a share of what was measured.
    error: f64,
    /// Largest error aimed at.
    aim: f64,
    kept: bool,
    #[serde(skip)]
    show: fn(f64) -> String,
}

/// The demo's command line, so that its defaults need not be repeated here.
#[derive(Debug, Parser)]
struct Demo {
    #[command(flatten)]
    args: demo::Args,
}

/// Plays, records, simulates and compares. Files stay in `directory` when there is one.
pub(super) fn measure(
    length: SimSpan,
    seed: u64,
    directory: Option<&Path>,
) -> anyhow::Result<Beside> {
    let own = tempfile::tempdir()?;
    let directory = directory.unwrap_or(own.path());
    make_folder("--keep", directory)?;
    let recording = directory.join("recording.csv");
    ensure!(
        !recording.exists(),
        "{} is there already; expected a directory without a recording",
        recording.display()
    );
    let length = format!("{}ms", length.as_nanos() / 1_000_000);
    let typed = [
        "demo".to_owned(),
        format!("--duration={length}"),
        format!("--seed={seed}"),
        format!("--concurrency={CONCURRENCY}"),
        format!("--max={INSTANCES_MAX}"),
        format!("--record={}", recording.display()),
    ];
    let played = demo::measure(&Demo::try_parse_from(typed)?.args)?;
    let trace = write_trace(&played, &recording, directory)?;
    let simulated = simulate(&played, &trace, seed)?;
    write_timeline(&played, &simulated, directory)?;
    Ok(compare(&played, &simulated))
}

/// What was sent, with recorded service times: requests reach instances in the order in which they
/// were sent, but for those that overtake each other by less than a service time.
fn write_trace(played: &Measured, recording: &Path, directory: &Path) -> anyhow::Result<PathBuf> {
    let recorded = TraceFile::open(recording, TraceOptions::default())?;
    let mut source = recorded.open().map_err(anyhow::Error::from_boxed)?;
    let mut text = String::from("arrival_s,service_s\n");
    for sent in &played.schedule.arrivals {
        let service = match source.next() {
            Some(row) => row.map_err(anyhow::Error::from_boxed)?.service,
            None => None,
        };
        let service = service.map(|span| span.as_secs_f64().to_string()).unwrap_or_default();
        writeln!(text, "{:.9},{service}", sent.as_secs_f64())?;
    }
    let path = directory.join("sent.csv");
    std::fs::write(&path, text).with_context(|| path.display().to_string())?;
    let starts: String =
        played.tally.start_ups_ms.iter().map(|millis| format!("{millis}ms\n")).collect();
    let start_ups = directory.join("start-ups.txt");
    std::fs::write(&start_ups, starts).with_context(|| start_ups.display().to_string())?;
    Ok(path)
}

fn simulate(played: &Measured, trace: &Path, seed: u64) -> anyhow::Result<RunOutput> {
    let traffic = TraceFile::open(trace, TraceOptions { seed, ..TraceOptions::default() })?;
    let start_ups = trace.with_file_name("start-ups.txt");
    let start_up = if played.tally.start_ups_ms.is_empty() {
        Distribution::Constant(SimSpan::ZERO)
    } else {
        let text = format!("empirical:{}", start_ups.display());
        Distribution::parse(&text, &|path| std::fs::read_to_string(path))?
    };
    let mut settings = prediction::settings(harness::WINDOW);
    settings.insert("max-scale".to_owned(), INSTANCES_MAX.to_string());
    let revision = RevisionModel {
        policy: PolicyChoice::Tidegate,
        settings,
        concurrency: CONCURRENCY,
        start_up: StartUp::total(start_up),
        path: Way::Central,
        platform: Platform::Local { idle: harness::IDLE.into() },
        initial: Some(0),
        ..RevisionModel::default()
    };
    let over = played.tally.standings.last().map_or(played.schedule.length, |last| last.at);
    let scenario = Scenario {
        seed,
        duration: Some(SimSpan::from(over)),
        revision,
        recording: Recording { series: Keep::Yes, ..Recording::NOTHING },
        ..Scenario::default()
    };
    measured::run(&scenario, &traffic, &mut ()).map_err(run::explain)
}

/// Second by second, what was measured beside what was simulated.
fn write_timeline(
    played: &Measured,
    simulated: &RunOutput,
    directory: &Path,
) -> anyhow::Result<()> {
    let measured = prediction::per_second(&played.tally.standings);
    let mut text = String::from("second,measured_ready,simulated_ready,simulated_wanted\n");
    let points = simulated.series.first().map_or(&[][..], |series| &series.points);
    for second in 0..measured.len().max(points.len()) {
        let ready = measured.get(second).copied().unwrap_or(0.0);
        let point = points.get(second).copied().unwrap_or_default();
        writeln!(text, "{second},{ready},{},{}", point.ready_mean, point.wanted_mean)?;
    }
    text.push_str("\nat_s,measured_wanted,reason\n");
    for change in &played.tally.changes {
        let reason = change.reason.replace('"', "'");
        writeln!(text, "{},{},\"{reason}\"", change.at.as_secs_f64(), change.desired)?;
    }
    let path = directory.join("timeline.csv");
    std::fs::write(&path, text).with_context(|| path.display().to_string())
}

fn compare(played: &Measured, simulated: &RunOutput) -> Beside {
    let tally = &played.tally;
    let result = &simulated.result;
    let (instances, _) = tally.instances();
    let ready: Vec<f64> = simulated
        .series
        .first()
        .map(|series| series.points.iter().map(|point| point.ready_mean).collect())
        .unwrap_or_default();
    let apart = prediction::distance(&ready, &prediction::per_second(&tally.standings));
    let number: fn(f64) -> String = figures::number;
    let figure = |name, measured: f64, simulated: f64, aim, show| {
        let error = if measured > 0.0 { simulated / measured - 1.0 } else { simulated };
        Figure { name, measured, simulated, error, aim, kept: error.abs() <= aim, show }
    };
    let mut figures = vec![
        figure("instances, mean", instances, result.instances.mean, 0.05, number),
        figure("cold starts", played.cold_starts as f64, result.cold_starts as f64, 0.05, number),
        figure("latency p50", tally.latency_ms(0.5), result.latency_ms.p50, 0.1, figures::millis),
        figure("latency p99", tally.latency_ms(0.99), result.latency_ms.p99, 0.2, figures::millis),
    ];
    let over_time = Figure {
        name: "instances, second by second",
        measured: instances,
        simulated: result.instances.mean,
        error: apart,
        aim: 0.05,
        kept: apart <= 0.05,
        show: figures::number,
    };
    figures.insert(1, over_time);
    Beside { requests: tally.requests(), lost: tally.lost(), figures }
}

impl std::fmt::Display for Beside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(
            f,
            "{} requests against real processes, {} lost\n",
            figures::count(self.requests),
            figures::count(self.lost)
        )?;
        writeln!(
            f,
            "  {:<30}{:>12}{:>12}{:>10}{:>10}",
            "", "measured", "simulated", "off by", "aim"
        )?;
        for figure in &self.figures {
            let verdict = if figure.kept { "✓" } else { "✗" };
            writeln!(
                f,
                "{verdict} {:<30}{:>12}{:>12}{:>10}{:>10}",
                figure.name,
                (figure.show)(figure.measured),
                (figure.show)(figure.simulated),
                figures::percent(figure.error),
                format!("± {}", figures::percent(figure.aim))
            )?;
        }
        Ok(())
    }
}
