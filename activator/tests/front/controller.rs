//! A controller that writes down what it hears, says where instances are, and can be killed.

use std::net::SocketAddr;
use std::sync::Arc;

use tidegate_proto::stats::v1::report_request::Message as Said;
use tidegate_proto::stats::v1::report_response::Message as Answer;
use tidegate_proto::stats::v1::stats_service_server::{StatsService, StatsServiceServer};
use tidegate_proto::stats::v1::{
    Endpoint, Endpoints, Hello, ListenPorts, ReportRequest, ReportResponse, Revision, Stat,
};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};

/// What was heard so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Heard {
    pub(crate) hellos: Vec<Hello>,
    pub(crate) stats: Vec<Stat>,
}

#[derive(Clone)]
struct Service {
    heard: Arc<watch::Sender<Heard>>,
    said: watch::Receiver<Vec<Answer>>,
}

pub(crate) struct Controller {
    pub(crate) address: SocketAddr,
    heard: Arc<watch::Sender<Heard>>,
    said: watch::Sender<Vec<Answer>>,
    server: JoinHandle<()>,
}

pub(crate) fn revision(name: &str) -> Revision {
    Revision { namespace: "default".into(), name: name.into() }
}

impl Controller {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::new(watch::Sender::new(Heard::default()));
        let (said, saying) = watch::channel(Vec::new());
        let service = Service { heard: Arc::clone(&heard), said: saying };
        let serving = tonic::transport::Server::builder()
            .add_service(StatsServiceServer::new(service))
            .serve_with_incoming(TcpListenerStream::new(listener));
        let server = tokio::spawn(async move { serving.await.unwrap() });
        Self { address, heard, said, server }
    }

    /// Says where the instances of a revision are.
    pub(crate) fn say(&self, name: &str, instances: &[(&str, SocketAddr, u32)]) {
        let endpoints = instances.iter().map(|(instance, address, limit)| Endpoint {
            instance: (*instance).to_owned(),
            address: address.to_string(),
            limit: *limit,
        });
        let said = Endpoints { revision: Some(revision(name)), endpoints: endpoints.collect() };
        self.tell(Answer::Endpoints(said));
    }

    /// Says on which ports the requests of a revision come in.
    pub(crate) fn open(&self, name: &str, ports: &[u16]) {
        let ports = ports.iter().copied().map(u32::from).collect();
        self.tell(Answer::ListenPorts(ListenPorts { revision: Some(revision(name)), ports }));
    }

    fn tell(&self, said: Answer) {
        let is_of = |answer: &Answer| match answer {
            Answer::Endpoints(list) => (0, list.revision.clone()),
            Answer::ListenPorts(list) => (1, list.revision.clone()),
            _ => (2, None),
        };
        self.said.send_modify(|known| {
            known.retain(|known| is_of(known) != is_of(&said));
            known.push(said);
        });
    }

    /// Waits until a stat is heard that is as wanted.
    pub(crate) async fn hear(&self, mut wanted: impl FnMut(&Stat) -> bool) {
        let mut heard = self.heard.subscribe();
        heard.wait_for(|heard| heard.stats.iter().any(&mut wanted)).await.unwrap();
    }

    pub(crate) fn heard(&self) -> Heard {
        self.heard.borrow().clone()
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
        let (answers, stream) = mpsc::channel(16);
        let Self { heard, said: mut saying } = self.clone();
        saying.mark_changed();
        let mut said = request.into_inner();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    message = said.next() => match message {
                        Some(Ok(ReportRequest { message: Some(message) })) => {
                            heard.send_modify(|heard| match message {
                                Said::Hello(hello) => heard.hellos.push(hello),
                                Said::Stat(stat) => heard.stats.push(stat),
                                Said::History(history) => heard.stats.extend(history.stats),
                            });
                        }
                        _ => return,
                    },
                    changed = saying.changed() => {
                        if changed.is_err() {
                            return;
                        }
                        let known = saying.borrow_and_update().clone();
                        for message in known.into_iter().map(Some) {
                            let _ = answers.send(Ok(ReportResponse { message })).await;
                        }
                    }
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}
