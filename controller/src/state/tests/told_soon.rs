//! Instances of a burst that become ready one after the other. Activators were told of the first at
//! once and of the others up to 100 ms later, however few they were, while requests waited: in a
//! recording of five instances from zero, three had nothing to do for a tenth of a second. While a
//! controller that was started again waited for its reporters' past, which takes seconds, it told
//! nobody.

use super::fixture::{Fixture, declaration, stat};
use crate::event::{Effect, ServerMessage};
use crate::revision::PUSH_GAP_MAX_MS;

/// Lengths of the lists that one activator is told.
fn told(effects: &[Effect]) -> Vec<usize> {
    let length = |effect: &Effect| match effect {
        Effect::Send { message: ServerMessage::Endpoints { endpoints, .. }, .. } => {
            Some(endpoints.len())
        }
        _ => None,
    };
    effects.iter().filter_map(length).collect()
}

#[test]
fn a_few_instances_are_told_of_as_they_become_ready() {
    let mut world = Fixture::remote(declaration(10, "0"));
    world.activator();
    let streams: Vec<_> = (0..5).map(|number| world.sidecar(&format!("w-{number}"))).collect();
    world.pass(10);
    for (ready, stream) in (1..).zip(streams) {
        let mut lists = told(&world.instance_reports(stream, stat(1, 1.0).ready()));
        lists.extend(told(&world.pass(2)));
        assert_eq!(lists, [ready], "two milliseconds after it became ready");
    }
}

#[test]
fn a_long_list_still_waits_for_its_fellows() {
    let mut world = Fixture::remote(declaration(10, "0"));
    world.activator();
    let streams: Vec<_> = (0..4_000).map(|number| world.sidecar(&format!("w-{number}"))).collect();
    for stream in &streams[..3_990] {
        world.instance_reports(*stream, stat(1, 1.0).ready());
    }
    world.pass(PUSH_GAP_MAX_MS);
    let mut lists = Vec::new();
    for stream in &streams[3_990..] {
        lists.extend(told(&world.instance_reports(*stream, stat(1, 1.0).ready())));
        lists.extend(told(&world.pass(5)));
    }
    assert!(lists.len() <= 1, "{lists:?} within 50 ms");
    lists.extend(told(&world.pass(PUSH_GAP_MAX_MS)));
    assert_eq!(lists, [3_991, 4_000]);
    world.recount();
}
