//! What a plan costs: prices, kinds of nodes, GPUs, and nodes that the provider takes away.

use tidegate_sim::price::Prices;
use tidegate_sim::scenario::{Failure, NodeModel, Path};
use tidegate_sim::{
    Distribution, PolicyChoice, RevisionModel, Scenario, SimResult, SimSpan, engine::RunError, run,
};
use tidegate_sim_traffic::Generated;

/// An hour.
const HOUR_S: u64 = 3_600;

fn model(instances: u32) -> RevisionModel {
    RevisionModel {
        policy: PolicyChoice::Fixed(instances),
        concurrency: 1,
        service: Distribution::Constant(SimSpan::from_secs(1)),
        path: Path::Central,
        ..RevisionModel::default()
    }
}

fn scenario(instances: u32) -> Scenario {
    Scenario {
        duration: Some(SimSpan::from_secs(HOUR_S)),
        revision: model(instances),
        ..Scenario::default()
    }
}

fn set(scenario: &mut Scenario, pairs: &[(&str, &str)]) {
    for (name, value) in pairs {
        scenario.set(name, value).expect("there is such a thing");
    }
}

fn try_run(scenario: &Scenario, arrivals: &str) -> Result<SimResult, RunError> {
    let duration = SimSpan::from_secs(HOUR_S);
    let traffic = Generated::new(arrivals, 0, duration, 1).expect("it is traffic");
    Ok(run(scenario, &traffic, &mut ())?.result)
}

fn simulate(scenario: &Scenario, arrivals: &str) -> SimResult {
    try_run(scenario, arrivals).expect("it runs")
}

fn near(value: f64, expected: f64) {
    assert!((value - expected).abs() < 0.01 * expected.abs(), "{value}, not {expected}");
}

#[test]
fn everything_that_has_a_price_is_on_the_bill() {
    let mut scenario = scenario(4);
    let prices = "instance-hour=0.5,gb-hour=0.1,gpu-hour=2,million-requests=1000";
    scenario.prices = Prices::parse(prices).expect("they are prices");
    set(&mut scenario, &[("instance-gpus", "1"), ("instance-memory", "500MB")]);
    let result = simulate(&scenario, "constant:1");
    near(result.usage.gb_hours.expect("its memory is known"), 2.0);
    near(result.usage.gpu_hours.expect("there are some"), 4.0);
    assert_eq!(result.usage.node_hours, None);
    let requests = result.requests as f64 / 1e6 * 1_000.0;
    near(result.cost.expect("there are prices"), 4.0 * 0.5 + 2.0 * 0.1 + 4.0 * 2.0 + requests);
    scenario.set("price", "none").expect("prices can be taken away");
    assert_eq!(simulate(&scenario, "constant:1").cost, None);
}

#[test]
fn the_first_kind_of_node_is_filled_first_and_each_has_its_price() {
    let mut scenario = scenario(7);
    let kinds = [
        ("nodes", "small: 2,0,2,const:10s price=1"),
        ("nodes", "large: 4,0,4,const:30s price=3 gpus=8"),
        ("price", "gpu-hour=0.25"),
    ];
    set(&mut scenario, &kinds);
    let result = simulate(&scenario, "constant:1");
    // Four on the two small ones, three on a large one.
    let [large, small] = ["large", "small"].map(|name| result.usage.nodes[name]);
    assert_eq!((small.most, small.joined, large.most, large.joined), (2, 2, 1, 1));
    near(small.hours, 2.0);
    near(large.hours, 1.0);
    near(result.usage.node_hours.expect("there are nodes"), 3.0);
    near(result.usage.gpu_hours.expect("the large one has some"), 8.0);
    near(result.cost.expect("nodes have prices"), 2.0 * 1.0 + 3.0 + 8.0 * 0.25);
}

#[test]
fn instances_take_the_gpus_of_their_node() {
    let mut scenario = scenario(6);
    let pairs = [
        ("nodes", "plain: 10,1,1"),
        ("nodes", "gpu: 10,0,9,const:10s gpus=4"),
        ("instance-gpus", "2"),
    ];
    set(&mut scenario, &pairs);
    let result = simulate(&scenario, "constant:1");
    // Two on each, although ten have a place and another node has none to share.
    assert_eq!(result.usage.nodes["gpu"].most, 3);
    set(&mut scenario, &[("instance-gpus", "5")]);
    let problem = try_run(&scenario, "constant:1").expect_err("none has so many").to_string();
    assert!(problem.contains("needs 5 GPUs") && problem.contains("more than 4"), "{problem}");
}

#[test]
fn fast_nodes_serve_in_less_time() {
    let mut scenario = scenario(2);
    set(&mut scenario, &[("nodes", "fast: 4,1,1 speed=4")]);
    assert_eq!(simulate(&scenario, "constant:1").latency_ms.max, 250.0);
    set(&mut scenario, &[("contention", "linear:0.5")]);
    assert_eq!(simulate(&scenario, "constant:1").latency_ms.max, 250.0);
    set(&mut scenario, &[("nodes", "none")]);
    assert_eq!(simulate(&scenario, "constant:1").latency_ms.max, 1_000.0);
}

/// Ten nodes of one instance, a third of which goes every ten minutes.
fn spot(notice: &str) -> SimResult {
    let mut scenario = scenario(10);
    let fail = format!("5m:nodes=30%:every=10m:notice={notice}");
    set(&mut scenario, &[("nodes", "1,10,10,const:10s spot"), ("fail", &fail)]);
    simulate(&scenario, "constant:5")
}

#[test]
fn nodes_that_are_taken_away_lose_what_notice_does_not_save() {
    let sudden = spot("0s");
    let lost = sudden.usage.nodes["node"].lost;
    assert_eq!(lost, 18, "six times three of ten");
    assert!(sudden.failed > 0 && sudden.failed <= lost, "{}", sudden.failed);
    let told = spot("30s");
    assert_eq!((told.usage.nodes["node"].lost, told.failed), (18, 0), "a second is enough");
    let hasty = spot("200ms");
    assert!(hasty.failed > 0 && hasty.failed < sudden.failed, "{}", hasty.failed);
    // The one that is to go is replaced before it is gone.
    assert!(told.usage.nodes["node"].most > 10, "{}", told.usage.nodes["node"].most);
}

#[test]
fn only_spot_nodes_are_taken_away_where_there_are_some() {
    let mut scenario = scenario(8);
    let pairs =
        [("nodes", "own: 4,1,1"), ("nodes", "spot: 4,1,1 spot"), ("fail", "10m:nodes=100%")];
    set(&mut scenario, &pairs);
    let result = simulate(&scenario, "constant:5");
    assert_eq!((result.usage.nodes["own"].lost, result.usage.nodes["spot"].lost), (0, 1));
}

#[test]
fn a_share_of_instances_needs_no_nodes() {
    let mut scenario = scenario(10);
    set(&mut scenario, &[("fail", "10m:instances=30%:every=20m")]);
    let result = simulate(&scenario, "constant:8");
    assert_eq!(result.extra.instances_started, 10 + 3 * 3, "three times three of ten");
    assert!(result.failed > 0, "{}", result.failed);
    set(&mut scenario, &[("fail", "none"), ("fail", "10m:instances=30%:notice=1m")]);
    assert_eq!(simulate(&scenario, "constant:8").failed, 0);
}

#[test]
fn what_contradicts_itself_is_refused() {
    let refusal = |pairs: &[(&str, &str)]| {
        let mut scenario = scenario(1);
        set(&mut scenario, pairs);
        try_run(&scenario, "constant:1").expect_err("it is refused").to_string()
    };
    let twice = refusal(&[("nodes", "1,1,1"), ("nodes", "2,1,1")]);
    assert!(twice.contains("called `node`"), "{twice}");
    let none = refusal(&[("fail", "5m:nodes=30%")]);
    assert!(none.contains("no nodes"), "{none}");
    let mut scenario = scenario(1);
    scenario.failures =
        vec![Failure { every: Some(SimSpan::ZERO), ..Failure::parse("5m:node").expect("parses") }];
    scenario.nodes = vec![NodeModel::default()];
    let endless = try_run(&scenario, "constant:1").expect_err("it is refused").to_string();
    assert!(endless.contains("above zero"), "{endless}");
}
