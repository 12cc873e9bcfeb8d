//! A request's place in the queue.

use std::sync::Arc;
use std::time::Duration;

use tidegate_admission::{Refusal, Ticket};

use super::state::{Asked, Following, PermitReceiver};
use super::{InFlightGuard, Permit, RevisionThrottler};
use crate::waiting_totals::WaitingPlace;

/// What a request gets that asks for an instance.
pub(crate) enum Answer {
    /// An instance.
    Permit(Permit),
    /// A place in the queue.
    Waiting(Waiting),
}

/// A place in the queue. Its drop leaves the queue; a permit that was granted a moment before is
/// dropped with the receiving end, and passes its room on.
pub(crate) struct Waiting {
    pub(super) throttler: Arc<RevisionThrottler>,
    pub(super) ticket: Ticket,
    pub(super) granted: PermitReceiver,
    /// Its place among the requests of all revisions.
    pub(super) _place: WaitingPlace,
}

impl Waiting {
    /// Resolves when an instance is granted, or the request is refused.
    pub(crate) async fn granted(&mut self) -> Result<Permit, Refusal> {
        // A closed channel means that the queue refused this request.
        let permit = (&mut self.granted).await.map_err(|_| Refusal::WaitedTooLong)?;
        Ok(*permit)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let left = self.throttler.state.lock().leave_queue(self.ticket);
        if left.is_some() {
            self.throttler.tell_demand();
        }
        drop(left);
    }
}

impl InFlightGuard {
    /// Waits for an instance with room. A request that waits again, because its instance could not
    /// be reached, keeps its order among the others. Cancel safe: dropping the future leaves the
    /// queue.
    ///
    /// # Errors
    ///
    /// When the queue is full, or the longest wait has passed since its first attempt.
    pub async fn permit(&mut self) -> Result<Permit, Refusal> {
        let mut waiting = match self.ask()? {
            Answer::Permit(permit) => return Ok(permit),
            Answer::Waiting(waiting) => waiting,
        };
        waiting.granted().await
    }

    /// Asks for an instance.
    pub(crate) fn ask(&mut self) -> Result<Answer, Refusal> {
        let throttler = &self.throttler;
        let now = throttler.now();
        let (asked, seeks) = {
            let mut state = throttler.state.lock();
            self.cold |= self.arrival.is_none() && state.is_without_instance();
            (state.ask(now, self.arrival, self.attributes), state.wants_streams())
        };
        if seeks {
            throttler.seek_credits();
        }
        match asked {
            Asked::Sent { assignment, deadline } => {
                self.arrival = Some((assignment.order, deadline));
                Ok(Answer::Permit(throttler.permit(assignment)))
            }
            Asked::Waiting { ticket, deadline, granted, first_in_queue, following } => {
                let again = self.arrival.replace((ticket.order(), deadline));
                match following {
                    Following::Begins => throttler.follow_expiry(),
                    Following::GoesOn if again.is_some() => {
                        throttler.deadlines_changed.notify_one();
                    }
                    Following::GoesOn => {}
                }
                if first_in_queue {
                    throttler.queue_formed.notify_one();
                    throttler.needed.notify_waiters();
                }
                let (totals, bytes) = (&throttler.totals, self.attributes.bytes);
                let place = match first_in_queue {
                    true => Some(totals.enter_anyway(bytes)),
                    false => totals.enter(bytes),
                };
                let Some(place) = place else {
                    let refused = throttler.state.lock().refuse(ticket);
                    drop(refused);
                    return Err(Refusal::QueueFull);
                };
                throttler.tell_demand();
                let throttler = Arc::clone(throttler);
                Ok(Answer::Waiting(Waiting { throttler, ticket, granted, _place: place }))
            }
            Asked::Refused(refusal) => Err(refusal),
        }
    }

    /// Resolves when no instance is ready although it has waited for so long, or a multiple of it.
    pub(crate) fn without_instance_for(&self, time: Duration) -> impl Future<Output = ()> + use<> {
        let throttler = Arc::clone(&self.throttler);
        async move {
            loop {
                tokio::time::sleep(time).await;
                if throttler.state.lock().is_without_instance() {
                    return;
                }
            }
        }
    }
}
