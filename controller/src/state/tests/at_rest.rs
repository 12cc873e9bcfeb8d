//! The story: in Knative nobody reports a revision that has neither requests nor instances, so that
//! the first second after a rest counts alone. Activators of ours report every second whatever they
//! hold. The simulator once took such reports for seconds without load, and a burst after a rest
//! was averaged with a minute of nothing.
//!
//! The controller does not: what activators say of a revision at rest is recorded nowhere, and
//! nothing is decided meanwhile.

use tidegate_autoscaler::explain::Detail;

use super::fixture::{Fixture, declaration};
use crate::event::Effect;

/// Longer than the stable window, and than it takes to come to nothing.
const REST_S: u64 = 150;

#[test]
fn the_first_report_after_a_rest_counts_alone() {
    let mut world = Fixture::remote(declaration(5, "0"));
    let activator = world.activator();
    world.pass(3_000);
    world.activator_reports(activator, 1, 2);
    let mut sequence = 1;
    let mut report = |world: &mut Fixture, waiting| {
        sequence += 1;
        world.activator_reports(activator, sequence, waiting)
    };
    world.run_for(REST_S, |world, _| drop(report(world, 0)));
    let effects = world.run_for(REST_S, |world, _| drop(report(world, 0)));
    let decided = |effect: &&Effect| matches!(effect, Effect::Decided(_));
    assert_eq!(effects.iter().filter(decided).count(), 0, "nothing is decided at rest");

    let effects = report(&mut world, 60);
    let record = effects.iter().find_map(|effect| match effect {
        Effect::Decided(record) => Some(record),
        _ => None,
    });
    let record = record.expect("what waits is decided about at once");
    let Detail::Knative(trace) = &record.explanation.detail else { panic!("{record}") };
    let signal = trace.inputs.signals.as_slice().first().expect("there is a load");
    let coverage = trace.inputs.coverage.expect("it is averaged here");
    assert_eq!((signal.stable, signal.panic), (60.0, 60.0));
    assert_eq!((coverage.stable.known_s, coverage.panic.known_s), (1, 1));
    // 60 requests at 3.5 each.
    assert_eq!(record.replicas(), 18);
}
