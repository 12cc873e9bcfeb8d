//! Reporters have to prove their identity. The newest hello once won: a client that used the name
//! of an instance, and `shop-1` is easy to guess, was sent its requests, and a report of 2^32-1
//! waiting requests scaled a revision to three thousand instances.

use std::sync::Arc;

use super::endpoints_sent;
use super::fixture::{Fixture, declaration, instance, stat};
use crate::event::{Effect, Event, StreamRefusal};
use crate::identity::ReporterId;

const OURS: &str = "127.0.0.1:8012";
const THEIRS: &str = "127.0.0.1:6666";

fn refusal(effects: &[Effect], of: ReporterId) -> Option<StreamRefusal> {
    effects.iter().find_map(|effect| match effect {
        Effect::Refuse { reporter, refusal } if *reporter == of => Some(refusal.clone()),
        _ => None,
    })
}

#[test]
fn a_name_in_use_is_not_taken_over() {
    let mut world = Fixture::remote(declaration(10, "0"));
    let activator = world.activator();
    let (honest, _) = world.connect_with("web-1", OURS, 1);
    world.instance_reports(honest, stat(1, 1.0).ready().in_flight(1));
    let (thief, effects) = world.connect_with("web-1", THEIRS, 2);
    assert_eq!(refusal(&effects, thief), Some(StreamRefusal::NameInUse(instance("web-1"))));
    assert_eq!(endpoints_sent(&effects, activator), None);
    // Its further messages are dropped, and its end changes nothing.
    world.instance_reports(thief, stat(9, 50.0).in_flight(50));
    world.apply(Event::Disconnected { reporter: thief });
    let status = world.state.statuses().remove(0);
    assert_eq!((status.ready, status.in_flight), (1, 1));
    // A hello without a token proves nothing either.
    let effects = world.connect("web", "web-1");
    assert!(
        matches!(refusal(&effects, ReporterId(4)), Some(StreamRefusal::NameInUse(_))),
        "{effects:?}"
    );
}

#[test]
fn the_same_reporter_is_back_at_once_though_half_its_old_stream_is_left() {
    let mut world = Fixture::remote(declaration(10, "0"));
    let (before, _) = world.connect_with("web-1", OURS, 1);
    world.instance_reports(before, stat(1, 1.0).ready().in_flight(1));
    let (after, effects) = world.connect_with("web-1", OURS, 1);
    assert_eq!(refusal(&effects, after), None);
    assert_eq!(refusal(&effects, before), Some(StreamRefusal::Replaced));
    world.instance_reports(after, stat(2, 1.0).ready().in_flight(3));
    world.instance_reports(before, stat(3, 1.0).in_flight(9));
    world.apply(Event::Disconnected { reporter: before });
    let status = world.state.statuses().remove(0);
    assert_eq!((status.ready, status.in_flight), (1, 3));
}

#[test]
fn a_name_is_free_once_its_stream_has_ended() {
    let mut world = Fixture::remote(declaration(10, "0"));
    let (first, _) = world.connect_with("web-1", OURS, 1);
    world.apply(Event::Disconnected { reporter: first });
    let (second, effects) = world.connect_with("web-1", THEIRS, 2);
    assert_eq!(refusal(&effects, second), None);
}

#[test]
fn what_we_started_is_where_we_started_it() {
    let mut world = Fixture::local(declaration(0, "1"));
    let (name, address) = (instance("web-1"), Arc::from(OURS));
    world.apply(Event::InstanceLaunched { instance: name, address });
    let (thief, effects) = world.connect_with("web-1", THEIRS, 1);
    let refused = refusal(&effects, thief);
    assert!(matches!(refused, Some(StreamRefusal::NotWhereItWasStarted { .. })), "{refused:?}");
    let (thief, effects) = world.connect_with("rogue-1", OURS, 1);
    assert!(matches!(refusal(&effects, thief), Some(StreamRefusal::NoInstance { .. })));
    let (ours, effects) = world.connect_with("web-1", OURS, 1);
    assert_eq!(refusal(&effects, ours), None);
}

#[test]
fn nobody_has_more_wanted_than_it_can_hold() {
    let mut world = Fixture::remote(declaration(10, "0"));
    let (liar, _) = world.connect_with("web-1", OURS, 1);
    for second in 0..10 {
        let mut report = stat(second + 1, 1e9).ready().in_flight(u32::MAX);
        report.0.waiting = u32::MAX;
        world.instance_reports(liar, report);
        world.pass(1_000);
    }
    let status = world.state.statuses().remove(0);
    // A limit of 10 and a queue of 100, at 7 requests each.
    assert_eq!((status.waiting, status.in_flight), (100, 110));
    assert!(status.desired <= 16, "{} wanted", status.desired);
}
