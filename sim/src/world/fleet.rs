//! How instances come and go.

use tidegate_admission::{Breaker, Grant, Meter, Moment};

use super::instance::{Instance, NO_NODE, State};
use super::revision::Sidecars;
use super::{NEVER, World};
use crate::events::{Kind, Tag};
use crate::record::{Observer, Outcome};
use crate::scenario::Victim;
use crate::series::recorder::Level;

impl<O: Observer> World<'_, O> {
    /// A revision that was just met gets the instances it begins with, ready at once.
    pub(super) fn begin_revision(&mut self, index: u32) {
        self.show(index, Level::Proxied);
        let revision = &self.revisions[index as usize];
        let initial = revision.model.initial.unwrap_or(revision.scaler.least());
        self.set_wanted(index, initial);
        for _ in 0..initial {
            let slot = self.create_instance(index);
            self.give_node_now(slot);
            self.becomes_ready(slot);
        }
        if initial > 0 {
            self.revisions[index as usize].scaler.begin_with(initial, self.now);
            self.keep_beating(index);
        }
    }

    /// The number of instances wanted changes.
    pub(super) fn set_wanted(&mut self, index: u32, wanted: u32) {
        let revision = &mut self.revisions[index as usize];
        self.total_wanted = self.total_wanted - u64::from(revision.wanted) + u64::from(wanted);
        revision.wanted = wanted;
        self.show(index, Level::Wanted);
    }

    /// Starts or stops instances until there are as many as wanted.
    pub(super) fn scale_to(&mut self, index: u32, wanted: u32) {
        if self.revisions[index as usize].wanted != wanted {
            self.revisions[index as usize].tally.scale_events += 1;
            self.set_wanted(index, wanted);
        }
        while self.revisions[index as usize].staying() < wanted {
            let slot = self.create_instance(index);
            self.place_instance(slot);
        }
        while self.revisions[index as usize].staying() > wanted {
            self.dismiss_one(index);
        }
    }

    fn create_instance(&mut self, index: u32) -> u32 {
        let revision = &mut self.revisions[index as usize];
        let number = revision.next_number;
        revision.next_number += 1;
        revision.tally.started += 1;
        let slot = self.instances.insert(Instance {
            revision: index,
            number,
            state: State::Pending,
            node: NO_NODE,
            holds: 0,
            at_front_door: None,
            at_ingress: None,
            breaker: None,
            waiters: Vec::new(),
            meter: None,
            shared: None,
            change: Tag::NONE,
            due: Tag::NONE,
            due_at: NEVER,
        }) as u32;
        self.revisions[index as usize].starting.push(slot);
        self.change_instances(index, Level::Starting, 1);
        slot
    }

    /// An instance has its place and starts.
    pub(super) fn start_instance(&mut self, slot: u32, pulls: Pull) {
        let place = &mut self.instances[slot as usize];
        place.state = State::Starting;
        let revision = &mut self.revisions[place.revision as usize];
        let (model, stream) = (&revision.model.start_up, &mut revision.start);
        let schedule = model.schedule.sample(stream).as_nanos();
        let pull = model.pull.sample(stream).as_nanos();
        let start = model.start.sample(stream).as_nanos();
        let pull = if pulls == Pull::Needed { pull } else { 0 };
        // Readiness is noticed by the first probe after the start.
        let period = model.probe_period.as_nanos();
        let probes = if period == 0 { 0 } else { start.div_ceil(period).max(1) };
        let noticed = if period == 0 { start } else { probes.saturating_mul(period) };
        let begun = self.now.saturating_add(schedule).saturating_add(pull);
        let ready = begun.saturating_add(noticed);
        place.change = self.events.push(ready, Kind::Instance, slot);
    }

    /// An instance's event is due, unless it is stale.
    pub(super) fn instance_due(&mut self, slot: u32, tag: Tag) {
        let Some(place) = self.instances.get(slot as usize) else { return };
        if place.due == tag {
            return self.visit_instance(slot);
        }
        if place.change != tag {
            return;
        }
        match place.state {
            State::Starting => self.becomes_ready(slot),
            // The time for draining is over, and it still holds requests.
            State::Draining => self.kill_instance(slot),
            State::Pending | State::Ready => {}
        }
    }

    fn becomes_ready(&mut self, slot: u32) {
        let now = Moment::from_nanos(self.now);
        let place = &mut self.instances[slot as usize];
        let index = place.revision;
        place.state = State::Ready;
        place.change = Tag::NONE;
        let revision = &mut self.revisions[index as usize];
        if revision.sidecars == Sidecars::Limiting {
            place.breaker = Some(Breaker::new(revision.limit, revision.line));
        }
        if revision.asks_each() {
            place.meter = Some(Box::new(Meter::new(now)));
        }
        if let Some(door) = &mut revision.ingress {
            let (id, _nobody_waits) = door.add(tidegate_admission::Limit::UNLIMITED);
            place.at_ingress = Some(id);
            super::entry::put(&mut revision.ingress_slots, id.slot(), slot);
        }
        let (id, grants) = revision.front.add(revision.limit);
        place.at_front_door = Some(id);
        super::entry::put(&mut revision.front_slots, id.slot(), slot);
        if let Some(position) = revision.starting.iter().position(|other| *other == slot) {
            revision.starting.remove(position);
        }
        revision.ready.push(slot);
        self.change_instances(index, Level::Starting, -1);
        self.change_instances(index, Level::Ready, 1);
        self.grant_all(index, grants);
        self.keep_beating(index);
        self.look_again(index);
    }

    pub(super) fn grant_all(&mut self, index: u32, grants: Vec<Grant>) {
        for grant in grants {
            self.granted(index, grant);
        }
    }

    /// Lets one instance go: one that is not ready if there is any, else a victim.
    fn dismiss_one(&mut self, index: u32) {
        let revision = &self.revisions[index as usize];
        // The one that was asked for last has the furthest to go, so it is given up first.
        if let Some(&slot) = revision.starting.last() {
            return self.remove_instance(slot);
        }
        if let Some(slot) = self.victim(index) {
            self.drain_instance(slot);
        }
    }

    fn victim(&mut self, index: u32) -> Option<u32> {
        let revision = &mut self.revisions[index as usize];
        let ready = &revision.ready;
        match revision.model.victim {
            Victim::Newest => ready.last().copied(),
            Victim::Oldest => ready.first().copied(),
            Victim::Random => {
                let chosen = revision.chance.below(ready.len() as u64);
                ready.get(chosen as usize).copied()
            }
            Victim::Idlest => {
                let instances = &self.instances;
                let load = |slot: &u32| instances.get(*slot as usize).map(|place| place.holds);
                ready.iter().rev().min_by_key(|slot| load(slot)).copied()
            }
        }
    }

    /// A ready instance takes nothing new, and goes when it has nothing left.
    fn drain_instance(&mut self, slot: u32) {
        let index = self.leave_ready(slot);
        let place = &mut self.instances[slot as usize];
        place.state = State::Draining;
        if place.holds == 0 {
            self.revisions[index as usize].draining.push(slot);
            self.change_instances(index, Level::Draining, 1);
            return self.remove_instance(slot);
        }
        let revision = &mut self.revisions[index as usize];
        if let Some(id) = place.at_front_door {
            revision.front.drain(id);
        }
        if let (Some(id), Some(door)) = (place.at_ingress, &mut revision.ingress) {
            door.drain(id);
        }
        let until = self.now.saturating_add(revision.model.drain.as_nanos());
        place.change = self.events.push(until, Kind::Instance, slot);
        revision.draining.push(slot);
        self.change_instances(index, Level::Draining, 1);
    }

    /// Takes an instance off the list of those that are ready.
    fn leave_ready(&mut self, slot: u32) -> u32 {
        let place = &self.instances[slot as usize];
        let (index, busy) = (place.revision, place.holds > 0);
        if busy {
            self.change_busy(slot, -1);
        }
        let ready = &mut self.revisions[index as usize].ready;
        if let Some(position) = ready.iter().rposition(|other| *other == slot) {
            ready.remove(position);
        }
        self.change_instances(index, Level::Ready, -1);
        index
    }

    /// An instance that holds nothing is gone.
    pub(super) fn remove_instance(&mut self, slot: u32) {
        let Some(place) = self.instances.get(slot as usize) else { return };
        let (index, state) = (place.revision, place.state);
        let revision = &mut self.revisions[index as usize];
        let (list, level) = match state {
            State::Pending | State::Starting => (&mut revision.starting, Level::Starting),
            State::Ready => {
                self.leave_ready(slot);
                return self.forget_instance(slot);
            }
            State::Draining => (&mut revision.draining, Level::Draining),
        };
        if let Some(position) = list.iter().rposition(|other| *other == slot) {
            list.remove(position);
        }
        self.change_instances(index, level, -1);
        self.forget_instance(slot);
    }

    fn forget_instance(&mut self, slot: u32) {
        let Some(place) = self.instances.try_remove(slot as usize) else { return };
        let revision = &mut self.revisions[place.revision as usize];
        if let Some(id) = place.at_front_door {
            revision.front.remove(id);
        }
        if let (Some(id), Some(door)) = (place.at_ingress, &mut revision.ingress) {
            door.remove(id);
        }
        self.leave_node(place.node);
    }

    /// An instance dies with everything it holds.
    pub(super) fn kill_instance(&mut self, slot: u32) {
        let Some(place) = self.instances.get_mut(slot as usize) else { return };
        let index = place.revision;
        place.shared = None;
        place.breaker = None;
        // Nobody is sent there any more while its requests end.
        let (front, ingress) = (place.at_front_door.take(), place.at_ingress.take());
        let revision = &mut self.revisions[index as usize];
        if let Some(id) = front {
            revision.front.remove(id);
        }
        if let (Some(id), Some(door)) = (ingress, &mut revision.ingress) {
            door.remove(id);
        }
        // Rare enough to look through everyone who is in the system.
        let lost: Vec<(u32, bool)> = self
            .requests
            .iter()
            .filter(|(_, request)| request.instance == slot)
            .map(|(key, request)| (key as u32, request.started == super::request::NOT_STARTED))
            .collect();
        if self.instances[slot as usize].state == State::Ready {
            let index = self.leave_ready(slot);
            self.instances[slot as usize].state = State::Draining;
            self.revisions[index as usize].draining.push(slot);
            self.change_instances(index, Level::Draining, 1);
        }
        for (request, waits) in lost {
            if waits {
                self.change_waiting(index, -1);
            }
            self.end_request(request, Outcome::Failed);
        }
        if self.instances.contains(slot as usize) {
            self.remove_instance(slot);
        }
    }

    /// A ready instance begins or ceases to hold requests.
    pub(super) fn change_busy(&mut self, slot: u32, change: i64) {
        let place = &self.instances[slot as usize];
        if place.state != State::Ready {
            return;
        }
        let index = place.revision;
        let tally = &mut self.revisions[index as usize].tally;
        tally.advance(self.now);
        tally.now.busy = tally.now.busy.saturating_add_signed(change);
        self.total.busy = self.total.busy.saturating_add_signed(change);
        self.show(index, Level::Busy);
    }

    fn change_instances(&mut self, index: u32, level: Level, change: i64) {
        let tally = &mut self.revisions[index as usize].tally;
        tally.advance(self.now);
        let (mine, all) = match level {
            Level::Starting => (&mut tally.now.starting, &mut self.total.starting),
            Level::Draining => (&mut tally.now.draining, &mut self.total.draining),
            _ => {
                tally.set_ready(tally.now.ready.saturating_add_signed(change));
                self.total.ready = self.total.ready.saturating_add_signed(change);
                tally.note_peaks();
                self.peak_ready = self.peak_ready.max(self.total.ready);
                self.peak_alive = self.peak_alive.max(self.total.alive());
                return self.show(index, Level::Ready);
            }
        };
        *mine = mine.saturating_add_signed(change);
        *all = all.saturating_add_signed(change);
        tally.note_peaks();
        self.peak_alive = self.peak_alive.max(self.total.alive());
        self.show(index, level);
    }

    /// Draws the present value of a level into the series.
    #[inline]
    pub(super) fn show(&mut self, index: u32, level: Level) {
        let revision = &mut self.revisions[index as usize];
        let value = |population: &super::tally::Population, wanted: u64, proxied: bool| match level
        {
            Level::Concurrency => population.inside,
            Level::Waiting => population.waiting,
            Level::Starting => population.starting,
            Level::Ready => population.ready,
            Level::Draining => population.draining,
            Level::Busy => population.busy,
            Level::Wanted => wanted,
            Level::Panicking => population.panicking,
            Level::Proxied => u64::from(proxied),
        };
        if let Some(series) = &mut revision.series {
            let now = value(&revision.tally.now, u64::from(revision.wanted), revision.proxied);
            series.set(self.now, level, now);
        }
        if let Some(series) = &mut self.series {
            let mut now = value(&self.total, self.total_wanted, self.total_proxied > 0);
            if level == Level::Panicking {
                now = now.min(1);
            }
            series.set(self.now, level, now);
        }
    }
}

/// Whether an instance's node lacks the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pull {
    /// It must be fetched.
    Needed,
    /// It is there.
    Cached,
}
