//! The breaker beside a model that is too simple to be wrong: a list of requests that execute and
//! that wait.

use std::collections::VecDeque;
use std::time::Duration;

use proptest::prelude::*;
use tidegate_admission::{Arrival, Breaker, Depth, Limit, Moment, QueueSettings, Refusal, Ticket};

#[derive(Debug, Clone, Copy)]
enum Event {
    Arrive,
    Leave,
    /// The waiter at this position of the queue (counted modulo its length) is cancelled.
    Abandon(usize),
    /// A ticket that is not in the queue any more is cancelled again.
    AbandonAgain(usize),
    /// Time passes, and tickets that waited too long expire.
    Pass(u64),
    Resize(u32),
    SetQueue(u32, Option<u64>),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => Just(Event::Arrive),
        6 => Just(Event::Leave),
        3 => any::<usize>().prop_map(Event::Abandon),
        1 => any::<usize>().prop_map(Event::AbandonAgain),
        2 => (0..50_u64).prop_map(Event::Pass),
        1 => (0..6_u32).prop_map(Event::Resize),
        1 => (0..12_u32, proptest::option::of(0..100_u64))
            .prop_map(|(depth, wait)| Event::SetQueue(depth, wait)),
    ]
}

/// The same rules as sentences: lists instead of indices.
struct Model {
    limit: u32,
    depth: u32,
    wait: Option<u64>,
    now: u64,
    executing: u32,
    queue: VecDeque<(Ticket, u64)>,
}

impl Model {
    fn has_room(&self) -> bool {
        self.limit == 0 || self.executing < self.limit
    }

    /// The tickets that are admitted now, in order.
    fn call(&mut self) -> Vec<Ticket> {
        let mut called = Vec::new();
        while self.has_room() {
            let Some((ticket, _)) = self.queue.pop_front() else { break };
            self.executing += 1;
            called.push(ticket);
        }
        called
    }
}

/// Applies one event to both; they must agree.
fn step(event: Event, breaker: &mut Breaker, model: &mut Model, gone: &mut Vec<Ticket>) {
    match event {
        Event::Arrive => match breaker.arrive(Moment::from_millis(model.now)) {
            Arrival::Entered => {
                assert!(model.has_room() && model.queue.is_empty(), "no request is overtaken");
                model.executing += 1;
            }
            Arrival::Waiting(ticket) => {
                assert!(!model.has_room());
                assert!((model.queue.len() as u32) < model.depth);
                let own = model.wait.map_or(u64::MAX, |wait| model.now + wait);
                let ahead = model.queue.back().map_or(0, |last| last.1);
                model.queue.push_back((ticket, own.max(ahead)));
            }
            Arrival::Refused(refusal) => {
                assert_eq!(refusal, Refusal::QueueFull);
                assert!(!model.has_room() && model.queue.len() as u32 >= model.depth);
            }
        },
        Event::Leave if model.executing > 0 => {
            model.executing -= 1;
            let called = model.call();
            assert!(called.len() <= 1);
            assert_eq!(breaker.leave(), called.first().copied());
            gone.extend(called);
        }
        Event::Leave => {}
        Event::Abandon(nth) => {
            let length = model.queue.len();
            if let Some((ticket, _)) = model.queue.remove(nth.checked_rem(length).unwrap_or(0)) {
                assert!(breaker.abandon(ticket));
                gone.push(ticket);
            }
        }
        Event::AbandonAgain(nth) => {
            if let Some(ticket) = gone.get(nth.checked_rem(gone.len()).unwrap_or(0)) {
                assert!(!breaker.abandon(*ticket) && !breaker.is_waiting(*ticket));
            }
        }
        Event::Pass(millis) => {
            model.now += millis;
            let now = Moment::from_millis(model.now);
            while let Some((ticket, _)) = model.queue.front().filter(|head| head.1 <= model.now) {
                assert_eq!(breaker.expire(now), Some(*ticket));
                gone.push(*ticket);
                model.queue.pop_front();
            }
            assert_eq!(breaker.expire(now), None);
        }
        Event::Resize(limit) => {
            model.limit = limit;
            let called = model.call();
            assert_eq!(breaker.resize(Limit::from_wire(limit)), called);
            gone.extend(called);
        }
        Event::SetQueue(depth, wait) => {
            (model.depth, model.wait) = (depth, wait);
            breaker.set_queue(QueueSettings {
                depth: Depth::Count(depth),
                longest_wait: wait.map(Duration::from_millis),
            });
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_breaker_agrees_with_its_model(
        limit in 0..5_u32,
        events in prop::collection::vec(event(), 1..300),
    ) {
        let settings = QueueSettings { depth: Depth::Count(8), longest_wait: None };
        let mut breaker = Breaker::new(Limit::from_wire(limit), settings);
        let mut model =
            Model { limit, depth: 8, wait: None, now: 0, executing: 0, queue: VecDeque::new() };
        let mut gone = Vec::new();
        for event in events {
            step(event, &mut breaker, &mut model, &mut gone);
            prop_assert_eq!(breaker.executing(), model.executing);
            prop_assert_eq!(breaker.waiting() as usize, model.queue.len());
            let head = model.queue.front().map(|head| match head.1 {
                u64::MAX => Moment::NEVER,
                millis => Moment::from_millis(millis),
            });
            prop_assert_eq!(breaker.next_deadline(), head);
            prop_assert_eq!(breaker.verify(), Ok(()));
        }
    }
}
