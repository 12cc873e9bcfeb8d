//! What a throttler's lock protects. Synchronous and without a clock.

mod credits;
mod hedges;
mod leaving;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use tidegate_admission::credits::{Purse, Sent, Spent};
use tidegate_admission::outliers::{Outcome, Sign};
use tidegate_admission::queue::KEPT_PLACES;
use tidegate_admission::{
    Abandoned, Attributes, Coming, Dispatch, Dispatcher, DrainRate, Grant, InstanceId, Limit,
    Meter, Moment, NewInstance, Outliers, Refusal, SlowStart, Source, Ticket,
};
use tidegate_relay::{Address, Upstream, UpstreamSettings};
use tidegate_reporter::Endpoint;
use tokio::sync::oneshot;

use super::backend::{Backend, parse_address};
use super::budget::ConnectBudget;
use super::credit::Credit;
use super::ejection::{Need, Unreachable};
use super::roster::{Roster, Standing};
use super::second_attempts::SecondAttempts;
use super::statistics::{PeriodStats, Status, Totals};
use super::{Permit, RequestOutcome, ThrottlerSettings};
use crate::request_keys::hash;

/// An instance that was chosen for a request.
#[derive(Debug)]
pub(super) struct Assignment {
    pub(super) id: InstanceId,
    pub(super) order: u64,
    pub(super) backend: Arc<Backend>,
    pub(super) budget: Duration,
    pub(super) credit: Option<Credit>,
}

/// Where a request that waits gets its permit: boxed, as all that wait have room for one.
pub(super) type PermitSender = oneshot::Sender<Box<Permit>>;
pub(super) type PermitReceiver = oneshot::Receiver<Box<Permit>>;

/// A request in the queue.
#[derive(Debug)]
struct Waiter {
    sender: PermitSender,
    arrived: Moment,
    /// What it came with, for another order than the one in which it waits.
    attributes: Attributes,
    coming: Coming,
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
        granted: PermitReceiver,
        first_in_queue: bool,
        following: Following,
    },
    Refused(Refusal),
}

/// Whether somebody looks after the deadlines of those that wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Following {
    /// Whoever is told so has to begin.
    Begins,
    /// Somebody does.
    GoesOn,
}

/// The permits that were granted, to be sent once the lock is released.
pub(super) type Deliveries = Vec<(PermitSender, Assignment)>;

#[derive(Debug)]
pub(super) struct State {
    dispatcher: Dispatcher,
    /// The credits of instances that grant some.
    purse: Purse,
    /// When the last request joined the queue.
    newest: Moment,
    /// Instances are listed that may grant credits, and that no stream leads to.
    streams_wanted: bool,
    /// What a new instance without a limit may have at first.
    first_allowance: Option<NonZeroU32>,
    /// How quickly the queue drains.
    drain_rate: DrainRate,
    pub(super) attempts: SecondAttempts,
    outliers: Outliers,
    pub(super) meter: Meter,
    roster: Roster,
    /// By the ticket's place in the queue.
    waiters: Vec<Option<Waiter>>,
    /// Whether somebody looks after their deadlines.
    is_followed: bool,
    empty_watchers: Vec<Waker>,
    budget: ConnectBudget,
    /// Connections that are held for instances that others choose.
    held_connections: u32,
    /// Requests at instances whose clients have gone, and which hold their slot there.
    abandoned: u64,
    totals: Totals,
}

impl State {
    pub(super) fn new(settings: &ThrottlerSettings) -> Self {
        Self {
            dispatcher: Dispatcher::new(settings.dispatch),
            purse: Purse::new(),
            newest: Moment::ZERO,
            streams_wanted: false,
            first_allowance: settings.slow_start,
            drain_rate: DrainRate::default(),
            attempts: SecondAttempts::new(settings),
            outliers: Outliers::new(settings.outliers),
            meter: Meter::new(Moment::ZERO),
            roster: Roster::default(),
            waiters: Vec::new(),
            is_followed: false,
            empty_watchers: Vec::new(),
            budget: ConnectBudget::default(),
            held_connections: 0,
            abandoned: 0,
            totals: Totals::default(),
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
    pub(super) fn ask(
        &mut self,
        now: Moment,
        again: Option<(u64, Moment)>,
        attributes: Attributes,
    ) -> Asked {
        let deadline =
            again.map_or_else(|| self.dispatcher.deadline(now), |(_, deadline)| deadline);
        let dispatch = match again {
            None => {
                self.totals.requests += 1;
                self.attempts.arrived();
                self.totals.cold_starts += u64::from(self.is_without_instance());
                self.dispatcher.arrive_with(now, attributes)
            }
            Some(first) => self.dispatcher.arrive_again(now, first, attributes),
        };
        match dispatch {
            Dispatch::Sent { instance, order } => match self.spend_on(instance, order) {
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
                let coming = if again.is_some() { Coming::Again } else { Coming::First };
                let waiter = Waiter { sender, arrived: now, attributes, coming };
                self.waiters[ticket.place()] = Some(waiter);
                self.newest = now;
                let first_in_queue = self.dispatcher.waiting() == 1;
                if first_in_queue {
                    self.drain_rate.formed(now);
                }
                let following = match std::mem::replace(&mut self.is_followed, true) {
                    true => Following::GoesOn,
                    false => Following::Begins,
                };
                Asked::Waiting { ticket, deadline, granted, first_in_queue, following }
            }
            Dispatch::Refused(refusal) => {
                self.totals.refused += 1;
                Asked::Refused(refusal)
            }
        }
    }

    /// A permit was dropped.
    pub(super) fn give_back(&mut self, instance: InstanceId, credit: Option<Spent>) -> Deliveries {
        let slow_start = self.roster.get_mut(instance).and_then(|known| known.slow_start.as_mut());
        slow_start.into_iter().for_each(SlowStart::finished);
        let sent = self.purse.depart(&mut self.dispatcher, instance, credit);
        self.forget_if_done(instance);
        self.deliveries(sent)
    }

    /// A request ended. Gives the wakers of [`State::poll_empty`], if none is in flight now.
    pub(super) fn depart(&mut self, now: Moment, outcome: RequestOutcome) -> Vec<Waker> {
        self.totals.failed += u64::from(outcome == RequestOutcome::Failed);
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
        self.totals.abandoned += 1;
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
        self.totals.requests += 1;
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

    /// So many left the queue for an instance.
    pub(super) fn drained(&mut self, now: Moment, count: usize) {
        (0..count).for_each(|_| self.drain_rate.left(now));
    }

    /// After how long a client may try again that is refused now.
    pub(super) fn retry_after(&mut self, now: Moment) -> Duration {
        self.drain_rate.retry_after(now, self.dispatcher.waiting())
    }

    /// A request at an instance ended. Gives by which sign the instance is to be left alone, and
    /// for how long.
    pub(super) fn ended(&mut self, id: InstanceId, outcome: Outcome) -> Option<(Sign, Duration)> {
        if self.roster.get(id)?.standing == Standing::Ejected {
            return None;
        }
        let ready = self.dispatcher.ready();
        let all = ready.saturating_add(self.roster.ejected());
        let (sign, rest) = self.outliers.ended(id, outcome, (ready, all))?;
        self.roster.rest(id);
        self.suspend(id);
        Some((sign, rest))
    }

    pub(super) fn set_endpoints(&mut self, now: Moment, endpoints: &[Endpoint]) -> Deliveries {
        let mut grants = Vec::new();
        for id in self.roster.mark_listed(endpoints) {
            self.suspend(id);
            self.forget_if_done(id);
        }
        for endpoint in endpoints {
            let limit = Limit::from_wire(endpoint.limit);
            match self.roster.listed(&endpoint.instance).map(|known| (known.id, known.standing)) {
                Some((id, standing)) => {
                    if self.dispatcher.limit_of(id) != Some(limit) {
                        self.streams_wanted = true;
                        grants.extend(self.dispatcher.set_limit(id, limit));
                    }
                    if !self.dispatcher.is_ready(id) && standing == Standing::Trusted {
                        grants.extend(self.dispatcher.resume(id));
                    }
                }
                None => match parse_address(&endpoint.address) {
                    Some(address) => grants.extend(self.add(now, endpoint, address)),
                    None => {
                        self.totals.endpoints_ignored += 1;
                        tracing::warn!(?endpoint, "an instance's address is not understood");
                    }
                },
            }
        }
        self.deliver_grants(grants)
    }

    /// Whether an instance is new, and could take any number.
    pub(super) fn has_slow_starts(&mut self) -> bool {
        self.roster.slow_starts().next().is_some()
    }

    /// Brings what new instances may have up to date; `None` if none is new any more.
    pub(super) fn step_slow_starts(&mut self, now: Moment) -> Option<Deliveries> {
        let mut grants = Vec::new();
        let mut is_new = false;
        for (id, slow_start) in self.roster.slow_starts() {
            is_new = true;
            let allowance = slow_start.and_then(|start| start.allowance(now));
            if allowance.is_none() {
                *slow_start = None;
            }
            grants.extend(self.dispatcher.set_allowance(id, allowance));
        }
        is_new.then(|| self.deliver_grants(grants))
    }

    pub(super) fn is_listed(&self, id: InstanceId) -> bool {
        self.roster.is_listed(id)
    }

    /// Ejects an instance. Gives for how long, unless it is ejected already.
    pub(super) fn eject(&mut self, id: InstanceId, how: Unreachable) -> Option<Duration> {
        let out_for = self.roster.eject(id, how)?;
        self.suspend(id);
        Some(out_for)
    }

    /// The instance to probe, if it is still ejected and listed.
    pub(super) fn ejected(&mut self, id: InstanceId) -> Option<Arc<Backend>> {
        let instance = self.roster.get(id)?;
        if instance.listed {
            return Some(Arc::clone(&instance.backend));
        }
        // If it is listed again it begins anew.
        self.roster.end_ejection(id);
        None
    }

    /// Probing an ejected instance failed. Gives the time until the next probe.
    pub(super) fn failed_again(&mut self, id: InstanceId, how: Unreachable) -> Duration {
        self.roster.get_mut(id).map_or(Duration::ZERO, |instance| instance.record.failed(how))
    }

    /// An ejected instance accepted a connection.
    pub(super) fn readmit(&mut self, id: InstanceId, took: Duration) -> Deliveries {
        self.budget.learn(took);
        self.roster.end_ejection(id);
        if !self.roster.is_listed(id) {
            return Vec::new();
        }
        let grants = self.dispatcher.resume(id);
        self.deliver_grants(grants)
    }

    /// A request reached an instance over a connection that was made in `took`.
    pub(super) fn connected(&mut self, id: InstanceId, took: Duration) {
        self.budget.learn(took);
        if let Some(instance) = self.roster.get_mut(id) {
            instance.record.reached();
        }
    }

    /// Whether a request waits that only an ejected instance could take.
    pub(super) fn need(&self) -> Need {
        if self.dispatcher.ready() > 0 || self.dispatcher.waiting() == 0 {
            return Need::None;
        }
        Need::Urgent { out: self.roster.ejected().max(1) }
    }

    pub(super) fn take_period(&mut self, now: Moment) -> PeriodStats {
        let report = self.meter.cut(now);
        let status = self.status();
        self.totals.close_period(report, status)
    }

    pub(super) fn status(&self) -> Status {
        Status {
            ready: self.dispatcher.ready(),
            in_flight: self.dispatcher.in_flight(),
            order: self.dispatcher.settings().order,
            waiting: self.dispatcher.waiting().saturating_add(self.held_connections),
            waiting_bytes: self.dispatcher.waiting_bytes(),
            requests: self.totals.requests,
            cold_starts: self.totals.cold_starts,
            endpoints_ignored: self.totals.endpoints_ignored,
            refused: self.totals.refused,
            failed: self.totals.failed,
            abandoned: self.abandoned,
            abandoned_total: self.totals.abandoned,
            credit_streams: u32::try_from(self.purse.accounts()).unwrap_or(u32::MAX),
            credits: self.purse.idle(),
        }
    }

    pub(super) fn backends(&self) -> Vec<Arc<Backend>> {
        self.roster.backends().cloned().collect()
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

    fn add(&mut self, now: Moment, endpoint: &Endpoint, address: Address) -> Vec<Grant> {
        let limit = Limit::from_wire(endpoint.limit);
        let first = self.first_allowance.filter(|_| limit == Limit::UNLIMITED);
        let slow_start = first.map(|first| SlowStart::begin(now, first));
        let identity = hash(endpoint.instance.as_bytes());
        let new = NewInstance { limit, identity, allowance: first };
        let (id, grants) = self.dispatcher.add_new(new);
        let settings = UpstreamSettings {
            idle_max: limit.count().map_or(IDLE_MAX, |count| IDLE_MAX.min(count.get() as usize)),
            ..UpstreamSettings::default()
        };
        let upstream = Upstream::new(address, settings);
        let backend = Arc::new(Backend { name: endpoint.instance.as_str().into(), upstream });
        self.roster.add(id, backend, slow_start);
        self.streams_wanted = true;
        grants
    }

    fn forget_if_done(&mut self, id: InstanceId) {
        let listed = self.roster.get(id).is_none_or(|instance| instance.listed);
        if listed || self.dispatcher.in_flight_at(id) != Some(0) {
            return;
        }
        let sent = self.purse.close(&mut self.dispatcher, id);
        debug_assert!(sent.is_empty(), "an instance that is not listed is sent nothing");
        self.dispatcher.remove(id);
        self.roster.remove(id);
        self.outliers.remove(id);
    }

    fn deliveries(&mut self, sent: Vec<Sent>) -> Deliveries {
        let mut deliveries = Vec::new();
        for Sent { grant: Grant { ticket, instance }, credit } in sent {
            let assignment = self.assignment(instance, ticket.order(), credit);
            deliveries.extend(self.take_waiter(ticket).zip(assignment));
        }
        deliveries
    }

    fn take_waiter(&mut self, ticket: Ticket) -> Option<PermitSender> {
        let waiter = self.waiters.get_mut(ticket.place())?.take().map(|waiter| waiter.sender);
        if self.dispatcher.waiting() == 0 && self.waiters.len() > KEPT_PLACES {
            // A burst is over: give its memory back.
            self.waiters = Vec::new();
        }
        waiter
    }

    fn assignment(
        &self,
        instance: InstanceId,
        order: u64,
        spent: Option<Spent>,
    ) -> Option<Assignment> {
        let known = self.roster.get(instance)?;
        let stream = known.stream.name().cloned();
        let credit = stream.zip(spent).map(|(stream, spent)| Credit { stream, spent });
        let budget = match self.dispatcher.ready() {
            0 | 1 => self.budget.alone(known.record.silences()),
            _ => self.budget.among_others(),
        };
        Some(Assignment {
            id: instance,
            order,
            backend: Arc::clone(&known.backend),
            budget,
            credit,
        })
    }
}

/// Idle connections kept to an instance without a limit: as many as Knative's activator keeps.
const IDLE_MAX: usize = 100;
