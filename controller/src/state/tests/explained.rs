//! What a decision's record says of instances that are asked for and not started.
//!
//! The story: a revision that had been given up went on being explained as if the instances it
//! wanted were about to come, and requests that wait were told of, and decided by, twice where the
//! policy was one instance a request: reporters count them as being in flight, too.

use tidegate_autoscaler::ScalingMetric;
use tidegate_autoscaler::explain::Detail;

use super::*;
use crate::declaration::PolicyChoice;
use crate::journal::Hindrance;

const PAGE: &str = include_str!("../../../../docs/explain.md");

fn last(world: &Fixture) -> Arc<DecisionRecord> {
    let revision = world.state.revisions.values().next().expect("there is one");
    Arc::clone(revision.journal.last().expect("something was decided"))
}

#[test]
fn what_is_not_started_is_said_not_to_be() {
    let mut world = Fixture::local(declaration(1, "1"));
    let mut said = Vec::new();
    for number in 1..=5 {
        let instance = instance(&format!("web-{number}"));
        world.apply(Event::InstanceEnded { instance, ending: fixture::ending() });
        world.run_for(2, |_, _| {});
        said.push(last(&world));
    }
    let record = said.last().expect("five were said");
    assert_eq!(record.hindrance, Some(Hindrance::GaveUp { attempts: 3 }));
    let words = record.to_string();
    assert!(words.ends_with(" None is started: none of 3 attempts became ready."), "{words}");
    assert!(said.first().is_some_and(|record| record.hindrance.is_none()), "{said:?}");
}

#[test]
fn the_book_has_every_hindrance() {
    let hindrances = [
        Hindrance::GaveUp { attempts: 3 },
        Hindrance::Backoff { failures: 2, rest_ms: 200 },
        Hindrance::Stopping,
    ];
    for hindrance in hindrances {
        assert!(PAGE.contains(&format!(" | {hindrance}. |")), "docs/explain.md lacks {hindrance}");
    }
    let once = Hindrance::Backoff { failures: 1, rest_ms: 100 };
    assert_eq!(once.to_string(), "The next one starts in 100 ms, after 1 failure");
}

#[test]
fn a_request_that_waits_is_one_request() {
    let policy = PolicyChoice::KeepAlive { idle_ms: 60_000 };
    let mut world = Fixture::local(Declaration { policy, ..declaration(1, "0") });
    let activator = world.activator();
    world.activator_says(activator, 3, 3);
    let record = last(&world);
    let told = record.to_string();
    assert!(told.starts_with("3 instances: 3 requests are in the system"), "{told}");
}

#[test]
fn a_limit_that_was_found_out_says_nothing_of_requests_a_second() {
    let mut declaration = declaration(0, "1");
    if let PolicyChoice::Knative(settings) = &mut declaration.policy {
        settings.spec.scaling_metric = ScalingMetric::RequestRate;
    }
    let mut world = Fixture::local(declaration);
    let sidecar = world.sidecar("web-1");
    world.run_for(20, |world, second| {
        let report = stat(second + 1, 30.0).ready().in_flight(30).limit(10);
        world.instance_says(sidecar, report);
    });
    let record = last(&world);
    let Detail::Knative(trace) = &record.explanation.detail else { unreachable!() };
    let spec = &trace.inputs.spec;
    let assumed = [spec.target_value, spec.total_value];
    let signals = trace.inputs.signals.as_slice();
    assert!(signals.iter().all(|signal| assumed.contains(&signal.target)), "{signals:?}");
}
