//! The story: of three instances that were to be ready from the beginning (`--initial 3`) none but
//! the last stayed. As each became ready the decision that stands was looked at again, and that was
//! still that of a revision at rest.

use tidegate_sim::scenario::StartUp;
use tidegate_sim::{Distribution, PolicyChoice, RevisionModel, Scenario, SimSpan, run};
use tidegate_sim_traffic::Generated;

#[test]
fn they_stay_until_a_decision_says_otherwise() {
    let duration = SimSpan::from_secs(10);
    let scenario = Scenario {
        duration: Some(duration),
        revision: RevisionModel { initial: Some(3), ..RevisionModel::default() },
        ..Scenario::default()
    };
    let traffic = Generated::new("constant:10", 0, duration, 1).expect("it is traffic");
    let result = run(&scenario, &traffic, &mut ()).expect("it runs").result;
    assert_eq!((result.cold_starts, result.instances.max), (0, 3));
    // The first decision in turn, after two seconds, halves them.
    assert!(result.instance_seconds >= 3.0 * 2.0, "{} s", result.instance_seconds);
}

#[test]
fn those_that_have_just_been_started_are_ready_after_their_start_up() {
    let duration = SimSpan::from_secs(3);
    let start_up = StartUp::total(Distribution::constant(SimSpan::from_secs(1)));
    let revision = RevisionModel {
        initial: Some(3),
        initial_starting: 2,
        policy: PolicyChoice::Fixed(3),
        start_up,
        ..RevisionModel::default()
    };
    let scenario = Scenario { duration: Some(duration), revision, ..Scenario::default() };
    let traffic = Generated::new("constant:10", 0, duration, 1).expect("it is traffic");
    let result = run(&scenario, &traffic, &mut ()).expect("it runs").result;
    // One is there at once, and all three for two of three seconds.
    assert_eq!((result.cold_starts, result.instances.max), (0, 3));
    assert!((result.instances.mean - 7.0 / 3.0).abs() < 1e-9, "{}", result.instances.mean);
    assert!((result.instance_seconds - 9.0).abs() < 1e-9, "{}", result.instance_seconds);
}
