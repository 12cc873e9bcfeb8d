//! `tidegate sim validate --live`: a real run on this machine, compared with the simulator.
//!
//! The demo's traffic is played against real processes behind real sidecars and recorded, as
//! `tidegate demo --record` does. The recording is simulated, as `tidegate sim run --trace` does,
//! with nothing else said; and what came out is held against what the recording says was measured.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, ensure};
use clap::Parser;
use serde::Serialize;
use tidegate_sim::scenario::Keep;
use tidegate_sim::{Recording, RunOutput, SimSpan, measured};
use tidegate_sim_report::figures;

use self::seen::Seen;
use super::run;
use crate::demo::{self, Measured, prediction};
use tidegate_flags::files::make_folder;

mod seen;
mod unexplained;

/// Requests one instance takes at a time, and instances at most: the demo's own defaults.
const CONCURRENCY: u32 = 4;
const INSTANCES_MAX: u32 = 8;

/// The demo's command line, so that its defaults need not be repeated here.
#[derive(Debug, Parser)]
struct Demo {
    #[command(flatten)]
    args: demo::Args,
}

/// The command line that simulates the recording.
#[derive(Debug, Parser)]
struct Replay {
    #[command(flatten)]
    args: run::Args,
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
    let recording = directory.join("recording.jsonl");
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
    let simulated = simulate(&recording, seed)?;
    let seen = Seen::read(&recording)?;
    write_timeline(&played, &seen, &simulated, directory)?;
    Ok(compare(&played, &seen, &simulated))
}

/// As `tidegate sim run --trace RECORDING` does.
fn simulate(recording: &Path, seed: u64) -> anyhow::Result<RunOutput> {
    let typed = [
        "run".into(),
        "--trace".into(),
        recording.as_os_str().to_owned(),
        format!("--seed={seed}").into(),
    ];
    let kept = Recording { series: Keep::Yes, ..Recording::NOTHING };
    let (scenario, chosen) = run::prepare(&Replay::try_parse_from(typed)?.args, kept)?;
    measured::run(&scenario, chosen.traffic.as_ref(), &mut ()).map_err(run::explain)
}

/// Ready instances in each second of the simulation.
fn ready_of(simulated: &RunOutput) -> Vec<f64> {
    let points = simulated.series.first().map_or(&[][..], |series| &series.points);
    points.iter().map(|point| point.ready_mean).collect()
}

/// Second by second, what was measured beside what was simulated.
fn write_timeline(
    played: &Measured,
    seen: &Seen,
    simulated: &RunOutput,
    directory: &Path,
) -> anyhow::Result<()> {
    let mut text = String::from("second,measured_ready,simulated_ready,simulated_wanted\n");
    let points = simulated.series.first().map_or(&[][..], |series| &series.points);
    for second in 0..seen.ready.len().max(points.len()) {
        let ready = seen.ready.get(second).copied().unwrap_or(0.0);
        let point = points.get(second).copied().unwrap_or_default();
        writeln!(text, "{second},{ready},{},{}", point.ready_mean, point.wanted_mean)?;
    }
    // The client's clock begins with the traffic, a moment after the recording.
    let first = played.schedule.arrivals.first().map_or(0.0, |first| first.as_secs_f64());
    let offset_s = seen.first_arrival_s - first;
    text.push_str("\nat_s,measured_wanted,reason\n");
    for change in &played.tally.changes {
        let reason = change.reason.replace('"', "'");
        let at_s = change.at.as_secs_f64() + offset_s;
        writeln!(text, "{at_s:.3},{},\"{reason}\"", change.desired)?;
    }
    let path = directory.join("timeline.csv");
    std::fs::write(&path, text).with_context(|| path.display().to_string())
}

/// What was measured and what was simulated, figure by figure.
#[derive(Debug, Serialize)]
pub(super) struct Beside {
    /// Requests that were sent.
    requests: u64,
    /// Requests without the app's own answer.
    lost: u64,
    /// The figures.
    figures: Vec<Figure>,
    /// What lies between the two and is not in the model, in sentences.
    unexplained: Vec<String>,
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

fn compare(played: &Measured, seen: &Seen, simulated: &RunOutput) -> Beside {
    let tally = &played.tally;
    let result = &simulated.result;
    let apart = prediction::distance(&ready_of(simulated), &seen.ready);
    let number: fn(f64) -> String = figures::number;
    let figure = |name, measured: f64, simulated: f64, aim, show| {
        let error = if measured > 0.0 { simulated / measured - 1.0 } else { simulated };
        Figure { name, measured, simulated, error, aim, kept: error.abs() <= aim, show }
    };
    let latency = &result.latency_ms;
    let (instances, cold) = (seen.instances(), seen.recorded.cold as f64);
    let mut figures = vec![
        figure("instances, mean", instances, result.instances.mean, 0.05, number),
        figure("cold starts", cold, result.cold_starts as f64, 0.05, number),
        figure("latency p50", seen.latency_ms(0.5), latency.p50, 0.1, figures::millis),
        figure("latency p99", seen.latency_ms(0.99), latency.p99, 0.2, figures::millis),
    ];
    let over_time = Figure {
        name: "instances, second by second",
        measured: instances,
        simulated: result.instances.mean,
        error: apart,
        aim: 0.1,
        kept: apart <= 0.1,
        show: figures::number,
    };
    figures.insert(1, over_time);
    let unexplained = unexplained::sentences(played, seen, simulated);
    Beside { requests: tally.requests(), lost: tally.lost(), figures, unexplained }
}

impl Beside {
    /// Aims that were missed, and all.
    pub(super) fn missed(&self) -> (usize, usize) {
        let missed = self.figures.iter().filter(|figure| !figure.kept).count();
        (missed, self.figures.len())
    }
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
        for sentence in &self.unexplained {
            writeln!(f, "\nnot explained: {sentence}")?;
        }
        Ok(())
    }
}
