//! A revision that is undeclared leaves nothing behind.

use super::fixture::{Fixture, declaration, instance, revision, stat};
use crate::declaration::ActivatorPorts;
use crate::event::{Effect, Event, ServerMessage, StopMode, StreamRefusal};

#[test]
fn it_is_forgotten_with_all_that_was_its() {
    let mut world = Fixture::remote(declaration(10, "0"));
    let activator = world.activator();
    let sidecar = world.sidecar("web-1");
    world.run_for(20, |world, second| {
        world.instance_reports(sidecar, stat(second + 1, 3.0).ready().in_flight(3));
    });
    assert!(!world.state.decided.is_empty());
    let effects = world.apply(Event::Undeclare(revision()));
    let told: Vec<&ServerMessage> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Send { reporter, message } if *reporter == activator => Some(message),
            _ => None,
        })
        .collect();
    assert!(
        told.iter().any(|message| matches!(
            message,
            ServerMessage::Endpoints { endpoints, .. } if endpoints.is_empty()
        )),
        "{told:?}"
    );
    assert!(
        told.iter().any(|message| matches!(
            message,
            ServerMessage::ListenPorts { ports, .. } if **ports == ActivatorPorts::default()
        )),
        "{told:?}"
    );
    let last = ServerMessage::Undeclared { revision: revision() };
    assert_eq!(told.last(), Some(&&last), "{told:?}");
    let refused = effects.iter().any(|effect| {
        let refusal = StreamRefusal::Undeclared(revision());
        matches!(effect, Effect::Refuse { reporter, refusal: why }
            if *reporter == sidecar && *why == refusal)
    });
    assert!(refused, "{effects:?}");
    world.recount();
    assert!(world.state.statuses().is_empty());
    assert!(world.state.decisions(&revision(), 10).is_none());
    assert!(world.state.decided.is_empty());
    assert_eq!((world.state.instances, world.state.history_seconds), (0, 0));
    // What its reporters still say, and what was due, is about nothing.
    world.instance_reports(sidecar, stat(21, 3.0).ready());
    world.apply(Event::Disconnected { reporter: sidecar });
    world.pass(10_000);
    assert_eq!(world.state.next_due(), None);
    // It can be declared again, and begins anew.
    world.apply(Event::Declare(Box::new(declaration(10, "0"))));
    let sidecar = world.sidecar("web-1");
    world.run_for(20, |world, second| {
        world.instance_reports(sidecar, stat(second + 1, 3.0).ready().in_flight(3));
    });
    assert!(world.state.decisions(&revision(), 10).is_some_and(|all| all.len() > 2));
    world.recount();
}

#[test]
fn what_was_started_is_drained_and_counts_until_it_has_ended() {
    let mut world = Fixture::local(declaration(0, "2"));
    let effects = world.apply(Event::Undeclare(revision()));
    let drained = effects
        .iter()
        .filter(|effect| matches!(effect, Effect::Stop { mode: StopMode::Drain, .. }))
        .count();
    assert_eq!((drained, world.state.started()), (2, 2));
    for name in ["web-1", "web-2"] {
        let (instance, ending) = (instance(name), super::fixture::ending());
        world.apply(Event::InstanceEnded { instance, ending });
    }
    assert_eq!(world.state.started(), 0);
    world.recount();
}

#[test]
fn one_that_was_never_declared_is_none() {
    let mut world = Fixture::remote(declaration(10, "0"));
    let other = crate::identity::RevisionId::new("default", "other").expect("valid");
    assert!(world.apply(Event::Undeclare(other)).is_empty());
    assert_eq!(world.state.statuses().len(), 1);
}
