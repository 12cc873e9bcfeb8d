//! A request's service and its end.

use tidegate_admission::Moment;

use super::contention::{Job, SharedProcessor};
use super::drawn::Drawn;
use super::instance::Instance;
use super::request::{Cold, NO_CLIENT, NO_INSTANCE, Request, Way};
use super::{ScheduledEvent, World};
use crate::arrival::RevisionIndex;
use crate::events::{Kind, NEVER, Tag};
use crate::record::{Observer, Outcome, RequestRecord};
use crate::scaler::Trigger;
use crate::scenario::Detail;
use crate::series::recorder::Level;
use crate::time::{SimSpan, SimTime};

impl<O: Observer> World<'_, O> {
    /// An instance begins to work on a request.
    pub(super) fn begin_service(&mut self, slot: u32) {
        let now = self.now;
        let request = &mut self.requests[slot as usize];
        request.started = now;
        let revision = &self.revisions[request.revision as usize];
        // A request that waited twice, at the activator and at its instance, can be late already.
        let deadline = revision.deadline(request.arrived).max(now);
        let work_ns = match self.nodes {
            Some(_) => at_speed(request.service_ns, &self.instances[request.instance as usize]),
            None => request.service_ns,
        };
        if !revision.contends() {
            let done = now.saturating_add(work_ns);
            let (at, ending) = if done <= deadline {
                (done, Outcome::Completed)
            } else {
                (deadline, Outcome::TimedOut)
            };
            request.ending = ending;
            request.event = self.events.push(at, Kind::Request, slot);
            return;
        }
        let job = Job { number: request.number, request: slot };
        let place = &mut self.instances[request.instance as usize];
        let shared = place.shared.get_or_insert_with(|| Box::new(SharedProcessor::new()));
        shared.join(now, &revision.model.contention, job, work_ns, deadline);
        let instance = request.instance;
        self.watch_instance(instance);
    }

    /// Schedules the next completion or timeout at an instance.
    pub(super) fn watch_instance(&mut self, slot: u32) {
        let place = &mut self.instances[slot as usize];
        let mut due = NEVER;
        if let Some(sidecar) = &place.sidecar {
            due = sidecar.breaker.next_deadline().map_or(NEVER, Moment::as_nanos);
        }
        if let Some(shared) = &mut place.shared {
            let law = &self.revisions[place.revision as usize].model.contention;
            let requests = &self.requests;
            let alive = |job: Job| {
                requests.get(job.request as usize).is_some_and(|r| r.number == job.number)
            };
            due = due.min(shared.next_at(law, alive));
        }
        place.due.set(due, self.now, &mut self.events, (Kind::Instance, slot));
    }

    /// Ends the requests at an instance that are complete or out of time.
    pub(super) fn serve_due(&mut self, slot: u32) {
        let now = self.now;
        while let Some(place) = self.instances.get_mut(slot as usize)
            && let Some(shared) = &mut place.shared
        {
            let law = &self.revisions[place.revision as usize].model.contention;
            let requests = &self.requests;
            let alive = |job: Job| {
                requests.get(job.request as usize).is_some_and(|r| r.number == job.number)
            };
            let Some((job, done)) = shared.take_due(now, law, alive) else { break };
            let outcome = if done { Outcome::Completed } else { Outcome::TimedOut };
            self.end_request(job.request, outcome);
        }
        while let Some(place) = self.instances.get_mut(slot as usize)
            && let Some(sidecar) = &mut place.sidecar
            && let Some(ticket) = sidecar.breaker.expire(Moment::from_nanos(now))
        {
            let (request, revision) = (sidecar.waiters.at(ticket.place()), place.revision);
            self.change(revision, Level::Waiting, -1);
            self.end_request(request, Outcome::TimedOut);
        }
        if self.instances.contains(slot as usize) {
            self.watch_instance(slot);
        }
    }

    /// A request's service ends, unless the event is stale.
    pub(super) fn request_due(&mut self, slot: u32, tag: Tag) {
        let Some(request) = self.requests.get(slot as usize) else { return };
        if request.event == tag {
            let ending = request.ending;
            self.end_request(slot, ending);
        }
    }

    /// A request leaves the system. A queued one has left its queue before.
    pub(super) fn end_request(&mut self, slot: u32, outcome: Outcome) {
        let Some(request) = self.requests.try_remove(slot as usize) else { return };
        let index = request.revision;
        self.account_for(&request, outcome);
        if request.instance != NO_INSTANCE {
            self.leave_instance(&request);
        }
        self.show_change(index, Level::Concurrency, -1);
        if self.revisions[index as usize].is_exact() {
            self.decide(index, Trigger::Tick);
        }
        self.client_reacts(&request, outcome);
    }

    /// Takes a request out of all meters and counters.
    fn account_for(&mut self, request: &Request, outcome: Outcome) {
        let now = self.now;
        let revision = &mut self.revisions[request.revision as usize];
        let instance = match request.way {
            Way::Activator => None,
            Way::Direct => self.instances.get_mut(request.instance as usize),
        };
        revision.account_departure(now, request.way, instance);
        revision.counters.advance(now);
        revision.counters.now.inside -= 1;
        let (inside, waited) = (now - request.arrived, request.waited_ns());
        if request.arrived >= self.counted_from {
            revision.counters.left(outcome, inside);
            if outcome == Outcome::Completed {
                let durations = match self.scenario.recording.detail {
                    Detail::Revisions => &mut revision.counters.durations,
                    Detail::Totals => &mut self.total.durations,
                };
                durations.record(inside, waited);
            }
        }
        self.total.show_end(now, outcome, inside, waited);
        revision.show_end(now, outcome, inside, waited);
        self.observe(request, outcome);
    }

    fn observe(&mut self, request: &Request, outcome: Outcome) {
        let number_of = |slot: u32| self.instances.get(slot as usize).map(|place| place.number);
        let started = (!request.waits()).then(|| SimTime::from_nanos(request.started));
        self.observer.request(&RequestRecord {
            number: request.number,
            revision: RevisionIndex(request.revision),
            arrived: SimTime::from_nanos(request.arrived),
            started,
            ended: SimTime::from_nanos(self.now),
            service: SimSpan::from_nanos(request.service_ns),
            instance: number_of(request.instance),
            cold: request.cold == Cold::Yes,
            retries: request.attempt,
            outcome,
        });
    }

    /// A request leaves its instance, and the next queued one takes its slot.
    fn leave_instance(&mut self, request: &Request) {
        let slot = request.instance;
        let Some(place) = self.instances.get_mut(slot as usize) else { return };
        place.holds -= 1;
        let (empty, index) = (place.holds == 0, place.revision);
        if empty {
            self.change_busy(slot, -1);
        }
        let place = &mut self.instances[slot as usize];
        if !request.waits()
            && let Some(sidecar) = &mut place.sidecar
            && let Some(ticket) = sidecar.breaker.leave()
        {
            let next = sidecar.waiters.at(ticket.place());
            self.change(index, Level::Waiting, -1);
            self.begin_service(next);
        }
        let place = &self.instances[slot as usize];
        let grant = self.revisions[index as usize].give_back(request.way, place);
        if let Some(grant) = grant {
            self.granted(index, grant);
        }
        if self.instances.get(slot as usize).is_some_and(|place| place.is_drained()) {
            self.remove_instance(slot);
        }
    }

    /// The client gives up, tries again, or begins to think.
    fn client_reacts(&mut self, request: &Request, outcome: Outcome) {
        if outcome != Outcome::Completed {
            let revision = &mut self.revisions[request.revision as usize];
            if request.attempt < revision.model.retry.tries {
                let pause = revision.pause_ns(request.attempt);
                let again = ScheduledEvent::Retry {
                    revision: request.revision,
                    service_ns: request.service_ns,
                    attempt: request.attempt + 1,
                    client: request.client,
                };
                self.retries_pending += 1;
                return self.schedule(self.now.saturating_add(pause), again);
            }
        }
        if request.client != NO_CLIENT {
            self.client_thinks(request.client);
        }
    }
}

/// The time that a request takes alone at an instance, nanoseconds.
fn at_speed(service_ns: u64, place: &Instance) -> u64 {
    // Dividing by one would round what is too long for a float.
    if place.speed == 1.0 { service_ns } else { (service_ns as f64 / place.speed) as u64 }
}
