//! What a request takes that an activator holds: resident memory by the number of requests that
//! wait for a revision without an instance, over HTTP/1.1 (a connection each) and over HTTP/2.
//!
//! ```text
//! cargo build --release -p tidegate -p tidegate-bench --bin tidegate --bin held_requests
//! target/release/held_requests --tidegate target/release/tidegate
//! ```
//!
//! Over HTTP/1.1 the descriptors of a process bound the number: one for each client here, one for
//! each in the activator.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Parser;
use http::Request;
use tidegate_bench::proxy::metrics_page::counted;
use tidegate_bench::proxy::process::{Peer, move_aside};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

/// Streams that the activator takes on one connection.
const STREAMS: usize = 250;
/// Ports that one loopback address has for connections to one other.
const PORTS: usize = 20_000;
/// How long all of them may take to wait.
const PATIENCE: Duration = Duration::from_secs(120);
const POLL_PERIOD: Duration = Duration::from_millis(50);
const WAITING: &str = "tidegate_activator_requests_waiting";

/// A head as a browser sends it, some 500 bytes.
const FIELDS: [(&str, &str); 8] = [
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"),
    ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("accept-language", "en-GB,en;q=0.8,de;q=0.5,fr;q=0.3"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("sec-fetch-dest", "document"),
    ("sec-fetch-mode", "navigate"),
    ("sec-fetch-site", "same-origin"),
    ("cookie", "session=7f0c2b1ad3e94d8f9a5d2c7b6e1f0a3c; theme=dark"),
];

#[derive(Parser)]
#[command(about = "Measure what a held request takes")]
struct Args {
    /// The program.
    #[arg(long, default_value = "target/release/tidegate")]
    tidegate: PathBuf,
    /// Requests that are held over HTTP/1.1, in steps.
    #[arg(long, value_delimiter = ',', default_value = "1000,5000,10000,19000")]
    http1: Vec<usize>,
    /// Requests that are held over HTTP/2, in steps.
    #[arg(long, value_delimiter = ',', default_value = "1000,10000,50000")]
    http2: Vec<usize>,
    /// The first of two ports to use.
    #[arg(long, default_value_t = 29100)]
    port: u16,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(&args))
}

async fn run(args: &Args) -> anyhow::Result<()> {
    move_aside()?;
    println!(
        "{:>9} {:>8} {:>12} {:>12} {:>12}",
        "protocol", "held", "RSS MiB", "KiB each", "left MiB"
    );
    for count in &args.http1 {
        row("HTTP/1.1", args, *count, http1(args.address(), *count)).await?;
    }
    for count in &args.http2 {
        row("HTTP/2", args, *count, http2(args.address(), *count)).await?;
    }
    Ok(())
}

impl Args {
    fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    fn admin(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port + 1).into()
    }

    /// An activator whose controller is not there: nothing ever becomes ready.
    fn activator(&self) -> anyhow::Result<Peer> {
        let mut command = Command::new(&self.tidegate);
        command.args(["activator", "--default-revision", "default/web"]);
        command.args(["--controller", "127.0.0.1:1", "--max-waiting", "1000000"]);
        command.args(["--memory-budget", "4Gi", "--log", "off"]);
        command.args(["--listen", &self.address().to_string()]);
        command.args(["--admin", &self.admin().to_string()]);
        Peer::start("tidegate activator", self.address(), &mut command)
    }
}

/// One activator and so many requests.
async fn row<T>(
    protocol: &str,
    args: &Args,
    count: usize,
    clients: impl Future<Output = anyhow::Result<Vec<T>>>,
) -> anyhow::Result<()> {
    let activator = args.activator()?;
    let idle_kib = activator.resident_kib()?;
    let clients = clients.await?;
    until_waiting(args.admin(), count).await?;
    let held_kib = activator.resident_kib()?;
    drop(clients);
    until_waiting(args.admin(), 0).await?;
    let left_kib = activator.resident_kib()?;
    let each = (held_kib - idle_kib) as f64 / count as f64;
    let mib = |kib: u64| kib as f64 / 1_024.0;
    println!(
        "{protocol:>9} {count:>8} {:>12.1} {each:>12.2} {:>12.1}",
        mib(held_kib),
        mib(left_kib)
    );
    Ok(())
}

async fn http1(address: SocketAddr, count: usize) -> anyhow::Result<Vec<TcpStream>> {
    let fields: String =
        FIELDS.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head = format!("GET /some/page HTTP/1.1\r\nHost: shop.example\r\n{fields}\r\n");
    let mut held = Vec::with_capacity(count);
    for nth in 0..count {
        let source = Ipv4Addr::new(127, 0, 1, 1 + u8::try_from(nth / PORTS)?);
        let socket = TcpSocket::new_v4()?;
        socket.bind((source, 0).into())?;
        let mut stream = socket.connect(address).await.context("a client cannot connect")?;
        stream.write_all(head.as_bytes()).await?;
        held.push(stream);
    }
    Ok(held)
}

/// Connections with their requests, each in a task that ends with it.
struct Connection {
    _requests: Vec<h2::client::ResponseFuture>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn http2(address: SocketAddr, count: usize) -> anyhow::Result<Vec<Connection>> {
    let mut held = Vec::new();
    let mut left = count;
    while left > 0 {
        let stream = TcpStream::connect(address).await?;
        let (mut sender, connection) = h2::client::handshake(stream).await?;
        let task = tokio::spawn(async move {
            // It ends when it is aborted.
            let _ = connection.await;
        });
        let mut requests = Vec::new();
        for _ in 0..left.min(STREAMS) {
            sender = sender.ready().await?;
            let mut request = Request::get("http://shop.example/some/page");
            for (name, value) in FIELDS {
                request = request.header(name, value);
            }
            requests.push(sender.send_request(request.body(())?, true)?.0);
        }
        left -= requests.len();
        held.push(Connection { _requests: requests, task });
    }
    Ok(held)
}

/// Waits until so many requests wait, by the activator's own count.
async fn until_waiting(admin: SocketAddr, count: usize) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        let waiting = counted(admin, WAITING).await?.context("no such metric")?;
        if waiting == count as u64 {
            return Ok(());
        }
        ensure!(begun.elapsed() < PATIENCE, "{waiting} requests wait, expected {count}");
        tokio::time::sleep(POLL_PERIOD).await;
    }
}
