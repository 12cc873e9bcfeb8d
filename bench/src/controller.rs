//! Reporters of sidecars that are not there, at a controller that is.

use std::net::SocketAddr;
use std::time::Duration;

use tidegate_proto::scale::v1::scale_service_client::ScaleServiceClient;
use tidegate_proto::stats::v1::{Hello, Revision, Role, Stat};
use tidegate_reporter::transport::{self, Connection, Target};
use tidegate_reporter::{Config, Credentials, Reporter};
use tokio::task::{JoinHandle, JoinSet};

/// The namespace of all that report.
pub const NAMESPACE: &str = "bench";

/// Requests that each instance takes at a time.
pub const LIMIT: u32 = 10;

/// Requests that may wait at each.
pub const QUEUE_DEPTH: u32 = 100;

/// The reporter of a sidecar whose app is ready, at work.
///
/// # Errors
///
/// When `controller` is no address that can be reported to.
pub fn reporter(
    controller: SocketAddr,
    revision: &str,
    number: u32,
    running: &mut JoinSet<()>,
) -> anyhow::Result<Reporter> {
    let hello = Hello {
        role: Role::QueueProxy.into(),
        revision: Some(Revision { namespace: NAMESPACE.into(), name: revision.into() }),
        instance: format!("{revision}-{number}"),
        address: format!("127.0.0.1:{}", 1_024 + number % 60_000),
        container_concurrency: LIMIT,
        max_waiting: QUEUE_DEPTH,
        ..Hello::default()
    };
    let config = Config::new(&controller.to_string(), &Credentials::default(), hello)?;
    let (reporter, inbox, driver) = tidegate_reporter::start(config);
    running.spawn(async move {
        driver.run().await;
        drop(inbox);
    });
    reporter.report(half_busy());
    Ok(reporter)
}

/// A second of an instance that has half of what it takes.
#[must_use]
pub fn half_busy() -> Stat {
    Stat {
        period_length_ms: 1_000,
        average_concurrency: f64::from(LIMIT) / 2.0,
        request_count: 100,
        in_flight: LIMIT / 2,
        ready: true,
        ..Stat::default()
    }
}

/// Has each of them report once a second, spread evenly over it as those of real instances are.
pub fn report_every_second(reporters: Vec<Reporter>) -> JoinHandle<()> {
    tokio::spawn(async move {
        const SLICES: usize = 50;
        let mut slice = tokio::time::interval(Duration::from_secs(1) / SLICES as u32);
        for turn in 0.. {
            slice.tick().await;
            reporters.iter().skip(turn % SLICES).step_by(SLICES).for_each(|one| {
                one.report(half_busy());
            });
        }
    })
}

/// A client that asks a controller.
///
/// # Errors
///
/// When there is no connection.
pub async fn ask(controller: SocketAddr) -> anyhow::Result<ScaleServiceClient<Connection>> {
    let target = Target::new(&controller.to_string(), &Credentials::default())?;
    let connection = transport::connect(&target).await?;
    Ok(ScaleServiceClient::with_origin(connection, target.origin()))
}
