//! What a person orders: a restart that never leaves fewer instances ready than were, and other
//! bounds than were declared, for a while.

use tidegate_autoscaler::settings::ScaleBounds;

use super::fixture::{Fixture, declaration, ending, instance, revision, stat};
use super::{notices, started, stopped};
use crate::event::{Effect, Event};
use crate::identity::ReporterId;
use crate::notice::Notice;
use crate::pin::Pin;

/// A revision with so many ready instances, which a person wants to stay that many.
fn ready(count: i32) -> (Fixture, Vec<ReporterId>) {
    let mut world = Fixture::local(declaration(1, "1"));
    pin(&mut world, count, None);
    let sidecars = (1..=count).map(|number| become_ready(&mut world, number)).collect();
    (world, sidecars)
}

fn pin(world: &mut Fixture, count: i32, for_ms: Option<u64>) -> Vec<Effect> {
    let bounds = ScaleBounds { min: count, max: count };
    world.apply(Event::Pin { revision: revision(), pin: Some(Pin { bounds, for_ms }) })
}

fn become_ready(world: &mut Fixture, number: i32) -> ReporterId {
    let sidecar = world.sidecar(&format!("web-{number}"));
    world.instance_reports(sidecar, stat(1, 0.0).ready());
    sidecar
}

/// What follows when a new instance becomes ready, and the old one that goes for it has ended.
fn replaced(world: &mut Fixture, number: i32) -> (Vec<String>, Vec<Effect>) {
    let sidecar = world.sidecar(&format!("web-{number}"));
    let mut effects = world.instance_reports(sidecar, stat(1, 0.0).ready());
    let gone: Vec<String> = stopped(&effects).into_iter().map(|(name, _)| name).collect();
    for name in &gone {
        let instance = instance(name);
        effects.extend(world.apply(Event::InstanceEnded { instance, ending: ending() }));
    }
    (gone, effects)
}

fn is_restarted(effects: &[Effect]) -> bool {
    notices(effects).iter().any(|notice| matches!(notice, Notice::Restarted { .. }))
}

#[test]
fn a_restart_starts_a_new_instance_before_it_stops_an_old_one() {
    let (mut world, _) = ready(2);
    let effects = world.apply(Event::Restart(revision()));
    assert_eq!((started(&effects), stopped(&effects).len()), (1, 0), "a new one first");
    assert_eq!(world.state.statuses()[0].outdated, 2);
    world.run_for(5, |_, _| {});
    let (first, effects) = replaced(&mut world, 3);
    assert_eq!((first.len(), started(&effects)), (1, 1), "one goes, and the next one comes");
    assert!(!is_restarted(&effects));
    let (second, effects) = replaced(&mut world, 4);
    assert_eq!((second.len(), started(&effects)), (1, 0));
    assert!(is_restarted(&effects));
    let mut gone = [first, second].concat();
    gone.sort();
    assert_eq!(gone, ["web-1", "web-2"]);
    let status = world.state.statuses().remove(0);
    assert_eq!((status.ready, status.outdated), (2, 0));
    world.recount();
}

#[test]
fn a_new_instance_that_fails_leaves_the_old_ones_where_they_are() {
    let (mut world, _) = ready(1);
    world.apply(Event::Restart(revision()));
    let failed = instance("web-2");
    let effects = world.apply(Event::InstanceEnded { instance: failed, ending: ending() });
    assert!(stopped(&effects).is_empty());
    let later = world.run_for(3, |_, _| {});
    assert_eq!(started(&effects) + started(&later), 1, "it is tried again");
    assert!(stopped(&later).is_empty());
    assert_eq!(world.state.statuses()[0].ready, 1);
}

#[test]
fn a_restart_of_what_is_at_zero_is_over_at_once() {
    let mut world = Fixture::local(declaration(1, "0"));
    let effects = world.apply(Event::Restart(revision()));
    assert!(is_restarted(&effects) && started(&effects) == 0);
}

#[test]
fn a_number_holds_for_its_time_and_then_what_was_declared_does() {
    let mut world = Fixture::local(declaration(1, "0"));
    world.run_for(5, |_, _| {});
    let effects = pin(&mut world, 3, Some(10_000));
    assert_eq!(started(&effects), 3, "at once, from rest");
    let why = &world.state.statuses()[0].last_reason;
    let (_, by_hand) = why.split_once(" By hand").expect("it is said");
    assert!(
        include_str!("../../../../docs/explain.md").contains(&format!(" | By hand{by_hand} |"))
    );
    let sidecars: Vec<ReporterId> = (1..=3).map(|n| become_ready(&mut world, n)).collect();
    assert_eq!(world.state.statuses()[0].pinned.expect("it is").bounds.min, 3);
    let idle = |world: &mut Fixture, second: u64| {
        for sidecar in &sidecars {
            world.instance_reports(*sidecar, stat(second + 2, 0.0).ready());
        }
    };
    let effects = world.run_for(9, idle);
    assert!(stopped(&effects).is_empty(), "it is kept");
    let effects = world.run_for(300, |world, second| idle(world, second + 9));
    let is_over = |notice: &Notice| matches!(notice, Notice::Unpinned { .. });
    assert_eq!(notices(&effects).iter().filter(|notice| is_over(notice)).count(), 1);
    assert_eq!(stopped(&effects).len(), 3, "idle, it goes to zero");
    assert_eq!(world.state.statuses()[0].pinned, None);
}

#[test]
fn what_is_taken_back_holds_no_more() {
    let (mut world, _) = ready(4);
    let effects = pin(&mut world, 2, None);
    assert_eq!(stopped(&effects).len(), 2);
    let effects = world.apply(Event::Pin { revision: revision(), pin: None });
    assert!(matches!(notices(&effects).first(), Some(Notice::Unpinned { .. })));
    assert!(notices(&world.apply(Event::Pin { revision: revision(), pin: None })).is_empty());
}
