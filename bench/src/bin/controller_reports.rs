//! What a controller that runs costs when many instances of many revisions report to it, and
//! whether its decisions come when they are due.
//!
//! ```text
//! cargo run --release -p tidegate-bench --bin controller_reports
//! cargo run --release -p tidegate-bench --bin controller_reports -- --each 10000 --instances 10000
//! ```
//!
//! For each number of instances a controller is started, the reporters of real sidecars connect
//! all at once, each over a connection of its own, and then report every second. Where there are
//! more than a process may have connections, so many share one. Measured are the controller's
//! processor time and memory, and how late the decisions of some revisions come.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::ensure;
use clap::Parser;
use tidegate_autoscaler::Improvements;
use tidegate_autoscaler::settings::Config;
use tidegate_bench::controller::{NAMESPACE, ask, report_every_second, reporter, shared_streams};
use tidegate_bench::proxy::process::{Peer, free_address};
use tidegate_bench::proxy::report::table;
use tidegate_controller::{Access, NoActuator, Template, UndeclaredRevisions};
use tidegate_proto::scale::v1::scale_service_client::ScaleServiceClient;
use tidegate_proto::scale::v1::{ExplainRequest, ListRevisionsRequest};
use tidegate_reporter::clock;
use tidegate_reporter::transport::Connection;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

/// How long they report before it is measured.
const SETTLE: Duration = Duration::from_secs(5);

/// How often a controller decides.
const DECISION_MS: i64 = 2_000;

/// How long all may take to be welcomed, on however busy a machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often it is asked whether all are ready. Each time it counts them, which is its own work and
/// none of connecting; so this is seldom.
const POLL_EVERY: Duration = Duration::from_millis(250);

/// Connections that the harness opens at most: as many descriptors are for others as in the bound
/// of 20,000 that many systems have.
const CONNECTIONS_MAX: u32 = 18_000;

/// Revisions whose decisions are looked at, or one more.
const FOLLOWED: u32 = 200;

/// Decisions of each that are asked for; no run is as long.
const DECISIONS_MAX: u32 = 500;

#[derive(Parser)]
#[command(about = "Measure a controller to which many instances report")]
struct Args {
    /// The program; without it the harness starts itself as a controller, of the same code.
    #[arg(long)]
    tidegate: Option<PathBuf>,
    /// Instances; may be repeated. More than 18,000 share connections, evenly.
    #[arg(long = "instances", default_values_t = [1_000, 3_000, 10_000, 30_000, 50_000])]
    instances: Vec<u32>,
    /// Instances of each revision.
    #[arg(long, default_value_t = 5)]
    each: u32,
    /// For how long they report.
    #[arg(long, default_value_t = 10)]
    seconds: u32,
    /// Be a controller that listens there.
    #[arg(long, hide = true)]
    serve: Option<SocketAddr>,
}

struct Measured {
    connections: u32,
    greeted_s: f64,
    /// How late a decision came before that, while they were greeted.
    greeting_ms: u64,
    greeting_cpu_s: f64,
    reporting_cpu_s: f64,
    latest_ms: u64,
    resident_kib: u64,
    peak_kib: u64,
    /// Before anybody came.
    bare_kib: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    if let Some(address) = args.serve {
        return serve(address).await;
    }
    let mut rows = Vec::new();
    for &count in &args.instances {
        let measured = measure(&args, count).await?;
        let share = 100.0 * measured.reporting_cpu_s / f64::from(args.seconds);
        let of_each = (measured.resident_kib - measured.bare_kib) as f64 / f64::from(count);
        rows.push(vec![
            count.to_string(),
            count.div_ceil(args.each).to_string(),
            measured.connections.to_string(),
            format!("{:.2}", measured.greeted_s),
            format!("{:.2}", measured.greeting_cpu_s),
            format!("{share:.1}"),
            measured.greeting_ms.to_string(),
            measured.latest_ms.to_string(),
            format!("{:.1}", measured.resident_kib as f64 / 1024.0),
            format!("{:.1}", measured.peak_kib as f64 / 1024.0),
            format!("{of_each:.1}"),
        ]);
    }
    let columns = [
        "instances",
        "revisions",
        "connections",
        "all greeted, s",
        "greeting, CPU s",
        "reporting, % of a core",
        "latest tick while greeting, ms",
        "while reporting, ms",
        "VmRSS, MiB",
        "VmHWM, MiB",
        "KiB each",
    ];
    table("A controller and its reporters", &columns, &rows);
    Ok(())
}

/// A controller with Knative's defaults that adopts whoever comes, as the program is.
async fn serve(address: SocketAddr) -> anyhow::Result<()> {
    let listener = TcpListener::from_std(tidegate_relay::listen(address)?)?;
    let template = Template {
        config: Config::default(),
        annotations: BTreeMap::new(),
        improvements: Improvements::all(),
    };
    let adopt = UndeclaredRevisions::Adopt(Box::new(template));
    let (handle, controller) = tidegate_controller::controller(adopt);
    tokio::spawn(controller.run(NoActuator));
    let forever = std::future::pending();
    Ok(tidegate_controller::serve(handle, listener, Access::anonymous(), forever).await?)
}

async fn measure(args: &Args, count: u32) -> anyhow::Result<Measured> {
    let address = free_address()?;
    let mut command = match &args.tidegate {
        Some(program) => {
            let mut command = Command::new(program);
            command.args(["controller", "--log", "error", "--listen", &address.to_string()]);
            command
        }
        None => {
            let mut command = Command::new(std::env::current_exe()?);
            command.args(["--serve", &address.to_string()]);
            command
        }
    };
    let controller = Peer::start_anywhere("controller", address, &mut command)?;
    let mut reporters = JoinSet::new();
    let mut client = ask(address).await?;

    let bare_kib = controller.resident_kib()?;
    let (before, begun) = (controller.cpu()?, Instant::now());
    let of_each = count.div_ceil(CONNECTIONS_MAX);
    let instance = |number: u32| (format!("many{}", number / args.each), number);
    let (mut own, mut shared) = (Vec::new(), Vec::new());
    for first in (0..count).step_by(of_each as usize) {
        let some = (first..count.min(first + of_each)).map(instance);
        match of_each {
            1 => {
                for (revision, number) in some {
                    own.push(reporter(address, &revision, number, &mut reporters)?);
                }
            }
            _ => shared.extend(shared_streams(address, some.collect(), &mut reporters).await?),
        }
    }
    until_ready(&mut client, count).await?;
    let (greeted, greeted_s) = (controller.cpu()?, begun.elapsed().as_secs_f64());
    let reporting = [report_every_second(own), report_every_second(shared)];
    // The windows have to hold something before it costs what it does later.
    tokio::time::sleep(SETTLE).await;
    let (settled_unix_ms, settled) = (clock::now_unix_ms(), controller.cpu()?);
    tokio::time::sleep(Duration::from_secs(args.seconds.into())).await;
    let reported = controller.cpu()?;

    let (resident_kib, peak_kib) = (controller.resident_kib()?, controller.peak_kib()?);
    let revisions = count.div_ceil(args.each);
    let [greeting_ms, latest_ms] = latest_ms(&mut client, revisions, settled_unix_ms).await?;
    reporting.iter().for_each(JoinHandle::abort);
    reporters.abort_all();
    Ok(Measured {
        connections: count.div_ceil(of_each),
        greeted_s,
        greeting_ms,
        greeting_cpu_s: greeted.since(before, 1e6).total_us,
        reporting_cpu_s: reported.since(settled, 1e6).total_us,
        latest_ms,
        resident_kib,
        peak_kib,
        bare_kib,
    })
}

/// Waits until so many instances take requests. It asks over a connection that was made before
/// they came: the system resets those that come while its queue of unaccepted ones is full, and
/// only a reporter tries again.
async fn until_ready(
    client: &mut ScaleServiceClient<Connection>,
    count: u32,
) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        let response = client.list_revisions(ListRevisionsRequest {}).await?.into_inner();
        let many = response.revisions.iter().filter(|one| one.name.starts_with("many"));
        let ready: u32 = many.map(|one| one.ready).sum();
        if ready == count {
            return Ok(());
        }
        let late = begun.elapsed() > PATIENCE;
        ensure!(!late, "{ready} of {count} became ready: are there descriptors for all of them?");
        tokio::time::sleep(POLL_EVERY).await;
    }
}

/// How late the latest decisions of some revisions were made, of those since this time and of those
/// before it: asked for when all is over, since who watches ten thousand revisions misses some.
async fn latest_ms(
    client: &mut ScaleServiceClient<Connection>,
    revisions: u32,
    since_unix_ms: i64,
) -> anyhow::Result<[u64; 2]> {
    let mut latest_ms = [0; 2];
    let step = (revisions / FOLLOWED).max(1) as usize;
    for revision in (0..revisions).step_by(step) {
        let (namespace, name) = (NAMESPACE.to_owned(), format!("many{revision}"));
        let asked =
            ExplainRequest { namespace, name, last: DECISIONS_MAX, ..ExplainRequest::default() };
        let decisions = client.explain(asked).await?.into_inner().decisions;
        ensure!(decisions.len() > 2, "revision {revision} was never decided on");
        // Newest first.
        for pair in decisions.windows(2) {
            let late_ms = pair[0].unix_ms - pair[1].unix_ms - DECISION_MS;
            let of = usize::from(pair[0].unix_ms >= since_unix_ms);
            latest_ms[of] = latest_ms[of].max(u64::try_from(late_ms).unwrap_or(0));
        }
    }
    Ok(latest_ms)
}
