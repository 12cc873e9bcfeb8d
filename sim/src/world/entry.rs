//! Admission of a request: it is counted, then sent to an instance, queued or refused.

use tidegate_admission::{self as admission, Moment};

use super::World;
use super::request::{Cold, Entrance, Newcomer, Request, Way};
use crate::error::RunError;
use crate::events::{MAX_SLOT, Tag};
use crate::record::{Observer, Outcome};
use crate::series::recorder::{Count, Level};

impl<O: Observer> World<'_, O> {
    /// A request arrives now.
    pub(super) fn enter(
        &mut self,
        index: u32,
        service_ns: Option<u64>,
        client: u32,
        attempt: u32,
    ) -> Result<(), RunError> {
        // Woken before it is counted: the period that begins now is the one that it belongs to.
        self.activate(index);
        let newcomer = self.revisions[index as usize].receive(self.now, service_ns);
        let request = self.insert_request(index, newcomer, client, attempt)?;
        self.note_arrival(index, newcomer.cold, attempt);
        self.show_change(index, Level::Concurrency, 1);
        let revision = &mut self.revisions[index as usize];
        let entrance = match newcomer.way {
            Way::Activator => revision.ask_activator(self.now, request),
            Way::Direct => revision.ask_ingress(self.now),
        };
        match (entrance, newcomer.way) {
            (Entrance::Sent(instance), Way::Activator) => self.reach(request, instance),
            (Entrance::Sent(instance), Way::Direct) => {
                self.reach_directly(index, request, instance);
            }
            (Entrance::Waiting, _) => self.wait_at_activator(index),
            (Entrance::Refused, _) => self.end_request(request, Outcome::Rejected),
        }
        self.after_arrival(index, request);
        Ok(())
    }

    #[inline]
    fn insert_request(
        &mut self,
        index: u32,
        newcomer: Newcomer,
        client: u32,
        attempt: u32,
    ) -> Result<u32, RunError> {
        let entry = self.requests.vacant_entry();
        let request = entry.key() as u32;
        if request > MAX_SLOT {
            let problem = "more than 67 million requests are in the system; the settings keep up \
                           with none of them, lower the load or bound the activator's queue";
            return Err(RunError::Model(problem.to_owned()));
        }
        let number = self.entered;
        self.entered += 1;
        entry.insert(Request::new(number, self.now, index, newcomer, client, attempt));
        Ok(request)
    }

    fn note_arrival(&mut self, index: u32, cold: Cold, attempt: u32) {
        let revision = &mut self.revisions[index as usize];
        if self.now >= self.counted_from {
            revision.counters.requests += 1;
            revision.counters.retries += u64::from(attempt > 0);
        }
        let exact = revision.is_exact();
        self.count(index, Count::Arrival);
        if cold == Cold::Yes && !exact {
            self.note_cold_start(index);
        }
    }

    /// Counts a request for which no instance is there, so that it waits for one to start.
    fn note_cold_start(&mut self, index: u32) {
        if self.now >= self.counted_from {
            self.revisions[index as usize].counters.cold_starts += 1;
        }
        self.count(index, Count::ColdStart);
        if self.cold_starts_s.len() < self.scenario.recording.cold_starts as usize {
            self.cold_starts_s.push(self.now as f64 / 1e9);
        }
    }

    /// A request is in the activator's queue.
    fn wait_at_activator(&mut self, index: u32) {
        self.change(index, Level::Waiting, 1);
        let revision = &mut self.revisions[index as usize];
        revision.watch_activator_queue(self.now, &mut self.events);
    }

    /// An instance starts for `request`, if that waits for one.
    pub(super) fn starts_instance(&mut self, index: u32, request: u32) {
        let Some(request) = self.requests.get_mut(request as usize) else { return };
        if request.waits() {
            request.cold = Cold::Yes;
            self.note_cold_start(index);
        }
    }

    /// Sends the head of the activator's queue to the instance that was granted to it.
    pub(super) fn granted(&mut self, index: u32, grant: admission::Grant) {
        let (request, instance) = self.revisions[index as usize].granted(grant);
        self.change(index, Level::Waiting, -1);
        self.reach(request, instance);
    }

    /// A request that bypassed the activator, and was not metered there, reaches an instance.
    fn reach_directly(&mut self, index: u32, request: u32, instance: u32) {
        if self.revisions[index as usize].asks_each()
            && let Some(meter) = &mut self.instances[instance as usize].meter
        {
            meter.arrive(Moment::from_nanos(self.now), admission::Source::Direct);
        }
        self.reach(request, instance);
    }

    /// A request reaches an instance, where it is served or waits once more.
    fn reach(&mut self, request: u32, instance: u32) {
        self.requests[request as usize].instance = instance;
        let place = &mut self.instances[instance as usize];
        let index = place.revision;
        place.holds += 1;
        if place.holds == 1 {
            self.change_busy(instance, 1);
        }
        if self.revisions[index as usize].has_folded_sidecars() {
            return self.begin_service(request);
        }
        let place = &mut self.instances[instance as usize];
        let Some(sidecar) = &mut place.sidecar else { return self.begin_service(request) };
        match sidecar.breaker.arrive(Moment::from_nanos(self.now)) {
            admission::Arrival::Entered => self.begin_service(request),
            admission::Arrival::Waiting(ticket) => {
                sidecar.waiters.put(ticket.place(), request);
                self.change(index, Level::Waiting, 1);
                self.watch_instance(instance);
            }
            admission::Arrival::Refused(_) => self.end_request(request, Outcome::Rejected),
        }
    }

    /// A revision's queue deadline or wake-up is due, unless the event is stale.
    pub(super) fn revision_due(&mut self, index: u32, tag: Tag) {
        let revision = &mut self.revisions[index as usize];
        if revision.wake_rings(tag) {
            return self.woken(index);
        }
        if !revision.activator_queue_rings(tag) {
            return;
        }
        while let Some(request) = self.revisions[index as usize].expire(self.now) {
            self.change(index, Level::Waiting, -1);
            self.end_request(request, Outcome::TimedOut);
        }
        self.revisions[index as usize].watch_activator_queue(self.now, &mut self.events);
    }
}
