//! One, two and ten activators before four instances that take one request at a time: counts what
//! is inside the apps, who is sent how much, and how long requests wait.
//!
//! ```text
//! cargo build --release -p tidegate && cargo build --release -p tidegate-bench --bin front_doors
//! target/release/front_doors --tidegate target/release/tidegate
//! ```
//!
//! Requests come at random moments (Poisson), each at an activator drawn at random, and are
//! followed by their own connections, so that a slow answer delays no other request. `--credits
//! off` starts everything without the shared secret: what several activators do that know nothing
//! of each other.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::{Parser, ValueEnum};
use hdrhistogram::Histogram;
use tidegate_bench::proxy::peers;
use tidegate_bench::proxy::process::Peer;
use tidegate_knative::environment as keys;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, mpsc};

/// What activators and sidecars share.
const SECRET: &str = "the-secret-of-this-run";
/// Time for streams to open after the first requests.
const SETTLE: Duration = Duration::from_secs(1);
/// A request that takes longer failed.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Parser)]
#[command(about = "Many activators before few places: limits, balance and waiting, counted")]
struct Args {
    /// The program whose roles are measured.
    #[arg(long, default_value = "target/release/tidegate")]
    tidegate: PathBuf,
    /// Numbers of activators, one run for each.
    #[arg(long, value_delimiter = ',', default_value = "1,2,10")]
    doors: Vec<usize>,
    /// Instances.
    #[arg(long, default_value_t = 4)]
    instances: usize,
    /// Requests that each takes at a time.
    #[arg(long, default_value_t = 1)]
    limit: u32,
    /// Requests of each run.
    #[arg(long, default_value_t = 100_000)]
    requests: u64,
    /// What the app takes for each, in microseconds.
    #[arg(long, default_value_t = 5_000)]
    service_us: u64,
    /// The share of what the instances can do that is asked for.
    #[arg(long, default_value_t = 0.7)]
    load: f64,
    /// Whether instances grant credits.
    #[arg(long, value_enum, default_value = "on")]
    credits: Credits,
    /// The first of the ports to use.
    #[arg(long, default_value_t = 29_400)]
    port: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Credits {
    On,
    Off,
}

/// One instance's app: how many it has, had at most, and has had.
#[derive(Default)]
struct Inside {
    now: AtomicU32,
    most: AtomicU32,
    served: AtomicU64,
}

/// What every part of a run shares.
struct Shared {
    began: Instant,
    service: Duration,
    /// From when a request was due until it was inside an app.
    waited_us: Mutex<Histogram<u64>>,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    println!(
        "| activators | requests | failed | most inside | busiest / idlest | wait p50 | p99 \
         | activators' CPU | sidecars' |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for (nth, doors) in args.doors.iter().enumerate() {
        let port = args.port + u16::try_from(nth * 100)?;
        runtime.block_on(run(&args, *doors, port))?;
    }
    Ok(())
}

async fn run(args: &Args, doors: usize, port: u16) -> anyhow::Result<()> {
    let service = Duration::from_micros(args.service_us);
    let waited_us = Mutex::new(Histogram::new_with_bounds(1, 60_000_000, 3)?);
    let shared = Arc::new(Shared { began: Instant::now(), service, waited_us });
    let mut apps = Vec::new();
    let mut sidecars = Vec::new();
    for nth in 0..args.instances {
        let inside = Arc::new(Inside::default());
        let app = serve(Arc::clone(&inside), Arc::clone(&shared)).await?;
        apps.push(inside);
        sidecars.push(sidecar(args, app, port + u16::try_from(nth)?)?);
    }
    let first = port + u16::try_from(args.instances)?;
    let activators: Vec<Peer> = (0..doors)
        .map(|nth| activator(args, &sidecars, first + u16::try_from(nth)?))
        .collect::<anyhow::Result<_>>()?;
    let clients: Vec<_> = activators.iter().map(|door| Clients::new(door.address)).collect();
    for client in &clients {
        client.ask(&shared, Instant::now()).await?;
    }
    tokio::time::sleep(SETTLE).await;
    shared.waited_us.lock().await.reset();
    apps.iter().for_each(|app| app.served.store(0, Ordering::Relaxed));
    let cpu = |peers: &[Peer]| -> anyhow::Result<f64> {
        peers.iter().map(|peer| Ok(peer.cpu()?.total_us)).sum()
    };
    let before = (cpu(&activators)?, cpu(&sidecars)?);
    let failed = offer(args, &clients, &shared).await;
    let after = (cpu(&activators)?, cpu(&sidecars)?);
    let each = |now: f64, then: f64| (now - then) / args.requests as f64;
    let served: Vec<u64> = apps.iter().map(|app| app.served.load(Ordering::Relaxed)).collect();
    let most = apps.iter().map(|app| app.most.load(Ordering::Relaxed)).max().unwrap_or(0);
    let (busiest, idlest) = (served.iter().max().unwrap_or(&0), served.iter().min().unwrap_or(&0));
    let waited = shared.waited_us.lock().await;
    println!(
        "| {doors} | {} | {failed} | {most} of {} | {:.3} | {:.2} ms | {:.2} ms \
         | {:.0} us | {:.0} us |",
        served.iter().sum::<u64>(),
        args.limit,
        *busiest as f64 / (*idlest).max(1) as f64,
        waited.value_at_quantile(0.5) as f64 / 1e3,
        waited.value_at_quantile(0.99) as f64 / 1e3,
        each(after.0, before.0),
        each(after.1, before.1),
    );
    ensure!(most <= args.limit, "{most} requests were inside an app that takes {}", args.limit);
    Ok(())
}

/// Sends the requests when they are due. Gives how many failed.
async fn offer(args: &Args, clients: &[Arc<Clients>], shared: &Arc<Shared>) -> u64 {
    let places = args.instances as f64 * f64::from(args.limit);
    let gap = Duration::from_micros(args.service_us).as_secs_f64() / (places * args.load);
    let mut chance = Chance(7);
    let failed = Arc::new(AtomicU64::new(0));
    let (done, mut ended) = mpsc::channel::<()>(1);
    let mut due = Instant::now();
    for _ in 0..args.requests {
        due += Duration::from_secs_f64(-gap * (1.0 - chance.share()).ln());
        let early = due.saturating_duration_since(Instant::now());
        if early > Duration::from_millis(1) {
            tokio::time::sleep(early).await;
        }
        let door = (chance.share() * clients.len() as f64) as usize;
        let (client, shared) = (Arc::clone(&clients[door.min(clients.len() - 1)]), shared.clone());
        let (failed, done) = (failed.clone(), done.clone());
        let sent = Instant::now();
        tokio::spawn(async move {
            let asked = tokio::time::timeout(PATIENCE, client.ask(&shared, sent)).await;
            failed.fetch_add(u64::from(!matches!(asked, Ok(Ok(())))), Ordering::Relaxed);
            drop(done);
        });
    }
    drop(done);
    // Ends when the last request has dropped its end.
    let _ = ended.recv().await;
    failed.load(Ordering::Relaxed)
}

fn sidecar(args: &Args, app: SocketAddr, port: u16) -> anyhow::Result<Peer> {
    let own = ([127, 0, 0, 1], port).into();
    let mut command = peers::sidecar(&args.tidegate, app, own, args.limit as usize);
    command
        .arg("queue-proxy")
        .env(keys::TIDEGATE_LISTEN_HOST, "127.0.0.1")
        .env(keys::QUEUE_SERVING_TLS_PORT, "0")
        .env(keys::TIDEGATE_ADMIN_PORT, "0")
        .env(keys::TIDEGATE_STATS_PORT, "0")
        .env(keys::TIDEGATE_METRICS_PORT, "0");
    share_secret(args, &mut command);
    Peer::start_anywhere("the sidecar", own, &mut command)
}

fn activator(args: &Args, sidecars: &[Peer], port: u16) -> anyhow::Result<Peer> {
    let mut command = Command::new(&args.tidegate);
    command.args(["activator", "--default-revision", "default/web"]);
    command.args(["--listen", &format!("127.0.0.1:{port}")]);
    for sidecar in sidecars {
        let endpoint = format!("default/web={},{}", sidecar.address, args.limit);
        command.args(["--endpoint", &endpoint]);
    }
    share_secret(args, &mut command);
    Peer::start_anywhere("the activator", ([127, 0, 0, 1], port).into(), &mut command)
}

fn share_secret(args: &Args, command: &mut Command) {
    match args.credits {
        Credits::On => command.env(keys::TIDEGATE_FRONT_DOOR, SECRET),
        Credits::Off => command.env_remove(keys::TIDEGATE_FRONT_DOOR),
    };
}

/// An app that takes one time for each request, and counts.
async fn serve(inside: Arc<Inside>, shared: Arc<Shared>) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (inside, shared) = (Arc::clone(&inside), Arc::clone(&shared));
            tokio::spawn(async move {
                // A sidecar that closes its connection is none of the app's business.
                let _ = answer(stream, &inside, &shared).await;
            });
        }
    });
    Ok(address)
}

async fn answer(mut stream: TcpStream, inside: &Inside, shared: &Shared) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let mut head = Vec::new();
    loop {
        head.clear();
        while !head.ends_with(b"\r\n\r\n") {
            if stream.read_buf(&mut head).await? == 0 {
                return Ok(());
            }
        }
        let now = inside.now.fetch_add(1, Ordering::SeqCst) + 1;
        inside.most.fetch_max(now, Ordering::SeqCst);
        inside.served.fetch_add(1, Ordering::Relaxed);
        let text = String::from_utf8_lossy(&head).to_ascii_lowercase();
        let sent = text.lines().find_map(|line| line.strip_prefix("x-sent-us: ")?.parse().ok());
        let sent: u64 = sent.context("a request says when it was sent")?;
        let waited = (shared.began.elapsed().as_micros() as u64).saturating_sub(sent);
        shared.waited_us.lock().await.saturating_record(waited);
        tokio::time::sleep(shared.service).await;
        inside.now.fetch_sub(1, Ordering::SeqCst);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await?;
    }
}

/// The clients of one activator: a request takes an idle connection, or opens one.
struct Clients {
    address: SocketAddr,
    idle: Mutex<Vec<TcpStream>>,
}

impl Clients {
    fn new(address: SocketAddr) -> Arc<Self> {
        Arc::new(Self { address, idle: Mutex::default() })
    }

    async fn ask(&self, shared: &Shared, sent: Instant) -> anyhow::Result<()> {
        let idle = self.idle.lock().await.pop();
        let mut stream = match idle {
            Some(stream) => stream,
            None => TcpStream::connect(self.address).await?,
        };
        stream.set_nodelay(true)?;
        let sent_us = sent.saturating_duration_since(shared.began).as_micros();
        let request = format!("GET / HTTP/1.1\r\nHost: bench\r\nX-Sent-Us: {sent_us}\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut response = Vec::new();
        while !response.ends_with(b"\r\n\r\nok") {
            ensure!(stream.read_buf(&mut response).await? > 0, "the response was cut short");
        }
        ensure!(response.starts_with(b"HTTP/1.1 200"), "the status is no 200");
        self.idle.lock().await.push(stream);
        Ok(())
    }
}

/// SplitMix64: each run draws the same moments.
struct Chance(u64);

impl Chance {
    fn share(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        (bits >> 11) as f64 / (1_u64 << 53) as f64
    }
}
