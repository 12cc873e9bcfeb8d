//! Every bound has its multiplier: what is kept of each revision is bounded for all of them
//! together.

use super::fixture::{Fixture, instance, stat};
use crate::event::{Effect, Event, StreamRefusal};
use crate::identity::RevisionId;
use crate::journal::{DECISIONS_MAX, DecisionRecord};
use crate::state::Limits;

/// The size of a kept decision in `docs/controller.md`, in bytes.
const RECORD_BYTES: usize = 1_536;

#[test]
fn decisions_are_bounded_in_all_and_each_revision_keeps_its_last() {
    const REVISIONS: usize = 10;
    const MOST: usize = 100;
    let mut world = Fixture::adopting();
    world.state.limits.decisions = MOST;
    world.connect("early", "early-1");
    world.pass(4_000);
    for number in 0..REVISIONS {
        world.connect(&format!("r-{number}"), &format!("i-{number}"));
    }
    // A decision every two seconds of each is more than may be kept of all.
    world.run_for(60, |_, _| {});
    let kept = |world: &Fixture| -> usize {
        world.state.revisions.values().map(|revision| revision.journal.len()).sum()
    };
    let apart = REVISIONS + 1;
    assert!((MOST..=MOST + apart).contains(&kept(&world)), "{}", kept(&world));
    let early = RevisionId::new("default", "early").expect("valid");
    let last = world.state.decisions(&early, DECISIONS_MAX).expect("it is known");
    assert!(!last.is_empty(), "what was decided last is told however long ago it was");
    assert!(size_of::<DecisionRecord>() <= RECORD_BYTES, "{}", size_of::<DecisionRecord>());
    world.recount();
}

#[test]
fn the_past_is_bounded_in_all_until_it_is_used() {
    const MOST: usize = 10_000;
    let mut world = Fixture::adopting();
    world.state.limits.history_seconds = MOST;
    let mut held = 0;
    for number in 0..4 {
        let effects = world.connect(&format!("r-{number}"), &format!("i-{number}"));
        let reporter = effects.iter().find_map(|effect| match effect {
            Effect::Send { reporter, .. } => Some(*reporter),
            _ => None,
        });
        let reports = (1..=60).map(|minute| {
            let mut report = stat(minute, 1.0);
            report.0.length_ms = 60_000;
            let age_ms = i64::try_from(60 - minute).expect("small") * 60_000;
            report.at(world.now.as_millis() - age_ms).0
        });
        let (reporter, reports) = (reporter.expect("it is welcome"), reports.collect());
        world.apply(Event::Remembered { reporter, reports });
        held = world.state.history_seconds;
        assert!(held <= MOST, "{held}");
    }
    assert!(held > MOST - 100, "{held}");
    world.recount();
    world.pass(3_000);
    assert_eq!(world.state.history_seconds, 0, "it is given up with the first decision");
}

#[test]
fn one_stream_and_one_instance_too_many_are_refused() {
    let mut world = Fixture::adopting();
    let limits =
        Limits { instances_per_revision: 5, reporters: 8, instances: 8, ..Limits::default() };
    world.state.limits = limits;
    let refused = |effects: &[Effect]| {
        effects.iter().find_map(|effect| match effect {
            Effect::Refuse { refusal: StreamRefusal::Full { what, .. }, .. } => Some(*what),
            _ => None,
        })
    };
    for number in 0..limits.instances_per_revision {
        assert_eq!(refused(&world.connect("one", &format!("a-{number}"))), None);
    }
    assert_eq!(refused(&world.connect("one", "a-more")), Some("instances of this revision"));
    for number in limits.instances_per_revision..limits.reporters {
        assert_eq!(refused(&world.connect("two", &format!("b-{number}"))), None);
    }
    assert_eq!(refused(&world.connect("two", "b-more")), Some("streams"));
    // Instances whose stream broke still count, so a disconnect frees no room.
    let reporter = world.sidecars[0];
    world.apply(Event::Disconnected { reporter });
    assert_eq!(refused(&world.connect("two", "c-more")), Some("instances"));
    assert_eq!(refused(&world.connect("one", "a-0")), None, "one that is known may come back");
    assert!(world.state.statuses().iter().any(|s| s.instances[0].name == instance("a-0")));
}
