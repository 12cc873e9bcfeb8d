//! Many revisions at zero, woken at once: is a request lost, and where does the time go?
//!
//! ```text
//! cargo build --release
//! cargo run --release -p tidegate-bench --bin woken
//! ```
//!
//! One controller and one activator in this process, and for each revision a real app and a real
//! queue-proxy, as `tidegate run` has them. Every revision gets one request, all at once, each over
//! a connection of its own; where its time went is in `Server-Timing` of its response. Method and
//! results are in `docs/benchmarks/local-mode.md`.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Parser;
use tidegate_activator::{Activator, Running, ServerTimingHeader};
use tidegate_bench::local_mode::server_timing::Phases;
use tidegate_controller::process::{
    LineMemory, ProcessActuator, ProcessConfig, Reaper, RunId, process_tag, sweep,
};
use tidegate_controller::{Access, Handle, Notice, StopMode, UndeclaredRevisions};
use tidegate_local::Settings;
use tidegate_trust::Secret;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long a request may take: a thousand apps start on few cores.
const PATIENCE: Duration = Duration::from_secs(600);

/// Time between two looks at what the activator knows.
const POLL_PERIOD: Duration = Duration::from_millis(20);

#[derive(Parser)]
#[command(about = "Wake many revisions at once, and say where the time went")]
struct Args {
    /// The program.
    #[arg(long, default_value = "target/release/tidegate")]
    tidegate: PathBuf,
    /// How many revisions.
    #[arg(long, default_value_t = 1_000)]
    count: usize,
    /// The app, with `{PORT}` or `$PORT`; the sample app when left away.
    #[arg(last = true)]
    command: Vec<OsString>,
}

fn main() -> anyhow::Result<()> {
    let mut args = Args::parse();
    if args.command.is_empty() {
        let words = ["demo", "--app", "--start-up", "0ms", "--service-time", "0ms"];
        args.command.push(args.tidegate.clone().into());
        args.command.extend(words.map(OsString::from));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(wake(&args))
}

async fn wake(args: &Args) -> anyhow::Result<()> {
    let run = RunId::random();
    let role = |name: &str| vec![args.tidegate.clone().into_os_string(), name.into()];
    let reaper = Reaper::start(&role("tg-watchman"), &run)?;
    let (handle, activator) = start(&run, [role("queue-proxy"), role("tg-launch")]).await?;
    for nth in 0..args.count {
        let settings = Settings { initial: 0, max: 1, ..settings(nth, args) };
        handle.declare(settings.declare()?).await?;
    }
    // It knows those that the controller has told it of.
    while activator.throttler().all().len() < args.count {
        tokio::time::sleep(POLL_PERIOD).await;
    }
    let begun = Instant::now();
    let (mut clients, mut phases) = (JoinSet::new(), Phases::default());
    for nth in 0..args.count {
        clients.spawn(timeout(PATIENCE, ask(activator.address(), nth)));
    }
    let (mut served, mut latencies) = (0, Vec::new());
    while let Some(answer) = clients.join_next().await {
        if let Ok(Ok(head)) = answer?
            && head.starts_with("HTTP/1.1 200")
        {
            served += 1;
            latencies.push(begun.elapsed());
            for line in head.lines() {
                let field = line.split_once(':').filter(|(name, _)| is_timing(name));
                phases.add(field.map_or("", |(_, value)| value));
            }
        }
    }
    let (middle, last) = (latencies.get(served / 2), latencies.last());
    println!(
        "{} revisions woken at once: {served} answered, {} lost, the median after {:.1} s, the \
         last after {:.1} s\n{phases}",
        args.count,
        args.count - served,
        middle.copied().unwrap_or_default().as_secs_f64(),
        last.copied().unwrap_or_default().as_secs_f64(),
    );
    let mut notices = handle.watch_notices();
    handle.stop(StopMode::Kill).await?;
    while !matches!(timeout(PATIENCE, notices.recv()).await?, Ok(Notice::AllStopped)) {}
    sweep(process_tag::Scope::Run(&run));
    reaper.dismiss().await;
    ensure!(served == args.count, "requests were lost");
    Ok(())
}

fn is_timing(name: &str) -> bool {
    name.eq_ignore_ascii_case("server-timing")
}

fn settings(nth: usize, args: &Args) -> Settings {
    Settings {
        start_timeout: PATIENCE,
        request_timeout: PATIENCE,
        ..Settings::new(&format!("app-{nth}"), args.command.clone())
    }
}

/// The controller, which starts processes, and the activator.
async fn start(
    run: &RunId,
    [sidecar, launcher]: [Vec<OsString>; 2],
) -> anyhow::Result<(Handle, Running)> {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let reports = tokio::net::TcpListener::bind(any).await?;
    let controller = reports.local_addr()?.to_string();
    let secret = Secret::random()?;
    let (handle, owner) = tidegate_controller::controller(UndeclaredRevisions::Refuse);
    let processes = ProcessConfig {
        sidecar,
        launcher,
        controller: controller.clone(),
        secret: Some(secret.clone()),
        run: run.clone(),
        output: None,
        memory: LineMemory::default(),
        logs: None,
        keep: None,
    };
    tokio::spawn(owner.run(ProcessActuator::new(processes, handle.clone())));
    let access = Access::by_secret(secret.clone());
    let never = std::future::pending();
    tokio::spawn(tidegate_controller::serve(handle.clone(), reports, access, never));
    let mut config = tidegate_activator::Config::new(any);
    config.controller = Some(controller);
    config.credentials.secret = Some(secret.into());
    config.dispatch.longest_wait = Some(PATIENCE);
    config.limits.response_start = Some(PATIENCE);
    config.server_timing = ServerTimingHeader::Shown;
    Ok((handle, Activator::bind(config)?.spawn()))
}

/// The head of the response of one revision.
async fn ask(activator: SocketAddr, nth: usize) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(activator).await?;
    let request = format!(
        "GET / HTTP/1.1\r\nHost: app\r\nConnection: close\r\nKnative-Serving-Namespace: local\r\n\
         Knative-Serving-Revision: app-{nth}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut response = Vec::new();
    stream.read_to_end(&mut response).await?;
    let text = String::from_utf8_lossy(&response);
    Ok(text.split("\r\n\r\n").next().context("no response")?.to_owned())
}
