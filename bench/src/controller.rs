//! Reporters of sidecars that are not there, at a controller that is.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tidegate_proto::PROTOCOL_VERSION;
use tidegate_proto::scale::v1::scale_service_client::ScaleServiceClient;
use tidegate_proto::stats::v1::report_request::Message;
use tidegate_proto::stats::v1::stats_service_client::StatsServiceClient;
use tidegate_proto::stats::v1::{Hello, ReportRequest, Revision, Role, Stat};
use tidegate_reporter::transport::{self, Connection, Target};
use tidegate_reporter::{Config, Credentials, Reporter, clock};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio_stream::wrappers::ReceiverStream;

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
    let hello = hello(revision, number);
    let config = Config::new(&controller.to_string(), &Credentials::default(), hello)?;
    let (reporter, inbox, driver) = tidegate_reporter::start(config);
    running.spawn(async move {
        driver.run().await;
        drop(inbox);
    });
    reporter.report(half_busy());
    Ok(reporter)
}

fn hello(revision: &str, number: u32) -> Hello {
    Hello {
        role: Role::QueueProxy.into(),
        revision: Some(Revision { namespace: NAMESPACE.into(), name: revision.into() }),
        instance: format!("{revision}-{number}"),
        address: format!("127.0.0.1:{}", 1_024 + number % 60_000),
        container_concurrency: LIMIT,
        max_waiting: QUEUE_DEPTH,
        ..Hello::default()
    }
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
pub fn report_every_second(reporters: Vec<impl Report>) -> JoinHandle<()> {
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

/// Streams of instances that share connections, as those behind a mesh do.
///
/// # Errors
///
/// When there is no connection.
pub async fn shared_streams(
    controller: SocketAddr,
    instances: Vec<(String, u32)>,
    running: &mut JoinSet<()>,
) -> anyhow::Result<Vec<StreamEnd>> {
    let target = Target::new(&controller.to_string(), &Credentials::default())?;
    let connection = transport::connect(&target).await?;
    let mut ends = Vec::new();
    for (revision, number) in instances {
        let mut client = StatsServiceClient::with_origin(connection.clone(), target.origin());
        let (outbox, requests) = mpsc::channel(STREAM_DEPTH);
        let hello = hello(&revision, number);
        let first = Message::Hello(Hello { protocol_version: PROTOCOL_VERSION, ..hello });
        outbox.send(ReportRequest { message: Some(first) }).await?;
        running.spawn(async move {
            let Ok(response) = client.report(ReceiverStream::new(requests)).await else { return };
            let mut responses = response.into_inner();
            while let Ok(Some(_)) = responses.message().await {}
        });
        let end = StreamEnd { outbox, sequence: Arc::default() };
        end.report(half_busy());
        ends.push(end);
    }
    Ok(ends)
}

/// Messages that may wait in a stream: one a second is sent.
const STREAM_DEPTH: usize = 4;

/// One stream of those that share a connection.
pub struct StreamEnd {
    outbox: mpsc::Sender<ReportRequest>,
    sequence: Arc<AtomicU64>,
}

/// Something that reports.
pub trait Report: Send + Sync + 'static {
    /// Reports this.
    fn report(&self, stat: Stat);
}

impl Report for StreamEnd {
    fn report(&self, stat: Stat) {
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed) + 1;
        let period_start_unix_ms = clock::now_unix_ms() - i64::from(stat.period_length_ms);
        let stat = Stat { sequence, period_start_unix_ms, ..stat };
        // One that does not keep up is late, and not of what is measured.
        let _ = self.outbox.try_send(ReportRequest { message: Some(Message::Stat(stat)) });
    }
}

impl Report for Reporter {
    fn report(&self, stat: Stat) {
        Reporter::report(self, stat);
    }
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
