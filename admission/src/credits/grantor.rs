//! An instance's places, those that front doors hold credits for included.

mod door;

use std::collections::BTreeSet;
use std::time::Duration;

use super::message::{Granted, Orders, Report, Tenure};
use crate::breaker::{Arrival, Breaker};
use crate::invariants::{self, Violation};
use crate::limit::Limit;
use crate::queue::{QueueSettings, Ticket};
use crate::time::Moment;
use door::{Credit, Door, Place};

/// The most front doors of one instance: far more than share one revision, and few enough that each
/// grant may look at all of them.
pub const DOORS_MAX: usize = 256;

/// How long a front door may take to obey: five round trips of the longest distance that front
/// doors are run at, 200 ms. One that takes longer is cut off, and what it held is granted to
/// others.
pub const ANSWER_DUE: Duration = Duration::from_secs(1);

/// A front door as its instance knows it. Stays unique, also after the door has closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DoorId {
    slot: u32,
    generation: u32,
}

impl DoorId {
    /// A number that no other door of the grantor has or had.
    pub const fn number(self) -> u64 {
        (self.generation as u64) << 32 | self.slot as u64
    }

    /// The door of a [number](Self::number).
    pub const fn from_number(number: u64) -> Self {
        Self { slot: number as u32, generation: (number >> 32) as u32 }
    }

    const fn slot(self) -> usize {
        self.slot as usize
    }
}

/// By what right a request is inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occupant {
    /// It entered by itself, or was called from the instance's own queue.
    Plain,
    /// It showed a credit.
    Credited {
        /// Whose.
        door: DoorId,
        /// Which.
        number: u64,
    },
}

/// The limit of one instance, its own queue, and the credits of its front doors.
///
/// Whatever gives a place back is followed by [`Grantor::call_next`] until that gives nothing. A
/// request that enters or leaves while nobody else waits takes constant time; otherwise a step for
/// each door, and for each credit that is recalled.
#[derive(Debug, Clone)]
pub struct Grantor {
    breaker: Breaker,
    doors: Vec<Option<Door>>,
    generations: Vec<u32>,
    open: usize,
    /// Places that are promised: their credits are idle, or with a request on its way.
    promised: u32,
    /// Credits that come back only when they are recalled.
    kept: u32,
    /// Requests that wait at front doors and have no credit on the way to them.
    unmet: u64,
    /// Whose the next free place is if both wait here and elsewhere: they take turns.
    doors_turn: bool,
    /// The door whose place has just come free, and which keeps it if nobody waits.
    resting: Option<DoorId>,
    /// Doors that have orders to send.
    stirred: BTreeSet<DoorId>,
    /// Requests with a credit that were let in.
    honoured: u64,
    /// Requests with a credit that was not good.
    void: u64,
}

impl Grantor {
    /// Without requests and front doors. Allocates nothing until there are some.
    pub const fn new(limit: Limit, settings: QueueSettings) -> Self {
        Self {
            breaker: Breaker::new(limit, settings),
            doors: Vec::new(),
            generations: Vec::new(),
            open: 0,
            promised: 0,
            kept: 0,
            unmet: 0,
            doors_turn: true,
            resting: None,
            stirred: BTreeSet::new(),
            honoured: 0,
            void: 0,
        }
    }

    /// The instance's own queue, to look at.
    pub const fn breaker(&self) -> &Breaker {
        &self.breaker
    }

    /// Changes the bounds of the instance's own queue for requests that arrive from now on.
    pub fn set_queue(&mut self, settings: QueueSettings) {
        self.breaker.set_queue(settings);
    }

    /// Requests inside: those that were let in and are not done.
    pub const fn inside(&self) -> u32 {
        self.breaker.executing().saturating_sub(self.promised)
    }

    /// Places that are promised to front doors and not taken.
    pub const fn promised(&self) -> u32 {
        self.promised
    }

    /// Front doors that are open.
    pub const fn doors(&self) -> usize {
        self.open
    }

    /// Requests that were let in for a credit, and those whose credit was not good.
    pub const fn shown(&self) -> (u64, u64) {
        (self.honoured, self.void)
    }

    /// A request without a credit arrives.
    pub fn arrive(&mut self, now: Moment) -> Arrival {
        let arrival = self.breaker.arrive(now);
        if matches!(arrival, Arrival::Waiting(_)) {
            self.recall();
        }
        arrival
    }

    /// A request shows a credit. One that is good lets it in, also if others wait. Gives by what
    /// right it is inside if it is, or is called later.
    pub fn arrive_with(&mut self, now: Moment, id: DoorId, number: u64) -> (Arrival, Occupant) {
        let room = self.breaker.limit().has_room_beside(self.inside());
        let credit = self.door_mut(id).and_then(|door| door.credits.get_mut(&number));
        if let Some(credit) = credit
            && credit.place == Place::Promised
            && room
        {
            credit.place = Place::Taken;
            credit.uses = credit.uses.saturating_add(1);
            self.promised -= 1;
            self.honoured += 1;
            return (Arrival::Entered, Occupant::Credited { door: id, number });
        }
        self.refuse_credit(id, number);
        (self.arrive(now), Occupant::Plain)
    }

    /// A request that was inside is done. Call [`Grantor::call_next`] then.
    pub fn leave(&mut self, occupant: Occupant) {
        let Occupant::Credited { door: id, number } = occupant else {
            self.breaker.free();
            return;
        };
        let credit = self.door_mut(id).and_then(|door| door.credits.get_mut(&number));
        match credit {
            // The door has closed, and with it went the credit.
            None => self.breaker.free(),
            Some(credit) if credit.tenure == Tenure::Kept => {
                credit.place = Place::Promised;
                self.promised += 1;
            }
            Some(_) => {
                self.remove(id, number);
                self.breaker.free();
                self.resting = Some(id);
            }
        }
    }

    /// Gives away the places that are free. Gives a ticket of the instance's own queue that has got
    /// one, and must be woken; call it until it gives none.
    #[must_use = "the ticket that is returned holds a place and must be woken"]
    pub fn call_next(&mut self) -> Option<Ticket> {
        while self.breaker.has_room() {
            let door = if self.unmet == 0 { None } else { self.most_urgent() };
            match (self.breaker.waiting() > 0, door) {
                (true, Some(id)) if self.doors_turn => {
                    self.doors_turn = false;
                    self.grant(id);
                }
                (true, _) => {
                    self.doors_turn = true;
                    return self.breaker.call();
                }
                (false, Some(id)) => self.grant(id),
                // Nobody waits: it rests where it was, so that the next request finds it there.
                (false, None) => match self.resting.take().filter(|id| self.is_open(*id)) {
                    Some(id) => self.grant(id),
                    None => break,
                },
            }
        }
        self.resting = None;
        self.recall();
        None
    }

    /// A queued request is cancelled; as [`Breaker::abandon`].
    pub fn abandon(&mut self, ticket: Ticket) -> bool {
        self.breaker.abandon(ticket)
    }

    /// Removes the head of the queue if it has waited too long; as [`Breaker::expire`].
    pub fn expire(&mut self, now: Moment) -> Option<Ticket> {
        self.breaker.expire(now)
    }

    /// Changes the limit. Call [`Grantor::call_next`] then. Credits beyond a limit that shrinks are
    /// recalled, and until they are back no more requests enter than the limit allows.
    pub fn resize(&mut self, limit: Limit) {
        self.breaker.set_limit(limit);
    }

    /// A front door opens its stream; `None` if there are [`DOORS_MAX`], or there is no limit. The
    /// only one gets every place that is free.
    pub fn open(&mut self, now: Moment) -> Option<DoorId> {
        if self.open >= DOORS_MAX || self.breaker.limit() == Limit::UNLIMITED {
            return None;
        }
        let slot = match self.doors.iter().position(Option::is_none) {
            Some(slot) => slot,
            None => {
                self.doors.push(None);
                self.generations.push(0);
                self.doors.len() - 1
            }
        };
        // Never 0, so that no door has the number 0.
        self.generations[slot] = self.generations[slot].wrapping_add(1).max(1);
        // Their number is bounded by DOORS_MAX.
        let id = DoorId {
            slot: u32::try_from(slot).unwrap_or(u32::MAX),
            generation: self.generations[slot],
        };
        self.doors[slot] = Some(Door::new(id, now));
        self.open += 1;
        if self.open == 2 {
            self.stir_all();
        }
        while self.open == 1 && self.breaker.has_room() {
            self.grant(id);
        }
        Some(id)
    }

    /// A front door's stream has ended: its credits are void. What is inside goes on. Call
    /// [`Grantor::call_next`] then.
    pub fn close(&mut self, id: DoorId) {
        let Some(door) = self.door(id) else { return };
        let (unmet, numbers) = (door.unmet(), door.credits.keys().copied());
        let numbers: Vec<u64> = numbers.collect();
        self.unmet -= unmet;
        for number in numbers {
            if self.remove(id, number) == Some(Place::Promised) {
                self.promised -= 1;
                self.breaker.free();
            }
        }
        self.doors[id.slot()] = None;
        self.open -= 1;
        self.stirred.remove(&id);
        if self.open == 1 {
            self.stir_all();
        }
    }

    /// A front door reports. Call [`Grantor::call_next`] then.
    pub fn report(&mut self, now: Moment, id: DoorId, report: &Report) {
        let Some(door) = self.door_mut(id) else { return };
        let before = door.unmet();
        door.hear(now, report);
        let after = door.unmet();
        self.unmet = self.unmet - before + after;
        for number in &report.returned {
            self.give_back(id, *number, None);
        }
        for yielded in &report.yielded {
            self.give_back(id, yielded.number, Some(yielded.uses));
        }
    }

    /// A door that has orders to send; each is given once, until it has more.
    pub fn stirred(&mut self) -> Option<DoorId> {
        self.stirred.pop_first()
    }

    /// What is to be told to a door now; `None` if nothing. It is told once.
    pub fn orders(&mut self, now: Moment, id: DoorId) -> Option<Orders> {
        let doors = self.open;
        self.door_mut(id)?.take_orders(now, doors)
    }

    /// When a door must have answered its orders; `None` if it has, or is closed.
    pub fn answer_due(&self, id: DoorId) -> Option<Moment> {
        Some(self.door(id)?.unanswered_since?.after(ANSWER_DUE))
    }

    /// Whether a door is open.
    pub fn is_open(&self, id: DoorId) -> bool {
        self.door(id).is_some()
    }

    /// Checks every invariant, in time proportional to doors, credits and queue. For tests.
    pub fn verify(&self) -> Result<(), Violation> {
        invariants::queue_is_consistent(self.breaker.queue())?;
        let waiting = u64::from(self.breaker.waiting()) + self.unmet;
        let room = self.breaker.limit().capacity_beside(self.breaker.executing());
        let waiting = u32::try_from(waiting).unwrap_or(u32::MAX);
        invariants::no_wait_beside_capacity(waiting, room)?;
        let doors = || self.doors.iter().flatten();
        let credits = || doors().flat_map(|door| door.credits.values());
        let promised = credits().filter(|credit| credit.place == Place::Promised).count();
        invariants::counts_agree("promised places", self.promised.into(), promised as u64)?;
        let kept = credits().filter(|credit| credit.tenure == Tenure::Kept && !credit.recalled);
        invariants::counts_agree("kept credits", self.kept.into(), kept.count() as u64)?;
        let unmet = doors().map(Door::unmet).sum();
        invariants::counts_agree("requests that wait at doors", self.unmet, unmet)?;
        invariants::counts_agree("doors", self.open as u64, doors().count() as u64)
    }

    fn door(&self, id: DoorId) -> Option<&Door> {
        self.doors.get(id.slot())?.as_ref().filter(|door| door.id == id)
    }

    fn door_mut(&mut self, id: DoorId) -> Option<&mut Door> {
        self.doors.get_mut(id.slot())?.as_mut().filter(|door| door.id == id)
    }

    /// The door whose next request without a credit has waited longest. Among equals the one that
    /// was granted something longest ago.
    fn most_urgent(&self) -> Option<DoorId> {
        let urgent = self.doors.iter().flatten().filter(|door| door.unmet() > 0);
        urgent.min_by_key(|door| (door.next_arrived(), door.granted_last)).map(|door| door.id)
    }

    /// Promises a free place to a door.
    fn grant(&mut self, id: DoorId) {
        let Some(door) = self.door(id) else { return };
        // Kept only if nobody else would have to recall it at once.
        let others = self.unmet - door.unmet() + u64::from(self.breaker.waiting());
        let tenure = if others > 0 { Tenure::Once } else { Tenure::Kept };
        if !self.breaker.take() {
            return;
        }
        self.promised += 1;
        self.kept += u32::from(tenure == Tenure::Kept);
        let granted_last = self.doors.iter().flatten().map(|door| door.granted_last).max();
        let Some(door) = self.door_mut(id) else { return };
        let was_unmet = door.unmet() > 0;
        door.grant(tenure);
        door.granted_last = granted_last.unwrap_or(0).saturating_add(1);
        self.unmet -= u64::from(was_unmet);
        self.stirred.insert(id);
    }

    /// A door gives up a credit: with `uses`, one that it has spent so often.
    fn give_back(&mut self, id: DoorId, number: u64, uses: Option<u32>) {
        let Some(credit) = self.door(id).and_then(|door| door.credits.get(&number)) else { return };
        let on_its_way = uses.is_some_and(|uses| credit.uses < uses);
        if credit.place == Place::Promised && !on_its_way {
            self.remove(id, number);
            self.promised -= 1;
            self.breaker.free();
            return;
        }
        self.use_once(id, number);
    }

    /// The credit is for the request that has it now, and for no other.
    fn use_once(&mut self, id: DoorId, number: u64) {
        let credit = self.door_mut(id).and_then(|door| door.credits.get_mut(&number));
        let Some(credit) = credit else { return };
        let was_kept = credit.tenure == Tenure::Kept && !credit.recalled;
        credit.tenure = Tenure::Once;
        self.kept -= u32::from(was_kept);
    }

    /// Who was alone is so no more, or is again.
    fn stir_all(&mut self) {
        self.stirred.extend(self.doors.iter().flatten().map(|door| door.id));
    }

    fn remove(&mut self, id: DoorId, number: u64) -> Option<Place> {
        let credit = self.door_mut(id)?.credits.remove(&number)?;
        self.kept -= u32::from(credit.tenure == Tenure::Kept && !credit.recalled);
        Some(credit.place)
    }

    /// A request showed a credit that is not good now. Its door learns that it is gone.
    fn refuse_credit(&mut self, id: DoorId, number: u64) {
        self.void += 1;
        let Some(door) = self.door_mut(id) else { return };
        door.voided.push(number);
        match door.credits.get(&number).map(|credit| credit.place) {
            // Its request before has not ended here: its place comes free then.
            Some(Place::Taken) => self.use_once(id, number),
            // The limit has shrunk.
            Some(Place::Promised) => {
                self.remove(id, number);
                self.promised -= 1;
                self.breaker.free();
            }
            None => {}
        }
        self.stirred.insert(id);
    }

    /// Recalls kept credits for those who wait: first those that may be idle, of doors at which
    /// nothing waits; if they are too few, those whose requests are inside too.
    fn recall(&mut self) {
        let excess = self.breaker.excess();
        let wanted = self.unmet + u64::from(self.breaker.waiting()) + u64::from(excess);
        if wanted == 0 || self.kept == 0 {
            return;
        }
        let coming = self.doors.iter().flatten().map(Door::coming).sum::<u64>();
        let mut missing = wanted.saturating_sub(coming);
        for door in self.doors.iter_mut().flatten() {
            if missing == 0 {
                return;
            }
            if door.unmet() > 0 && excess == 0 {
                continue;
            }
            let recalled = door.recall(missing, |place| place == Place::Promised);
            missing -= u64::from(recalled);
            self.kept -= recalled;
            if recalled > 0 {
                self.stirred.insert(door.id);
            }
        }
        if missing == 0 {
            return;
        }
        for door in self.doors.iter_mut().flatten() {
            if wanted == door.unmet() {
                // Nobody but itself waits for what it has.
                continue;
            }
            let recalled = door.recall(u64::MAX, |_| true);
            self.kept -= recalled;
            if recalled > 0 {
                self.stirred.insert(door.id);
            }
        }
    }
}

impl Door {
    fn grant(&mut self, tenure: Tenure) {
        self.last_number += 1;
        let number = self.last_number;
        let credit = Credit { place: Place::Promised, tenure, recalled: false, uses: 0 };
        self.credits.insert(number, credit);
        match self.granted.last_mut() {
            Some(run) if run.tenure == tenure => run.count += 1,
            _ => self.granted.push(Granted { first: number, count: 1, tenure }),
        }
    }
}
