//! The async gate: the pure breaker and meter behind one lock, with wakers for requests that wait.
//!
//! A request [`Gate::arrive`]s. It gets a [`Permit`], or a [`Waiting`] future that resolves to one,
//! or a refusal. Dropping the permit is the only way a slot is given back, and dropping a waiting
//! future leaves the queue (or gives back the slot, if it was granted a moment before), so that
//! cancellation at any point loses nothing. Entering without waiting allocates nothing.
//!
//! A permit whose client has gone may be held until the app is done ([`Permit::abandon`]): it then
//! counts as before, and in a series of its own.
//!
//! Front doors hold [credits](tidegate_admission::credits) of the gate's slots while their
//! [`Door`]s live; a request that shows one [enters](Gate::arrive_with) without waiting.
//!
//! Every decision is [`tidegate_admission`]'s; this module only keeps the wakers.
//!
//! Modules in reading order: `state`, what the lock protects; `core`, the operations on it, generic
//! over the lock so that loom can model them; then the types below, which tie both to tokio.

mod core;
#[cfg(test)]
mod model;
mod state;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use parking_lot::Mutex;
use tidegate_admission::credits::{DoorId, Grantor, Orders, Report};
use tidegate_admission::{Abandoned, Limit, Meter, Moment, QueueSettings, Refusal, Source};
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep};

use self::core::{Core, Env, QueuePlace, Slot};
use self::state::State;
pub use self::state::{Levels, PeriodStats};

/// What happens to a request that arrives at the gate.
#[derive(Debug)]
pub enum Admission {
    /// It may run for as long as it holds the permit.
    Entered(Permit),
    /// It waits in the queue: await the permit.
    Waiting(Waiting),
    /// It may neither enter nor wait.
    Refused(Refusal),
}

/// One instance's gate. Cheap to clone; all clones are the same gate.
#[derive(Debug, Clone)]
pub struct Gate {
    core: Arc<Core<TokioEnv>>,
}

impl Gate {
    /// A gate without requests.
    pub fn new(limit: Limit, queue: QueueSettings) -> Self {
        let state = State::new(Grantor::new(limit, queue), Meter::new(Moment::ZERO));
        let env = TokioEnv {
            opened: Instant::now(),
            state: Mutex::new(state),
            queue_formed: Notify::new(),
        };
        Self { core: Arc::new(Core::new(env)) }
    }

    /// A request arrives. It is counted until its permit or its place in the queue is dropped.
    pub fn arrive(&self, source: Source) -> Admission {
        self.arrive_with(source, None)
    }

    /// A request arrives with a credit. One that is good lets it in at once.
    pub fn arrive_with(&self, source: Source, credit: Option<(DoorId, u64)>) -> Admission {
        match self.core.arrive(source, credit) {
            Ok(Ok(slot)) => Admission::Entered(Permit { slot }),
            Ok(Err(place)) => {
                let deadline = place.deadline().map(|at| self.core.env().instant(at));
                let sleep = deadline.map(|at| Box::pin(tokio::time::sleep_until(at)));
                Admission::Waiting(Waiting { place, sleep })
            }
            Err(refusal) => Admission::Refused(refusal),
        }
    }

    /// A front door opens its stream. `None` if it cannot hold credits: there is no limit, or too
    /// many doors are open.
    pub fn open_door(&self) -> Option<Door> {
        self.core.open_door().map(|door| Door { door })
    }

    /// Arrives, and waits if it must. Cancel safe: dropping the future leaves the queue.
    ///
    /// # Errors
    ///
    /// [`Refusal::QueueFull`] at once, [`Refusal::WaitedTooLong`] after the queue's longest wait.
    pub async fn enter(&self, source: Source) -> Result<Permit, Refusal> {
        match self.arrive(source) {
            Admission::Entered(permit) => Ok(permit),
            Admission::Waiting(waiting) => waiting.await,
            Admission::Refused(refusal) => Err(refusal),
        }
    }

    /// Changes the limit at once. Requests inside finish; those that wait enter as there is room.
    pub fn resize(&self, limit: Limit) {
        self.core.resize(limit);
    }

    /// Changes the bounds of the queue for requests that arrive from now on.
    pub fn set_queue(&self, queue: QueueSettings) {
        self.core.env().with(|state| state.grantor.set_queue(queue));
    }

    /// The statistics since the last call; begins the next period.
    pub fn take_period(&self) -> PeriodStats {
        let now = self.core.env().now();
        self.core.env().with(|state| state.take_period(now))
    }

    /// How many execute and wait now, and the limit in force.
    pub fn levels(&self) -> Levels {
        self.core.env().with(|state| state.levels())
    }

    /// How long the gate has existed.
    pub fn uptime(&self) -> Duration {
        self.core.env().opened.elapsed()
    }

    /// Resolves when a request joins the empty queue. Wake-ups do not pile up: a queue that formed
    /// while this was not awaited resolves the next call at once. Cancel safe.
    pub async fn queue_formed(&self) {
        self.core.env().queue_formed.notified().await;
    }

    /// Resolves when no request is inside, executing or waiting. Cancel safe.
    pub async fn empty(&self) {
        std::future::poll_fn(|context| self.core.poll_empty(context.waker())).await;
    }
}

/// The right to run. Dropping it gives the slot to the next in the queue.
#[derive(Debug)]
pub struct Permit {
    slot: Slot<TokioEnv>,
}

impl Permit {
    /// The request's client has gone, or its time is up, while the app works on it. Counts it, and
    /// gives how long the permit is to be held at most; `None` releases it. Call it once.
    pub fn abandon(&mut self, rule: Abandoned) -> Option<Duration> {
        self.slot.abandon(rule)
    }
}

/// A front door that may hold credits. Dropping it voids them.
#[derive(Debug)]
pub struct Door {
    door: core::Door<TokioEnv>,
}

impl Door {
    /// What its requests name it by.
    pub fn id(&self) -> DoorId {
        self.door.id()
    }

    /// Takes what the front door says.
    pub fn report(&self, report: &Report) {
        self.door.report(report);
    }

    /// What the front door is to be told, once there is something.
    pub fn poll_orders(&self, context: &Context<'_>) -> Poll<Orders> {
        self.door.poll_orders(context.waker())
    }

    /// When the front door must have answered what it was told, if it has not.
    pub fn answer_due(&self) -> Option<Instant> {
        self.door.answer_due().map(|due| self.door.core().env().instant(due))
    }

    /// The moment that was `wait` ago.
    pub fn ago(&self, wait: Duration) -> Moment {
        let now = self.door.core().env().now().since(Moment::ZERO);
        Moment::from(now.saturating_sub(wait))
    }
}

/// A place in the queue: resolves to a permit, or to [`Refusal::WaitedTooLong`].
///
/// Dropping it leaves the queue. It must not be polled again after it has resolved; if it is, it
/// stays pending.
#[derive(Debug)]
#[must_use = "the queue is left when this is dropped"]
pub struct Waiting {
    place: QueuePlace<TokioEnv>,
    /// Only with a longest wait: this request's deadline.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Future for Waiting {
    type Output = Result<Permit, Refusal>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let mut outcome = this.place.poll(context.waker());
        if outcome.is_pending() {
            let passed = this.sleep.as_mut().map(|sleep| sleep.as_mut().poll(context));
            if passed == Some(Poll::Ready(())) {
                // The timer must not be polled again, and once is enough: deadlines rise along the
                // queue, so this request has expired with all before it.
                this.sleep = None;
                this.place.expire();
                outcome = this.place.poll(context.waker());
            }
        }
        outcome.map(|outcome| outcome.map(|slot| Permit { slot }))
    }
}

/// The gate's clock and lock in production.
#[derive(Debug)]
struct TokioEnv {
    opened: Instant,
    state: Mutex<State>,
    queue_formed: Notify,
}

impl TokioEnv {
    fn instant(&self, moment: Moment) -> Instant {
        self.opened + moment.since(Moment::ZERO)
    }
}

impl Env for TokioEnv {
    fn with<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        change(&mut self.state.lock())
    }

    fn now(&self) -> Moment {
        Moment::from(self.opened.elapsed())
    }

    fn queue_formed(&self) {
        self.queue_formed.notify_one();
    }
}
