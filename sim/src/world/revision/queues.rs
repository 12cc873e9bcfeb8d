//! How requests come, wait and go, as far as one revision knows.

use tidegate_admission::{Dispatch, Grant, Moment, Source};

use super::Revision;
use crate::events::{EventQueue, Kind, NEVER, Tag};
use crate::scenario::Path;
use crate::world::instance::Instance;
use crate::world::request::{Cold, Entrance, Newcomer, Way};

impl Revision {
    /// A request comes, and is in the system from now on.
    #[inline]
    pub(crate) fn receive(&mut self, now: u64, service_ns: Option<u64>) -> Newcomer {
        let service_ns = match service_ns {
            Some(nanos) => nanos,
            None => self.model.service.sample(&mut self.service).as_nanos(),
        };
        let way = self.way();
        let cold = if self.ready.is_empty() { Cold::Yes } else { Cold::No };
        if way == Way::FrontDoor || !self.asks_each() {
            self.meter.arrive(Moment::from_nanos(now), Source::Direct);
        }
        self.tally.advance(now);
        self.tally.now.inside += 1;
        Newcomer { service_ns, way, cold }
    }

    /// The way a request takes that arrives now.
    #[inline]
    fn way(&self) -> Way {
        match self.model.path {
            Path::Central => Way::FrontDoor,
            _ if self.ready.is_empty() => Way::FrontDoor,
            Path::Auto if self.proxied => Way::FrontDoor,
            Path::Auto | Path::Direct => Way::Direct,
        }
    }

    /// `request` asks the front door.
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

    /// A request asks for an instance on the direct way, where nobody waits.
    #[inline]
    pub(crate) fn ask_ingress(&mut self, now: u64) -> Entrance {
        let sent = self.ingress.as_mut().map(|door| door.arrive(Moment::from_nanos(now)));
        match sent {
            Some(Dispatch::Sent { instance, .. }) => {
                Entrance::Sent(self.ingress_slots.at(instance.slot()))
            }
            _ => Entrance::Refused,
        }
    }

    /// The request at whose turn it is, and the instance that it goes to.
    #[inline]
    pub(crate) fn granted(&self, grant: Grant) -> (u32, u32) {
        (self.front_waiters.at(grant.ticket.place()), self.front_slots.at(grant.instance.slot()))
    }

    /// Makes sure that the head of the front door's line is sent away in time.
    #[inline]
    pub(crate) fn watch_activator_queue(&mut self, now: u64, events: &mut EventQueue) {
        let due = self.front.next_deadline().map_or(NEVER, Moment::as_nanos);
        self.front_due.set(due, now, events, (Kind::Revision, self.index));
    }

    /// Whether `tag` says that the head of the front door's line is due.
    pub(crate) fn activator_queue_rings(&mut self, tag: Tag) -> bool {
        self.front_due.rings(tag)
    }

    /// A request that has waited at the front door for too long. Call until it gives `None`.
    pub(crate) fn expire(&mut self, now: u64) -> Option<u32> {
        let ticket = self.front.expire(Moment::from_nanos(now))?;
        Some(self.front_waiters.at(ticket.place()))
    }

    /// A request goes out of the accounts; `instance` is the one it was at, if any.
    #[inline]
    pub(crate) fn account_departure(
        &mut self,
        now: u64,
        way: Way,
        instance: Option<&mut Instance>,
    ) {
        let now = Moment::from_nanos(now);
        if way == Way::FrontDoor || !self.asks_each() {
            self.meter.depart(now, Source::Direct);
        } else if let Some(meter) = instance.and_then(|place| place.meter.as_mut()) {
            meter.depart(now, Source::Direct);
        }
    }

    /// A request gives back its room at `instance`: who goes there from the front door's line.
    #[inline]
    pub(crate) fn give_back(&mut self, way: Way, instance: &Instance) -> Option<Grant> {
        match way {
            Way::FrontDoor => self.front.depart(instance.at_front_door?),
            Way::Direct => {
                if let (Some(id), Some(door)) = (instance.at_ingress, &mut self.ingress) {
                    // Nobody waits on the direct way, so nobody is granted anything.
                    let _none = door.depart(id);
                }
                None
            }
        }
    }
}
