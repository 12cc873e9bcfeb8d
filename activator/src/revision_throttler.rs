//! One revision's queue and instances: the pure dispatcher and meter behind one lock.
//!
//! A request first gets an [`InFlightGuard`], which counts it as long as it lives, and then waits
//! for a [`Permit`]: an instance with room, and the right to send it one request. While no instance
//! has room the request waits in the queue. Only dropping the permit gives the room back; dropping
//! the future of [`InFlightGuard::permit`] leaves the queue. Every choice is
//! [`tidegate_admission`]'s.
//!
//! An instance that cannot be reached is ejected (`ejection` decides for how long, `recovery`
//! readmits it, with `sidecar_probe`); how long one may take to accept a connection is learned
//! (`budget`). `state` is what the lock protects, `roster` its instances and `backend` one of them,
//! `statistics` its numbers; `waiting` is a place in the queue, `expiry` its end, `rules` are how
//! many have one and whose turn it is, `slow_start` spares new instances without a limit,
//! `cold_starts` is how instances came up, and `starts` what is said of that. Instances behind
//! several activators grant each `credit` by streams (`credits`); `second_attempts` has the budgets
//! of retries and hedges.

mod backend;
mod budget;
mod cold_starts;
mod credit;
mod credits;
mod ejection;
mod expiry;
pub(crate) mod hedger;
mod held_connection;
mod recovery;
mod roster;
mod rules;
mod second_attempts;
mod settings;
mod sidecar_probe;
mod slow_start;
mod starts;
mod state;
mod statistics;
pub(crate) mod waiting;

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use tidegate_admission::outliers::{Outcome, Sign};
use tidegate_admission::{Abandoned, Attributes, InstanceId, Moment, OutlierSettings, Source};
use tidegate_relay::{Upstream, http::HeaderValue};
use tidegate_reporter::{Endpoint, RevisionName};
use tokio::sync::Notify;
use tokio::time::Instant;

use self::backend::Backend;
pub(crate) use self::backend::parse_address;
pub use self::cold_starts::ColdStart;
use self::cold_starts::ColdStarts;
use self::credit::Credit;
pub use self::credit::{CREDIT_STREAMS_MAX, CreditSettings};
pub use self::ejection::{FIRST_EJECTION, LONGEST_EJECTION, Unreachable};
pub(crate) use self::second_attempts::HedgeOutcome;
pub use self::settings::ThrottlerSettings;
use self::state::{Assignment, Deliveries, State};
pub use self::statistics::{PeriodStats, Status};
use crate::request_keys::RequestKeys;
use crate::waiting_totals::WaitingTotals;

/// Holds and balances the requests of one revision. Shared by its requests, the listener and the
/// stats reporter.
#[derive(Debug)]
pub struct RevisionThrottler {
    revision: RevisionName,
    opened: Instant,
    state: Mutex<State>,
    /// What its requests are ordered and placed by.
    keys: RwLock<Arc<RequestKeys>>,
    totals: Arc<WaitingTotals>,
    /// Whether how requests end is looked at.
    watches_outliers: bool,
    queue_formed: Notify,
    /// Wakes the recovery tasks: a request may need an instance that is ejected.
    needed: Notify,
    /// Wakes the task that refuses who has waited for too long: one may have to leave earlier.
    deadlines_changed: Arc<Notify>,
    cold_starts: Mutex<ColdStarts>,
    /// How credits are asked for; `None` where instances grant none.
    credits: Option<CreditSettings>,
    /// Wakes the streams by which they come: there may be something to be told.
    stirred: Arc<Notify>,
}

impl RevisionThrottler {
    /// Without instances: every request waits.
    pub fn new(revision: RevisionName, settings: impl Into<ThrottlerSettings>) -> Arc<Self> {
        let settings = settings.into();
        let watches_outliers = settings.outliers != OutlierSettings::default();
        Arc::new(Self {
            revision,
            opened: Instant::now(),
            state: Mutex::new(State::new(&settings)),
            keys: RwLock::new(settings.keys),
            totals: settings.totals,
            credits: settings.credits,
            stirred: Arc::default(),
            watches_outliers,
            queue_formed: Notify::new(),
            needed: Notify::new(),
            deadlines_changed: Arc::default(),
            cold_starts: Mutex::default(),
        })
    }

    /// The revision that it serves.
    pub fn revision(&self) -> &RevisionName {
        &self.revision
    }

    /// A request arrives of which nothing is known; it counts until the guard is dropped.
    pub fn arrive(self: &Arc<Self>) -> InFlightGuard {
        self.arrive_with(Attributes::default())
    }

    /// A request arrives; it counts until the guard is dropped.
    pub fn arrive_with(self: &Arc<Self>, attributes: Attributes) -> InFlightGuard {
        let now = self.now();
        self.state.lock().meter.arrive(now, Source::Direct);
        InFlightGuard {
            throttler: Arc::clone(self),
            attributes,
            arrival: None,
            cold: false,
            outcome: RequestOutcome::Responded,
        }
    }

    /// Replaces the instances. One that is no longer listed gets no new request and is
    /// forgotten when its last request is done; its count stays true if it is listed again before.
    pub fn set_endpoints(self: &Arc<Self>, endpoints: &[Endpoint]) {
        let now = self.now();
        let (deliveries, was_slow, is_slow) = {
            let mut state = self.state.lock();
            let was_slow = state.has_slow_starts();
            let deliveries = state.set_endpoints(now, endpoints);
            (deliveries, was_slow, state.has_slow_starts())
        };
        self.deliver(deliveries);
        self.endpoints_changed();
        if is_slow && !was_slow {
            tokio::spawn(slow_start::follow(Arc::downgrade(self)));
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

    /// After how long a client may try again that is refused now.
    pub fn retry_after(&self) -> Duration {
        let now = self.now();
        self.state.lock().retry_after(now)
    }

    /// The moment that lies `left` from now.
    pub fn moment_in(&self, left: Duration) -> Moment {
        self.now().after(left)
    }

    fn now(&self) -> Moment {
        Moment::from(self.opened.elapsed())
    }

    /// When a moment is; `None` for [`Moment::NEVER`].
    fn instant_of(&self, moment: Moment) -> Option<Instant> {
        (moment != Moment::NEVER).then(|| self.opened + moment.since(Moment::ZERO))
    }

    /// Sends the permits that were granted. Never called with the lock held: a permit whose request
    /// has left the queue is dropped here, and takes the lock itself to give its room back.
    fn deliver(self: &Arc<Self>, deliveries: Deliveries) {
        if deliveries.is_empty() {
            return;
        }
        let now = self.now();
        self.state.lock().drained(now, deliveries.len());
        for (to, assignment) in deliveries {
            drop(to.send(Box::new(self.permit(assignment))));
        }
        self.tell_demand();
    }

    fn permit(self: &Arc<Self>, assignment: Assignment) -> Permit {
        let Assignment { id, order, backend, budget, credit } = assignment;
        let instance = Instance { throttler: Arc::clone(self), id, backend };
        Permit { instance, order, budget, credit, holder: Holder::Client }
    }

    fn expire(&self) {
        let now = self.now();
        let expired = self.state.lock().expire(now);
        if expired.is_empty() {
            return;
        }
        // Dropping the sending ends, outside the lock, refuses the requests that waited.
        drop(expired);
        self.tell_demand();
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
            self.stirred.notify_waiters();
            tokio::spawn(recovery::recover(Arc::downgrade(self), instance, (how, out_for)));
        }
    }

    /// A request at an instance ended: it is left alone for a while if it is worse than the others.
    fn ended(self: &Arc<Self>, instance: InstanceId, outcome: Outcome) -> Option<Sign> {
        let (sign, rest) = self.state.lock().ended(instance, outcome)?;
        self.needed.notify_waiters();
        tokio::spawn(recovery::rest(Arc::downgrade(self), instance, rest));
        Some(sign)
    }

    /// An ejected instance that is still to be probed.
    fn ejected(&self, instance: InstanceId) -> Option<Arc<Backend>> {
        self.state.lock().ejected(instance)
    }

    /// Probing an ejected instance failed. Gives the time until the next probe.
    fn failed_again(&self, instance: InstanceId, how: Unreachable) -> Duration {
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

/// A request in flight, counted for as long as this lives.
#[derive(Debug)]
pub struct InFlightGuard {
    throttler: Arc<RevisionThrottler>,
    attributes: Attributes,
    /// Order and deadline of the first attempt to get an instance.
    arrival: Option<(u64, Moment)>,
    /// Whether no instance was ready when it arrived.
    cold: bool,
    outcome: RequestOutcome,
}

impl InFlightGuard {
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
    credit: Option<Credit>,
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

    /// What goes with the request, for the instance to let it in at once.
    pub fn credit(&self) -> Option<HeaderValue> {
        self.credit.as_ref().and_then(Credit::header)
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
        let credit = self.credit.as_ref().map(|credit| credit.spent);
        let deliveries = throttler.state.lock().give_back(*id, credit);
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

    /// Whether it is to be told how requests end.
    pub fn watches_outliers(&self) -> bool {
        self.throttler.watches_outliers
    }

    /// A request that reached it ended. Gives the sign by which it is left alone from now on, if it
    /// is.
    pub fn ended(&self, outcome: Outcome) -> Option<Sign> {
        self.throttler.ended(self.id, outcome)
    }

    /// A connection to it was made in `took`.
    pub fn connected(&self, took: Duration) {
        self.throttler.state.lock().connected(self.id, took);
    }
}
