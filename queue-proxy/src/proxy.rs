//! The data path: what happens to a request on the main listener.
//!
//! A probe gets its response here. Anything else restarts the drain's quiet period, has its head
//! rewritten, passes the gate, is forwarded (to the app, or to an activator when it would wait for
//! long), and is published to the observers. The slot is held by
//! the permit that the exchange drops when the app is done with it, and by nothing else.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::HeaderMap;
use tidegate_admission::credits::DoorId;
use tidegate_admission::{Abandoned, Source};
use tidegate_knative::headers;
use tidegate_relay::host::{self, MalformedHost};
use tidegate_relay::{
    Cause, CauseHeader, ConnectPatience, Exchange, Forward, ForwardError, Guard, Handler, Reply,
    TimeLimits, Upstream, forwarded,
};
use tokio::time::Instant;

use crate::adaptive_limit::AdaptiveLimit;
use crate::dispatch::{self, Kind};
use crate::drain::Draining;
use crate::error::Failure;
use crate::front_doors::FrontDoors;
use crate::gate::{Admission, Gate, Permit};
use crate::metrics::ExchangeOutcome;
use crate::observe::{Observers, RequestTimestamps};
use crate::overflow::{self, Overflow};
use crate::probe::Prober;
use crate::respond::{self, RefusalStyle};

/// What all data threads share.
#[derive(Debug, Clone)]
pub struct ProxyContext {
    /// Admits requests up to the limit.
    pub gate: Gate,
    /// The limit that follows latency, if it does.
    pub capacity: Option<AdaptiveLimit>,
    /// Whether the sidecar drains.
    pub draining: Draining,
    /// Whether the app is ready.
    pub prober: Prober,
    /// Limits in time.
    pub limits: TimeLimits,
    /// What becomes of the slot of a request whose client has gone.
    pub abandoned: Abandoned,
    /// The secret that the activator's requests carry, if there is one.
    pub activator_secret: Option<Arc<str>>,
    /// Who may hold credits of the gate.
    pub front_doors: FrontDoors,
    /// Whether the sidecar's own responses carry their cause in a header.
    pub cause_header: CauseHeader,
    /// Status and headers of refusals.
    pub refusal_style: RefusalStyle,
    /// Metrics, logs, traces and the recording.
    pub observers: Observers,
}

/// The handler of the main listener on one data thread.
pub struct Proxy {
    shared: ProxyContext,
    /// Connections belong to the event loop that opened them.
    upstream: Arc<Upstream>,
    overflow: Arc<Overflow>,
}

/// Where a request goes that the gate was asked about.
enum Admitted {
    /// To the app.
    Here(Permit),
    /// An activator took it, and has responded.
    HandedOn,
}

/// Holds the slot while the app is at work, and records when it was done: the time of a client that
/// reads slowly is not the app's.
struct Slot {
    permit: Permit,
    abandoned: Abandoned,
    left: Option<Arc<OnceLock<Instant>>>,
}

impl Guard for Slot {
    fn abandoned(&mut self) -> Option<Duration> {
        self.permit.abandon(self.abandoned)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(left) = &self.left {
            // It is dropped once.
            let _ = left.set(Instant::now());
        }
    }
}

impl Proxy {
    /// A handler that forwards to `upstream`, and hands on to `overflow` what would wait for long.
    pub fn new(shared: ProxyContext, upstream: Arc<Upstream>, overflow: Arc<Overflow>) -> Self {
        Self { shared, upstream, overflow }
    }

    async fn forward(&self, exchange: &mut Exchange) -> RequestTimestamps {
        let mut timestamps = RequestTimestamps::default();
        let hop = previous_hop(&mut exchange.head_mut().headers, &self.shared);
        let credit = self.shared.front_doors.take_credit(&mut exchange.head_mut().headers);
        // Nobody else may claim a place.
        let credit = credit.filter(|_| hop == PreviousHop::Activator);
        match self.dispatch(exchange, (hop, credit), &mut timestamps).await {
            // Whatever an activator did with a request says nothing of this instance.
            Ok(()) if timestamps.entered.is_none() => {}
            Ok(()) => self.shared.served(exchange, timestamps),
            Err(failure) => self.fail(exchange, &failure, hop, &mut timestamps).await,
        }
        timestamps
    }

    /// Rewrites the head, waits for a slot and sends the request to the app.
    async fn dispatch(
        &self,
        exchange: &mut Exchange,
        (hop, credit): (PreviousHop, Option<(DoorId, u64)>),
        timestamps: &mut RequestTimestamps,
    ) -> Result<(), Failure> {
        let source = prepare(exchange, hop, &self.shared)?;
        let Admitted::Here(permit) = self.admit(exchange, source, credit).await? else {
            return Ok(());
        };
        timestamps.entered = Some(Instant::now());
        if let Some(metrics) = &self.shared.observers.metrics {
            metrics.admitted(self.shared.gate.levels());
        }
        let left = self.shared.is_timed().then(Arc::default);
        let slot = Slot { permit, abandoned: self.shared.abandoned, left: left.clone() };
        let connect = ConnectPatience::Growing;
        let forward = Forward { limits: self.shared.limits, connect, guard: slot };
        let outcome = exchange.forward(&self.upstream, forward).await;
        timestamps.left = left.and_then(|left| left.get().copied());
        Ok(outcome?)
    }

    async fn admit(
        &self,
        exchange: &mut Exchange,
        source: Source,
        credit: Option<(DoorId, u64)>,
    ) -> Result<Admitted, Failure> {
        match self.shared.gate.arrive_with(source, credit) {
            Admission::Entered(permit) => Ok(Admitted::Here(permit)),
            // Boxed, so that a request that enters at once has no room for a wait.
            other => Box::pin(self.wait_or_hand_on(exchange, source, other)).await,
        }
    }

    /// Waits for a slot, or has an activator take the request if it would wait for long.
    async fn wait_or_hand_on(
        &self,
        exchange: &mut Exchange,
        source: Source,
        mut admission: Admission,
    ) -> Result<Admitted, Failure> {
        let gate = &self.shared.gate;
        let is_due = match &admission {
            Admission::Entered(_) => false,
            Admission::Waiting(_) => overflow::is_due(gate.levels()),
            Admission::Refused(_) => true,
        };
        // What an activator has sent comes from where it would be handed on to.
        if is_due && source == Source::Direct && self.overflow.is_named() {
            // Its place in the queue is free while it is elsewhere.
            drop(admission);
            if self.hand_on(exchange).await? {
                return Ok(Admitted::HandedOn);
            }
            admission = gate.arrive(source);
        }
        match admission {
            Admission::Entered(permit) => Ok(Admitted::Here(permit)),
            Admission::Refused(refusal) => Err(refusal.into()),
            Admission::Waiting(place) => {
                Ok(Admitted::Here(exchange.hold(self.shared.limits, place).await??))
            }
        }
    }

    /// Hands the request on to an activator. Gives whether one took it; if none did, nothing of the
    /// request was sent.
    async fn hand_on(&self, exchange: &mut Exchange) -> Result<bool, Failure> {
        let metrics = self.shared.observers.metrics.as_ref();
        for _ in 0..overflow::ATTEMPTS_MAX {
            let Some(activator) = self.overflow.next() else { break };
            let (limits, connect) = (self.shared.limits, overflow::CONNECT);
            let forward = Forward { limits, connect, guard: () };
            let outcome = exchange.forward(&activator, forward).await;
            let is_unsent = outcome.as_ref().is_err_and(ForwardError::is_unsent);
            if is_unsent && !exchange.has_responded() {
                continue;
            }
            if let Some(metrics) = metrics {
                metrics.handed_on();
            }
            return outcome.map(|()| true).map_err(Failure::from);
        }
        Ok(false)
    }

    /// Counts the failure, logs it and responds with it, unless the response has begun. A client
    /// that has gone is counted apart: nothing failed.
    async fn fail(
        &self,
        exchange: &mut Exchange,
        failure: &Failure,
        hop: PreviousHop,
        timestamps: &mut RequestTimestamps,
    ) {
        let shared = &self.shared;
        let responded = exchange.has_responded();
        if responded {
            timestamps.outcome = ExchangeOutcome::Aborted;
        }
        shared.count(failure);
        let reply = failure.reply(shared.refusal_style);
        let Some((cause, reply)) = failure.cause().zip(reply) else {
            if let Some(metrics) = &shared.observers.metrics {
                metrics.left();
            }
            return;
        };
        // Whatever ended a response that had begun, its client sees one that is cut short.
        let cause = if responded { Cause::CutShort } else { cause };
        timestamps.cause = Some(cause);
        if let Some(metrics) = &shared.observers.metrics {
            metrics.failed(cause);
        }
        let (label, status) = (cause.label(), reply.status.as_u16());
        match failure {
            Failure::Forward(error) if responded => {
                tracing::warn!(cause = label, "a response was cut short: {error}");
            }
            Failure::Forward(error) => {
                tracing::error!(cause = label, status, "a request failed: {error}");
            }
            refused => tracing::info!(cause = label, status, "a request was refused: {refused}"),
        }
        if !responded {
            // An error means that the client has gone: there is nothing left to do.
            let _ = exchange.respond(shared.mark(hop, reply, cause)).await;
        }
    }
}

/// Where a request came from, which decides who writes the client's error response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PreviousHop {
    /// A client: the sidecar writes it.
    Client,
    /// The activator: it writes the error, and gets the cause in a header.
    Activator,
}

impl Handler for Proxy {
    async fn handle(&self, exchange: &mut Exchange) {
        let shared = &self.shared;
        if shared.front_doors.is_asked(exchange.head()) {
            // Boxed, so that a request has no room for a stream.
            return Box::pin(shared.front_doors.serve(exchange, &shared.gate)).await;
        }
        let observation = shared.observers.begin(exchange);
        let kind = dispatch::classify(&exchange.head().headers);
        let timestamps = if kind == Kind::Traffic {
            self.forward(exchange).await
        } else {
            let response = dispatch::respond(kind, &shared.draining, &shared.prober);
            // A prober that gives up does not stop the probe.
            if let Ok(reply) = exchange.hold(TimeLimits::default(), response).await {
                let _ = exchange.respond(reply).await;
            }
            RequestTimestamps::default()
        };
        if let Some(observation) = observation {
            shared.observers.finish(&observation, exchange, timestamps);
        }
    }
}

impl ProxyContext {
    /// The response with its cause, for readers that get it.
    fn mark(&self, hop: PreviousHop, reply: Reply, cause: Cause) -> Reply {
        match hop {
            PreviousHop::Client => self.cause_header.mark(reply, cause),
            PreviousHop::Activator => respond::marked(reply, cause),
        }
    }

    /// A request got no response from the app. What a client caused, and what the queue refuses, is
    /// no failure of the app that autoscalers are to count.
    fn count(&self, failure: &Failure) {
        let metrics = self.observers.metrics.as_ref();
        match failure {
            Failure::Refused(refusal) => {
                if let Some(metrics) = metrics {
                    metrics.refused(*refusal);
                }
            }
            Failure::Forward(error) => {
                if let Some(metrics) = metrics.filter(|_| error.is_unsent()) {
                    metrics.connect_failed();
                }
                if error.cause().is_some() {
                    self.observers.outcomes.failed();
                }
            }
            Failure::Malformed(_) | Failure::Interrupted(_) => {}
        }
    }

    /// Whether the app's service time is needed.
    fn is_timed(&self) -> bool {
        self.observers.are_enabled() || self.observers.outcomes.is_read() || self.capacity.is_some()
    }

    /// A request was served: its outcome goes to the controller, and its time into the adaptive
    /// limit.
    fn served(&self, exchange: &Exchange, timestamps: RequestTimestamps) {
        if !(self.observers.outcomes.is_read() || self.capacity.is_some()) {
            return;
        }
        let status = exchange.report().status;
        // What an upgraded connection lasts is no service time.
        let upgraded = status == Some(http::StatusCode::SWITCHING_PROTOCOLS);
        let service = timestamps.service().filter(|_| !upgraded);
        self.observers.outcomes.responded(status, service);
        if let Some((capacity, service)) = self.capacity.as_ref().zip(service) {
            capacity.sample(service, &self.gate);
        }
    }
}

/// Rewrites the head for the app. Gives how the request is counted.
fn prepare(
    exchange: &mut Exchange,
    hop: PreviousHop,
    shared: &ProxyContext,
) -> Result<Source, MalformedHost> {
    shared.draining.touch();
    let peer = exchange.peer();
    let head = exchange.head_mut();
    let original_host = host::in_field(&head.headers, headers::ORIGINAL_HOST)?;
    let proxied = head.headers.get(headers::PROXY_REQUEST) == Some(&headers::ACTIVATOR);
    if head.headers.contains_key(headers::KUBELET_PROBE) {
        // A mesh marks the kubelet's probes so. They are not demand; but as any client can set the
        // header, they pass the gate like any request.
        shared.observers.outcomes.uncounted();
    } else {
        head.headers.remove(headers::ORIGINAL_HOST);
        head.host = original_host.or(head.host.take());
    }
    headers::strip_routing(&mut head.headers);
    if let Some(peer) = peer {
        forwarded::add_forwarded(&mut head.headers);
        // An IPv4 client of a dual-stack listener is known by its IPv4 address. The activator has
        // appended its client's address, and must not add a hop of its own: whether it is in the
        // path depends on load.
        if hop == PreviousHop::Client {
            forwarded::append_forwarded_for(&mut head.headers, peer.ip().to_canonical());
        }
    }
    Ok(if proxied { Source::Proxied } else { Source::Direct })
}

/// A request that carries the activator's secret came through it. The secret never reaches the
/// app.
fn previous_hop(headers: &mut HeaderMap, shared: &ProxyContext) -> PreviousHop {
    let Some(secret) = &shared.activator_secret else { return PreviousHop::Client };
    match headers.remove(tidegate_proto::FRONT_DOOR_HEADER) {
        Some(value) if value.as_bytes() == secret.as_bytes() => PreviousHop::Activator,
        _ => PreviousHop::Client,
    }
}
