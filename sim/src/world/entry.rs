//! A request's way in: counted, let in, put in line, or refused.

use tidegate_admission::{self as admission, Dispatch, InstanceId, Moment, Source};

use super::request::{Cold, NO_INSTANCE, NOT_STARTED, Request, Way};
use super::revision::{Revision, Sidecars};
use super::{NEVER, World};
use crate::engine::RunError;
use crate::events::{Kind, MAX_SLOT, Tag};
use crate::record::{Observer, Outcome};
use crate::scenario::Path;
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
        let now = self.now;
        // Roused before it is counted: the period that begins is the one that it belongs to.
        self.keep_beating(index);
        let revision = &mut self.revisions[index as usize];
        let service_ns = match service_ns {
            Some(nanos) => nanos,
            None => revision.model.service.sample(&mut revision.service).as_nanos(),
        };
        let way = revision.way();
        let cold = if revision.ready.is_empty() { Cold::Yes } else { Cold::No };
        if way == Way::FrontDoor || !revision.asks_each() {
            revision.meter.arrive(Moment::from_nanos(now), Source::Direct);
        }
        revision.tally.advance(now);
        revision.tally.now.inside += 1;
        let entry = self.requests.vacant_entry();
        let request = entry.key() as u32;
        if request > MAX_SLOT {
            let problem = "more than 67 million requests are in the system; the settings keep up \
                           with none of them, lower the load or bound the front door's line";
            return Err(RunError::Model(problem.to_owned()));
        }
        let number = self.entered;
        self.entered += 1;
        entry.insert(Request {
            number,
            arrived: now,
            started: NOT_STARTED,
            service_ns,
            event: Tag::NONE,
            revision: index,
            instance: NO_INSTANCE,
            client,
            attempt,
            cold,
            way,
            ending: Outcome::InFlight,
        });
        self.note_arrival(index, cold, attempt);
        self.change_inside(index, 1);
        match way {
            Way::FrontDoor => self.enter_front_door(index, request),
            Way::Direct => self.enter_directly(index, request),
        }
        self.after_arrival(index);
        Ok(())
    }

    fn note_arrival(&mut self, index: u32, cold: Cold, attempt: u32) {
        let now = self.now;
        if now >= self.counted_from {
            let tally = &mut self.revisions[index as usize].tally;
            tally.requests += 1;
            tally.retries += u64::from(attempt > 0);
        }
        self.count(index, Count::Arrival);
        let exact = self.revisions[index as usize].scaler.is_exact();
        if cold == Cold::Yes && !exact {
            self.note_cold_start(index);
        }
    }

    /// A request has to wait for an instance to start.
    pub(super) fn note_cold_start(&mut self, index: u32) {
        if self.now >= self.counted_from {
            self.revisions[index as usize].tally.cold_starts += 1;
        }
        self.count(index, Count::ColdStart);
        if self.cold_starts_s.len() < self.scenario.recording.cold_starts as usize {
            self.cold_starts_s.push(self.now as f64 / 1e9);
        }
    }

    fn enter_front_door(&mut self, index: u32, request: u32) {
        let revision = &mut self.revisions[index as usize];
        match revision.front.arrive(Moment::from_nanos(self.now)) {
            Dispatch::Sent { instance, .. } => self.sent(index, request, instance),
            Dispatch::Waiting(ticket) => {
                put(&mut revision.front_waiters, ticket.place(), request);
                let exact = revision.scaler.is_exact();
                self.change_waiting(index, 1);
                self.watch_front_line(index);
                if exact {
                    // Whoever cannot be served at once makes an instance start.
                    self.requests[request as usize].cold = Cold::Yes;
                    self.note_cold_start(index);
                }
            }
            Dispatch::Refused(_) => self.end_request(request, Outcome::Rejected),
        }
    }

    fn enter_directly(&mut self, index: u32, request: u32) {
        let revision = &mut self.revisions[index as usize];
        let sent = revision.ingress.as_mut().map(|door| door.arrive(Moment::from_nanos(self.now)));
        let Some(Dispatch::Sent { instance, .. }) = sent else {
            return self.end_request(request, Outcome::Rejected);
        };
        let instance = revision.ingress_slots[instance.slot()];
        if let Some(meter) = &mut self.instances[instance as usize].meter {
            meter.arrive(Moment::from_nanos(self.now), Source::Direct);
        }
        self.reach(request, instance);
    }

    /// The front door sends a request to an instance.
    fn sent(&mut self, index: u32, request: u32, instance: InstanceId) {
        let instance = self.revisions[index as usize].front_slots[instance.slot()];
        self.reach(request, instance);
    }

    /// Someone in the front door's line goes to an instance.
    pub(super) fn granted(&mut self, index: u32, grant: admission::Grant) {
        let request = self.revisions[index as usize].front_waiters[grant.ticket.place()];
        self.change_waiting(index, -1);
        self.sent(index, request, grant.instance);
    }

    /// A request reaches an instance, where it is served or waits once more.
    fn reach(&mut self, request: u32, instance: u32) {
        self.requests[request as usize].instance = instance;
        let index = self.instances[instance as usize].revision;
        let place = &mut self.instances[instance as usize];
        place.holds += 1;
        if place.holds == 1 {
            self.change_busy(instance, 1);
        }
        if self.revisions[index as usize].sidecars == Sidecars::Folded {
            return self.begin_service(request);
        }
        let place = &mut self.instances[instance as usize];
        let Some(breaker) = &mut place.breaker else { return self.begin_service(request) };
        match breaker.arrive(Moment::from_nanos(self.now)) {
            admission::Arrival::Entered => self.begin_service(request),
            admission::Arrival::Waiting(ticket) => {
                put(&mut place.waiters, ticket.place(), request);
                self.change_waiting(index, 1);
                self.watch_instance(instance);
            }
            admission::Arrival::Refused(_) => self.end_request(request, Outcome::Rejected),
        }
    }

    /// Makes sure that the head of the front door's line is sent away in time.
    fn watch_front_line(&mut self, index: u32) {
        let revision = &mut self.revisions[index as usize];
        let due = revision.front.next_deadline().map_or(NEVER, Moment::as_nanos);
        if due < revision.front_due_at {
            revision.front_due_at = due;
            revision.front_due = self.events.push(due, Kind::Revision, index);
        }
    }

    /// A revision's line or policy has something to do.
    pub(super) fn revision_due(&mut self, index: u32, tag: Tag) {
        let revision = &mut self.revisions[index as usize];
        if revision.wake == tag {
            revision.wake_at = NEVER;
            return self.woken(index);
        }
        if revision.front_due != tag {
            return;
        }
        revision.front_due_at = NEVER;
        while let Some(ticket) =
            self.revisions[index as usize].front.expire(Moment::from_nanos(self.now))
        {
            let request = self.revisions[index as usize].front_waiters[ticket.place()];
            self.change_waiting(index, -1);
            self.end_request(request, Outcome::TimedOut);
        }
        self.watch_front_line(index);
    }

    /// Counts something that happened to a revision, in the series.
    pub(super) fn count(&mut self, index: u32, count: Count) {
        if let Some(series) = &mut self.series {
            series.count(self.now, count);
        }
        if let Some(series) = &mut self.revisions[index as usize].series {
            series.count(self.now, count);
        }
    }

    /// More or fewer requests wait for this revision.
    pub(super) fn change_waiting(&mut self, index: u32, change: i64) {
        let revision = &mut self.revisions[index as usize];
        revision.tally.advance(self.now);
        let waiting = &mut revision.tally.now.waiting;
        *waiting = waiting.saturating_add_signed(change);
        revision.tally.note_peaks();
        self.total.waiting = self.total.waiting.saturating_add_signed(change);
        self.show(index, Level::Waiting);
    }

    /// More or fewer requests are in the system; the tally has been told.
    pub(super) fn change_inside(&mut self, index: u32, change: i64) {
        self.total.inside = self.total.inside.saturating_add_signed(change);
        self.show(index, Level::Concurrency);
    }
}

impl Revision {
    /// The way a request takes that arrives now.
    fn way(&self) -> Way {
        match self.model.path {
            Path::Central => Way::FrontDoor,
            _ if self.ready.is_empty() => Way::FrontDoor,
            Path::Auto if self.proxied => Way::FrontDoor,
            Path::Auto | Path::Direct => Way::Direct,
        }
    }
}

/// Keeps `value` at `place`.
pub(super) fn put(list: &mut Vec<u32>, place: usize, value: u32) {
    if place >= list.len() {
        list.resize(place + 1, u32::MAX);
    }
    list[place] = value;
}
