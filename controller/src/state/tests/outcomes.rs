//! What became of requests is added up by revision, once and only while it is news.

use tidegate_rollout::Outcomes;

use super::fixture::{Fixture, declaration, revision};
use crate::event::Event;
use crate::report::Report;

fn report(sequence: u64, finished: u64, failed: u64) -> Report {
    let mut outcomes = Outcomes::default();
    outcomes.count(finished, failed);
    outcomes.took(20_000, finished);
    Report { sequence, outcomes, ..Report::of_concurrency(1.0, 1_000) }
}

#[test]
fn live_reports_of_instances_and_activators_are_added_up() {
    let mut world = Fixture::remote(declaration(10, "0"));
    let (one, two) = (world.sidecar("web-1"), world.sidecar("web-2"));
    let door = world.activator();
    for (reporter, finished, failed) in [(one, 100, 1), (two, 50, 2), (door, 3, 3)] {
        let report = Report { revision: Some(revision()), ..report(1, finished, failed) };
        world.apply(Event::Reported { reporter, report });
    }
    // What was remembered while nobody listened is the past.
    let reports = vec![report(2, 1_000, 1_000)];
    world.apply(Event::Remembered { reporter: one, reports });
    let outcomes = world.state.outcomes(&revision()).expect("it is declared");
    assert_eq!((outcomes.finished(), outcomes.failed(), outcomes.timed()), (153, 6, 153));
    // An instance that goes takes nothing with it.
    world.apply(Event::Disconnected { reporter: two });
    assert_eq!(world.state.outcomes(&revision()), Some(outcomes));
}
