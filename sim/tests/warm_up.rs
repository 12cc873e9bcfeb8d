//! The story: a run that ended within its warm-up reported no requests, no instances and a latency
//! of zero with exit code 0, as if nothing had ever been asked for.

use tidegate_sim::{RunOutput, Scenario, SimSpan, engine::RunError, run};
use tidegate_sim_traffic::Generated;

fn simulate(warm_up_s: u64, duration: Option<SimSpan>) -> Result<RunOutput, RunError> {
    let warm_up = SimSpan::from_secs(warm_up_s);
    let scenario = Scenario { duration, warm_up, ..Scenario::default() };
    let traffic =
        Generated::new("constant:5", 0, SimSpan::from_secs(10), 1).expect("it is traffic");
    run(&scenario, &traffic, &mut ())
}

#[test]
fn a_run_that_ends_within_its_warm_up_is_refused() {
    let ten = Some(SimSpan::from_secs(10));
    for warm_up_s in [10, 20] {
        let problem = simulate(warm_up_s, ten).expect_err("nothing is left").to_string();
        assert!(problem.contains(&format!("{warm_up_s} s")), "{problem}");
        assert!(problem.contains("a run of 10 s"), "{problem}");
    }
    // Without a duration it ends with its last request.
    assert!(simulate(60, None).is_err());
}

#[test]
fn what_comes_after_the_warm_up_counts() {
    let output = simulate(9, Some(SimSpan::from_secs(10))).expect("a second is left");
    assert_eq!(output.result.requests, 5);
    assert!(simulate(0, Some(SimSpan::ZERO)).is_ok(), "without one there is nothing to outlast");
}
