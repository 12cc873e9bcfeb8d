//! The async gate: the pure breaker and meter behind one lock, with wakers for those who wait.
//!
//! A request [`Gate::arrive`]s. It gets a [`Permit`], or a [`Waiting`] future that resolves to one,
//! or a refusal. Dropping the permit is the only way a slot is given back, and dropping a waiting
//! future leaves the line (or gives back the slot, if it was called a moment before), so that
//! cancellation at any point loses nothing. Entering without waiting allocates nothing.
//!
//! A permit whose client has gone may be held on for the app ([`Permit::abandon`]): it then counts
//! as before, and in a series of its own.
//!
//! Every decision is [`tidegate_admission`]'s; this module only remembers whom to wake.
//!
//! Modules in reading order: `state` what the lock guards, `core` what may happen to it
//! (generic over the lock, so that loom can model it), then the tokio face below.

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
use tidegate_admission::{
    Abandoned, Breaker, Limit, Meter, Moment, QueueSettings, Refusal, Source,
};
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep};

use self::core::{Core, Env, Place, Slot};
use self::state::State;
pub use self::state::{Levels, PeriodStats};

/// What happens to a request that arrives at the gate.
#[derive(Debug)]
pub enum Admission {
    /// It may run for as long as it holds the permit.
    Entered(Permit),
    /// It stands in line: await the permit.
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
    /// A gate that nobody has entered yet.
    pub fn new(limit: Limit, line: QueueSettings) -> Self {
        let state = State::new(Breaker::new(limit, line), Meter::new(Moment::ZERO));
        let ground = TokioEnv {
            opened: Instant::now(),
            state: Mutex::new(state),
            line_formed: Notify::new(),
        };
        Self { core: Arc::new(Core::new(ground)) }
    }

    /// A request arrives. It is counted from now on until its permit or its place is dropped.
    pub fn arrive(&self, source: Source) -> Admission {
        match self.core.arrive(source) {
            Ok(Ok(slot)) => Admission::Entered(Permit { slot }),
            Ok(Err(place)) => {
                let deadline = place.deadline().map(|at| self.core.env().instant(at));
                let sleep = deadline.map(|at| Box::pin(tokio::time::sleep_until(at)));
                Admission::Waiting(Waiting { place, sleep })
            }
            Err(refusal) => Admission::Refused(refusal),
        }
    }

    /// Arrives, and waits if it must. Cancel safe: dropping the future leaves the line.
    ///
    /// # Errors
    ///
    /// [`Refusal::LineFull`] at once, [`Refusal::WaitedTooLong`] after the line's longest wait.
    pub async fn enter(&self, source: Source) -> Result<Permit, Refusal> {
        match self.arrive(source) {
            Admission::Entered(permit) => Ok(permit),
            Admission::Waiting(waiting) => waiting.await,
            Admission::Refused(refusal) => Err(refusal),
        }
    }

    /// Changes the limit at once. Those inside finish; those in line enter as there is room.
    pub fn resize(&self, limit: Limit) {
        self.core.resize(limit);
    }

    /// Changes the bounds of the line for those who arrive from now on.
    pub fn set_queue(&self, line: QueueSettings) {
        self.core.env().with(|state| state.breaker.set_queue(line));
    }

    /// Closes the period of the statistics and opens the next.
    pub fn cut(&self) -> PeriodStats {
        let now = self.core.env().now();
        self.core.env().with(|state| state.cut(now))
    }

    /// How many execute and wait now, and the limit in force.
    pub fn levels(&self) -> Levels {
        self.core.env().with(|state| state.levels())
    }

    /// How long the gate has existed.
    pub fn uptime(&self) -> Duration {
        self.core.env().opened.elapsed()
    }

    /// Resolves when a request had to wait while nobody else did. Wake-ups do not pile up: a line
    /// that formed while nobody awaited this resolves the next call at once. Cancel safe.
    pub async fn queue_formed(&self) {
        self.core.env().line_formed.notified().await;
    }

    /// Resolves when nobody is inside, executing or waiting. Cancel safe.
    pub async fn empty(&self) {
        std::future::poll_fn(|context| self.core.poll_empty(context.waker())).await;
    }
}

/// The right to run. Dropping it gives the slot to the next in line.
#[derive(Debug)]
pub struct Permit {
    slot: Slot<TokioEnv>,
}

impl Permit {
    /// The request's client has gone, or its time is up, while the app works at it. Counts it, and
    /// gives how long the permit is to be held at most; `None` lets it go. Call it once.
    pub fn abandon(&mut self, rule: Abandoned) -> Option<Duration> {
        self.slot.abandon(rule)
    }
}

/// A place in line: resolves to a permit, or to [`Refusal::WaitedTooLong`].
///
/// Dropping it leaves the line. It must not be polled again after it has resolved; if it is, it
/// stays pending.
#[derive(Debug)]
#[must_use = "a place in line is left when this is dropped"]
pub struct Waiting {
    place: Place<TokioEnv>,
    /// Only with a longest wait: the line's own deadline.
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
                // The timer must not be polled again, and once is enough: the line's deadlines
                // rise, so this one has expired with all before it.
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
    line_formed: Notify,
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
        self.line_formed.notify_one();
    }
}
