//! `tidegate top`: the services that run on this machine, live.
//!
//! On a terminal a table that is redrawn, with keys to sort and to open a service's last minutes;
//! anywhere else plain rows, one round after the other.
//!
//! Modules in reading order: [`gather`] keeps up with every run, [`keys`] reads a keyboard,
//! [`board`] is what is shown and chosen, by an [`order`], [`view`] draws it. [`fleet`] is the same
//! of the revisions of a controller, or of several sites.

mod board;
mod fleet;
mod gather;
mod keys;
mod order;
mod view;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use tidegate_flags::CredentialArgs;
use tidegate_shutdown_signals::ShutdownSignals;
use tidegate_sites::SiteName;
use tokio::time::MissedTickBehavior;

use self::board::{Board, Page};
use self::gather::Gatherer;
use self::keys::{Key, Keyboard};
use super::ps;
use super::reach;
use crate::explain::print;
use crate::terminal::{Surface, ink, size};
use crate::typed::{authorities, time_within, whole};

/// How often a service's last minutes are asked for while they are shown.
const HISTORY_PERIOD: Duration = Duration::from_secs(1);

/// More rounds than anybody counts.
const ROUNDS_MAX: u32 = 1_000_000_000;

/// What was typed after `tidegate top`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The service to show alone; all of them when none is named.
    #[arg(value_name = "SERVICE")]
    service: Option<String>,
    /// Time between two looks.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = interval)]
    interval: Duration,
    /// End after so many rounds; anywhere but on a terminal they are printed below each other.
    #[arg(long, value_name = "N", value_parser = whole(1..=ROUNDS_MAX))]
    rounds: Option<u32>,
    /// Show the revisions of this controller, or of the sites of this view, in place of the
    /// services of this machine.
    #[arg(long, value_name = "HOST:PORT", value_parser = authorities, conflicts_with = "sites")]
    controller: Option<String>,
    /// Show the revisions of the sites of this file.
    #[arg(long, value_name = "FILE")]
    sites: Option<PathBuf>,
    /// Only of this site; may be repeated.
    #[arg(long = "site", value_name = "SITE")]
    only: Vec<SiteName>,
    #[command(flatten)]
    credentials: CredentialArgs,
    /// Print JSON, one object per line for each service and round.
    #[arg(long)]
    json: bool,
}

fn interval(text: &str) -> Result<Duration, String> {
    time_within(Duration::from_millis(100), Duration::from_secs(60))(text)
}

/// Shows them until interrupted, or until `q` is pressed.
pub(super) async fn execute(args: &Args) -> anyhow::Result<ExitCode> {
    if args.controller.is_some() || args.sites.is_some() {
        return fleet::execute(args).await;
    }
    // Where nothing runs there is nothing to wait for.
    let asked = match &args.service {
        Some(asked) => Some(reach::service(Some(asked)).await?.service.name),
        None => reach::services().await.map(|_| None)?,
    };
    let gatherer = Gatherer::new(args.interval, asked);
    match Surface::of_stdout() {
        surface @ Surface::Terminal(_) if !args.json => live(args, gatherer, surface).await,
        _ => rows(args, gatherer).await,
    }
}

/// Plain rows, or JSON.
async fn rows(args: &Args, mut gatherer: Gatherer) -> anyhow::Result<ExitCode> {
    let mut signals = ShutdownSignals::new()?;
    let mut ticks = tokio::time::interval(args.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut board = Board::default();
    let mut round = 0;
    while args.rounds.is_none_or(|rounds| round < rounds) {
        tokio::select! {
            _ = signals.next() => return Ok(ExitCode::SUCCESS),
            _ = ticks.tick() => {}
        }
        gatherer.look().await;
        board.update(gatherer.found());
        if gatherer.found().is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
        match args.json {
            true => print(
                &gatherer.found().iter().map(|it| ps::json(it).to_string()).collect::<Vec<_>>(),
            )?,
            false => print(&view::plain(&board, round))?,
        }
        round += 1;
    }
    Ok(ExitCode::SUCCESS)
}

/// A screen that is redrawn.
async fn live(args: &Args, mut gatherer: Gatherer, surface: Surface) -> anyhow::Result<ExitCode> {
    let mut signals = ShutdownSignals::new()?;
    let mut keyboard = Keyboard::open();
    let screen = AlternateScreen::enter()?;
    let mut board = Board::default();
    let mut ticks = tokio::time::interval(args.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut histories = tokio::time::interval(HISTORY_PERIOD);
    histories.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut round = 0;
    loop {
        tokio::select! {
            _ = signals.next() => break,
            key = keyboard.next() => match key {
                Some(Key::Quit) | None => break,
                Some(key) => {
                    board.press(key);
                    if let Page::History { pid, service } = board.page() {
                        let samples = gatherer.history(*pid, service).await;
                        board.note_history(samples);
                    }
                }
            },
            _ = ticks.tick() => {
                gatherer.look().await;
                board.update(gatherer.found());
                round += 1;
                if args.rounds.is_some_and(|rounds| round > rounds) {
                    break;
                }
            }
            _ = histories.tick(), if matches!(board.page(), Page::History { .. }) => {
                if let Page::History { pid, service } = board.page() {
                    let samples = gatherer.history(*pid, service).await;
                    board.note_history(samples);
                }
            }
        }
        screen.draw(&view::screen(&board, size(), surface, ink()))?;
    }
    drop(screen);
    drop(keyboard);
    Ok(ExitCode::SUCCESS)
}

/// The terminal's other screen: what was there before comes back when this is dropped.
struct AlternateScreen;

impl AlternateScreen {
    fn enter() -> io::Result<Self> {
        write("\x1b[?1049h\x1b[?25l")?;
        Ok(Self)
    }

    /// Replaces everything that is shown.
    fn draw(&self, lines: &[String]) -> io::Result<()> {
        let lines = lines.join("\x1b[K\r\n");
        write(&format!("\x1b[H{lines}\x1b[K\x1b[J"))
    }
}

impl Drop for AlternateScreen {
    fn drop(&mut self) {
        // A terminal that is gone shows nothing anyway.
        let _ = write("\x1b[?25h\x1b[?1049l");
    }
}

fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
