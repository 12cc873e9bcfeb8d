//! One revision's front door: the pure dispatcher and meter behind one lock.
//!
//! A request first gets a [`Visit`], which counts it for as long as it lives, and then asks for a
//! [`Passage`]: an instance with room, and the right to send it one request. While there is none it
//! stands in line. Dropping the passage is the only way the room is given back; dropping the future
//! of [`Visit::passage`] leaves the line. Every choice is [`tidegate_admission`]'s.
//!
//! An instance that cannot be reached is left out (`ejection` says for how long, `recovery` brings
//! it back); how long one may take to accept a connection is learned (`budget`).

mod budget;
mod ejection;
mod recovery;
mod state;

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
use self::state::{Deliveries, State, Wanted};
pub use self::state::{PeriodStats, Status};

/// A front door. Shared by the requests at it, the listener, and whoever reports its numbers.
#[derive(Debug)]
pub struct RevisionThrottler {
    revision: RevisionName,
    opened: Instant,
    state: Mutex<State>,
    line_formed: Notify,
    /// Tells those who look at instances that are out that a request may need one of them.
    needed: Notify,
}

impl RevisionThrottler {
    /// A door without instances: everyone waits.
    pub fn new(revision: RevisionName, settings: DispatcherSettings) -> Arc<Self> {
        Arc::new(Self {
            revision,
            opened: Instant::now(),
            state: Mutex::new(State::new(settings)),
            line_formed: Notify::new(),
            needed: Notify::new(),
        })
    }

    /// Whose door it is.
    pub fn revision(&self) -> &RevisionName {
        &self.revision
    }

    /// A request arrives; it counts until the visit is dropped.
    pub fn arrive(self: &Arc<Self>) -> InFlightGuard {
        let now = self.now();
        self.state.lock().meter.arrive(now, Source::Direct);
        InFlightGuard { door: Arc::clone(self), arrival: None, failed: false }
    }

    /// Replaces the instances. One that is listed no more gets nothing new and is forgotten when
    /// its last request is done; its count stays true if it is listed again before.
    pub fn set_endpoints(self: &Arc<Self>, endpoints: &[Endpoint]) {
        let deliveries = self.state.lock().set_endpoints(endpoints);
        self.deliver(deliveries);
    }

    /// Closes the period of the statistics and opens the next.
    pub fn cut(&self) -> PeriodStats {
        let now = self.now();
        self.state.lock().cut(now)
    }

    /// How things stand now.
    pub fn status(&self) -> Status {
        self.state.lock().status()
    }

    /// Resolves when a request had to wait while nobody else did; at once if that happened since
    /// the last call. Cancel safe.
    pub async fn queue_formed(&self) {
        self.line_formed.notified().await;
    }

    /// Resolves when no request is at the door, waiting or sent. Cancel safe.
    pub async fn empty(&self) {
        std::future::poll_fn(|context| self.state.lock().poll_empty(context.waker())).await;
    }

    /// Closes connections to instances that have been idle for too long.
    pub(crate) fn close_expired(&self) {
        // Closing takes system calls: not under the lock that requests need.
        let places = self.state.lock().places();
        for place in places {
            place.upstream.close_expired();
        }
    }

    fn now(&self) -> Moment {
        Moment::from(self.opened.elapsed())
    }

    /// Hands passages to those who were granted them. Never called with the lock held: a passage
    /// that nobody wants any more takes the lock itself to give its room back.
    fn deliver(self: &Arc<Self>, deliveries: Deliveries) {
        for (to, wanted) in deliveries {
            drop(to.send(self.permit(wanted)));
        }
    }

    fn permit(self: &Arc<Self>, wanted: Wanted) -> Permit {
        let Wanted { id, order, place, budget } = wanted;
        let instance = Instance { door: Arc::clone(self), id, place };
        Permit { instance, order, budget, holder: Holder::Client }
    }

    fn expire(&self) {
        let now = self.now();
        let expired = self.state.lock().expire(now);
        // Dropping the sending ends outside the lock tells those who waited.
        drop(expired);
    }

    /// Sends everybody away who waits in line.
    pub(crate) fn send_away(&self) {
        let waiting = self.state.lock().expire(Moment::NEVER);
        drop(waiting);
    }

    /// Leaves an instance out, and sees to it that it comes back.
    fn eject(self: &Arc<Self>, instance: InstanceId, how: Unreachable) {
        let ejected = self.state.lock().eject(instance, how);
        if let Some(out_for) = ejected {
            self.needed.notify_waiters();
            tokio::spawn(recovery::recover(Arc::downgrade(self), instance, out_for));
        }
    }

    /// An instance that is out, and should be looked at.
    fn left_out(&self, instance: InstanceId) -> Option<Arc<Place>> {
        self.state.lock().left_out(instance)
    }

    /// An instance that is out was looked at in vain. Gives for how long it stays out.
    fn failed_again(&self, instance: InstanceId, how: Option<Unreachable>) -> Duration {
        let how = how.unwrap_or(Unreachable::Refused);
        self.state.lock().failed_again(instance, how)
    }

    /// An instance that was out accepted a connection.
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

/// A request at the door, counted for as long as this lives.
#[derive(Debug)]
pub struct InFlightGuard {
    door: Arc<RevisionThrottler>,
    /// Order and deadline of the first time it asked for an instance.
    arrival: Option<(u64, Moment)>,
    failed: bool,
}

impl InFlightGuard {
    /// Waits for an instance with room. Asked again, because the instance turned out to be gone,
    /// the request comes before all who arrived after it. Cancel safe: dropping the future leaves
    /// the line.
    ///
    /// # Errors
    ///
    /// When the line is full, or the longest wait has passed since the request first asked.
    pub async fn permit(&mut self) -> Result<Permit, Refusal> {
        let door = Arc::clone(&self.door);
        let now = door.now();
        let asked = door.state.lock().ask(now, self.arrival);
        let waiting = match asked {
            state::Asked::Sent(wanted) => {
                let deadline = self.arrival.map_or_else(|| door.deadline(now), |(_, at)| at);
                self.arrival = Some((wanted.order, deadline));
                return Ok(door.permit(wanted));
            }
            state::Asked::Waiting { ticket, deadline, granted, first_in_line } => {
                self.arrival = Some((ticket.order(), deadline));
                if first_in_line {
                    door.line_formed.notify_one();
                    door.needed.notify_waiters();
                }
                Waiting { door: Arc::clone(&door), ticket, granted, deadline }
            }
            state::Asked::Refused(refusal) => return Err(refusal),
        };
        waiting.granted().await
    }

    /// The request was not answered as it should have been; counted when the visit ends.
    pub fn mark_failed(&mut self) {
        self.failed = true;
    }
}

impl RevisionThrottler {
    fn deadline(&self, now: Moment) -> Moment {
        let wait = self.state.lock().longest_wait();
        wait.map_or(Moment::NEVER, |wait| now.after(wait))
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        let now = self.door.now();
        let watchers = self.door.state.lock().depart(now, self.failed);
        RevisionThrottler::wake(watchers);
    }
}

/// The right to send one request to one instance. Dropping it gives the room to the next in line.
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
    /// A client that waits for its answer.
    Client,
    /// Only the instance, which is not done.
    Instance,
}

impl Permit {
    /// Where it leads.
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

    /// The request's client has gone, or its time is up, while the instance works at it. Counts
    /// it, and gives how long the passage is to be held at most; `None` lets it go. While it is
    /// held it counts as a request at the door. Call it once.
    pub fn abandon(&mut self, rule: Abandoned) -> Option<Duration> {
        let Instance { door, id, .. } = &self.instance;
        let longest = door.state.lock().abandon(door.now(), *id, rule);
        if longest.is_some() {
            self.holder = Holder::Instance;
        }
        longest
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let Instance { door, id, .. } = &self.instance;
        if self.holder == Holder::Instance {
            let watchers = door.state.lock().end_abandoned(door.now());
            RevisionThrottler::wake(watchers);
        }
        let deliveries = door.state.lock().give_back(*id);
        door.deliver(deliveries);
    }
}

/// An instance as seen from its door. Cheap to clone; holds no room at it.
#[derive(Debug, Clone)]
pub struct Instance {
    door: Arc<RevisionThrottler>,
    id: InstanceId,
    place: Arc<Place>,
}

impl Instance {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.place.name
    }

    /// Where it takes traffic, and the connections to it.
    pub fn upstream(&self) -> &Upstream {
        &self.place.upstream
    }

    /// Whether the controller still names it as one that takes requests.
    pub fn is_listed(&self) -> bool {
        self.door.state.lock().is_listed(self.id)
    }

    /// It could not be reached: it gets nothing more until it accepts a connection again. It is
    /// looked at for the first time after [`FIRST_EJECTION`], or at once when a request waits that
    /// nobody else can take.
    pub fn unreachable(&self, how: Unreachable) {
        if how == Unreachable::Silent {
            // What was kept leads to a place that does not answer any more.
            self.place.upstream.close_idle();
        }
        self.door.eject(self.id, how);
    }

    /// A connection to it was made in `took`.
    pub fn connected(&self, took: Duration) {
        self.door.state.lock().connected(self.id, took);
    }
}

/// Name and connections of an instance.
#[derive(Debug)]
struct Place {
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

/// A place in line. Its drop leaves the line; a passage that was granted a moment before is dropped
/// with the receiving end, and passes its room on.
struct Waiting {
    door: Arc<RevisionThrottler>,
    ticket: Ticket,
    granted: oneshot::Receiver<Permit>,
    deadline: Moment,
}

impl Waiting {
    async fn granted(mut self) -> Result<Permit, Refusal> {
        if self.deadline != Moment::NEVER {
            let at = self.door.opened + self.deadline.since(Moment::ZERO);
            tokio::select! {
                biased;
                passage = &mut self.granted => {
                    return passage.map_err(|_| Refusal::WaitedTooLong);
                }
                () = tokio::time::sleep_until(at) => self.door.expire(),
            }
        }
        // A closed channel means that the line sent this one away.
        (&mut self.granted).await.map_err(|_| Refusal::WaitedTooLong)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let left = self.door.state.lock().leave_queue(self.ticket);
        drop(left);
    }
}
