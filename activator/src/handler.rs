//! One request from the client to an instance and back.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tidegate_admission::Abandoned;
use tidegate_knative::headers;
use tidegate_relay::http::HeaderMap;
use tidegate_relay::http::header::{HeaderName, HeaderValue};
use tidegate_relay::{
    Cause, CauseHeader, ConnectPatience, Drain, Exchange, Forward, ForwardError, Guard, Handler,
    RequestHead, TimeLimits, forwarded, host,
};
use tidegate_reporter::RevisionName;
use tokio::time::Instant;

use crate::error::Failure;
use crate::metrics::Metrics;
use crate::outcomes::OutcomeCounter;
use crate::probe;
use crate::request_observer::{Course, End, RequestObserver};
use crate::respond::Protocol;
use crate::revision_throttler::{InFlightGuard, Instance, Permit, Unreachable};
use crate::route::{self, RouteKey};
use crate::throttler::Throttler;

const FRONT_DOOR: HeaderName = HeaderName::from_static(tidegate_proto::FRONT_DOOR_HEADER);
const FAILURE: HeaderName = HeaderName::from_static(tidegate_proto::FAILURE_HEADER);
/// The listener accepts nothing else; a proxy that ends TLS in front of it sets the header itself.
const HTTP: HeaderValue = HeaderValue::from_static("http");

/// A request is offered to this many instances at most. Each that cannot be reached is ejected for
/// a while, so only a revision with more dead instances than this gets here.
pub(crate) const ATTEMPTS_MAX: u32 = 64;

/// Handles every request of the listener.
#[derive(Clone)]
pub(crate) struct ActivatorHandler {
    pub(crate) throttler: Arc<Throttler>,
    /// The revision of every request at this listener, whatever the request names; `None` where
    /// each request names its revision.
    pub(crate) revision: Option<RevisionName>,
    pub(crate) limits: TimeLimits,
    pub(crate) abandoned: Abandoned,
    pub(crate) drain: Drain,
    pub(crate) outcomes: Arc<OutcomeCounter>,
    pub(crate) metrics: Metrics,
    /// Why there will be no instance, once that is so.
    pub(crate) closed: Arc<OnceLock<String>>,
    /// Whether the activator's own responses carry their cause in a header.
    pub(crate) cause_header: CauseHeader,
    /// See [`Config::sidecar_secret`](crate::Config::sidecar_secret).
    pub(crate) sidecar_secret: Option<HeaderValue>,
    /// See [`Config::exit_notice_wait`](crate::Config::exit_notice_wait).
    pub(crate) exit_notice_wait: Duration,
    /// See [`Config::requests`](crate::Config::requests).
    pub(crate) requests: Option<Arc<dyn RequestObserver>>,
}

/// Holds the room at an instance while the instance works on the request.
struct SentGuard {
    permit: Permit,
    abandoned: Abandoned,
    /// Set once the instance is done, where an observer needs that.
    done: Option<Arc<OnceLock<Instant>>>,
}

impl Drop for SentGuard {
    fn drop(&mut self) {
        if let Some(done) = &self.done {
            // It is dropped once.
            let _ = done.set(Instant::now());
        }
    }
}

impl Guard for SentGuard {
    fn abandoned(&mut self) -> Option<Duration> {
        self.permit.abandon(self.abandoned)
    }
}

/// How often it is checked whether an instance has ended.
const EXIT_POLL: Duration = Duration::from_millis(2);

impl Handler for ActivatorHandler {
    async fn handle(&self, exchange: &mut Exchange) {
        // A probe at a revision's port is for the revision, not for the activator.
        if self.revision.is_none()
            && let Some(reply) = probe::respond(exchange.head(), self.drain.phase())
        {
            // An error means that the client has gone: there is nothing left to do.
            let _ = exchange.respond(reply).await;
            return;
        }
        let throttler = match &self.revision {
            Some(revision) => self.throttler.of(revision).ok_or(Failure::UnknownRevision),
            None => route_key(exchange.head())
                .and_then(|key| self.throttler.find(&key).ok_or(Failure::UnknownRevision)),
        };
        let throttler = match throttler {
            Ok(throttler) => throttler,
            Err(failure) => {
                self.fail(exchange, &failure, None).await;
                return;
            }
        };
        let mut in_flight = throttler.arrive();
        let mut course = Course::default();
        let end = match self.dispatch(exchange, &mut in_flight, &mut course).await {
            Ok(()) => {
                let status = exchange.report().status.map_or(0, |status| status.as_u16());
                let latency = exchange.started().elapsed();
                self.outcomes.responded(status, latency);
                self.metrics.responded(status, latency);
                End::Responded
            }
            Err(failure) => {
                if failure.is_instances() {
                    in_flight.mark_failed();
                }
                self.fail(exchange, &failure, Some(throttler.revision())).await;
                End::Failed
            }
        };
        if let Some(observer) = &self.requests {
            course.tell(observer.as_ref(), exchange, &in_flight, end);
        }
    }
}

impl ActivatorHandler {
    /// Waits for an instance and sends it the request; tries another instance as long as nothing
    /// of the request was sent.
    async fn dispatch(
        &self,
        exchange: &mut Exchange,
        in_flight: &mut InFlightGuard,
        course: &mut Course,
    ) -> Result<(), Failure> {
        let peer = exchange.peer().map(|peer| peer.ip());
        rewrite(exchange.head_mut(), peer);
        if let Some(secret) = &self.sidecar_secret {
            add_activator_fields(exchange, secret);
        }
        let mut attempts = 0;
        loop {
            if let Some(reason) = self.closed.get() {
                return Err(Failure::GivenUp(reason.clone()));
            }
            let permit = match exchange.hold(self.limits, in_flight.permit()).await? {
                Ok(permit) => permit,
                Err(refusal) => {
                    return Err(match self.closed.get() {
                        Some(reason) => Failure::GivenUp(reason.clone()),
                        None => refusal.into(),
                    });
                }
            };
            let instance = permit.instance().clone();
            let done = self.requests.as_ref().map(|_| course.sent_to(instance.shared_name()));
            let forward = Forward {
                limits: self.limits,
                connect: ConnectPatience::Once(permit.connect_budget()),
                guard: SentGuard { permit, abandoned: self.abandoned, done },
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
                attempts += 1;
                if attempts == ATTEMPTS_MAX {
                    return Err(Failure::Unreachable { attempts, source: error });
                }
                self.metrics.retried();
                continue;
            }
            let closed = error.cause() == Some(Cause::AppClosed) && !exchange.has_responded();
            return Err(match closed && self.has_ended(&instance).await {
                true => Failure::Died(error),
                false => error.into(),
            });
        }
    }

    /// Whether an instance closed its connection because it has ended. The connection breaks a
    /// moment before the controller can report the instance's end.
    async fn has_ended(&self, instance: &Instance) -> bool {
        let ended = async {
            while instance.is_listed() {
                tokio::time::sleep(EXIT_POLL).await;
            }
        };
        tokio::time::timeout(self.exit_notice_wait, ended).await.is_ok()
    }

    /// Counts the failure, logs it and responds with it, unless the response has begun. A client
    /// that has gone is counted apart: neither the app nor the activator failed.
    async fn fail(
        &self,
        exchange: &mut Exchange,
        failure: &Failure,
        revision: Option<&RevisionName>,
    ) {
        let Some(cause) = failure.cause() else {
            self.outcomes.left();
            return;
        };
        let responded = exchange.has_responded();
        // Whatever ended a response that had begun, its client sees one that is cut short.
        let (status, cause) = if responded {
            (exchange.report().status.map_or(0, |status| status.as_u16()), Cause::CutShort)
        } else {
            (failure.status().as_u16(), cause)
        };
        let revision = revision.map(|name| format!("{}/{}", name.namespace, name.name));
        let revision = revision.as_deref();
        let label = cause.label();
        tracing::info!(cause = label, status, revision, error = %failure, "a request failed");
        self.outcomes.failed(status, cause);
        if responded {
            return;
        }
        let reply = failure.reply(Protocol::of(exchange.head()), self.cause_header);
        let _ = exchange.respond(reply).await;
    }
}

/// Whether no app has received anything of the request, so that it may be sent to another: nothing
/// could be sent, or a sidecar declined it as unreachable while the whole body is still here. The
/// latter happens when an app binds its port for a moment to test whether it is free, which the
/// sidecar takes for ready.
fn never_reached_app(error: &ForwardError, exchange: &Exchange) -> bool {
    let unsent = match error {
        ForwardError::Declined { cause, .. } => {
            *cause == Cause::Unreachable && exchange.report().request_bytes == 0
        }
        error => error.is_unsent(),
    };
    unsent && !exchange.has_responded()
}

/// Adds the secret by which the sidecar recognises its activator, and the scheme of the client's
/// request, which only the first proxy knows.
fn add_activator_fields(exchange: &mut Exchange, secret: &HeaderValue) {
    exchange.decline_marked(FAILURE);
    let head = exchange.head_mut();
    head.headers.insert(FRONT_DOOR, secret.clone());
    if !head.headers.contains_key(forwarded::X_FORWARDED_PROTO) {
        head.headers.insert(forwarded::X_FORWARDED_PROTO, HTTP);
    }
}

/// What the request states about its revision.
fn route_key(head: &RequestHead) -> Result<RouteKey<'_>, Failure> {
    host::in_field(&head.headers, headers::ORIGINAL_HOST)?;
    Ok(RouteKey {
        revision: routing_name(&head.headers, headers::SERVING_REVISION)?,
        namespace: routing_name(&head.headers, headers::SERVING_NAMESPACE)?,
        host: head.host.as_ref().and_then(|host| host.to_str().ok()),
    })
}

/// The one value of a routing header. One that is repeated or no name must not fall back to the
/// host: two parsers could then find two revisions.
fn routing_name(headers: &HeaderMap, name: HeaderName) -> Result<Option<&str>, Failure> {
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

/// Sets the headers that the instance's sidecar reads and removes those it must not receive.
fn rewrite(head: &mut RequestHead, peer: Option<IpAddr>) {
    headers::strip_routing(&mut head.headers);
    head.headers.insert(headers::PROXY_REQUEST, headers::ACTIVATOR);
    if let Some(peer) = peer {
        forwarded::append_forwarded_for(&mut head.headers, peer);
    }
}
