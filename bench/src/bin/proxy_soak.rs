//! Runs the sidecar among clients and an app that break every promise they can, and checks that
//! everything it held comes back: memory, descriptors, slots.
//!
//! ```text
//! cargo build --release -p tidegate-bench --bin proxy_soak
//! target/release/proxy_soak --queue-proxy target/slim/queue-proxy --seconds 600
//! ```
//!
//! Ends with an error if any response looked whole and was not, if anything got stuck, if the app
//! got something that was not sent, or if something did not come back.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Parser;
use tidegate_bench::proxy::peers::Lineup;
use tidegate_bench::proxy::process::{Peer, move_aside};
use tidegate_bench::proxy::soak::{self, AppRecord, Outcome, Random};
use tokio::task::JoinSet;

/// What the sidecar may let in at a time.
const LIMIT: usize = 40;
/// How long idle connections to the app take to be let go: 90 s and the next look at them.
const SETTLE: Duration = Duration::from_secs(110);
/// Memory that may stay behind.
const KEPT_KIB_MAX: u64 = 2048;

#[derive(Parser)]
#[command(about = "Soak the sidecar among misbehaving clients and a misbehaving app")]
struct Args {
    /// Our sidecar.
    #[arg(long, default_value = "target/slim/queue-proxy")]
    queue_proxy: PathBuf,
    /// How long to soak.
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// How many clients misbehave at a time.
    #[arg(long, default_value_t = 60)]
    clients: usize,
    /// Seed of what the clients do.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The first of the ports to use.
    #[arg(long, default_value_t = 29000)]
    port: u16,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(&args))
}

async fn run(args: &Args) -> anyhow::Result<()> {
    let record = Arc::new(AppRecord::default());
    let app = soak::serve(record.clone()).await?;
    let lineup = Lineup {
        queue_proxy: args.queue_proxy.clone(),
        nginx: None,
        hyper: None,
        knative: None,
        directory: PathBuf::new(),
    };
    let proxy = lineup.tidegate(app, args.port, LIMIT)?;
    move_aside()?;
    // The first seconds fill what is filled once: pools, tables, code pages.
    clients(args, &proxy, Duration::from_secs(5)).await?;
    tokio::time::sleep(SETTLE).await;
    let before = (proxy.resident_kib()?, proxy.descriptors()?);
    let outcomes = clients(args, &proxy, Duration::from_secs(args.seconds)).await?;
    tokio::time::sleep(SETTLE).await;
    let after = (proxy.resident_kib()?, proxy.descriptors()?);
    println!("outcomes: {outcomes:?}");
    println!("requests at the app: {}", record.requests.load(Ordering::SeqCst));
    println!("most at a time: {} of {LIMIT}", record.most.load(Ordering::SeqCst));
    println!("resident KiB: {} before, {} after", before.0, after.0);
    println!("descriptors: {} before, {} after", before.1, after.1);
    let count = |outcome: &str| outcomes.get(outcome).copied().unwrap_or(0);
    ensure!(count("Wrong") == 0, "answers looked whole and were not right");
    ensure!(count("Stuck") == 0, "exchanges got stuck");
    ensure!(count("Right") > 0, "nothing succeeded");
    ensure!(record.wrong.load(Ordering::SeqCst) == 0, "the app got something that was not sent");
    ensure!(after.0 <= before.0 + KEPT_KIB_MAX, "memory did not come back");
    ensure!(after.1 <= before.1, "descriptors did not come back");
    slots_are_back(&proxy).await
}

async fn clients(
    args: &Args,
    proxy: &Peer,
    time: Duration,
) -> anyhow::Result<BTreeMap<String, u64>> {
    let until = Instant::now() + time;
    let mut tasks = JoinSet::new();
    let address = proxy.address;
    for number in 0..args.clients {
        let mut random = Random::new(args.seed.wrapping_mul(1_000_003) + number as u64);
        tasks.spawn(async move {
            let mut outcomes: BTreeMap<String, u64> = BTreeMap::new();
            while Instant::now() < until {
                let outcome: Outcome = soak::misbehave(address, &mut random).await;
                *outcomes.entry(format!("{outcome:?}")).or_default() += 1;
            }
            outcomes
        });
    }
    let mut total = BTreeMap::new();
    while let Some(outcomes) = tasks.join_next().await {
        for (outcome, count) in outcomes.context("a client failed")? {
            *total.entry(outcome).or_default() += count;
        }
    }
    Ok(total)
}

/// As many tunnels as there are slots can be open at the same time, so every slot is back.
async fn slots_are_back(proxy: &Peer) -> anyhow::Result<()> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut open = Vec::new();
    for number in 0..LIMIT {
        let mut stream = tokio::net::TcpStream::connect(proxy.address).await?;
        let ask = b"GET /tunnel/1/0 HTTP/1.1\r\nHost: soak\r\n\
                    Connection: Upgrade\r\nUpgrade: soak\r\n\r\n";
        stream.write_all(ask).await?;
        let mut start = [0; 12];
        let reading = stream.read_exact(&mut start);
        tokio::time::timeout(Duration::from_secs(5), reading)
            .await
            .with_context(|| format!("only {number} of {LIMIT} slots are back"))??;
        ensure!(&start == b"HTTP/1.1 101", "slot {number} is not back");
        open.push(stream);
    }
    println!("slots: all {LIMIT} are back");
    Ok(())
}
