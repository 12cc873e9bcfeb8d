//! `tidegate run`: any command that listens on a port, from zero to many instances and back.
//!
//! Modules in reading order: [`settings`] makes a declaration of what was typed, [`environment`]
//! is what the app finds in its environment, [`service`] runs it, [`presence`] lets other commands
//! find it, [`voice`] tells what happens in lines, [`mod@screen`] shows how things stand,
//! [`retries`] keeps attempts from repeating themselves, [`summary`] tells what was served,
//! [`replay`] how to ask the simulator about it, [`waiting`] what its end is still waiting for.

mod environment;
pub(crate) mod presence;
mod replay;
mod retries;
mod screen;
pub(crate) mod service;
pub(crate) mod settings;
mod summary;
mod voice;
mod waiting;

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use tidegate_activator::Drained;
use tidegate_autoscaler::settings::{WINDOW_MAX, WINDOW_MIN};
use tidegate_controller::process::{LogFolder, OutputLine};
use tidegate_controller::{Notice, Readiness};
use tidegate_queue_proxy::shutdown_signals::ShutdownSignals;
use tidegate_words::time::compact;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio::time::Instant;

use self::replay::Replay;
use self::screen::{Decisions, Screen};
use self::service::{LocalConfig, LocalService};
use self::settings::{LocalSettings, check_command};
use self::voice::{Tails, Voice};
use self::waiting::Waiting;
use crate::abandoned::AbandonedRule;
use crate::ending::mistyped;
use crate::files::make_folder;
use crate::log::{self, LogArgs};
use crate::terminal::{Surface, Target, Terminal, counted};
use crate::typed::{WAIT_MAX, listen_address, setting, time_within, wait, whole};

/// Where clients come unless somebody says otherwise, or it is taken.
const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// Longest name of a service: that of a label in Kubernetes and in DNS.
const NAME_BYTES_MAX: usize = 63;

/// More processes than this are a typing error, whatever the machine.
const INSTANCES_MAX: u32 = 10_000;

/// Lines of app output that may wait to be printed; more are left out and counted.
const OUTPUT_DEPTH: usize = 4_096;

/// Lines that are printed at once.
const OUTPUT_BATCH: usize = 512;

/// When no instance ever became ready, how long clients that wait may take to read why.
const GIVE_UP_DRAIN: Duration = Duration::from_secs(2);

/// How often the terminal is drawn anew.
const REDRAW: Duration = Duration::from_millis(200);

/// What was typed after `tidegate run`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Requests that one instance takes at a time, or `auto` to find out from its latency;
    /// unlimited when left away.
    #[arg(short = 'c', long, value_name = "N|auto", value_parser = parse_concurrency)]
    concurrency: Option<Concurrency>,
    /// Fewest instances.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = whole(0..=INSTANCES_MAX))]
    min: u32,
    /// Most instances.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = whole(1..=INSTANCES_MAX))]
    max: u32,
    /// Instances to start with. One shows at once whether the app works; with 0 the first request
    /// starts the first. At most --max.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = whole(0..=INSTANCES_MAX))]
    initial: u32,
    /// The stable window, over which load is averaged: 6s to 1h.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = window)]
    window: Duration,
    /// How long the last instance stays after the last request; half a window when left away.
    #[arg(long, value_name = "TIME", value_parser = wait)]
    idle: Option<Duration>,
    /// Where clients come [default: 127.0.0.1:8080, or a free port if that is taken].
    #[arg(long, value_name = "ADDR", value_parser = listen_address)]
    listen: Option<SocketAddr>,
    /// When an instance takes requests: once its port accepts connections (`tcp`), or once it
    /// answers a path (`/healthz`) with 200 to 399.
    #[arg(long, value_name = "tcp|/PATH", default_value = "tcp", value_parser = parse_readiness)]
    ready: Readiness,
    /// How long an instance may take to become ready.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = some_time)]
    start_timeout: Duration,
    /// How long a request may take, waiting for an instance included.
    #[arg(long, value_name = "TIME", default_value = "300s", value_parser = some_time)]
    timeout: Duration,
    /// With a limit, what becomes of a slot when its client leaves while the app works.
    #[arg(long, value_enum, default_value = "hold", env = "TIDEGATE_ABANDONED")]
    abandoned: AbandonedRule,
    /// On Ctrl-C, how long requests in flight may take.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = wait)]
    drain: Duration,
    /// How long an instance may take to end on SIGTERM before it is killed.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = wait)]
    stop_timeout: Duration,
    /// A key of config-autoscaler or an annotation of autoscaling.knative.dev; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = setting)]
    settings: Vec<(String, String)>,
    /// Write one CSV row for each request, for `tidegate sim`.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Keep everything the app writes, in one file for each instance.
    #[arg(long, value_name = "DIR")]
    log_dir: Option<PathBuf>,
    /// Name of the service [default: that of the program].
    #[arg(long, value_name = "NAME", value_parser = revision_name)]
    name: Option<String>,
    /// Print every decision, not only those that change something.
    #[arg(short, long)]
    verbose: bool,
    /// Do not print what the app writes.
    #[arg(short, long)]
    quiet: bool,
    /// Print the summary as JSON on standard output, and everything else on standard error.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    log: LogArgs,
    /// The command; `{PORT}` in it becomes the port to listen on, as does the variable PORT.
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// How many requests an instance takes at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Concurrency {
    Fixed(u32),
    Auto,
}

/// Does what was asked.
pub(crate) fn execute(args: Args) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(run(args));
    // Nothing is left that is worth waiting for, such as a read from a terminal.
    runtime.shutdown_background();
    outcome
}

async fn run(args: Args) -> anyhow::Result<ExitCode> {
    // Signals first: one that comes while we start must not leave anything behind.
    let mut signals = ShutdownSignals::new().context("cannot wait for signals")?;
    let (sender, mut output) = mpsc::channel(OUTPUT_DEPTH);
    let log = args.log.install_beside(surface(&args), log::SCREEN_DEFAULT);
    let drain = args.drain;
    let wanted = (!args.quiet).then_some(sender);
    let config = config(&args, wanted)?;
    let shown = args.command.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>();
    let mut service = LocalService::start(config).await?;
    let mut screen = screen(&args, service.address(), log);
    if args.listen.is_none() && service.address() != DEFAULT_LISTEN {
        let (wanted, used) = (DEFAULT_LISTEN.port(), service.address().port());
        screen.say(&format!("{wanted} is taken, using {used}"));
    }
    screen.say(&format!("{} on http://{}", shown.join(" "), service.address()));
    screen.say(&format!("explain with: tidegate explain --controller {}", service.controller()));
    if let Some(error) = service.unannounced() {
        screen.say(&format!("`tidegate explain` cannot ask this service: {error}"));
    }
    let mut replay = Replay::default();
    let ending = follow(&service, &mut signals, &mut screen, &mut output, &mut replay).await?;
    let code = end(&mut service, ending, drain, &mut signals, &mut screen, &mut output).await?;
    let status = service.status().await.ok();
    let swept = service.finish().await;
    show_output(&mut screen, &mut output);
    let mut last_words = Vec::new();
    if swept > 0 {
        last_words.push(format!("{} had to be swept away", counted_processes(swept)));
    }
    if let Some(path) = &args.record {
        last_words.extend(replay.words(path, &args));
    }
    let summary = screen.farewell(status.as_ref(), &last_words).await;
    if args.json {
        println!("{summary}");
    }
    Ok(code)
}

fn screen(args: &Args, address: SocketAddr, log: Option<mpsc::Receiver<String>>) -> Screen {
    let target = if args.json { Target::Stderr } else { Target::Stdout };
    let decisions = if args.verbose { Decisions::All } else { Decisions::Changes };
    let tails = if args.quiet { Tails::Always } else { Tails::AtTheEnd };
    let terminal = Terminal::new(surface(args), target).with_log(log);
    Screen::new(terminal, decisions, tails, address)
}

/// Where events are shown.
fn surface(args: &Args) -> Surface {
    if args.json { Surface::Lines } else { Surface::of_stdout() }
}

fn counted_processes(count: usize) -> String {
    match count {
        1 => "1 process".to_owned(),
        _ => format!("{count} processes"),
    }
}

/// Why the service ends.
enum Ending {
    /// It was told to.
    Told,
    /// No instance ever became ready, and why.
    GaveUp(String),
}

/// Shows what happens until the service is to end.
async fn follow(
    service: &LocalService,
    signals: &mut ShutdownSignals,
    screen: &mut Screen,
    output: &mut mpsc::Receiver<OutputLine>,
    replay: &mut Replay,
) -> anyhow::Result<Ending> {
    let mut notices = service.watch_notices();
    let mut decisions = service.watch_decisions();
    let mut redraw = tokio::time::interval(REDRAW);
    let mut lines = Vec::with_capacity(OUTPUT_BATCH);
    loop {
        tokio::select! {
            _ = signals.next() => return Ok(Ending::Told),
            notice = notices.recv() => match notice {
                Ok(notice) => {
                    // First what led to it, and what it is about.
                    while let Ok(decision) = decisions.try_recv() {
                        screen.decision(&decision);
                    }
                    show_output(screen, output);
                    screen.notice(&notice);
                    replay.notice(&notice);
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
            () = batch(screen, output, &mut lines) => screen.output(&mut lines),
            _ = redraw.tick() => screen.redraw(&service.status().await?),
        }
    }
}

/// Waits for lines once those before are on their way. Cancel safe.
async fn batch(
    screen: &Screen,
    output: &mut mpsc::Receiver<OutputLine>,
    lines: &mut Vec<OutputLine>,
) {
    screen.room().await;
    if output.recv_many(lines, OUTPUT_BATCH).await == 0 {
        // Nobody writes any more, or nobody is to see it.
        std::future::pending::<()>().await;
    }
}

/// Shows the lines that are there.
fn show_output(screen: &mut Screen, output: &mut mpsc::Receiver<OutputLine>) {
    let mut lines = Vec::new();
    while let Ok(line) = output.try_recv() {
        lines.push(line);
        if lines.len() == OUTPUT_DEPTH {
            break;
        }
    }
    screen.output(&mut lines);
}

/// Ends the service: patiently, and at once when told a second time.
async fn end(
    service: &mut LocalService,
    ending: Ending,
    drain: Duration,
    signals: &mut ShutdownSignals,
    screen: &mut Screen,
    output: &mut mpsc::Receiver<OutputLine>,
) -> anyhow::Result<ExitCode> {
    if let Ending::GaveUp(why) = ending {
        service.give_up(why, GIVE_UP_DRAIN).await?;
        return Ok(ExitCode::FAILURE);
    }
    screen.say("draining; press Ctrl-C again to stop at once");
    let mut notices = service.watch_notices();
    let mut lines = Vec::with_capacity(OUTPUT_BATCH);
    let (view, told_at, mut waiting) = (service.view(), Instant::now(), Waiting::new(drain));
    let mut redraw = tokio::time::interval(REDRAW);
    let again = {
        let mut draining = std::pin::pin!(service.drain(drain));
        loop {
            tokio::select! {
                drained = &mut draining => match drained? {
                    Drained::Whole => return Ok(ExitCode::SUCCESS),
                    Drained::CutShort { connections } => {
                        let open = counted(connections as u64, "connection");
                        screen.say(&format!("{open} still open after the drain"));
                        return Ok(ExitCode::FAILURE);
                    }
                },
                stop = signals.next() => break stop,
                Ok(notice) = notices.recv() => screen.notice(&notice),
                () = batch(screen, output, &mut lines) => screen.output(&mut lines),
                _ = redraw.tick() => {
                    let status = view.status().await?;
                    if let Some(sentence) = waiting.tell(&status, told_at.elapsed()) {
                        screen.say(&sentence);
                    }
                    screen.redraw(&status);
                }
            }
        }
    };
    service.kill().await?;
    Ok(again.exit_code())
}

/// Checks what was typed and binds the listener.
fn config(args: &Args, output: Option<mpsc::Sender<OutputLine>>) -> anyhow::Result<LocalConfig> {
    check_command(&args.command).map_err(mistyped)?;
    for (flag, count) in [("--min", args.min), ("--initial", args.initial)] {
        if count > args.max {
            return Err(mistyped(anyhow!("{flag} {count} is more than --max {}", args.max)));
        }
    }
    let settings = LocalSettings {
        name: name(args),
        command: args.command.clone(),
        concurrency: match args.concurrency {
            Some(Concurrency::Fixed(limit)) => limit,
            Some(Concurrency::Auto) | None => 0,
        },
        min: args.min,
        max: args.max,
        initial: args.initial,
        window: args.window,
        idle: args.idle,
        readiness: args.ready.clone(),
        start_timeout: args.start_timeout,
        request_timeout: args.timeout,
        stop_timeout: args.stop_timeout,
        settings: args.settings.clone(),
        environment: environment::app(surface(args), |name| std::env::var_os(name)),
        sidecar: sidecar(args),
        record: args.record.clone(),
    };
    let declaration = settings.declare().map_err(mistyped)?;
    if let Some(path) = &args.record {
        std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .with_context(|| format!("--record: cannot write to {}", path.display()))?;
    }
    let logs = args.log_dir.as_deref().map(|folder| {
        make_folder("--log-dir", folder)?;
        LogFolder::open(folder)
            .with_context(|| format!("--log-dir: cannot write to {}", folder.display()))
    });
    let logs = logs.transpose()?;
    let listener = listen(args.listen)?;
    let abandoned = args.abandoned.within(args.timeout);
    let request_timeout = args.timeout;
    Ok(LocalConfig { declaration, listener, request_timeout, abandoned, output, logs })
}

/// What the queue-proxies are told beyond the declaration.
fn sidecar(args: &Args) -> Vec<(OsString, OsString)> {
    let mut variables = vec![("TIDEGATE_ABANDONED".into(), args.abandoned.name().into())];
    if args.concurrency == Some(Concurrency::Auto) {
        variables.push(("TIDEGATE_CONCURRENCY".into(), "auto".into()));
    }
    variables
}

/// The name that was given, or the program's with what no name may have left out.
fn name(args: &Args) -> String {
    let program = args.command.first().map(PathBuf::from).unwrap_or_default();
    let stem = program.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let usable = |name: String| {
        let kept = name.chars().filter(|c| c.is_ascii_alphanumeric() || "-_.".contains(*c));
        kept.take(40).collect::<String>()
    };
    let derived = stem.map(usable).filter(|name| !name.is_empty());
    args.name.clone().or(derived).unwrap_or_else(|| "app".to_owned())
}

fn listen(asked: Option<SocketAddr>) -> anyhow::Result<TcpListener> {
    if let Some(address) = asked {
        return TcpListener::bind(address)
            .with_context(|| format!("--listen: cannot listen on {address}"));
    }
    TcpListener::bind(DEFAULT_LISTEN)
        .or_else(|_| TcpListener::bind(SocketAddr::new(DEFAULT_LISTEN.ip(), 0)))
        .with_context(|| format!("cannot listen on any port of {}", DEFAULT_LISTEN.ip()))
}

/// A stable window as Knative allows it.
fn window(text: &str) -> Result<Duration, String> {
    let (least, most) = (WINDOW_MIN.to_std(), WINDOW_MAX.to_std());
    let window = time_within(least, most)(text)?;
    match window.subsec_nanos() {
        0 => Ok(window),
        _ => Err(format!("expected whole seconds, {} to {}", compact(least), compact(most))),
    }
}

/// A time to wait that is not zero.
fn some_time(text: &str) -> Result<Duration, String> {
    time_within(Duration::from_millis(1), WAIT_MAX)(text)
}

/// The name of a service, which is part of a revision's.
fn revision_name(text: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    match (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(plain) {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "expected at most {NAME_BYTES_MAX} letters, digits, `-`, `_` and `.`, such as web"
        )),
    }
}

fn parse_concurrency(text: &str) -> Result<Concurrency, String> {
    if text == "auto" {
        return Ok(Concurrency::Auto);
    }
    match text.parse() {
        Ok(limit @ 1..=1_000_000) => Ok(Concurrency::Fixed(limit)),
        _ => Err("expected a whole number from 1 to 1000000, or `auto`".to_owned()),
    }
}

fn parse_readiness(text: &str) -> Result<Readiness, String> {
    match text {
        "tcp" => Ok(Readiness::Tcp),
        path if path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic()) => {
            Ok(Readiness::Http(path.to_owned()))
        }
        _ => Err("expected `tcp`, or a path such as `/healthz`".to_owned()),
    }
}
