//! The story: under keep-alive every request that had to wait was counted as a cold start, although
//! a busy instance often fell free before the new one was ready: 413 cold starts for 228 instances
//! that were started, where another simulator of the same platform counts 230.
//!
//! A request is cold if no instance is there for it when it arrives, so that it waits for one to
//! start. Where each instance is for one request, such a request makes one start, and the counts
//! are equal. Where instances are shared, it is one that comes while none is ready.

use tidegate_sim::scenario::StartUp;
use tidegate_sim::{Distribution, PolicyChoice, RevisionModel, Scenario, SimSpan, run};
use tidegate_sim_traffic::Generated;

#[path = "traffic/rows.rs"]
mod rows;

use rows::Rows;

#[test]
fn keep_alive_counts_the_requests_that_make_an_instance_start() {
    for seed in 1..=3 {
        let duration = SimSpan::from_secs(600);
        let scenario = Scenario {
            seed,
            duration: Some(duration),
            revision: RevisionModel {
                policy: PolicyChoice::KeepAlive(SimSpan::from_secs(300)),
                concurrency: 1,
                service: Distribution::exponential(1.991),
                start_up: StartUp::total(Distribution::Constant(SimSpan::from_millis(253))),
                ..RevisionModel::default()
            },
            ..Scenario::default()
        };
        let traffic = Generated::new("poisson:90", 0, duration, seed).expect("it is traffic");
        let result = run(&scenario, &traffic, &mut ()).expect("it runs").result;
        assert!(result.cold_starts > 180, "{}", result.cold_starts);
        assert_eq!(result.cold_starts, result.extra.instances_started, "seed {seed}");
    }
}

/// Four requests of a second: three while nothing is ready, one when an instance is.
fn four() -> Rows {
    Rows([0, 500, 1_500, 2_500].map(|at_ms| (at_ms, 1_000)).to_vec())
}

#[test]
fn shared_instances_leave_those_cold_that_come_while_none_is_ready() {
    let scenario = Scenario {
        revision: RevisionModel {
            start_up: StartUp::total(Distribution::Constant(SimSpan::from_secs(2))),
            ..RevisionModel::default()
        },
        ..Scenario::default()
    };
    let result = run(&scenario, &four(), &mut ()).expect("it runs").result;
    assert_eq!((result.requests, result.cold_starts), (4, 3));
}
