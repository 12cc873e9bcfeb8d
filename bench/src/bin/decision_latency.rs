//! How long after a line has formed a controller decides, while many revisions report to it.
//!
//! ```text
//! cargo build --release
//! cargo run --release -p tidegate-bench --bin decision_latency
//! ```
//!
//! Each revision has one instance, whose reporter is a sidecar's and reports every second. Again
//! and again a line forms in one of them, which is watched as a sidecar watches its own. Measured
//! is the time from the line to the decision for more instances, where somebody who follows
//! decisions hears of it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Parser;
use tidegate_bench::controller::{LIMIT, NAMESPACE, ask, half_busy, report_every_second, reporter};
use tidegate_bench::proxy::process::{Peer, free_address};
use tidegate_bench::proxy::report::table;
use tidegate_proto::scale::v1::{Decision, ListRevisionsRequest, WatchDecisionsRequest};
use tidegate_proto::stats::v1::Stat;
use tidegate_reporter::{QueueWatch, Reporter, WaitingQueue};
use tokio::sync::broadcast;
use tokio::task::JoinSet;

/// Requests in the line.
const WAITING: u32 = 50;

/// Between two lines: long enough that they do not meet, and no part of a second.
const PAUSE: Duration = Duration::from_millis(37);

/// How long they report before the first line: some decisions.
const SETTLING: Duration = Duration::from_secs(5);

/// How long a decision may take, and the greeting of all, on however busy a machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often it is asked whether all are ready.
const POLL_EVERY: Duration = Duration::from_millis(250);

#[derive(Parser)]
#[command(about = "Measure the time from a line to the decision about it")]
struct Args {
    /// The program.
    #[arg(long, default_value = "target/release/tidegate")]
    tidegate: PathBuf,
    /// Revisions that report; may be repeated.
    #[arg(long = "revisions", default_values_t = [100, 1_000])]
    revisions: Vec<u32>,
    /// Lines that form, at most one in each revision.
    #[arg(long, default_value_t = 500)]
    lines: u32,
}

/// A line that has formed.
struct Line;

impl WaitingQueue for Line {
    async fn formed(&self) {}

    fn waiting(&self) -> u32 {
        WAITING
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let mut rows = Vec::new();
    for &count in &args.revisions {
        let mut took = measure(&args, count).await?;
        took.sort_unstable();
        let at = |share: f64| took[((took.len() - 1) as f64 * share).round() as usize];
        let milliseconds = |time: Duration| format!("{:.1}", time.as_secs_f64() * 1e3);
        let times = [at(0.5), at(0.99), at(1.0)].map(milliseconds);
        rows.push([vec![count.to_string(), took.len().to_string()], times.to_vec()].concat());
    }
    let columns = ["revisions", "lines", "median, ms", "p99, ms", "longest, ms"];
    table("From a line to the decision about it", &columns, &rows);
    Ok(())
}

async fn measure(args: &Args, count: u32) -> anyhow::Result<Vec<Duration>> {
    let address = free_address()?;
    let mut command = Command::new(&args.tidegate);
    command.args(["controller", "--log", "error", "--listen", &address.to_string()]);
    let _controller = Peer::start("controller", address, &mut command)?;
    let mut running = JoinSet::new();
    let reporters: Vec<Reporter> = (0..count)
        .map(|number| reporter(address, &name(number), number, &mut running))
        .collect::<anyhow::Result<_>>()?;
    until_ready(address, count).await?;
    let decisions = follow(address).await?;
    let ticking = report_every_second(reporters.clone());
    tokio::time::sleep(SETTLING).await;
    let mut took = Vec::new();
    for (number, reporter) in (0..count.min(args.lines)).zip(&reporters) {
        tokio::time::sleep(PAUSE).await;
        took.push(one(reporter, &name(number), &decisions).await?);
    }
    ticking.abort();
    running.abort_all();
    Ok(took)
}

fn name(number: u32) -> String {
    format!("app-{number}")
}

/// A line forms, and is decided about.
async fn one(
    reporter: &Reporter,
    revision: &str,
    decisions: &broadcast::Sender<Decision>,
) -> anyhow::Result<Duration> {
    let mut told = decisions.subscribe();
    let formed = Instant::now();
    QueueWatch::default().news(&Line).await;
    reporter.report(Stat {
        period_length_ms: 100,
        average_concurrency: f64::from(LIMIT),
        in_flight: LIMIT + WAITING,
        waiting: WAITING,
        limit: LIMIT,
        ..half_busy()
    });
    let decided = async {
        loop {
            let decision = told.recv().await.context("the controller ended")?;
            if decision.name == revision && decision.desired > 1 {
                return anyhow::Ok(formed.elapsed());
            }
        }
    };
    tokio::time::timeout(PATIENCE, decided).await.context("nothing was decided")?
}

/// Hands on the decisions about all revisions.
async fn follow(controller: SocketAddr) -> anyhow::Result<broadcast::Sender<Decision>> {
    let mut client = ask(controller).await?;
    let mut stream = client.watch_decisions(WatchDecisionsRequest::default()).await?.into_inner();
    // Each revision decides every two seconds, and none of that may push out what is looked for.
    let (sender, _) = broadcast::channel(8_192);
    let told = sender.clone();
    tokio::spawn(async move {
        while let Ok(Some(decision)) = stream.message().await {
            // Nobody listens between two lines.
            let _ = told.send(decision);
        }
    });
    Ok(sender)
}

/// Waits until every revision has its instance.
async fn until_ready(controller: SocketAddr, count: u32) -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut client = ask(controller).await?;
    loop {
        let listed = client.list_revisions(ListRevisionsRequest {}).await?.into_inner().revisions;
        let ready = listed.iter().filter(|one| one.namespace == NAMESPACE && one.ready > 0).count();
        if ready == count as usize {
            return Ok(());
        }
        ensure!(begun.elapsed() < PATIENCE, "{ready} of {count} became ready");
        tokio::time::sleep(POLL_EVERY).await;
    }
}
