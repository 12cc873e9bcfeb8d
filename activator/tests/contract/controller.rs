//! A controller that keeps the reports it receives, lists instances, and can be killed.

use std::net::SocketAddr;
use std::sync::Arc;

use tidegate_proto::stats::v1::report_request::Message as Report;
use tidegate_proto::stats::v1::report_response::Message as Directive;
use tidegate_proto::stats::v1::stats_service_server::{StatsService, StatsServiceServer};
use tidegate_proto::stats::v1::{
    Endpoint, Endpoints, Hello, HoldBounds, InstanceStart, ListenPorts, QueueRules, ReportRequest,
    ReportResponse, Revision, RevisionShare, RouteShares, Routes, ServiceMode, Stat, TcpPort,
};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};

/// The reports received so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Received {
    pub(crate) hellos: Vec<Hello>,
    pub(crate) stats: Vec<Stat>,
}

#[derive(Clone)]
struct Service {
    received: Arc<watch::Sender<Received>>,
    directives: watch::Receiver<Vec<Directive>>,
}

pub(crate) struct Controller {
    pub(crate) address: SocketAddr,
    received: Arc<watch::Sender<Received>>,
    directives: watch::Sender<Vec<Directive>>,
    server: JoinHandle<()>,
}

pub(crate) fn revision(name: &str) -> Revision {
    Revision { namespace: "default".into(), name: name.into() }
}

impl Controller {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let received = Arc::new(watch::Sender::new(Received::default()));
        let (directives, to_send) = watch::channel(Vec::new());
        let service = Service { received: Arc::clone(&received), directives: to_send };
        let serving = tonic::transport::Server::builder()
            .add_service(StatsServiceServer::new(service))
            .serve_with_incoming(TcpListenerStream::new(listener));
        let server = tokio::spawn(async move { serving.await.unwrap() });
        Self { address, received, directives, server }
    }

    /// Lists the instances of a revision.
    pub(crate) fn list(&self, name: &str, instances: &[(&str, SocketAddr, u32)]) {
        self.list_started(name, instances, Vec::new());
    }

    /// The same, and how they came up.
    pub(crate) fn list_started(
        &self,
        name: &str,
        instances: &[(&str, SocketAddr, u32)],
        starts: Vec<InstanceStart>,
    ) {
        let endpoints = instances.iter().map(|(instance, address, limit)| Endpoint {
            instance: (*instance).to_owned(),
            address: address.to_string(),
            limit: *limit,
        });
        let endpoints = endpoints.collect();
        let list =
            Endpoints { revision: Some(revision(name)), endpoints, starts, ..Endpoints::default() };
        self.send(Directive::Endpoints(list));
    }

    /// Names no instance of a revision, as a controller that does not know of any yet.
    pub(crate) fn list_nobody_yet(&self, name: &str) {
        let (revision, partial) = (Some(revision(name)), true);
        self.send(Directive::Endpoints(Endpoints { revision, partial, ..Endpoints::default() }));
    }

    /// Assigns ports to a revision.
    pub(crate) fn open(&self, name: &str, ports: &[u16]) {
        self.open_in(ServiceMode::Proxy, name, ports);
    }

    /// The same, and where new connections lead.
    pub(crate) fn open_in(&self, mode: ServiceMode, name: &str, ports: &[u16]) {
        let ports = ports.iter().copied().map(u32::from).collect();
        self.send(Directive::ListenPorts(ListenPorts {
            revision: Some(revision(name)),
            ports,
            mode: mode.into(),
            ..ListenPorts::default()
        }));
    }

    /// Says on which port connections come in that are passed on as they are, and where to.
    pub(crate) fn open_tcp(&self, name: &str, port: u16, addresses: &[SocketAddr]) {
        let addresses = addresses.iter().map(ToString::to_string).collect();
        self.send(Directive::ListenPorts(ListenPorts {
            revision: Some(revision(name)),
            tcp_ports: vec![TcpPort { port: port.into(), addresses }],
            ..ListenPorts::default()
        }));
    }

    /// Says how requests of a revision are held.
    pub(crate) fn bound(&self, name: &str, max_waiting: u32, longest_wait_ms: u32) {
        let revision = Some(revision(name));
        let bounds = HoldBounds { revision, max_waiting, longest_wait_ms };
        self.send(Directive::HoldBounds(bounds));
    }

    /// Says whose turn it is in the queue of a revision.
    pub(crate) fn order(&self, name: &str, rules: QueueRules) {
        let revision = Some(revision(name));
        self.send(Directive::QueueRules(QueueRules { revision, ..rules }));
    }

    /// Says which revision requests go to, and the shares to which a route was led.
    pub(crate) fn route(&self, table: &str, led: &[(&str, &[(&str, u32)])]) {
        let share = |(name, millionths): &(&str, u32)| RevisionShare {
            revision: Some(revision(name)),
            millionths: *millionths,
        };
        let led = led.iter().map(|(route, shares)| RouteShares {
            route: (*route).to_owned(),
            shares: shares.iter().map(share).collect(),
        });
        self.send(Directive::Routes(Routes { table: table.to_owned(), led: led.collect() }));
    }

    /// Says that a revision is none any more.
    pub(crate) fn undeclare(&self, name: &str) {
        self.send(Directive::Undeclared(revision(name)));
    }

    fn send(&self, new: Directive) {
        let is_of = |directive: &Directive| match directive {
            Directive::Endpoints(list) => (0, list.revision.clone()),
            Directive::ListenPorts(list) => (1, list.revision.clone()),
            Directive::HoldBounds(bounds) => (2, bounds.revision.clone()),
            Directive::Undeclared(revision) => (3, Some(revision.clone())),
            Directive::QueueRules(rules) => (4, rules.revision.clone()),
            _ => (5, None),
        };
        self.directives.send_modify(|known| {
            known.retain(|known| is_of(known) != is_of(&new));
            known.push(new);
        });
    }

    /// Waits for a stat that fulfils `wanted`.
    pub(crate) async fn stat(&self, mut wanted: impl FnMut(&Stat) -> bool) {
        let mut received = self.received.subscribe();
        received.wait_for(|received| received.stats.iter().any(&mut wanted)).await.unwrap();
    }

    pub(crate) fn received(&self) -> Received {
        self.received.borrow().clone()
    }

    /// Ends at once, with every stream.
    pub(crate) async fn kill(self) {
        self.server.abort();
        let _ = self.server.await;
    }
}

#[tonic::async_trait]
impl StatsService for Service {
    type ReportStream = ReceiverStream<Result<ReportResponse, Status>>;

    async fn report(
        &self,
        request: Request<Streaming<ReportRequest>>,
    ) -> Result<Response<Self::ReportStream>, Status> {
        let (responses, stream) = mpsc::channel(16);
        let Self { received, mut directives } = self.clone();
        directives.mark_changed();
        let mut reports = request.into_inner();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    message = reports.next() => match message {
                        Some(Ok(ReportRequest { message: Some(message) })) => {
                            received.send_modify(|received| match message {
                                Report::Hello(hello) => received.hellos.push(hello),
                                Report::Stat(stat) => received.stats.push(stat),
                                Report::History(history) => received.stats.extend(history.stats),
                                // For a controller that has just started.
                                Report::KnownInstances(_) => {}
                            });
                        }
                        _ => return,
                    },
                    changed = directives.changed() => {
                        if changed.is_err() {
                            return;
                        }
                        let known = directives.borrow_and_update().clone();
                        for message in known.into_iter().map(Some) {
                            let _ = responses.send(Ok(ReportResponse { message })).await;
                        }
                    }
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}
