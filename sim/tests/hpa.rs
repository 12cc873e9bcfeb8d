//! Kubernetes' HPA on simulated traffic: the production policy, without a lifecycle.

use tidegate_sim::{Distribution, PolicyChoice, RevisionModel, RunOutput, Scenario, SimSpan, run};
use tidegate_sim_traffic::Generated;

fn simulate(policy: &str, arrivals: &str, seconds: u64, initial: u32) -> RunOutput {
    let revision = RevisionModel {
        policy: PolicyChoice::parse(policy).expect("a policy"),
        initial: Some(initial),
        concurrency: 10,
        service: Distribution::constant(SimSpan::from_millis(500)),
        ..RevisionModel::default()
    };
    let scenario = Scenario { seed: 1, revision, ..Scenario::default() };
    let traffic =
        Generated::new(arrivals, 0, SimSpan::from_secs(seconds), 1).expect("arrivals parse");
    run(&scenario, &traffic, &mut ()).expect("runs")
}

#[test]
fn it_settles_at_the_target_and_never_goes_to_zero() {
    // 28 requests a second of half a second each: 14 at once, 7 per instance.
    let result = simulate("hpa", "poisson:28", 1800, 2).result;
    assert_eq!(result.rejected, 0);
    assert!((1.9..2.6).contains(&result.instances.mean), "{}", result.instances.mean);
    let idle = simulate("hpa", "poisson:0.001", 3600, 1).result;
    assert_eq!(idle.cold_starts, 0, "one instance is always there");
    assert!((idle.instances.mean - 1.0).abs() < 1e-9, "{}", idle.instances.mean);
}

#[test]
fn it_is_slower_than_panic_and_slower_to_let_go() {
    let burst = "step:4,80,600s";
    let hpa = simulate("hpa", burst, 1800, 1).result;
    let kpa = simulate("kpa", burst, 1800, 1).result;
    assert!(hpa.wait_ms.p99 > 2.0 * kpa.wait_ms.p99, "{:?} {:?}", hpa.wait_ms, kpa.wait_ms);
    assert!(hpa.instance_seconds > kpa.instance_seconds);
}
