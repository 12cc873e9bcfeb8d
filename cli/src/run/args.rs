//! The arguments of `tidegate run`, and the service that they configure.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow};
use tidegate_autoscaler::settings::{WINDOW_MAX, WINDOW_MIN};
use tidegate_controller::Readiness;
use tidegate_controller::process::{LogFolder, OutputLine};
use tidegate_flags::{LogArgs, listen_address};
use tidegate_knative::environment::{TIDEGATE_ABANDONED, TIDEGATE_CONCURRENCY};
use tidegate_local::environment;
use tidegate_local::keep::Estate;
use tidegate_local::settings::{INSTANCES_MAX, check_command};
use tidegate_local::{
    Carries, Config, IdleMode, RecordingError, RoleProgram, Settings, StartPace, pace,
};
use tidegate_words::time::compact;
use tokio::sync::mpsc;

use crate::foreground::{EntranceArgs, ShownArgs};
use crate::keep::KeepArgs;
use crate::typed::{WAIT_MAX, as_typed, setting, time_within, wait, whole};
use tidegate_activator_program::abandoned::AbandonedRule;
use tidegate_flags::ending::mistyped;
use tidegate_flags::files::make_folder;

/// The default address for clients, if it is free.
pub(crate) const DEFAULT_LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// Settings that have a flag of their own, and that flag.
const FLAGS: [(&str, &str); 4] = [
    ("min-scale", "--min"),
    ("max-scale", "--max"),
    ("initial-scale", "--initial"),
    ("stable-window", "--window"),
];

/// Longest name of a service: that of a label in Kubernetes and in DNS.
const NAME_BYTES_MAX: usize = 63;

/// What was typed after `tidegate run`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Requests that one instance takes at a time, or `auto` to find out from its latency;
    /// unlimited when absent.
    #[arg(short = 'c', long, value_name = "N|auto", value_parser = parse_concurrency)]
    pub(super) concurrency: Option<Concurrency>,
    /// Fewest instances.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = whole(0..=INSTANCES_MAX))]
    pub(super) min: u32,
    /// Most instances.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = whole(1..=INSTANCES_MAX))]
    pub(super) max: u32,
    /// Instances to start with. One shows at once whether the app works; with 0 the first request
    /// starts the first. At most --max.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = whole(0..=INSTANCES_MAX))]
    pub(super) initial: u32,
    /// How many instances start at a time, or `all` [default: as many as there are
    /// processors, at least 2].
    #[arg(long, value_name = "N|all", hide_short_help = true, value_parser = parse_pace)]
    pub(super) starts_at_once: Option<StartPace>,
    /// The stable window, over which load is averaged: 6s to 1h.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = window)]
    pub(super) window: Duration,
    /// How long the last instance stays after the last request; half a window when absent.
    #[arg(long, value_name = "TIME", value_parser = wait)]
    pub(super) idle: Option<Duration>,
    /// What becomes of instances that are not needed: they end (`stop`), or stay in memory without
    /// any processor time until they are needed again (`freeze`).
    #[arg(long, value_name = "stop|freeze", default_value = "stop", value_parser = parse_idle_mode)]
    pub(super) idle_mode: IdleMode,
    /// Where clients connect [default: 127.0.0.1:8080, or a free port if that is taken].
    #[arg(long, value_name = "ADDR", value_parser = listen_address)]
    pub(super) listen: Option<SocketAddr>,
    /// The app speaks a protocol of its own, such as a database: connections are passed on as they
    /// are, and each is one request.
    #[arg(long, conflicts_with_all = ["certificates", "record"])]
    pub(super) tcp: bool,
    #[command(flatten)]
    pub(super) entrance: EntranceArgs,
    /// When an instance takes requests: once its port accepts connections (`tcp`), or once it
    /// answers a path (`/healthz`) with 200 to 399.
    #[arg(long, value_name = "tcp|/PATH", default_value = "tcp", value_parser = parse_readiness)]
    pub(super) ready: Readiness,
    /// How long an instance may take to become ready.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = some_time)]
    pub(super) start_timeout: Duration,
    /// How long a request may take, waiting for an instance included.
    #[arg(long, value_name = "TIME", default_value = "300s", value_parser = some_time)]
    pub(super) timeout: Duration,
    /// With a limit, what happens to a slot when its client disconnects while the app works.
    #[arg(long, value_enum, default_value = "hold", env = TIDEGATE_ABANDONED)]
    pub(super) abandoned: AbandonedRule,
    /// On Ctrl-C, how long requests in flight may take.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = wait)]
    pub(super) drain: Duration,
    /// How long an instance may take to end on SIGTERM before it is killed.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = wait)]
    pub(super) stop_timeout: Duration,
    /// A key of config-autoscaler or an annotation of autoscaling.knative.dev; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = setting)]
    pub(super) settings: Vec<(String, String)>,
    /// Record every request and every instance, with the settings, for `tidegate sim run --trace`.
    #[arg(long, value_name = "FILE")]
    pub(super) record: Option<PathBuf>,
    /// Keep everything the app writes, in one file for each instance.
    #[arg(long, value_name = "DIR")]
    pub(super) log_dir: Option<PathBuf>,
    /// Name of the service [default: that of the program].
    #[arg(long, value_name = "NAME", value_parser = revision_name)]
    pub(super) name: Option<String>,
    #[command(flatten)]
    pub(super) shown: ShownArgs,
    #[command(flatten)]
    pub(super) keep: KeepArgs,
    #[command(flatten)]
    pub(super) log: LogArgs,
    /// The command; `{PORT}` in it becomes the port to listen on, as does the variable PORT.
    #[arg(last = true, required = true, value_name = "CMD")]
    pub(super) command: Vec<OsString>,
}

/// How many requests an instance takes at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Concurrency {
    Fixed(u32),
    Auto,
}

/// Checks what was typed and binds the listener.
pub(super) fn config(
    args: &Args,
    estate: Option<Estate>,
    output: Option<mpsc::Sender<OutputLine>>,
) -> anyhow::Result<Config> {
    check_command(&args.command).map_err(mistyped)?;
    for (flag, count) in [("--min", args.min), ("--initial", args.initial)] {
        if count > args.max {
            return Err(mistyped(anyhow!("{flag} {count} is more than --max {}", args.max)));
        }
    }
    let settings = Settings {
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
        idle_mode: args.idle_mode,
        readiness: args.ready.clone(),
        start_timeout: args.start_timeout,
        request_timeout: args.timeout,
        stop_timeout: args.stop_timeout,
        settings: args.settings.clone(),
        environment: environment::for_app(args.shown.colours(), |name| std::env::var_os(name)),
        sidecar_environment: sidecar(args),
        record: args.record.clone(),
    };
    let declared = settings.declare();
    let declaration =
        declared.map_err(|wrong| mistyped(as_typed(wrong, &settings.settings, &FLAGS)))?;
    let pace = args.starts_at_once.unwrap_or_else(pace::of_machine);
    let recording = settings.recording(&declaration, pace).map_err(record)?;
    let logs = args.log_dir.as_deref().map(|folder| {
        make_folder("--log-dir", folder)?;
        LogFolder::open(folder)
            .with_context(|| format!("--log-dir: cannot write to {}", folder.display()))
    });
    let logs = logs.transpose()?;
    let listener = listen(args.listen, estate.as_ref())?;
    let abandoned = args.abandoned.within(args.timeout);
    let request_timeout = args.timeout;
    let server_timing = args.shown.server_timing();
    let (roles, streams) = (RoleProgram::Ourselves, args.entrance.stream_limits());
    let tls = args.entrance.tls();
    Ok(Config {
        declaration,
        others: Vec::new(),
        routes: None,
        listener,
        carries: if args.tcp { Carries::Tcp } else { Carries::Http },
        tls,
        request_timeout,
        streams,
        abandoned,
        output,
        logs,
        recording,
        pace,
        server_timing,
        roles,
        estate,
    })
}

/// A file that is there already is a typing error; one that cannot be written is not.
fn record(error: RecordingError) -> anyhow::Error {
    let typed = matches!(error, RecordingError::Taken(_));
    let told = anyhow::Error::new(error).context("--record");
    if typed { mistyped(told) } else { told }
}

/// Settings of the queue-proxies beyond the declaration.
fn sidecar(args: &Args) -> Vec<(OsString, OsString)> {
    let mut variables = vec![(TIDEGATE_ABANDONED.into(), args.abandoned.name().into())];
    if args.concurrency == Some(Concurrency::Auto) {
        variables.push((TIDEGATE_CONCURRENCY.into(), "auto".into()));
    }
    variables
}

/// What another run is the same by: its name, and the folder that it is started in.
pub(super) fn called(args: &Args) -> String {
    let folder = std::env::current_dir().unwrap_or_default();
    format!("run {} in {}", name(args), folder.display())
}

/// The name that was given, or the program's without the characters that no name may have.
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

fn listen(asked: Option<SocketAddr>, estate: Option<&Estate>) -> anyhow::Result<TcpListener> {
    match asked {
        Some(address) => tidegate_relay::listen(address)
            .with_context(|| format!("--listen: cannot listen on {address}")),
        None => listen_anywhere(estate),
    }
}

/// Listens where clients of the run before know it to be, else where nobody has said anything else,
/// else on any port.
pub(crate) fn listen_anywhere(estate: Option<&Estate>) -> anyhow::Result<TcpListener> {
    let known = estate.and_then(Estate::front_door);
    if let Some(Ok(listener)) = known.map(tidegate_relay::listen) {
        return Ok(listener);
    }
    tidegate_relay::listen(DEFAULT_LISTEN)
        .or_else(|_| tidegate_relay::listen(SocketAddr::new(DEFAULT_LISTEN.ip(), 0)))
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

fn parse_idle_mode(text: &str) -> Result<IdleMode, String> {
    match text {
        "stop" => Ok(IdleMode::Stop),
        "freeze" => Ok(IdleMode::Freeze),
        _ => Err("expected `stop` or `freeze`".to_owned()),
    }
}

fn parse_pace(text: &str) -> Result<StartPace, String> {
    match text.parse() {
        _ if text == "all" => Ok(StartPace::UNPACED),
        Ok(count) if (1..=INSTANCES_MAX).contains(&count) => {
            Ok(pace::at_once(usize::try_from(count).unwrap_or(usize::MAX)))
        }
        _ => Err(format!("expected a whole number from 1 to {INSTANCES_MAX}, or `all`")),
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

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Typed {
        #[command(flatten)]
        args: Args,
    }

    /// The library's documented defaults are those of the command line.
    #[test]
    fn the_defaults_of_the_flags_are_those_of_the_library() {
        let Args { min, max, initial, window, idle, start_timeout, timeout, stop_timeout, .. } =
            Typed::try_parse_from(["run", "--", "true"]).expect("valid").args;
        let library = Settings::new("app", ["true"]);
        assert_eq!((min, max, initial), (library.min, library.max, library.initial));
        assert_eq!((window, idle), (library.window, library.idle));
        assert_eq!(
            (start_timeout, timeout, stop_timeout),
            (library.start_timeout, library.request_timeout, library.stop_timeout)
        );
    }
}
