//! What an instance's sidecar cannot see of its readiness, and apps with a port of their own.

use super::fixture::{Fixture, declaration, ending, instance, revision, stat};
use super::{notices, started, stopped};
use crate::declaration::{Launch, Readiness};
use crate::event::{Effect, Event, ServerMessage};
use crate::instance::Proof;
use crate::notice::Notice;

fn launched(launch: impl FnOnce(&mut Launch)) -> Fixture {
    let mut of = Launch::new(vec!["app".into()]);
    launch(&mut of);
    let mut declared = declaration(1, "1");
    declared.launch = Some(of.into());
    Fixture::declared(declared)
}

fn prove(world: &mut Fixture, name: &str, proof: Proof) -> Vec<Effect> {
    world.apply(Event::InstanceProved { instance: instance(name), proof })
}

/// How many endpoints activators were told last.
fn told(effects: &[Effect]) -> Option<usize> {
    effects.iter().rev().find_map(|effect| match effect {
        Effect::Send { message: ServerMessage::Endpoints { endpoints, .. }, .. } => {
            Some(endpoints.len())
        }
        _ => None,
    })
}

fn is_ready(effects: &[Effect]) -> bool {
    notices(effects).iter().any(|notice| matches!(notice, Notice::Ready { .. }))
}

#[test]
fn an_instance_takes_requests_once_both_have_said_so() {
    for sidecar_first in [true, false] {
        let mut world = launched(|launch| launch.readiness = Readiness::Exec(vec!["check".into()]));
        world.activator();
        let sidecar = world.sidecar("web-1");
        world.pass(1_000);
        let (first, second) = match sidecar_first {
            true => {
                let first = world.instance_reports(sidecar, stat(1, 0.0).limit(3).ready());
                (first, prove(&mut world, "web-1", Proof::Given))
            }
            false => {
                let first = prove(&mut world, "web-1", Proof::Given);
                (first, world.instance_reports(sidecar, stat(1, 0.0).limit(3).ready()))
            }
        };
        assert!(!is_ready(&first) && told(&first).is_none());
        assert!(is_ready(&second));
        assert_eq!(told(&second), Some(1));
        world.recount();
        // It is taken back, and given again.
        world.pass(1_000);
        assert_eq!(told(&prove(&mut world, "web-1", Proof::Missing)), Some(0));
        assert_eq!(world.state.statuses()[0].ready, 0);
        world.pass(1_000);
        let reported = world.instance_reports(sidecar, stat(2, 0.0).ready());
        assert_eq!(told(&reported), None, "its sidecar sees no difference");
        assert_eq!(told(&prove(&mut world, "web-1", Proof::Given)), Some(1));
        world.recount();
    }
}

#[test]
fn a_proof_does_not_wake_what_drains_or_has_failed() {
    let mut world = launched(|launch| launch.readiness = Readiness::LogLine("ready".into()));
    let sidecar = world.sidecar("web-1");
    world.instance_reports(sidecar, stat(1, 0.0).ready());
    world.apply(Event::InstanceFailed { instance: instance("web-1") });
    assert!(!is_ready(&prove(&mut world, "web-1", Proof::Given)));
    assert_eq!(world.state.statuses()[0].ready, 0);
    assert!(prove(&mut world, "web-7", Proof::Given).is_empty(), "there is none of this name");
}

#[test]
fn with_a_port_of_its_own_the_next_one_starts_when_the_last_process_has_ended() {
    let mut world = launched(|launch| launch.port = Some(5432));
    let sidecar = world.sidecar("web-1");
    world.instance_reports(sidecar, stat(1, 0.0).ready());
    let effects = world.apply(Event::Restart(revision()));
    assert_eq!((started(&effects), stopped(&effects).len()), (0, 1), "the old one first");
    assert!(!is_restarted(&effects));
    let later = world.run_for(5, |_, _| {});
    assert_eq!(started(&later), 0, "it drains");
    let ended = Event::InstanceEnded { instance: instance("web-1"), ending: ending() };
    let effects = world.apply(ended);
    assert_eq!(started(&effects), 1);
    assert!(!is_restarted(&effects), "the new one is to be ready first");
    let sidecar = world.sidecar("web-2");
    let effects = world.instance_reports(sidecar, stat(1, 0.0).ready());
    assert!(is_restarted(&effects) && started(&effects) == 0);
    world.recount();
}

fn is_restarted(effects: &[Effect]) -> bool {
    notices(effects).iter().any(|notice| matches!(notice, Notice::Restarted { .. }))
}
