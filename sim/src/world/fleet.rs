//! Start, readiness, draining and removal of instances.

use tidegate_admission::Grant;

use super::World;
use super::instance::{Pull, StartDelays, StartPhase, State};
use super::revision::OwnWake;
use crate::events::{Kind, NEVER, Tag};
use crate::record::{Observer, Outcome};
use crate::series::recorder::Level;
use crate::time::SimSpan;

impl<O: Observer> World<'_, O> {
    /// Gives a new revision its initial instances, of which all are ready at once that are not to
    /// start first.
    pub(super) fn begin_revision(&mut self, index: u32) {
        self.show(index, Level::Proxied);
        let initial = self.revisions[index as usize].initial();
        self.set_wanted(index, initial);
        if initial > 0 {
            // All of them are known before the first one is ready: else that one would be one too
            // many, or one too few.
            self.revisions[index as usize].begin_with(initial, self.now);
        }
        let slots: Vec<u32> = (0..initial).map(|_| self.create_instance(index)).collect();
        let starting = self.revisions[index as usize].initial_starting();
        for (number, slot) in (1..).zip(slots) {
            let starts = number > initial.saturating_sub(starting);
            if !starts && self.give_node_now(slot) {
                self.change(index, Level::Starting, 1);
                self.becomes_ready(slot);
            } else {
                self.order_start(slot);
            }
        }
        if initial > 0 {
            self.activate(index);
        }
        match self.revisions[index as usize].wakes_itself() {
            Some(OwnWake::Ticks) => self.activate(index),
            Some(OwnWake::At(at)) => {
                let revision = &mut self.revisions[index as usize];
                revision.look_again_at(at, self.now, &mut self.events);
            }
            None => {}
        }
    }

    /// The number of instances wanted changes.
    fn set_wanted(&mut self, index: u32, wanted: u32) {
        let before = self.revisions[index as usize].set_wanted(wanted);
        self.total.want(before, wanted);
        self.show(index, Level::Wanted);
    }

    /// Starts or stops instances until there are as many as wanted.
    pub(super) fn scale_to(&mut self, index: u32, wanted: u32) {
        if self.revisions[index as usize].wanted() != wanted {
            self.revisions[index as usize].counters.scale_events += 1;
            self.set_wanted(index, wanted);
        }
        while self.revisions[index as usize].staying() < wanted {
            let slot = self.create_instance(index);
            self.order_start(slot);
        }
        while self.revisions[index as usize].staying() > wanted {
            self.dismiss_one(index);
        }
    }

    fn create_instance(&mut self, index: u32) -> u32 {
        let revision = &mut self.revisions[index as usize];
        let slot = self.instances.insert(revision.order_instance()) as u32;
        revision.list(slot, State::Pending);
        slot
    }

    /// Starts an instance that has a place on a node, or needs none.
    pub(super) fn start_instance(&mut self, slot: u32, pulls: Pull) {
        let place = &mut self.instances[slot as usize];
        place.state = State::Starting;
        let (index, number) = (place.revision, place.number);
        // From here on it is paid for; while it waited for a node there was nothing to pay.
        self.change(index, Level::Starting, 1);
        let revision = &mut self.revisions[index as usize];
        let StartDelays { before_ns, work_ns } = revision.start_up(number, pulls);
        let delay = if self.starts.slow_each_other() {
            self.instances[slot as usize].start = StartPhase::Before { work_ns };
            before_ns
        } else {
            before_ns.saturating_add(revision.noticed_after_ns(work_ns))
        };
        let next = self.now.saturating_add(delay);
        self.instances[slot as usize].change = self.events.push(next, Kind::Instance, slot);
    }

    /// An instance's event is due, unless it is stale.
    pub(super) fn instance_due(&mut self, slot: u32, tag: Tag) {
        let Some(place) = self.instances.get_mut(slot as usize) else { return };
        if place.due.rings(tag) {
            return self.serve_due(slot);
        }
        if place.change != tag {
            return;
        }
        match place.state {
            State::Starting => match place.start {
                StartPhase::Before { work_ns } => self.begin_start(slot, work_ns),
                StartPhase::InLine | StartPhase::Alone | StartPhase::Sharing { .. } => {
                    self.becomes_ready(slot);
                }
            },
            // The time for draining is over, and it still holds requests.
            State::Draining => self.kill_instance(slot),
            State::Pending | State::Ready => {}
        }
    }

    pub(super) fn becomes_ready(&mut self, slot: u32) {
        let place = &mut self.instances[slot as usize];
        let index = place.revision;
        place.state = State::Ready;
        place.change = Tag::NONE;
        let grants = self.revisions[index as usize].admit(slot, place, self.now);
        self.change(index, Level::Starting, -1);
        self.change(index, Level::Ready, 1);
        self.grant_all(index, grants);
        self.activate(index);
        self.look_again(index);
        self.turns_over(index);
    }

    fn grant_all(&mut self, index: u32, grants: Vec<Grant>) {
        for grant in grants {
            self.granted(index, grant);
        }
    }

    /// Removes one instance: one that is not ready if there is any, else a victim.
    fn dismiss_one(&mut self, index: u32) {
        let revision = &mut self.revisions[index as usize];
        if let Some(slot) = revision.last_starting() {
            return self.remove_instance(slot);
        }
        let instances = &self.instances;
        let load = |slot: u32| instances.get(slot as usize).map(|place| place.holds);
        if let Some(slot) = revision.victim(load) {
            self.drain_instance(slot, NEVER);
        }
    }

    /// Drains a ready instance, and removes it once it is empty, at `latest` with what it holds.
    fn drain_instance(&mut self, slot: u32, latest: u64) {
        let index = self.leave_ready(slot);
        let place = &mut self.instances[slot as usize];
        if place.holds > 0 {
            let until = self.revisions[index as usize].drain(place, self.now).min(latest);
            place.change = self.events.push(until, Kind::Instance, slot);
        }
        self.begin_draining(slot);
        if self.instances[slot as usize].is_drained() {
            self.remove_instance(slot);
        }
    }

    fn begin_draining(&mut self, slot: u32) {
        let place = &mut self.instances[slot as usize];
        place.state = State::Draining;
        let index = place.revision;
        self.revisions[index as usize].list(slot, State::Draining);
        self.change(index, Level::Draining, 1);
    }

    /// Takes an instance off the list of those that are ready.
    fn leave_ready(&mut self, slot: u32) -> u32 {
        let place = &self.instances[slot as usize];
        let (index, busy) = (place.revision, place.holds > 0);
        if busy {
            self.change_busy(slot, -1);
        }
        self.revisions[index as usize].unlist(slot, State::Ready);
        self.change(index, Level::Ready, -1);
        index
    }

    /// Removes an instance that holds no requests.
    pub(super) fn remove_instance(&mut self, slot: u32) {
        let Some(place) = self.instances.get(slot as usize) else { return };
        let (index, state) = (place.revision, place.state);
        match state {
            State::Ready => {
                self.leave_ready(slot);
            }
            State::Pending => self.revisions[index as usize].unlist(slot, state),
            State::Starting | State::Draining => {
                self.revisions[index as usize].unlist(slot, state);
                let level =
                    if state == State::Starting { Level::Starting } else { Level::Draining };
                self.change(index, level, -1);
            }
        }
        self.forget_instance(slot);
    }

    fn forget_instance(&mut self, slot: u32) {
        let Some(mut place) = self.instances.try_remove(slot as usize) else { return };
        self.end_sharing(&place);
        let revision = &mut self.revisions[place.revision as usize];
        revision.in_line -= u32::from(place.start == StartPhase::InLine);
        revision.forget(&mut place);
        let gpus = revision.model.gpus;
        self.leave_node(place.node, gpus);
        self.turns_over(place.revision);
    }

    /// An instance is to be gone `notice` from now: what is ready drains until then.
    pub(super) fn dismiss_instance(&mut self, slot: u32, notice: SimSpan) {
        let Some(place) = self.instances.get(slot as usize) else { return };
        match place.state {
            _ if notice == SimSpan::ZERO => self.kill_instance(slot),
            State::Ready => {
                self.drain_instance(slot, self.now.saturating_add(notice.as_nanos()));
            }
            State::Starting => self.remove_instance(slot),
            State::Pending | State::Draining => {}
        }
    }

    /// An instance dies with everything it holds.
    pub(super) fn kill_instance(&mut self, slot: u32) {
        let Some(place) = self.instances.get_mut(slot as usize) else { return };
        let index = place.revision;
        place.shared = None;
        place.sidecar = None;
        // Unregistered first: ending its requests frees slots that must not be granted again.
        self.revisions[index as usize].forget(place);
        // A scan of all requests: failures are too few to keep a list for each instance.
        let here = self.requests.iter().filter(|(_, request)| request.instance == slot);
        let lost: Vec<(u32, bool)> =
            here.map(|(key, request)| (key as u32, request.waits())).collect();
        if self.instances[slot as usize].is_ready() {
            self.leave_ready(slot);
            self.begin_draining(slot);
        }
        for (request, waits) in lost {
            if waits {
                self.change(index, Level::Waiting, -1);
            }
            self.end_request(request, Outcome::Failed);
        }
        if self.instances.contains(slot as usize) {
            self.remove_instance(slot);
        }
    }
}
