//! A request's place in the queue.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tidegate_admission::{Moment, Refusal, Ticket};
use tokio::sync::oneshot;

use super::{InFlightGuard, Permit, RevisionThrottler};
use crate::waiting_totals::WaitingPlace;

/// A place in the queue. Its drop leaves the queue; a permit that was granted a moment before is
/// dropped with the receiving end, and passes its room on.
pub(super) struct Waiting {
    pub(super) throttler: Arc<RevisionThrottler>,
    pub(super) ticket: Ticket,
    pub(super) granted: oneshot::Receiver<Permit>,
    /// Its place among the requests of all revisions.
    pub(super) _place: WaitingPlace,
}

impl Waiting {
    /// Resolves when an instance is granted, or the request is refused.
    pub(super) async fn granted(mut self) -> Result<Permit, Refusal> {
        let throttler = Arc::clone(&self.throttler);
        loop {
            // Before the deadline is read, so that no change of it is missed.
            let mut bounds_changed = pin!(throttler.bounds_changed.notified());
            bounds_changed.as_mut().enable();
            let deadline = throttler.state.lock().dispatcher().deadline_of(self.ticket);
            let deadline = deadline.unwrap_or(Moment::NEVER);
            tokio::select! {
                biased;
                // A closed channel means that the queue refused this request.
                permit = &mut self.granted => return permit.map_err(|_| Refusal::WaitedTooLong),
                () = throttler.reached(deadline) => throttler.expire(),
                () = bounds_changed => {}
            }
        }
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
