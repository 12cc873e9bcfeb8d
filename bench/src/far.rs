//! An activator before instances that are far away: a round trip of 200 ms is one between
//! continents.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tidegate_knative::environment as keys;
use tidegate_reserved_port::reserve;
use tokio::task::JoinSet;

use crate::far_path::FarPath;
use crate::proxy::load::Connection;
use crate::proxy::metrics_page::counted;
use crate::proxy::process::Peer;
use crate::proxy::{app, peers};

/// Instances behind the activator.
const INSTANCES: usize = 2;

/// Requests that one takes at a time.
const LIMIT: usize = 10;

/// What the activator and its instances share, so that these grant it credits.
const FRONT_DOOR_SECRET: &str = "far-away-front-door-secret";

/// How often an instance was ejected, by the activator itself.
const EJECTED: &str = "tidegate_activator_instances_ejected_total";

/// What is done.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The program with our roles.
    pub tidegate: PathBuf,
    /// The path to the instances.
    pub path: FarPath,
    /// Clients, each with one request at a time.
    pub clients: u64,
    /// Requests of each.
    pub requests: u64,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// Requests that were not answered, or not with a 200.
    pub failed: u64,
    /// How long the others took, microseconds.
    pub latency_us: Histogram<u64>,
    /// How long the slowest of the first requests of all clients took.
    pub first: Duration,
    /// How often an instance was held to be out of reach while they came.
    pub ejected: u64,
    /// The same once every client had been answered for the first time.
    pub ejected_later: u64,
}

/// Runs it.
///
/// # Errors
/// When something does not start, or an instance cannot be reached at all.
pub async fn run(plan: Plan) -> anyhow::Result<Outcome> {
    let app = app::serve().await?;
    let (address, admin) = (reserve()?, reserve()?);
    let mut command = Command::new(&plan.tidegate);
    command
        .args(["activator", "--log", "off", "--default-revision", "default/web"])
        .args(["--listen", &address.to_string(), "--admin", &admin.to_string()])
        .env(keys::TIDEGATE_FRONT_DOOR, FRONT_DOOR_SECRET);
    let mut instances = Vec::new();
    for number in 0..INSTANCES {
        let near = reserve()?;
        let mut sidecar = peers::bare_sidecar(&plan.tidegate, app, near, LIMIT);
        sidecar.arg("queue-proxy").env(keys::TIDEGATE_FRONT_DOOR, FRONT_DOOR_SECRET);
        instances.push(Peer::start_anywhere(&format!("sidecar {number}"), near, &mut sidecar)?);
        command.arg(format!("--endpoint=default/web={},{LIMIT}", plan.path.to(near.port())));
    }
    let activator = Peer::start_anywhere("the activator", address, &mut command)?;
    let mut outcome = Outcome {
        failed: 0,
        latency_us: Histogram::new_with_bounds(1, 60_000_000, 3)?,
        first: Duration::ZERO,
        ejected: 0,
        ejected_later: 0,
    };
    let begun = Instant::now();
    ask(&plan, activator.address, 1, &mut outcome).await?;
    outcome.first = begun.elapsed();
    outcome.ejected = ejected(admin).await?;
    ask(&plan, activator.address, plan.requests - 1, &mut outcome).await?;
    outcome.ejected_later = ejected(admin).await? - outcome.ejected;
    Ok(outcome)
}

/// Every client asks so often, each time as soon as it is answered.
async fn ask(plan: &Plan, at: SocketAddr, each: u64, outcome: &mut Outcome) -> anyhow::Result<()> {
    let mut clients = JoinSet::new();
    for _ in 0..plan.clients {
        clients.spawn(async move {
            let (mut took, mut failed) = (Vec::new(), 0);
            let mut connection = Connection::open(at).await?;
            for _ in 0..each {
                let sent = Instant::now();
                if connection.exchange().await.is_ok() {
                    took.push(sent.elapsed());
                } else {
                    failed += 1;
                    connection = Connection::open(at).await?;
                }
            }
            anyhow::Ok((took, failed))
        });
    }
    while let Some(client) = clients.join_next().await {
        let (took, failed) = client??;
        outcome.failed += failed;
        for time in took {
            outcome.latency_us.saturating_record(time.as_micros() as u64);
        }
    }
    Ok(())
}

/// There is no series before the first.
async fn ejected(admin: SocketAddr) -> std::io::Result<u64> {
    Ok(counted(admin, EJECTED).await?.unwrap_or(0))
}
