//! A controller that records what it receives, and whose streams can be cut.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use tidegate_proto::stats::v1::report_request::Message as Incoming;
use tidegate_proto::stats::v1::report_response::Message as Outgoing;
use tidegate_proto::stats::v1::stats_service_server::{StatsService, StatsServiceServer};
use tidegate_proto::stats::v1::{
    Ack, Directive, Endpoints, Hello, ReportRequest, ReportResponse, RevisionInstances,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::transport::server::Connected;
use tonic::{Request, Response, Status, Streaming};

/// What is done to the streams that are open now.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// Their TCP connections end, at whatever byte they are.
    CutEveryStream,
}

/// What was received so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    pub(crate) hellos: Vec<Hello>,
    /// Sequence numbers as they came, repeated ones too.
    pub(crate) in_order: Vec<u64>,
    pub(crate) distinct: BTreeSet<u64>,
    /// The instances that the last stream knew, by revision.
    pub(crate) known: Vec<RevisionInstances>,
}

#[derive(Debug, Clone)]
struct Service {
    seen: watch::Sender<Seen>,
    first_directive: Arc<Mutex<Directive>>,
    messages: broadcast::Sender<Outgoing>,
}

pub(crate) struct FakeController {
    service: Service,
    faults: broadcast::Sender<Fault>,
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
}

impl FakeController {
    pub(crate) async fn start() -> Self {
        // The next one may be started where this one was.
        Self::start_at(tidegate_reserved_port::reserve().expect("a port")).await
    }

    pub(crate) async fn start_at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.expect("the address is free");
        let address = listener.local_addr().expect("its address");
        let service = Service {
            seen: watch::Sender::new(Seen::default()),
            first_directive: Arc::default(),
            messages: broadcast::Sender::new(64),
        };
        let faults = broadcast::Sender::new(64);
        let (stop, stopped) = oneshot::channel::<()>();
        let connections = accept_all(listener, faults.clone());
        let serving = tonic::transport::Server::builder()
            .add_service(StatsServiceServer::new(service.clone()))
            .serve_with_incoming(connections);
        let server = tokio::spawn(async move {
            tokio::select! { _ = serving => {}, _ = stopped => {} }
        });
        Self { service, faults, address, stop, server }
    }

    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn socket_address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn begin_with(&self, directive: Directive) {
        *self.service.first_directive.lock().expect("not poisoned") = directive;
    }

    pub(crate) fn send_directive(&self, directive: Directive) {
        self.service.messages.send(Outgoing::Directive(directive)).expect("a stream is open");
    }

    pub(crate) fn send_endpoints(&self, endpoints: Endpoints) {
        self.service.messages.send(Outgoing::Endpoints(endpoints)).expect("a stream is open");
    }

    pub(crate) fn fault(&self, fault: Fault) {
        // With no connection open there is nothing to cut.
        let _ = self.faults.send(fault);
    }

    pub(crate) fn seen(&self) -> Seen {
        self.service.seen.borrow().clone()
    }

    pub(crate) async fn wait_for_stats(&self, count: usize) {
        self.wait(|seen| seen.in_order.len() >= count).await;
    }

    pub(crate) async fn wait_for_sequence(&self, sequence: u64) {
        self.wait(|seen| seen.in_order.iter().any(|number| *number >= sequence)).await;
    }

    pub(crate) async fn wait(&self, enough: impl FnMut(&Seen) -> bool) {
        self.service.seen.subscribe().wait_for(enough).await.expect("the controller lives");
    }

    pub(crate) async fn stop(self) {
        drop(self.stop);
        let _ = self.faults.send(Fault::CutEveryStream);
        self.server.await.expect("the server ends");
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
        let first_directive = *self.first_directive.lock().expect("not poisoned");
        tokio::spawn(self.clone().serve_stream(request.into_inner(), responses, first_directive));
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

impl Service {
    async fn serve_stream(
        self,
        mut inbound: Streaming<ReportRequest>,
        responses: mpsc::Sender<Result<ReportResponse, Status>>,
        first_directive: Directive,
    ) {
        let mut messages = self.messages.subscribe();
        let respond = |message| responses.send(Ok(ReportResponse { message: Some(message) }));
        if respond(Outgoing::Directive(first_directive)).await.is_err() {
            return;
        }
        loop {
            tokio::select! {
                received = inbound.message() => match received {
                    Ok(Some(ReportRequest { message: Some(received) })) => {
                        let Some(sequence) = self.receive(received) else { continue };
                        if respond(Outgoing::Ack(Ack { sequence })).await.is_err() {
                            return;
                        }
                    }
                    _ => return,
                },
                message = messages.recv() => {
                    let Ok(message) = message else { return };
                    if respond(message).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    fn receive(&self, received: Incoming) -> Option<u64> {
        let stats = match received {
            Incoming::Hello(hello) => {
                self.seen.send_modify(|seen| seen.hellos.push(hello));
                return None;
            }
            Incoming::Stat(stat) => vec![stat],
            Incoming::History(history) => history.stats,
            Incoming::KnownInstances(known) => {
                self.seen.send_modify(|seen| seen.known = known.revisions);
                return None;
            }
        };
        self.seen.send_modify(|seen| {
            for stat in &stats {
                seen.in_order.push(stat.sequence);
                seen.distinct.insert(stat.sequence);
            }
        });
        stats.last().map(|stat| stat.sequence)
    }
}

fn accept_all(
    listener: TcpListener,
    faults: broadcast::Sender<Fault>,
) -> impl Stream<Item = std::io::Result<Mortal>> {
    tokio_stream::wrappers::TcpListenerStream::new(listener).map(move |stream| {
        let mut faults = faults.subscribe();
        let death = Box::pin(async move { drop(faults.recv().await) });
        stream.map(|stream| Mortal { stream, death, dead: false })
    })
}

/// A connection that ends when it is told to.
struct Mortal {
    stream: TcpStream,
    death: Pin<Box<dyn Future<Output = ()> + Send>>,
    dead: bool,
}

impl Mortal {
    fn check(&mut self, context: &mut Context<'_>) -> std::io::Result<()> {
        self.dead = self.dead || self.death.as_mut().poll(context).is_ready();
        if self.dead { Err(std::io::ErrorKind::ConnectionReset.into()) } else { Ok(()) }
    }
}

impl AsyncRead for Mortal {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Mortal {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl Connected for Mortal {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}
