//! A controller that restarts, and real reporters that remember.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use tidegate_autoscaler::Improvements;
use tidegate_autoscaler::settings::Config;
use tidegate_controller::{Access, Handle, NoActuator, Template, UndeclaredRevisions};
use tidegate_proto::stats::v1::report_request::Message as Outgoing;
use tidegate_proto::stats::v1::stats_service_client::StatsServiceClient;
use tidegate_proto::stats::v1::{Hello, History, ReportRequest, Revision, Role, Stat};
use tidegate_reporter::{Link, Reporter};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_stream::StreamExt;

/// Seconds of the past that every reporter has seen, at this concurrency.
const SECONDS: i64 = 60;
const CONCURRENCY: f64 = 4.0;
const REPORTERS: usize = 3;

struct Running {
    handle: Handle,
    tasks: [JoinHandle<()>; 2],
}

impl Running {
    async fn at(address: SocketAddr) -> Self {
        let template = Template {
            config: Config::default(),
            annotations: BTreeMap::new(),
            improvements: Improvements::all(),
        };
        let (handle, controller) =
            tidegate_controller::controller(UndeclaredRevisions::Adopt(Box::new(template)));
        let listener = TcpListener::bind(address).await.expect("the address is free");
        let serving = tidegate_controller::serve(
            handle.clone(),
            listener,
            Access::anonymous(),
            std::future::pending(),
        );
        let tasks =
            [tokio::spawn(controller.run(NoActuator)), tokio::spawn(async { drop(serving.await) })];
        Self { handle, tasks }
    }

    /// Its state is lost, and every stream breaks.
    async fn die(self) {
        for task in self.tasks {
            task.abort();
            let _ = task.await;
        }
    }
}

fn now_unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_millis()).expect("before the sun burns out")
}

fn hello(number: usize) -> Hello {
    Hello {
        role: Role::QueueProxy.into(),
        revision: Some(Revision { namespace: "default".into(), name: "web".into() }),
        instance: format!("web-{number}"),
        address: format!("127.0.0.1:{}", 9_000 + number),
        container_concurrency: 2,
        start_unix_ms: 1,
        ..Hello::default()
    }
}

async fn reporter(number: usize, address: SocketAddr) -> (Reporter, tidegate_reporter::Inbox) {
    let shown = tidegate_reporter::Credentials::default();
    let config = tidegate_reporter::Config::new(&address.to_string(), &shown, hello(number));
    let config = config.expect("a good address");
    let (reporter, mut inbox, driver) = tidegate_reporter::start(config);
    tokio::spawn(driver.run());
    inbox.link.wait_for(|link| *link == Link::Up).await.expect("the driver lives");
    (reporter, inbox)
}

#[tokio::test]
async fn windows_are_full_again_at_the_first_decision() {
    let address = tidegate_reserved_port::reserve().expect("a port");
    let first = Running::at(address).await;
    let mut reporters = Vec::new();
    for number in 0..REPORTERS {
        reporters.push(reporter(number, address).await);
    }
    let now = now_unix_ms();
    for (reporter, _) in &reporters {
        for age in (0..SECONDS).rev() {
            reporter.report(Stat {
                period_start_unix_ms: now - (age + 1) * 1_000,
                period_length_ms: 1_000,
                average_concurrency: CONCURRENCY,
                ready: true,
                ..Stat::default()
            });
        }
    }
    first.die().await;
    let second = Running::at(address).await;
    let mut decisions = second.handle.watch_decisions();
    // There are no new reports: it decides on the reporters' history.
    let decision = decisions.recv().await.expect("it decides");
    let status = second.handle.statuses().await.expect("it runs").remove(0);
    let expected = CONCURRENCY * REPORTERS as f64;
    let stable = status.stable_concurrency;
    assert!((stable - expected).abs() < expected * 0.05, "{stable} instead of {expected}");
    assert_eq!(status.ready, u32::try_from(REPORTERS).expect("small"));
    // 12 requests at 1.4 each.
    assert_eq!(decision.explanation.outcome.desired, 9, "{decision}");
}

/// What a node's clock says is nobody's business: a reporter tells what it says now, and the times
/// of its stats are by that.
#[tokio::test]
async fn clocks_that_are_an_hour_apart_change_nothing() {
    const HOUR_MS: i64 = 3_600_000;
    let address = tidegate_reserved_port::reserve().expect("a port");
    let controller = Running::at(address).await;
    let mut decisions = controller.handle.watch_decisions();
    let mut open = Vec::new();
    for (number, ahead_ms) in [(0, -HOUR_MS), (1, 0), (2, HOUR_MS)] {
        let now_unix_ms = now_unix_ms() + ahead_ms;
        let hello = Hello {
            protocol_version: tidegate_proto::PROTOCOL_VERSION,
            now_unix_ms,
            ..hello(number)
        };
        let past = (1..=SECONDS).map(|second| Stat {
            sequence: second as u64,
            period_start_unix_ms: now_unix_ms - (SECONDS + 1 - second) * 1_000,
            period_length_ms: 1_000,
            average_concurrency: CONCURRENCY,
            ready: true,
            ..Stat::default()
        });
        let messages =
            [Outgoing::Hello(hello), Outgoing::History(History { stats: past.collect() })];
        let requests = messages.map(|message| ReportRequest { message: Some(message) });
        let requests = tokio_stream::iter(requests).chain(tokio_stream::pending());
        let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{address}"));
        let channel = endpoint.expect("a good address").connect().await.expect("it listens");
        open.push(StatsServiceClient::new(channel).report(requests).await.expect("it opens"));
    }
    decisions.recv().await.expect("it decides");
    let status = controller.handle.statuses().await.expect("it runs").remove(0);
    let (expected, stable) = (CONCURRENCY * REPORTERS as f64, status.stable_concurrency);
    assert!((stable - expected).abs() < expected * 0.05, "{stable} instead of {expected}");
    drop(open);
}
