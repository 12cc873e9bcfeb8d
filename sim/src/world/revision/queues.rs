//! Arrival, waiting and departure of requests, as far as they concern one revision.

use tidegate_admission::{Dispatch, Grant, Moment, Source};

use super::Revision;
use crate::events::{EventQueue, Kind, NEVER, Tag};
use crate::scenario::Path;
use crate::world::instance::Instance;
use crate::world::request::{Cold, Entrance, Newcomer, Way};

impl Revision {
    /// Counts a request in: it is in the system from now on.
    #[inline]
    pub(crate) fn receive(&mut self, now: u64, service_ns: Option<u64>) -> Newcomer {
        let service_ns = match service_ns {
            Some(nanos) => nanos,
            None => self.model.service.sample(&mut self.service).as_nanos(),
        };
        let way = self.way();
        let cold = if self.ready.is_empty() { Cold::Yes } else { Cold::No };
        if way == Way::Activator || !self.asks_each() {
            self.reporters.arrive(now, way);
        }
        self.counters.advance(now);
        self.counters.now.inside += 1;
        Newcomer { service_ns, way, cold }
    }

    /// The path of a request that arrives now.
    #[inline]
    fn way(&self) -> Way {
        match self.model.path {
            Path::Central => Way::Activator,
            _ if self.ready.is_empty() => Way::Activator,
            Path::Auto if self.proxied => Way::Activator,
            Path::Auto | Path::Direct => Way::Direct,
        }
    }

    /// Dispatches `request` at the activator, which sends, queues or refuses it.
    #[inline]
    pub(crate) fn ask_activator(&mut self, now: u64, request: u32) -> Entrance {
        match self.front.arrive(Moment::from_nanos(now)) {
            Dispatch::Sent { instance, .. } => Entrance::Sent(self.front_slots.at(instance.slot())),
            Dispatch::Waiting(ticket) => {
                self.front_waiters.put(ticket.place(), request);
                Entrance::Waiting
            }
            Dispatch::Refused(_) => Entrance::Refused,
        }
    }

    /// Dispatches a request at the ingress, which has no queue.
    #[inline]
    pub(crate) fn ask_ingress(&mut self, now: u64) -> Entrance {
        let sent = self.ingress.as_mut().map(|ingress| ingress.arrive(Moment::from_nanos(now)));
        match sent {
            Some(Dispatch::Sent { instance, .. }) => {
                Entrance::Sent(self.ingress_slots.at(instance.slot()))
            }
            _ => Entrance::Refused,
        }
    }

    /// The request that was granted a slot, and the instance that it goes to.
    #[inline]
    pub(crate) fn granted(&self, grant: Grant) -> (u32, u32) {
        (self.front_waiters.at(grant.ticket.place()), self.front_slots.at(grant.instance.slot()))
    }

    /// Schedules the expiry of the head of the activator's queue.
    #[inline]
    pub(crate) fn watch_activator_queue(&mut self, now: u64, events: &mut EventQueue) {
        let due = self.front.next_deadline().map_or(NEVER, Moment::as_nanos);
        self.front_due.set(due, now, events, (Kind::Revision, self.index));
    }

    /// Whether `tag` is the pending expiry of the head of the activator's queue.
    pub(crate) fn activator_queue_rings(&mut self, tag: Tag) -> bool {
        self.front_due.rings(tag)
    }

    /// Removes a request that has waited at the activator for too long. Call until it returns
    /// `None`.
    pub(crate) fn expire(&mut self, now: u64) -> Option<u32> {
        let ticket = self.front.expire(Moment::from_nanos(now))?;
        Some(self.front_waiters.at(ticket.place()))
    }

    /// Counts a request out of the meter that counted it in; `instance` is where it was, if
    /// anywhere.
    #[inline]
    pub(crate) fn account_departure(
        &mut self,
        now: u64,
        way: Way,
        instance: Option<&mut Instance>,
    ) {
        if way == Way::Activator || !self.asks_each() {
            self.reporters.depart(now, way);
        } else if let Some(meter) = instance.and_then(|place| place.meter.as_mut()) {
            meter.depart(Moment::from_nanos(now), Source::Direct);
        }
    }

    /// Frees a request's slot at `instance`; returns the queued request that takes it.
    #[inline]
    pub(crate) fn give_back(&mut self, way: Way, instance: &Instance) -> Option<Grant> {
        match way {
            Way::Activator => self.front.depart(instance.at_activator?),
            Way::Direct => {
                if let (Some(id), Some(ingress)) = (instance.at_ingress, &mut self.ingress) {
                    // The ingress has no queue, so no request is granted the slot.
                    let _ = ingress.depart(id);
                }
                None
            }
        }
    }
}
