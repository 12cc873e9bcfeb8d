//! The controller over real sockets: streams that behave, streams that do not, and questions.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use tidegate_autoscaler::Improvements;
use tidegate_autoscaler::settings::{Config, Strictness};
use tidegate_controller::{Access, NoActuator, RevisionId, Template, UndeclaredRevisions};
use tidegate_proto::scale::v1::scale_service_client::ScaleServiceClient;
use tidegate_proto::scale::v1::{
    ExplainRequest, ListRevisionsRequest, RevisionStatus, WatchDecisionsRequest,
};
use tidegate_proto::stats::v1::report_request::Message as Outgoing;
use tidegate_proto::stats::v1::report_response::Message as Incoming;
use tidegate_proto::stats::v1::stats_service_client::StatsServiceClient;
use tidegate_proto::stats::v1::{Hello, ReportRequest, ReportResponse, Revision, Role, Stat};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

/// A controller that adopts undeclared revisions, and has `default/web`.
async fn start() -> SocketAddr {
    let config = BTreeMap::from([("target-burst-capacity".to_owned(), "-1".to_owned())]);
    let template = Template {
        config: Config::from_map(&config, Strictness::Strict).expect("valid"),
        annotations: BTreeMap::new(),
        improvements: Improvements::all(),
    };
    let web = RevisionId::new("default", "web").expect("valid");
    let declaration = template.declare(web, 2).expect("valid");
    let (handle, controller) =
        tidegate_controller::controller(UndeclaredRevisions::Adopt(Box::new(template)));
    tokio::spawn(controller.run(NoActuator));
    handle.declare(declaration).await.expect("it runs");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let access = Access::anonymous();
    tokio::spawn(tidegate_controller::serve(handle, listener, access, std::future::pending()));
    address
}

async fn channel(address: SocketAddr) -> Channel {
    let endpoint = Channel::from_shared(format!("http://{address}")).expect("a good address");
    endpoint.connect().await.expect("it listens")
}

struct Reporter {
    send: mpsc::Sender<ReportRequest>,
    received: Streaming<ReportResponse>,
}

impl Reporter {
    async fn open(address: SocketAddr) -> Self {
        let (send, requests) = mpsc::channel(16);
        let mut client = StatsServiceClient::new(channel(address).await);
        let received = client.report(ReceiverStream::new(requests)).await.expect("it opens");
        Self { send, received: received.into_inner() }
    }

    async fn send(&self, message: Outgoing) {
        self.send.send(ReportRequest { message: Some(message) }).await.expect("it is open");
    }

    async fn receive(&mut self) -> Result<Option<Incoming>, Status> {
        Ok(self.received.message().await?.and_then(|response| response.message))
    }

    /// Why the stream was ended.
    async fn refusal(&mut self) -> Status {
        loop {
            match self.receive().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("it ended without a reason"),
                Err(status) => return status,
            }
        }
    }
}

fn hello(revision: &str, instance: &str) -> Hello {
    Hello {
        protocol_version: tidegate_proto::PROTOCOL_VERSION,
        role: Role::QueueProxy.into(),
        revision: Some(Revision { namespace: "default".into(), name: revision.into() }),
        instance: instance.into(),
        address: "127.0.0.1:8012".into(),
        ..Hello::default()
    }
}

fn stat(sequence: u64, concurrency: f64) -> Stat {
    Stat {
        sequence,
        period_length_ms: 1_000,
        average_concurrency: concurrency,
        ready: true,
        ..Stat::default()
    }
}

async fn list(address: SocketAddr) -> Vec<RevisionStatus> {
    let mut client = ScaleServiceClient::new(channel(address).await);
    let answer = client.list_revisions(ListRevisionsRequest {}).await.expect("it answers");
    answer.into_inner().revisions
}

#[tokio::test]
async fn an_instance_that_becomes_ready_is_told_to_activators() {
    let address = start().await;
    let mut activator = Reporter::open(address).await;
    let introduction =
        Hello { role: Role::Activator.into(), instance: "activator".into(), ..hello("", "") };
    activator.send(Outgoing::Hello(introduction)).await;
    let received = activator.receive().await;
    assert!(matches!(received, Ok(Some(Incoming::Directive(d))) if d.history_seconds >= 60));
    let received = activator.receive().await;
    assert!(matches!(received, Ok(Some(Incoming::Endpoints(e))) if e.endpoints.is_empty()));

    let mut sidecar = Reporter::open(address).await;
    sidecar.send(Outgoing::Hello(hello("web", "web-1"))).await;
    assert!(matches!(sidecar.receive().await, Ok(Some(Incoming::Directive(_)))));
    sidecar.send(Outgoing::Stat(stat(1, 1.0))).await;
    let Ok(Some(Incoming::Endpoints(told))) = activator.receive().await else {
        panic!("it is told")
    };
    assert_eq!(told.endpoints[0].instance, "web-1");
    assert_eq!(told.endpoints[0].address, "127.0.0.1:8012");
    assert_eq!(list(address).await[0].ready, 1);
}

#[tokio::test]
async fn invalid_streams_are_ended_with_a_reason() {
    let address = start().await;
    let strange = [
        (Outgoing::Stat(stat(1, 1.0)), "must be a hello"),
        (Outgoing::Hello(Hello { protocol_version: 99, ..hello("web", "a") }), "version 99"),
        (Outgoing::Hello(Hello { role: 0, ..hello("web", "a") }), "role 0"),
        (Outgoing::Hello(hello("web", "")), "instance name"),
        (Outgoing::Hello(Hello { address: "x".into(), ..hello("web", "a") }), "host:port"),
        (Outgoing::Hello(hello("a name with spaces", "a")), "revision name"),
    ];
    for (first, expected) in strange {
        let mut reporter = Reporter::open(address).await;
        reporter.send(first).await;
        let refusal = reporter.refusal().await;
        assert_eq!(refusal.code(), Code::InvalidArgument);
        assert!(refusal.message().contains(expected), "{expected:?}: {refusal:?}");
    }
    let mut twice = Reporter::open(address).await;
    twice.send(Outgoing::Hello(hello("web", "a"))).await;
    twice.send(Outgoing::Hello(hello("web", "a"))).await;
    assert!(twice.refusal().await.message().contains("second hello"));
}

#[tokio::test]
async fn an_invalid_stat_is_left_out_and_the_rest_counts() {
    let address = start().await;
    let mut reporter = Reporter::open(address).await;
    reporter.send(Outgoing::Hello(hello("web", "a"))).await;
    for (sequence, concurrency) in (1..).zip([f64::NAN, f64::INFINITY, -1.0, 1e300]) {
        reporter.send(Outgoing::Stat(stat(sequence, concurrency))).await;
    }
    reporter.send(Outgoing::Stat(Stat { in_flight: 7, ..stat(9, 1.0) })).await;
    // The eighth number is acknowledged, so everything before it has been dealt with.
    loop {
        if let Ok(Some(Incoming::Ack(ack))) = reporter.receive().await {
            assert_eq!(ack.sequence, 9);
            break;
        }
    }
    assert_eq!(list(address).await[0].in_flight, 7);
}

#[tokio::test]
async fn scale_service_answers() {
    let address = start().await;
    let mut client = ScaleServiceClient::new(channel(address).await);
    let unknown =
        ExplainRequest { namespace: "a".into(), name: "b".into(), last: 1, ..Default::default() };
    assert_eq!(client.explain(unknown).await.expect_err("unknown").code(), Code::NotFound);
    let nameless = ExplainRequest::default();
    assert_eq!(client.explain(nameless).await.expect_err("bad").code(), Code::InvalidArgument);

    let sidecar = Reporter::open(address).await;
    let mut watch =
        client.watch_decisions(WatchDecisionsRequest::default()).await.expect("it opens");
    sidecar.send(Outgoing::Hello(hello("web", "web-1"))).await;
    // A queue that forms is decided about at once, without waiting for a tick.
    sidecar.send(Outgoing::Stat(Stat { waiting: 5, in_flight: 7, ..stat(1, 7.0) })).await;
    let decision = watch.get_mut().message().await.expect("it goes on").expect("a decision");
    assert_eq!((decision.namespace.as_str(), decision.name.as_str()), ("default", "web"));
    assert!(!decision.reason.is_empty());
    let json: serde_json::Value =
        serde_json::from_str(&decision.explanation_json).expect("it is JSON");
    assert!(json["detail"]["knative"]["inputs"]["spec"]["target_value"].is_number(), "{json}");
    let known = ExplainRequest {
        namespace: "default".into(),
        name: "web".into(),
        last: 10,
        ..Default::default()
    };
    let explained = client.explain(known).await.expect("known").into_inner();
    assert_eq!(explained.decisions[0].unix_ms, decision.unix_ms);
}

#[tokio::test]
async fn garbage_on_the_listener_ends_the_connection_and_nothing_else() {
    let address = start().await;
    let garbage: [Vec<u8>; 4] = [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        (0..=255).cycle().take(100_000).collect(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\x01\x02\x03".to_vec(),
        Vec::new(),
    ];
    for bytes in garbage {
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        // The peer may end the connection before it has read everything.
        let _ = stream.write_all(&bytes).await;
        let _ = stream.shutdown().await;
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
    }
    assert_eq!(list(address).await.len(), 1, "it still answers");
}
