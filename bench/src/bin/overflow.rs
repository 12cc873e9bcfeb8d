//! What handing on is worth: requests that come to instances blindly, as a Service leads them, at
//! more than the instances can take, with and without an activator that takes what would wait long.
//!
//! ```text
//! cargo build --release -p tidegate -p tidegate-queue-proxy -p tidegate-bench
//! target/release/overflow
//! ```
//!
//! Four sidecars of limit ten stand before apps that take fifty milliseconds, so all of them take
//! 800 requests a second. Requests arrive as a Poisson process, each at a sidecar drawn at random:
//! at `--load` of that for a burst of two seconds, and at half of it before and after. Both turns
//! see the same arrivals. Results are in `docs/benchmarks/activator.md`.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use clap::Parser;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tidegate_autoscaler::Improvements;
use tidegate_autoscaler::settings::Config;
use tidegate_bench::proxy::peers::sidecar;
use tidegate_bench::proxy::process::{Peer, free_address};
use tidegate_bench::proxy::report::table;
use tidegate_controller::{
    Access, ActivatorPorts, Declaration, NoActuator, RevisionId, Template, UndeclaredRevisions,
};
use tidegate_knative::environment;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// Sidecars, and what each lets into its app.
const SIDECARS: usize = 4;
const LIMIT: u32 = 10;

/// What an app takes for a request.
const WORK: Duration = Duration::from_millis(50);

/// What all of them take in a second.
const CAPACITY_PER_SECOND: f64 = 800.0;

/// Lengths of the calm before and after, and of the burst.
const CALM: Duration = Duration::from_secs(2);
const BURST: Duration = Duration::from_secs(2);

/// How long the parts may take to find each other.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Parser)]
#[command(
    about = "Measure what handing requests on is worth when instances get more than they take"
)]
struct Args {
    /// The program with our activator.
    #[arg(long, default_value = "target/release/tidegate")]
    tidegate: PathBuf,
    /// Our sidecar.
    #[arg(long, default_value = "target/release/queue-proxy")]
    queue_proxy: PathBuf,
    /// What the burst brings, as a share of what the instances take.
    #[arg(long, default_value_t = 1.2)]
    load: f64,
    /// Draws the arrivals.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// What becomes of a request that would wait long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Overflow {
    Waits,
    HandedOn,
}

impl Overflow {
    fn label(self) -> &'static str {
        match self {
            Self::Waits => "each waits where it came",
            Self::HandedOn => "handed on",
        }
    }
}

/// When a request is sent, and to which sidecar.
type Arrivals = Vec<(Duration, usize)>;

#[derive(Debug, Default)]
struct Seen {
    latencies_ms: Vec<f64>,
    refused: usize,
    failed: usize,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let arrivals = arrivals(args.load, args.seed);
    let mut rows = Vec::new();
    for overflow in [Overflow::Waits, Overflow::HandedOn] {
        let seen = turn(&args, &arrivals, overflow).await.context(overflow.label())?;
        rows.push(seen.row(overflow.label()));
    }
    let title = format!(
        "{} requests, a burst of {:.0} % of what the instances take",
        arrivals.len(),
        args.load * 100.0
    );
    let columns = ["", "answered", "refused", "failed", "p50 ms", "p99 ms", "slowest ms"];
    table(&title, &columns, &rows);
    Ok(())
}

fn arrivals(load: f64, seed: u64) -> Arrivals {
    // SplitMix64, as good as any for arrivals, and the same on every machine.
    let mut state = seed;
    let mut draw = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) >> 11
    };
    let mut arrivals = Vec::new();
    let mut at = 0.0;
    let (calm, burst) = (CALM.as_secs_f64(), BURST.as_secs_f64());
    while at < 2.0 * calm + burst {
        let is_burst = (calm..calm + burst).contains(&at);
        let rate = CAPACITY_PER_SECOND * if is_burst { load } else { 0.5 };
        let uniform = (draw() + 1) as f64 / (1_u64 << 53) as f64;
        at -= uniform.ln() / rate;
        arrivals.push((Duration::from_secs_f64(at), (draw() % SIDECARS as u64) as usize));
    }
    arrivals
}

/// Starts everything, sends the arrivals, and stops everything.
async fn turn(args: &Args, arrivals: &Arrivals, overflow: Overflow) -> anyhow::Result<Seen> {
    let (handle, controller) = tidegate_controller::controller(UndeclaredRevisions::Refuse);
    tokio::spawn(controller.run(NoActuator));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let serving =
        tidegate_controller::serve(handle.clone(), listener, Access::anonymous(), pending());
    tokio::spawn(serving);
    let front = free_address()?;
    let named = (overflow == Overflow::HandedOn).then_some(front);
    handle.declare(declaration(named)?).await?;

    let mut command = Command::new(&args.tidegate);
    command
        .args(["activator", "--log", "off", "--name", "front", "--listen", &front.to_string()])
        .args(["--default-revision", "default/web", "--controller", &address.to_string()]);
    let _activator = Peer::start("activator", front, &mut command)?;
    let mut sidecars = Vec::new();
    for number in 0..SIDECARS {
        let app = serve_app().await?;
        let own = free_address()?;
        let mut command = web_sidecar(&args.queue_proxy, app, own, address, number)?;
        sidecars.push(Peer::start("sidecar", own, &mut command)?);
    }
    let all_ready = async {
        while handle.statuses().await?.iter().all(|status| status.ready < SIDECARS as u32) {
            sleep(Duration::from_millis(50)).await;
        }
        // What the controller said last has then been heard.
        sleep(Duration::from_secs(1)).await;
        anyhow::Ok(())
    };
    timeout(PATIENCE, all_ready).await.context("the sidecars did not become ready")??;
    let addresses: Vec<SocketAddr> = sidecars.iter().map(|peer| peer.address).collect();
    Ok(send(arrivals, &addresses).await)
}

fn declaration(overflow: Option<SocketAddr>) -> anyhow::Result<Declaration> {
    let template = Template {
        config: Config::default(),
        annotations: BTreeMap::new(),
        improvements: Improvements::all(),
    };
    let declared = template.declare(RevisionId::new("default", "web")?, LIMIT)?;
    let overflow = overflow.into_iter().collect();
    let activator_ports = ActivatorPorts { overflow, ..ActivatorPorts::default() };
    Ok(Declaration { activator_ports, ..declared })
}

/// A sidecar of `default/web` that reports to `controller`.
fn web_sidecar(
    program: &Path,
    app: SocketAddr,
    own: SocketAddr,
    controller: SocketAddr,
    number: usize,
) -> anyhow::Result<Command> {
    let mut command = sidecar(program, app, own, LIMIT as usize);
    command
        .env(environment::QUEUE_SERVING_TLS_PORT, free_address()?.port().to_string())
        .env(environment::TIDEGATE_ADMIN_PORT, free_address()?.port().to_string())
        .env(environment::TIDEGATE_STATS_PORT, free_address()?.port().to_string())
        .env(environment::SERVING_REVISION, "web")
        .env(environment::SERVING_POD, format!("web-{number}"))
        .env(environment::TIDEGATE_CONTROLLER, controller.to_string());
    Ok(command)
}

async fn send(arrivals: &Arrivals, sidecars: &[SocketAddr]) -> Seen {
    let client: Client<HttpConnector, Empty<Bytes>> =
        Client::builder(TokioExecutor::new()).build_http();
    let begin = Instant::now() + Duration::from_millis(100);
    let mut requests = JoinSet::new();
    for (after, to) in arrivals {
        let (due, to, client) = (begin + *after, sidecars[*to], client.clone());
        requests.spawn(async move {
            sleep_until(due).await;
            let request = Request::get(format!("http://{to}/")).body(Empty::new()).ok()?;
            let response = client.request(request).await.ok()?;
            let status = response.status();
            response.into_body().collect().await.ok()?;
            Some((status, due.elapsed()))
        });
    }
    let mut seen = Seen::default();
    while let Some(ended) = requests.join_next().await {
        match ended.ok().flatten() {
            Some((StatusCode::OK, took)) => seen.latencies_ms.push(took.as_secs_f64() * 1e3),
            Some((StatusCode::SERVICE_UNAVAILABLE, _)) => seen.refused += 1,
            _ => seen.failed += 1,
        }
    }
    seen.latencies_ms.sort_by(f64::total_cmp);
    seen
}

impl Seen {
    fn row(&self, name: &str) -> Vec<String> {
        let at = |quantile: f64| {
            let last = self.latencies_ms.len().saturating_sub(1) as f64;
            let index = (quantile * last).round() as usize;
            format!("{:.0}", self.latencies_ms.get(index).copied().unwrap_or(0.0))
        };
        vec![
            name.to_owned(),
            self.latencies_ms.len().to_string(),
            self.refused.to_string(),
            self.failed.to_string(),
            at(0.5),
            at(0.99),
            at(1.0),
        ]
    }
}

/// An app that takes [`WORK`] for everything.
async fn serve_app() -> anyhow::Result<SocketAddr> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = hyper::service::service_fn(|_: Request<Incoming>| async {
                sleep(WORK).await;
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"done"))))
            });
            tokio::spawn(async move {
                let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                // A client that breaks off is none of the app's business.
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    Ok(address)
}

fn pending() -> std::future::Pending<()> {
    std::future::pending()
}
