//! Consistent hashing with bounded loads: what belongs together goes to one instance, and no
//! instance is far above the average because of it.

use proptest::prelude::*;
use tidegate_admission::{
    Attributes, Dispatch, Dispatcher, DispatcherSettings, InstanceId, Limit, Moment, NewInstance,
    Policy,
};

fn instance(limit: u32, identity: u64) -> NewInstance {
    NewInstance { limit: Limit::from_wire(limit), identity, allowance: None }
}

fn dispatcher(identities: impl IntoIterator<Item = u64>, limit: u32) -> Dispatcher {
    let settings =
        DispatcherSettings { policy: Policy::ConsistentHash, ..DispatcherSettings::default() };
    let mut dispatcher = Dispatcher::new(settings);
    for identity in identities {
        let _ = dispatcher.add_new(instance(limit, identity));
    }
    dispatcher
}

fn sent(dispatcher: &mut Dispatcher, about: u64) -> InstanceId {
    let attributes = Attributes { affinity: Some(about), ..Attributes::default() };
    match dispatcher.arrive_with(Moment::ZERO, attributes) {
        Dispatch::Sent { instance, .. } => instance,
        other => panic!("there is room: {other:?}"),
    }
}

/// Where a request goes that is alone.
fn home(dispatcher: &mut Dispatcher, about: u64) -> usize {
    let instance = sent(dispatcher, about);
    assert_eq!(dispatcher.depart(instance), None);
    instance.slot()
}

#[test]
fn two_dispatchers_send_the_same_to_the_same_instance() {
    let mut one = dispatcher([7, 8, 9], 0);
    let mut other = dispatcher([9, 7, 8], 0);
    for about in 0..1_000 {
        // The slots of the second are those of the first, one further.
        assert_eq!((home(&mut one, about) + 1) % 3, home(&mut other, about));
    }
}

#[test]
fn what_an_instance_that_drains_had_comes_back_to_it() {
    let mut dispatcher = dispatcher([1], 0);
    let (second, _) = dispatcher.add_new(instance(0, 2));
    let before: Vec<_> = (0..100).map(|about| home(&mut dispatcher, about)).collect();
    dispatcher.drain(second);
    assert!((0..100).all(|about| home(&mut dispatcher, about) == 0));
    let _ = dispatcher.resume(second);
    assert!((0..100).map(|about| home(&mut dispatcher, about)).eq(before));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// One key is asked for most of the time.
    #[test]
    fn no_instance_has_more_than_its_share(
        instances in 1..20_u64,
        keys in prop::collection::vec(0..8_u64, 1..400),
    ) {
        let mut dispatcher = dispatcher(0..instances, 0);
        let mut loads = vec![0_u64; usize::try_from(instances).unwrap()];
        for (in_flight, key) in (0_u64..).zip(keys) {
            let chosen = sent(&mut dispatcher, key.saturating_sub(5)).slot();
            loads[chosen] += 1;
            let bound = ((in_flight + 1) * 125).div_ceil(100 * instances).max(4);
            prop_assert!(loads[chosen] <= bound, "{} in flight, {loads:?}", in_flight + 1);
            prop_assert_eq!(dispatcher.verify(), Ok(()));
        }
    }

    /// A limit is never exceeded for the sake of affinity, and the last place is found.
    #[test]
    fn every_place_is_used_before_a_request_waits(instances in 1..9_u64, limit in 1..5_u32) {
        let mut dispatcher = dispatcher(0..instances, limit);
        for _ in 0..instances * u64::from(limit) {
            let instance = sent(&mut dispatcher, 42);
            prop_assert!(dispatcher.in_flight_at(instance) <= Some(limit));
        }
        let attributes = Attributes { affinity: Some(42), ..Attributes::default() };
        let dispatch = dispatcher.arrive_with(Moment::ZERO, attributes);
        prop_assert!(matches!(dispatch, Dispatch::Waiting(_)), "{:?}", dispatch);
    }
}
