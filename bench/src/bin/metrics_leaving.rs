//! What metrics cost a link: pushed by the roles themselves, and scraped every 15 seconds.
//!
//! ```text
//! cargo build --release
//! cargo run --release -p tidegate-bench --bin metrics_leaving
//! ```
//!
//! Real controllers and activators, one of each for each way of pushing, in the same minutes: a
//! hundred revisions report to each controller every second, and each activator forwards a few
//! requests a second among a hundred revisions. Bytes are counted on the receiver's sockets, in
//! both directions; each process is scraped over a counted connection as well. Method and results
//! are in `docs/benchmarks/metrics-leaving.md`.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Parser;
use tidegate_bench::controller::{report_every_second, reporter};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep, timeout};

#[path = "metrics_leaving/receiver.rs"]
mod receiver;

use receiver::Receiver;

/// Revisions of each role.
const REVISIONS: u32 = 100;
/// Time between two scrapes.
const SCRAPE_PERIOD: Duration = Duration::from_secs(15);
/// How long a process may take to say where it listens.
const PATIENCE: Duration = Duration::from_secs(60);
const DAY_SECONDS: f64 = 86_400.0;
/// Messages a day of OTLP that say what metrics mean: one an hour.
const DESCRIPTIONS_A_DAY: f64 = 24.0;

#[derive(Parser)]
#[command(about = "Count what metrics cost a link, pushed and scraped")]
struct Args {
    /// The program.
    #[arg(long, default_value = "target/release/tidegate")]
    tidegate: PathBuf,
    /// How long to count, after a minute to begin.
    #[arg(long, value_name = "MINUTES", default_value_t = 20)]
    minutes: u64,
    /// Requests a second to each activator.
    #[arg(long, value_name = "REQUESTS", default_value_t = 2.0)]
    rate: f64,
}

/// Ways of pushing: the protocol, and the time between two readings.
const WAYS: [(&str, &str); 5] = [
    ("otlp-http", "60s"),
    ("otlp-grpc", "60s"),
    ("remote-write", "60s"),
    ("otlp-http", "15s"),
    ("remote-write", "15s"),
];

/// A process that pushes, and what its link has carried.
struct Site {
    role: &'static str,
    way: (&'static str, &'static str),
    receiver: Receiver,
    admin: SocketAddr,
    scraped: Arc<Scraped>,
    _child: Child,
}

/// What scrapes have carried.
#[derive(Default)]
struct Scraped {
    scrapes: AtomicU64,
    text: AtomicU64,
    gzip: AtomicU64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let app = app().await?;
    let mut background = JoinSet::new();
    let mut sites = Vec::new();
    for way in WAYS {
        sites.push(controller(&args, way, &mut background).await?);
        sites.push(activator(&args, way, app, &mut background).await?);
    }
    for site in &sites {
        background.spawn(scrape_for_ever(site.admin, Arc::clone(&site.scraped)));
    }
    // What comes first is everything, and what it means.
    sleep(Duration::from_secs(90)).await;
    let before: Vec<(u64, u64)> = sites.iter().map(|site| site.receiver.carried()).collect();
    let first: Vec<u64> = sites.iter().map(|site| site.receiver.first()).collect();
    let begun = Instant::now();
    sleep(Duration::from_secs(60 * args.minutes)).await;
    let seconds = begun.elapsed().as_secs_f64();
    println!("| role | way | messages | bytes a day | of text scraped | of gzip scraped |");
    println!("|---|---|---:|---:|---:|---:|");
    for ((site, (bytes, messages)), first) in sites.iter().zip(before).zip(first) {
        let (bytes_now, messages_now) = site.receiver.carried();
        ensure!(messages_now > messages, "{} {:?} has pushed nothing", site.role, site.way);
        let a_day = (bytes_now - bytes) as f64 / seconds * DAY_SECONDS;
        let described = if site.way.0 == "remote-write" { 0.0 } else { DESCRIPTIONS_A_DAY };
        let a_day = a_day + described * first as f64;
        let scrapes_a_day = DAY_SECONDS / SCRAPE_PERIOD.as_secs_f64();
        let of = |sum: &AtomicU64| {
            let scrapes = site.scraped.scrapes.load(Ordering::Relaxed).max(1);
            sum.load(Ordering::Relaxed) as f64 / scrapes as f64 * scrapes_a_day
        };
        let (text, gzip) = (of(&site.scraped.text), of(&site.scraped.gzip));
        println!(
            "| {} | {} every {} | {} | {:.2} MB | {:.4} × {:.0} MB | {:.3} × {:.1} MB |",
            site.role,
            site.way.0,
            site.way.1,
            messages_now - messages,
            a_day / 1e6,
            a_day / text,
            text / 1e6,
            a_day / gzip,
            gzip / 1e6,
        );
    }
    Ok(())
}

async fn controller(
    args: &Args,
    way: (&'static str, &'static str),
    background: &mut JoinSet<()>,
) -> anyhow::Result<Site> {
    let listen = ["controller", "--listen", "127.0.0.1:0"].map(str::to_owned);
    let (site, address) = start(args, "controller", listen.to_vec(), way).await?;
    let reporters: Result<Vec<_>, _> = (0..REVISIONS)
        .map(|number| reporter(address, &format!("web-{number}"), 0, background))
        .collect();
    let reporting = report_every_second(reporters?);
    background.spawn(async move { drop(reporting.await) });
    Ok(site)
}

async fn activator(
    args: &Args,
    way: (&'static str, &'static str),
    app: SocketAddr,
    background: &mut JoinSet<()>,
) -> anyhow::Result<Site> {
    let mut arguments = ["activator", "--listen", "127.0.0.1:0"].map(str::to_owned).to_vec();
    for number in 0..REVISIONS {
        arguments.push("--endpoint".to_owned());
        arguments.push(format!("bench/web-{number}={app}"));
    }
    let (site, address) = start(args, "activator", arguments, way).await?;
    let pause = Duration::from_secs_f64(1.0 / args.rate);
    background.spawn(async move {
        let mut turn = interval(pause);
        for number in 0_u32.. {
            turn.tick().await;
            // One that fails is counted there, which is light traffic as well.
            let _ = request(address, number % REVISIONS).await;
        }
    });
    Ok(site)
}

/// A role that pushes to a receiver of its own; and where it serves.
async fn start(
    args: &Args,
    role: &'static str,
    mut arguments: Vec<String>,
    way: (&'static str, &'static str),
) -> anyhow::Result<(Site, SocketAddr)> {
    let receiver = Receiver::start().await?;
    let push = match way.0 {
        "remote-write" => format!("http://{}/api/v1/write", receiver.address()),
        _ => format!("http://{}", receiver.address()),
    };
    let flags = [
        "--admin",
        "127.0.0.1:0",
        "--metrics-push",
        &push,
        "--metrics-push-protocol",
        way.0,
        "--metrics-push-interval",
        way.1,
    ];
    arguments.extend(flags.map(str::to_owned));
    let mut child = command(&args.tidegate).args(arguments).spawn().context("cannot start it")?;
    let stderr = child.stderr.take().context("its standard error")?;
    let mut lines = BufReader::new(stderr).lines();
    let (mut address, mut admin) = (None, None);
    while address.is_none() || admin.is_none() {
        let line = timeout(PATIENCE, lines.next_line()).await??.context("it has ended")?;
        let after = |text: &str| line.split_once(text).and_then(|(_, at)| at.parse().ok());
        address = address.or_else(|| after("listening on "));
        admin = admin.or_else(|| after("health on http://"));
    }
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    let (Some(address), Some(admin)) = (address, admin) else { anyhow::bail!("no addresses") };
    let site = Site { role, way, receiver, admin, scraped: Arc::default(), _child: child };
    Ok((site, address))
}

fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// An app that answers every connection once.
async fn app() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = [0; 4096];
                // An activator keeps its connections: every head is answered.
                while stream.read(&mut head).await.is_ok_and(|read| read > 0) {
                    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
                    if stream.write_all(answer).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    Ok(address)
}

async fn request(address: SocketAddr, number: u32) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    let head = format!(
        "GET / HTTP/1.1\r\nHost: web-{number}\r\nKnative-Serving-Namespace: bench\r\n\
         Knative-Serving-Revision: web-{number}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    stream.read_to_end(&mut Vec::new()).await?;
    Ok(())
}

async fn scrape_for_ever(admin: SocketAddr, scraped: Arc<Scraped>) {
    let mut turn = interval(SCRAPE_PERIOD);
    loop {
        turn.tick().await;
        if let Err(error) = scrape(admin, &scraped).await {
            eprintln!("a scrape failed: {error:#}");
        }
    }
}

/// A scrape with the head that Prometheus sends. It keeps its connection, so none is counted.
async fn scrape(admin: SocketAddr, scraped: &Scraped) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(admin).await?;
    let head = format!(
        "GET /metrics HTTP/1.1\r\nHost: {admin}\r\nUser-Agent: Prometheus/2.53.0\r\n\
         Accept: application/openmetrics-text;version=1.0.0;q=0.5,\
         application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2\
         \r\nAccept-Encoding: gzip\r\nX-Prometheus-Scrape-Timeout-Seconds: 10\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    let mut response = Vec::new();
    let (end, length) = loop {
        ensure!(stream.read_buf(&mut response).await? > 0, "it hung up");
        let Some(end) = response.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let text = String::from_utf8_lossy(&response[..end]).to_lowercase();
        let length = text.split("content-length: ").nth(1).context("no length")?;
        break (end + 4, length.split("\r\n").next().unwrap_or_default().parse::<usize>()?);
    };
    while response.len() < end + length {
        ensure!(stream.read_buf(&mut response).await? > 0, "it hung up");
    }
    // The compression that HTTP servers use unless told otherwise.
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&response[end..])?;
    let heads = (head.len() + end) as u64;
    scraped.scrapes.fetch_add(1, Ordering::Relaxed);
    scraped.text.fetch_add(heads + length as u64, Ordering::Relaxed);
    scraped.gzip.fetch_add(heads + gzip.finish()?.len() as u64, Ordering::Relaxed);
    Ok(())
}
