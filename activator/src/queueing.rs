//! How a request is queued: what the queue is told of it, how long it may take, and what becomes of
//! it where no instance takes it.

use std::pin::pin;
use std::time::{Duration, SystemTime};

use tidegate_admission::{Attributes, Moment};
use tidegate_knative::headers;
use tidegate_relay::http::header::HeaderName;
use tidegate_relay::{Exchange, ForwardError, Interrupted, RequestHead, TimeLimits, Timeout};
use tokio::time::Instant;

use crate::due;
use crate::error::Failure;
use crate::mirror::MIRRORED;
use crate::overflow::{Fallbacks, Overflow, Substitute};
use crate::placeholder::{Placeholder, State, is_for_eyes};
use crate::revision_throttler::waiting::Answer;
use crate::revision_throttler::{InFlightGuard, Permit, RevisionThrottler};

/// Headers that only instances may see: a fallback is none.
const FOR_INSTANCES: [HeaderName; 3] = [
    HeaderName::from_static(tidegate_proto::FRONT_DOOR_HEADER),
    HeaderName::from_static(tidegate_proto::CREDIT_HEADER),
    headers::PROXY_REQUEST,
];

/// The rules of one activator.
#[derive(Debug)]
pub(crate) struct Queueing {
    pub(crate) limits: TimeLimits,
    pub(crate) first_byte_timeout: Option<Duration>,
    pub(crate) overflow: Overflow,
    pub(crate) fallbacks: Fallbacks,
}

/// How long one request may take: the rules, and not a copy of them, as thousands may wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms<'a> {
    rules: &'a Queueing,
    /// Until its response is due, as it says itself.
    left: Option<Duration>,
}

/// What came of a wait.
pub(crate) enum Held {
    /// An instance.
    Permit(Permit),
    /// No instance is ready yet, and someone looks at a page meanwhile.
    Page,
}

impl Queueing {
    /// The terms of the request that has just arrived.
    pub(crate) fn terms(&self, head: &RequestHead) -> Terms<'_> {
        Terms { rules: self, left: due::time_left(head, SystemTime::now) }
    }

    /// What the queue is told of it.
    pub(crate) fn attributes(
        exchange: &Exchange,
        throttler: &RevisionThrottler,
        terms: &Terms<'_>,
    ) -> Attributes {
        let due = terms.left.map_or(Moment::NEVER, |left| throttler.moment_in(left));
        throttler.keys().attributes(exchange.head(), exchange.peer().map(|peer| peer.ip()), due)
    }

    /// Waits for an instance.
    pub(crate) async fn hold(
        &self,
        exchange: &mut Exchange,
        in_flight: &mut InFlightGuard,
        terms: &Terms<'_>,
    ) -> Result<Held, Failure> {
        if terms.left == Some(Duration::ZERO) {
            // Whatever came of it would come too late.
            return Err(Interrupted::TimedOut(Timeout::Overall).into());
        }
        let mut waiting = match in_flight.ask()? {
            Answer::Permit(permit) => return Ok(Held::Permit(permit)),
            Answer::Waiting(waiting) => waiting,
        };
        let limits = terms.while_held();
        let Some(page) = self.page_for(exchange.head()) else {
            // By reference, or it would be in this future twice.
            let mut granted = pin!(waiting.granted());
            let permit = exchange.hold(limits, granted.as_mut()).await??;
            return Ok(Held::Permit(permit));
        };
        let unready = in_flight.without_instance_for(page.after);
        // Boxed, so that those that are shown no page take no room for it.
        let waiting = Box::pin(async {
            tokio::select! {
                biased;
                permit = waiting.granted() => permit.map(Held::Permit),
                () = unready => Ok(Held::Page),
            }
        });
        Ok(exchange.hold(limits, waiting).await??)
    }

    /// Shows the page to someone whose revision has no instance yet.
    pub(crate) async fn show_page(&self, exchange: &mut Exchange) {
        if let Some(page) = &self.overflow.placeholder {
            // An error means that nobody looks any more.
            let _ = exchange.respond(page.reply(State::Starting, Duration::ZERO)).await;
        }
    }

    /// Answers a request in an instance's place, where it was refused before anything of it was
    /// sent and there is somebody who does.
    pub(crate) async fn substitute(
        &self,
        exchange: &mut Exchange,
        failure: Failure,
        throttler: &RevisionThrottler,
    ) -> Result<Substitute, Failure> {
        let is_refused = matches!(failure, Failure::Refused(_) | Failure::GivenUp(_));
        let is_copy = exchange.head().headers.contains_key(MIRRORED);
        if !is_refused || is_copy {
            return Err(failure);
        }
        let limits = self.anew(exchange.started());
        let to = (limits, &FOR_INSTANCES[..]);
        match self.fallbacks.forward(exchange, throttler.revision(), to).await {
            Some(Ok(())) => return Ok(Substitute::Fallback),
            // Where it cannot be reached the request is refused as it would be without it.
            Some(Err(
                ForwardError::Connect { .. }
                | ForwardError::ConnectTimedOut { .. }
                | ForwardError::NoDescriptors { .. },
            ))
            | None => {}
            Some(Err(error)) => return Err(error.into()),
        }
        let Some(page) = self.page_for(exchange.head()) else { return Err(failure) };
        let reply = page.reply(State::Busy, throttler.retry_after());
        let _ = exchange.respond(reply).await;
        Ok(Substitute::Placeholder)
    }

    fn page_for(&self, head: &RequestHead) -> Option<&Placeholder> {
        self.overflow.placeholder.as_ref().filter(|_| is_for_eyes(head))
    }

    /// The limits of a request that begins again with somebody else, who has all the time that an
    /// instance would have had.
    fn anew(&self, started: Instant) -> TimeLimits {
        let waited = started.elapsed();
        let start = self.limits.response_start.map(|limit| waited + limit);
        TimeLimits { response_start: start, ..self.limits }
    }
}

impl Terms<'_> {
    fn limits(&self) -> TimeLimits {
        let limits = self.rules.limits;
        let overall = [limits.overall, self.left].into_iter().flatten().min();
        TimeLimits { overall, ..limits }
    }

    /// Nothing moves while it waits, so only the others count.
    pub(crate) fn while_held(&self) -> TimeLimits {
        TimeLimits { idle: None, ..self.limits() }
    }

    /// From now on, when it is sent to an instance.
    pub(crate) fn once_sent(&self, started: Instant) -> TimeLimits {
        let limits = self.limits();
        let first_byte = self.rules.first_byte_timeout.map(|limit| started.elapsed() + limit);
        let start = [limits.response_start, first_byte].into_iter().flatten().min();
        TimeLimits { response_start: start, ..limits }
    }
}
