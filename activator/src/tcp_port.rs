//! Ports whose connections are passed on as they are, whatever they carry.
//!
//! A connection is accepted at once, held while there is no instance, and then joined to one: its
//! first byte may be the instance's. While it is held it counts as a request of its revision that
//! waits, which is what wakes a revision at zero. From then on it counts at a port that the
//! controller gave to the sidecar beside the instance, which counts those that come without an
//! activator as well; at a configured one it counts here, and takes a place at its instance.
//! Nothing is read of it before an instance is there.
//!
//! What cannot be passed on is reset: to a client of an unknown protocol an orderly end would look
//! like an answer.

use std::net::SocketAddr;
use std::sync::Arc;

use tidegate_admission::Refusal;
use tidegate_relay::descriptors::Refusal as NoDescriptors;
use tidegate_relay::server::accept;
use tidegate_relay::splice::{Spliced, Terms, is_probe, left, reset, splice};
use tidegate_relay::{Drain, ForwardError, StreamLimits, proxy_protocol};
use tidegate_reporter::{Endpoint, RevisionName};
use tidegate_timeline::Timeline;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::balancers::{Balancers, Ends};
use crate::cold_start;
use crate::handler::ATTEMPTS_MAX;
use crate::metrics::{ConnectionOutcome, Metrics};
use crate::revision_throttler::{Instance, RevisionThrottler, Unreachable};
use crate::routing::Routes;
use crate::throttler::Throttler;

/// Such connections that an activator has at a time, held or passed on. Each takes two descriptors
/// of a process that has some ten thousands of them, and nobody bounds how long it lasts.
pub const CONNECTIONS_MAX: usize = 10_000;

/// What takes the connections to one port.
#[derive(Clone)]
pub(crate) struct TcpPort {
    pub(crate) whose: Whose,
    pub(crate) throttler: Arc<Throttler>,
    pub(crate) instances: Instances,
    /// Places of all such connections of this activator.
    pub(crate) places: Arc<Semaphore>,
    pub(crate) drain: Drain,
    pub(crate) metrics: Metrics,
    pub(crate) balancers: Balancers,
    pub(crate) announcement: Announcement,
    pub(crate) limits: StreamLimits,
}

/// Whose the connections are.
#[derive(Debug, Clone)]
pub(crate) enum Whose {
    /// This revision's.
    Revision(RevisionName),
    /// That of the revision to which this route leads when they come.
    OfRoute(Arc<Routes>, Arc<str>),
}

impl Whose {
    fn find(&self, throttler: &Throttler) -> Option<Arc<RevisionThrottler>> {
        match self {
            Self::Revision(revision) => throttler.of(revision),
            Self::OfRoute(routes, route) => routes.revision_of(route, throttler),
        }
    }

    /// What it is called in logs.
    fn name(&self) -> &str {
        match self {
            Self::Revision(revision) => &revision.name,
            Self::OfRoute(_, route) => route,
        }
    }
}

/// Which instances take the connections, and who counts those.
#[derive(Clone)]
pub(crate) enum Instances {
    /// Those behind this port, with a queue of its own: they take other connections than the
    /// sidecars do that the revision's requests go to. The sidecars count them.
    OfPort(Arc<RevisionThrottler>),
    /// The revision's: a connection is one of its requests, for as long as it lasts.
    OfRevision,
}

/// Whether an instance is told whose a connection is, which it sees coming from the activator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Announcement {
    /// It is not.
    #[default]
    Nothing,
    /// By a header of the PROXY protocol, version 2.
    ProxyHeader,
}

impl Announcement {
    /// What an instance gets before the client's first byte.
    fn of(self, ends: Ends) -> Vec<u8> {
        match (self, ends.reached) {
            (Self::ProxyHeader, Some(reached)) => proxy_protocol::header(ends.client, reached),
            // The client is what an instance wants to know.
            (Self::ProxyHeader, None) => proxy_protocol::header(ends.client, ends.client),
            (Self::Nothing, _) => Vec::new(),
        }
    }
}

/// The instances at these addresses; they take any number of connections.
pub(crate) fn instances(addresses: &[String]) -> Vec<Endpoint> {
    let named = |address: &String| Endpoint {
        instance: address.clone(),
        address: address.clone(),
        limit: 0,
    };
    addresses.iter().map(named).collect()
}

/// Places for all connections of an activator.
pub(crate) fn places() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(CONNECTIONS_MAX))
}

impl TcpPort {
    /// Accepts connections, each with a task of its own, until the activator closes.
    ///
    /// Cancel safe: connections that were accepted go on.
    pub(crate) async fn serve(self, listener: TcpListener) {
        let port = self.clone();
        let serve = move |client, peer| {
            let port = port.clone();
            async move { port.accept(client, peer).await }
        };
        accept(listener, (&self.drain, NoDescriptors::Close), serve).await;
    }

    async fn accept(self, mut client: TcpStream, peer: SocketAddr) {
        let _token = self.drain.enter();
        let Some(ends) = self.balancers.ends(&mut client, peer).await else { return };
        let _open = self.metrics.connection_opened();
        let outcome = self.pass_on(client, ends).await;
        if !matches!(outcome, ConnectionOutcome::PassedOn | ConnectionOutcome::Left) {
            let (of, outcome) = (self.whose.name(), outcome.label());
            tracing::info!(of, outcome, "a connection was reset");
        }
        self.metrics.connection_ended(outcome);
    }

    async fn pass_on(&self, client: TcpStream, ends: Ends) -> ConnectionOutcome {
        let Ok(_place) = self.places.try_acquire() else {
            reset(client);
            return ConnectionOutcome::TooMany;
        };
        let Some(revision) = self.whose.find(&self.throttler) else {
            reset(client);
            return ConnectionOutcome::UnknownRevision;
        };
        if is_probe(&client).await {
            return ConnectionOutcome::Left;
        }
        let seen = Instant::now();
        let (held, mut arrival) = match &self.instances {
            Instances::OfPort(instances) => (Some(revision.hold_connection()), instances.arrive()),
            Instances::OfRevision => (None, revision.arrive()),
        };
        for _ in 0..ATTEMPTS_MAX {
            let permit = tokio::select! {
                biased;
                permit = arrival.permit() => permit,
                () = left(&client) => return ConnectionOutcome::Left,
            };
            let permit = match permit {
                Ok(permit) => permit,
                Err(refusal) => {
                    reset(client);
                    return match refusal {
                        Refusal::QueueFull => ConnectionOutcome::QueueFull,
                        Refusal::WaitedTooLong => ConnectionOutcome::WaitedTooLong,
                    };
                }
            };
            let instance = permit.instance();
            match instance.upstream().open(permit.connect_budget()).await {
                Ok((upstream, took)) => {
                    instance.connected(took);
                    drop(held);
                    if arrival.is_cold() {
                        self.note_cold_start(seen, &revision, instance);
                    }
                    let terms = Terms { preface: self.announcement.of(ends), limits: self.limits };
                    let Spliced { request_bytes, response_bytes } =
                        splice(client, upstream, terms).await;
                    let of = self.whose.name();
                    tracing::debug!(of, request_bytes, response_bytes, "a connection ended");
                    return ConnectionOutcome::PassedOn;
                }
                Err(error @ ForwardError::NoDescriptors { .. }) => {
                    tracing::warn!(%error, "a connection cannot be passed on");
                    reset(client);
                    return ConnectionOutcome::TooMany;
                }
                Err(error) => {
                    let how = Unreachable::of(&error).unwrap_or(Unreachable::Refused);
                    let name = instance.name();
                    tracing::info!(instance = name, %error, "an instance is unreachable");
                    self.metrics.ejected(how);
                    self.metrics.retried();
                    instance.unreachable(how);
                }
            }
        }
        arrival.mark_failed();
        reset(client);
        ConnectionOutcome::Unreachable
    }

    /// A connection that was seen at `seen`, when there was no instance, was joined to one: whose
    /// sidecar it is tells how it came up. The first byte is nobody's to wait for.
    fn note_cold_start(&self, seen: Instant, revision: &RevisionThrottler, joined: &Instance) {
        let host = joined.host();
        let found = host.and_then(|host| revision.start_at(host));
        let (name, start) = found.unwrap_or_else(|| (joined.name().to_owned(), None));
        let timeline = Timeline::of(cold_start::after(start, seen), seen.elapsed(), None);
        self.metrics.cold_started(&timeline);
        revision.note_cold_start(seen, &name, timeline);
    }
}
