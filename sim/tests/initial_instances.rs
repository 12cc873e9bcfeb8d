//! The story: of three instances that were to be ready from the beginning (`--initial 3`) none but
//! the last stayed. As each became ready the decision that stands was looked at again, and that was
//! still that of a revision at rest.

use tidegate_sim::{RevisionModel, Scenario, SimSpan, run};
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
