//! What those see who look each second: the same as everybody, at the cost of a few numbers.

use super::fixture::{Fixture, declaration, revision, stat};
use crate::identity::RevisionId;
use crate::overview::DetailQuery;

const ALL: DetailQuery = DetailQuery { after: 0, decisions_max: 1_000, instances_max: 1_000 };

fn busy() -> Fixture {
    let mut world = Fixture::local(declaration(10, "3"));
    let sidecars = ["web-1", "web-2", "web-3"].map(|name| world.sidecar(name));
    world.run_for(30, |world, second| {
        for sidecar in sidecars {
            world.instance_reports(sidecar, stat(second + 1, 9.0).ready().in_flight(9));
        }
    });
    world
}

#[test]
fn an_overview_says_what_the_status_says() {
    let world = busy();
    let (status, overviews) = (&world.state.statuses()[0], world.state.overviews());
    let [overview] = &overviews[..] else { panic!("one revision: {overviews:?}") };
    assert_eq!(overview.revision, status.revision);
    assert_eq!(
        (overview.desired, overview.ready, overview.starting, overview.draining),
        (status.desired, status.ready, status.starting, status.draining)
    );
    assert_eq!((overview.waiting, overview.in_flight), (status.waiting, status.in_flight));
    assert_eq!(overview.in_panic, status.in_panic);
    let windows = overview.windows.expect("it has decided");
    assert_eq!(
        (windows.stable, windows.panic),
        (status.stable_concurrency, status.panic_concurrency)
    );
    assert_eq!((windows.target, overview.container_concurrency), (7.0, 10));
    assert!(overview.decisions >= 15, "{}", overview.decisions);
}

#[test]
fn looking_walks_over_no_instances() {
    let world = busy();
    let read = || world.state.revisions[&revision()].instances.full_scans();
    let before = read();
    assert_eq!(world.state.overviews().len(), 1);
    assert_eq!(read(), before);
}

#[test]
fn decisions_are_told_once_and_the_newest_when_there_are_too_many() {
    let mut world = busy();
    let detail = world.state.detail(&revision(), ALL).expect("it is known");
    let numbers: Vec<u64> = detail.decisions.iter().map(|(number, _)| *number).collect();
    let newest = detail.overview.decisions;
    assert_eq!(numbers, (1..=newest).rev().collect::<Vec<_>>());
    assert_eq!(detail.instances, world.state.statuses()[0].instances);
    let again = world.state.detail(&revision(), DetailQuery { after: newest, ..ALL });
    assert!(again.expect("it is known").decisions.is_empty());
    world.run_for(5, |_, _| {});
    let few = DetailQuery { after: 0, decisions_max: 2, instances_max: 1 };
    let detail = world.state.detail(&revision(), few).expect("it is known");
    let numbers: Vec<u64> = detail.decisions.iter().map(|(number, _)| *number).collect();
    let newest = detail.overview.decisions;
    assert_eq!((numbers, detail.instances.len()), (vec![newest, newest - 1], 1));
    let unknown = RevisionId::new("default", "unknown").expect("valid");
    assert!(world.state.detail(&unknown, ALL).is_none());
}
