//! The order in which requests leave a dispatcher's queue, beside a model that looks at all of them
//! each time.

use std::num::NonZeroU16;

use proptest::prelude::*;
use tidegate_admission::{
    Attributes, Classes, Coming, Dispatch, Dispatcher, DispatcherSettings, Grant, InstanceId,
    Limit, Moment, Order, Ticket,
};

const MAX_WAITING: u32 = 20;
const MAX_WAITING_BYTES: u64 = 100;

#[derive(Debug, Clone)]
enum Event {
    Arrive(Attributes),
    /// A request at an instance is done.
    Depart(usize),
    /// The same, but its instance was gone, and it arrives again.
    Bounce(usize),
    Abandon(usize),
    /// The oldest have waited too long.
    Expire,
    /// From now on by another order, and classes of these weights.
    Reorder(Order, Vec<u16>),
}

fn attributes() -> impl Strategy<Value = Attributes> {
    (0..4_u8, 0..4_u64, 0..5_u64, 0..30_u32).prop_map(|(class, key, due, bytes)| Attributes {
        class,
        key,
        due: if due == 0 { Moment::NEVER } else { Moment::from_millis(due) },
        bytes,
        affinity: None,
    })
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        10 => attributes().prop_map(Event::Arrive),
        8 => any::<usize>().prop_map(Event::Depart),
        2 => any::<usize>().prop_map(Event::Bounce),
        2 => any::<usize>().prop_map(Event::Abandon),
        1 => Just(Event::Expire),
        1 => (order(), weights()).prop_map(|(order, weights)| Event::Reorder(order, weights)),
    ]
}

fn order() -> impl Strategy<Value = Order> {
    prop_oneof![Just(Order::Arrival), Just(Order::EarliestDeadline), Just(Order::Fair)]
}

fn weights() -> impl Strategy<Value = Vec<u16>> {
    prop::collection::vec(1..6_u16, 1..4)
}

fn classes(weights: &[u16]) -> Classes {
    let numbers: Vec<_> = weights.iter().filter_map(|weight| NonZeroU16::new(*weight)).collect();
    Classes::new(&numbers).expect("few enough")
}

#[derive(Debug, Clone, Copy)]
struct Waiting {
    ticket: Ticket,
    attributes: Attributes,
    returned: bool,
}

/// What a class has had: requests by weight.
#[derive(Debug, Clone, Default)]
struct Class {
    weight: u64,
    /// In units of a request of weight 1, times 2^20.
    spent: u64,
    /// Keys with requests that wait, the next first.
    ring: Vec<u64>,
}

struct Model {
    order: Order,
    classes: Vec<Class>,
    served: u64,
    waiting: Vec<Waiting>,
    in_flight: Vec<(u64, Attributes, InstanceId)>,
}

impl Model {
    fn new(order: Order, weights: &[u16]) -> Self {
        let class = |weight: &u16| Class { weight: u64::from(*weight), ..Class::default() };
        let classes = weights.iter().map(class).collect();
        Self { order, classes, served: 0, waiting: Vec::new(), in_flight: Vec::new() }
    }

    /// Those that wait come anew, in the order in which they came; those that returned stay ahead.
    fn reorder(&mut self, order: Order, weights: &[u16]) {
        let before = std::mem::replace(self, Self::new(order, weights));
        self.in_flight = before.in_flight;
        let mut waiting = before.waiting;
        waiting.sort_by_key(|waiting| waiting.ticket);
        for known in waiting {
            match known.returned {
                true => self.waiting.push(known),
                false => self.join(known.ticket, known.attributes),
            }
        }
    }

    fn class(&self, attributes: Attributes) -> usize {
        usize::from(attributes.class).min(self.classes.len() - 1)
    }

    fn of(&self, class: usize) -> impl Iterator<Item = &Waiting> {
        self.waiting.iter().filter(move |w| !w.returned && self.class(w.attributes) == class)
    }

    fn join(&mut self, ticket: Ticket, attributes: Attributes) {
        let class = self.class(attributes);
        if self.of(class).next().is_none() {
            self.classes[class].spent = self.classes[class].spent.max(self.served);
        }
        let ring = &mut self.classes[class].ring;
        if !ring.contains(&attributes.key) {
            ring.push(attributes.key);
        }
        self.waiting.push(Waiting { ticket, attributes, returned: false });
    }

    fn next(&self) -> Ticket {
        if self.order == Order::Arrival && self.classes.len() == 1 {
            // Those that return came before all others, but where another order held before.
            return self.waiting.iter().map(|w| w.ticket).min().expect("someone waits");
        }
        if let Some(first) = self.waiting.iter().filter(|w| w.returned).map(|w| w.ticket).min() {
            return first;
        }
        let has_some = |class: &usize| self.of(*class).next().is_some();
        let class = (0..self.classes.len()).filter(has_some).min_by_key(|c| self.classes[*c].spent);
        let class = class.expect("someone waits");
        let first = match self.order {
            Order::Arrival => self.of(class).min_by_key(|w| w.ticket),
            Order::EarliestDeadline => self.of(class).min_by_key(|w| (w.attributes.due, w.ticket)),
            Order::Fair => {
                let key = self.classes[class].ring[0];
                self.of(class).filter(|w| w.attributes.key == key).min_by_key(|w| w.ticket)
            }
        };
        first.expect("the class has one").ticket
    }

    fn leave(&mut self, ticket: Ticket) -> Waiting {
        let index = self.waiting.iter().position(|w| w.ticket == ticket).expect("it waits");
        let left = self.waiting.remove(index);
        let (class, key) = (self.class(left.attributes), left.attributes.key);
        if !self.of(class).any(|w| w.attributes.key == key) {
            self.classes[class].ring.retain(|other| *other != key);
        }
        if self.waiting.is_empty() {
            self.rest();
        }
        left
    }

    /// Once nothing waits nobody has had anything.
    fn rest(&mut self) {
        self.served = 0;
        self.classes.iter_mut().for_each(|class| class.spent = 0);
    }

    fn granted(&mut self, grant: Grant) {
        assert_eq!(grant.ticket, self.next());
        let left = self.leave(grant.ticket);
        let class = self.class(left.attributes);
        if !left.returned && !self.waiting.is_empty() {
            let class = &mut self.classes[class];
            self.served = class.spent;
            class.spent += (1 << 20) / class.weight;
            if let Some(index) = class.ring.iter().position(|key| *key == left.attributes.key) {
                let key = class.ring.remove(index);
                class.ring.push(key);
            }
        }
        self.in_flight.push((grant.ticket.order(), left.attributes, grant.instance));
    }
}

fn apply(event: Event, dispatcher: &mut Dispatcher, model: &mut Model) {
    match event {
        Event::Arrive(attributes) => match dispatcher.arrive_with(Moment::ZERO, attributes) {
            Dispatch::Sent { instance, order } => {
                assert!(model.waiting.is_empty(), "no request is overtaken by one that arrives");
                model.in_flight.push((order, attributes, instance));
            }
            Dispatch::Waiting(ticket) => model.join(ticket, attributes),
            Dispatch::Refused(_) => {
                let bytes =
                    model.waiting.iter().map(|w| u64::from(w.attributes.bytes)).sum::<u64>();
                let is_full = model.waiting.len() >= MAX_WAITING as usize;
                assert!(is_full || bytes + u64::from(attributes.bytes) > MAX_WAITING_BYTES);
            }
        },
        Event::Depart(nth) => {
            let Some(index) = nth.checked_rem(model.in_flight.len()) else { return };
            let (_, _, instance) = model.in_flight.remove(index);
            if let Some(grant) = dispatcher.depart(instance) {
                model.granted(grant);
            }
        }
        Event::Bounce(nth) => {
            let Some(index) = nth.checked_rem(model.in_flight.len()) else { return };
            let (order, attributes, instance) = model.in_flight.remove(index);
            dispatcher.drain(instance);
            assert_eq!(dispatcher.depart(instance), None);
            match dispatcher.arrive_again(Moment::ZERO, (order, Moment::NEVER), attributes) {
                Dispatch::Sent { instance, order } => {
                    model.in_flight.push((order, attributes, instance));
                }
                Dispatch::Waiting(ticket) => {
                    model.waiting.push(Waiting { ticket, attributes, returned: true });
                }
                Dispatch::Refused(refusal) => panic!("never refused again: {refusal}"),
            }
            dispatcher.resume(instance).into_iter().for_each(|grant| model.granted(grant));
        }
        Event::Abandon(nth) => {
            let Some(index) = nth.checked_rem(model.waiting.len()) else { return };
            let ticket = model.waiting[index].ticket;
            model.leave(ticket);
            assert!(dispatcher.abandon(ticket) && !dispatcher.abandon(ticket));
        }
        Event::Expire => {
            let oldest = model.waiting.iter().map(|w| w.ticket).min();
            let expired = dispatcher.expire(Moment::NEVER);
            assert_eq!(expired, oldest, "who has waited longest, whoever is next");
            expired.map(|ticket| model.leave(ticket));
        }
        Event::Reorder(order, weights) => {
            let known = |ticket| {
                let waiting = model.waiting.iter().find(|known| known.ticket == ticket);
                let Waiting { attributes, returned, .. } = waiting.expect("it waits");
                let coming = if *returned { Coming::Again } else { Coming::First };
                (*attributes, coming)
            };
            if dispatcher.set_order((order, classes(&weights)), known) {
                model.reorder(order, &weights);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn requests_leave_in_the_order_of_the_model(
        order in order(),
        weights in weights(),
        instances in 1..4_u32,
        events in prop::collection::vec(event(), 1..300),
    ) {
        let mut dispatcher = Dispatcher::new(DispatcherSettings {
            order,
            classes: classes(&weights),
            max_waiting: MAX_WAITING,
            max_waiting_bytes: Some(MAX_WAITING_BYTES),
            ..DispatcherSettings::default()
        });
        for _ in 0..instances {
            let _ = dispatcher.add(Limit::from_wire(2));
        }
        let mut model = Model::new(order, &weights);
        for event in events {
            apply(event, &mut dispatcher, &mut model);
            prop_assert_eq!(dispatcher.verify(), Ok(()));
            prop_assert_eq!(dispatcher.waiting() as usize, model.waiting.len());
            let bytes = model.waiting.iter().map(|w| u64::from(w.attributes.bytes)).sum::<u64>();
            prop_assert_eq!(dispatcher.waiting_bytes(), bytes);
        }
    }
}

/// Of requests that all wait already: who is served, one after the other.
fn served(settings: DispatcherSettings, waiting: &[Attributes]) -> Vec<Attributes> {
    let mut dispatcher = Dispatcher::new(settings);
    let (instance, _) = dispatcher.add(Limit::from_wire(1));
    let _ = dispatcher.arrive(Moment::ZERO);
    let mut tickets = Vec::new();
    for attributes in waiting {
        match dispatcher.arrive_with(Moment::ZERO, *attributes) {
            Dispatch::Waiting(ticket) => tickets.push((ticket, *attributes)),
            other => panic!("the instance is taken: {other:?}"),
        }
    }
    let of = |ticket| tickets.iter().find(|(known, _)| *known == ticket).expect("it waits").1;
    std::iter::from_fn(|| dispatcher.depart(instance)).map(|grant| of(grant.ticket)).collect()
}

#[test]
fn classes_get_instances_in_proportion_to_their_weights() {
    let weights = [6, 3, 1].map(|weight| NonZeroU16::new(weight).expect("not zero"));
    let classes = Classes::new(&weights).expect("few enough");
    let settings = DispatcherSettings { classes, ..DispatcherSettings::default() };
    let waiting: Vec<_> =
        (0..300).map(|nth| Attributes { class: nth as u8 % 3, ..Attributes::default() }).collect();
    let first_hundred: Vec<_> = served(settings, &waiting).into_iter().take(100).collect();
    let of = |class| first_hundred.iter().filter(|a| a.class == class).count();
    assert_eq!([of(0), of(1), of(2)], [60, 30, 10]);
}

#[test]
fn one_key_with_many_requests_does_not_hold_up_the_others() {
    let settings = DispatcherSettings { order: Order::Fair, ..DispatcherSettings::default() };
    let keys = std::iter::repeat_n(1, 50).chain([2, 3, 2]);
    let waiting: Vec<_> = keys.map(|key| Attributes { key, ..Attributes::default() }).collect();
    let keys: Vec<_> = served(settings, &waiting).into_iter().map(|a| a.key).take(7).collect();
    assert_eq!(keys, [1, 2, 3, 1, 2, 1, 1]);
}

#[test]
fn a_client_that_comes_again_at_once_is_behind_those_that_wait() {
    let settings = DispatcherSettings { order: Order::Fair, ..DispatcherSettings::default() };
    let mut dispatcher = Dispatcher::new(settings);
    let (instance, _) = dispatcher.add(Limit::from_wire(1));
    let _ = dispatcher.arrive(Moment::ZERO);
    let of = |key| Attributes { key, ..Attributes::default() };
    let patient: Vec<_> =
        (0..3).map(|_| dispatcher.arrive_with(Moment::ZERO, of(1))).map(ticket).collect();
    let mut called = Vec::new();
    for _ in 0..3 {
        let eager = ticket(dispatcher.arrive_with(Moment::ZERO, of(2)));
        called.extend(dispatcher.depart(instance).map(|grant| grant.ticket));
        called.extend(dispatcher.depart(instance).map(|grant| grant.ticket));
        assert!(!dispatcher.is_waiting(eager));
    }
    assert!(patient.iter().all(|ticket| called.contains(ticket)), "each second one was theirs");
}

fn ticket(dispatch: Dispatch) -> Ticket {
    match dispatch {
        Dispatch::Waiting(ticket) => ticket,
        other => panic!("the instance is taken: {other:?}"),
    }
}

/// The story: a queue by arrival keeps nothing of what orders a request, and a change of its order
/// must not forget one.
#[test]
fn what_waits_is_served_by_the_new_order() {
    let mut dispatcher = Dispatcher::new(DispatcherSettings::default());
    let (instance, _) = dispatcher.add(Limit::from_wire(1));
    let _ = dispatcher.arrive(Moment::ZERO);
    let due = |millis| Attributes { due: Moment::from_millis(millis), ..Attributes::default() };
    let came = [30, 10, 20]
        .map(|millis| (ticket(dispatcher.arrive_with(Moment::ZERO, due(millis))), due(millis)));
    let known = |ticket| {
        let (_, attributes) = came.iter().find(|(known, _)| *known == ticket).expect("it waits");
        (*attributes, Coming::First)
    };
    assert!(dispatcher.set_order((Order::EarliestDeadline, Classes::ONE), known));
    assert!(!dispatcher.set_order((Order::EarliestDeadline, Classes::ONE), known));
    assert_eq!((dispatcher.verify(), dispatcher.waiting()), (Ok(()), 3));
    let served = std::iter::from_fn(|| dispatcher.depart(instance)).map(|grant| grant.ticket);
    assert_eq!(served.collect::<Vec<_>>(), [came[1].0, came[2].0, came[0].0]);
}
