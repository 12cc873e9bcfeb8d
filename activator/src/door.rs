//! One revision's front door: the pure dispatcher and meter behind one lock.
//!
//! A request first gets a [`Visit`], which counts it for as long as it lives, and then asks for a
//! [`Passage`]: an instance with room, and the right to send it one request. While there is none it
//! stands in line. Dropping the passage is the only way the room is given back; dropping the future
//! of [`Visit::passage`] leaves the line. Every choice is [`tidegate_admission`]'s.

mod state;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tidegate_admission::{DispatcherSettings, InstanceId, Moment, Refusal, Source, Ticket};
use tidegate_relay::{Address, Upstream};
use tidegate_reporter::{Endpoint, RevisionName};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

pub use self::state::{Cut, Status};
use self::state::{Deliveries, State, Wanted};

/// How long an instance that refused a connection is left alone before it is tried again, unless
/// the controller takes it off the list first.
pub const SUSPECT_FOR: Duration = Duration::from_millis(500);

/// A front door. Shared by the requests at it, the listener, and whoever reports its numbers.
#[derive(Debug)]
pub struct Door {
    revision: RevisionName,
    opened: Instant,
    state: Mutex<State>,
    line_formed: Notify,
}

impl Door {
    /// A door without instances: everyone waits.
    pub fn new(revision: RevisionName, settings: DispatcherSettings) -> Arc<Self> {
        Arc::new(Self {
            revision,
            opened: Instant::now(),
            state: Mutex::new(State::new(settings)),
            line_formed: Notify::new(),
        })
    }

    /// Whose door it is.
    pub fn revision(&self) -> &RevisionName {
        &self.revision
    }

    /// A request arrives; it counts until the visit is dropped.
    pub fn visit(self: &Arc<Self>) -> Visit {
        let now = self.now();
        self.state.lock().meter.arrive(now, Source::Direct);
        Visit { door: Arc::clone(self), arrival: None, failed: false }
    }

    /// Replaces the instances. One that is listed no more gets nothing new and is forgotten when
    /// its last request is done; its count stays true if it is listed again before.
    pub fn set_endpoints(self: &Arc<Self>, endpoints: &[Endpoint]) {
        let deliveries = self.state.lock().set_endpoints(endpoints);
        self.deliver(deliveries);
    }

    /// Closes the period of the statistics and opens the next.
    pub fn cut(&self) -> Cut {
        let now = self.now();
        self.state.lock().cut(now)
    }

    /// How things stand now.
    pub fn status(&self) -> Status {
        self.state.lock().status()
    }

    /// Resolves when a request had to wait while nobody else did; at once if that happened since
    /// the last call. Cancel safe.
    pub async fn line_formed(&self) {
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
            drop(to.send(self.passage(wanted)));
        }
    }

    fn passage(self: &Arc<Self>, wanted: Wanted) -> Passage {
        let Wanted { id, order, place } = wanted;
        Passage { instance: Instance { door: Arc::clone(self), id, place }, order }
    }

    fn expire(&self) {
        let now = self.now();
        let expired = self.state.lock().expire(now);
        // Dropping the sending ends outside the lock tells those who waited.
        drop(expired);
    }

    /// Leaves an instance alone for a while, and comes back to it.
    fn suspect(self: &Arc<Self>, instance: InstanceId) {
        if !self.state.lock().suspect(instance) {
            return;
        }
        let door = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(SUSPECT_FOR).await;
            let deliveries = door.state.lock().trust(instance);
            door.deliver(deliveries);
        });
    }
}

/// A request at the door, counted for as long as this lives.
#[derive(Debug)]
pub struct Visit {
    door: Arc<Door>,
    /// Order and deadline of the first time it asked for an instance.
    arrival: Option<(u64, Moment)>,
    failed: bool,
}

impl Visit {
    /// Waits for an instance with room. Asked again, because the instance turned out to be gone,
    /// the request comes before all who arrived after it. Cancel safe: dropping the future leaves
    /// the line.
    ///
    /// # Errors
    ///
    /// When the line is full, or the longest wait has passed since the request first asked.
    pub async fn passage(&mut self) -> Result<Passage, Refusal> {
        let door = Arc::clone(&self.door);
        let now = door.now();
        let asked = door.state.lock().ask(now, self.arrival);
        let waiting = match asked {
            state::Asked::Sent(wanted) => {
                let deadline = self.arrival.map_or_else(|| door.deadline(now), |(_, at)| at);
                self.arrival = Some((wanted.order, deadline));
                return Ok(door.passage(wanted));
            }
            state::Asked::Waiting { ticket, deadline, granted, first_in_line } => {
                self.arrival = Some((ticket.order(), deadline));
                if first_in_line {
                    door.line_formed.notify_one();
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

impl Door {
    fn deadline(&self, now: Moment) -> Moment {
        let wait = self.state.lock().longest_wait();
        wait.map_or(Moment::NEVER, |wait| now.after(wait))
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let now = self.door.now();
        let watchers = self.door.state.lock().depart(now, self.failed);
        for watcher in watchers {
            watcher.wake();
        }
    }
}

/// The right to send one request to one instance. Dropping it gives the room to the next in line.
#[derive(Debug)]
pub struct Passage {
    instance: Instance,
    order: u64,
}

impl Passage {
    /// Where it leads.
    pub fn instance(&self) -> &Instance {
        &self.instance
    }

    /// The request's place among all arrivals.
    pub fn order(&self) -> u64 {
        self.order
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        let Instance { door, id, .. } = &self.instance;
        let deliveries = door.state.lock().give_back(*id);
        door.deliver(deliveries);
    }
}

/// An instance as seen from its door. Cheap to clone; holds no room at it.
#[derive(Clone, Debug)]
pub struct Instance {
    door: Arc<Door>,
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

    /// Nobody listens there: it gets nothing more until it is tried again after [`SUSPECT_FOR`].
    pub fn unreachable(&self) {
        self.door.suspect(self.id);
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
    door: Arc<Door>,
    ticket: Ticket,
    granted: oneshot::Receiver<Passage>,
    deadline: Moment,
}

impl Waiting {
    async fn granted(mut self) -> Result<Passage, Refusal> {
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
        let left = self.door.state.lock().leave_line(self.ticket);
        drop(left);
    }
}
