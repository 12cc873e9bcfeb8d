//! The story: a controller that had just started decided at once for a request that waited, before
//! its reporters had told it of the instances that there were. It wanted one, of five that served,
//! and whoever followed it stopped four; what they reported a moment later it had no use for, as it
//! had decided already. And activators took its first list, in which nobody was, for the truth.

use tidegate_autoscaler::Timestamp;

use super::fixture::{Fixture, START, declaration, instance, revision, stat};
use super::{ReporterId, endpoints_sent};
use crate::declaration::Declaration;
use crate::event::{Effect, Event, ListScope, ServerMessage};
use crate::journal::DecisionRecord;
use crate::report::Report;
use crate::revision::told::WARM_UP_MS;

/// Instances that served before the controller started.
const INSTANCES: u64 = 5;

fn decided(effects: &[Effect]) -> Vec<(i32, Option<u32>)> {
    let records = effects.iter().filter_map(|effect| match effect {
        Effect::Decided(record) => Some(record),
        _ => None,
    });
    records
        .map(|record: &std::sync::Arc<DecisionRecord>| (record.replicas(), record.provisional))
        .collect()
}

fn scopes(effects: &[Effect]) -> Vec<(usize, ListScope)> {
    let lists = effects.iter().filter_map(|effect| match effect {
        Effect::Send { message: ServerMessage::Endpoints { endpoints, scope, .. }, .. } => {
            Some((endpoints.len(), *scope))
        }
        _ => None,
    });
    lists.collect()
}

/// An activator tells that it knows so many instances, and that so many requests wait.
fn activator_waits(
    world: &mut Fixture,
    activator: ReporterId,
    waiting: u32,
    known: u32,
) -> Vec<Effect> {
    let instances = vec![(revision(), known)];
    world.apply(Event::Known { reporter: activator, instances });
    world.activator_reports(activator, 1, waiting)
}

/// The past minute of an instance that had four requests at a time.
fn past(now: Timestamp) -> Vec<Report> {
    let each = |second: u64| {
        let end = now.as_millis() - 1_000 * (60 - i64::try_from(second).expect("small"));
        stat(second, 4.0).ready().in_flight(4).at(end).0
    };
    (1..=60).map(each).collect()
}

fn comes_back(world: &mut Fixture, number: u64) -> Vec<Effect> {
    let sidecar = world.sidecar(&format!("web-{number}"));
    let reports = past(world.now);
    world.apply(Event::Remembered { reporter: sidecar, reports })
}

/// Starts, hears of a request that waits, then of its instances, and learns.
fn restarted(declaration: Declaration, known: u32) -> (Fixture, Vec<Effect>) {
    let mut world = Fixture::remote(declaration);
    let activator = world.activator();
    let mut effects = activator_waits(&mut world, activator, 1, known);
    for number in 1..=INSTANCES {
        effects.extend(world.pass(200));
        effects.extend(comes_back(&mut world, number));
    }
    effects.extend(world.pass(WARM_UP_MS));
    (world, effects)
}

#[test]
fn what_an_activator_knows_stays_wanted_while_the_controller_learns() {
    let (_, effects) = restarted(declaration(5, "0"), 5);
    let decisions = decided(&effects);
    let (first, provisional) = decisions[0];
    assert_eq!((first, provisional), (5, Some(5)), "it decides at once");
    assert!(decisions.iter().all(|(wanted, _)| *wanted >= 5), "{decisions:?}");
}

#[test]
fn the_first_decision_says_that_it_may_be_for_too_few() {
    let (world, effects) = restarted(declaration(5, "0"), 0);
    let decisions = decided(&effects);
    assert_eq!(decisions[0], (1, Some(0)), "nobody has told of any instance");
    let (last, provisional) = *decisions.last().expect("it decides");
    assert_eq!(provisional, None, "once it has learned it says all that it wants");
    // Four requests at each of five instances of a target of 3.5: as if it had been there.
    assert_eq!(last, 6, "{decisions:?}");
    assert!(decisions.is_sorted(), "no decision on the way is for less: {decisions:?}");
    let record = world.state.decisions(&revision(), 1).expect("known").remove(0);
    assert!(!record.to_string().contains("just started"), "{record}");
}

#[test]
fn the_reason_of_a_provisional_decision_says_so() {
    let mut world = Fixture::remote(declaration(5, "0"));
    let activator = world.activator();
    let effects = activator_waits(&mut world, activator, 1, 1);
    let reason = effects.iter().find_map(|effect| match effect {
        Effect::Decided(record) => Some(record.to_string()),
        _ => None,
    });
    let reason = reason.expect("it decides");
    let expected =
        "The controller has just started and knows 1 instance so far, so none is stopped.";
    assert!(reason.ends_with(expected), "{reason}");
}

#[test]
fn more_is_wanted_at_once_for_all_that() {
    let mut world = Fixture::remote(declaration(1, "0"));
    let activator = world.activator();
    let effects = activator_waits(&mut world, activator, 9, 2);
    let (wanted, _) = decided(&effects)[0];
    assert!(wanted > 9, "nine wait, each for an instance: {wanted}");
}

#[test]
fn what_activators_claim_is_bounded_by_the_scale() {
    let mut declaration = declaration(5, "0");
    declaration.lifecycle.bounds.max = 3;
    let (_, effects) = restarted(declaration, 50);
    assert_eq!(decided(&effects)[0], (3, Some(50)));
}

#[test]
fn activators_keep_what_they_know_until_all_is_known() {
    let (mut world, effects) = restarted(declaration(5, "0"), 5);
    let lists = scopes(&effects);
    let (last, before) = lists.split_last().expect("lists are sent");
    assert!(before.iter().all(|(_, scope)| *scope == ListScope::Partial), "{lists:?}");
    assert_eq!(*last, (5, ListScope::Whole));
    let late = world.activator();
    let effects = world.apply(Event::InstanceFailed { instance: instance("web-1") });
    assert_eq!(endpoints_sent(&effects, late), None, "nothing has changed for it");
}

/// Instances that are gone are forgotten also where none has come back.
#[test]
fn an_empty_list_is_whole_in_the_end() {
    let mut world = Fixture::remote(declaration(5, "0"));
    let activator = world.activator();
    let effects = world.pass(WARM_UP_MS);
    assert_eq!(scopes(&effects), [(0, ListScope::Whole)]);
    assert_eq!(endpoints_sent(&effects, activator), Some(vec![]));
    assert_eq!(world.now, START.plus_millis(WARM_UP_MS));
}
