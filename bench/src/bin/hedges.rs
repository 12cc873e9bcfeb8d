//! What a second instance is worth when the first takes long: an activator before four instances,
//! with and without hedges.
//!
//! ```text
//! cargo build --release -p tidegate -p tidegate-bench --bin tidegate --bin hedges
//! target/release/hedges --tidegate target/release/tidegate
//! ```
//!
//! In one world one instance of the four is slow, in the other each of them is now and then. What
//! the apps are asked is counted inside them. The results are in `docs/benchmarks/activator.md`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use clap::Parser;
use hdrhistogram::Histogram;
use tidegate_bench::proxy::load::Connection;
use tidegate_bench::proxy::process::{Peer, free_address};
use tidegate_bench::proxy::report::table;
use tidegate_bench::proxy::soak::Random;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Instances.
const INSTANCES: usize = 4;

/// How often an instance is slow in the world where each is now and then: one request of so many.
const SLOW_OF: u64 = 50;

#[derive(Parser)]
#[command(about = "Measure what hedged requests are worth")]
struct Args {
    /// The program with our activator.
    #[arg(long, default_value = "target/release/tidegate")]
    tidegate: PathBuf,
    /// Requests of each row.
    #[arg(long, default_value_t = 20_000)]
    requests: u64,
    /// Clients, each with one request at a time.
    #[arg(long, default_value_t = 16)]
    clients: u64,
    /// What an app takes for a request, in milliseconds.
    #[arg(long, default_value_t = 10)]
    service_ms: u64,
    /// What it takes when it is slow.
    #[arg(long, default_value_t = 300)]
    slow_ms: u64,
}

/// Who is slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum World {
    OneIsSlow,
    EachIsNowAndThen,
}

/// What the activator is told of hedges.
const HEDGES: [&[&str]; 4] = [
    &[],
    &["--hedge-budget", "5%"],
    &["--hedge-budget", "5%", "--hedge-after", "30ms"],
    &["--hedge-budget", "20%", "--hedge-after", "30ms"],
];

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let columns = ["hedges", "failed", "asked of the apps", "p50", "p95", "p99", "p99.9"];
    for (world, title) in [
        (World::OneIsSlow, "one of four instances is slow"),
        (World::EachIsNowAndThen, "each instance is slow once in fifty requests"),
    ] {
        let rows = HEDGES.map(|hedges| runtime.block_on(row(&args, world, hedges)));
        let rows: Vec<_> = rows.into_iter().collect::<anyhow::Result<_>>()?;
        table(title, &columns, &rows);
    }
    Ok(())
}

async fn row(args: &Args, world: World, hedges: &[&str]) -> anyhow::Result<Vec<String>> {
    let asked = Arc::<AtomicU64>::default();
    let mut command = Command::new(&args.tidegate);
    let address = free_address()?;
    command.args(["activator", "--log", "off", "--default-revision", "default/web"]);
    command.args(["--listen", &address.to_string()]).args(hedges);
    for nth in 0..INSTANCES {
        let always = world == World::OneIsSlow && nth == 0;
        let app = App {
            service: Duration::from_millis(args.service_ms),
            slow: Duration::from_millis(args.slow_ms),
            one_of: match world {
                World::OneIsSlow if always => Some(1),
                World::OneIsSlow => None,
                World::EachIsNowAndThen => Some(SLOW_OF),
            },
            asked: Arc::clone(&asked),
        };
        let at = app.serve(nth as u64).await?;
        command.args(["--endpoint", &format!("default/web={at},100")]);
    }
    let activator = Peer::start_anywhere("the activator", address, &mut command)?;
    let (latency_us, failed) = ask(args, activator.address).await?;
    let ms = |quantile| format!("{:.1} ms", latency_us.value_at_quantile(quantile) as f64 / 1e3);
    ensure!(latency_us.len() + failed == args.requests, "a request was not counted");
    Ok(vec![
        if hedges.is_empty() { "none".to_owned() } else { format!("`{}`", hedges.join(" ")) },
        failed.to_string(),
        format!("{:.3} each", asked.load(Ordering::Relaxed) as f64 / args.requests as f64),
        ms(0.5),
        ms(0.95),
        ms(0.99),
        ms(0.999),
    ])
}

/// Every client asks again as soon as it is answered.
async fn ask(args: &Args, at: SocketAddr) -> anyhow::Result<(Histogram<u64>, u64)> {
    let left = Arc::new(AtomicU64::new(args.requests));
    let mut clients = JoinSet::new();
    for _ in 0..args.clients {
        let left = Arc::clone(&left);
        clients.spawn(async move {
            let mut latency_us = Histogram::<u64>::new_with_bounds(1, 60_000_000, 3)?;
            let (mut failed, mut connection) = (0, Connection::open(at).await?);
            let one_less = |left: u64| left.checked_sub(1);
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok() {
                let sent = Instant::now();
                if connection.exchange().await.is_ok() {
                    latency_us.saturating_record(sent.elapsed().as_micros() as u64);
                } else {
                    failed += 1;
                    connection = Connection::open(at).await?;
                }
            }
            anyhow::Ok((latency_us, failed))
        });
    }
    let mut all = (Histogram::<u64>::new_with_bounds(1, 60_000_000, 3)?, 0);
    while let Some(client) = clients.join_next().await {
        let (latency_us, failed) = client??;
        all.0.add(&latency_us)?;
        all.1 += failed;
    }
    Ok(all)
}

/// An instance.
#[derive(Clone)]
struct App {
    service: Duration,
    slow: Duration,
    /// One request of so many is slow.
    one_of: Option<u64>,
    asked: Arc<AtomicU64>,
}

impl App {
    async fn serve(self, seed: u64) -> anyhow::Result<SocketAddr> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        tokio::spawn(async move {
            let mut connections = seed << 32;
            while let Ok((stream, _)) = listener.accept().await {
                connections += 1;
                let (app, chance) = (self.clone(), Random::new(connections));
                tokio::spawn(async move {
                    // A connection that is closed is a hedge that was given up.
                    let _ = app.answer(stream, chance).await;
                });
            }
        });
        Ok(address)
    }

    async fn answer(&self, mut stream: TcpStream, mut chance: Random) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let mut head = Vec::new();
        loop {
            head.clear();
            while !head.ends_with(b"\r\n\r\n") {
                if stream.read_buf(&mut head).await? == 0 {
                    return Ok(());
                }
            }
            self.asked.fetch_add(1, Ordering::Relaxed);
            let is_slow = self.one_of.is_some_and(|of| chance.below(of) == 0);
            tokio::time::sleep(if is_slow { self.slow } else { self.service }).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await?;
        }
    }
}
