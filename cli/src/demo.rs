//! `tidegate demo`: a bundled app under `tidegate run`'s machinery, and a minute of traffic.
//!
//! Modules in reading order: [`traffic`] draws the arrivals, [`app`] is what is scaled (this very
//! binary, started again), [`harness`] puts it under controller and activator, [`load`] sends the
//! requests, [`stats`] collects the measurements, [`screen`] shows it live with the pictures of
//! [`chart`](crate::chart), [`summary`] reports the results.

mod app;
pub(crate) mod harness;
mod load;
pub(crate) mod prediction;
pub(crate) mod screen;
pub(crate) mod stats;
mod summary;
pub(crate) mod traffic;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tidegate_flags::LogArgs;
use tidegate_shutdown_signals::{ShutdownSignal, ShutdownSignals};
use tidegate_words::time::compact;
use tokio::time::{Instant, MissedTickBehavior};

use self::harness::Stage;
use self::screen::{DemoProgress, Screen};
use self::stats::Tally;
use self::summary::{Ended, Summary};
use self::traffic::{PLAN, Schedule};
use crate::log;
use crate::terminal::{self, Surface};
use crate::typed::{time_within, wait, whole};

/// What was typed after `tidegate demo`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Duration of the traffic, silence at its end included.
    #[arg(
        long,
        value_name = "TIME",
        default_value = "60s",
        value_parser = time_within(SHORTEST, LONGEST)
    )]
    duration: Duration,
    /// A short version: a quarter of the traffic.
    #[arg(long, conflicts_with = "duration")]
    quick: bool,
    /// Draws the arrivals; the same seed draws the same ones.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = whole(0..=u64::MAX))]
    seed: u64,
    /// Requests that one instance takes at a time.
    #[arg(
        short = 'c',
        long,
        value_name = "N",
        default_value_t = 4,
        value_parser = whole(1..=1_000u32)
    )]
    concurrency: u32,
    /// Instances at most.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = whole(1..=1_000u32))]
    max: u32,
    /// How long the sample app works on one request.
    #[arg(long, value_name = "TIME", default_value = "100ms", value_parser = wait)]
    service_time: Duration,
    /// How long the sample app takes before it listens.
    #[arg(long, value_name = "TIME", default_value = "250ms", value_parser = wait)]
    start_up: Duration,
    /// Record every request and every instance, as `tidegate run --record` does, for the simulator
    /// to replay.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Print the summary as JSON, and nothing else on standard output.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    log: LogArgs,
    /// Be the sample app.
    #[arg(long, hide = true)]
    app: bool,
}

/// Shortest traffic in which every phase still has an arrival.
const SHORTEST: Duration = Duration::from_secs(5);
/// Longest traffic: its arrivals are drawn beforehand and held.
const LONGEST: Duration = Duration::from_secs(86_400);
/// Time between two polls of the service's state.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// After the traffic, longest wait for the last instance to be removed.
const WAIT_FOR_ZERO: Duration = Duration::from_secs(45);

/// Runs the verb.
pub(crate) fn execute(args: Args) -> anyhow::Result<ExitCode> {
    if args.app {
        app::execute(args.service_time, args.start_up)?;
        return Ok(ExitCode::SUCCESS);
    }
    let duration = if args.quick { Duration::from_secs(15) } else { args.duration };
    let schedule = Arc::new(Schedule::draw(&PLAN, duration, args.seed));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(perform(&args, &schedule))
}

/// How the traffic ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Played,
    Interrupted(ShutdownSignal),
}

async fn perform(args: &Args, schedule: &Arc<Schedule>) -> anyhow::Result<ExitCode> {
    let surface = if args.json { Surface::Silent } else { Surface::of_stdout() };
    let ink = terminal::ink();
    let log = log::install_beside(&args.log, surface);
    let mut screen = Screen::new(surface, ink, log);
    let mut signals = ShutdownSignals::new().context("cannot wait for signals")?;
    let mut stage = Stage::open(args).await?;
    screen.say(&format!(
        "tidegate demo: {} requests in {} against http://{}, at most {} at a time in each of up to \
         {} instances",
        schedule.arrivals.len(),
        compact(schedule.length),
        stage.address(),
        args.concurrency,
        args.max,
    ));
    let mut tally = Tally::new()?;
    let ending = play(&mut stage, schedule, &mut tally, &mut screen, &mut signals).await?;
    screen.finish().await;
    let ended = match (ending, tally.standings.last()) {
        (Ending::Interrupted(_), last) => {
            Ended::Interrupted { after: last.map_or(Duration::ZERO, |last| last.at) }
        }
        (_, Some(last)) if last.ready + last.starting + last.draining == 0 => Ended::AtZero,
        _ => Ended::AboveZero,
    };
    let cold_starts = stage.cold_starts();
    stage.close().await?;
    let model = prediction::Model {
        settings: prediction::settings(harness::WINDOW),
        max_instances: args.max,
        idle: harness::IDLE,
        concurrency: args.concurrency,
        service: args.service_time,
        start_up: tally.start_up(),
    };
    let prediction = prediction::predict(&model, schedule, &tally, args.seed)?;
    let summary = Summary {
        tally: &tally,
        cold_starts,
        concurrency: args.concurrency,
        seed: args.seed,
        prediction: Some(&prediction),
        ended,
    };
    if args.json {
        println!("{}", summary::json(&summary));
    } else {
        print!("{}", summary::text(&summary, ink, text_width(surface)));
    }
    if let Ending::Interrupted(signal) = ending {
        return Ok(signal.exit_code());
    }
    let whole = tally.requests() == schedule.arrivals.len() as u64 && tally.lost() == 0;
    Ok(if whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Columns of the summary: those of the terminal, as far as lines are still easy to read.
fn text_width(surface: Surface) -> usize {
    const EASY: usize = 96;
    if surface.is_terminal() { terminal::width().min(EASY) } else { EASY }
}

/// What a demo measured, to be compared with a prediction.
pub(crate) struct Measured {
    pub(crate) schedule: Arc<Schedule>,
    pub(crate) tally: Tally,
}

/// Plays the whole demo without output, and returns what was measured.
///
/// # Errors
///
/// When the service cannot be started, left processes behind, or was interrupted.
pub(crate) fn measure(args: &Args) -> anyhow::Result<Measured> {
    let schedule = Arc::new(Schedule::draw(&PLAN, args.duration, args.seed));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut stage = Stage::open(args).await?;
        let mut tally = Tally::new()?;
        let mut screen = Screen::new(Surface::Silent, terminal::ink(), None);
        let mut signals = ShutdownSignals::new().context("cannot wait for signals")?;
        let ending = play(&mut stage, &schedule, &mut tally, &mut screen, &mut signals).await?;
        stage.close().await?;
        anyhow::ensure!(ending == Ending::Played, "interrupted before the traffic had ended");
        Ok(Measured { schedule, tally })
    })
}

/// Sends the traffic, and polls the service until every request has ended and every instance is
/// gone.
async fn play(
    stage: &mut Stage,
    schedule: &Arc<Schedule>,
    tally: &mut Tally,
    screen: &mut Screen,
    signals: &mut ShutdownSignals,
) -> anyhow::Result<Ending> {
    let start = Instant::now();
    let mut outcomes = load::replay(stage.address(), Arc::clone(schedule))?;
    let mut looks = tokio::time::interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut all_answered = false;
    loop {
        tokio::select! {
            outcome = outcomes.recv(), if !all_answered => match outcome {
                Some(outcome) => tally.count(outcome),
                None => all_answered = true,
            },
            _ = looks.tick() => {
                let at = start.elapsed();
                let standing = stage.look(at, tally).await;
                tally.note(standing);
                let phase = schedule.phase_at(&PLAN, at);
                let reason = tally.changes.last().map_or("", |change| change.reason.as_str());
                screen.show(DemoProgress { at, length: schedule.length, phase }, tally, reason);
                let gone = standing.ready + standing.starting + standing.draining == 0;
                let over = at >= schedule.length && all_answered;
                if over && (gone || at >= schedule.length + WAIT_FOR_ZERO) {
                    return Ok(Ending::Played);
                }
            }
            signal = signals.next() => return Ok(Ending::Interrupted(signal)),
        }
    }
}
