//! A revision whose place another one takes: what it has is finished, nothing new is started, and
//! it can be forgotten without anything being cut off.

use super::fixture::{Fixture, declaration, ending, instance, revision};
use super::*;

#[test]
fn a_retired_revision_drains_and_starts_nothing_more() {
    let mut world = Fixture::local(declaration(1, "2"));
    let activator = world.activator();
    let effects = world.apply(Event::Retire(revision()));
    let both = ["web-1", "web-2"].map(|name| (name.to_owned(), StopMode::Drain));
    assert_eq!(stopped(&effects), both);
    // It is said of each, as of those that are not needed.
    assert_eq!(notices(&effects).len(), 2);
    let late = world.activator_reports(activator, 1, 3);
    assert_eq!(started(&late), 0, "requests go elsewhere");
    for name in ["web-1", "web-2"] {
        let ended = Event::InstanceEnded { instance: instance(name), ending: ending() };
        let effects = world.apply(ended);
        assert_eq!(notices(&effects), [Notice::Stopped { instance: instance(name) }]);
    }
    let status = world.state.statuses().pop().expect("it is known");
    assert_eq!((status.ready, status.starting, status.draining), (0, 0, 0));
    world.apply(Event::Undeclare(revision()));
    assert!(world.state.statuses().is_empty());
    world.recount();
}

#[test]
fn a_retired_revision_that_is_declared_again_is_wanted_again() {
    let mut world = Fixture::local(declaration(1, "0"));
    let activator = world.activator();
    world.apply(Event::Retire(revision()));
    let launch = Some(crate::Launch::new(vec!["app".into()]).into());
    world.apply(Event::Declare(Box::new(Declaration { launch, ..declaration(1, "0") })));
    assert!(started(&world.activator_reports(activator, 1, 3)) > 0);
}

/// Its instances were told to drain, and nobody told them that the end was to be quicker: a second
/// Ctrl-C waited for them.
#[test]
fn the_end_reaches_what_drains_for_a_revision_that_is_forgotten() {
    let mut world = Fixture::local(declaration(1, "1"));
    world.apply(Event::Undeclare(revision()));
    let effects = world.apply(Event::Stop(StopMode::Kill));
    assert_eq!(stopped(&effects), [("web-1".to_owned(), StopMode::Kill)]);
    assert!(!notices(&effects).contains(&Notice::AllStopped));
    let ended = Event::InstanceEnded { instance: instance("web-1"), ending: ending() };
    assert_eq!(notices(&world.apply(ended)), [Notice::AllStopped]);
}
