//! The instances of a revision: counts by state, order of removal, registration at dispatchers.

use tidegate_admission::{Breaker, Grant, Limit, Meter, Moment};

use super::{Revision, Sidecars};
use crate::scenario::Victim;
use crate::world::instance::{Instance, Pull, Sidecar, StartDelays, State};
use crate::world::slots::Slots;

impl Revision {
    /// Instances that are there at time zero.
    pub(crate) fn initial(&self) -> u32 {
        self.model.initial.unwrap_or(self.scaler.least())
    }

    /// How many of them have just been started.
    pub(crate) fn initial_starting(&self) -> u32 {
        self.model.initial_starting
    }

    /// Instances that are starting or ready.
    pub(crate) fn staying(&self) -> u32 {
        (self.starting.len() + self.ready.len()) as u32
    }

    /// The instance that has been ready for longest.
    pub(crate) fn longest_ready(&self) -> Option<u32> {
        self.ready.first().copied()
    }

    /// Replaces the number of instances wanted; returns the previous one.
    pub(crate) fn set_wanted(&mut self, wanted: u32) -> u32 {
        std::mem::replace(&mut self.wanted, wanted)
    }

    /// Creates the next instance, not yet placed on a node.
    pub(crate) fn order_instance(&mut self) -> Instance {
        let number = self.next_number;
        self.next_number += 1;
        self.counters.started += 1;
        Instance::new(self.index, number)
    }

    /// Adds the instance in `slot` to the list of its state.
    pub(crate) fn list(&mut self, slot: u32, state: State) {
        self.those_of(state).push(slot);
    }

    /// Removes the instance in `slot` from the list of its state.
    pub(crate) fn unlist(&mut self, slot: u32, state: State) {
        let list = self.those_of(state);
        if let Some(position) = list.iter().rposition(|other| *other == slot) {
            list.remove(position);
        }
    }

    fn those_of(&mut self, state: State) -> &mut Vec<u32> {
        match state {
            State::Pending | State::Starting => &mut self.starting,
            State::Ready => &mut self.ready,
            State::Draining => &mut self.draining,
        }
    }

    /// The delays of the start-up of the instance with this number.
    pub(crate) fn start_up(&mut self, number: u32, pulls: Pull) -> StartDelays {
        let (model, stream) = (&self.model.start_up, &mut self.start);
        let schedule = model.schedule.sample(stream).as_nanos();
        let pull = model.pull.sample(stream).as_nanos();
        let drawn = model.start.sample(stream);
        let known = model.in_order.as_ref().and_then(|all| *all.get(number as usize)?);
        let pull = if pulls == Pull::Needed { pull } else { 0 };
        StartDelays {
            before_ns: schedule.saturating_add(pull),
            work_ns: known.unwrap_or(drawn).as_nanos(),
        }
    }

    /// After how long a probe finds an instance ready that started for `start_ns`: at the first
    /// one after that.
    pub(crate) fn noticed_after_ns(&self, start_ns: u64) -> u64 {
        match self.model.start_up.probe_period.as_nanos() {
            0 => start_ns,
            period => start_ns.div_ceil(period).max(1).saturating_mul(period),
        }
    }

    /// Registers the instance in `slot` with the dispatchers; returns the queued requests that it
    /// takes at once.
    pub(crate) fn admit(&mut self, slot: u32, place: &mut Instance, now: u64) -> Vec<Grant> {
        if self.sidecars == Sidecars::Limiting {
            let breaker = Breaker::new(self.limit, self.queue);
            place.sidecar = Some(Sidecar { breaker, waiters: Slots::default() });
        }
        if self.asks_each() {
            place.meter = Some(Box::new(Meter::new(Moment::from_nanos(now))));
        }
        if let Some(ingress) = &mut self.ingress {
            let (id, _no_grants) = ingress.add(Limit::UNLIMITED);
            place.at_ingress = Some(id);
            self.ingress_slots.put(id.slot(), slot);
        }
        let (id, grants) = self.front.add(self.limit);
        place.at_activator = Some(id);
        self.front_slots.put(id.slot(), slot);
        self.unlist(slot, State::Starting);
        self.list(slot, State::Ready);
        grants
    }

    /// Stops dispatch to an instance. Returns when it is killed with the requests that it still
    /// holds, nanoseconds.
    pub(crate) fn drain(&mut self, place: &Instance, now: u64) -> u64 {
        if let Some(id) = place.at_activator {
            self.front.drain(id);
        }
        if let (Some(id), Some(ingress)) = (place.at_ingress, &mut self.ingress) {
            ingress.drain(id);
        }
        now.saturating_add(self.model.drain.as_nanos())
    }

    /// Removes an instance from the dispatchers.
    pub(crate) fn forget(&mut self, place: &mut Instance) {
        if let Some(id) = place.at_activator.take() {
            self.front.remove(id);
        }
        if let (Some(id), Some(ingress)) = (place.at_ingress.take(), &mut self.ingress) {
            ingress.remove(id);
        }
    }

    /// The instance that was created last and is not ready. It is the furthest from being ready, so
    /// scaling down cancels it first.
    pub(crate) fn last_starting(&self) -> Option<u32> {
        self.starting.last().copied()
    }

    /// The ready instance that scaling down removes first; `load` returns how many requests the
    /// instance in a slot holds.
    pub(crate) fn victim(&mut self, load: impl Fn(u32) -> Option<u32>) -> Option<u32> {
        let ready = &self.ready;
        let victim = match self.is_exact() {
            // An instance that serves is never one too many under a policy that has one for each
            // request.
            true => Victim::Idlest,
            false => self.model.victim,
        };
        match victim {
            Victim::Newest => ready.last().copied(),
            Victim::Oldest => ready.first().copied(),
            Victim::Random => {
                let chosen = self.chance.below(ready.len() as u64);
                ready.get(chosen as usize).copied()
            }
            Victim::Idlest => ready.iter().rev().min_by_key(|slot| load(**slot)).copied(),
        }
    }
}
