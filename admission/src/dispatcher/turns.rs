//! Whose turn it is among the requests that wait, where that is not simply the first of them.
//!
//! Two choices, one after the other. Among the classes with requests that wait, the one that has
//! had the least for its weight: start-time fair queueing (Goyal, Vin, Cheng 1996), a request
//! counting as one whatever its length. Within the class, as the [`Order`] says. A request that
//! comes again had its turn, and is ahead of both.

use std::collections::{BTreeMap, BTreeSet};

use crate::attributes::{Attributes, Classes, Order};
use crate::invariants::{self, Violation};
use crate::queue::{KEPT_PLACES, Queue, Ticket};
use crate::time::Moment;

/// What one request of weight 1 costs its class. Divided by the weight, which is at most 65,535, it
/// keeps four digits; and 64 bits hold 10^13 requests of weight 1 without an empty queue between.
const COST: u64 = 1 << 20;

/// The order of the requests in a dispatcher's queue.
#[derive(Debug, Clone)]
pub(super) struct Turns {
    order: Order,
    classes: Classes,
    lines: Vec<Line>,
    /// Requests that come again.
    returned: BTreeSet<Ticket>,
    /// By the ticket's place.
    entries: Vec<Option<Entry>>,
    count: u32,
    /// What the class that was served last had had before.
    served: u64,
}

/// One class.
#[derive(Debug, Clone)]
struct Line {
    requests: Requests,
    /// What it has had, by its weight.
    spent: u64,
}

#[derive(Debug, Clone)]
enum Requests {
    /// By the moment at which they are due; by arrival where that is the same for all.
    Sorted(BTreeSet<(Moment, Ticket)>),
    Fair(Flows),
}

/// A request as it was inserted.
#[derive(Debug, Clone, Copy)]
struct Entry {
    ticket: Ticket,
    attributes: Attributes,
}

impl Turns {
    pub(super) fn new(order: Order, classes: Classes) -> Self {
        let requests = || match order {
            Order::Arrival | Order::EarliestDeadline => Requests::Sorted(BTreeSet::new()),
            Order::Fair => Requests::Fair(Flows::default()),
        };
        let line = || Line { requests: requests(), spent: 0 };
        let lines = std::iter::repeat_with(line).take(classes.count()).collect();
        let (returned, entries) = (BTreeSet::new(), Vec::new());
        Self { order, classes, lines, returned, entries, count: 0, served: 0 }
    }

    /// A request waits.
    pub(super) fn insert(&mut self, ticket: Ticket, mut attributes: Attributes) {
        if self.order == Order::Arrival {
            attributes.due = Moment::NEVER;
        }
        self.note(ticket, attributes);
        let line = &mut self.lines[self.classes.index(attributes.class)];
        if line.requests.is_empty() {
            // What it did not use while it was empty it does not get later.
            line.spent = line.spent.max(self.served);
        }
        line.requests.insert(ticket, attributes);
    }

    /// A request that had its turn waits again.
    pub(super) fn insert_returned(&mut self, ticket: Ticket, attributes: Attributes) {
        self.note(ticket, attributes);
        self.returned.insert(ticket);
    }

    /// The request whose turn it is.
    pub(super) fn next(&self) -> Option<Ticket> {
        self.returned.first().copied().or_else(|| self.lines[self.next_line()?].requests.next())
    }

    /// What the request that waits is about.
    pub(super) fn affinity_of(&self, ticket: Ticket) -> Option<u64> {
        self.entry(ticket)?.attributes.affinity
    }

    /// The request whose turn it is takes it.
    pub(super) fn serve(&mut self, ticket: Ticket) {
        let Some(entry) = self.take_entry(ticket) else { return };
        if !self.returned.remove(&ticket) {
            let index = self.classes.index(entry.attributes.class);
            let cost = COST / u64::from(self.classes.weight(index).get());
            let line = &mut self.lines[index];
            line.requests.serve(ticket, entry.attributes);
            self.served = line.spent;
            line.spent = line.spent.saturating_add(cost);
        }
        self.rest();
    }

    /// A request leaves without its turn, if it waits.
    pub(super) fn forget(&mut self, ticket: Ticket) {
        let Some(entry) = self.take_entry(ticket) else { return };
        if !self.returned.remove(&ticket) {
            let line = &mut self.lines[self.classes.index(entry.attributes.class)];
            line.requests.remove(ticket, entry.attributes);
        }
        self.rest();
    }

    /// Compares with the queue: each of its tickets is here, and no other.
    pub(super) fn verify(&self, queue: &Queue) -> Result<(), Violation> {
        let lines = self.lines.iter().map(|line| line.requests.len()).sum::<usize>();
        let counted = (lines + self.returned.len()) as u64;
        invariants::counts_agree("requests in turns", u64::from(queue.len()), counted)?;
        invariants::counts_agree("entries of turns", u64::from(self.count), counted)?;
        let is_here = |ticket| {
            self.entry(ticket).is_some_and(|Entry { attributes, .. }| {
                let line = &self.lines[self.classes.index(attributes.class)];
                self.returned.contains(&ticket) != line.requests.contains(ticket, *attributes)
            })
        };
        match queue.iter().all(|(ticket, _)| is_here(ticket)) {
            true => Ok(()),
            false => Err(Violation::QueueInconsistent),
        }
    }

    fn next_line(&self) -> Option<usize> {
        let waiting = self.lines.iter().enumerate().filter(|(_, line)| !line.requests.is_empty());
        waiting.min_by_key(|(_, line)| line.spent).map(|(index, _)| index)
    }

    fn entry(&self, ticket: Ticket) -> Option<&Entry> {
        self.entries.get(ticket.place())?.as_ref().filter(|entry| entry.ticket == ticket)
    }

    fn note(&mut self, ticket: Ticket, attributes: Attributes) {
        if self.entries.len() <= ticket.place() {
            self.entries.resize(ticket.place() + 1, None);
        }
        self.entries[ticket.place()] = Some(Entry { ticket, attributes });
        self.count += 1;
    }

    fn take_entry(&mut self, ticket: Ticket) -> Option<Entry> {
        let entry = *self.entry(ticket)?;
        self.entries[ticket.place()] = None;
        self.count -= 1;
        Some(entry)
    }

    /// Once nothing waits, nobody has had anything, and a burst's memory is freed.
    fn rest(&mut self) {
        if self.count > 0 {
            return;
        }
        self.served = 0;
        self.lines.iter_mut().for_each(|line| line.spent = 0);
        if self.entries.len() > KEPT_PLACES {
            self.entries = Vec::new();
        }
    }
}

impl Requests {
    fn is_empty(&self) -> bool {
        match self {
            Self::Sorted(tickets) => tickets.is_empty(),
            Self::Fair(flows) => flows.ring.is_empty(),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Sorted(tickets) => tickets.len(),
            Self::Fair(flows) => flows.by_key.values().map(|flow| flow.tickets.len()).sum(),
        }
    }

    fn contains(&self, ticket: Ticket, attributes: Attributes) -> bool {
        match self {
            Self::Sorted(tickets) => tickets.contains(&(attributes.due, ticket)),
            Self::Fair(flows) => {
                flows.by_key.get(&attributes.key).is_some_and(|flow| flow.tickets.contains(&ticket))
            }
        }
    }

    fn insert(&mut self, ticket: Ticket, attributes: Attributes) {
        match self {
            Self::Sorted(tickets) => {
                tickets.insert((attributes.due, ticket));
            }
            Self::Fair(flows) => flows.insert(attributes.key, ticket),
        }
    }

    fn next(&self) -> Option<Ticket> {
        match self {
            Self::Sorted(tickets) => tickets.first().map(|(_, ticket)| *ticket),
            Self::Fair(flows) => flows.next(),
        }
    }

    fn remove(&mut self, ticket: Ticket, attributes: Attributes) {
        match self {
            Self::Sorted(tickets) => {
                tickets.remove(&(attributes.due, ticket));
            }
            Self::Fair(flows) => flows.remove(attributes.key, ticket),
        }
    }

    fn serve(&mut self, ticket: Ticket, attributes: Attributes) {
        self.remove(ticket, attributes);
        if let Self::Fair(flows) = self {
            flows.go_last(attributes.key);
        }
    }
}

/// Requests by key, and the ring in which the keys take turns.
#[derive(Debug, Clone, Default)]
struct Flows {
    by_key: BTreeMap<u64, Flow>,
    /// The turn of each key, lowest first.
    ring: BTreeSet<(u64, u64)>,
    next_turn: u64,
}

/// The requests of one key, which are never none.
#[derive(Debug, Clone)]
struct Flow {
    turn: u64,
    tickets: BTreeSet<Ticket>,
}

impl Flows {
    fn insert(&mut self, key: u64, ticket: Ticket) {
        let flow = self.by_key.entry(key).or_insert_with(|| {
            let turn = self.next_turn;
            self.next_turn += 1;
            self.ring.insert((turn, key));
            Flow { turn, tickets: BTreeSet::new() }
        });
        flow.tickets.insert(ticket);
    }

    fn next(&self) -> Option<Ticket> {
        let (_, key) = self.ring.first()?;
        self.by_key.get(key)?.tickets.first().copied()
    }

    fn remove(&mut self, key: u64, ticket: Ticket) {
        let Some(flow) = self.by_key.get_mut(&key) else { return };
        flow.tickets.remove(&ticket);
        if flow.tickets.is_empty() {
            self.ring.remove(&(flow.turn, key));
            self.by_key.remove(&key);
        }
    }

    /// The key has had its turn; the others are before it now.
    fn go_last(&mut self, key: u64) {
        let Some(flow) = self.by_key.get_mut(&key) else { return };
        self.ring.remove(&(flow.turn, key));
        flow.turn = self.next_turn;
        self.next_turn += 1;
        self.ring.insert((flow.turn, key));
    }
}
