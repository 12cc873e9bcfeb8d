//! The story: `--fail 30s:node` without nodes was taken without a word. Nothing failed, and whoever
//! asked believed that the settings had survived the loss of a node.
//!
//! A failure that cannot happen is refused: a node where there are none, instances of a revision
//! that the traffic does not name, anything after the end of the run.

use tidegate_sim::scenario::{Failure, FailureKind, NodeModel};
use tidegate_sim::{Distribution, RunOutput, Scenario, SimSpan, SimTime, engine::RunError, run};
use tidegate_sim_traffic::Generated;

fn simulate(at_s: u64, kind: FailureKind, nodes: Option<NodeModel>) -> Result<RunOutput, RunError> {
    let duration = SimSpan::from_secs(60);
    let at = SimTime::ZERO + SimSpan::from_secs(at_s);
    let scenario = Scenario {
        duration: Some(duration),
        failures: vec![Failure::once(at, kind)],
        nodes: nodes.into_iter().collect(),
        ..Scenario::default()
    };
    let traffic = Generated::new("constant:5", 0, duration, 1).expect("it is traffic");
    run(&scenario, &traffic, &mut ())
}

fn refusal(at_s: u64, kind: FailureKind) -> String {
    simulate(at_s, kind, None).expect_err("it is refused").to_string()
}

#[test]
fn a_node_cannot_fail_where_there_is_none() {
    let problem = refusal(30, FailureKind::Node);
    assert!(problem.contains("no nodes") && problem.contains("30 s"), "{problem}");
    let nodes = NodeModel {
        capacity: 4,
        min: 1,
        max: 2,
        provisioning: Distribution::Constant(SimSpan::from_secs(1)),
        idle: SimSpan::from_secs(600),
        ..NodeModel::default()
    };
    assert!(simulate(30, FailureKind::Node, Some(nodes)).is_ok());
}

#[test]
fn instances_of_an_unknown_revision_cannot_fail() {
    let unknown = Some("elsewhere".to_owned());
    let problem = refusal(30, FailureKind::Instances { revision: unknown, count: 1 });
    assert!(problem.contains("elsewhere"), "{problem}");
}

#[test]
fn nothing_fails_after_the_end() {
    let problem = refusal(61, FailureKind::Instances { revision: None, count: 1 });
    assert!(problem.contains("after the end"), "{problem}");
}
