//! Starts in turns: never more at a time than were allowed, the next one as soon as there is room,
//! and nobody waits for ever behind somebody who wants many.

use tidegate_autoscaler::StartPace;
use tidegate_autoscaler::settings::ScaleBounds;

use super::fixture::{Fixture, declaration, ending, instance, revision, stat};
use super::started;
use crate::declaration::{Declaration, Launch};
use crate::event::{Effect, Event};
use crate::identity::RevisionId;
use crate::pin::Pin;
use crate::state::{State, UndeclaredRevisions};

const TURN_MS: u64 = 2_000;

/// A controller that lets two start at a time.
fn world() -> Fixture {
    let mut state = State::new(UndeclaredRevisions::Refuse);
    state.pace_starts(StartPace { at_once: 2, turn_ms: TURN_MS });
    Fixture::of(state)
}

/// Declares a revision, and wants so many instances of it.
fn want(world: &mut Fixture, id: &RevisionId, count: i32) -> Vec<Effect> {
    let launch = Some(Launch::new(vec!["app".into()]).into());
    let declaration = Declaration { id: id.clone(), launch, ..declaration(1, "0") };
    world.apply(Event::Declare(Box::new(declaration)));
    let bounds = ScaleBounds { min: count, max: count };
    world.apply(Event::Pin { revision: id.clone(), pin: Some(Pin { bounds, for_ms: None }) })
}

fn names(effects: &[Effect]) -> Vec<String> {
    let starts = effects.iter().filter_map(|effect| match effect {
        Effect::Start { instance, .. } => Some(instance.to_string()),
        _ => None,
    });
    starts.collect()
}

fn become_ready(world: &mut Fixture, revision: &str, name: &str) -> Vec<Effect> {
    let mut effects = world.connect(revision, name);
    let sidecar = *world.sidecars.last().expect("just connected");
    effects.extend(world.instance_reports(sidecar, stat(1, 0.0).ready()));
    effects
}

#[test]
fn the_next_one_starts_when_one_is_ready_or_has_failed() {
    let mut world = world();
    let effects = want(&mut world, &revision(), 5);
    assert_eq!(names(&effects), ["web-1", "web-2"]);
    assert_eq!(started(&world.pass(TURN_MS / 2)), 0);
    assert_eq!(names(&become_ready(&mut world, "web", "web-2")), ["web-3"]);
    let failed = Event::InstanceEnded { instance: instance("web-1"), ending: ending() };
    let mut effects = world.apply(failed);
    effects.extend(world.pass(500));
    assert_eq!(names(&effects), ["web-4"], "after the pause that follows a failure");
    assert_eq!(names(&become_ready(&mut world, "web", "web-3")), ["web-5"]);
    world.recount();
}

#[test]
fn an_app_that_takes_long_holds_up_the_others_for_a_turn_only() {
    let mut world = world();
    want(&mut world, &revision(), 6);
    assert_eq!(names(&world.pass(TURN_MS)), ["web-3", "web-4"]);
    assert_eq!(names(&world.pass(TURN_MS)), ["web-5", "web-6"]);
    assert_eq!(started(&world.pass(TURN_MS * 5)), 0);
}

#[test]
fn what_mostly_waits_holds_up_nobody() {
    let mut world = world();
    want(&mut world, &revision(), 6);
    assert_eq!(names(&world.apply(Event::Slack { starts: 1 })), ["web-3"]);
    assert_eq!(names(&world.apply(Event::Slack { starts: 9 })), ["web-4", "web-5"]);
    assert_eq!(names(&world.apply(Event::Slack { starts: 9 })), ["web-6"]);
    assert_eq!(started(&world.apply(Event::Slack { starts: 9 })), 0);
}

#[test]
fn revisions_take_turns() {
    let mut world = world();
    let other = RevisionId::new("default", "api").expect("valid");
    assert_eq!(names(&want(&mut world, &revision(), 50)), ["web-1", "web-2"]);
    assert_eq!(started(&want(&mut world, &other, 1)), 0);
    assert_eq!(names(&become_ready(&mut world, "web", "web-1")), ["web-3"]);
    assert_eq!(names(&become_ready(&mut world, "web", "web-2")), ["api-1"]);
    assert_eq!(names(&become_ready(&mut world, "web", "web-3")), ["web-4"]);
}

#[test]
fn what_is_not_wanted_any_more_waits_no_more() {
    let mut world = world();
    want(&mut world, &revision(), 5);
    world.apply(Event::Undeclare(revision()));
    let other = RevisionId::new("default", "api").expect("valid");
    assert_eq!(names(&want(&mut world, &other, 2)), ["api-1", "api-2"]);
}
