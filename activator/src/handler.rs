//! One request from the client to an instance and back.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tidegate_admission::{Abandoned, Refusal};
use tidegate_relay::http::header::HeaderValue;
use tidegate_relay::{
    Cause, CauseHeader, ConnectPatience, Drain, Exchange, Forward, ForwardError, Guard, Handler,
};
use tidegate_reporter::RevisionName;
use tokio::time::Instant;

use crate::cold_start::{ServerTimingHeader, Teller};
use crate::error::Failure;
use crate::instance_fields::{add_activator_fields, rewrite, show};
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

/// A request on its way to an instance, and what is known of it.
struct Passage<'a> {
    exchange: &'a mut Exchange,
    in_flight: InFlightGuard,
    course: Course,
    terms: Terms<'a>,
    /// Instances that it never reached.
    attempts: u32,
    /// How often it was sent again although an instance may have seen it.
    repeated: u32,
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
            let _ = Box::pin(exchange.respond(reply)).await;
            return;
        }
        let Some(throttler) = self.throttler_of(exchange).await else { return };
        let mut passage = self.arrive(exchange, &throttler);
        let end = match self.dispatch(&mut passage).await {
            Ok(Served::Instance) => {
                let status = passage.exchange.report().status.map_or(0, |status| status.as_u16());
                let latency = passage.exchange.started().elapsed();
                self.outcomes.responded(status, latency);
                self.metrics.responded(status, latency);
                End::Responded
            }
            // Boxed, as it is seldom needed and large: thousands wait in this future.
            other => {
                Box::pin(self.without_instance(&mut passage, other.err(), &throttler)).await;
                End::Failed
            }
        };
        if let Some(observer) = &self.requests {
            let Passage { exchange, in_flight, course, .. } = &passage;
            course.tell(observer.as_ref(), exchange, in_flight, end);
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

    /// The request is one of a revision's from now on.
    fn arrive<'a>(
        &'a self,
        exchange: &'a mut Exchange,
        throttler: &Arc<RevisionThrottler>,
    ) -> Passage<'a> {
        let terms = self.queueing.terms(exchange.head());
        let attributes = Queueing::attributes(exchange, throttler, &terms);
        Passage {
            exchange,
            in_flight: throttler.arrive_with(attributes),
            course: Course::default(),
            terms,
            attempts: 0,
            repeated: 0,
        }
    }

    /// Who holds the request; `None` where it has its response already.
    async fn throttler_of(&self, exchange: &mut Exchange) -> Option<Arc<RevisionThrottler>> {
        let mut destination = self.destination(exchange);
        if matches!(destination, Err(Failure::UnknownRevision)) && self.naming.is_under_way() {
            // Boxed, as all of the rest that waits for something: it is seldom needed.
            destination = Box::pin(self.once_named(exchange)).await;
        }
        let (throttler, mirror) = match destination {
            Ok(Destination::Revision(throttler, mirror)) => (throttler, mirror),
            Ok(Destination::Back(reply)) => {
                self.metrics.answered();
                let _ = Box::pin(exchange.respond(reply)).await;
                return None;
            }
            Err(failure) => {
                Box::pin(self.fail(exchange, &failure, None)).await;
                return None;
            }
        };
        if let Some(mirror) = mirror {
            self.mirrors.copy(exchange, || self.of_copies(mirror));
        }
        Some(throttler)
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
    async fn dispatch(&self, passage: &mut Passage<'_>) -> Result<Served, Failure> {
        let peer = passage.exchange.peer().map(|peer| peer.ip());
        rewrite(passage.exchange.head_mut(), peer);
        if let Some(secret) = &self.sidecar_secret {
            add_activator_fields(passage.exchange, secret);
        }
        loop {
            if let Some(failure) = self.given_up() {
                return Err(failure);
            }
            let Passage { exchange, in_flight, terms, .. } = passage;
            let permit = match self.queueing.hold(exchange, in_flight, terms).await {
                Ok(Held::Permit(permit)) => permit,
                Ok(Held::Page) => return Ok(Served::Page),
                Err(failure @ Failure::Refused(_)) => {
                    return Err(self.given_up().unwrap_or(failure));
                }
                Err(failure) => return Err(failure),
            };
            // Boxed, or everything that waits would have the room that is needed once it is sent.
            if let Some(ended) = Box::pin(self.attempt(passage, permit)).await {
                return ended.map(|()| Served::Instance);
            }
        }
    }

    /// Why there will be no instance, once that is so.
    fn given_up(&self) -> Option<Failure> {
        self.closed.get().map(|reason| Failure::GivenUp(reason.clone()))
    }

    /// Sends the request to an instance. `None` if it is to wait for another one.
    async fn attempt(
        &self,
        passage: &mut Passage<'_>,
        permit: Permit,
    ) -> Option<Result<(), Failure>> {
        let Passage { exchange, in_flight, course, terms, attempts, repeated } = passage;
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
        let (instance, outcome) = match self.hedge(exchange, in_flight) {
            None => {
                let outcome = exchange.forward(instance.upstream(), forward).await;
                (instance, outcome)
            }
            // Boxed, so that requests which are sent once take no room for it.
            Some(hedge) => {
                Box::pin(self.send_hedged(exchange, hedge, course, (instance, forward))).await
            }
        };
        self.judge(&instance, &outcome, exchange, course);
        let Err(error) = outcome else { return Some(Ok(())) };
        if never_reached_app(&error, exchange) {
            *attempts += 1;
            if *attempts == ATTEMPTS_MAX {
                return Some(Err(Failure::Unreachable { attempts: *attempts, source: error }));
            }
            self.metrics.retried();
            return None;
        }
        let may_repeat = *repeated < REPEATS_MAX && repeats::is_harmless(&error, exchange);
        if may_repeat && in_flight.take_retry() {
            *repeated += 1;
            self.metrics.retried();
            return None;
        }
        let closed = error.cause() == Some(Cause::AppClosed) && !exchange.has_responded();
        Some(Err(match closed && self.has_ended(&instance).await {
            true => Failure::Died(error),
            false => error.into(),
        }))
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

    /// Shows the page in place of a response, or, where it failed, has somebody else answer the
    /// request that no instance took, or fails it.
    async fn without_instance(
        &self,
        passage: &mut Passage<'_>,
        failure: Option<Failure>,
        throttler: &RevisionThrottler,
    ) {
        let Passage { exchange, in_flight, .. } = passage;
        let Some(failure) = failure else {
            self.queueing.show_page(exchange).await;
            self.metrics.substituted(Substitute::Placeholder);
            return;
        };
        if failure.is_instances() {
            in_flight.mark_failed();
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What all that wait have room for, fifty thousand of them perhaps: what is needed only later,
    /// or seldom, is boxed.
    const HELD_FUTURE_BYTES_MAX: usize = 512;

    fn future_bytes<'a, F: Future>(
        _handle: impl FnOnce(&'a ActivatorHandler, &'a mut Exchange) -> F,
    ) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_request_that_waits_has_little_room_for_what_comes_later() {
        let bytes = future_bytes(|handler, exchange| handler.handle(exchange));
        assert!(bytes <= HELD_FUTURE_BYTES_MAX, "{bytes} bytes");
    }
}
