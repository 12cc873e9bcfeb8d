//! One revision's queue and instances: the pure dispatcher and meter behind one lock.
//!
//! A request first gets an [`InFlightGuard`], which counts it as long as it lives, and then waits
//! for a [`Permit`]: an instance with room, and the right to send it one request. While no instance
//! has room the request waits in the queue. Only dropping the permit gives the room back; dropping
//! the future of [`InFlightGuard::permit`] leaves the queue. Every choice is
//! [`tidegate_admission`]'s.
//!
//! An instance that cannot be reached is ejected (`ejection` decides for how long, `recovery`
//! readmits it); how long one may take to accept a connection is learned (`budget`).

mod budget;
mod ejection;
mod recovery;
mod state;

use std::pin::pin;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use parking_lot::Mutex;
use tidegate_admission::{
    Abandoned, DispatcherSettings, InstanceId, Moment, Refusal, Source, Ticket,
};
use tidegate_relay::{Address, Upstream};
use tidegate_reporter::{Endpoint, RevisionName};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

pub use self::ejection::{FIRST_EJECTION, LONGEST_EJECTION, Unreachable};
use self::state::{Assignment, Deliveries, State};
pub use self::state::{PeriodStats, Status};

/// Holds and balances the requests of one revision. Shared by its requests, the listener and the
/// stats reporter.
#[derive(Debug)]
pub struct RevisionThrottler {
    revision: RevisionName,
    opened: Instant,
    state: Mutex<State>,
    queue_formed: Notify,
    /// Wakes the recovery tasks: a request may need an instance that is ejected.
    needed: Notify,
    /// Wakes the requests that wait: they may have to leave earlier.
    bounds_changed: Notify,
}

impl RevisionThrottler {
    /// Without instances: every request waits.
    pub fn new(revision: RevisionName, settings: DispatcherSettings) -> Arc<Self> {
        Arc::new(Self {
            revision,
            opened: Instant::now(),
            state: Mutex::new(State::new(settings)),
            queue_formed: Notify::new(),
            needed: Notify::new(),
            bounds_changed: Notify::new(),
        })
    }

    /// The revision that it serves.
    pub fn revision(&self) -> &RevisionName {
        &self.revision
    }

    /// A request arrives; it counts until the guard is dropped.
    pub fn arrive(self: &Arc<Self>) -> InFlightGuard {
        let now = self.now();
        self.state.lock().meter.arrive(now, Source::Direct);
        InFlightGuard {
            throttler: Arc::clone(self),
            arrival: None,
            cold: false,
            outcome: RequestOutcome::Responded,
        }
    }

    /// A connection of the revision is held until an instance is there that others choose; until
    /// the guard is dropped it counts as a request that waits. Whose connection it becomes then
    /// counts it: the sidecar beside that instance.
    pub fn hold_connection(self: &Arc<Self>) -> HeldConnection {
        let now = self.now();
        if self.state.lock().hold_connection(now) {
            self.queue_formed.notify_one();
        }
        HeldConnection { throttler: Arc::clone(self) }
    }

    /// Replaces the instances. One that is no longer listed gets no new request and is
    /// forgotten when its last request is done; its count stays true if it is listed again before.
    pub fn set_endpoints(self: &Arc<Self>, endpoints: &[Endpoint]) {
        let deliveries = self.state.lock().set_endpoints(endpoints);
        self.deliver(deliveries);
    }

    /// Changes the bounds of its queue: how many may wait counts for requests that arrive from now
    /// on, how long also for those that wait.
    pub fn set_queue_bounds(&self, max_waiting: u32, longest_wait: Option<Duration>) {
        let now = self.now();
        if self.state.lock().dispatcher().set_queue_bounds(now, max_waiting, longest_wait) {
            self.bounds_changed.notify_waiters();
        }
    }

    /// The statistics since the last call; begins the next period.
    pub fn take_period(&self) -> PeriodStats {
        let now = self.now();
        self.state.lock().take_period(now)
    }

    /// Counts and totals as they are now.
    pub fn status(&self) -> Status {
        self.state.lock().status()
    }

    /// Resolves when a request joins the empty queue; at once if that happened since the last call.
    /// Cancel safe.
    pub async fn queue_formed(&self) {
        self.queue_formed.notified().await;
    }

    /// Resolves when no request is in flight, waiting or sent. Cancel safe.
    pub async fn empty(&self) {
        std::future::poll_fn(|context| self.state.lock().poll_empty(context.waker())).await;
    }

    /// Closes connections to instances that have been idle for too long.
    pub(crate) fn close_expired(&self) {
        // Closing takes system calls: not under the lock that requests need.
        let backends = self.state.lock().backends();
        for backend in backends {
            backend.upstream.close_expired();
        }
    }

    fn now(&self) -> Moment {
        Moment::from(self.opened.elapsed())
    }

    /// Resolves at a moment; never at [`Moment::NEVER`].
    async fn reached(&self, moment: Moment) {
        if moment == Moment::NEVER {
            return std::future::pending().await;
        }
        tokio::time::sleep_until(self.opened + moment.since(Moment::ZERO)).await;
    }

    /// Sends the permits that were granted. Never called with the lock held: a permit whose request
    /// has left the queue is dropped here, and takes the lock itself to give its room back.
    fn deliver(self: &Arc<Self>, deliveries: Deliveries) {
        for (to, assignment) in deliveries {
            drop(to.send(self.permit(assignment)));
        }
    }

    fn permit(self: &Arc<Self>, assignment: Assignment) -> Permit {
        let Assignment { id, order, backend, budget } = assignment;
        let instance = Instance { throttler: Arc::clone(self), id, backend };
        Permit { instance, order, budget, holder: Holder::Client }
    }

    fn expire(&self) {
        let now = self.now();
        let expired = self.state.lock().expire(now);
        // Dropping the sending ends, outside the lock, refuses the requests that waited.
        drop(expired);
    }

    /// Refuses every request that waits.
    pub(crate) fn refuse_waiting(&self) {
        let waiting = self.state.lock().expire(Moment::NEVER);
        drop(waiting);
    }

    /// Ejects an instance, and starts the task that readmits it.
    fn eject(self: &Arc<Self>, instance: InstanceId, how: Unreachable) {
        let ejected = self.state.lock().eject(instance, how);
        if let Some(out_for) = ejected {
            self.needed.notify_waiters();
            tokio::spawn(recovery::recover(Arc::downgrade(self), instance, out_for));
        }
    }

    /// An ejected instance that is still to be probed.
    fn ejected(&self, instance: InstanceId) -> Option<Arc<Backend>> {
        self.state.lock().ejected(instance)
    }

    /// Probing an ejected instance failed. Gives the time until the next probe.
    fn failed_again(&self, instance: InstanceId, how: Option<Unreachable>) -> Duration {
        let how = how.unwrap_or(Unreachable::Refused);
        self.state.lock().failed_again(instance, how)
    }

    /// An ejected instance accepted a connection.
    fn readmit(self: &Arc<Self>, instance: InstanceId, took: Duration) {
        let deliveries = self.state.lock().readmit(instance, took);
        self.deliver(deliveries);
    }

    fn wake(watchers: Vec<Waker>) {
        for watcher in watchers {
            watcher.wake();
        }
    }
}

/// A connection that is held, counted for as long as this lives.
#[derive(Debug)]
pub struct HeldConnection {
    throttler: Arc<RevisionThrottler>,
}

impl Drop for HeldConnection {
    fn drop(&mut self) {
        let now = self.throttler.now();
        let watchers = self.throttler.state.lock().release_connection(now);
        RevisionThrottler::wake(watchers);
    }
}

/// A request in flight, counted for as long as this lives.
#[derive(Debug)]
pub struct InFlightGuard {
    throttler: Arc<RevisionThrottler>,
    /// Order and deadline of the first attempt to get an instance.
    arrival: Option<(u64, Moment)>,
    /// Whether no instance was ready when it arrived.
    cold: bool,
    outcome: RequestOutcome,
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
        let throttler = Arc::clone(&self.throttler);
        let now = throttler.now();
        let asked = {
            let mut state = throttler.state.lock();
            self.cold |= self.arrival.is_none() && state.is_without_instance();
            state.ask(now, self.arrival)
        };
        let waiting = match asked {
            state::Asked::Sent { assignment, deadline } => {
                self.arrival = Some((assignment.order, deadline));
                return Ok(throttler.permit(assignment));
            }
            state::Asked::Waiting { ticket, deadline, granted, first_in_queue } => {
                self.arrival = Some((ticket.order(), deadline));
                if first_in_queue {
                    throttler.queue_formed.notify_one();
                    throttler.needed.notify_waiters();
                }
                Waiting { throttler: Arc::clone(&throttler), ticket, granted }
            }
            state::Asked::Refused(refusal) => return Err(refusal),
        };
        waiting.granted().await
    }

    /// The revision that it is for.
    pub fn revision(&self) -> &RevisionName {
        self.throttler.revision()
    }

    /// Whether no instance was ready when it first asked for one.
    pub fn is_cold(&self) -> bool {
        self.cold
    }

    /// The request got no response from the instance; counted when the guard is dropped.
    pub fn mark_failed(&mut self) {
        self.outcome = RequestOutcome::Failed;
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        let now = self.throttler.now();
        let watchers = self.throttler.state.lock().depart(now, self.outcome);
        RevisionThrottler::wake(watchers);
    }
}

/// How a request ended, as the report to the controller counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RequestOutcome {
    /// The instance responded, or it never reached one.
    Responded,
    /// The instance that it was for failed.
    Failed,
}

/// The right to send one request to one instance. Dropping it gives the room to the next in the
/// queue.
#[derive(Debug)]
pub struct Permit {
    instance: Instance,
    order: u64,
    budget: Duration,
    holder: Holder,
}

/// For whom room at an instance is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holder {
    /// A client that waits for the response.
    Client,
    /// The instance alone: the client has gone, the work has not ended.
    Instance,
}

impl Permit {
    /// The instance that it is for.
    pub fn instance(&self) -> &Instance {
        &self.instance
    }

    /// The request's place among all arrivals.
    pub fn order(&self) -> u64 {
        self.order
    }

    /// How long the instance may take to accept a connection.
    pub fn connect_budget(&self) -> Duration {
        self.budget
    }

    /// The request's client has gone, or its time is up, while the instance works on it. Counts
    /// it, and gives how long the permit is to be held at most; `None` releases it. While it is
    /// held the request counts as in flight. Call it once.
    pub fn abandon(&mut self, rule: Abandoned) -> Option<Duration> {
        let Instance { throttler, id, .. } = &self.instance;
        let longest = throttler.state.lock().abandon(throttler.now(), *id, rule);
        if longest.is_some() {
            self.holder = Holder::Instance;
        }
        longest
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let Instance { throttler, id, .. } = &self.instance;
        if self.holder == Holder::Instance {
            let watchers = throttler.state.lock().end_abandoned(throttler.now());
            RevisionThrottler::wake(watchers);
        }
        let deliveries = throttler.state.lock().give_back(*id);
        throttler.deliver(deliveries);
    }
}

/// An instance of a revision. Cheap to clone; holds no room at it.
#[derive(Debug, Clone)]
pub struct Instance {
    throttler: Arc<RevisionThrottler>,
    id: InstanceId,
    backend: Arc<Backend>,
}

impl Instance {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.backend.name
    }

    /// Its name, to be kept.
    pub(crate) fn shared_name(&self) -> Arc<str> {
        Arc::clone(&self.backend.name)
    }

    /// Its address and the connections to it.
    pub fn upstream(&self) -> &Upstream {
        &self.backend.upstream
    }

    /// Whether the controller still lists it.
    pub fn is_listed(&self) -> bool {
        self.throttler.state.lock().is_listed(self.id)
    }

    /// It could not be reached: it gets no more requests until it accepts a connection again. It is
    /// probed for the first time after [`FIRST_EJECTION`], or at once when a request waits that no
    /// other instance can take.
    pub fn unreachable(&self, how: Unreachable) {
        if how == Unreachable::Silent {
            // The idle connections lead to the same silent address.
            self.backend.upstream.close_idle();
        }
        self.throttler.eject(self.id, how);
    }

    /// A connection to it was made in `took`.
    pub fn connected(&self, took: Duration) {
        self.throttler.state.lock().connected(self.id, took);
    }
}

/// Name and connections of an instance.
#[derive(Debug)]
struct Backend {
    name: Arc<str>,
    upstream: Upstream,
}

/// Reads `host:port` with a numeric host, or `unix:` and a path.
pub(crate) fn parse_address(text: &str) -> Option<Address> {
    match text.strip_prefix("unix:") {
        Some(path) if !path.is_empty() => Some(Address::Unix(path.into())),
        Some(_) => None,
        None => text.parse().ok().map(Address::Tcp),
    }
}

/// A place in the queue. Its drop leaves the queue; a permit that was granted a moment before is
/// dropped with the receiving end, and passes its room on.
struct Waiting {
    throttler: Arc<RevisionThrottler>,
    ticket: Ticket,
    granted: oneshot::Receiver<Permit>,
}

impl Waiting {
    async fn granted(mut self) -> Result<Permit, Refusal> {
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
        drop(left);
    }
}
