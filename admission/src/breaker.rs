//! One instance's limit with its bounded queue: the sidecar's rule.
//!
//! A slot that is given back passes directly to the head of the queue, so no request that arrives
//! in between can overtake it. (Knative's breaker allows that: it frees the slot first and wakes
//! the queue second.)

use crate::invariants::{self, Violation};
use crate::limit::Limit;
use crate::queue::{Queue, QueueSettings, Refusal, Ticket};
use crate::time::Moment;

/// What happens to a request that arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// It holds a slot now and must [`Breaker::leave`] when it is done.
    Entered,
    /// It is queued, until its ticket is called, expires or is abandoned.
    Waiting(Ticket),
    /// It is neither admitted nor queued.
    Refused(Refusal),
}

/// A concurrency limit with a strictly first-in-first-out queue in front of it.
///
/// Every operation takes constant time (amortised over the growth of the queue), except
/// [`Breaker::resize`], which takes a step for each ticket that it calls.
#[derive(Debug, Clone)]
pub struct Breaker {
    limit: Limit,
    settings: QueueSettings,
    executing: u32,
    queue: Queue,
}

impl Breaker {
    /// A breaker without requests. Allocates nothing until a request waits.
    pub const fn new(limit: Limit, settings: QueueSettings) -> Self {
        Self { limit, settings, executing: 0, queue: Queue::new() }
    }

    /// A request arrives.
    pub fn arrive(&mut self, now: Moment) -> Arrival {
        // The queue is empty whenever there is capacity (an invariant), so this overtakes no
        // request.
        if self.limit.has_room_beside(self.executing) {
            self.executing += 1;
            return Arrival::Entered;
        }
        if self.queue.len() >= self.settings.depth.places(self.limit) {
            return Arrival::Refused(Refusal::QueueFull);
        }
        let deadline = self.settings.longest_wait.map_or(Moment::NEVER, |wait| now.after(wait));
        let ticket = self.queue.join(deadline, 0);
        debug_assert_eq!(self.verify_cheaply(), Ok(()));
        Arrival::Waiting(ticket)
    }

    /// A request that holds a slot is done. Its slot passes to the ticket that is returned, if any:
    /// that one is admitted and must be woken.
    #[must_use = "the ticket that is returned holds a slot and must be woken"]
    pub fn leave(&mut self) -> Option<Ticket> {
        debug_assert!(self.executing > 0, "a request left that had not entered");
        self.executing = self.executing.saturating_sub(1);
        self.call_next()
    }

    /// A queued request is cancelled. False if its ticket had been called or had expired before:
    /// then it holds a slot (and must [`Breaker::leave`]) or nothing.
    pub fn abandon(&mut self, ticket: Ticket) -> bool {
        self.queue.cancel(ticket)
    }

    /// Removes the head of the queue if it has waited too long at `now`. Call until it gives
    /// `None`.
    pub fn expire(&mut self, now: Moment) -> Option<Ticket> {
        self.queue.expire(now)
    }

    /// When [`Breaker::expire`] has something to do next; `None` when the queue is empty,
    /// [`Moment::NEVER`] when its tickets have no deadline.
    pub fn next_deadline(&self) -> Option<Moment> {
        self.queue.next_deadline()
    }

    /// When a queued ticket expires; `None` if it is not queued.
    pub fn deadline_of(&self, ticket: Ticket) -> Option<Moment> {
        self.queue.deadline_of(ticket)
    }

    /// Changes the limit. Gives the tickets that are admitted by it, in order.
    ///
    /// No request is removed when it shrinks: those that execute finish, those that are queued
    /// stay, and slots that are given back are not passed on until fewer than the limit execute.
    #[must_use = "the tickets that are returned hold slots and must be woken"]
    pub fn resize(&mut self, limit: Limit) -> Vec<Ticket> {
        self.limit = limit;
        let called = core::iter::from_fn(|| self.call_next()).collect();
        debug_assert_eq!(self.verify_cheaply(), Ok(()));
        called
    }

    /// Takes a slot for who asks for it, ahead of the queue. False if there is no room. For an
    /// owner that decides itself who is next.
    pub(crate) fn take(&mut self) -> bool {
        let room = self.has_room();
        self.executing += u32::from(room);
        room
    }

    /// Gives a slot back without passing it on.
    pub(crate) fn free(&mut self) {
        debug_assert!(self.executing > 0, "a slot was given back that was not taken");
        self.executing = self.executing.saturating_sub(1);
    }

    /// Passes a free slot to the head of the queue.
    pub(crate) fn call(&mut self) -> Option<Ticket> {
        self.call_next()
    }

    /// Changes the limit without calling anybody.
    pub(crate) fn set_limit(&mut self, limit: Limit) {
        self.limit = limit;
    }

    /// Whether a slot is free.
    pub(crate) const fn has_room(&self) -> bool {
        self.limit.has_room_beside(self.executing)
    }

    /// Slots that are taken beyond the limit, which has shrunk.
    pub(crate) const fn excess(&self) -> u32 {
        match self.limit.count() {
            Some(count) => self.executing.saturating_sub(count.get()),
            None => 0,
        }
    }

    /// Who waits.
    pub(crate) const fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Changes the bounds of the queue for requests that arrive from now on.
    pub fn set_queue(&mut self, settings: QueueSettings) {
        self.settings = settings;
    }

    /// The number of requests that hold a slot.
    pub const fn executing(&self) -> u32 {
        self.executing
    }

    /// The number of requests in the queue.
    pub const fn waiting(&self) -> u32 {
        self.queue.len()
    }

    /// The number of requests that hold a slot or are queued.
    pub const fn inside(&self) -> u32 {
        self.executing.saturating_add(self.queue.len())
    }

    /// The limit in force.
    pub const fn limit(&self) -> Limit {
        self.limit
    }

    /// The bounds of the queue in force.
    pub const fn queue_settings(&self) -> QueueSettings {
        self.settings
    }

    /// Whether the ticket is still queued.
    pub fn is_waiting(&self, ticket: Ticket) -> bool {
        self.queue.is_waiting(ticket)
    }

    /// Checks every invariant, in time proportional to the queue. For tests and the simulator.
    pub fn verify(&self) -> Result<(), Violation> {
        invariants::queue_is_consistent(&self.queue)?;
        self.verify_cheaply()
    }

    fn verify_cheaply(&self) -> Result<(), Violation> {
        invariants::no_wait_beside_capacity(
            self.queue.len(),
            self.limit.capacity_beside(self.executing),
        )
    }

    fn call_next(&mut self) -> Option<Ticket> {
        if !self.limit.has_room_beside(self.executing) {
            return None;
        }
        let ticket = self.queue.call_next()?;
        self.executing += 1;
        Some(ticket)
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;
    use crate::queue::Depth;

    fn wait(arrival: Arrival) -> Ticket {
        match arrival {
            Arrival::Waiting(ticket) => ticket,
            other => panic!("expected to wait, got {other:?}"),
        }
    }

    #[test]
    fn knative_lets_eleven_times_the_limit_inside() {
        for limit in [1, 2, 7] {
            let mut breaker = Breaker::new(Limit::from_wire(limit), QueueSettings::KNATIVE);
            for nth in 0..11 * limit {
                let entered = breaker.arrive(Moment::ZERO) == Arrival::Entered;
                assert_eq!(entered, nth < limit);
            }
            assert_eq!(breaker.arrive(Moment::ZERO), Arrival::Refused(Refusal::QueueFull));
            assert_eq!(breaker.inside(), 11 * limit);
        }
    }

    #[test]
    fn a_newcomer_cannot_take_the_slot_that_was_given_back() {
        let mut breaker = Breaker::new(Limit::from_wire(1), QueueSettings::KNATIVE);
        assert_eq!(breaker.arrive(Moment::ZERO), Arrival::Entered);
        let first = wait(breaker.arrive(Moment::ZERO));
        assert_eq!(breaker.leave(), Some(first));
        wait(breaker.arrive(Moment::ZERO));
        assert_eq!(breaker.executing(), 1);
    }

    #[test]
    fn growing_calls_the_queue_and_shrinking_waits_for_capacity() {
        let mut breaker = Breaker::new(Limit::from_wire(1), QueueSettings::KNATIVE);
        assert_eq!(breaker.arrive(Moment::ZERO), Arrival::Entered);
        let tickets: Vec<_> = (0..3).map(|_| wait(breaker.arrive(Moment::ZERO))).collect();
        assert_eq!(breaker.resize(Limit::from_wire(3)), tickets[..2]);
        assert!(breaker.resize(Limit::from_wire(1)).is_empty());
        assert_eq!(breaker.leave(), None);
        assert_eq!(breaker.leave(), None);
        assert_eq!(breaker.leave(), Some(tickets[2]));
        assert_eq!(breaker.leave(), None);
        assert_eq!(breaker.executing(), 0);
    }

    #[test]
    fn an_unlimited_breaker_queues_no_request() {
        let mut breaker = Breaker::new(Limit::from_wire(1), QueueSettings::KNATIVE);
        assert_eq!(breaker.arrive(Moment::ZERO), Arrival::Entered);
        let ticket = wait(breaker.arrive(Moment::ZERO));
        assert_eq!(breaker.resize(Limit::UNLIMITED), [ticket]);
        assert_eq!(breaker.arrive(Moment::ZERO), Arrival::Entered);
        assert_eq!(breaker.executing(), 3);
    }

    #[test]
    fn a_deadline_removes_the_head_of_the_queue() {
        let settings = QueueSettings {
            depth: Depth::Count(2),
            longest_wait: Some(Duration::from_millis(100)),
        };
        let mut breaker = Breaker::new(Limit::from_wire(1), settings);
        assert_eq!(breaker.arrive(Moment::ZERO), Arrival::Entered);
        let first = wait(breaker.arrive(Moment::ZERO));
        let second = wait(breaker.arrive(Moment::from_millis(1)));
        assert_eq!(breaker.arrive(Moment::ZERO), Arrival::Refused(Refusal::QueueFull));
        assert_eq!(breaker.next_deadline(), Some(Moment::from_millis(100)));
        assert_eq!(breaker.expire(Moment::from_millis(100)), Some(first));
        assert_eq!(breaker.expire(Moment::from_millis(100)), None);
        assert!(!breaker.abandon(first));
        assert!(breaker.abandon(second));
        assert_eq!(breaker.leave(), None);
    }
}
