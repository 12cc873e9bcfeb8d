//! The story: an instance that waited for room on a node was counted as starting, and so paid for:
//! two nodes with room for one instance each made 98.8 instance-hours in 1,000 s, where there can
//! be at most 0.56. A plan for a dozen GPUs was wrong by 178 times.
//!
//! What has no place runs nowhere and costs nothing. That holds for instances that are to be there
//! from the beginning as well: they were ready although no node had room for them.

use tidegate_sim::scenario::{NodeModel, StartUp};
use tidegate_sim::{Distribution, RevisionModel, Scenario, SimResult, SimSpan, run};
use tidegate_sim_traffic::Generated;

/// Nodes of one instance each: two at first, no more than two ever.
const NODES: u32 = 2;
const SECONDS: u64 = 1_000;

fn simulate(initial: Option<u32>) -> SimResult {
    let duration = SimSpan::from_secs(SECONDS);
    let scenario = Scenario {
        duration: Some(duration),
        revision: RevisionModel {
            settings: [("target".to_owned(), "1".to_owned())].into(),
            concurrency: 1,
            service: Distribution::Constant(SimSpan::from_secs(1)),
            start_up: StartUp::total(Distribution::Constant(SimSpan::from_secs(1))),
            timeout: Some(SimSpan::from_secs(5)),
            initial,
            ..RevisionModel::default()
        },
        nodes: vec![NodeModel {
            capacity: 1,
            min: NODES,
            max: NODES,
            provisioning: Distribution::Constant(SimSpan::from_secs(10)),
            idle: SimSpan::from_secs(600),
            ..NodeModel::default()
        }],
        ..Scenario::default()
    };
    let traffic = Generated::new("constant:50", 0, duration, 1).expect("it is traffic");
    run(&scenario, &traffic, &mut ()).expect("it runs").result
}

#[test]
fn no_more_is_paid_for_than_fits_on_the_nodes() {
    let result = simulate(None);
    let most_s = f64::from(NODES) * SECONDS as f64;
    assert!(result.instance_seconds <= most_s, "{} s", result.instance_seconds);
    assert!(result.instance_seconds >= 0.9 * most_s, "{} s", result.instance_seconds);
    assert!(result.extra.alive_max <= u64::from(NODES), "{}", result.extra.alive_max);
}

#[test]
fn instances_from_the_beginning_need_a_place_too() {
    let result = simulate(Some(5));
    assert_eq!(result.instances.max, u64::from(NODES));
    assert!(result.instance_seconds <= f64::from(NODES) * SECONDS as f64);
}
