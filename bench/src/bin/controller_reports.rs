//! What a controller that runs costs when many instances of one revision report to it, and whether
//! it keeps other revisions waiting meanwhile.
//!
//! ```text
//! cargo build --release
//! cargo run --release -p tidegate-bench --bin controller_reports
//! ```
//!
//! For each number of instances a controller is started, the reporters of real sidecars connect
//! all at once, each over a connection of its own, and then report every second. Measured are the
//! controller's processor time and memory, and how late the decisions of another revision come.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use clap::Parser;
use tidegate_bench::controller::{NAMESPACE, ask, report_every_second, reporter};
use tidegate_bench::proxy::process::{Peer, free_address};
use tidegate_bench::proxy::report::table;
use tidegate_proto::scale::v1::scale_service_client::ScaleServiceClient;
use tidegate_proto::scale::v1::{ListRevisionsRequest, WatchDecisionsRequest};
use tidegate_reporter::Reporter;
use tidegate_reporter::transport::Connection;
use tokio::task::{JoinHandle, JoinSet};

/// How often a controller decides.
const DECISION_MS: i64 = 2_000;

/// How long all may take to be welcomed, on however busy a machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often it is asked whether all are ready. Each time it counts them, which is its own work and
/// none of connecting; so this is seldom.
const POLL_EVERY: Duration = Duration::from_millis(250);

#[derive(Parser)]
#[command(about = "Measure a controller to which many instances report")]
struct Args {
    /// The program.
    #[arg(long, default_value = "target/release/tidegate")]
    tidegate: PathBuf,
    /// Instances of the one revision; may be repeated.
    #[arg(long = "instances", default_values_t = [1_000, 3_000, 10_000])]
    instances: Vec<u32>,
    /// For how long they report.
    #[arg(long, default_value_t = 3)]
    seconds: u32,
}

struct Measured {
    greeted_s: f64,
    greeting_cpu_s: f64,
    reporting_cpu_s: f64,
    latest_ms: u64,
    peak_kib: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let mut rows = Vec::new();
    for &count in &args.instances {
        let Measured { greeted_s, greeting_cpu_s, reporting_cpu_s, latest_ms, peak_kib } =
            measure(&args, count).await?;
        rows.push(vec![
            count.to_string(),
            format!("{greeted_s:.2}"),
            format!("{greeting_cpu_s:.2}"),
            format!("{reporting_cpu_s:.2}"),
            latest_ms.to_string(),
            format!("{:.1}", peak_kib as f64 / 1024.0),
        ]);
    }
    let reporting = format!("reports of {} s, CPU s", args.seconds);
    let columns = [
        "instances",
        "all greeted, s",
        "greeting, CPU s",
        &reporting,
        "latest tick, ms",
        "VmHWM, MiB",
    ];
    table("A controller and its reporters", &columns, &rows);
    Ok(())
}

async fn measure(args: &Args, count: u32) -> anyhow::Result<Measured> {
    let address = free_address()?;
    let mut command = Command::new(&args.tidegate);
    command.args(["controller", "--log", "error", "--listen", &address.to_string()]);
    let controller = Peer::start("controller", address, &mut command)?;
    let mut reporters = JoinSet::new();
    let other = reporter(address, "other", 0, &mut reporters)?;
    let ticking = report_every_second(vec![other]);
    let lateness = Lateness::watch(address).await?;

    let mut client = ask(address).await?;

    let (before, begun) = (controller.cpu()?, Instant::now());
    let many: Vec<Reporter> = (0..count)
        .map(|number| reporter(address, "many", number, &mut reporters))
        .collect::<anyhow::Result<_>>()?;
    until_ready(&mut client, count).await?;
    let (greeted, greeted_s) = (controller.cpu()?, begun.elapsed().as_secs_f64());
    let reporting = report_every_second(many);
    tokio::time::sleep(Duration::from_secs(args.seconds.into())).await;
    let reported = controller.cpu()?;

    let latest_ms = lateness.latest_ms()?;
    let peak_kib = controller.peak_kib()?;
    reporting.abort();
    ticking.abort();
    reporters.abort_all();
    Ok(Measured {
        greeted_s,
        greeting_cpu_s: greeted.since(before, 1e6).total_us,
        reporting_cpu_s: reported.since(greeted, 1e6).total_us,
        latest_ms,
        peak_kib,
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
        let ready = response.revisions.iter().find(|one| one.name == "many").map(|one| one.ready);
        if ready == Some(count) {
            return Ok(());
        }
        let late = begun.elapsed() > PATIENCE;
        ensure!(!late, "{ready:?} of {count} became ready: are there descriptors for all of them?");
        tokio::time::sleep(POLL_EVERY).await;
    }
}

/// How late the decisions of the other revision come, measured where they are told.
struct Lateness {
    latest_ms: Arc<AtomicU64>,
    told: Arc<AtomicU64>,
    watching: JoinHandle<anyhow::Result<()>>,
}

impl Lateness {
    async fn watch(controller: SocketAddr) -> anyhow::Result<Self> {
        let mut client = ask(controller).await?;
        let request = WatchDecisionsRequest {
            namespace: NAMESPACE.into(),
            name: "other".into(),
            ..Default::default()
        };
        let mut decisions = client.watch_decisions(request).await?.into_inner();
        // From the first on there is a time at which the next is due.
        let mut last = decisions.message().await?.context("the controller ended")?.unix_ms;
        let (latest_ms, told) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (latest, count) = (Arc::clone(&latest_ms), Arc::clone(&told));
        let watching = tokio::spawn(async move {
            while let Some(decision) = decisions.message().await? {
                let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
                let late_ms = i64::try_from(now)? - (last + DECISION_MS);
                latest.fetch_max(u64::try_from(late_ms).unwrap_or(0), Ordering::Relaxed);
                count.fetch_add(1, Ordering::Relaxed);
                last = decision.unix_ms;
            }
            Ok(())
        });
        Ok(Self { latest_ms, told, watching })
    }

    fn latest_ms(self) -> anyhow::Result<u64> {
        self.watching.abort();
        ensure!(self.told.load(Ordering::Relaxed) > 0, "the other revision was never decided on");
        Ok(self.latest_ms.load(Ordering::Relaxed))
    }
}
