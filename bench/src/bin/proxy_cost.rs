//! What the sidecar costs, beside named peers, all in one run.
//!
//! ```text
//! cargo build --profile slim -p tidegate-queue-proxy
//! cargo run --release -p tidegate-bench --bin proxy_cost -- --queue-proxy target/slim/queue-proxy
//! ```
//!
//! Peers take turns in every round, so that a noisy machine is noisy for all of them, and the
//! medians of the rounds are printed. Proxies share one processor, load and app the others.
//! The method and results are in `docs/benchmarks/queue-proxy.md`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Parser, ValueEnum};
use tidegate_bench::proxy::peers::{self, Lineup};
use tidegate_bench::proxy::process::{Cpu, Peer, move_aside};
use tidegate_bench::proxy::report::{median, table};
use tidegate_bench::proxy::turns::{self, cost_rows, requests, total};
use tidegate_bench::proxy::{app, load, streams};

#[derive(Parser)]
#[command(about = "Measure what the sidecar costs beside named peers")]
struct Args {
    /// Our sidecar.
    #[arg(long, default_value = "target/slim/queue-proxy")]
    queue_proxy: PathBuf,
    /// nginx, as the app and as a peer.
    #[arg(long, default_value = "/usr/sbin/nginx")]
    nginx: PathBuf,
    /// hyper with its pooled client, as a peer.
    #[arg(long, default_value = "target/release/proxy_peer_hyper")]
    hyper: PathBuf,
    /// Knative's sidecar, as a peer. Ports 8022 and 9090 must be free.
    #[arg(long)]
    knative: Option<PathBuf>,
    /// How often every peer takes its turn.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long a turn takes.
    #[arg(long, default_value_t = 2)]
    seconds: u64,
    /// The first of the ports to use.
    #[arg(long, default_value_t = 28000)]
    port: u16,
    /// What to measure; everything if not given.
    #[arg(long, value_enum)]
    only: Vec<Part>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Cpu,
    Flatness,
    Syscalls,
    Memory,
    Latency,
    Grpc,
    Echo,
    Bodies,
    Start,
}

struct Bench {
    args: Args,
    lineup: Lineup,
    app: SocketAddr,
    rich_app: SocketAddr,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let directory = tempfile::tempdir()?;
    let nginx_app = peers::nginx_app(&args.nginx, directory.path(), args.port)
        .context("the harness needs nginx as its app")?;
    move_aside()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // The app that speaks everything has a thread of its own, so that it never waits for load.
    let (told, rich_app) = std::sync::mpsc::channel();
    std::thread::spawn(move || -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            told.send(app::serve().await?)?;
            std::future::pending().await
        })
    });
    let lineup = Lineup {
        queue_proxy: args.queue_proxy.clone(),
        nginx: Some(args.nginx.clone()),
        hyper: args.hyper.exists().then(|| args.hyper.clone()),
        knative: args.knative.clone(),
        directory: directory.path().to_owned(),
    };
    let rich_app = rich_app.recv()?;
    let bench = Bench { args, lineup, app: nginx_app.address, rich_app };
    runtime.block_on(bench.run())
}

impl Bench {
    async fn run(&self) -> anyhow::Result<()> {
        let wants = |part| self.args.only.is_empty() || self.args.only.contains(&part);
        if wants(Part::Start) {
            self.start()?;
        }
        if wants(Part::Cpu) {
            self.cpu().await?;
        }
        if wants(Part::Flatness) {
            self.flatness().await?;
        }
        if wants(Part::Syscalls) {
            self.syscalls().await?;
        }
        if wants(Part::Latency) {
            self.latency().await?;
        }
        if wants(Part::Memory) {
            self.memory().await?;
        }
        if wants(Part::Grpc) {
            self.grpc().await?;
        }
        if wants(Part::Echo) {
            self.echo().await?;
        }
        if wants(Part::Bodies) {
            self.bodies().await?;
        }
        Ok(())
    }

    fn turn(&self) -> Duration {
        Duration::from_secs(self.args.seconds)
    }

    fn peers(&self, app: SocketAddr) -> anyhow::Result<Vec<Peer>> {
        self.lineup.start(app, self.args.port + 10)
    }

    async fn rounds<F>(
        &self,
        peers: &[Peer],
        work: impl FnMut(SocketAddr) -> F,
    ) -> anyhow::Result<Vec<Vec<Cpu>>>
    where
        F: Future<Output = anyhow::Result<f64>>,
    {
        turns::costs(peers, self.args.rounds, work).await
    }

    fn start(&self) -> anyhow::Result<()> {
        let mut times: Vec<(String, Vec<f64>)> = Vec::new();
        for _ in 0..self.args.rounds * 2 {
            for (index, peer) in self.peers(self.app)?.iter().enumerate() {
                let milliseconds = peer.started_in.as_secs_f64() * 1e3;
                match times.get_mut(index) {
                    Some((_, times)) => times.push(milliseconds),
                    None => times.push((peer.name.clone(), vec![milliseconds])),
                }
            }
        }
        let rows: Vec<_> = times
            .iter()
            .map(|(name, times)| vec![name.clone(), format!("{:.1}", median(times))])
            .collect();
        table("From start to the first connection", &["peer", "ms"], &rows);
        let size =
            |path: &Path| std::fs::metadata(path).map_or(0.0, |file| file.len() as f64 / 1e6);
        println!("\nBinary: {:.2} MB", size(&self.lineup.queue_proxy));
        if let Some(knative) = &self.lineup.knative {
            println!("Knative's binary: {:.2} MB", size(knative));
        }
        Ok(())
    }

    async fn cpu(&self) -> anyhow::Result<()> {
        let peers = self.peers(self.app)?;
        let costs = self.rounds(&peers, |address| requests(address, 50, self.turn())).await?;
        let rows = cost_rows(&peers, &costs);
        let columns = ["peer", "user µs", "system µs", "µs a request", "× nginx"];
        table("Processor time per request, 50 connections, 64-byte response", &columns, &rows);
        Ok(())
    }

    async fn flatness(&self) -> anyhow::Result<()> {
        let peers = self.peers(self.app)?;
        let mut rows = Vec::new();
        for connections in [1, 8, 32, 128, 1000] {
            let costs =
                self.rounds(&peers, |address| requests(address, connections, self.turn())).await?;
            let mut row = vec![connections.to_string()];
            row.extend(costs.iter().map(|costs| format!("{:.2}", total(costs))));
            rows.push(row);
        }
        let mut columns = vec!["connections"];
        columns.extend(peers.iter().map(|peer| peer.name.as_str()));
        table("Processor time per request, µs, by connections", &columns, &rows);
        Ok(())
    }

    async fn syscalls(&self) -> anyhow::Result<()> {
        let mut rows = Vec::new();
        for peer in self.peers(self.app)? {
            let output = self.lineup.directory.join("strace");
            let tracer = Command::new("strace")
                .args(["-c", "-f", "-o"])
                .arg(&output)
                .args(["-p", &peer.id().to_string()])
                .stderr(Stdio::null())
                .spawn();
            let Ok(mut tracer) = tracer else {
                println!("\nSystem calls are not counted: strace cannot be started.");
                return Ok(());
            };
            tokio::time::sleep(Duration::from_millis(500)).await;
            let tally = load::closed_loop(peer.address, 32, self.turn()).await;
            if let Some(id) = rustix::process::Pid::from_raw(tracer.id().cast_signed()) {
                rustix::process::kill_process(id, rustix::process::Signal::INT)?;
            }
            tracer.wait()?;
            let text = std::fs::read_to_string(&output)?;
            let total = text.lines().find(|line| line.ends_with(" total")).unwrap_or_default();
            let calls: f64 =
                total.split_whitespace().nth(3).and_then(|n| n.parse().ok()).unwrap_or(0.0);
            let each = calls / tally.answers.max(1) as f64;
            rows.push(vec![peer.name.clone(), format!("{each:.2}")]);
        }
        table("System calls per request, 32 connections", &["peer", "calls"], &rows);
        Ok(())
    }

    async fn latency(&self) -> anyhow::Result<()> {
        const PER_SECOND: u32 = 2000;
        let peers = self.peers(self.app)?;
        let mut names = vec!["direct".to_owned()];
        names.extend(peers.iter().map(|peer| peer.name.clone()));
        let mut addresses = vec![self.app];
        addresses.extend(peers.iter().map(|peer| peer.address));
        let mut seen = vec![(Vec::new(), Vec::new()); names.len()];
        for round in 0..=self.args.rounds {
            for (address, (p50, p99)) in addresses.iter().zip(&mut seen) {
                let tally = load::open_loop(*address, 20, PER_SECOND, self.turn()).await;
                if tally.failures > 0 {
                    bail!("{} requests failed", tally.failures);
                }
                if round > 0 {
                    p50.push(tally.latency_us.value_at_quantile(0.5) as f64);
                    p99.push(tally.latency_us.value_at_quantile(0.99) as f64);
                }
            }
        }
        let direct = (median(&seen[0].0), median(&seen[0].1));
        let rows: Vec<_> = names
            .iter()
            .zip(&seen)
            .map(|(name, (p50, p99))| {
                let (p50, p99) = (median(p50), median(p99));
                let added = |value: f64, base: f64| format!("{:.0}", value - base);
                let whole = |value: f64| format!("{value:.0}");
                vec![
                    name.clone(),
                    whole(p50),
                    added(p50, direct.0),
                    whole(p99),
                    added(p99, direct.1),
                ]
            })
            .collect();
        let columns = ["peer", "p50 µs", "added", "p99 µs", "added"];
        table("Latency at 2,000 requests a second, open loop", &columns, &rows);
        Ok(())
    }

    async fn memory(&self) -> anyhow::Result<()> {
        let mut rows = Vec::new();
        for peer in self.peers(self.app)? {
            let megabytes = || -> anyhow::Result<String> {
                Ok(format!("{:.1}", peer.resident_kib()? as f64 / 1024.0))
            };
            let mut row = vec![peer.name.clone(), megabytes()?];
            let loaded = load::closed_loop(peer.address, 50, self.turn());
            let (tally, ()) = tokio::join!(loaded, async {
                tokio::time::sleep(self.turn() * 3 / 4).await;
                row.push(megabytes().unwrap_or_default());
            });
            if tally.failures > 0 {
                bail!("{} failed {} requests", peer.name, tally.failures);
            }
            for connections in [1000, 10_000] {
                let held = load::idle_connections(peer.address, connections).await?;
                tokio::time::sleep(Duration::from_millis(500)).await;
                row.push(megabytes()?);
                drop(held);
            }
            tokio::time::sleep(Duration::from_secs(3)).await;
            row.push(megabytes()?);
            rows.push(row);
        }
        let columns =
            ["peer", "idle", "50 busy", "1,000 kept alive", "10,000 kept alive", "3 s after"];
        table("Resident memory, MB", &columns, &rows);
        Ok(())
    }

    async fn grpc(&self) -> anyhow::Result<()> {
        let mut rows = Vec::new();
        for peer in self.peers(self.rich_app)? {
            if peer.name != "Tidegate" && peer.name != "Knative" {
                continue;
            }
            let (mut unary, mut plain) = (Vec::new(), Vec::new());
            for round in 0..=self.args.rounds {
                let before = peer.cpu()?;
                let calls = streams::unary_calls(peer.address, 5, 10, self.turn()).await?;
                let between = peer.cpu()?;
                let requests = requests(peer.address, 50, self.turn()).await?;
                if round > 0 {
                    unary.push(between.since(before, calls as f64));
                    plain.push(peer.cpu()?.since(between, requests));
                }
            }
            let (unary, plain) = (total(&unary), total(&plain));
            let ratio = format!("{:.2}", unary / plain);
            rows.push(vec![peer.name.clone(), format!("{unary:.2}"), format!("{plain:.2}"), ratio]);
        }
        let columns = ["peer", "gRPC unary µs", "HTTP/1.1 µs", "ratio"];
        table("Processor time per call, 5 connections × 10 streams", &columns, &rows);
        Ok(())
    }

    async fn echo(&self) -> anyhow::Result<()> {
        let peers: Vec<Peer> = self
            .peers(self.rich_app)?
            .into_iter()
            .filter(|peer| !peer.name.starts_with("hyper"))
            .collect();
        for size in [64, 16 * 1024] {
            let costs = self
                .rounds(&peers, |address| async move {
                    Ok(streams::echoes(address, 20, size, self.turn()).await? as f64)
                })
                .await?;
            let title = format!("Processor time per WebSocket echo of {size} bytes");
            let columns = ["peer", "user µs", "system µs", "µs an echo", "× nginx"];
            table(&title, &columns, &cost_rows(&peers, &costs));
        }
        Ok(())
    }

    async fn bodies(&self) -> anyhow::Result<()> {
        const GIGABYTE: u64 = 1 << 30;
        let peers = self.peers(self.rich_app)?;
        let columns = ["peer", "user ms", "system ms", "ms a GB", "× nginx"];
        let thousandth = |costs: Vec<Vec<Cpu>>| -> Vec<Vec<Cpu>> {
            let scale = |cost: Cpu| cost.since(Cpu::default(), 1e3);
            costs.into_iter().map(|costs| costs.into_iter().map(scale).collect()).collect()
        };
        let costs = self
            .rounds(&peers, |address| async move {
                streams::download(address, GIGABYTE).await?;
                Ok(1.0)
            })
            .await?;
        let rows = cost_rows(&peers, &thousandth(costs));
        table("Processor time to fetch 1 GB", &columns, &rows);
        let costs = self
            .rounds(&peers, |address| async move {
                streams::upload(address, GIGABYTE).await?;
                Ok(1.0)
            })
            .await?;
        let rows = cost_rows(&peers, &thousandth(costs));
        table("Processor time to send 1 GB", &columns, &rows);
        Ok(())
    }
}
