//! The output of one report stream: only the newest message of each kind is pending.
//!
//! A reporter that reads slowly, or never, holds a directive, a number, and one list for each
//! revision, all of them shared among the streams that carry the same; and when it does read, it
//! receives the present state and not its history.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use tidegate_autoscaler::Timestamp;
use tidegate_proto::stats::v1 as wire;
use tidegate_proto::stats::v1::ReportResponse;
use tidegate_proto::stats::v1::report_response::Message as Outgoing;
use tidegate_routes::{Revision, Share};
use tidegate_shards::Shard;
use tokio::sync::watch;
use tokio_stream::Stream;
use tonic::Status;

use crate::clock::Clock;
use crate::declaration::{
    ActivatorPorts, HoldBounds, QueueRules, ServiceMode, TcpPort, queue_rules_to_wire,
};
use crate::error::CallError;
use crate::event::{Endpoint, ListScope, ServerMessage};
use crate::identity::RevisionId;
use crate::routes::RoutesNews;

/// The sending half. Never waits; clones send on the same stream.
#[derive(Debug, Clone)]
pub(crate) struct ResponseSender {
    shared: Arc<StreamState>,
}

/// The half that the reporter reads.
#[derive(Debug)]
pub(crate) struct ResponseStream {
    shared: Arc<StreamState>,
    clock: Clock,
    shard: Shard,
}

#[derive(Debug)]
struct StreamState {
    pending: Mutex<Pending>,
    /// Whether nothing more is going to be read, or is worth reading.
    is_over: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Pending {
    directive: Option<ServerMessage>,
    acknowledged: Option<u64>,
    endpoints: BTreeMap<RevisionId, (Arc<[Endpoint]>, ListScope)>,
    ports: BTreeMap<RevisionId, Arc<ActivatorPorts>>,
    overflow: Option<Arc<[SocketAddr]>>,
    holds: BTreeMap<RevisionId, HoldBounds>,
    queues: BTreeMap<RevisionId, Arc<QueueRules>>,
    routes: Option<Arc<RoutesNews>>,
    undeclared: BTreeSet<RevisionId>,
    end: Option<Result<(), CallError>>,
    waker: Option<Waker>,
}

/// How long the start of an instance is told of once it is ready: a request that waited for it is
/// on its way to it by then.
const START_TOLD_MS: u64 = 10_000;

/// Both ends of a stream; `clock` is that of the messages, and `shard` what the controller is.
pub(crate) fn pair(clock: Clock, shard: Shard) -> (ResponseSender, ResponseStream) {
    let shared =
        Arc::new(StreamState { pending: Mutex::default(), is_over: watch::Sender::new(false) });
    (ResponseSender { shared: Arc::clone(&shared) }, ResponseStream { shared, clock, shard })
}

impl ResponseSender {
    /// Sends a message, in place of an unread one about the same thing. What is sent after the end
    /// is dropped.
    pub(crate) fn send(&self, message: ServerMessage) {
        self.change(|pending| match message {
            _ if pending.end.is_some() => {}
            ServerMessage::Directive { .. } => pending.directive = Some(message),
            ServerMessage::Acknowledged { sequence } => pending.acknowledged = Some(sequence),
            ServerMessage::Endpoints { revision, endpoints, scope } => {
                // One that is declared again was told of once more: the news about it holds.
                pending.undeclared.remove(&revision);
                pending.endpoints.insert(revision, (endpoints, scope));
            }
            ServerMessage::ListenPorts { revision, ports } => {
                pending.ports.insert(revision, ports);
            }
            ServerMessage::Overflow { addresses } => pending.overflow = Some(addresses),
            ServerMessage::Routes { news } => pending.routes = Some(news),
            ServerMessage::HoldBounds { revision, bounds } => {
                pending.holds.insert(revision, bounds);
            }
            ServerMessage::QueueRules { revision, rules } => {
                pending.queues.insert(revision, rules);
            }
            ServerMessage::Undeclared { revision } => {
                pending.holds.remove(&revision);
                pending.queues.remove(&revision);
                pending.undeclared.insert(revision);
            }
        });
    }

    /// Ends the stream, with a reason or in order, once the pending messages are read. The
    /// first end holds.
    pub(crate) fn end(&self, end: Result<(), CallError>) {
        self.change(|pending| {
            pending.end.get_or_insert(end);
        });
        self.shared.is_over.send_replace(true);
    }

    /// Resolves when nothing more is going to be read, or is worth reading. Cancel safe.
    pub(crate) async fn closed(&self) {
        let mut over = self.shared.is_over.subscribe();
        // The sender lives as long as this stream.
        let _ = over.wait_for(|over| *over).await;
    }

    fn change(&self, change: impl FnOnce(&mut Pending)) {
        let mut pending = self.shared.pending.lock();
        change(&mut pending);
        if let Some(waker) = pending.waker.take() {
            waker.wake();
        }
    }
}

impl Pending {
    fn next(&mut self) -> Option<ServerMessage> {
        if let Some(directive) = self.directive.take() {
            return Some(directive);
        }
        if let Some(news) = self.routes.take() {
            return Some(ServerMessage::Routes { news });
        }
        if let Some((revision, (endpoints, scope))) = self.endpoints.pop_first() {
            return Some(ServerMessage::Endpoints { revision, endpoints, scope });
        }
        if let Some((revision, ports)) = self.ports.pop_first() {
            return Some(ServerMessage::ListenPorts { revision, ports });
        }
        if let Some(addresses) = self.overflow.take() {
            return Some(ServerMessage::Overflow { addresses });
        }
        if let Some((revision, bounds)) = self.holds.pop_first() {
            return Some(ServerMessage::HoldBounds { revision, bounds });
        }
        if let Some((revision, rules)) = self.queues.pop_first() {
            return Some(ServerMessage::QueueRules { revision, rules });
        }
        if let Some(revision) = self.undeclared.pop_first() {
            return Some(ServerMessage::Undeclared { revision });
        }
        self.acknowledged.take().map(|sequence| ServerMessage::Acknowledged { sequence })
    }
}

impl Stream for ResponseStream {
    type Item = Result<ReportResponse, Status>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut pending = self.shared.pending.lock();
        // A refusal voids the pending messages, so it does not wait for them to be read.
        match pending.end.take() {
            Some(Err(error)) => {
                *pending = Pending { end: Some(Ok(())), ..Pending::default() };
                return Poll::Ready(Some(Err(error.into())));
            }
            end => pending.end = end,
        }
        if let Some(message) = pending.next() {
            drop(pending);
            return Poll::Ready(Some(Ok(to_wire(message, self.clock.now(), self.shard))));
        }
        if pending.end.is_some() {
            return Poll::Ready(None);
        }
        pending.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Drop for ResponseStream {
    fn drop(&mut self) {
        *self.shared.pending.lock() = Pending { end: Some(Ok(())), ..Pending::default() };
        self.shared.is_over.send_replace(true);
    }
}

/// A message in its wire form, as of the moment when it is sent.
fn to_wire(message: ServerMessage, now: Timestamp, shard: Shard) -> ReportResponse {
    let message = match message {
        ServerMessage::Directive { report_interval_ms, history_seconds } => {
            Outgoing::Directive(wire::Directive {
                report_interval_ms,
                history_seconds,
                limit: None,
                drain: false,
                shard: shard.number().get().into(),
                shards: shard.of().get().into(),
            })
        }
        ServerMessage::Acknowledged { sequence } => Outgoing::Ack(wire::Ack { sequence }),
        ServerMessage::Endpoints { revision, endpoints, scope } => {
            Outgoing::Endpoints(wire::Endpoints {
                revision: Some((&revision).into()),
                starts: endpoints.iter().filter_map(|endpoint| start(endpoint, now)).collect(),
                endpoints: endpoints.iter().map(endpoint).collect(),
                partial: scope == ListScope::Partial,
            })
        }
        ServerMessage::ListenPorts { revision, ports } => {
            Outgoing::ListenPorts(wire::ListenPorts {
                revision: Some((&revision).into()),
                ports: ports.http.iter().copied().map(u32::from).collect(),
                tcp_ports: ports.tcp.iter().map(tcp_port).collect(),
                mode: match ports.mode {
                    ServiceMode::Proxy => wire::ServiceMode::Proxy.into(),
                    ServiceMode::Serve => wire::ServiceMode::Serve.into(),
                },
            })
        }
        ServerMessage::Overflow { addresses } => Outgoing::Overflow(wire::Overflow {
            addresses: addresses.iter().map(ToString::to_string).collect(),
        }),
        ServerMessage::Routes { news } => Outgoing::Routes(routes(&news)),
        ServerMessage::HoldBounds { revision, bounds } => Outgoing::HoldBounds(wire::HoldBounds {
            revision: Some((&revision).into()),
            max_waiting: bounds.max_waiting,
            longest_wait_ms: bounds.longest_wait_ms,
        }),
        ServerMessage::QueueRules { revision, rules } => {
            Outgoing::QueueRules(queue_rules_to_wire(&rules, &revision))
        }
        ServerMessage::Undeclared { revision } => Outgoing::Undeclared((&revision).into()),
    };
    ReportResponse { message: Some(message) }
}

/// How an instance came up, if that was a short while ago.
fn start(endpoint: &Endpoint, now: Timestamp) -> Option<wire::InstanceStart> {
    endpoint.start.ready.filter(|ready| now.millis_since(*ready) < START_TOLD_MS)?;
    let age_ms = |at| u32::try_from(now.millis_since(at)).unwrap_or(u32::MAX);
    let ages_ms = endpoint.start.map(age_ms);
    Some(wire::InstanceStart {
        instance: endpoint.instance.to_string(),
        decided_age_ms: ages_ms.decided,
        actuated_age_ms: ages_ms.actuated,
        started_age_ms: ages_ms.started,
        listening_age_ms: ages_ms.listening,
        ready_age_ms: ages_ms.ready,
    })
}

fn routes(news: &RoutesNews) -> wire::Routes {
    let share = |(revision, share): &(Revision, Share)| wire::RevisionShare {
        revision: Some(wire::Revision {
            namespace: revision.namespace.clone(),
            name: revision.name.clone(),
        }),
        millionths: share.millionths(),
    };
    let led = |(route, shares): &(String, Vec<(Revision, Share)>)| wire::RouteShares {
        route: route.clone(),
        shares: shares.iter().map(share).collect(),
    };
    wire::Routes { table: news.text.to_string(), led: news.led.iter().map(led).collect() }
}

fn endpoint(endpoint: &Endpoint) -> wire::Endpoint {
    wire::Endpoint {
        instance: endpoint.instance.to_string(),
        address: endpoint.address.to_string(),
        limit: endpoint.limit,
    }
}

fn tcp_port(port: &TcpPort) -> wire::TcpPort {
    wire::TcpPort {
        port: port.port.into(),
        addresses: port.addresses.iter().map(ToString::to_string).collect(),
    }
}

#[cfg(test)]
mod tests {
    use tidegate_proto::stats::v1::report_response::Message as Incoming;
    use tokio_stream::StreamExt;

    use super::*;

    fn list(revision: &str, instances: &[&str]) -> ServerMessage {
        let endpoint = |name: &&str| Endpoint {
            instance: crate::identity::InstanceName::new(name).expect("valid"),
            address: "127.0.0.1:1".into(),
            limit: 0,
            start: tidegate_timeline::Start::default(),
        };
        ServerMessage::Endpoints {
            revision: RevisionId::new("default", revision).expect("valid"),
            endpoints: instances.iter().map(endpoint).collect(),
            scope: ListScope::Whole,
        }
    }

    #[tokio::test]
    async fn a_late_reader_receives_the_present_state() {
        let (sender, mut responses) = pair(Clock::start(), Shard::ONLY);
        for sequence in 0..10_000 {
            sender.send(list("web", &["old"]));
            sender.send(ServerMessage::Acknowledged { sequence });
        }
        sender.send(list("api", &[]));
        sender.send(list("web", &["new-1", "new-2"]));
        sender.end(Ok(()));
        let mut received = Vec::new();
        while let Some(Ok(ReportResponse { message: Some(message) })) = responses.next().await {
            received.push(match message {
                Incoming::Endpoints(list) => list.endpoints.len(),
                Incoming::Ack(ack) => usize::try_from(ack.sequence).expect("small"),
                _ => panic!("none was sent"),
            });
        }
        assert_eq!(received, [0, 2, 9_999]);
    }

    #[tokio::test]
    async fn what_is_undeclared_and_declared_again_before_it_is_read_stays() {
        let revision = |name| RevisionId::new("default", name).expect("valid");
        let (sender, mut responses) = pair(Clock::start(), Shard::ONLY);
        for name in ["gone", "back"] {
            sender.send(list(name, &[]));
            sender.send(ServerMessage::Undeclared { revision: revision(name) });
        }
        sender.send(list("back", &["one"]));
        sender.end(Ok(()));
        let mut received = Vec::new();
        while let Some(Ok(ReportResponse { message: Some(message) })) = responses.next().await {
            received.push(match message {
                Incoming::Endpoints(list) => (list.revision.expect("one").name, "is there"),
                Incoming::Undeclared(revision) => (revision.name, "is forgotten"),
                _ => panic!("none was sent"),
            });
        }
        let expected = [("back", "is there"), ("gone", "is there"), ("gone", "is forgotten")];
        assert_eq!(received, expected.map(|(name, what)| (name.to_owned(), what)));
    }

    #[tokio::test]
    async fn an_end_is_sent_at_once_and_ends_both_sides() {
        let (sender, mut responses) = pair(Clock::start(), Shard::ONLY);
        sender.send(list("web", &["one"]));
        sender.end(Err(CallError::SecondHello));
        sender.end(Ok(()));
        sender.closed().await;
        let first = responses.next().await.expect("a message");
        let status = first.expect_err("it is an end");
        assert_eq!(status.message(), CallError::SecondHello.to_string());
        assert!(responses.next().await.is_none());
    }

    #[tokio::test]
    async fn a_dropped_reader_is_detected_and_holds_nothing() {
        let (sender, responses) = pair(Clock::start(), Shard::ONLY);
        let list: Arc<[Endpoint]> = Arc::from([]);
        let revision = RevisionId::new("default", "web").expect("valid");
        let message = || ServerMessage::Endpoints {
            revision: revision.clone(),
            endpoints: Arc::clone(&list),
            scope: ListScope::Whole,
        };
        sender.send(message());
        drop(responses);
        sender.closed().await;
        assert_eq!(Arc::strong_count(&list), 1);
        // The owner sends until it gets the end.
        sender.send(message());
        assert_eq!(Arc::strong_count(&list), 1);
    }
}
