//! The dispatcher beside a model that is too simple to be wrong: every choice is checked by looking
//! at all instances.

use std::collections::VecDeque;
use std::num::NonZeroU32;

use proptest::prelude::*;
use tidegate_admission::{
    Attributes, Dispatch, Dispatcher, DispatcherSettings, Grant, InstanceId, Limit, Moment, Policy,
    Refusal, Ticket,
};

const MAX_WAITING: u32 = 12;

#[derive(Debug, Clone, Copy)]
enum Event {
    Arrive,
    /// The request that was sent as the nth of those in flight is done.
    Depart(usize),
    /// The same, but its instance was gone: it arrives again.
    Bounce(usize),
    Abandon(usize),
    Add(u32),
    SetLimit(usize, u32),
    SetAllowance(usize, u32),
    Drain(usize),
    Resume(usize),
    Remove(usize),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        10 => Just(Event::Arrive),
        8 => any::<usize>().prop_map(Event::Depart),
        2 => any::<usize>().prop_map(Event::Bounce),
        2 => any::<usize>().prop_map(Event::Abandon),
        2 => (0..4_u32).prop_map(Event::Add),
        1 => (any::<usize>(), 0..4_u32).prop_map(|(nth, limit)| Event::SetLimit(nth, limit)),
        1 => (any::<usize>(), 0..4_u32).prop_map(|(nth, most)| Event::SetAllowance(nth, most)),
        1 => any::<usize>().prop_map(Event::Drain),
        1 => any::<usize>().prop_map(Event::Resume),
        1 => any::<usize>().prop_map(Event::Remove),
    ]
}

fn policy() -> impl Strategy<Value = Policy> {
    prop_oneof![
        Just(Policy::LeastLoaded),
        Just(Policy::FirstAvailable),
        Just(Policy::RoundRobin),
        any::<u64>().prop_map(|seed| Policy::RandomOfTwo { seed }),
        Just(Policy::ConsistentHash),
    ]
}

struct Instance {
    id: InstanceId,
    limit: u32,
    allowance: u32,
    in_flight: u32,
    ready: bool,
}

impl Instance {
    fn is_open(&self) -> bool {
        let below = |bound| bound == 0 || self.in_flight < bound;
        self.ready && below(self.limit) && below(self.allowance)
    }
}

struct Model {
    policy: Policy,
    instances: Vec<Instance>,
    queue: VecDeque<(u64, Ticket)>,
    in_flight: Vec<(u64, InstanceId)>,
    last: Option<usize>,
}

impl Model {
    /// A request went to `chosen`: it must have been open, and the one that the policy wants.
    fn sent(&mut self, order: u64, chosen: InstanceId) {
        let open: Vec<_> = self.instances.iter().filter(|instance| instance.is_open()).collect();
        let instance = open.iter().find(|open| open.id == chosen).expect("only to one with room");
        let slots = || open.iter().map(|open| open.id.slot());
        match self.policy {
            // Nothing is known of these requests that they could be placed by.
            Policy::LeastLoaded | Policy::ConsistentHash => {
                let least = open.iter().map(|open| open.in_flight).min();
                assert_eq!(Some(instance.in_flight), least);
            }
            Policy::FirstAvailable => assert_eq!(Some(chosen.slot()), slots().min()),
            Policy::RoundRobin => {
                let next = slots().filter(|slot| self.last.is_none_or(|last| *slot > last)).min();
                assert_eq!(Some(chosen.slot()), next.or(slots().min()));
            }
            Policy::RandomOfTwo { .. } => {
                // The busiest of all is never the lesser of two, unless another is as busy.
                let better = open
                    .iter()
                    .any(|other| other.id != chosen && other.in_flight >= instance.in_flight);
                assert!(better || open.len() == 1);
            }
        }
        self.last = Some(chosen.slot());
        self.by_id(chosen).expect("it was open").in_flight += 1;
        self.in_flight.push((order, chosen));
    }

    fn by_id(&mut self, id: InstanceId) -> Option<&mut Instance> {
        self.instances.iter_mut().find(|instance| instance.id == id)
    }

    fn nth(&self, nth: usize) -> Option<InstanceId> {
        let index = nth.checked_rem(self.instances.len())?;
        Some(self.instances[index].id)
    }

    fn granted(&mut self, grants: impl IntoIterator<Item = Grant>) {
        for Grant { ticket, instance } in grants {
            let (order, head) = self.queue.pop_front().expect("someone waited");
            assert_eq!(head, ticket, "first in, first out");
            self.sent(order, instance);
        }
    }

    fn take_in_flight(&mut self, nth: usize) -> Option<(u64, InstanceId)> {
        let index = nth.checked_rem(self.in_flight.len())?;
        let (order, id) = self.in_flight.remove(index);
        self.by_id(id).expect("its requests went with a removed one").in_flight -= 1;
        Some((order, id))
    }

    fn has_room(&self) -> bool {
        self.instances.iter().any(Instance::is_open)
    }
}

fn requests(event: Event, dispatcher: &mut Dispatcher, model: &mut Model) {
    match event {
        Event::Arrive => match dispatcher.arrive(Moment::ZERO) {
            Dispatch::Sent { instance, order } => {
                assert!(model.queue.is_empty(), "no request is overtaken");
                model.sent(order, instance);
            }
            Dispatch::Waiting(ticket) => {
                assert!(!model.has_room() && (model.queue.len() as u32) < MAX_WAITING);
                model.queue.push_back((ticket.order(), ticket));
            }
            Dispatch::Refused(refusal) => {
                assert_eq!(refusal, Refusal::QueueFull);
                assert!(!model.has_room() && model.queue.len() as u32 >= MAX_WAITING);
            }
        },
        Event::Depart(nth) => {
            if let Some((_, id)) = model.take_in_flight(nth) {
                let grant = dispatcher.depart(id);
                model.granted(grant);
            }
        }
        Event::Bounce(nth) => {
            let Some((order, id)) = model.take_in_flight(nth) else { return };
            dispatcher.drain(id);
            model.by_id(id).expect("it had a request").ready = false;
            let grant = dispatcher.depart(id);
            assert_eq!(grant, None, "it frees nothing that anyone may use");
            match dispatcher.arrive_again(
                Moment::ZERO,
                (order, Moment::NEVER),
                Attributes::default(),
            ) {
                Dispatch::Sent { instance, order } => model.sent(order, instance),
                Dispatch::Waiting(ticket) => {
                    assert!(!model.has_room());
                    let later = |waiting: &(u64, Ticket)| waiting.0 > order;
                    let index = model.queue.iter().position(later).unwrap_or(model.queue.len());
                    model.queue.insert(index, (order, ticket));
                }
                Dispatch::Refused(refusal) => panic!("never refused again: {refusal}"),
            }
        }
        Event::Abandon(nth) => {
            let Some(index) = nth.checked_rem(model.queue.len()) else { return };
            let (_, ticket) = model.queue.remove(index).expect("within the queue");
            assert!(dispatcher.abandon(ticket));
            assert!(!dispatcher.abandon(ticket));
        }
        other => instances(other, dispatcher, model),
    }
}

fn instances(event: Event, dispatcher: &mut Dispatcher, model: &mut Model) {
    match event {
        Event::Add(limit) => {
            let (id, grants) = dispatcher.add(Limit::from_wire(limit));
            assert!(model.by_id(id).is_none(), "names are unique");
            model.instances.push(Instance { id, limit, allowance: 0, in_flight: 0, ready: true });
            model.granted(grants);
        }
        Event::SetLimit(nth, limit) => {
            let Some(id) = model.nth(nth) else { return };
            model.by_id(id).expect("known").limit = limit;
            let grants = dispatcher.set_limit(id, Limit::from_wire(limit));
            model.granted(grants);
        }
        Event::SetAllowance(nth, allowance) => {
            let Some(id) = model.nth(nth) else { return };
            model.by_id(id).expect("known").allowance = allowance;
            let grants = dispatcher.set_allowance(id, NonZeroU32::new(allowance));
            model.granted(grants);
        }
        Event::Drain(nth) => {
            let Some(id) = model.nth(nth) else { return };
            model.by_id(id).expect("known").ready = false;
            dispatcher.drain(id);
        }
        Event::Resume(nth) => {
            let Some(id) = model.nth(nth) else { return };
            model.by_id(id).expect("known").ready = true;
            let grants = dispatcher.resume(id);
            model.granted(grants);
        }
        Event::Remove(nth) => {
            let Some(id) = model.nth(nth) else { return };
            model.instances.retain(|instance| instance.id != id);
            model.in_flight.retain(|(_, at)| *at != id);
            assert!(dispatcher.remove(id));
            assert!(!dispatcher.remove(id));
            assert_eq!(dispatcher.depart(id), None, "what it held went with it");
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn the_dispatcher_agrees_with_its_model(
        policy in policy(),
        events in prop::collection::vec(event(), 1..300),
    ) {
        let settings = DispatcherSettings {
            policy,
            max_waiting: MAX_WAITING,
            ..DispatcherSettings::default()
        };
        let mut dispatcher = Dispatcher::new(settings);
        let mut model = Model {
            policy,
            instances: Vec::new(),
            queue: VecDeque::new(),
            in_flight: Vec::new(),
            last: None,
        };
        for event in events {
            requests(event, &mut dispatcher, &mut model);
            prop_assert_eq!(dispatcher.verify(), Ok(()));
            prop_assert_eq!(dispatcher.waiting() as usize, model.queue.len());
            prop_assert_eq!(dispatcher.in_flight() as usize, model.in_flight.len());
            for instance in &model.instances {
                prop_assert_eq!(dispatcher.in_flight_at(instance.id), Some(instance.in_flight));
            }
        }
    }
}

#[test]
fn equally_loaded_instances_take_turns() {
    let mut dispatcher = Dispatcher::new(DispatcherSettings::default());
    let ids: Vec<_> = (0..3).map(|_| dispatcher.add(Limit::from_wire(2)).0).collect();
    let sent: Vec<_> = (0..6)
        .map(|_| match dispatcher.arrive(Moment::ZERO) {
            Dispatch::Sent { instance, .. } => instance,
            other => panic!("there is room: {other:?}"),
        })
        .collect();
    assert_eq!(sent, [ids[0], ids[1], ids[2], ids[0], ids[1], ids[2]]);
}

#[test]
fn a_line_of_its_own_deadline_is_sent_away_while_nothing_is_ready() {
    let longest_wait = Some(std::time::Duration::from_millis(100));
    let settings = DispatcherSettings { longest_wait, ..DispatcherSettings::default() };
    let mut dispatcher = Dispatcher::new(settings);
    let Dispatch::Waiting(ticket) = dispatcher.arrive(Moment::ZERO) else {
        panic!("there is nowhere to go");
    };
    assert_eq!(dispatcher.deadline_of(ticket), Some(Moment::from_millis(100)));
    assert_eq!(dispatcher.expire(Moment::from_millis(99)), None);
    assert_eq!(dispatcher.expire(Moment::from_millis(100)), Some(ticket));
    assert_eq!(dispatcher.deadline_of(ticket), None);
}

#[test]
fn a_shorter_wait_holds_for_those_who_wait_and_for_those_who_come_again() {
    let mut dispatcher = Dispatcher::new(DispatcherSettings::default());
    let arrive = |dispatcher: &mut Dispatcher, ms| match dispatcher.arrive(Moment::from_millis(ms))
    {
        Dispatch::Waiting(ticket) => ticket,
        other => panic!("there is nowhere to go: {other:?}"),
    };
    let before = arrive(&mut dispatcher, 0);
    let wait = Some(std::time::Duration::from_millis(50));
    assert!(dispatcher.set_queue_bounds(Moment::from_millis(100), 10, wait));
    assert!(!dispatcher.set_queue_bounds(Moment::from_millis(120), 10, wait), "nothing changed");
    let after = arrive(&mut dispatcher, 130);
    assert_eq!(dispatcher.deadline_of(before), Some(Moment::from_millis(150)));
    assert_eq!(dispatcher.deadline_of(after), Some(Moment::from_millis(180)));
    assert!(dispatcher.abandon(before));
    let order = before.order();
    let Dispatch::Waiting(again) = dispatcher.arrive_again(
        Moment::from_millis(140),
        (order, Moment::NEVER),
        Attributes::default(),
    ) else {
        panic!("there is nowhere to go");
    };
    assert_eq!(dispatcher.deadline_of(again), Some(Moment::from_millis(180)));
    dispatcher.verify().expect("deadlines rise along the queue");
}
