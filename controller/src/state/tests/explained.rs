//! The record of a decision whose wanted instances are not started.
//!
//! The story: a revision in crash-loop backoff was still explained as if its wanted instances were
//! about to start, and queued requests were counted twice where the policy was one instance a
//! request: reporters count them as in flight, too.

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
fn instances_that_are_not_started_are_recorded_as_such() {
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
    let text = record.to_string();
    assert!(text.ends_with(" None is started: none of 3 attempts became ready."), "{text}");
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
    world.activator_reports(activator, 3, 3);
    let record = last(&world);
    let text = record.to_string();
    assert!(text.starts_with("3 instances: 3 requests are in the system"), "{text}");
}

#[test]
fn a_reported_limit_does_not_bound_requests_a_second() {
    let mut declaration = declaration(0, "1");
    if let PolicyChoice::Knative(settings) = &mut declaration.policy {
        settings.spec.scaling_metric = ScalingMetric::RequestRate;
    }
    let mut world = Fixture::local(declaration);
    let sidecar = world.sidecar("web-1");
    world.run_for(20, |world, second| {
        let report = stat(second + 1, 30.0).ready().in_flight(30).limit(10);
        world.instance_reports(sidecar, report);
    });
    let record = last(&world);
    let Detail::Knative(trace) = &record.explanation.detail else { unreachable!() };
    let spec = &trace.inputs.spec;
    let assumed = [spec.target_value, spec.total_value];
    let signals = trace.inputs.signals.as_slice();
    assert!(signals.iter().all(|signal| assumed.contains(&signal.target)), "{signals:?}");
}
