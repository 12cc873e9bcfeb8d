//! Instances that stand still instead of ending: never with a request inside, woken before anything
//! is started, ended with the rest.

use std::sync::Arc;

use tidegate_autoscaler::settings::ScaleBounds;

use super::fixture::{Fixture, declaration, ending, instance, revision, stat};
use super::{endpoints_sent, notices, started, stopped};
use crate::declaration::{Declaration, IdleMode, Launch};
use crate::event::{Effect, Event, StopMode};
use crate::identity::ReporterId;
use crate::notice::Notice;
use crate::pin::Pin;
use crate::state::UndeclaredRevisions;

/// A revision of which so many are ready; none ends while it is idle.
fn ready(count: i32) -> (Fixture, Vec<ReporterId>) {
    let mut launch = Launch::new(vec!["app".into()]);
    launch.idle_mode = IdleMode::Freeze;
    let launch = Some(Arc::new(launch));
    let mut world = Fixture::of(super::State::new(UndeclaredRevisions::Refuse));
    world.apply(Event::Declare(Box::new(Declaration { launch, ..declaration(1, "1") })));
    // The youngest go first: the others are younger than the first.
    world.pass(100);
    keep(&mut world, count);
    let ready = (1..=count).map(|number| {
        let sidecar = world.sidecar(&format!("web-{number}"));
        world.instance_reports(sidecar, stat(1, 0.0).ready());
        sidecar
    });
    let sidecars = ready.collect();
    // Until activators would know of all of them.
    world.pass(200);
    (world, sidecars)
}

fn keep(world: &mut Fixture, count: i32) -> Vec<Effect> {
    let bounds = ScaleBounds { min: count, max: count };
    world.apply(Event::Pin { revision: revision(), pin: Some(Pin { bounds, for_ms: None }) })
}

fn frozen(effects: &[Effect]) -> Vec<String> {
    let freezes = effects.iter().filter_map(|effect| match effect {
        Effect::Freeze { instance } => Some(instance.to_string()),
        _ => None,
    });
    freezes.collect()
}

fn thawed(effects: &[Effect]) -> Vec<String> {
    let thaws = effects.iter().filter_map(|effect| match effect {
        Effect::Thaw { instance } => Some(instance.to_string()),
        _ => None,
    });
    thaws.collect()
}

#[test]
fn one_is_frozen_once_nobody_sends_to_it_and_it_has_no_request() {
    let (mut world, sidecars) = ready(2);
    let activator = world.activator();
    let effects = keep(&mut world, 1);
    assert_eq!(endpoints_sent(&effects, activator).map(|it| it.len()), Some(1), "told first");
    assert!(frozen(&effects).is_empty() && stopped(&effects).is_empty());
    let report = |world: &mut Fixture, sequence, in_flight| {
        world.instance_reports(sidecars[1], stat(sequence, 0.0).ready().in_flight(in_flight))
    };
    assert!(frozen(&report(&mut world, 2, 0)).is_empty(), "one may be on its way");
    world.pass(1_000);
    assert!(frozen(&report(&mut world, 3, 1)).is_empty(), "it has one");
    world.pass(1_000);
    let effects = report(&mut world, 4, 0);
    assert_eq!(frozen(&effects), ["web-2"]);
    assert!(matches!(notices(&effects)[0], Notice::Frozen { .. }));
    let status = world.state.statuses().remove(0);
    assert_eq!((status.ready, status.frozen, status.starting), (1, 1, 0));

    world.pass(1_000);
    let effects = report(&mut world, 5, 1);
    assert_eq!(thawed(&effects), ["web-2"], "a request came to it all the same");
    world.pass(1_000);
    assert_eq!(frozen(&report(&mut world, 6, 0)), ["web-2"], "and is done");
    world.recount();
}

/// Two of three are frozen.
fn rested() -> (Fixture, Vec<ReporterId>) {
    let (mut world, sidecars) = ready(3);
    keep(&mut world, 1);
    world.pass(1_000);
    for sidecar in &sidecars {
        world.instance_reports(*sidecar, stat(2, 0.0).ready());
    }
    assert_eq!(world.state.statuses()[0].frozen, 2);
    (world, sidecars)
}

#[test]
fn what_is_frozen_is_woken_before_anything_is_started() {
    let (mut world, _) = rested();
    let activator = world.activator();
    let effects = keep(&mut world, 4);
    assert_eq!((thawed(&effects).len(), started(&effects)), (2, 1));
    let thaw = effects.iter().position(|effect| matches!(effect, Effect::Thaw { .. }));
    let told = effects.iter().position(|effect| matches!(effect, Effect::Send { .. }));
    assert!(thaw < told, "it goes on before it is sent anything");
    assert_eq!(endpoints_sent(&effects, activator).map(|it| it.len()), Some(3));
    assert_eq!(world.state.statuses()[0].frozen, 0);
}

#[test]
fn a_probe_of_what_stands_still_says_nothing() {
    let (mut world, sidecars) = rested();
    let frozen = world.state.statuses()[0].instances.clone();
    for sidecar in &sidecars {
        world.instance_reports(*sidecar, stat(3, 0.0));
    }
    let status = world.state.statuses().remove(0);
    assert_eq!(status.frozen, 2);
    assert_eq!(status.instances.len(), frozen.len());
    let effects = keep(&mut world, 3);
    assert_eq!(thawed(&effects).len(), 2);
    assert_eq!(world.state.statuses()[0].ready, 0, "their sidecars said that they are not ready");
}

#[test]
fn a_restart_ends_what_rests_and_so_does_a_stop() {
    let (mut world, _) = rested();
    let effects = world.apply(Event::Restart(revision()));
    assert_eq!((stopped(&effects).len(), started(&effects)), (2, 1));
    let (mut world, _) = rested();
    let effects = world.apply(Event::Stop(StopMode::Drain));
    assert_eq!(stopped(&effects).len(), 3);
    for number in 1..=3 {
        let instance = instance(&format!("web-{number}"));
        world.apply(Event::InstanceEnded { instance, ending: ending() });
    }
    assert_eq!(world.state.started(), 0);
}
