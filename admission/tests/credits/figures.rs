//! One, two and ten doors before four instances that take one request at a time.

use std::time::Duration;

use crate::world::{Furnishing, World};

/// As many requests as a test that runs with every change can count.
const REQUESTS: usize = 50_000;

/// As many as the figures are claimed for.
const MANY: usize = 1_000_000;

fn four_instances(doors: usize, requests: usize) -> Furnishing {
    Furnishing {
        doors,
        instances: 4,
        limit: 1,
        requests,
        // Four fifths of what the instances can do.
        gap: Duration::from_micros(3_125),
        service: Duration::from_millis(10),
        delay: Duration::from_micros(50),
        jitter: Duration::from_micros(50),
        troubles: 0,
        seed: 17,
    }
}

fn p99(waits: &[Duration]) -> Duration {
    waits[waits.len() * 99 / 100]
}

/// Runs it and holds it to what every run must hold. Gives the 99th percentile of waiting.
fn run(furnishing: Furnishing) -> Duration {
    let mut world = World::new(furnishing);
    world.run();
    world.assert_at_rest();
    let counted = &world.counted;
    assert_eq!(counted.most_inside, furnishing.limit, "never above the limit");
    assert_eq!(counted.misplaced, 0, "nothing waits beside a free instance");
    let (most, least) = (counted.served.iter().max(), counted.served.iter().min());
    let (most, least) = (*most.unwrap() as f64, *least.unwrap() as f64);
    let waits = world.waits();
    assert_eq!(waits.len(), furnishing.requests, "every request was let in");
    println!(
        "{} doors, {} requests: most inside {}, instances {:?} ({:+.2} %), p50 {:?}, p99 {:?}, \
         {:.2} messages a request",
        furnishing.doors,
        furnishing.requests,
        counted.most_inside,
        counted.served,
        (most / least - 1.0) * 100.0,
        waits[waits.len() / 2],
        p99(&waits),
        counted.messages as f64 / furnishing.requests as f64,
    );
    assert!(most <= least * 1.05, "{most} of the busiest, {least} of the idlest");
    p99(&waits)
}

fn compare(requests: usize) {
    let alone = run(four_instances(1, requests));
    for doors in [2, 10] {
        let waited = run(four_instances(doors, requests));
        let bound = alone.mul_f64(1.10);
        assert!(waited <= bound, "{doors} doors: {waited:?}, one: {alone:?}");
    }
}

#[test]
fn many_doors_do_as_one() {
    compare(REQUESTS);
}

#[test]
#[ignore = "takes minutes: three million requests"]
fn many_doors_do_as_one_over_a_million_requests() {
    compare(MANY);
}

/// A door that is alone says nothing for a request that does not wait.
#[test]
fn a_door_that_is_alone_is_silent() {
    let sparse =
        Furnishing { gap: Duration::from_millis(100), limit: 8, ..four_instances(1, 5_000) };
    let mut world = World::new(sparse);
    world.run();
    world.assert_at_rest();
    assert!(world.counted.messages < 20, "{} messages", world.counted.messages);
}
