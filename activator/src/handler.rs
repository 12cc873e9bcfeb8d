//! One request from the client to an instance and back.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tidegate_admission::Abandoned;
use tidegate_knative::headers;
use tidegate_proto::failure;
use tidegate_relay::http::HeaderMap;
use tidegate_relay::http::header::{HeaderName, HeaderValue};
use tidegate_relay::{
    ConnectPatience, Drain, Exchange, Forward, ForwardError, Guard, Handler, Interrupted,
    RequestHead, TimeLimits, forwarded, host,
};

use crate::answers::Failure;
use crate::metrics::Metrics;
use crate::probe;
use crate::revision_throttler::{InFlightGuard, Instance, Permit, Unreachable};
use crate::route::{self, RouteKey};
use crate::tally::{Cause, Tally};
use crate::throttler::Throttler;

const FRONT_DOOR: HeaderName = HeaderName::from_static(tidegate_proto::FRONT_DOOR_HEADER);
const FAILURE: HeaderName = HeaderName::from_static(tidegate_proto::FAILURE_HEADER);
/// Our listener speaks nothing else; whoever ends TLS in front of us says so.
const HTTP: HeaderValue = HeaderValue::from_static("http");

/// A request is offered to this many instances at most. Each that cannot be reached is left alone
/// for a while, so more than this many dead ones in a row are no coincidence.
const ATTEMPTS_MAX: u32 = 64;

/// Handles every request of the listener.
#[derive(Clone)]
pub(crate) struct ActivatorHandler {
    pub(crate) doors: Arc<Throttler>,
    pub(crate) limits: TimeLimits,
    pub(crate) abandoned: Abandoned,
    pub(crate) drain: Drain,
    pub(crate) tally: Arc<Tally>,
    pub(crate) metrics: Metrics,
    /// Why there will be no instance, once that is so.
    pub(crate) closed: Arc<OnceLock<String>>,
    /// See [`Config::sidecar_secret`](crate::Config::sidecar_secret).
    pub(crate) sidecar_secret: Option<HeaderValue>,
    /// See [`Config::obituary_wait`](crate::Config::obituary_wait).
    pub(crate) obituary_wait: Duration,
}

/// Holds the room at an instance while the instance is at work.
struct Sent {
    passage: Permit,
    abandoned: Abandoned,
}

impl Guard for Sent {
    fn abandoned(&mut self) -> Option<Duration> {
        self.passage.abandon(self.abandoned)
    }
}
/// How often it is looked whether an instance has ended.
const OBITUARY_POLL: Duration = Duration::from_millis(2);

impl Handler for ActivatorHandler {
    async fn handle(&self, exchange: &mut Exchange) {
        if let Some(reply) = probe::answer(exchange.head(), self.drain.phase()) {
            // An error says that the client has gone; then nobody is left to be told.
            let _ = exchange.respond(reply).await;
            return;
        }
        let door = claim(exchange.head())
            .and_then(|claim| self.doors.find(&claim).ok_or(Failure::UnknownRevision));
        let door = match door {
            Ok(door) => door,
            Err(failure) => {
                self.fail(exchange, &failure).await;
                return;
            }
        };
        let mut visit = door.arrive();
        match self.pass(exchange, &mut visit).await {
            Ok(()) => {
                let status = exchange.report().status.map_or(0, |status| status.as_u16());
                let latency = exchange.started().elapsed();
                self.tally.answered(status, latency);
                self.metrics.answered(status, latency);
            }
            Err(failure) => {
                if failure.is_instances() {
                    visit.mark_failed();
                }
                tracing::debug!(revision = ?door.revision(), %failure, "request failed");
                self.fail(exchange, &failure).await;
            }
        }
    }
}

impl ActivatorHandler {
    /// Waits for an instance, sends the request, and asks for another one as long as nothing of it
    /// was sent.
    async fn pass(
        &self,
        exchange: &mut Exchange,
        visit: &mut InFlightGuard,
    ) -> Result<(), Failure> {
        let peer = exchange.peer().map(|peer| peer.ip());
        rewrite(exchange.head_mut(), peer);
        if let Some(secret) = &self.sidecar_secret {
            introduce(exchange, secret);
        }
        for _ in 0..ATTEMPTS_MAX {
            if let Some(reason) = self.closed.get() {
                return Err(Failure::GivenUp(reason.clone()));
            }
            let passage = match exchange.hold(self.limits, visit.permit()).await? {
                Ok(passage) => passage,
                Err(refusal) => {
                    return Err(match self.closed.get() {
                        Some(reason) => Failure::GivenUp(reason.clone()),
                        None => refusal.into(),
                    });
                }
            };
            let instance = passage.instance().clone();
            let forward = Forward {
                limits: self.limits,
                connect: ConnectPatience::Once(passage.connect_budget()),
                guard: Sent { passage, abandoned: self.abandoned },
            };
            let outcome = exchange.forward(instance.upstream(), forward).await;
            if let Some(took) = exchange.report().connect {
                instance.connected(took);
            }
            let Err(error) = outcome else { return Ok(()) };
            if let Some(how) = Unreachable::of(&error) {
                tracing::info!(instance = instance.name(), %error, "an instance is unreachable");
                self.metrics.ejected(how);
                instance.unreachable(how);
            }
            if never_reached_app(&error, exchange) {
                self.metrics.retried();
                continue;
            }
            let failure = Failure::from(error);
            return Err(match failure.cause() {
                Some(Cause::AppClosed) if !exchange.has_responded() => {
                    Failure::Lost(self.obituary(&instance).await)
                }
                _ => failure,
            });
        }
        Err(Failure::Unreachable { attempts: ATTEMPTS_MAX })
    }

    /// Whether an instance that closed its connection has ended. A connection breaks a moment
    /// before anybody can tell why.
    async fn obituary(&self, instance: &Instance) -> Cause {
        let ended = async {
            while instance.is_listed() {
                tokio::time::sleep(OBITUARY_POLL).await;
            }
        };
        match tokio::time::timeout(self.obituary_wait, ended).await {
            Ok(()) => Cause::AppDied,
            Err(_) => Cause::AppClosed,
        }
    }

    /// Counts the failure and answers with it, unless the client has gone or has had the beginning
    /// of an answer.
    async fn fail(&self, exchange: &mut Exchange, failure: &Failure) {
        if matches!(
            failure,
            Failure::Interrupted(Interrupted::ClientGone)
                | Failure::Forward(ForwardError::ClientGone)
        ) {
            return;
        }
        if exchange.has_responded() {
            let status = exchange.report().status.map_or(0, |status| status.as_u16());
            self.tally.failed(status, Cause::CutShort);
            return;
        }
        let reply = failure.reply(exchange.head());
        if let Some(cause) = failure.cause() {
            self.tally.failed(failure.status().as_u16(), cause);
        }
        let _ = exchange.respond(reply).await;
    }
}

/// Whether no app has seen anything of the request, so that it may be sent to another: nothing
/// could be sent, or a sidecar of ours says that it could not pass on what is still here. An app
/// that binds its port for a moment to see whether it is free is taken for ready by that.
fn never_reached_app(error: &ForwardError, exchange: &Exchange) -> bool {
    let unsent = match error {
        ForwardError::Declined { reason, .. } => {
            reason == failure::UNREACHABLE && exchange.report().request_bytes == 0
        }
        error => error.is_unsent(),
    };
    unsent && !exchange.has_responded()
}

/// Tells the sidecar that we are its front door, and the app what only the first of us can know.
fn introduce(exchange: &mut Exchange, secret: &HeaderValue) {
    exchange.decline_marked(FAILURE);
    let head = exchange.head_mut();
    head.headers.insert(FRONT_DOOR, secret.clone());
    if !head.headers.contains_key(forwarded::X_FORWARDED_PROTO) {
        head.headers.insert(forwarded::X_FORWARDED_PROTO, HTTP);
    }
}

/// What the request says about its revision.
fn claim(head: &RequestHead) -> Result<RouteKey<'_>, Failure> {
    host::in_field(&head.headers, headers::ORIGINAL_HOST).map_err(|_| Failure::MalformedRoute)?;
    Ok(RouteKey {
        revision: route(&head.headers, headers::SERVING_REVISION)?,
        namespace: route(&head.headers, headers::SERVING_NAMESPACE)?,
        host: head.host.as_ref().and_then(|host| host.to_str().ok()),
    })
}

/// The one value of a routing header. What is repeated or no name must not fall back to the host:
/// two readers would find two revisions.
fn route(headers: &HeaderMap, name: HeaderName) -> Result<Option<&str>, Failure> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => {
            let value = value.to_str().map_err(|_| Failure::MalformedRoute)?;
            let name = route::is_name(value) || value.is_empty();
            name.then_some(Some(value)).ok_or(Failure::MalformedRoute)
        }
        (Some(_), Some(_)) => Err(Failure::MalformedRoute),
    }
}

/// What the instance's sidecar must and must not see.
fn rewrite(head: &mut RequestHead, peer: Option<IpAddr>) {
    headers::strip_routing(&mut head.headers);
    head.headers.insert(headers::PROXY_REQUEST, headers::ACTIVATOR);
    if let Some(peer) = peer {
        forwarded::append_forwarded_for(&mut head.headers, peer);
    }
}
