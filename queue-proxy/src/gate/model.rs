//! The queue under loom: every interleaving of a few threads, exhaustively.
//!
//! The gate's core is generic over its lock, so loom's own can stand in without a special build:
//! this runs with every `cargo test`. What is checked: no wake-up is lost (a lost one is a
//! deadlock, which loom reports), the limit holds, and every slot comes back, whatever is cancelled
//! when.

use std::sync::Arc;
use std::task::{Poll, Waker};

use loom::sync::Mutex;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use tidegate_admission::credits::{Demand, DoorId, Grantor, Holder};
use tidegate_admission::{Abandoned, Limit, Meter, Moment, QueueSettings, Source};

use super::core::{Core, Env, Slot};
use super::state::State;

struct Modelled {
    state: Mutex<State>,
}

impl Env for Modelled {
    fn with<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        change(&mut self.state.lock().expect("no thread of the model panics"))
    }

    fn now(&self) -> Moment {
        Moment::ZERO
    }

    fn queue_formed(&self) {}
}

fn gate(limit: u32) -> Arc<Core<Modelled>> {
    let grantor = Grantor::new(Limit::from_wire(limit), QueueSettings::KNATIVE);
    let state = Mutex::new(State::new(grantor, Meter::new(Moment::ZERO)));
    Arc::new(Core::new(Modelled { state }))
}

fn enter(gate: &Arc<Core<Modelled>>) -> Slot<Modelled> {
    enter_with(gate, None)
}

fn enter_with(gate: &Arc<Core<Modelled>>, credit: Option<(DoorId, u64)>) -> Slot<Modelled> {
    match gate.arrive(Source::Direct, credit).expect("the queue is long enough") {
        Ok(slot) => slot,
        Err(mut place) => loom::future::block_on(std::future::poll_fn(move |context| {
            place.poll(context.waker()).map(|outcome| outcome.expect("there is no deadline"))
        })),
    }
}

fn assert_empty(gate: &Arc<Core<Modelled>>) {
    let levels = gate.env().with(|state| state.levels());
    assert_eq!((levels.executing, levels.waiting), (0, 0));
    assert_eq!(gate.poll_empty(Waker::noop()), Poll::Ready(()));
    gate.env().with(|state| state.grantor.verify()).expect("the invariants hold");
}

#[test]
fn no_wake_up_is_lost_and_the_limit_holds() {
    loom::model(|| {
        let gate = gate(1);
        let running = loom::sync::Arc::new(AtomicUsize::new(0));
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let (gate, running) = (Arc::clone(&gate), running.clone());
                thread::spawn(move || {
                    let slot = enter(&gate);
                    assert_eq!(running.fetch_add(1, Ordering::SeqCst), 0, "the limit is one");
                    running.fetch_sub(1, Ordering::SeqCst);
                    drop(slot);
                })
            })
            .collect();
        for thread in threads {
            thread.join().expect("no thread of the model panics");
        }
        assert_empty(&gate);
    });
}

#[test]
fn a_waiter_that_is_dropped_while_it_is_woken_passes_the_slot_on() {
    loom::model(|| {
        let gate = gate(1);
        let held = enter(&gate);
        let mut leaving = gate.arrive(Source::Direct, None).unwrap().unwrap_err();
        assert!(leaving.poll(Waker::noop()).is_pending());
        let staying = Arc::clone(&gate);
        let staying = thread::spawn(move || drop(enter(&staying)));
        let leaver = thread::spawn(move || drop(leaving));
        drop(held);
        leaver.join().expect("no thread of the model panics");
        staying.join().expect("no thread of the model panics");
        assert_empty(&gate);
    });
}

#[test]
fn growing_the_limit_wakes_the_waiters() {
    loom::model(|| {
        let gate = gate(1);
        let held = enter(&gate);
        let grower = Arc::clone(&gate);
        let grower = thread::spawn(move || grower.resize(Limit::from_wire(2)));
        let second = enter(&gate);
        grower.join().expect("no thread of the model panics");
        drop(second);
        drop(held);
        assert_empty(&gate);
    });
}

/// The client of the one inside leaves while another waits: the slot passes on when the app is
/// done, not before, and the account of those that are held ends at zero.
#[test]
fn an_abandoned_slot_is_passed_on_once() {
    for rule in [Abandoned::hold(None), Abandoned::Release] {
        loom::model(move || {
            let gate = gate(1);
            let inside = Arc::new(AtomicUsize::new(0));
            let mut first = enter(&gate);
            inside.fetch_add(1, Ordering::SeqCst);
            let other = {
                let (gate, inside) = (Arc::clone(&gate), Arc::clone(&inside));
                thread::spawn(move || {
                    let slot = enter(&gate);
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "the limit is one");
                    inside.fetch_sub(1, Ordering::SeqCst);
                    drop(slot);
                })
            };
            let held = first.abandon(rule).is_some();
            assert_eq!(held, rule != Abandoned::Release);
            inside.fetch_sub(1, Ordering::SeqCst);
            drop(first);
            other.join().expect("it enters");
            assert_empty(&gate);
            let levels = gate.env().with(|state| state.levels());
            assert_eq!((levels.abandoned, levels.abandoned_total), (0, 1));
        });
    }
}

/// A front door spends a credit while a request without one waits: the credit is recalled,
/// whichever comes first, and both get in, one after the other.
#[test]
fn a_credit_is_spent_or_comes_back() {
    loom::model(|| {
        let gate = gate(1);
        let inside = Arc::new(AtomicUsize::new(0));
        let door = gate.open_door().expect("there is a limit");
        let mut holder = Holder::new(1);
        let Poll::Ready(orders) = door.poll_orders(Waker::noop()) else {
            panic!("the only door has every free place");
        };
        holder.obey(&orders).expect("an instance may grant one place");
        let plain = {
            let (gate, inside) = (Arc::clone(&gate), Arc::clone(&inside));
            thread::spawn(move || run_alone(enter(&gate), &inside))
        };
        let spent = holder.spend().expect("a place was granted");
        let slot = gate.arrive(Source::Proxied, Some((door.id(), spent.number())));
        // Nobody else can have it: it was promised.
        run_alone(slot.expect("it is not refused").expect("it does not wait"), &inside);
        let _ = holder.settle(spent);
        // What the plain request waits for, it gets once the recall is answered.
        loom::future::block_on(std::future::poll_fn(|context| {
            while let Poll::Ready(orders) = door.poll_orders(context.waker()) {
                holder.obey(&orders).expect("recalls may be given");
                door.report(&holder.report(Demand::NONE));
            }
            match holder.idle() {
                0 => Poll::Ready(()),
                _ => Poll::Pending,
            }
        }));
        plain.join().expect("it enters");
        drop(door);
        assert_empty(&gate);
    });
}

/// A front door dies while a request waits and another shows its credit: whatever happens first,
/// the limit holds, everybody gets in, and the places are free in the end.
#[test]
fn a_door_that_dies_leaves_its_places() {
    loom::model(|| {
        let gate = gate(1);
        let inside = Arc::new(AtomicUsize::new(0));
        let door = gate.open_door().expect("there is a limit");
        let id = door.id();
        assert!(door.poll_orders(Waker::noop()).is_ready());
        let others: Vec<_> = [None, Some((id, 1))]
            .into_iter()
            .map(|credit| {
                let (gate, inside) = (Arc::clone(&gate), Arc::clone(&inside));
                thread::spawn(move || run_alone(enter_with(&gate, credit), &inside))
            })
            .collect();
        drop(door);
        for other in others {
            other.join().expect("it enters");
        }
        assert_empty(&gate);
        assert_eq!(gate.env().with(|state| state.levels().promised), 0);
    });
}

fn run_alone(slot: Slot<Modelled>, inside: &AtomicUsize) {
    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "the limit is one");
    inside.fetch_sub(1, Ordering::SeqCst);
    drop(slot);
}
