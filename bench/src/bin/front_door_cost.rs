//! What the front door costs, beside named peers that route the same way, all in one run.
//!
//! ```text
//! cargo build --profile slim -p tidegate-activator-program -p tidegate-queue-proxy
//! cargo build --release -p tidegate-bench --bin front_door_cost
//! target/release/front_door_cost
//! ```
//!
//! Peers take turns in every round, so that a noisy machine is noisy for all of them, and the
//! medians of the rounds are printed. Front doors share one processor, load and app the others.
//! The method and results are in `docs/benchmarks/activator.md`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use tidegate_bench::proxy::front_doors::FrontDoors;
use tidegate_bench::proxy::process::{Cpu, Peer, move_aside};
use tidegate_bench::proxy::report::table;
use tidegate_bench::proxy::turns::{cost_rows, costs, requests, total};
use tidegate_bench::proxy::{load, peers};

/// Connections that clients keep.
const CONNECTIONS: usize = 50;

#[derive(Parser)]
#[command(about = "Measure what the front door costs beside named peers")]
struct Args {
    /// Our activator.
    #[arg(long, default_value = "target/slim/activator")]
    activator: PathBuf,
    /// Our sidecar.
    #[arg(long, default_value = "target/slim/queue-proxy")]
    queue_proxy: PathBuf,
    /// nginx, as the app and as a peer.
    #[arg(long, default_value = "/usr/sbin/nginx")]
    nginx: PathBuf,
    /// HAProxy, as a peer.
    #[arg(long, default_value = "/usr/sbin/haproxy")]
    haproxy: PathBuf,
    /// Envoy, as a peer.
    #[arg(long)]
    envoy: Option<PathBuf>,
    /// The program of `bench/pingora`, as a peer.
    #[arg(long)]
    pingora: Option<PathBuf>,
    /// How often every peer takes its turn.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long a turn takes.
    #[arg(long, default_value_t = 2)]
    seconds: u64,
    /// The first of the ports to use.
    #[arg(long, default_value_t = 28600)]
    port: u16,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let directory = tempfile::tempdir()?;
    let app = peers::nginx_app(&args.nginx, directory.path(), args.port)
        .context("the harness needs nginx as its app")?;
    move_aside()?;
    let doors = FrontDoors {
        activator: args.activator.clone(),
        queue_proxy: args.queue_proxy.clone(),
        nginx: args.nginx.clone(),
        haproxy: args.haproxy.exists().then(|| args.haproxy.clone()),
        envoy: args.envoy.clone(),
        pingora: args.pingora.clone(),
        directory: directory.path().to_owned(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let started = doors.start(app.address, args.port + 10)?;
        memory(&started)?;
        hops(&args, &started, &doors.with_sidecar(app.address, args.port + 30)?).await
    })
}

fn memory(peers: &[Peer]) -> anyhow::Result<()> {
    let row = |peer: &Peer| -> anyhow::Result<Vec<String>> {
        Ok(vec![peer.name.clone(), format!("{:.1}", peer.resident_kib()? as f64 / 1024.0)])
    };
    let rows: Vec<_> = peers.iter().map(row).collect::<anyhow::Result<_>>()?;
    table("Resident memory at rest, MB", &["peer", "MB"], &rows);
    Ok(())
}

/// Processor time of one hop through each peer, and of two through an activator and a sidecar.
async fn hops(args: &Args, peers: &[Peer], both: &[Peer; 2]) -> anyhow::Result<()> {
    let turn = Duration::from_secs(args.seconds);
    let work = |address| requests(address, CONNECTIONS, turn);
    // Both hops are measured among the others: their turn is one more peer's.
    let (mut one, mut two) = (vec![Vec::new(); peers.len()], Vec::new());
    for _ in 0..args.rounds {
        for (all, more) in one.iter_mut().zip(costs(peers, 1, work).await?) {
            all.extend(more);
        }
        load::closed_loop(both[1].address, CONNECTIONS, turn / 4).await;
        let before = [both[0].cpu()?, both[1].cpu()?];
        let answers = work(both[1].address).await.context("activator and sidecar")?;
        let after = [both[0].cpu()?, both[1].cpu()?];
        let [behind, front] = [0, 1].map(|of| after[of].since(before[of], answers));
        two.push(Cpu {
            user_us: behind.user_us + front.user_us,
            system_us: behind.system_us + front.system_us,
            total_us: behind.total_us + front.total_us,
        });
    }
    let mut rows = cost_rows(peers, &one);
    let nginx = peers.iter().position(|peer| peer.name == "nginx").map(|at| total(&one[at]));
    let whole = total(&two);
    let ratio = nginx.map_or(String::new(), |nginx| format!("{:.2}", whole / nginx));
    rows.push(vec![
        "activator and sidecar".into(),
        String::new(),
        String::new(),
        format!("{whole:.2}"),
        ratio,
    ]);
    let columns = ["peer", "user µs", "system µs", "µs a request", "× nginx"];
    table("Processor time per request, 50 connections, 64-byte response", &columns, &rows);
    Ok(())
}
