//! Doors, instances and what passes between them.

mod troubles;

use std::collections::BTreeMap;
use std::time::Duration;

use tidegate_admission::credits::{Demand, DoorId, Grantor, Occupant, Purse, Sent, Spent};
use tidegate_admission::{
    Arrival, Dispatch, Dispatcher, DispatcherSettings, InstanceId, Limit, Moment, QueueSettings,
    Ticket,
};

use crate::network::{Agenda, Chance, Event};

/// How a world is furnished.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Furnishing {
    pub(crate) doors: usize,
    pub(crate) instances: usize,
    pub(crate) limit: u32,
    pub(crate) requests: usize,
    /// Mean time between two requests, of all doors together.
    pub(crate) gap: Duration,
    /// Mean time that the app takes.
    pub(crate) service: Duration,
    /// One way.
    pub(crate) delay: Duration,
    /// What a request takes longer than that at most.
    pub(crate) jitter: Duration,
    /// How often something goes wrong.
    pub(crate) troubles: usize,
    pub(crate) seed: u64,
}

/// A late report waits for so long.
const LATE: Duration = Duration::from_secs(1);

pub(crate) struct Request {
    door: usize,
    arrived: Moment,
    pub(crate) began: Option<Moment>,
    service: Duration,
    /// Where it was sent, and the credit that went with it.
    sent: Option<(usize, Option<Spent>)>,
    pub(crate) is_done: bool,
}

struct Door {
    dispatcher: Dispatcher,
    purse: Purse,
    ids: Vec<InstanceId>,
    /// The request of each ticket that waits, by its order.
    waiting: BTreeMap<u64, usize>,
    /// The stream to each instance, while it is open at this end.
    streams: Vec<Option<u32>>,
    is_dead: bool,
    late: Vec<bool>,
}

struct Instance {
    grantor: Grantor,
    limit: u32,
    life: u32,
    inside: u32,
    /// The request of each ticket that waits here.
    line: BTreeMap<Ticket, usize>,
    /// The door of each stream that is open at this end, and its name here.
    streams: BTreeMap<u32, (usize, DoorId)>,
}

/// What was counted.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    pub(crate) served: Vec<u64>,
    pub(crate) most_inside: u32,
    /// Requests that waited at an instance while another had room.
    pub(crate) misplaced: u64,
    /// Messages on streams.
    pub(crate) messages: u64,
    pub(crate) lost: u64,
}

pub(crate) struct World {
    furnishing: Furnishing,
    agenda: Agenda,
    chance: Chance,
    doors: Vec<Door>,
    instances: Vec<Instance>,
    pub(crate) requests: Vec<Request>,
    streams: u32,
    /// When the last message of a stream arrives: they never overtake each other.
    last_told: BTreeMap<(u32, u8), Moment>,
    pub(crate) counted: Counted,
}

impl World {
    pub(crate) fn new(furnishing: Furnishing) -> Self {
        let limit = Limit::from_wire(furnishing.limit);
        let instance = || Instance {
            grantor: Grantor::new(limit, QueueSettings::KNATIVE),
            limit: furnishing.limit,
            life: 0,
            inside: 0,
            line: BTreeMap::new(),
            streams: BTreeMap::new(),
        };
        let door = || {
            let settings = DispatcherSettings { max_waiting: u32::MAX, ..Default::default() };
            let mut dispatcher = Dispatcher::new(settings);
            let ids = (0..furnishing.instances).map(|_| dispatcher.add(limit).0).collect();
            Door {
                dispatcher,
                purse: Purse::new(),
                ids,
                waiting: BTreeMap::new(),
                streams: vec![None; furnishing.instances],
                is_dead: false,
                late: vec![false; furnishing.instances],
            }
        };
        let mut world = Self {
            furnishing,
            agenda: Agenda::default(),
            chance: Chance(furnishing.seed),
            doors: std::iter::repeat_with(door).take(furnishing.doors).collect(),
            instances: std::iter::repeat_with(instance).take(furnishing.instances).collect(),
            requests: Vec::new(),
            streams: 0,
            last_told: BTreeMap::new(),
            counted: Counted { served: vec![0; furnishing.instances], ..Counted::default() },
        };
        world.schedule();
        world
    }

    fn schedule(&mut self) {
        let Furnishing { doors, instances, requests, gap, service, troubles, seed, .. } =
            self.furnishing;
        for door in 0..doors {
            for instance in 0..instances {
                self.agenda.after(Duration::ZERO, Event::Opens { door, instance });
            }
        }
        // Streams are open before the first request, or it would go without a credit.
        let mut at = self.agenda.now.after(Duration::from_millis(100));
        // The same for any number of doors: when requests come, and what the app takes for each.
        let mut clients = Chance(seed);
        for _ in 0..requests {
            at = at.after(clients.around(gap));
            let takes = clients.around(service);
            let door = self.chance.below(doors);
            self.agenda.at(at, Event::Request { door, takes });
        }
        let span = at.since(Moment::ZERO);
        for _ in 0..troubles {
            let when = self.chance.up_to(span);
            let which = self.chance.below(usize::MAX);
            self.agenda.after(when, Event::Trouble(which));
        }
    }

    /// Runs until nothing happens any more.
    pub(crate) fn run(&mut self) {
        while let Some(event) = self.agenda.next() {
            self.happen(event);
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Request { door, takes } => self.request(door, takes),
            Event::Arrival { instance, request, shown } => self.arrival(instance, request, shown),
            Event::Done { instance, life, request, by } => self.done(instance, life, request, by),
            Event::Response { request } => self.response(request),
            Event::Told { door, instance, stream, orders } => {
                if self.doors[door].streams[instance] != Some(stream) || self.doors[door].is_dead {
                    return;
                }
                let Door { dispatcher, purse, ids, .. } = &mut self.doors[door];
                let sent = purse.obey(dispatcher, ids[instance], &orders).unwrap();
                self.send(door, sent);
                self.tell(door);
            }
            Event::Reported { instance, stream, report } => {
                let now = self.agenda.now;
                let known = self.instances[instance].streams.get(&stream).copied();
                let Some((_, id)) = known else { return };
                self.instances[instance].grantor.report(now, id, &report);
                self.settle(instance);
            }
            Event::Opens { door, instance } => self.open(door, instance),
            Event::CutAtDoor { door, instance, stream } => {
                if self.doors[door].streams[instance] != Some(stream) || self.doors[door].is_dead {
                    return;
                }
                self.doors[door].streams[instance] = None;
                let Door { dispatcher, purse, ids, .. } = &mut self.doors[door];
                let sent = purse.close(dispatcher, ids[instance]);
                self.send(door, sent);
                self.tell(door);
                let wait = self.chance.up_to(Duration::from_millis(50));
                self.agenda.after(wait, Event::Opens { door, instance });
            }
            Event::CutAtInstance { instance, stream } => {
                let Some((_, id)) = self.instances[instance].streams.remove(&stream) else {
                    return;
                };
                self.instances[instance].grantor.close(id);
                self.settle(instance);
            }
            Event::Late { door, instance } => self.late(door, instance),
            Event::Due { instance, stream } => self.due(instance, stream),
            Event::Trouble(which) => self.trouble(which),
        }
    }

    fn request(&mut self, door: usize, service: Duration) {
        let now = self.agenda.now;
        let request = self.requests.len();
        let lost = self.doors[door].is_dead;
        self.requests.push(Request {
            door,
            arrived: now,
            began: None,
            service,
            sent: None,
            is_done: lost,
        });
        if lost {
            self.counted.lost += 1;
            return;
        }
        let Door { dispatcher, purse, waiting, .. } = &mut self.doors[door];
        match dispatcher.arrive(now) {
            Dispatch::Sent { instance, .. } => {
                let credit = purse.spend(instance);
                self.forward(request, instance, credit);
            }
            Dispatch::Waiting(ticket) => {
                waiting.insert(ticket.order(), request);
            }
            Dispatch::Refused(refusal) => panic!("{refusal}"),
        }
        self.tell(door);
    }

    fn send(&mut self, door: usize, sent: Vec<Sent>) {
        for Sent { grant, credit } in sent {
            let request = self.doors[door].waiting.remove(&grant.ticket.order()).unwrap();
            self.forward(request, grant.instance, credit);
        }
    }

    fn forward(&mut self, request: usize, to: InstanceId, credit: Option<Spent>) {
        let door = self.requests[request].door;
        let instance = self.doors[door].ids.iter().position(|id| *id == to).unwrap();
        let stream = self.doors[door].streams[instance].unwrap_or(0);
        self.requests[request].sent = Some((instance, credit));
        let shown = credit.map(|credit| (stream, credit.number()));
        let wait = self.furnishing.delay + self.chance.up_to(self.furnishing.jitter);
        self.agenda.after(wait, Event::Arrival { instance, request, shown });
    }

    fn arrival(&mut self, at: usize, request: usize, shown: Option<(u32, u64)>) {
        let now = self.agenda.now;
        let instance = &mut self.instances[at];
        let credit =
            shown.and_then(|(stream, number)| Some((instance.streams.get(&stream)?.1, number)));
        let (arrival, by) = match credit {
            Some((id, number)) => instance.grantor.arrive_with(now, id, number),
            None => (instance.grantor.arrive(now), Occupant::Plain),
        };
        match arrival {
            Arrival::Entered => self.enter(at, request, by),
            Arrival::Waiting(ticket) => {
                instance.line.insert(ticket, request);
            }
            Arrival::Refused(_) => self.answer(request),
        }
        self.settle(at);
        let free = |instance: &Instance| {
            instance.grantor.inside() + instance.grantor.promised() < instance.limit
        };
        let waits =
            matches!(arrival, Arrival::Waiting(_)) && self.requests[request].began.is_none();
        self.counted.misplaced += u64::from(waits && self.instances.iter().any(free));
    }

    fn enter(&mut self, at: usize, request: usize, by: Occupant) {
        let instance = &mut self.instances[at];
        instance.inside += 1;
        assert!(instance.inside <= instance.limit, "more inside than the limit");
        self.counted.most_inside = self.counted.most_inside.max(instance.inside);
        self.counted.served[at] += 1;
        self.requests[request].began = Some(self.agenda.now);
        let (service, life) = (self.requests[request].service, instance.life);
        self.agenda.after(service, Event::Done { instance: at, life, request, by });
    }

    fn done(&mut self, at: usize, life: u32, request: usize, by: Occupant) {
        if self.instances[at].life != life {
            return;
        }
        self.instances[at].inside -= 1;
        self.instances[at].grantor.leave(by);
        self.settle(at);
        self.answer(request);
    }

    fn answer(&mut self, request: usize) {
        let wait = self.furnishing.delay + self.chance.up_to(self.furnishing.jitter);
        self.agenda.after(wait, Event::Response { request });
    }

    fn response(&mut self, request: usize) {
        let known = &mut self.requests[request];
        let (door, sent) = (known.door, known.sent.take());
        known.is_done = true;
        let Some((instance, credit)) = sent else { return };
        if self.doors[door].is_dead {
            return;
        }
        let Door { dispatcher, purse, ids, .. } = &mut self.doors[door];
        let sent = purse.depart(dispatcher, ids[instance], credit);
        self.send(door, sent);
        self.tell(door);
    }

    fn open(&mut self, door: usize, instance: usize) {
        if self.doors[door].is_dead || self.doors[door].streams[instance].is_some() {
            return;
        }
        let Some(id) = self.instances[instance].grantor.open(self.agenda.now) else { return };
        self.streams += 1;
        self.instances[instance].streams.insert(self.streams, (door, id));
        self.doors[door].streams[instance] = Some(self.streams);
        let Door { dispatcher, purse, ids, .. } = &mut self.doors[door];
        purse.open(dispatcher, ids[instance]);
        self.settle(instance);
        self.tell(door);
    }

    /// Gives away what is free at an instance, and tells its doors.
    fn settle(&mut self, at: usize) {
        while let Some(ticket) = self.instances[at].grantor.call_next() {
            let request = self.instances[at].line.remove(&ticket).unwrap();
            self.enter(at, request, Occupant::Plain);
        }
        self.instances[at].grantor.verify().unwrap();
        let now = self.agenda.now;
        while let Some(id) = self.instances[at].grantor.stirred() {
            let Some(orders) = self.instances[at].grantor.orders(now, id) else { continue };
            let mut streams = self.instances[at].streams.iter();
            let (stream, door) = streams
                .find_map(|(stream, (door, of))| (*of == id).then_some((*stream, *door)))
                .unwrap();
            self.carry((stream, 0), Event::Told { door, instance: at, stream, orders });
            if let Some(due) = self.instances[at].grantor.answer_due(id) {
                self.agenda.at(due, Event::Due { instance: at, stream });
            }
        }
    }

    /// Tells instances what a door wants and gives up.
    fn tell(&mut self, at: usize) {
        let demand = self.demand(at);
        let door = &mut self.doors[at];
        door.purse.verify(&door.dispatcher).unwrap();
        door.dispatcher.verify().unwrap();
        let _ = door.purse.has_changed(demand);
        for instance in 0..self.furnishing.instances {
            let door = &mut self.doors[at];
            let Some(stream) = door.streams[instance] else { continue };
            let id = door.ids[instance];
            if let Some(report) = door.purse.report(id, demand) {
                let event = Event::Reported { instance, stream, report };
                self.carry((stream, 1), event);
            } else if door.purse.has_news(id, demand) && !door.late[instance] {
                door.late[instance] = true;
                self.agenda.after(LATE, Event::Late { door: at, instance });
            }
        }
    }

    fn late(&mut self, at: usize, instance: usize) {
        let demand = self.demand(at);
        let door = &mut self.doors[at];
        door.late[instance] = false;
        let Some(stream) = door.streams[instance].filter(|_| !door.is_dead) else { return };
        if let Some(report) = door.purse.late_report(door.ids[instance], demand) {
            self.carry((stream, 1), Event::Reported { instance, stream, report });
        }
    }

    fn demand(&self, door: usize) -> Demand {
        let door = &self.doors[door];
        let arrived = |request: &usize| self.requests[*request].arrived;
        match (door.waiting.values().next(), door.waiting.values().next_back()) {
            (Some(first), Some(last)) => Demand {
                waiting: door.dispatcher.waiting(),
                oldest: arrived(first),
                newest: arrived(last),
            },
            _ => Demand::NONE,
        }
    }

    /// A message on a stream: after all before it.
    fn carry(&mut self, way: (u32, u8), event: Event) {
        self.counted.messages += 1;
        let delay = self.furnishing.delay + self.chance.up_to(self.furnishing.jitter / 4);
        let last = self.last_told.entry(way).or_default();
        let at = self.agenda.now.after(delay).max(*last);
        *last = at;
        self.agenda.at(at, event);
    }

    fn due(&mut self, instance: usize, stream: u32) {
        let Some((door, id)) = self.instances[instance].streams.get(&stream).copied() else {
            return;
        };
        match self.instances[instance].grantor.answer_due(id) {
            Some(due) if due <= self.agenda.now => self.cut(door, instance),
            Some(due) => self.agenda.at(due, Event::Due { instance, stream }),
            None => {}
        }
    }

    /// How long each request waited until it was inside, sorted.
    pub(crate) fn waits(&self) -> Vec<Duration> {
        let waited = |request: &Request| request.began.map(|began| began.since(request.arrived));
        let mut waits: Vec<_> = self.requests.iter().filter_map(waited).collect();
        waits.sort_unstable();
        waits
    }

    /// Nothing is under way: both ends of every stream have the same credits, and each place is
    /// free or promised.
    pub(crate) fn assert_at_rest(&self) {
        for (at, instance) in self.instances.iter().enumerate() {
            assert_eq!(instance.grantor.inside(), 0, "of {at}");
            assert!(instance.grantor.promised() <= instance.limit);
            for door in self.doors.iter().filter(|door| !door.is_dead) {
                assert_eq!(door.dispatcher.in_flight_at(door.ids[at]), Some(0));
            }
        }
        let promised: u64 =
            self.instances.iter().map(|instance| u64::from(instance.grantor.promised())).sum();
        let held: u64 =
            self.doors.iter().filter(|door| !door.is_dead).map(|door| door.purse.idle()).sum();
        assert_eq!(promised, held, "what is promised is held");
        assert!(self.requests.iter().all(|request| request.is_done), "every request has its end");
    }
}
