//! One revision's queue in front of many instances: the activator's rule.
//!
//! A request is sent to a ready instance that has capacity, as the [`Policy`] chooses; while none
//! has, it waits in one queue. No instance is ever sent more than its limit. Requests leave the
//! queue first in, first out, unless `Order` and `Classes` say otherwise; none that arrives is
//! sent before one that waits.
//!
//! Instances are added and removed at run time. One that drains takes no new request but keeps its
//! count, so that an instance that is resumed is not overfilled.

mod available;
mod policy;
mod reorder;
mod ring;
mod settings;
mod slot;
mod turns;

use core::num::NonZeroU32;
use core::time::Duration;

pub use policy::Policy;
pub use settings::DispatcherSettings;
pub use slot::NewInstance;

use crate::attributes::Attributes;
use crate::invariants::{self, Violation};
use crate::limit::Limit;
use crate::queue::{Queue, Refusal, Ticket};
use crate::time::Moment;
use available::{Available, Circumstances};
use slot::{Slot, State};
use turns::Turns;

/// An instance as a dispatcher knows it. Stays unique, also after the instance was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId {
    slot: u32,
    generation: u32,
}

impl InstanceId {
    /// A small number that no other instance of the dispatcher has now, reused after removal: an
    /// index for an owner that keeps something (an address) for each instance.
    pub const fn slot(self) -> usize {
        self.slot as usize
    }
}

/// What happens to a request that arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dispatch {
    /// It is sent to this instance now, and must [`Dispatcher::depart`] from it when it is done.
    Sent {
        /// The instance.
        instance: InstanceId,
        /// Its number among all arrivals, for [`Dispatcher::arrive_again`].
        order: u64,
    },
    /// It is queued until it is granted an instance, expires or is abandoned.
    Waiting(Ticket),
    /// It is neither sent nor queued.
    Refused(Refusal),
}

/// The end of a wait: the request of this ticket is sent to that instance now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// The ticket that waited.
    pub ticket: Ticket,
    /// The instance; the request must [`Dispatcher::depart`] from it when it is done.
    pub instance: InstanceId,
}

/// One revision's instances, the requests in flight at each, and the queue in front of them.
///
/// Choosing an instance takes constant time with [`Policy::LeastLoaded`] and
/// [`Policy::RandomOfTwo`], and a step for each 64 instances otherwise.
#[derive(Debug, Clone)]
pub struct Dispatcher {
    settings: DispatcherSettings,
    slots: Vec<Slot>,
    free: Vec<u32>,
    available: Available,
    /// By arrival: who waits, and until when.
    queue: Queue,
    /// Whose turn it is, where that is not the head of the queue.
    turns: Option<Box<Turns>>,
    in_flight: u64,
    ready: u32,
}

impl Dispatcher {
    /// A dispatcher without instances.
    pub fn new(settings: DispatcherSettings) -> Self {
        Self {
            settings,
            slots: Vec::new(),
            free: Vec::new(),
            available: Available::new(settings.policy),
            queue: Queue::new(),
            turns: settings.needs_turns().then(|| {
                let turns = Turns::new(settings.order, settings.classes);
                Box::new(turns)
            }),
            in_flight: 0,
            ready: 0,
        }
    }

    /// A request arrives of which nothing is known.
    pub fn arrive(&mut self, now: Moment) -> Dispatch {
        self.arrive_with(now, Attributes::default())
    }

    /// A request arrives.
    pub fn arrive_with(&mut self, now: Moment, attributes: Attributes) -> Dispatch {
        // The queue is empty whenever an instance is available (an invariant), so this overtakes no
        // request.
        if let Some(instance) = self.send(attributes.affinity) {
            return Dispatch::Sent { instance, order: self.queue.take_order() };
        }
        if !self.has_place_for(attributes.bytes) {
            return Dispatch::Refused(Refusal::QueueFull);
        }
        let ticket = self.queue.join(self.deadline(now), attributes.bytes);
        if let Some(turns) = &mut self.turns {
            turns.insert(ticket, attributes);
        }
        Dispatch::Waiting(ticket)
    }

    /// A request that was sent or granted, and whose instance turned out to be gone before the
    /// request reached it, arrives again: ahead of all later arrivals, and even if the queue is
    /// full. The caller has departed from the dead instance before.
    ///
    /// `order` is that of its first dispatch or ticket; `deadline` is when its wait ends, if the
    /// longest wait that is allowed now does not end before.
    pub fn arrive_again(
        &mut self,
        now: Moment,
        (order, deadline): (u64, Moment),
        attributes: Attributes,
    ) -> Dispatch {
        if let Some(instance) = self.send(attributes.affinity) {
            return Dispatch::Sent { instance, order };
        }
        let deadline = deadline.min(self.deadline(now));
        let ticket = self.queue.rejoin(order, deadline, attributes.bytes);
        if let Some(turns) = &mut self.turns {
            turns.insert_returned(ticket, attributes);
        }
        Dispatch::Waiting(ticket)
    }

    /// A request that is at an instance is sent to another as well, if one has room that nobody
    /// waits for. It must depart from both.
    pub fn send_elsewhere(&mut self, than: InstanceId) -> Option<InstanceId> {
        if !self.queue.is_empty() {
            return None;
        }
        let state = self.slot(than).map(|slot| slot.state);
        self.change(than, |slot| slot.state = State::Draining);
        let chosen = self.send(None);
        if let Some(state) = state {
            self.change(than, |slot| slot.state = state);
        }
        chosen
    }

    /// A request is done with its instance. Gives the one that takes its slot, if any waited.
    /// Departing from an instance that was removed does nothing.
    #[must_use = "the ticket that is returned must be sent to its instance"]
    pub fn depart(&mut self, instance: InstanceId) -> Option<Grant> {
        let slot = self.slot_mut(instance)?;
        debug_assert!(slot.in_flight > 0, "a request departed from an idle instance");
        let before = slot.available_at();
        slot.in_flight = slot.in_flight.saturating_sub(1);
        let after = slot.available_at();
        self.in_flight = self.in_flight.saturating_sub(1);
        self.available.update(instance.slot, before, after);
        self.grant()
    }

    /// A queued request is cancelled. False if it was granted an instance (and must depart from it)
    /// or had expired before.
    pub fn abandon(&mut self, ticket: Ticket) -> bool {
        self.forget_turn(ticket);
        self.queue.cancel(ticket)
    }

    /// Removes the request that has waited longest if that is too long at `now`. Call until it
    /// gives `None`.
    pub fn expire(&mut self, now: Moment) -> Option<Ticket> {
        let expired = self.queue.expire(now)?;
        self.forget_turn(expired);
        Some(expired)
    }

    /// When [`Dispatcher::expire`] has something to do next; `None` when the queue is empty.
    pub fn next_deadline(&self) -> Option<Moment> {
        self.queue.next_deadline()
    }

    /// When a queued ticket expires; `None` if it is not queued.
    pub fn deadline_of(&self, ticket: Ticket) -> Option<Moment> {
        self.queue.deadline_of(ticket)
    }

    /// An instance became ready. Gives its identifier and the tickets that are sent to it at once,
    /// in order.
    #[must_use = "the tickets that are returned must be sent to their instance"]
    pub fn add(&mut self, limit: Limit) -> (InstanceId, Vec<Grant>) {
        let identity = self.slots.len() as u64;
        self.add_new(NewInstance { limit, identity, allowance: None })
    }

    /// The same for an instance of which more is known.
    #[must_use = "the tickets that are returned must be sent to their instance"]
    pub fn add_new(&mut self, new: NewInstance) -> (InstanceId, Vec<Grant>) {
        let NewInstance { limit, identity, allowance } = new;
        let fresh = Slot {
            generation: 0,
            state: State::Ready,
            limit,
            allowance,
            in_flight: 0,
            credits: None,
        };
        let slot = match self.free.pop() {
            Some(slot) => {
                let old = &mut self.slots[slot as usize];
                *old = Slot { generation: old.generation.wrapping_add(1), ..fresh };
                slot
            }
            None => {
                self.slots.push(fresh);
                u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
            }
        };
        let instance = InstanceId { slot, generation: self.slots[slot as usize].generation };
        self.ready += 1;
        self.available.add(slot, identity);
        self.available.update(slot, None, self.slots[slot as usize].available_at());
        (instance, self.grant_all())
    }

    /// Changes an instance's limit. Requests in flight finish; gives the tickets that are sent now,
    /// in order.
    #[must_use = "the tickets that are returned must be sent to their instance"]
    pub fn set_limit(&mut self, instance: InstanceId, limit: Limit) -> Vec<Grant> {
        self.change(instance, |slot| slot.limit = limit);
        self.grant_all()
    }

    /// Changes what an instance may have in flight for now, whatever its limit: a new one that
    /// could take any number is given it little by little. Gives the tickets that are sent now, in
    /// order.
    #[must_use = "the tickets that are returned must be sent to their instance"]
    pub fn set_allowance(
        &mut self,
        instance: InstanceId,
        allowance: Option<NonZeroU32>,
    ) -> Vec<Grant> {
        self.change(instance, |slot| slot.allowance = allowance);
        self.grant_all()
    }

    /// How many credits of an instance can be spent now: it is sent no more requests than that,
    /// each of which takes one. `None` where the limit alone decides. Gives the tickets that are
    /// sent now, in order.
    #[must_use = "the tickets that are returned must be sent to their instance"]
    pub fn set_credits(&mut self, instance: InstanceId, credits: Option<u32>) -> Vec<Grant> {
        self.change(instance, |slot| slot.credits = credits);
        self.grant_all()
    }

    /// Stops sending requests to an instance. It keeps its count until it is removed.
    pub fn drain(&mut self, instance: InstanceId) {
        self.change(instance, |slot| slot.state = State::Draining);
    }

    /// Makes a draining instance ready again. Gives the tickets that are sent now, in order.
    #[must_use = "the tickets that are returned must be sent to their instance"]
    pub fn resume(&mut self, instance: InstanceId) -> Vec<Grant> {
        self.change(instance, |slot| slot.state = State::Ready);
        self.grant_all()
    }

    /// Removes an instance and its requests in flight. True if it was known.
    pub fn remove(&mut self, instance: InstanceId) -> bool {
        let known = self.slot_mut(instance).is_some();
        self.change(instance, |slot| slot.state = State::Removed);
        if known {
            self.in_flight -= u64::from(self.slots[instance.slot()].in_flight);
            self.slots[instance.slot()].in_flight = 0;
            self.available.remove(instance.slot);
            self.free.push(instance.slot);
        }
        known
    }

    /// Requests in flight at an instance; `None` if it was removed.
    pub fn in_flight_at(&self, instance: InstanceId) -> Option<u32> {
        self.slot(instance).map(|slot| slot.in_flight)
    }

    /// The limit of an instance; `None` if it was removed.
    pub fn limit_of(&self, instance: InstanceId) -> Option<Limit> {
        self.slot(instance).map(|slot| slot.limit)
    }

    /// Credits of an instance that can be spent; `None` where it grants none or was removed.
    pub fn credits_of(&self, instance: InstanceId) -> Option<u32> {
        self.slot(instance)?.credits
    }

    /// Whether an instance may be sent requests.
    pub fn is_ready(&self, instance: InstanceId) -> bool {
        self.slot(instance).is_some_and(|slot| slot.state == State::Ready)
    }

    /// Requests in flight at all instances together.
    pub const fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// Requests in the queue.
    pub const fn waiting(&self) -> u32 {
        self.queue.len()
    }

    /// What the requests in the queue weigh together.
    pub const fn waiting_bytes(&self) -> u64 {
        self.queue.bytes()
    }

    /// Instances that may be sent requests, full or not.
    pub const fn ready(&self) -> u32 {
        self.ready
    }

    /// The settings in force.
    pub const fn settings(&self) -> DispatcherSettings {
        self.settings
    }

    /// Changes the bounds of the queue. Requests that wait keep their places: only later ones are
    /// refused because there are too many. None of them waits longer from `now` on than one that
    /// arrives now may; none gets more time than it had. Gives whether the bounds are others.
    pub fn set_queue_bounds(
        &mut self,
        now: Moment,
        max_waiting: u32,
        longest_wait: Option<Duration>,
    ) -> bool {
        let settings = DispatcherSettings { max_waiting, longest_wait, ..self.settings };
        if self.settings == settings {
            return false;
        }
        self.settings = settings;
        self.queue.shorten(self.deadline(now));
        true
    }

    /// The ticket that has waited longest.
    pub fn oldest(&self) -> Option<Ticket> {
        self.queue.head()
    }

    /// Whether the ticket is still queued.
    pub fn is_waiting(&self, ticket: Ticket) -> bool {
        self.queue.is_waiting(ticket)
    }

    /// Checks every invariant, in time proportional to instances and queue. For tests and
    /// simulator.
    pub fn verify(&self) -> Result<(), Violation> {
        invariants::queue_is_consistent(&self.queue)?;
        let available = self.slots.iter().filter(|slot| slot.available_at().is_some()).count();
        let available = u32::try_from(available).unwrap_or(u32::MAX);
        invariants::no_wait_beside_capacity(self.queue.len(), available)?;
        let counted = self.slots.iter().map(|slot| u64::from(slot.in_flight)).sum();
        invariants::counts_agree("requests in flight", self.in_flight, counted)?;
        let ready = self.slots.iter().filter(|slot| slot.state == State::Ready).count();
        invariants::counts_agree("ready instances", u64::from(self.ready), ready as u64)?;
        if let Some(turns) = &self.turns {
            turns.verify(&self.queue)?;
        }
        self.available.verify(self.slots.iter().map(Slot::available_at))
    }

    /// When a request that arrives `now` will have waited for too long.
    pub fn deadline(&self, now: Moment) -> Moment {
        self.settings.longest_wait.map_or(Moment::NEVER, |wait| now.after(wait))
    }

    fn slot(&self, instance: InstanceId) -> Option<&Slot> {
        let slot = self.slots.get(instance.slot())?;
        (slot.generation == instance.generation && slot.state != State::Removed).then_some(slot)
    }

    fn slot_mut(&mut self, instance: InstanceId) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(instance.slot())?;
        (slot.generation == instance.generation && slot.state != State::Removed).then_some(slot)
    }

    /// Changes a known instance, and updates the policy's index and the count of ready instances.
    fn change(&mut self, instance: InstanceId, change: impl FnOnce(&mut Slot)) {
        let Some(slot) = self.slot_mut(instance) else { return };
        let (before, was_ready) = (slot.available_at(), slot.state == State::Ready);
        change(slot);
        let (after, is_ready) = (slot.available_at(), slot.state == State::Ready);
        self.available.update(instance.slot, before, after);
        self.ready = self.ready - u32::from(was_ready) + u32::from(is_ready);
    }

    /// Whether one more may wait that weighs so much.
    fn has_place_for(&self, bytes: u32) -> bool {
        let bytes = self.queue.bytes().saturating_add(bytes.into());
        self.queue.len() < self.settings.max_waiting
            && self.settings.max_waiting_bytes.is_none_or(|most| bytes <= most)
    }

    fn forget_turn(&mut self, ticket: Ticket) {
        if let Some(turns) = &mut self.turns {
            turns.forget(ticket);
        }
    }

    /// Lets the policy choose and counts the request at the instance it chose.
    fn send(&mut self, affinity: Option<u64>) -> Option<InstanceId> {
        let slots = &self.slots;
        let circumstances =
            Circumstances { affinity, in_flight: self.in_flight, ready: self.ready };
        let load = |slot: u32| slots[slot as usize].in_flight;
        let chosen = self.available.choose(circumstances, load)?;
        let slot = &mut self.slots[chosen as usize];
        let before = slot.available_at();
        slot.in_flight += 1;
        slot.credits = slot.credits.map(|credits| credits.saturating_sub(1));
        self.in_flight += 1;
        let instance = InstanceId { slot: chosen, generation: slot.generation };
        let after = slot.available_at();
        debug_assert_eq!(invariants::within_limit(slot.limit, slot.in_flight), Ok(()));
        self.available.update(chosen, before, after);
        Some(instance)
    }

    fn grant(&mut self) -> Option<Grant> {
        if self.queue.is_empty() {
            return None;
        }
        let Some(turns) = &mut self.turns else {
            let instance = self.send(None)?;
            let ticket = self.queue.call_next()?;
            return Some(Grant { ticket, instance });
        };
        let ticket = turns.next()?;
        let affinity = turns.affinity_of(ticket);
        let instance = self.send(affinity)?;
        if let Some(turns) = &mut self.turns {
            turns.serve(ticket);
        }
        self.queue.cancel(ticket);
        Some(Grant { ticket, instance })
    }

    fn grant_all(&mut self) -> Vec<Grant> {
        core::iter::from_fn(|| self.grant()).collect()
    }
}
