//! Ports whose connections are passed on as they are, whatever they carry.
//!
//! A connection is accepted at once, held while there is no instance, and then joined to one: its
//! first byte may be the instance's. While it is held it counts as a request of its revision that
//! waits, which is what wakes a revision at zero; from then on the sidecar beside the instance
//! counts it, as it counts those that come without an activator. Nothing is read of it before an
//! instance is there.
//!
//! What cannot be passed on is reset: to a client of an unknown protocol an orderly end would look
//! like an answer.

use std::sync::Arc;
use std::time::Duration;

use tidegate_admission::Refusal;
use tidegate_relay::splice::{Spliced, left, reset, splice};
use tidegate_relay::{Drain, Phase};
use tidegate_reporter::{Endpoint, RevisionName};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::handler::ATTEMPTS_MAX;
use crate::metrics::{ConnectionOutcome, Metrics};
use crate::revision_throttler::{RevisionThrottler, Unreachable};
use crate::throttler::Throttler;

/// Such connections that an activator has at a time, held or passed on. Each takes two descriptors
/// of a process that has some ten thousands of them, and nobody bounds how long it lasts.
pub const CONNECTIONS_MAX: usize = 10_000;

/// How long a client that has sent nothing is looked at before it counts. Load balancers and the
/// controller connect and close at once to see whether a port is open: that must wake nothing, and
/// reach no instance. A client that speaks first does not wait.
const PROBE_GRACE: Duration = Duration::from_millis(20);

/// What takes the connections to one port.
#[derive(Clone)]
pub(crate) struct TcpPort {
    pub(crate) revision: RevisionName,
    pub(crate) throttler: Arc<Throttler>,
    /// The instances behind this port, with a queue of its own: they take other connections than
    /// the sidecars do that the revision's requests go to.
    pub(crate) instances: Arc<RevisionThrottler>,
    /// Places of all such connections of this activator.
    pub(crate) places: Arc<Semaphore>,
    pub(crate) drain: Drain,
    pub(crate) metrics: Metrics,
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
        let mut token = self.drain.enter();
        loop {
            let accepted = std::future::poll_fn(|cx| match token.poll_phase(cx) {
                Phase::Closing => std::task::Poll::Ready(None),
                Phase::Serving | Phase::Draining => listener.poll_accept(cx).map(Some),
            });
            match accepted.await {
                None => return,
                Some(Ok((client, _))) => {
                    let port = self.clone();
                    tokio::spawn(async move { port.accept(client).await });
                }
                Some(Err(error)) => {
                    tracing::warn!(%error, revision = ?self.revision, "cannot accept a connection");
                    sleep(tidegate_relay::server::ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn accept(self, client: TcpStream) {
        let _token = self.drain.enter();
        let _open = self.metrics.connection_opened();
        let outcome = self.pass_on(client).await;
        if !matches!(outcome, ConnectionOutcome::PassedOn | ConnectionOutcome::Left) {
            let (revision, outcome) = (&self.revision, outcome.label());
            tracing::info!(?revision, outcome, "a connection was reset");
        }
        self.metrics.connection_ended(outcome);
    }

    async fn pass_on(&self, client: TcpStream) -> ConnectionOutcome {
        let Ok(_place) = self.places.try_acquire() else {
            reset(client);
            return ConnectionOutcome::TooMany;
        };
        let Some(revision) = self.throttler.of(&self.revision) else {
            reset(client);
            return ConnectionOutcome::UnknownRevision;
        };
        if let Ok(Ok(0) | Err(_)) = timeout(PROBE_GRACE, client.peek(&mut [0])).await {
            return ConnectionOutcome::Left;
        }
        let held = revision.hold_connection();
        let mut arrival = self.instances.arrive();
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
                    let Spliced { request_bytes, response_bytes } = splice(client, upstream).await;
                    let revision = &self.revision;
                    tracing::debug!(?revision, request_bytes, response_bytes, "a connection ended");
                    return ConnectionOutcome::PassedOn;
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
        reset(client);
        ConnectionOutcome::Unreachable
    }
}
