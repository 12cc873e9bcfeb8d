//! One instance's limit with its bounded line: the sidecar's rule.
//!
//! A slot that is given back goes straight to the head of the line, so nobody who arrives in
//! between can overtake (Knative's breaker lets them: it frees the slot first and wakes the line
//! second).

use crate::invariants::{self, Violation};
use crate::limit::Limit;
use crate::queue::{Queue, QueueSettings, Refusal, Ticket};
use crate::time::Moment;

/// What happens to a request that arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// It holds a slot now and must [`Breaker::leave`] when it is done.
    Entered,
    /// It stands in line, until its ticket is called, expires or is abandoned.
    Waiting(Ticket),
    /// It may neither enter nor wait.
    Refused(Refusal),
}

/// A concurrency limit with a strictly first-in-first-out line before it.
///
/// Every operation takes constant time (amortised over the growth of the line), except
/// [`Breaker::resize`], which takes a step for each ticket that it calls.
#[derive(Debug, Clone)]
pub struct Breaker {
    limit: Limit,
    settings: QueueSettings,
    executing: u32,
    queue: Queue,
}

impl Breaker {
    /// A breaker that nobody has entered yet. Allocates nothing until someone waits.
    pub const fn new(limit: Limit, settings: QueueSettings) -> Self {
        Self { limit, settings, executing: 0, queue: Queue::new() }
    }

    /// A request arrives.
    pub fn arrive(&mut self, now: Moment) -> Arrival {
        // The line is empty whenever there is room (an invariant), so this cannot overtake anyone.
        if self.limit.has_room_beside(self.executing) {
            self.executing += 1;
            return Arrival::Entered;
        }
        if self.queue.len() >= self.settings.depth.places(self.limit) {
            return Arrival::Refused(Refusal::QueueFull);
        }
        let deadline = self.settings.longest_wait.map_or(Moment::NEVER, |wait| now.after(wait));
        let ticket = self.queue.join(deadline);
        debug_assert_eq!(self.verify_cheaply(), Ok(()));
        Arrival::Waiting(ticket)
    }

    /// A request that holds a slot is done. Its slot passes to the ticket that is returned, if any:
    /// that one has entered and must be told so.
    #[must_use = "the ticket that is returned holds a slot and must be woken"]
    pub fn leave(&mut self) -> Option<Ticket> {
        debug_assert!(self.executing > 0, "someone left who had not entered");
        self.executing = self.executing.saturating_sub(1);
        self.call_next()
    }

    /// A request in line went away. False if its ticket had been called or had expired before: then
    /// it holds a slot (and must [`Breaker::leave`]) or nothing at all.
    pub fn abandon(&mut self, ticket: Ticket) -> bool {
        self.queue.cancel(ticket)
    }

    /// Sends away the head of the line if it has waited too long at `now`. Call until it gives
    /// `None`.
    pub fn expire(&mut self, now: Moment) -> Option<Ticket> {
        self.queue.expire(now)
    }

    /// When [`Breaker::expire`] has something to do next; `None` when nobody waits,
    /// [`Moment::NEVER`] when those who wait have no deadline.
    pub fn next_deadline(&self) -> Option<Moment> {
        self.queue.next_deadline()
    }

    /// When a ticket in line will have waited too long; `None` if it is not in line.
    pub fn deadline_of(&self, ticket: Ticket) -> Option<Moment> {
        self.queue.deadline_of(ticket)
    }

    /// Changes the limit. Gives the tickets that enter thereby, in order.
    ///
    /// Nobody is sent away when it shrinks: those inside finish, those in line keep their place,
    /// and slots that are given back are not handed on until there are fewer inside than the limit.
    #[must_use = "the tickets that are returned hold slots and must be woken"]
    pub fn resize(&mut self, limit: Limit) -> Vec<Ticket> {
        self.limit = limit;
        let called = core::iter::from_fn(|| self.call_next()).collect();
        debug_assert_eq!(self.verify_cheaply(), Ok(()));
        called
    }

    /// Changes the bounds of the line for those who arrive from now on.
    pub fn set_queue(&mut self, settings: QueueSettings) {
        self.settings = settings;
    }

    /// How many hold a slot.
    pub const fn executing(&self) -> u32 {
        self.executing
    }

    /// How many stand in line.
    pub const fn waiting(&self) -> u32 {
        self.queue.len()
    }

    /// How many hold a slot or stand in line.
    pub const fn inside(&self) -> u32 {
        self.executing.saturating_add(self.queue.len())
    }

    /// The limit in force.
    pub const fn limit(&self) -> Limit {
        self.limit
    }

    /// The bounds of the line in force.
    pub const fn queue_settings(&self) -> QueueSettings {
        self.settings
    }

    /// Whether the ticket still stands in line.
    pub fn is_waiting(&self, ticket: Ticket) -> bool {
        self.queue.is_waiting(ticket)
    }

    /// Checks every invariant, in time proportional to the line. For tests and the simulator.
    pub fn verify(&self) -> Result<(), Violation> {
        invariants::queue_is_sound(&self.queue)?;
        self.verify_cheaply()
    }

    fn verify_cheaply(&self) -> Result<(), Violation> {
        invariants::nobody_waits_beside_room(
            self.queue.len(),
            self.limit.has_room_beside(self.executing),
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
    fn growing_calls_the_line_and_shrinking_waits_for_room() {
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
    fn an_unlimited_breaker_never_makes_anyone_wait() {
        let mut breaker = Breaker::new(Limit::from_wire(1), QueueSettings::KNATIVE);
        assert_eq!(breaker.arrive(Moment::ZERO), Arrival::Entered);
        let ticket = wait(breaker.arrive(Moment::ZERO));
        assert_eq!(breaker.resize(Limit::UNLIMITED), [ticket]);
        assert_eq!(breaker.arrive(Moment::ZERO), Arrival::Entered);
        assert_eq!(breaker.executing(), 3);
    }

    #[test]
    fn a_deadline_of_its_own_sends_the_head_away() {
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
