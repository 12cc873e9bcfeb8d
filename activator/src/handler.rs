//! One request from the client to an instance and back.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tidegate_admission::{Abandoned, Refusal};
use tidegate_knative::headers;
use tidegate_relay::http::header::{HeaderName, HeaderValue};
use tidegate_relay::{
    Cause, CauseHeader, ConnectPatience, Drain, Exchange, Forward, ForwardError, Guard, Handler,
    RequestHead, Scheme, forwarded,
};
use tidegate_reporter::RevisionName;
use tokio::time::Instant;

use crate::cold_start::{ServerTimingHeader, Teller};
use crate::error::Failure;
use crate::metrics::Metrics;
use crate::mirror::Mirrors;
use crate::naming::{LOOK_EVERY, Naming};
use crate::outcomes::OutcomeCounter;
use crate::overflow::Substitute;
use crate::probe;
use crate::queueing::{Held, Queueing, Terms};
use crate::repeats::{self, REPEATS_MAX};
use crate::request_observer::{Course, End, RequestObserver};
use crate::respond::{Protocol, RETRY_AFTER_REFUSAL, ReplyStyle};
use crate::revision_throttler::{InFlightGuard, Instance, Permit, RevisionThrottler, Unreachable};
use crate::routing::{Destination, Routes};
use crate::throttler::Throttler;

const FRONT_DOOR: HeaderName = HeaderName::from_static(tidegate_proto::FRONT_DOOR_HEADER);
pub(crate) const CREDIT: HeaderName = HeaderName::from_static(tidegate_proto::CREDIT_HEADER);
const FAILURE: HeaderName = HeaderName::from_static(tidegate_proto::FAILURE_HEADER);

/// A request is offered to this many instances at most. Each that cannot be reached is ejected for
/// a while, so only a revision with more dead instances than this gets here.
pub(crate) const ATTEMPTS_MAX: u32 = 64;

/// Handles every request of the listener.
#[derive(Clone)]
pub(crate) struct ActivatorHandler {
    pub(crate) throttler: Arc<Throttler>,
    /// Where requests at the activator's own port go.
    pub(crate) routes: Arc<Routes>,
    /// Whether revisions are still to be named.
    pub(crate) naming: Arc<Naming>,
    /// What sends copies of some of them elsewhere.
    pub(crate) mirrors: Mirrors,
    /// The revision of every request at this listener, whatever the request names; `None` where
    /// each request names its revision.
    pub(crate) revision: Option<RevisionName>,
    /// The route of every request at this listener; `None` where its host and path find one.
    pub(crate) route: Option<Arc<str>>,
    pub(crate) queueing: Arc<Queueing>,
    pub(crate) abandoned: Abandoned,
    pub(crate) drain: Drain,
    pub(crate) outcomes: Arc<OutcomeCounter>,
    pub(crate) metrics: Metrics,
    /// Whether clients are told where the time of a cold start went.
    pub(crate) server_timing: ServerTimingHeader,
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
pub(crate) struct SentGuard {
    pub(crate) permit: Permit,
    pub(crate) abandoned: Abandoned,
    /// Set once the instance is done, where an observer needs that.
    pub(crate) done: Option<Arc<OnceLock<Instant>>>,
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
        let destination = match self.destination(exchange) {
            // Boxed, as it is seldom needed.
            Err(Failure::UnknownRevision) if self.naming.is_under_way() => {
                Box::pin(self.once_named(exchange)).await
            }
            destination => destination,
        };
        let throttler = match destination {
            Ok(Destination::Revision(throttler, mirror)) => {
                if let Some(mirror) = mirror {
                    self.mirrors.copy(exchange, || self.of_copies(mirror));
                }
                throttler
            }
            Ok(Destination::Back(reply)) => {
                self.metrics.answered();
                let _ = exchange.respond(reply).await;
                return;
            }
            Err(failure) => {
                self.fail(exchange, &failure, None).await;
                return;
            }
        };
        let terms = self.queueing.terms(exchange.head());
        let attributes = Queueing::attributes(exchange, &throttler, &terms);
        let mut in_flight = throttler.arrive_with(attributes);
        let mut course = Course::default();
        let served = self.dispatch(exchange, &mut in_flight, &mut course, &terms).await;
        let end = match served {
            Ok(Served::Page) => {
                Box::pin(self.queueing.show_page(exchange)).await;
                self.metrics.substituted(Substitute::Placeholder);
                End::Failed
            }
            Ok(Served::Instance) => {
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
                // Boxed, as it is seldom needed and large: thousands wait in this future.
                Box::pin(self.substitute(exchange, failure, &throttler)).await;
                End::Failed
            }
        };
        if let Some(observer) = &self.requests {
            course.tell(observer.as_ref(), exchange, &in_flight, end);
        }
    }
}

impl ActivatorHandler {
    /// What handles copies of requests, which go to `revision`. What becomes of them is no outcome
    /// of a client's request.
    fn of_copies(&self, revision: RevisionName) -> Self {
        Self {
            revision: Some(revision),
            outcomes: Arc::default(),
            metrics: Metrics::default(),
            requests: None,
            ..self.clone()
        }
    }

    fn destination(&self, exchange: &mut Exchange) -> Result<Destination, Failure> {
        let Some(revision) = &self.revision else {
            return self.routes.destination(exchange, &self.throttler, self.route.as_deref());
        };
        let throttler = self.throttler.of(revision).ok_or(Failure::UnknownRevision)?;
        Ok(Destination::Revision(throttler, None))
    }

    /// Where a request goes whose revision is not known yet, once it is.
    async fn once_named(&self, exchange: &mut Exchange) -> Result<Destination, Failure> {
        let Some(_place) = self.naming.enter() else { return Err(Refusal::QueueFull.into()) };
        let limits = self.queueing.terms(exchange.head()).while_held();
        let longest = self.throttler.longest_wait().map(|wait| Instant::now() + wait);
        loop {
            exchange.hold(limits, tokio::time::sleep(LOOK_EVERY)).await?;
            match self.destination(exchange) {
                Err(Failure::UnknownRevision) if self.naming.is_under_way() => {}
                known => return known,
            }
            if longest.is_some_and(|longest| Instant::now() >= longest) {
                return Err(Refusal::WaitedTooLong.into());
            }
        }
    }

    /// Waits for an instance and sends it the request; tries another instance as long as nothing
    /// of the request was sent.
    async fn dispatch(
        &self,
        exchange: &mut Exchange,
        in_flight: &mut InFlightGuard,
        course: &mut Course,
        terms: &Terms,
    ) -> Result<Served, Failure> {
        let peer = exchange.peer().map(|peer| peer.ip());
        rewrite(exchange.head_mut(), peer);
        if let Some(secret) = &self.sidecar_secret {
            add_activator_fields(exchange, secret);
        }
        let (mut attempts, mut repeated) = (0, 0);
        loop {
            let permit = match self.hold(exchange, in_flight, terms).await? {
                Held::Permit(permit) => permit,
                Held::Page => return Ok(Served::Page),
            };
            let instance = permit.instance().clone();
            show(exchange.head_mut(), permit.credit());
            if in_flight.is_cold() {
                let teller = Teller { metrics: self.metrics.clone(), header: self.server_timing };
                let seen = exchange.started();
                exchange.on_response(teller.hook(seen, &instance, course.cold_start()));
            }
            let is_watched = self.requests.is_some() || instance.watches_outliers();
            let done = is_watched.then(|| course.sent_to(instance.shared_name()));
            let forward = Forward {
                limits: terms.once_sent(exchange.started()),
                connect: ConnectPatience::Once(permit.connect_budget()),
                guard: SentGuard { permit, abandoned: self.abandoned, done },
            };
            let sent = self.send(exchange, in_flight, course, (instance, forward)).await;
            let (instance, outcome) = sent;
            self.judge(&instance, &outcome, exchange, course);
            let Err(error) = outcome else { return Ok(Served::Instance) };
            if never_reached_app(&error, exchange) {
                attempts += 1;
                if attempts == ATTEMPTS_MAX {
                    return Err(Failure::Unreachable { attempts, source: error });
                }
                self.metrics.retried();
                continue;
            }
            let may_repeat = repeated < REPEATS_MAX && repeats::is_harmless(&error, exchange);
            if may_repeat && in_flight.take_retry() {
                repeated += 1;
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

    /// Waits for an instance, unless there will be none.
    async fn hold(
        &self,
        exchange: &mut Exchange,
        in_flight: &mut InFlightGuard,
        terms: &Terms,
    ) -> Result<Held, Failure> {
        let given_up = || self.closed.get().map(|reason| Failure::GivenUp(reason.clone()));
        if let Some(failure) = given_up() {
            return Err(failure);
        }
        let held = self.queueing.hold(exchange, in_flight, terms).await;
        held.map_err(|failure| match failure {
            Failure::Refused(_) => given_up().unwrap_or(failure),
            _ => failure,
        })
    }

    /// Leaves an instance out that could not be reached, or is worse than the others.
    fn judge(
        &self,
        instance: &Instance,
        outcome: &Result<(), ForwardError>,
        exchange: &Exchange,
        course: &Course,
    ) {
        if let Some(took) = exchange.report().connect {
            instance.connected(took);
        }
        if let Err(error) = outcome {
            self.eject_unreachable(instance, error);
        }
        if instance.watches_outliers()
            && let Some(outcome) = repeats::outcome(outcome, exchange, course)
            && let Some(sign) = instance.ended(outcome)
        {
            tracing::info!(instance = instance.name(), ?sign, "an instance is left alone");
            self.metrics.left_alone(sign);
        }
    }

    /// Leaves an instance out that could not be reached.
    pub(crate) fn eject_unreachable(&self, instance: &Instance, error: &ForwardError) {
        if let Some(how) = Unreachable::of(error) {
            tracing::info!(instance = instance.name(), %error, "an instance is unreachable");
            self.metrics.ejected(how);
            instance.unreachable(how);
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

    /// Has somebody else answer a request that no instance took, or fails it.
    async fn substitute(
        &self,
        exchange: &mut Exchange,
        failure: Failure,
        throttler: &RevisionThrottler,
    ) {
        match self.queueing.substitute(exchange, failure, throttler).await {
            Ok(substitute) => self.metrics.substituted(substitute),
            Err(failure) => self.fail(exchange, &failure, Some(throttler)).await,
        }
    }

    /// Counts the failure, logs it and responds with it, unless the response has begun. A client
    /// that has gone is counted apart: neither the app nor the activator failed.
    async fn fail(
        &self,
        exchange: &mut Exchange,
        failure: &Failure,
        throttler: Option<&RevisionThrottler>,
    ) {
        let Some(cause) = failure.cause() else {
            self.outcomes.left();
            return;
        };
        let style = ReplyStyle {
            refusal_status: self.queueing.overflow.status,
            retry_after: retry_after(failure, throttler),
            ..ReplyStyle::new(self.cause_header)
        };
        let responded = exchange.has_responded();
        // Whatever ended a response that had begun, its client sees one that is cut short.
        let (status, cause) = if responded {
            (exchange.report().status.map_or(0, |status| status.as_u16()), Cause::CutShort)
        } else {
            (failure.status(style).as_u16(), cause)
        };
        let revision = throttler.map(RevisionThrottler::revision);
        let revision = revision.map(|name| format!("{}/{}", name.namespace, name.name));
        let revision = revision.as_deref();
        let label = cause.label();
        tracing::info!(cause = label, status, revision, error = %failure, "a request failed");
        self.outcomes.failed(status, cause);
        if responded {
            return;
        }
        let reply = failure.reply(Protocol::of(exchange.head()), style);
        let _ = exchange.respond(reply).await;
    }
}

/// After how long the client of a request that failed may try again.
fn retry_after(failure: &Failure, throttler: Option<&RevisionThrottler>) -> Duration {
    match (failure, throttler) {
        (Failure::Refused(_), Some(throttler)) => throttler.retry_after(),
        _ => RETRY_AFTER_REFUSAL,
    }
}

/// Who a request was answered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Served {
    /// An instance.
    Instance,
    /// Nobody yet: someone is to be shown the page.
    Page,
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
    add_scheme(head);
}

/// Says by which scheme the client came, unless a proxy in front of this one has said so.
fn add_scheme(head: &mut RequestHead) {
    if !head.headers.contains_key(forwarded::X_FORWARDED_PROTO) {
        let scheme = HeaderValue::from_static(head.scheme.as_str());
        head.headers.insert(forwarded::X_FORWARDED_PROTO, scheme);
    }
}

/// The credit that goes with a request. What a client may have sent in its place is none.
fn show(head: &mut RequestHead, credit: Option<HeaderValue>) {
    match credit {
        Some(credit) => drop(head.headers.insert(CREDIT, credit)),
        None => drop(head.headers.remove(CREDIT)),
    }
}

/// Sets the headers that the instance's sidecar reads and removes those it must not receive.
fn rewrite(head: &mut RequestHead, peer: Option<IpAddr>) {
    headers::strip_routing(&mut head.headers);
    head.headers.insert(headers::PROXY_REQUEST, headers::ACTIVATOR);
    // Without the header an app takes the scheme for `http`, as Knative's apps do.
    if head.scheme == Scheme::Https {
        add_scheme(head);
    }
    if let Some(peer) = peer {
        forwarded::append_forwarded_for(&mut head.headers, peer);
    }
}
