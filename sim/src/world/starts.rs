//! Starts of instances: as many as the control plane lets through, and, of those in progress on one
//! machine, each as fast as the others let it be.

use std::collections::{BTreeMap, VecDeque};

use super::contention::{Job, SharedProcessor};
use super::instance::{Instance, StartPhase, State};
use super::{ScheduledEvent, World};
use crate::events::{Kind, NEVER, Tag};
use crate::record::Observer;
use crate::scenario::{Contention, StartModel};

/// The starts of all revisions.
#[derive(Debug)]
pub(crate) struct Starts {
    law: Contention,
    /// What the control plane takes for one start.
    each_ns: u64,
    /// Instances that wait for the control plane.
    ordered: VecDeque<Ordered>,
    /// Whether the control plane is at work on one.
    busy: bool,
    /// By node; without nodes there is one machine.
    machines: BTreeMap<u32, Machine>,
    /// The number of the next start-up.
    next_job: u64,
}

/// An instance that was ordered; by then its slot may be another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ordered {
    slot: u32,
    revision: u32,
    number: u32,
}

/// The start-ups in progress on one machine.
#[derive(Debug)]
struct Machine {
    shared: SharedProcessor,
    /// When the next of them is done; an event at another time is stale.
    due_at: u64,
}

impl Starts {
    pub(crate) fn new(model: &StartModel) -> Self {
        Starts {
            law: model.contention.clone(),
            each_ns: model.per_second.map_or(0, |rate| (1e9 / rate) as u64),
            ordered: VecDeque::new(),
            busy: false,
            machines: BTreeMap::new(),
            next_job: 0,
        }
    }

    /// Whether start-ups on one machine slow each other.
    pub(crate) fn slow_each_other(&self) -> bool {
        self.law != Contention::None
    }

    /// A node is lost with everything on it.
    pub(crate) fn lose(&mut self, node: u32) {
        self.machines.remove(&node);
    }
}

impl StartModel {
    /// What is wrong with it, in words for the user.
    pub(crate) fn problem(&self) -> Option<String> {
        let rate = self.per_second.filter(|rate| !(rate.is_finite() && *rate > 0.0));
        rate.map(|rate| format!("the control plane starts {rate} a second, expected more than 0"))
            .or_else(|| self.contention.problem())
    }
}

impl<O: Observer> World<'_, O> {
    /// An instance is to be started: at once, or when the control plane comes to it.
    pub(super) fn order_start(&mut self, slot: u32) {
        if self.starts.each_ns == 0 {
            return self.place_instance(slot);
        }
        let Instance { revision, number, .. } = self.instances[slot as usize];
        self.starts.ordered.push_back(Ordered { slot, revision, number });
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
            let Instance { revision, number, .. } = *place;
            done.push((Ordered { slot: job.request, revision, number }, since));
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
    fn is_still(&self, wanted: Ordered, state: State) -> bool {
        self.instances.get(wanted.slot as usize).is_some_and(|place| {
            (place.revision, place.number, place.state) == (wanted.revision, wanted.number, state)
        })
    }
}

/// Whether a job is an instance that still starts.
fn is_starting(instances: &slab::Slab<Instance>, job: Job) -> bool {
    instances.get(job.request as usize).is_some_and(|place| {
        matches!(place.start, StartPhase::Sharing { job: number, .. } if number == job.number)
    })
}
