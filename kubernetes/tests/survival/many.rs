//! Thousands of scalers: what one event costs, whatever their number.

use serde_json::json;
use tidegate_autoscaler::Timestamp;
use tidegate_kubernetes::observe;
use tidegate_kubernetes::reconciler::{Change, Effect, Ended, Event, Response};
use tidegate_kubernetes::world::{DesiredScale, ObjectKey, TargetKey};

use crate::incremental::{World3, kind};

/// Scalers that are there, each with its own Deployment and Service.
const MANY: usize = 3_000;

/// A cluster without any of them.
fn none_yet() -> World3 {
    let mut world = World3::new();
    world.reconciler.world.port_range = "20000-29999".parse().expect("a range");
    world.activators(2);
    world
}

/// One of them comes, with its Deployment and Service.
fn comes(world: &mut World3, n: usize) {
    let name = format!("app-{n}");
    let key = ObjectKey::new("shop", &name);
    let mut metadata = world.metadata("shop", &name);
    metadata["uid"] = json!(name);
    let reference = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": name});
    let spec = json!({"targetRef": reference, "service": {"name": name}});
    let object = json!({"metadata": metadata, "spec": spec});
    let seen = observe::scaler(&object).expect("it can be read");
    world.apply(Event::Scalers(Box::new(Change::Seen(key.clone(), seen))));
    let metadata = world.metadata("shop", &name);
    let object = json!({
        "metadata": metadata, "spec": {"replicas": 1}, "status": {"readyReplicas": 1},
    });
    let target = TargetKey { kind: kind("Deployment"), object: key.clone() };
    let seen = observe::target(&object);
    world.apply(Event::Targets(target.kind.clone(), Change::Seen(target, seen)));
    let spec = json!({
        "ports": [{"name": "http", "port": 80}], "ipFamilies": ["IPv4"],
        "selector": {"app": name},
    });
    let seen = observe::service(&json!({"metadata": metadata, "spec": spec}));
    world.apply(Event::Services(Change::Seen(key, seen)));
}

/// A cluster in which all of them are warm, and everything that is to be said of them was.
fn many_at_rest() -> World3 {
    let mut world = none_yet();
    (0..MANY).for_each(|n| comes(&mut world, n));
    all_heard(&mut world, 1);
    settle(&mut world);
    world
}

/// The decision library is heard of, and wants so many replicas of each.
fn all_heard(world: &mut World3, replicas: i32) {
    let heard = (0..MANY).map(|n| {
        let pods = vec![(format!("app-{n}-1"), 0)];
        let desired = DesiredScale {
            replicas,
            decided: Timestamp::EPOCH,
            as_of: world.now,
            reason: String::new(),
            reporting: 1,
            counting: 1,
            pods,
        };
        (ObjectKey::new("shop", &format!("app-{n}")), desired)
    });
    let heard = heard.collect();
    world.apply(Event::Desired(heard));
}

/// Every request is answered as it should be, until there is none; and time passes meanwhile.
fn settle(world: &mut World3) {
    for _ in 0..100_000 {
        let (effects, _) = world.reconciler.reconcile(world.now);
        for effect in &effects {
            if let Effect::Check(address, port) = effect {
                world.apply(Event::Checked((*address, *port), true));
            }
        }
        world.keep(effects);
        if world.sent.is_empty() {
            break;
        }
        for action in std::mem::take(&mut world.sent) {
            let mut object = action.request.body.clone();
            let ObjectKey { namespace, name } = action.scaler.clone();
            object["metadata"] = world.metadata(&namespace, &name);
            object["metadata"]["uid"] = json!(name);
            let reference = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": name});
            if action.request.path.contains("/trafficscalers/") {
                object["spec"] = json!({"targetRef": reference, "service": {"name": name}});
            }
            let response = Response::Done(object);
            world.apply(Event::Ended(Box::new(Ended { action, response, chance: 0.5 })));
        }
    }
    world.now = world.now.plus_millis(1);
}

/// How many scalers are looked at when this happens.
fn looked_at(world: &mut World3, happens: impl FnOnce(&mut World3)) -> u64 {
    let before = world.reconciler.planner().evaluations();
    happens(world);
    let (effects, _) = world.reconciler.reconcile(world.now);
    world.keep(effects);
    world.reconciler.planner().evaluations() - before
}

#[test]
fn of_three_thousand_only_those_are_looked_at_that_something_happened_to() {
    let mut world = many_at_rest();
    // Half a quiet minute: each second the library is heard of, and nothing is looked at but once
    // when what began in the beginning is over.
    let mut quiet = 0;
    for second in 0..30 {
        world.now = world.now.plus_millis(1_000);
        let count = looked_at(&mut world, |world| all_heard(world, 1));
        if second >= 10 {
            quiet += count;
        }
        settle(&mut world);
    }
    assert_eq!(quiet, 0, "at rest");
    let one = looked_at(&mut world, |world| {
        world.version += 1;
        let metadata = world.metadata("shop", "app-7");
        let (spec, status) = (json!({"replicas": 2}), json!({"readyReplicas": 1}));
        let object = json!({"metadata": metadata, "spec": spec, "status": status});
        let key = TargetKey { kind: kind("Deployment"), object: ObjectKey::new("shop", "app-7") };
        let seen = observe::target(&object);
        world.apply(Event::Targets(key.kind.clone(), Change::Seen(key, seen)));
    });
    assert_eq!(one, 1, "one target changed");
    let slices = looked_at(&mut world, |world| {
        let object = json!({
            "metadata": {
                "resourceVersion": "999999999",
                "labels": {"kubernetes.io/service-name": "app-9"},
            },
            "addressType": "IPv4",
            "endpoints": [{"addresses": ["10.1.0.9"]}],
        });
        let seen = observe::slice(&object).expect("it can be read");
        let key = ObjectKey::new("shop", "app-9-pods");
        world.apply(Event::Slices(None, Change::Seen(key, seen)));
    });
    assert_eq!(slices, 1, "one Service's pods changed");
    let silent = looked_at(&mut world, |world| world.now = world.now.plus_millis(6_000));
    assert!(silent >= u64::try_from(MANY).expect("a number") - 2, "all fell silent: {silent}");
}

/// What it costs that so many come, each of which is reconciled by itself, and that the status of
/// each is written: how often it is looked who has a port, and how often at a scaler.
fn adopting(count: usize) -> (u64, u64) {
    let mut world = none_yet();
    for n in 0..count {
        comes(&mut world, n);
        let (effects, _) = world.reconciler.reconcile(world.now);
        world.keep(effects);
    }
    settle(&mut world);
    let said = world.reconciler.world.scalers.iter();
    let has_port = said.filter(|(_, scaler)| !scaler.status.activator_ports.is_empty()).count();
    assert_eq!(has_port, count, "each has a port in its status");
    let planner = world.reconciler.planner();
    (planner.port_looks(), planner.evaluations())
}

/// A look at everything after each change costs a thousand at three hundred of them.
#[test]
fn the_last_scaler_costs_what_the_first_costs() {
    const LOOKS_EACH: u64 = 16;
    for count in [100, 1_000] {
        let (looks, evaluations) = adopting(count);
        let most = LOOKS_EACH * u64::try_from(count).expect("a number");
        assert!(looks <= most, "{looks} looks at ports for {count} scalers");
        assert!(evaluations <= most, "{evaluations} looks at scalers for {count} of them");
    }
}
