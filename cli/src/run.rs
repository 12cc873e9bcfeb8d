//! `tidegate run`: any command that listens on a port, from zero to many instances and back.
//!
//! [`tidegate_local`] runs the service; here are the flags, the screen and the shutdown.
//!
//! Modules in reading order: [`args`] are the flags, [`events`] turns notices into text, [`lines`]
//! prints it, [`mod@screen`] shows both and the present state, [`retries`] suppresses the repeated
//! output of failing starts, [`summary`] sums up at the end, [`replay`] prints the command that
//! simulates the recording, [`draining`] is what is seen and can be done while it ends, and
//! [`waiting`] reports what that still waits for.

mod args;
pub(crate) mod draining;
pub(crate) mod events;
pub(crate) mod lines;
mod replay;
pub(crate) mod retries;
mod screen;
pub(crate) mod summary;
pub(crate) mod waiting;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use tidegate_controller::Notice;
use tidegate_controller::process::OutputLine;
use tidegate_local::Service;
use tidegate_local::operate::{StopOrder, StopOrders, Stopped};
use tidegate_page::Serving;
use tidegate_shutdown_signals::{ShutdownSignal, ShutdownSignals};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio::time::Instant;

pub(crate) use self::args::Args;
pub(crate) use self::args::{DEFAULT_LISTEN, listen_anywhere};
use self::args::{called, config};
use self::draining::{Draining, LiveScreen, REDRAW};
use self::events::{Tails, Voice};
use self::screen::{Decisions, Screen, Summary};
use crate::terminal::Terminal;
use crate::{log, page};
use tidegate_activator_program::drained;
use tidegate_flags::ending::EXIT_FAILED;

/// When no instance ever became ready, how long waiting clients have to fetch the reason.
const GIVE_UP_DRAIN: Duration = Duration::from_secs(2);

/// Runs the verb.
pub(crate) fn execute(args: Args) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(run(args));
    // Blocking reads, such as one from a terminal, must not delay the exit.
    runtime.shutdown_background();
    outcome
}

async fn run(args: Args) -> anyhow::Result<ExitCode> {
    // Signals first: one that comes while we start must not leave anything behind.
    let mut signals = ShutdownSignals::new().context("cannot wait for signals")?;
    let (sender, mut output) = mpsc::channel(lines::DEPTH);
    let log = log::install_beside(&args.log, args.shown.surface());
    let drain = args.drain;
    let wanted = (!args.shown.quiet).then_some(sender);
    let called = called(&args);
    let estate = args.keep.estate(&called, args.shown.target());
    let estate = tokio::select! {
        estate = estate => estate?,
        // Nothing has begun.
        _ = signals.next() => return Ok(ExitCode::SUCCESS),
    };
    let config = config(&args, estate, wanted)?;
    let recording = config.recording.clone();
    let mut service = Service::start(config).await?;
    let mut screen = screen(&args, service.address(), log);
    if args.listen.is_none() && service.address() != DEFAULT_LISTEN {
        let (wanted, used) = (DEFAULT_LISTEN.port(), service.address().port());
        screen.say(&format!("{wanted} is taken, using {used}"));
    }
    introduce(&args, &service, &mut screen);
    let page = show_page(&args, &service, &mut screen, &shown(&args))?;
    if let Some(error) = service.unannounced() {
        screen.say(&format!("`tidegate explain` cannot ask this service: {error}"));
    }
    if let Some(error) = service.unreachable() {
        screen.say(&format!("`tidegate ps` and the like cannot ask this service: {error}"));
    }
    let mut orders = service.roster().stop_orders();
    let ending = follow(&service, (&mut signals, &mut orders), &mut screen, &mut output).await?;
    let (ending, order) = ending.apart();
    let code = end(&mut service, ending, drain, &mut signals, &mut screen, &mut output).await?;
    let status = service.status().await.ok();
    let socket = service.take_socket();
    drop(page);
    let swept = service.finish().await;
    show_output(&mut screen, &mut output);
    let mut last_words = Vec::new();
    if swept > 0 {
        last_words.push(format!("{} had to be swept away", counted_processes(swept)));
    }
    if let (Some(path), Some(recording)) = (&args.record, &recording) {
        last_words.extend(replay::words(path, recording));
    }
    let Summary { lines, json } = screen.farewell(status.as_ref(), &last_words).await;
    if args.shown.json {
        println!("{json}");
    }
    let (summary_json, exit_code) = (json.to_string(), code);
    for order in order.into_iter().chain(std::iter::from_fn(|| orders.try_recv().ok())) {
        let (summary, summary_json) = (lines.clone(), summary_json.clone());
        // Whoever ordered it may have stopped waiting.
        let _ = order.done.send(Stopped { summary, summary_json, exit_code });
    }
    if let Some(socket) = socket {
        socket.close().await;
    }
    Ok(ExitCode::from(code))
}

/// Says what became of a run before, and where the service is.
fn introduce(args: &Args, service: &Service, screen: &mut Screen) {
    for told in service.told() {
        screen.say(told);
    }
    let scheme = if args.tcp { "tcp" } else { "http" };
    screen.say(&format!("{} on {scheme}://{}", shown(args), service.address()));
    if let Some(address) = service.tls_address() {
        screen.say(&format!("and on https://{address}"));
    }
    screen.say(&format!("explain with: tidegate explain --controller {}", service.controller()));
}

/// The command as it was typed.
fn shown(args: &Args) -> String {
    let words: Vec<_> = args.command.iter().map(|word| word.to_string_lossy()).collect();
    words.join(" ")
}

/// Serves the page of a run, if it is to have one, and says where.
fn show_page(
    args: &Args,
    service: &Service,
    screen: &mut Screen,
    title: &str,
) -> anyhow::Result<Option<Serving>> {
    let view = service.view();
    let page = page::of_run(args.shown.page, args.shown.surface(), view.controller(), title)?;
    Ok(page.map(|(serving, link)| {
        screen.say(&format!("in a browser, by a link that is good once: {link}"));
        serving
    }))
}

fn screen(args: &Args, address: SocketAddr, log: Option<mpsc::Receiver<String>>) -> Screen {
    let target = args.shown.target();
    let decisions = if args.shown.verbose { Decisions::All } else { Decisions::Changes };
    let tails = if args.shown.quiet { Tails::Always } else { Tails::AtTheEnd };
    let terminal = Terminal::new(args.shown.surface(), target).with_log(log);
    Screen::new(terminal, decisions, tails, address)
}

pub(crate) fn counted_processes(count: usize) -> String {
    match count {
        1 => "1 process".to_owned(),
        _ => format!("{count} processes"),
    }
}

/// Why the service ends.
enum Ending {
    /// A signal to stop.
    Signalled,
    /// `tidegate stop`.
    Ordered(StopOrder),
    /// No instance ever became ready, and why.
    GaveUp(String),
}

impl Ending {
    /// How to end, and who is to be told of it.
    fn apart(self) -> (Self, Option<StopOrder>) {
        match self {
            Self::Ordered(order) => (Self::Signalled, Some(order)),
            Self::Signalled | Self::GaveUp(_) => (self, None),
        }
    }
}

/// Shows events until the service is to end; returns why it ends.
async fn follow(
    service: &Service,
    (signals, orders): (&mut ShutdownSignals, &mut StopOrders),
    screen: &mut Screen,
    output: &mut mpsc::Receiver<OutputLine>,
) -> anyhow::Result<Ending> {
    let mut notices = service.watch_notices();
    let mut decisions = service.watch_decisions();
    let mut redraw = tokio::time::interval(REDRAW);
    let mut lines = Vec::with_capacity(lines::BATCH);
    loop {
        tokio::select! {
            _ = signals.next() => return Ok(Ending::Signalled),
            Some(order) = orders.recv() => {
                screen.say("`tidegate stop` ends it");
                return Ok(Ending::Ordered(order));
            }
            notice = notices.recv() => match notice {
                Ok(notice) => {
                    // Output first: a line about an instance's end belongs below what it wrote.
                    while let Ok(decision) = decisions.try_recv() {
                        screen.decision(&decision);
                    }
                    show_output(screen, output);
                    screen.notice(&notice);
                    if let Notice::GaveUp { .. } = notice {
                        let why = Voice::notice(&notice, Tails::AtTheEnd).swap_remove(0);
                        return Ok(Ending::GaveUp(why));
                    }
                }
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => bail!("the controller ended"),
            },
            decision = decisions.recv() => if let Ok(decision) = decision {
                screen.decision(&decision);
            },
            () = lines::batch(screen.room(), output, &mut lines) => screen.output(&mut lines),
            _ = redraw.tick() => screen.redraw(&service.status().await?),
        }
    }
}

/// Shows the lines that are there.
fn show_output(screen: &mut Screen, output: &mut mpsc::Receiver<OutputLine>) {
    screen.output(&mut lines::pending(output));
}

/// Ends the service: it drains, and a second signal kills it.
async fn end(
    service: &mut Service,
    ending: Ending,
    drain: Duration,
    signals: &mut ShutdownSignals,
    screen: &mut Screen,
    output: &mut mpsc::Receiver<OutputLine>,
) -> anyhow::Result<u8> {
    if let Ending::GaveUp(why) = ending {
        service.give_up(why, GIVE_UP_DRAIN).await?;
        return Ok(EXIT_FAILED);
    }
    screen.say("draining; press Ctrl-C again to stop at once");
    let seen = (service.view(), service.watch_notices());
    let mut draining = Draining::new(seen, drain, signals, screen, output);
    let by = Instant::now() + drain;
    let drained = match draining.attend(service.finish_requests(by)).await? {
        Ok(drained) => drained,
        Err(signal) => return stop_at_once(service, signal).await,
    };
    if let Some(sentence) = drained::unfinished(drained, drain) {
        draining.say(&sentence);
    }
    match draining.attend(service.stop_instances(by)).await? {
        Ok(stopped) => stopped?,
        Err(signal) => return stop_at_once(service, signal).await,
    }
    Ok(drained::exit_code(drained))
}

async fn stop_at_once(service: &mut Service, signal: ShutdownSignal) -> anyhow::Result<u8> {
    service.kill().await?;
    Ok(signal.code())
}
