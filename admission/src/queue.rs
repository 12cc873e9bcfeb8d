//! A strictly first-in-first-out line from which anyone may walk away, in constant time.

use core::fmt;
use core::time::Duration;

use crate::limit::Limit;
use crate::time::Moment;

/// Knative's bound on a line: ten times the limit may wait beside the limit that runs.
pub const KNATIVE_DEPTH_TIMES_LIMIT: u32 = 10;

/// Below this many places an emptied line keeps its memory for the next burst.
const KEPT_PLACES: usize = 256;

/// More than this many never wait in one line, whatever the settings say: places are numbered with
/// 32 bits, and this many would take 64 GiB.
const MAX_PLACES: u32 = u32::MAX / 2;

/// Marks the absence of a neighbour in the linked list.
const NOBODY: u32 = u32::MAX;

/// A place in a line. It stays unique for the life of the line, also after its owner has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket {
    /// First, so that tickets sort by arrival.
    order: u64,
    place: u32,
}

impl Ticket {
    /// A small number that no other waiting ticket has now, reused once this one has left: an index
    /// for whoever keeps something (a waker) beside each waiting ticket.
    pub const fn place(self) -> usize {
        self.place as usize
    }

    /// Rises with each arrival at one line.
    pub const fn order(self) -> u64 {
        self.order
    }
}

/// Why someone was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// As many as may wait were waiting already.
    QueueFull,
    /// The longest time that anyone may wait has passed.
    WaitedTooLong,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::QueueFull => "the line of waiting requests is full",
            Self::WaitedTooLong => "the longest time that a request may wait has passed",
        })
    }
}

impl core::error::Error for Refusal {}

/// How many may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Depth {
    /// This many times the limit; nobody ever waits without a limit.
    TimesLimit(u32),
    /// This many, whatever the limit; zero refuses everyone who cannot enter at once.
    Count(u32),
}

impl Depth {
    /// The number of places that this means beside a limit.
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

/// The bounds of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct QueueSettings {
    /// How many may wait.
    pub depth: Depth,
    /// How long anyone may wait; `None` leaves that to the request's own timeouts.
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

/// One place: who stands there, since when they may leave, and who stands beside them.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// The arrival that stands here; meaningless while the place is free.
    order: u64,
    deadline: Moment,
    ahead: u32,
    /// Doubles as the list of free places.
    behind: u32,
    taken: bool,
}

/// The line itself: a linked list inside one growing allocation, with a list of free places.
///
/// Joining, leaving from the head and walking away from anywhere take constant time, and memory is
/// bounded by the greatest number that ever waited together, which the owner bounds by its depth.
#[derive(Debug, Clone)]
pub struct Queue {
    places: Vec<Place>,
    free: u32,
    head: u32,
    tail: u32,
    len: u32,
    next_order: u64,
}

impl Default for Queue {
    fn default() -> Self {
        Self::new()
    }
}

impl Queue {
    /// An empty line. Allocates nothing until someone joins.
    pub const fn new() -> Self {
        Self { places: Vec::new(), free: NOBODY, head: NOBODY, tail: NOBODY, len: 0, next_order: 0 }
    }

    /// How many wait.
    pub const fn len(&self) -> u32 {
        self.len
    }

    /// Whether nobody waits.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The number of the next arrival. Also counts those who never had to wait, so that their order
    /// can be restored by [`Queue::rejoin`].
    pub fn take_order(&mut self) -> u64 {
        let order = self.next_order;
        self.next_order += 1;
        order
    }

    /// Joins at the end, until `deadline` at the latest.
    ///
    /// Deadlines never decrease along the line: after the longest wait was shortened, a newcomer
    /// gets the deadline of the one ahead, so that [`Queue::expire`] need only look at the head.
    pub fn join(&mut self, deadline: Moment) -> Ticket {
        let order = self.take_order();
        let deadline = match self.places.get(self.tail as usize) {
            Some(last) if !self.is_empty() && last.deadline > deadline => last.deadline,
            _ => deadline,
        };
        self.insert_behind(self.tail, order, deadline)
    }

    /// Joins again with the order of an earlier arrival, ahead of everyone who came after it.
    ///
    /// For a request whose instance died before the request was sent. Takes as many steps as there
    /// are earlier arrivals at the head, all of which came back the same way.
    pub fn rejoin(&mut self, order: u64, deadline: Moment) -> Ticket {
        let mut ahead = NOBODY;
        let mut next = self.head;
        while let Some(place) = self.places.get(next as usize) {
            if place.order > order {
                break;
            }
            ahead = next;
            next = place.behind;
        }
        // Keep deadlines in order here too: give back no more time than the next one has.
        let deadline = match self.places.get(next as usize) {
            Some(place) if place.deadline < deadline => place.deadline,
            _ => deadline,
        };
        self.insert_behind(ahead, order, deadline)
    }

    /// Takes the head of the line.
    pub fn call_next(&mut self) -> Option<Ticket> {
        let ticket = self.head()?;
        self.unlink(ticket.place);
        Some(ticket)
    }

    /// Takes the head of the line if its deadline is not after `now`.
    pub fn expire(&mut self, now: Moment) -> Option<Ticket> {
        if self.next_deadline()? > now {
            return None;
        }
        self.call_next()
    }

    /// When the head of the line must be sent away; `None` when nobody waits.
    pub fn next_deadline(&self) -> Option<Moment> {
        self.places.get(self.head as usize).map(|place| place.deadline)
    }

    /// Walks away. False if the ticket was not waiting any more.
    pub fn cancel(&mut self, ticket: Ticket) -> bool {
        let waiting = self.is_waiting(ticket);
        if waiting {
            self.unlink(ticket.place);
        }
        waiting
    }

    /// Whether the ticket still waits.
    pub fn is_waiting(&self, ticket: Ticket) -> bool {
        self.places
            .get(ticket.place())
            .is_some_and(|place| place.taken && place.order == ticket.order)
    }

    /// When a ticket must be sent away; `None` if it is not waiting.
    pub fn deadline_of(&self, ticket: Ticket) -> Option<Moment> {
        let place = self.places.get(ticket.place())?;
        (place.taken && place.order == ticket.order).then_some(place.deadline)
    }

    /// The head of the line.
    pub fn head(&self) -> Option<Ticket> {
        let place = self.places.get(self.head as usize)?;
        Some(Ticket { order: place.order, place: self.head })
    }

    /// Everyone who waits, from the head.
    pub fn iter(&self) -> impl Iterator<Item = (Ticket, Moment)> + '_ {
        let mut next = self.head;
        core::iter::from_fn(move || {
            let place = self.places.get(next as usize)?;
            let ticket = Ticket { order: place.order, place: next };
            next = place.behind;
            Some((ticket, place.deadline))
        })
    }

    fn insert_behind(&mut self, ahead: u32, order: u64, deadline: Moment) -> Ticket {
        let behind = match self.places.get(ahead as usize) {
            Some(place) => place.behind,
            None => self.head,
        };
        let entry = Place { order, deadline, ahead, behind, taken: true };
        let place = match self.places.get_mut(self.free as usize) {
            Some(slot) => {
                let place = self.free;
                self.free = slot.behind;
                *slot = entry;
                place
            }
            None => {
                let place = u32::try_from(self.places.len()).unwrap_or(NOBODY);
                debug_assert!(place < MAX_PLACES, "its owner lets no more than that wait");
                self.places.push(entry);
                place
            }
        };
        match self.places.get_mut(ahead as usize) {
            Some(neighbour) => neighbour.behind = place,
            None => self.head = place,
        }
        match self.places.get_mut(behind as usize) {
            Some(neighbour) => neighbour.ahead = place,
            None => self.tail = place,
        }
        self.len += 1;
        Ticket { order, place }
    }

    fn unlink(&mut self, place: u32) {
        let Some(slot) = self.places.get_mut(place as usize) else { return };
        let (ahead, behind) = (slot.ahead, slot.behind);
        slot.taken = false;
        slot.behind = self.free;
        self.free = place;
        match self.places.get_mut(ahead as usize) {
            Some(neighbour) => neighbour.behind = behind,
            None => self.head = behind,
        }
        match self.places.get_mut(behind as usize) {
            Some(neighbour) => neighbour.ahead = ahead,
            None => self.tail = ahead,
        }
        self.len -= 1;
        if self.len == 0 && self.places.len() > KEPT_PLACES {
            // A burst is over: give its memory back. Old tickets stay recognisable by their order.
            self.places = Vec::new();
            self.free = NOBODY;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_emptied_line_gives_the_memory_of_a_burst_back() {
        let mut line = Queue::new();
        let tickets: Vec<_> = (0..10_000).map(|_| line.join(Moment::NEVER)).collect();
        assert_eq!(line.len(), 10_000);
        for ticket in &tickets {
            assert!(line.cancel(*ticket));
        }
        assert_eq!(line.places.capacity(), 0);
        assert!(!line.cancel(tickets[3]), "a ticket never comes back to life");
        let again = line.join(Moment::NEVER);
        assert!(!line.is_waiting(tickets[again.place()]));
    }

    #[test]
    fn whoever_comes_back_stands_ahead_of_later_arrivals() {
        let mut line = Queue::new();
        let first = line.take_order();
        let second = line.take_order();
        let third = line.join(Moment::NEVER);
        let back_second = line.rejoin(second, Moment::NEVER);
        let back_first = line.rejoin(first, Moment::NEVER);
        let order: Vec<_> = line.iter().map(|(ticket, _)| ticket).collect();
        assert_eq!(order, [back_first, back_second, third]);
    }

    #[test]
    fn deadlines_never_decrease_along_the_line() {
        let mut line = Queue::new();
        line.join(Moment::from_millis(50));
        let second = line.join(Moment::from_millis(10));
        assert_eq!(line.expire(Moment::from_millis(49)), None);
        assert!(line.expire(Moment::from_millis(50)).is_some());
        assert_eq!(line.expire(Moment::from_millis(50)), Some(second));
        assert_eq!(line.next_deadline(), None);
    }
}
