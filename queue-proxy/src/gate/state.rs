//! What the gate's lock protects: grantor, meter and wakers. Synchronous and without a clock.

use std::collections::BTreeMap;
use std::task::{Poll, Waker};
use std::time::Duration;

use tidegate_admission::credits::{DoorId, Grantor, Occupant, Orders, Report};
use tidegate_admission::queue::KEPT_PLACES;
use tidegate_admission::{
    Abandoned, Arrival, Limit, Meter, Moment, PeriodAverages, Refusal, Source, Ticket,
};

/// The statistics of one period, ended by [`Gate::take_period`](super::Gate::take_period).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PeriodStats {
    /// Averages and counts.
    pub report: PeriodAverages,
    /// Requests and limit at the end of the period.
    pub levels: Levels,
    /// Requests of the period that found the queue full.
    pub refused_queue_full: u64,
    /// Requests whose longest wait ended in the period.
    pub refused_waited_too_long: u64,
    /// Requests of the period that were dropped while they waited.
    pub left_queue: u64,
}

impl PeriodStats {
    /// Requests that were refused, for whatever reason.
    pub const fn refused(&self) -> u64 {
        self.refused_queue_full + self.refused_waited_too_long
    }
}

/// How many requests are inside now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Levels {
    /// Requests that hold a slot.
    pub executing: u32,
    /// Requests in the queue.
    pub waiting: u32,
    /// The limit in force.
    pub limit: Limit,
    /// The part of those that hold a slot whose client has gone.
    pub abandoned: u32,
    /// Requests that were abandoned inside the app since the start, held or not.
    pub abandoned_total: u64,
    /// Front doors that hold credits, or could.
    pub doors: u32,
    /// Places that are promised to them: their credits are not spent.
    pub promised: u32,
    /// Requests that were let in for a credit since the start.
    pub honoured_total: u64,
    /// Requests that showed a credit that was not good.
    pub void_total: u64,
}

impl Levels {
    /// Requests that hold a slot or wait.
    pub const fn inside(&self) -> u32 {
        self.executing.saturating_add(self.waiting)
    }
}

/// A request that waits, or whose outcome is set but not polled yet.
#[derive(Debug)]
enum Waiter {
    Vacant,
    Queued { ticket: Ticket, waker: Option<Waker> },
    Called,
    Expired,
}

/// Names a waiter until its outcome is polled, which may be after another request has taken its
/// ticket's place in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key(u32);

/// The wakers to wake once the lock is released.
#[derive(Debug, Default)]
#[must_use = "these wakers must be woken once the lock is released"]
pub(super) struct ToWake {
    first: Option<Waker>,
    others: Vec<Waker>,
}

impl ToWake {
    fn push(&mut self, waker: Option<Waker>) {
        match (&self.first, waker) {
            (None, waker) => self.first = waker,
            (Some(_), Some(waker)) => self.others.push(waker),
            (Some(_), None) => {}
        }
    }

    /// Call this without holding the lock: a waker may run anything.
    pub(super) fn wake(self) {
        if let Some(waker) = self.first {
            waker.wake();
        }
        for waker in self.others {
            waker.wake();
        }
    }
}

/// The outcome of an arrival, before it is wrapped into guards.
#[derive(Debug)]
pub(super) enum Arrived {
    Entered(Occupant),
    Waiting { key: Key, deadline: Moment, first_in_queue: bool },
    Refused(Refusal),
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) grantor: Grantor,
    /// The streams of front doors that wait for orders.
    streams: BTreeMap<DoorId, Waker>,
    meter: Meter,
    waiters: Vec<Waiter>,
    vacant: Vec<u32>,
    /// The waiter at each place of the queue.
    at_place: Vec<Key>,
    empty_watchers: Vec<Waker>,
    refused_queue_full: u64,
    refused_waited_too_long: u64,
    left_queue: u64,
    abandoned: u32,
    abandoned_total: u64,
}

impl State {
    pub(super) fn new(grantor: Grantor, meter: Meter) -> Self {
        Self {
            grantor,
            streams: BTreeMap::new(),
            meter,
            waiters: Vec::new(),
            vacant: Vec::new(),
            at_place: Vec::new(),
            empty_watchers: Vec::new(),
            refused_queue_full: 0,
            refused_waited_too_long: 0,
            left_queue: 0,
            abandoned: 0,
            abandoned_total: 0,
        }
    }

    /// A request arrives, with the credit that it shows.
    pub(super) fn arrive(
        &mut self,
        now: Moment,
        source: Source,
        credit: Option<(DoorId, u64)>,
    ) -> (Arrived, ToWake) {
        self.meter.arrive(now, source);
        let (arrival, occupant) = match credit {
            None => (self.grantor.arrive(now), Occupant::Plain),
            Some((door, number)) => self.grantor.arrive_with(now, door, number),
        };
        let arrived = match arrival {
            Arrival::Entered => return (Arrived::Entered(occupant), self.pass_on()),
            Arrival::Waiting(ticket) => {
                let deadline = self.grantor.breaker().deadline_of(ticket);
                let deadline = deadline.unwrap_or(Moment::NEVER);
                let first_in_queue = self.grantor.breaker().waiting() == 1;
                Arrived::Waiting { key: self.remember(ticket), deadline, first_in_queue }
            }
            Arrival::Refused(refusal) => {
                self.refused_queue_full += 1;
                // It was inside for no time, but it arrived: it counts as a request.
                self.meter.depart(now, source);
                Arrived::Refused(refusal)
            }
        };
        (arrived, self.pass_on())
    }

    /// Whether a waiter was granted a slot or refused; keeps its waker if neither.
    pub(super) fn poll(&mut self, key: Key, waker: &Waker) -> Poll<Result<(), Refusal>> {
        let outcome = match &mut self.waiters[key.0 as usize] {
            Waiter::Queued { waker: known, .. } => {
                match known {
                    Some(known) => known.clone_from(waker),
                    None => *known = Some(waker.clone()),
                }
                return Poll::Pending;
            }
            Waiter::Called => Ok(()),
            Waiter::Expired | Waiter::Vacant => Err(Refusal::WaitedTooLong),
        };
        self.forget(key);
        Poll::Ready(outcome)
    }

    /// The client of a slot's holder has gone. Gives how long it may keep the slot, as `rule` has
    /// it under the limit in force.
    pub(super) fn abandon(&mut self, rule: Abandoned) -> Option<Duration> {
        self.abandoned_total += 1;
        let longest = rule.longest_under(self.grantor.breaker().limit());
        self.abandoned += u32::from(longest.is_some());
        longest
    }

    /// The holder of a slot that was abandoned and held is done.
    pub(super) fn leave_abandoned(
        &mut self,
        now: Moment,
        source: Source,
        occupant: Occupant,
    ) -> ToWake {
        self.abandoned = self.abandoned.saturating_sub(1);
        self.leave(now, source, occupant)
    }

    /// The holder of a slot is done.
    pub(super) fn leave(&mut self, now: Moment, source: Source, occupant: Occupant) -> ToWake {
        self.grantor.leave(occupant);
        let to_wake = self.pass_on();
        self.depart(now, source, to_wake)
    }

    /// A front door opens its stream; `None` if it cannot hold credits.
    pub(super) fn open_door(&mut self, now: Moment) -> Option<DoorId> {
        self.grantor.open(now)
    }

    /// A front door's stream has ended.
    pub(super) fn close_door(&mut self, door: DoorId) -> ToWake {
        self.streams.remove(&door);
        self.grantor.close(door);
        self.pass_on()
    }

    /// A front door reports.
    pub(super) fn report(&mut self, now: Moment, door: DoorId, report: &Report) -> ToWake {
        self.grantor.report(now, door, report);
        self.pass_on()
    }

    /// What is to be told to a front door; otherwise `waker` is woken when there is something.
    pub(super) fn poll_orders(&mut self, now: Moment, door: DoorId, waker: &Waker) -> Poll<Orders> {
        if let Some(orders) = self.grantor.orders(now, door) {
            return Poll::Ready(orders);
        }
        match self.streams.get_mut(&door) {
            Some(known) => known.clone_from(waker),
            None => {
                self.streams.insert(door, waker.clone());
            }
        }
        Poll::Pending
    }

    /// Gives places away that are free, and wakes those who got them or are to learn of it.
    fn pass_on(&mut self) -> ToWake {
        let mut to_wake = ToWake::default();
        while let Some(ticket) = self.grantor.call_next() {
            to_wake.push(self.settle(ticket, Waiter::Called));
        }
        while let Some(door) = self.grantor.stirred() {
            to_wake.push(self.streams.remove(&door));
        }
        to_wake
    }

    /// A waiter was refused and has polled its outcome.
    pub(super) fn depart_refused(&mut self, now: Moment, source: Source) -> ToWake {
        self.depart(now, source, ToWake::default())
    }

    /// A waiter is dropped, whatever its outcome is in the meantime.
    pub(super) fn cancel(&mut self, now: Moment, key: Key, source: Source) -> ToWake {
        match std::mem::replace(&mut self.waiters[key.0 as usize], Waiter::Vacant) {
            Waiter::Called => {
                // It was granted a slot, but dropped before it polled: its slot passes to the next.
                self.forget(key);
                self.left_queue += 1;
                self.leave(now, source, Occupant::Plain)
            }
            Waiter::Queued { ticket, .. } => {
                let was_waiting = self.grantor.abandon(ticket);
                debug_assert!(was_waiting, "a queued waiter has a queued ticket");
                self.forget(key);
                self.left_queue += 1;
                self.depart(now, source, ToWake::default())
            }
            Waiter::Expired | Waiter::Vacant => {
                self.forget(key);
                self.depart(now, source, ToWake::default())
            }
        }
    }

    /// Refuses every waiter whose deadline is not after `now`.
    pub(super) fn expire(&mut self, now: Moment) -> ToWake {
        let mut to_wake = ToWake::default();
        while let Some(ticket) = self.grantor.expire(now) {
            self.refused_waited_too_long += 1;
            to_wake.push(self.settle(ticket, Waiter::Expired));
        }
        to_wake
    }

    pub(super) fn resize(&mut self, limit: Limit) -> ToWake {
        self.grantor.resize(limit);
        self.pass_on()
    }

    pub(super) fn take_period(&mut self, now: Moment) -> PeriodStats {
        let period = PeriodStats {
            report: self.meter.cut(now),
            levels: self.levels(),
            refused_queue_full: self.refused_queue_full,
            refused_waited_too_long: self.refused_waited_too_long,
            left_queue: self.left_queue,
        };
        self.refused_queue_full = 0;
        self.refused_waited_too_long = 0;
        self.left_queue = 0;
        period
    }

    pub(super) fn levels(&self) -> Levels {
        let (honoured_total, void_total) = self.grantor.shown();
        Levels {
            executing: self.grantor.inside(),
            waiting: self.grantor.breaker().waiting(),
            limit: self.grantor.breaker().limit(),
            abandoned: self.abandoned,
            abandoned_total: self.abandoned_total,
            doors: u32::try_from(self.grantor.doors()).unwrap_or(u32::MAX),
            promised: self.grantor.promised(),
            honoured_total,
            void_total,
        }
    }

    /// Whether no request is inside; otherwise `waker` is woken when the last one leaves.
    pub(super) fn poll_empty(&mut self, waker: &Waker) -> Poll<()> {
        if self.meter.concurrency() == 0 {
            return Poll::Ready(());
        }
        if !self.empty_watchers.iter().any(|known| known.will_wake(waker)) {
            self.empty_watchers.push(waker.clone());
        }
        Poll::Pending
    }

    fn depart(&mut self, now: Moment, source: Source, mut to_wake: ToWake) -> ToWake {
        self.meter.depart(now, source);
        if self.meter.concurrency() == 0 {
            for watcher in self.empty_watchers.drain(..) {
                to_wake.push(Some(watcher));
            }
        }
        to_wake
    }

    fn remember(&mut self, ticket: Ticket) -> Key {
        let waiter = Waiter::Queued { ticket, waker: None };
        let key = match self.vacant.pop() {
            Some(index) => {
                self.waiters[index as usize] = waiter;
                Key(index)
            }
            None => {
                self.waiters.push(waiter);
                // Their number is bounded by the queue's, which has 32 bits.
                Key(u32::try_from(self.waiters.len() - 1).unwrap_or(u32::MAX))
            }
        };
        if self.at_place.len() <= ticket.place() {
            self.at_place.resize(ticket.place() + 1, key);
        }
        self.at_place[ticket.place()] = key;
        key
    }

    fn settle(&mut self, ticket: Ticket, outcome: Waiter) -> Option<Waker> {
        let key = self.at_place[ticket.place()];
        match std::mem::replace(&mut self.waiters[key.0 as usize], outcome) {
            Waiter::Queued { ticket: known, waker } => {
                debug_assert_eq!(known, ticket, "a place in the queue names its waiter");
                waker
            }
            Waiter::Vacant | Waiter::Called | Waiter::Expired => None,
        }
    }

    fn forget(&mut self, key: Key) {
        self.waiters[key.0 as usize] = Waiter::Vacant;
        self.vacant.push(key.0);
        if self.vacant.len() == self.waiters.len() && self.waiters.len() > KEPT_PLACES {
            // A burst is over: give its memory back.
            self.waiters = Vec::new();
            self.vacant = Vec::new();
            self.at_place = Vec::new();
        }
    }
}
