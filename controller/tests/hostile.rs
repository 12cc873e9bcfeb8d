//! Reporters that lie, flood, stop within a message or never listen: each harms itself alone.
//!
//! The story: a stream was read as fast as its reporter wrote, so that one that wrote without pause
//! took of the controller whatever there was to take.

use std::collections::BTreeMap;
use std::future::pending;
use std::net::SocketAddr;
use std::time::Duration;

use tidegate_autoscaler::Improvements;
use tidegate_autoscaler::settings::Config;
use tidegate_controller::{Access, Handle, Metrics, NoActuator, Template, UndeclaredRevisions};
use tidegate_proto::PROTOCOL_VERSION;
use tidegate_proto::stats::v1::report_request::Message as Outgoing;
use tidegate_proto::stats::v1::stats_service_client::StatsServiceClient;
use tidegate_proto::stats::v1::{Hello, History, ReportRequest, Revision, Role, Stat};
use tidegate_reporter::{Credentials, Inbox, Link, Reporter};
use tidegate_telemetry::{Registry, page};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

/// Longer than anything here takes, shorter than a test that hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often the honest one reports.
const REPORT_PERIOD: Duration = Duration::from_millis(200);

/// The time between two looks at a counter.
const POLL_PERIOD: Duration = Duration::from_millis(10);

/// More than a stream may send at once.
const FLOOD: u64 = 20_000;

fn hello(instance: &str) -> Hello {
    Hello {
        protocol_version: PROTOCOL_VERSION,
        role: Role::QueueProxy.into(),
        revision: Some(Revision { namespace: "default".into(), name: "web".into() }),
        instance: instance.into(),
        address: "127.0.0.1:8012".into(),
        ..Hello::default()
    }
}

fn stat(sequence: u64) -> Stat {
    Stat {
        sequence,
        period_length_ms: 1_000,
        average_concurrency: 1.0,
        ready: true,
        ..Stat::default()
    }
}

async fn stream(
    address: SocketAddr,
    instance: &str,
) -> (mpsc::Sender<ReportRequest>, StatsServiceClient<Channel>, ReceiverStream<ReportRequest>) {
    let (send, requests) = mpsc::channel(16);
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("a good address");
    let client = StatsServiceClient::new(endpoint.connect().await.expect("it listens"));
    send.send(request(Outgoing::Hello(hello(instance)))).await.expect("there is room");
    (send, client, ReceiverStream::new(requests))
}

fn request(message: Outgoing) -> ReportRequest {
    ReportRequest { message: Some(message) }
}

/// The value of a metric on the page, with this in its labels; 0 where it is not there.
fn value(registry: &Registry, name: &str, label: &str) -> f64 {
    let page = page::render(&registry.gather());
    let mut lines = page.lines();
    let line = lines.find(|line| line.starts_with(&format!("{name}{{")) && line.contains(label));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0.0)
}

/// A controller that counts, and adopts every revision.
async fn start(registry: &Registry) -> (Handle, SocketAddr) {
    let template = Template {
        config: Config::default(),
        annotations: BTreeMap::new(),
        improvements: Improvements::all(),
    };
    let undeclared = UndeclaredRevisions::Adopt(Box::new(template));
    let (handle, controller) = tidegate_controller::counted(undeclared, Metrics::new(registry));
    tokio::spawn(controller.run(NoActuator));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let access = Access::anonymous();
    let serving = tidegate_controller::serve(handle.clone(), listener, access, pending());
    tokio::spawn(serving);
    (handle, address)
}

/// A reporter as all of ours are.
async fn honest(address: SocketAddr) -> (Reporter, Inbox) {
    let credentials = Credentials::default();
    let config =
        tidegate_reporter::Config::new(&address.to_string(), &credentials, hello("honest"));
    let (reporter, mut inbox, driver) = tidegate_reporter::start(config.expect("a good address"));
    tokio::spawn(driver.run());
    inbox.link.wait_for(|link| *link == Link::Up).await.expect("the driver lives");
    (reporter, inbox)
}

/// One that writes without pause, and never reads what it is told.
async fn flood(address: SocketAddr) -> JoinHandle<()> {
    let (flood, mut client, requests) = stream(address, "flood").await;
    tokio::spawn(async move {
        let unread = client.report(requests).await.expect("it opens");
        for sequence in 1..=FLOOD {
            if flood.send(request(Outgoing::Stat(stat(sequence)))).await.is_err() {
                break;
            }
        }
        drop(unread);
    })
}

/// One whose numbers are none, and whose stream goes on all the same, until it says too much at
/// once. Gives the status that it gets for that.
async fn lie(address: SocketAddr) -> Status {
    let (liar, mut client, requests) = stream(address, "liar").await;
    let mut told = client.report(requests).await.expect("it opens").into_inner();
    let nameless = Revision { namespace: "a b".into(), name: "c".into() };
    let stats = [
        Stat { average_concurrency: f64::NAN, ..stat(1) },
        Stat { average_concurrency: -1.0, ..stat(2) },
        Stat { period_length_ms: 0, ..stat(3) },
        Stat { period_length_ms: u32::MAX, ..stat(4) },
        Stat { revision: Some(nameless), ..stat(5) },
        stat(6),
    ];
    let long = History { stats: vec![stat(7); 1_001] };
    let messages = stats.map(Outgoing::Stat).into_iter().chain([Outgoing::History(long)]);
    for message in messages {
        liar.send(request(message)).await.expect("it is open");
    }
    loop {
        match told.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it ended without a status"),
            Err(status) => return status,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_harms_itself_alone() {
    let registry = Registry::new();
    let (handle, address) = start(&registry).await;
    let mut decisions = handle.watch_decisions();
    let (honest, inbox) = honest(address).await;
    let flooding = flood(address).await;
    let refusal = lie(address).await;
    assert_eq!(refusal.code(), Code::ResourceExhausted, "{refusal}");

    let mut decided = 0;
    let honestly = async {
        while decided < 3 {
            honest.report(stat(0));
            let next = tokio::time::timeout(REPORT_PERIOD, decisions.recv()).await;
            decided += usize::from(matches!(next, Ok(Ok(_))));
        }
        while value(&registry, "tidegate_controller_reports_paced_total", "") == 0.0 {
            tokio::time::sleep(POLL_PERIOD).await;
        }
    };
    tokio::time::timeout(PATIENCE, honestly).await.expect("it decides, and the flood waits");
    assert_eq!(*inbox.link.borrow(), Link::Up, "the honest one keeps its stream");
    let ignored = |reason| {
        let label = format!("reason=\"{reason}\"");
        value(&registry, "tidegate_controller_reports_ignored_total", &label)
    };
    assert_eq!([ignored("number"), ignored("period"), ignored("name")], [2.0, 2.0, 1.0]);
    assert_eq!(value(&registry, "tidegate_controller_streams_broken_total", ""), 1.0);
    assert!(value(&registry, "tidegate_controller_reports_total", "") < FLOOD as f64);
    assert!(!flooding.is_finished(), "its own stream waits");
    flooding.abort();
}
