//! Sends a request to a second instance when the first takes long to answer.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tidegate_relay::http::Method;
use tidegate_relay::http::header::HeaderName;
use tidegate_relay::{
    BodyLength, ConnectPatience, Exchange, Forward, ForwardError, RequestHead, Second, SecondEnd,
};
use tokio::time::Instant;

use crate::handler::{ActivatorHandler, SentGuard};
use crate::instance_fields::CREDIT;
use crate::mirror::MIRRORED;
use crate::request_observer::Course;
use crate::revision_throttler::hedger::Hedger;
use crate::revision_throttler::{HedgeOutcome, InFlightGuard, Instance};

/// Says of a request whether it may be sent twice: `true` of one whose method does not, `false` of
/// one whose method does. It is removed where hedges are made.
pub(crate) const HEDGE: HeaderName = HeaderName::from_static("tidegate-hedge");

/// Whether a request may be at two instances at a time: it has no body, and its method is safe
/// (RFC 9110) or it says so itself. A copy may not: nobody waits for it.
fn may_be_hedged(head: &RequestHead) -> bool {
    let bodiless = matches!(head.body, BodyLength::Empty | BodyLength::Known(0));
    if !bodiless || head.upgrade.is_some() || head.headers.contains_key(MIRRORED) {
        return false;
    }
    match head.headers.get(HEDGE).map(|value| value.as_bytes()) {
        Some(b"true") => true,
        Some(_) => false,
        None => matches!(head.method, Method::GET | Method::HEAD | Method::OPTIONS),
    }
}

/// What is known of the second instance's part once it was asked.
type Note = Arc<OnceLock<(Instant, Arc<OnceLock<Instant>>)>>;

impl ActivatorHandler {
    /// When the request is sent to a second instance, and who knows one; `None` if it never is.
    pub(crate) fn hedge(
        &self,
        exchange: &mut Exchange,
        in_flight: &InFlightGuard,
    ) -> Option<(Duration, Hedger)> {
        let hedge = in_flight.hedger()?;
        let may = may_be_hedged(exchange.head());
        exchange.head_mut().headers.remove(HEDGE);
        may.then_some(hedge)
    }

    /// Sends the request to `instance`, and to a second one where it takes long. Gives the instance
    /// that the outcome is of.
    pub(crate) async fn send_hedged(
        &self,
        exchange: &mut Exchange,
        (after, hedger): (Duration, Hedger),
        course: &mut Course,
        (instance, forward): (Instance, Forward<SentGuard>),
    ) -> (Instance, Result<(), ForwardError>) {
        let note = Note::default();
        let second = self.second(&hedger, after, (&instance, &forward), Arc::clone(&note));
        let second = Box::pin(second);
        let ended = exchange.forward_hedged(instance.upstream(), forward, second).await;
        if let Some(answered_after) = ended.answered_after {
            hedger.answered(answered_after);
        }
        let Some((other, end)) = ended.second else { return (instance, ended.outcome) };
        match end {
            SecondEnd::Served(failed) => {
                self.metrics.hedged(HedgeOutcome::Won);
                if let Some(error) = failed {
                    self.eject_unreachable(&instance, &error);
                }
                if let Some((sent, done)) = note.get() {
                    course.went_to(*sent, other.shared_name(), Arc::clone(done));
                }
                (other, ended.outcome)
            }
            SecondEnd::TooLate => {
                self.metrics.hedged(HedgeOutcome::Lost);
                (instance, ended.outcome)
            }
            SecondEnd::Failed(error) => {
                self.metrics.hedged(HedgeOutcome::Failed);
                self.eject_unreachable(&other, &error);
                (instance, ended.outcome)
            }
        }
    }

    /// Resolves with a second instance when the first has taken long and another has room.
    fn second(
        &self,
        hedger: &Hedger,
        after: Duration,
        (instance, forward): (&Instance, &Forward<SentGuard>),
        note: Note,
    ) -> impl Future<Output = Second<Instance, SentGuard>> + Send + use<> {
        let (hedger, instance, metrics) = (hedger.clone(), instance.clone(), self.metrics.clone());
        let (abandoned, order) = (self.abandoned, forward.guard.permit.order());
        async move {
            if after == Duration::MAX {
                // Nothing is known yet.
                return std::future::pending().await;
            }
            tokio::time::sleep(after).await;
            let permit = match hedger.permit_beside(&instance, order) {
                Ok(permit) => permit,
                Err(why) => {
                    metrics.hedged(why);
                    return std::future::pending().await;
                }
            };
            let done = Arc::new(OnceLock::new());
            // It is asked for once.
            let _ = note.set((Instant::now(), Arc::clone(&done)));
            Second {
                upstream: permit.instance().clone(),
                connect: ConnectPatience::Once(permit.connect_budget()),
                field: (CREDIT, permit.credit()),
                guard: SentGuard { permit, abandoned, done: Some(done) },
            }
        }
    }
}
