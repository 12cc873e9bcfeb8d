//! How an instance came up, as it is told to activators, and what they tell of their requests.

use std::time::Duration;

use tidegate_timeline::{Start, Timeline};

use super::*;
use crate::cold_start::ColdStart;
use crate::state::tests::fixture::revision;

/// The starts of the instances that an activator was told of last.
fn told(effects: &[Effect]) -> Vec<Start<Timestamp>> {
    let mut lists = effects.iter().filter_map(|effect| match effect {
        Effect::Send { message: ServerMessage::Endpoints { endpoints, .. }, .. } => Some(endpoints),
        _ => None,
    });
    let last = lists.next_back().expect("a list was sent");
    last.iter().map(|endpoint| endpoint.start).collect()
}

fn listening(age_ms: u32, report: fixture::Stat) -> fixture::Stat {
    fixture::Stat(Report { listening_age_ms: Some(age_ms), ..report.0 })
}

#[test]
fn the_moments_of_a_start_are_told_with_the_instance() {
    let mut world = Fixture::local(declaration(1, "0"));
    let activator = world.activator();
    world.pass(700);
    let decided = world.now;
    world.activator_reports(activator, 1, 1);
    world.pass(3);
    let started = world.now;
    world.apply(Event::InstanceStarted { instance: instance("web-1") });
    let sidecar = world.sidecar("web-1");
    world.pass(50);
    let effects = world.instance_reports(sidecar, listening(7, stat(1, 0.0)).ready());
    let ready = world.now;
    let expected = Start {
        decided: Some(decided),
        actuated: Some(decided),
        started: Some(started),
        listening: Some(ready.minus_millis(7)),
        ready: Some(ready),
    };
    assert_eq!(told(&effects), [expected]);
    // What comes later changes nothing of it.
    world.pass(1_000);
    world.instance_reports(sidecar, listening(9, stat(2, 0.0)));
    world.pass(1_000);
    let effects = world.instance_reports(sidecar, listening(9, stat(3, 0.0)).ready());
    assert_eq!(told(&effects), [expected]);
}

#[test]
fn a_pod_starts_when_its_sidecar_does_by_the_clock_of_its_node() {
    let mut world = Fixture::remote(declaration(1, "1"));
    world.activator();
    world.pass(3_000);
    let sidecar = world.sidecar("web-1");
    let effects = world.instance_reports(sidecar, stat(1, 0.0).ready());
    let [start] = told(&effects)[..] else { panic!("one instance") };
    assert_eq!(start.started, Some(Timestamp::from_millis(1)), "what its hello says");
    assert_eq!(start.ready, Some(world.now));
    assert_eq!((start.actuated, start.listening), (None, None), "nobody saw it");
    world.pass(1_000);
    let actuated = world.now;
    world.apply(Event::Actuated { revision: revision() });
    world.pass(1_000);
    let sidecar = world.sidecar("web-2");
    let effects = world.instance_reports(sidecar, stat(1, 0.0).ready());
    assert_eq!(told(&effects)[1].actuated, Some(actuated));
}

#[test]
fn cold_starts_are_kept_and_announced_once() {
    let mut world = Fixture::local(declaration(1, "0"));
    let activator = world.activator();
    let forwarded = Duration::from_millis(60);
    let start = ColdStart {
        instance: instance("web-1"),
        seen_unix_ms: 7,
        timeline: Timeline::of(Start::default(), forwarded, None),
    };
    let fixture::Stat(report) = stat(1, 0.0);
    let report = Report { revision: Some(revision()), cold_starts: vec![start.clone()], ..report };
    let announced = |effects: &[Effect]| {
        let is_one = |effect: &&Effect| match effect {
            Effect::Announce(Notice::ColdStarted(told)) => *told == start,
            _ => false,
        };
        effects.iter().filter(is_one).count()
    };
    let reporter = activator;
    let event = || Event::Reported { reporter, report: report.clone() };
    assert_eq!(announced(&world.apply(event())), 1);
    assert_eq!(announced(&world.apply(event())), 0, "it was sent again");
    assert_eq!(world.state.cold_starts(&revision()), std::slice::from_ref(&start));
    world.apply(Event::Undeclare(revision()));
    assert_eq!(world.state.cold_starts(&revision()), []);
    world.apply(event());
    assert_eq!(world.state.cold_starts(&revision()), [], "nobody declared it");
}
