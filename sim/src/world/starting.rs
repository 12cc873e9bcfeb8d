//! Starts of instances: as many as the control plane lets through, and, of those in progress on one
//! machine, each as fast as the others let it be.

use super::contention::{Job, SharedProcessor};
use super::instance::{Instance, StartPhase, State};
use super::starts::{Machine, Starts};
use super::turns::Ordered;
use super::{ScheduledEvent, World};
use crate::events::{Kind, NEVER, Tag};
use crate::record::Observer;

impl<O: Observer> World<'_, O> {
    /// An instance may start: at once, or when the control plane comes to it.
    pub(super) fn let_start(&mut self, slot: u32) {
        if self.starts.each_ns == 0 {
            return self.place_instance(slot);
        }
        let ordered = self.instances[slot as usize].in_slot(slot);
        self.starts.ordered.push_back(ordered);
        if !self.starts.busy {
            self.start_next();
        }
    }

    /// The control plane turns to the next instance that still waits.
    fn start_next(&mut self) {
        self.starts.busy = false;
        while let Some(ordered) = self.starts.ordered.pop_front() {
            if self.is_still(ordered, State::Pending) {
                self.starts.busy = true;
                let at = self.now.saturating_add(self.starts.each_ns);
                return self.schedule(at, ScheduledEvent::Start(ordered));
            }
        }
    }

    /// The control plane is done with a start.
    pub(super) fn started(&mut self, ordered: Ordered) {
        if self.is_still(ordered, State::Pending) {
            self.place_instance(ordered.slot);
        }
        self.start_next();
    }

    /// An instance begins with its start itself, beside others on its machine.
    pub(super) fn begin_start(&mut self, slot: u32, work_ns: u64) {
        let (now, job) = (self.now, self.starts.next_job);
        self.starts.next_job += 1;
        let place = &mut self.instances[slot as usize];
        place.start = StartPhase::Sharing { job, since: now };
        place.change = Tag::NONE;
        let node = place.node;
        let Starts { law, machines, .. } = &mut self.starts;
        let machine = machines
            .entry(node)
            .or_insert_with(|| Machine { shared: SharedProcessor::new(), due_at: NEVER });
        machine.shared.join(now, law, Job { number: job, request: slot }, work_ns, NEVER);
        self.watch_machine(node);
    }

    /// An instance is gone: one that was starting leaves the others more of their machine.
    pub(super) fn end_sharing(&mut self, gone: &Instance) {
        if gone.state != State::Starting || !matches!(gone.start, StartPhase::Sharing { .. }) {
            return;
        }
        let (now, Starts { law, machines, .. }) = (self.now, &mut self.starts);
        // Without an entry the node was lost, and took the others along.
        let Some(machine) = machines.get_mut(&gone.node) else { return };
        machine.shared.leave(now, law);
        self.watch_machine(gone.node);
    }

    /// Schedules the next end of a start-up on a machine.
    fn watch_machine(&mut self, node: u32) {
        let (instances, Starts { law, machines, .. }) = (&self.instances, &mut self.starts);
        let Some(machine) = machines.get_mut(&node) else { return };
        let due_at = machine.shared.next_at(law, |job| is_starting(instances, job));
        if std::mem::replace(&mut machine.due_at, due_at) != due_at && due_at != NEVER {
            self.schedule(due_at, ScheduledEvent::StartUps { node });
        }
    }

    /// Start-ups on a machine may be done.
    pub(super) fn start_ups_due(&mut self, node: u32) {
        let now = self.now;
        let mut done = Vec::new();
        let (instances, Starts { law, machines, .. }) = (&mut self.instances, &mut self.starts);
        let Some(machine) = machines.get_mut(&node).filter(|machine| machine.due_at == now) else {
            return;
        };
        machine.due_at = NEVER;
        while let Some((job, _)) =
            machine.shared.take_due(now, law, |job| is_starting(instances, job))
        {
            let place = &mut instances[job.request as usize];
            let StartPhase::Sharing { since, .. } = place.start else { continue };
            // It has left already, should it be dismissed before its readiness is noticed.
            place.start = StartPhase::Alone;
            done.push((place.in_slot(job.request), since));
        }
        self.watch_machine(node);
        for (instance, since) in done {
            self.start_up_done(instance, since);
        }
    }

    /// A start-up that began `since` then is done; the next probe notices.
    fn start_up_done(&mut self, done: Ordered, since: u64) {
        // One that became ready a moment before may have made this one needless.
        if !self.is_still(done, State::Starting) {
            return;
        }
        let took = self.now - since;
        let noticed = self.revisions[done.revision as usize].noticed_after_ns(took);
        if noticed == took {
            return self.becomes_ready(done.slot);
        }
        let at = since.saturating_add(noticed);
        self.instances[done.slot as usize].change = self.events.push(at, Kind::Instance, done.slot);
    }

    /// Whether an instance is there and in this state: its slot may be another's.
    pub(super) fn is_still(&self, wanted: Ordered, state: State) -> bool {
        let place = self.instances.get(wanted.slot as usize);
        place.is_some_and(|place| place.is(wanted) && place.state == state)
    }
}

/// Whether a job is an instance that still starts.
fn is_starting(instances: &slab::Slab<Instance>, job: Job) -> bool {
    instances.get(job.request as usize).is_some_and(|place| {
        matches!(place.start, StartPhase::Sharing { job: number, .. } if number == job.number)
    })
}
