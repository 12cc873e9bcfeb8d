//! A strictly first-in-first-out queue in which any ticket can be cancelled, in constant time.

use core::fmt;
use core::time::Duration;

use crate::limit::Limit;
use crate::time::Moment;

/// Knative's bound on a queue: ten times the limit may wait beside the limit that executes.
pub const KNATIVE_DEPTH_TIMES_LIMIT: u32 = 10;

/// Below this many entries an emptied queue keeps its memory for the next burst, and so should
/// whatever a caller keeps for each waiter: 256 of them take some kilobytes.
pub const KEPT_PLACES: usize = 256;

/// The most tickets of one queue, whatever its settings: entries are numbered with 32 bits, and
/// this many would take 64 GiB.
const MAX_PLACES: u32 = u32::MAX / 2;

/// Marks the absence of a neighbour in the linked list.
const NOBODY: u32 = u32::MAX;

/// A ticket of a queue. It stays unique for the life of the queue, also after it has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket {
    /// First, so that tickets sort by arrival.
    order: u64,
    place: u32,
}

impl Ticket {
    /// A small number that no other waiting ticket has now, reused once this one has left: an index
    /// for an owner that keeps something (a waker) for each waiting ticket.
    pub const fn place(self) -> usize {
        self.place as usize
    }

    /// Rises with each arrival at one queue.
    pub const fn order(self) -> u64 {
        self.order
    }
}

/// Why a request was not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The queue was full.
    QueueFull,
    /// The longest time that a request may wait has passed.
    WaitedTooLong,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::QueueFull => "the queue of waiting requests is full",
            Self::WaitedTooLong => "the longest time that a request may wait has passed",
        })
    }
}

impl core::error::Error for Refusal {}

/// The depth of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Depth {
    /// This many times the limit; without a limit nothing waits.
    TimesLimit(u32),
    /// This many, whatever the limit; zero refuses every request that is not admitted at once.
    Count(u32),
}

impl Depth {
    /// The number of tickets that this allows beside a limit.
    pub fn places(self, limit: Limit) -> u32 {
        match self {
            Self::TimesLimit(times) => {
                limit.count().map_or(0, |count| count.get().saturating_mul(times))
            }
            Self::Count(count) => count,
        }
        .min(MAX_PLACES)
    }
}

/// The bounds of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct QueueSettings {
    /// How many may wait.
    pub depth: Depth,
    /// How long a request may wait; `None` leaves that to the request's own timeouts.
    pub longest_wait: Option<Duration>,
}

impl QueueSettings {
    /// What Knative's queue-proxy does: ten times the limit may wait, without a deadline.
    pub const KNATIVE: Self =
        Self { depth: Depth::TimesLimit(KNATIVE_DEPTH_TIMES_LIMIT), longest_wait: None };
}

impl Default for QueueSettings {
    fn default() -> Self {
        Self::KNATIVE
    }
}

/// One entry of the linked list.
#[derive(Debug, Clone, Copy)]
struct Entry {
    /// The order of the arrival; meaningless while the entry is free.
    order: u64,
    deadline: Moment,
    ahead: u32,
    /// Doubles as the list of free entries.
    behind: u32,
    bytes: u32,
    taken: bool,
}

/// The queue itself: a linked list inside one growing allocation, with a list of free entries.
///
/// Joining, leaving at the head and cancelling anywhere take constant time, and memory is bounded
/// by the greatest number that ever waited together, which the owner bounds by its depth.
#[derive(Debug, Clone)]
pub struct Queue {
    entries: Vec<Entry>,
    free: u32,
    head: u32,
    tail: u32,
    len: u32,
    bytes: u64,
    next_order: u64,
}

impl Default for Queue {
    fn default() -> Self {
        Self::new()
    }
}

impl Queue {
    /// An empty queue. Allocates nothing until a ticket joins.
    pub const fn new() -> Self {
        Self {
            entries: Vec::new(),
            free: NOBODY,
            head: NOBODY,
            tail: NOBODY,
            len: 0,
            bytes: 0,
            next_order: 0,
        }
    }

    /// The number of tickets.
    pub const fn len(&self) -> u32 {
        self.len
    }

    /// What the tickets weigh together.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether no ticket waits.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The number of the next arrival. Also counts requests that did not have to wait, so that
    /// [`Queue::rejoin`] can restore their order.
    pub fn take_order(&mut self) -> u64 {
        let order = self.next_order;
        self.next_order += 1;
        order
    }

    /// Joins at the end, until `deadline` at the latest. `bytes` is what it weighs.
    ///
    /// Deadlines never decrease along the queue: a ticket gets at least the deadline of the one
    /// ahead, so that [`Queue::expire`] only has to check the head. Who shortens the longest wait
    /// calls [`Queue::shorten`], or those who wait already would lend their deadlines to all behind
    /// them.
    pub fn join(&mut self, deadline: Moment, bytes: u32) -> Ticket {
        let order = self.take_order();
        let deadline = match self.entries.get(self.tail as usize) {
            Some(last) if !self.is_empty() && last.deadline > deadline => last.deadline,
            _ => deadline,
        };
        self.insert_behind(self.tail, (order, deadline, bytes))
    }

    /// Joins again with the order of an earlier arrival, ahead of every later one.
    ///
    /// For a request whose instance died before the request was sent. Takes as many steps as there
    /// are earlier arrivals at the head, all of which rejoined the same way.
    pub fn rejoin(&mut self, order: u64, deadline: Moment, bytes: u32) -> Ticket {
        let mut ahead = NOBODY;
        let mut next = self.head;
        while let Some(place) = self.entries.get(next as usize) {
            if place.order > order {
                break;
            }
            ahead = next;
            next = place.behind;
        }
        // Deadlines stay in order here too: a ticket gets no more time than the next one has.
        let deadline = match self.entries.get(next as usize) {
            Some(place) if place.deadline < deadline => place.deadline,
            _ => deadline,
        };
        self.insert_behind(ahead, (order, deadline, bytes))
    }

    /// Takes the head of the queue.
    pub fn call_next(&mut self) -> Option<Ticket> {
        let ticket = self.head()?;
        self.unlink(ticket.place);
        Some(ticket)
    }

    /// Takes the head of the queue if its deadline is not after `now`.
    pub fn expire(&mut self, now: Moment) -> Option<Ticket> {
        if self.next_deadline()? > now {
            return None;
        }
        self.call_next()
    }

    /// Lets nobody who waits now wait beyond `latest`. Takes as many steps as there are tickets
    /// with a later deadline: all are at the end.
    pub fn shorten(&mut self, latest: Moment) {
        let mut next = self.tail;
        while let Some(place) = self.entries.get_mut(next as usize) {
            if place.deadline <= latest {
                return;
            }
            place.deadline = latest;
            next = place.ahead;
        }
    }

    /// When the head of the queue expires; `None` when the queue is empty.
    pub fn next_deadline(&self) -> Option<Moment> {
        self.entries.get(self.head as usize).map(|place| place.deadline)
    }

    /// Removes a ticket. False if it was not waiting any more.
    pub fn cancel(&mut self, ticket: Ticket) -> bool {
        let waiting = self.is_waiting(ticket);
        if waiting {
            self.unlink(ticket.place);
        }
        waiting
    }

    /// Whether the ticket still waits.
    pub fn is_waiting(&self, ticket: Ticket) -> bool {
        self.entries
            .get(ticket.place())
            .is_some_and(|place| place.taken && place.order == ticket.order)
    }

    /// When a ticket expires; `None` if it is not waiting.
    pub fn deadline_of(&self, ticket: Ticket) -> Option<Moment> {
        let place = self.entries.get(ticket.place())?;
        (place.taken && place.order == ticket.order).then_some(place.deadline)
    }

    /// What a ticket weighs; `None` if it is not waiting.
    pub fn bytes_of(&self, ticket: Ticket) -> Option<u32> {
        let place = self.entries.get(ticket.place())?;
        (place.taken && place.order == ticket.order).then_some(place.bytes)
    }

    /// The head of the queue.
    pub fn head(&self) -> Option<Ticket> {
        let place = self.entries.get(self.head as usize)?;
        Some(Ticket { order: place.order, place: self.head })
    }

    /// All tickets with their deadlines, from the head.
    pub fn iter(&self) -> impl Iterator<Item = (Ticket, Moment)> + '_ {
        let mut next = self.head;
        core::iter::from_fn(move || {
            let place = self.entries.get(next as usize)?;
            let ticket = Ticket { order: place.order, place: next };
            next = place.behind;
            Some((ticket, place.deadline))
        })
    }

    fn insert_behind(
        &mut self,
        ahead: u32,
        (order, deadline, bytes): (u64, Moment, u32),
    ) -> Ticket {
        let behind = match self.entries.get(ahead as usize) {
            Some(place) => place.behind,
            None => self.head,
        };
        let entry = Entry { order, deadline, ahead, behind, bytes, taken: true };
        let place = match self.entries.get_mut(self.free as usize) {
            Some(slot) => {
                let place = self.free;
                self.free = slot.behind;
                *slot = entry;
                place
            }
            None => {
                let place = u32::try_from(self.entries.len()).unwrap_or(NOBODY);
                debug_assert!(place < MAX_PLACES, "its owner admits no more than that");
                self.entries.push(entry);
                place
            }
        };
        match self.entries.get_mut(ahead as usize) {
            Some(neighbour) => neighbour.behind = place,
            None => self.head = place,
        }
        match self.entries.get_mut(behind as usize) {
            Some(neighbour) => neighbour.ahead = place,
            None => self.tail = place,
        }
        self.len += 1;
        self.bytes += u64::from(bytes);
        Ticket { order, place }
    }

    fn unlink(&mut self, place: u32) {
        let Some(slot) = self.entries.get_mut(place as usize) else { return };
        let (ahead, behind) = (slot.ahead, slot.behind);
        slot.taken = false;
        self.bytes -= u64::from(slot.bytes);
        slot.behind = self.free;
        self.free = place;
        match self.entries.get_mut(ahead as usize) {
            Some(neighbour) => neighbour.behind = behind,
            None => self.head = behind,
        }
        match self.entries.get_mut(behind as usize) {
            Some(neighbour) => neighbour.ahead = ahead,
            None => self.tail = ahead,
        }
        self.len -= 1;
        if self.len == 0 && self.entries.len() > KEPT_PLACES {
            // A burst is over, so its memory is freed. Old tickets stay recognisable by their
            // order.
            self.entries = Vec::new();
            self.free = NOBODY;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_emptied_queue_frees_the_memory_of_a_burst() {
        let mut queue = Queue::new();
        let tickets: Vec<_> = (0..10_000).map(|_| queue.join(Moment::NEVER, 0)).collect();
        assert_eq!(queue.len(), 10_000);
        for ticket in &tickets {
            assert!(queue.cancel(*ticket));
        }
        assert_eq!(queue.entries.capacity(), 0);
        assert!(!queue.cancel(tickets[3]), "a ticket is never valid again");
        let again = queue.join(Moment::NEVER, 0);
        assert!(!queue.is_waiting(tickets[again.place()]));
    }

    #[test]
    fn a_ticket_that_rejoins_is_ahead_of_later_arrivals() {
        let mut queue = Queue::new();
        let first = queue.take_order();
        let second = queue.take_order();
        let third = queue.join(Moment::NEVER, 0);
        let second_again = queue.rejoin(second, Moment::NEVER, 0);
        let first_again = queue.rejoin(first, Moment::NEVER, 0);
        let order: Vec<_> = queue.iter().map(|(ticket, _)| ticket).collect();
        assert_eq!(order, [first_again, second_again, third]);
    }

    #[test]
    fn deadlines_never_decrease_along_the_queue() {
        let mut queue = Queue::new();
        queue.join(Moment::from_millis(50), 0);
        let second = queue.join(Moment::from_millis(10), 0);
        assert_eq!(queue.expire(Moment::from_millis(49)), None);
        assert!(queue.expire(Moment::from_millis(50)).is_some());
        assert_eq!(queue.expire(Moment::from_millis(50)), Some(second));
        assert_eq!(queue.next_deadline(), None);
    }

    #[test]
    fn a_shortened_wait_holds_for_those_who_wait_and_for_those_behind_them() {
        let mut queue = Queue::new();
        let soon = queue.join(Moment::from_millis(10), 0);
        let never = queue.join(Moment::NEVER, 0);
        queue.shorten(Moment::from_millis(50));
        let behind = queue.join(Moment::from_millis(50), 0);
        let deadlines = [soon, never, behind].map(|ticket| queue.deadline_of(ticket));
        assert_eq!(deadlines, [10, 50, 50].map(|at| Some(Moment::from_millis(at))));
        queue.shorten(Moment::NEVER);
        assert_eq!(queue.deadline_of(never), Some(Moment::from_millis(50)), "never longer");
        assert_eq!(queue.call_next(), Some(soon));
        assert_eq!(queue.call_next(), Some(never));
        assert_eq!(queue.call_next(), Some(behind));
        queue.shorten(Moment::ZERO);
        assert!(queue.is_empty());
    }
}
