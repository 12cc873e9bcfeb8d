//! What is told of a single request once it has ended, to a program that wants to know.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tidegate_relay::Exchange;
use tidegate_reporter::RevisionName;
use tidegate_timeline::Timeline;
use tokio::time::Instant;

use crate::revision_throttler::InFlightGuard;

/// Is told of each request that has ended.
pub trait RequestObserver: Send + Sync + fmt::Debug {
    /// A request has ended. Called on the path of requests: it must not wait for anything.
    fn ended(&self, request: &EndedRequest<'_>);
}

/// A request that has ended.
#[derive(Debug, Clone, Copy)]
pub struct EndedRequest<'a> {
    /// Its revision.
    pub revision: &'a RevisionName,
    /// When its head was complete.
    pub arrived: Instant,
    /// How long it waited until it was sent on for the last time; until its end if it never was.
    pub wait: Duration,
    /// How long the instance worked on it; `None` unless the instance responded.
    pub service: Option<Duration>,
    /// The instance that it was sent to last.
    pub instance: Option<&'a str>,
    /// The status that its client got; `None` when the client had left.
    pub status: Option<u16>,
    /// Bytes of its body.
    pub request_bytes: u64,
    /// Bytes of the response's body.
    pub response_bytes: u64,
    /// Whether no instance was ready when it arrived.
    pub cold: bool,
    /// Where the time went until its response began, if it was cold and got one.
    pub timeline: Option<Timeline>,
}

/// What is noted of a request on its way.
#[derive(Debug, Default)]
pub(crate) struct Course {
    sent: Option<(Instant, Arc<str>)>,
    /// When the instance was done with it.
    done: Option<Arc<OnceLock<Instant>>>,
    /// Of a cold request.
    timeline: Option<Arc<OnceLock<Timeline>>>,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The instance responded, and the client has the whole response.
    Responded,
    /// Anything else.
    Failed,
}

impl Course {
    /// It is cold. What is returned is to be set when its response is there.
    pub(crate) fn cold_start(&mut self) -> Arc<OnceLock<Timeline>> {
        Arc::clone(self.timeline.get_or_insert_default())
    }

    /// It is sent to `instance`. What is returned is to be set when the instance is done with it.
    pub(crate) fn sent_to(&mut self, instance: Arc<str>) -> Arc<OnceLock<Instant>> {
        let done = Arc::new(OnceLock::new());
        self.sent = Some((Instant::now(), instance));
        self.done = Some(Arc::clone(&done));
        done
    }

    /// It was sent to another instance as well, which answered it.
    pub(crate) fn went_to(
        &mut self,
        at: Instant,
        instance: Arc<str>,
        done: Arc<OnceLock<Instant>>,
    ) {
        self.sent = Some((at, instance));
        self.done = Some(done);
    }

    /// How long the instance that it was sent to last has worked on it.
    pub(crate) fn worked(&self) -> Duration {
        let done = self.done.as_ref().and_then(|done| done.get().copied());
        let sent = self.sent.as_ref().map(|(at, _)| *at);
        let done = done.unwrap_or_else(Instant::now);
        sent.map_or(Duration::ZERO, |sent| done.saturating_duration_since(sent))
    }

    /// Tells `observer` that it has ended now.
    pub(crate) fn tell(
        &self,
        observer: &dyn RequestObserver,
        exchange: &Exchange,
        in_flight: &InFlightGuard,
        end: End,
    ) {
        let (now, arrived) = (Instant::now(), exchange.started());
        let sent = self.sent.as_ref().map(|(at, _)| *at);
        let done = self.done.as_ref().and_then(|done| done.get().copied()).unwrap_or(now);
        let report = exchange.report();
        observer.ended(&EndedRequest {
            revision: in_flight.revision(),
            arrived,
            wait: sent.unwrap_or(now).saturating_duration_since(arrived),
            service: sent
                .filter(|_| end == End::Responded)
                .map(|sent| done.saturating_duration_since(sent)),
            instance: self.sent.as_ref().map(|(_, name)| &**name),
            status: report.status.map(|status| status.as_u16()),
            request_bytes: report.request_bytes,
            response_bytes: report.response_bytes,
            cold: in_flight.is_cold(),
            timeline: self.timeline.as_ref().and_then(|timeline| timeline.get().copied()),
        });
    }
}
