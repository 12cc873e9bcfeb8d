//! What a throttler's lock protects. Synchronous and without a clock.

use std::collections::HashMap;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use tidegate_admission::queue::KEPT_PLACES;
use tidegate_admission::{
    Abandoned, Dispatch, Dispatcher, DispatcherSettings, Grant, InstanceId, Limit, Meter, Moment,
    PeriodAverages, Refusal, Source, Ticket,
};
use tidegate_relay::{Address, Upstream, UpstreamSettings};
use tidegate_reporter::Endpoint;
use tokio::sync::oneshot;

use super::budget::ConnectBudget;
use super::ejection::{Need, Record, Unreachable};
use super::{Backend, Permit, RequestOutcome, parse_address};

/// The statistics of one period.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PeriodStats {
    /// Averages and counts; a waiting request counts as in flight.
    pub report: PeriodAverages,
    /// Counts and totals at the end of the period.
    pub status: Status,
    /// Requests of the period that were refused.
    pub refused: u64,
    /// Requests of the period that were sent, and got no response from the instance.
    pub failed: u64,
}

/// The requests and instances of a revision now, and totals since it became known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Status {
    /// Instances that may be sent requests.
    pub ready: u32,
    /// Requests at instances.
    pub in_flight: u64,
    /// Requests in the queue.
    pub waiting: u32,
    /// Requests since the revision became known.
    pub requests: u64,
    /// Requests that arrived while no instance was ready.
    pub cold_starts: u64,
    /// Instances that were left out because their address is not understood.
    pub endpoints_ignored: u64,
    /// Requests that were refused.
    pub refused: u64,
    /// Requests that were sent and got no response from the instance.
    pub failed: u64,
    /// Requests at instances whose clients have gone, and which hold their slot there.
    pub abandoned: u64,
    /// Requests that were abandoned at an instance since the revision became known, held or not.
    pub abandoned_total: u64,
}

/// An instance that was chosen for a request.
#[derive(Debug)]
pub(super) struct Assignment {
    pub(super) id: InstanceId,
    pub(super) order: u64,
    pub(super) backend: Arc<Backend>,
    pub(super) budget: Duration,
}

/// The outcome of a request for an instance.
#[derive(Debug)]
pub(super) enum Asked {
    Sent {
        assignment: Assignment,
        deadline: Moment,
    },
    Waiting {
        ticket: Ticket,
        deadline: Moment,
        granted: oneshot::Receiver<Permit>,
        first_in_queue: bool,
    },
    Refused(Refusal),
}

/// The permits that were granted, to be sent once the lock is released.
pub(super) type Deliveries = Vec<(oneshot::Sender<Permit>, Assignment)>;

#[derive(Debug)]
struct Instance {
    id: InstanceId,
    backend: Arc<Backend>,
    /// The controller lists it. If not, it is forgotten once it is done.
    listed: bool,
    /// Whether it is sent requests, as far as connections to it succeed.
    standing: Standing,
    record: Record,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Trusted,
    /// It could not be reached; a recovery task probes it until it can be.
    Ejected,
}

#[derive(Debug)]
pub(super) struct State {
    dispatcher: Dispatcher,
    pub(super) meter: Meter,
    /// By slot of the dispatcher.
    instances: Vec<Option<Instance>>,
    by_name: HashMap<Arc<str>, InstanceId>,
    /// By the ticket's place in the queue.
    waiters: Vec<Option<oneshot::Sender<Permit>>>,
    empty_watchers: Vec<Waker>,
    budget: ConnectBudget,
    /// Connections that are held for instances that others choose.
    held_connections: u32,
    ejected: u32,
    abandoned: u64,
    abandoned_total: u64,
    requests: u64,
    cold_starts: u64,
    endpoints_ignored: u64,
    refused: u64,
    failed: u64,
    refused_before_period: u64,
    failed_before_period: u64,
}

impl State {
    pub(super) fn new(settings: DispatcherSettings) -> Self {
        Self {
            dispatcher: Dispatcher::new(settings),
            meter: Meter::new(Moment::ZERO),
            instances: Vec::new(),
            by_name: HashMap::new(),
            waiters: Vec::new(),
            empty_watchers: Vec::new(),
            budget: ConnectBudget::default(),
            held_connections: 0,
            ejected: 0,
            abandoned: 0,
            abandoned_total: 0,
            requests: 0,
            cold_starts: 0,
            endpoints_ignored: 0,
            refused: 0,
            failed: 0,
            refused_before_period: 0,
            failed_before_period: 0,
        }
    }

    /// The queue and who is chosen, to look at and to bound.
    pub(super) fn dispatcher(&mut self) -> &mut Dispatcher {
        &mut self.dispatcher
    }

    /// Whether no instance is ready: a request that arrives now is cold.
    pub(super) fn is_without_instance(&self) -> bool {
        self.dispatcher.ready() == 0
    }

    /// Assigns an instance or a place in the queue; `again` has those of a request that did so.
    pub(super) fn ask(&mut self, now: Moment, again: Option<(u64, Moment)>) -> Asked {
        let deadline =
            again.map_or_else(|| self.dispatcher.deadline(now), |(_, deadline)| deadline);
        let dispatch = match again {
            None => {
                self.requests += 1;
                self.cold_starts += u64::from(self.is_without_instance());
                self.dispatcher.arrive(now)
            }
            Some((order, deadline)) => self.dispatcher.arrive_again(now, order, deadline),
        };
        match dispatch {
            Dispatch::Sent { instance, order } => match self.assignment(instance, order) {
                Some(assignment) => Asked::Sent { assignment, deadline },
                // The dispatcher only names instances that were added here.
                None => Asked::Refused(Refusal::QueueFull),
            },
            Dispatch::Waiting(ticket) => {
                let deadline = self.dispatcher.deadline_of(ticket).unwrap_or(deadline);
                let (sender, granted) = oneshot::channel();
                if self.waiters.len() <= ticket.place() {
                    self.waiters.resize_with(ticket.place() + 1, || None);
                }
                self.waiters[ticket.place()] = Some(sender);
                let first_in_queue = self.dispatcher.waiting() == 1;
                Asked::Waiting { ticket, deadline, granted, first_in_queue }
            }
            Dispatch::Refused(refusal) => {
                self.refused += 1;
                Asked::Refused(refusal)
            }
        }
    }

    /// A permit was dropped.
    pub(super) fn give_back(&mut self, instance: InstanceId) -> Deliveries {
        let grant = self.dispatcher.depart(instance);
        self.forget_if_done(instance);
        self.deliveries(grant)
    }

    /// A request ended. Gives the wakers of [`State::poll_empty`], if none is in flight now.
    pub(super) fn depart(&mut self, now: Moment, outcome: RequestOutcome) -> Vec<Waker> {
        self.failed += u64::from(outcome == RequestOutcome::Failed);
        self.end_counting(now)
    }

    /// The client of a request at an instance has gone. Gives how long the request may keep its
    /// slot there, as `rule` has it under the instance's limit.
    pub(super) fn abandon(
        &mut self,
        now: Moment,
        instance: InstanceId,
        rule: Abandoned,
    ) -> Option<Duration> {
        self.abandoned_total += 1;
        let longest = rule.longest_under(self.dispatcher.limit_of(instance)?)?;
        self.abandoned += 1;
        self.meter.stay(now, Source::Direct);
        Some(longest)
    }

    /// The instance is done with a request that was abandoned and held. Gives the wakers of
    /// [`State::poll_empty`], if none is in flight now.
    pub(super) fn end_abandoned(&mut self, now: Moment) -> Vec<Waker> {
        self.abandoned = self.abandoned.saturating_sub(1);
        self.end_counting(now)
    }

    /// A connection is held for an instance that others choose. Gives whether it is the first that
    /// waits.
    pub(super) fn hold_connection(&mut self, now: Moment) -> bool {
        self.meter.arrive(now, Source::Direct);
        self.requests += 1;
        self.held_connections = self.held_connections.saturating_add(1);
        self.status().waiting == 1
    }

    /// It is held no longer. Gives the wakers of [`State::poll_empty`], if nothing is in flight.
    pub(super) fn release_connection(&mut self, now: Moment) -> Vec<Waker> {
        self.held_connections = self.held_connections.saturating_sub(1);
        self.end_counting(now)
    }

    fn end_counting(&mut self, now: Moment) -> Vec<Waker> {
        self.meter.depart(now, Source::Direct);
        if self.meter.concurrency() == 0 {
            return std::mem::take(&mut self.empty_watchers);
        }
        Vec::new()
    }

    /// Leaves the queue, if still in it. What is returned must be dropped without the lock.
    pub(super) fn leave_queue(&mut self, ticket: Ticket) -> Option<oneshot::Sender<Permit>> {
        if !self.dispatcher.abandon(ticket) {
            return None;
        }
        self.take_waiter(ticket)
    }

    /// Refuses the requests whose time is up: dropping what is returned notifies them.
    pub(super) fn expire(&mut self, now: Moment) -> Vec<oneshot::Sender<Permit>> {
        let mut expired = Vec::new();
        while let Some(ticket) = self.dispatcher.expire(now) {
            self.refused += 1;
            expired.extend(self.take_waiter(ticket));
        }
        expired
    }

    pub(super) fn set_endpoints(&mut self, endpoints: &[Endpoint]) -> Deliveries {
        let mut grants = Vec::new();
        let named: HashMap<&str, Option<Address>> = endpoints
            .iter()
            .map(|endpoint| (endpoint.instance.as_str(), parse_address(&endpoint.address)))
            .collect();
        for instance in self.instances.iter_mut().flatten() {
            let Backend { name, upstream } = &*instance.backend;
            // One that has moved to another address stays unlisted, whatever is listed by its name.
            instance.listed = self.by_name.get(name) == Some(&instance.id)
                && named.get(&**name).and_then(Option::as_ref) == Some(upstream.address());
        }
        let known: Vec<_> = self.by_name.values().copied().collect();
        for id in known {
            if !self.instance(id).is_some_and(|instance| instance.listed) {
                self.dispatcher.drain(id);
                self.forget_if_done(id);
            }
        }
        for endpoint in endpoints {
            let limit = Limit::from_wire(endpoint.limit);
            let known = self.by_name.get(endpoint.instance.as_str()).copied();
            match known.filter(|id| self.instance(*id).is_some_and(|instance| instance.listed)) {
                Some(id) => {
                    if self.dispatcher.limit_of(id) != Some(limit) {
                        grants.extend(self.dispatcher.set_limit(id, limit));
                    }
                    let trusted = self
                        .instance(id)
                        .is_some_and(|instance| instance.standing == Standing::Trusted);
                    if !self.dispatcher.is_ready(id) && trusted {
                        grants.extend(self.dispatcher.resume(id));
                    }
                }
                None => match parse_address(&endpoint.address) {
                    Some(address) => grants.extend(self.add(endpoint, address, limit)),
                    None => {
                        self.endpoints_ignored += 1;
                        tracing::warn!(?endpoint, "an instance's address is not understood");
                    }
                },
            }
        }
        self.deliveries(grants)
    }

    pub(super) fn is_listed(&self, id: InstanceId) -> bool {
        self.instance(id).is_some_and(|instance| instance.listed)
    }

    /// Ejects an instance. Gives for how long, unless it is ejected already.
    pub(super) fn eject(&mut self, id: InstanceId, how: Unreachable) -> Option<Duration> {
        let instance = self.instance_mut(id)?;
        if std::mem::replace(&mut instance.standing, Standing::Ejected) == Standing::Ejected {
            return None;
        }
        let out_for = instance.record.failed(how);
        self.ejected += 1;
        self.dispatcher.drain(id);
        Some(out_for)
    }

    /// The instance to probe, if it is still ejected and listed.
    pub(super) fn ejected(&mut self, id: InstanceId) -> Option<Arc<Backend>> {
        let instance = self.instance_mut(id)?;
        if instance.listed {
            return Some(Arc::clone(&instance.backend));
        }
        // If it is listed again it begins anew.
        self.end_ejection(id);
        None
    }

    /// Probing an ejected instance failed. Gives the time until the next probe.
    pub(super) fn failed_again(&mut self, id: InstanceId, how: Unreachable) -> Duration {
        self.instance_mut(id).map_or(Duration::ZERO, |instance| instance.record.failed(how))
    }

    /// An ejected instance accepted a connection.
    pub(super) fn readmit(&mut self, id: InstanceId, took: Duration) -> Deliveries {
        self.budget.learn(took);
        self.end_ejection(id);
        if !self.instance(id).is_some_and(|instance| instance.listed) {
            return Vec::new();
        }
        let grants = self.dispatcher.resume(id);
        self.deliveries(grants)
    }

    fn end_ejection(&mut self, id: InstanceId) {
        let Some(instance) = self.instance_mut(id) else { return };
        if std::mem::replace(&mut instance.standing, Standing::Trusted) == Standing::Ejected {
            self.ejected -= 1;
        }
    }

    /// A request reached an instance over a connection that was made in `took`.
    pub(super) fn connected(&mut self, id: InstanceId, took: Duration) {
        self.budget.learn(took);
        if let Some(instance) = self.instance_mut(id) {
            instance.record.reached();
        }
    }

    /// Whether a request waits that only an ejected instance could take.
    pub(super) fn need(&self) -> Need {
        if self.dispatcher.ready() > 0 || self.dispatcher.waiting() == 0 {
            return Need::None;
        }
        Need::Urgent { out: self.ejected.max(1) }
    }

    pub(super) fn take_period(&mut self, now: Moment) -> PeriodStats {
        let period = PeriodStats {
            report: self.meter.cut(now),
            status: self.status(),
            refused: self.refused - self.refused_before_period,
            failed: self.failed - self.failed_before_period,
        };
        self.refused_before_period = self.refused;
        self.failed_before_period = self.failed;
        period
    }

    pub(super) fn status(&self) -> Status {
        Status {
            ready: self.dispatcher.ready(),
            in_flight: self.dispatcher.in_flight(),
            waiting: self.dispatcher.waiting().saturating_add(self.held_connections),
            requests: self.requests,
            cold_starts: self.cold_starts,
            endpoints_ignored: self.endpoints_ignored,
            refused: self.refused,
            failed: self.failed,
            abandoned: self.abandoned,
            abandoned_total: self.abandoned_total,
        }
    }

    pub(super) fn backends(&self) -> Vec<Arc<Backend>> {
        self.instances.iter().flatten().map(|instance| Arc::clone(&instance.backend)).collect()
    }

    pub(super) fn poll_empty(&mut self, waker: &Waker) -> Poll<()> {
        if self.meter.concurrency() == 0 {
            return Poll::Ready(());
        }
        if !self.empty_watchers.iter().any(|known| known.will_wake(waker)) {
            self.empty_watchers.push(waker.clone());
        }
        Poll::Pending
    }

    fn add(&mut self, endpoint: &Endpoint, address: Address, limit: Limit) -> Vec<Grant> {
        let (id, grants) = self.dispatcher.add(limit);
        let name: Arc<str> = endpoint.instance.as_str().into();
        if self.instances.len() <= id.slot() {
            self.instances.resize_with(id.slot() + 1, || None);
        }
        // A namesake at another address keeps its slot until its requests are done.
        self.by_name.insert(Arc::clone(&name), id);
        let settings = UpstreamSettings {
            idle_max: limit.count().map_or(IDLE_MAX, |count| IDLE_MAX.min(count.get() as usize)),
            ..UpstreamSettings::default()
        };
        let upstream = Upstream::new(address, settings);
        let backend = Arc::new(Backend { name, upstream });
        let record = Record::default();
        let instance = Instance { id, backend, listed: true, standing: Standing::Trusted, record };
        self.instances[id.slot()] = Some(instance);
        grants
    }

    fn forget_if_done(&mut self, id: InstanceId) {
        let listed = self.instance(id).is_none_or(|instance| instance.listed);
        if listed || self.dispatcher.in_flight_at(id) != Some(0) {
            return;
        }
        self.dispatcher.remove(id);
        self.end_ejection(id);
        if let Some(instance) = self.instances[id.slot()].take()
            && self.by_name.get(&instance.backend.name) == Some(&id)
        {
            self.by_name.remove(&instance.backend.name);
        }
    }

    fn deliveries(&mut self, grants: impl IntoIterator<Item = Grant>) -> Deliveries {
        let mut deliveries = Vec::new();
        for Grant { ticket, instance } in grants {
            let assignment = self.assignment(instance, ticket.order());
            deliveries.extend(self.take_waiter(ticket).zip(assignment));
        }
        deliveries
    }

    fn take_waiter(&mut self, ticket: Ticket) -> Option<oneshot::Sender<Permit>> {
        let waiter = self.waiters.get_mut(ticket.place())?.take();
        if self.dispatcher.waiting() == 0 && self.waiters.len() > KEPT_PLACES {
            // A burst is over: give its memory back.
            self.waiters = Vec::new();
        }
        waiter
    }

    fn instance(&self, id: InstanceId) -> Option<&Instance> {
        self.instances.get(id.slot())?.as_ref().filter(|instance| instance.id == id)
    }

    fn instance_mut(&mut self, id: InstanceId) -> Option<&mut Instance> {
        self.instances.get_mut(id.slot())?.as_mut().filter(|instance| instance.id == id)
    }

    fn assignment(&self, instance: InstanceId, order: u64) -> Option<Assignment> {
        let known = self.instance(instance)?;
        let budget = match self.dispatcher.ready() {
            0 | 1 => self.budget.alone(known.record.silences()),
            _ => self.budget.among_others(),
        };
        Some(Assignment { id: instance, order, backend: Arc::clone(&known.backend), budget })
    }
}

/// Idle connections kept to an instance without a limit: as many as Knative's activator keeps.
const IDLE_MAX: usize = 100;
