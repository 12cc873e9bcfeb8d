//! The gate's concurrency, generic over lock and clock.
//!
//! The rules that make it safe are few, and the loom model in `model.rs` checks them: every change
//! happens under the one lock; a waiter learns its outcome from the state, to which a wake-up is
//! only the hint; wakers run after the lock is released; and dropping a guard settles its account.

use std::fmt;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use tidegate_admission::credits::{DoorId, Occupant, Orders, Report};
use tidegate_admission::{Abandoned, Limit, Moment, Refusal, Source};

use super::state::{Arrived, Key, State};

/// A lock around the state, and a clock.
pub(super) trait Env {
    /// Changes the state under the lock.
    fn with<R>(&self, change: impl FnOnce(&mut State) -> R) -> R;
    /// The time.
    fn now(&self) -> Moment;
    /// A request waits in a queue that was empty.
    fn queue_formed(&self);
}

#[derive(Debug)]
pub(super) struct Core<G> {
    env: G,
}

impl<G: Env> Core<G> {
    pub(super) fn new(env: G) -> Self {
        Self { env }
    }

    pub(super) fn env(&self) -> &G {
        &self.env
    }

    /// A slot, or a place in the queue, or a refusal, for a request that shows this credit.
    pub(super) fn arrive(
        self: &Arc<Self>,
        source: Source,
        credit: Option<(DoorId, u64)>,
    ) -> Result<Result<Slot<G>, QueuePlace<G>>, Refusal> {
        let now = self.env.now();
        let (arrived, to_wake) = self.env.with(|state| state.arrive(now, source, credit));
        to_wake.wake();
        match arrived {
            Arrived::Entered(occupant) => Ok(Ok(Slot::new(Arc::clone(self), source, occupant))),
            Arrived::Waiting { key, deadline, first_in_queue } => {
                let place = QueuePlace { core: Arc::clone(self), source, key: Some(key), deadline };
                if first_in_queue {
                    self.env.queue_formed();
                }
                Ok(Err(place))
            }
            Arrived::Refused(refusal) => Err(refusal),
        }
    }

    pub(super) fn resize(&self, limit: Limit) {
        self.env.with(|state| state.resize(limit)).wake();
    }

    pub(super) fn poll_empty(&self, waker: &Waker) -> Poll<()> {
        self.env.with(|state| state.poll_empty(waker))
    }

    /// A front door, until it is dropped; `None` if it cannot hold credits.
    pub(super) fn open_door(self: &Arc<Self>) -> Option<Door<G>> {
        let now = self.env.now();
        let id = self.env.with(|state| state.open_door(now))?;
        Some(Door { core: Arc::clone(self), id })
    }
}

/// A front door's stream. Its drop voids the credits that came by it.
pub(super) struct Door<G: Env> {
    core: Arc<Core<G>>,
    id: DoorId,
}

impl<G: Env> Door<G> {
    pub(super) fn id(&self) -> DoorId {
        self.id
    }

    pub(super) fn core(&self) -> &Core<G> {
        &self.core
    }

    pub(super) fn report(&self, report: &Report) {
        let now = self.core.env.now();
        self.core.env.with(|state| state.report(now, self.id, report)).wake();
    }

    pub(super) fn poll_orders(&self, waker: &Waker) -> Poll<Orders> {
        let now = self.core.env.now();
        self.core.env.with(|state| state.poll_orders(now, self.id, waker))
    }

    /// When the front door must have answered.
    pub(super) fn answer_due(&self) -> Option<Moment> {
        self.core.env.with(|state| state.grantor.answer_due(self.id))
    }
}

impl<G: Env> Drop for Door<G> {
    fn drop(&mut self) {
        self.core.env.with(|state| state.close_door(self.id)).wake();
    }
}

impl<G: Env> fmt::Debug for Door<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A slot; its drop is the only way it is given back.
pub(super) struct Slot<G: Env> {
    core: Arc<Core<G>>,
    source: Source,
    occupant: Occupant,
    holder: Holder,
}

/// For whom a slot is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holder {
    /// A client that waits for the response.
    Client,
    /// The app alone: the client has gone, the work has not ended.
    App,
}

impl<G: Env> Slot<G> {
    fn new(core: Arc<Core<G>>, source: Source, occupant: Occupant) -> Self {
        Self { core, source, occupant, holder: Holder::Client }
    }

    /// The client has gone. Gives how long the slot may be held for the app.
    pub(super) fn abandon(&mut self, rule: Abandoned) -> Option<Duration> {
        debug_assert_eq!(self.holder, Holder::Client, "a slot is abandoned once");
        let longest = self.core.env.with(|state| state.abandon(rule));
        if longest.is_some() {
            self.holder = Holder::App;
        }
        longest
    }
}

impl<G: Env> Drop for Slot<G> {
    fn drop(&mut self) {
        let (now, source, occupant) = (self.core.env.now(), self.source, self.occupant);
        let to_wake = self.core.env.with(|state| match self.holder {
            Holder::Client => state.leave(now, source, occupant),
            Holder::App => state.leave_abandoned(now, source, occupant),
        });
        to_wake.wake();
    }
}

impl<G: Env> fmt::Debug for Slot<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot").field("source", &self.source).finish_non_exhaustive()
    }
}

/// A place in the queue. Once its outcome is taken, `key` is `None` and the account is settled.
pub(super) struct QueuePlace<G: Env> {
    core: Arc<Core<G>>,
    source: Source,
    key: Option<Key>,
    deadline: Moment,
}

impl<G: Env> QueuePlace<G> {
    /// When the queue refuses it; `None` if it may wait for ever.
    pub(super) fn deadline(&self) -> Option<Moment> {
        (self.deadline != Moment::NEVER).then_some(self.deadline)
    }

    pub(super) fn poll(&mut self, waker: &Waker) -> Poll<Result<Slot<G>, Refusal>> {
        let Some(key) = self.key else { return Poll::Pending };
        let outcome = self.core.env.with(|state| state.poll(key, waker));
        let Poll::Ready(outcome) = outcome else { return Poll::Pending };
        self.key = None;
        Poll::Ready(match outcome {
            Ok(()) => Ok(Slot::new(Arc::clone(&self.core), self.source, Occupant::Plain)),
            Err(refusal) => {
                let now = self.core.env.now();
                self.core.env.with(|state| state.depart_refused(now, self.source)).wake();
                Err(refusal)
            }
        })
    }

    /// Refuses all requests whose time is up.
    ///
    /// A timer may fire a moment early by rounding, hence "now, or the own deadline".
    pub(super) fn expire(&self) {
        let now = self.core.env.now().max(self.deadline);
        self.core.env.with(|state| state.expire(now)).wake();
    }
}

impl<G: Env> Drop for QueuePlace<G> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            let now = self.core.env.now();
            self.core.env.with(|state| state.cancel(now, key, self.source)).wake();
        }
    }
}

impl<G: Env> fmt::Debug for QueuePlace<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueuePlace").field("key", &self.key).finish_non_exhaustive()
    }
}
