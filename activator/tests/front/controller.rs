//! A controller that writes down what it hears, says where instances are, and can be killed.

use std::net::SocketAddr;
use std::sync::Arc;

use tidegate_proto::stats::v1::report_request::Message as Said;
use tidegate_proto::stats::v1::report_response::Message as Answer;
use tidegate_proto::stats::v1::stats_service_server::{StatsService, StatsServiceServer};
use tidegate_proto::stats::v1::{
    Endpoint, Endpoints, Hello, ReportRequest, ReportResponse, Revision, Stat,
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
    endpoints: watch::Receiver<Vec<Endpoints>>,
}

pub(crate) struct Controller {
    pub(crate) address: SocketAddr,
    heard: Arc<watch::Sender<Heard>>,
    endpoints: watch::Sender<Vec<Endpoints>>,
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
        let (endpoints, listed) = watch::channel(Vec::new());
        let service = Service { heard: Arc::clone(&heard), endpoints: listed };
        let serving = tonic::transport::Server::builder()
            .add_service(StatsServiceServer::new(service))
            .serve_with_incoming(TcpListenerStream::new(listener));
        let server = tokio::spawn(async move { serving.await.unwrap() });
        Self { address, heard, endpoints, server }
    }

    /// Says where the instances of a revision are.
    pub(crate) fn say(&self, name: &str, instances: &[(&str, SocketAddr, u32)]) {
        let endpoints = instances.iter().map(|(instance, address, limit)| Endpoint {
            instance: (*instance).to_owned(),
            address: address.to_string(),
            limit: *limit,
        });
        let said = Endpoints { revision: Some(revision(name)), endpoints: endpoints.collect() };
        self.endpoints.send_modify(|known| {
            known.retain(|known| known.revision != said.revision);
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
        let Self { heard, mut endpoints } = self.clone();
        endpoints.mark_changed();
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
                    changed = endpoints.changed() => {
                        if changed.is_err() {
                            return;
                        }
                        let known = endpoints.borrow_and_update().clone();
                        for endpoints in known {
                            let message = Some(Answer::Endpoints(endpoints));
                            let _ = answers.send(Ok(ReportResponse { message })).await;
                        }
                    }
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}
