//! The story: in cluster mode a revision that has been quiet for twice its window does not tick, so
//! its meter's period was not closed; the first report after a long rest then averaged the rest and
//! the new load together. A burst into a revision that had rested for an hour counted as nothing in
//! its first second, and one into a fresh revision as what it was.
//!
//! Real sidecars report every second, also without load, so the rest is no part of the first second
//! after it.

use tidegate_sim::scenario::{Path, StartUp};
use tidegate_sim::{Distribution, Recording, RevisionModel, RunOutput, Scenario, SimSpan, run};

#[path = "traffic/rows.rs"]
mod rows;

use rows::Rows;

/// Twenty requests of ten seconds at once, so long after a whole second.
const OFFSET_MS: u64 = 250;

/// Bursts that begin in these seconds.
fn bursts_in(seconds: &[u64]) -> Rows {
    let burst = |second: &u64| std::iter::repeat_n((second * 1_000 + OFFSET_MS, 10_000), 20);
    Rows(seconds.iter().flat_map(burst).collect())
}

fn simulate(bursts: &'static [u64]) -> RunOutput {
    let scenario = Scenario {
        revision: RevisionModel {
            concurrency: 1,
            start_up: StartUp::total(Distribution::Constant(SimSpan::from_secs(1))),
            path: Path::Central,
            ..RevisionModel::default()
        },
        recording: Recording { decisions: 1_000, ..Recording::NOTHING },
        ..Scenario::default()
    };
    run(&scenario, &bursts_in(bursts), &mut ()).expect("it runs")
}

#[test]
fn a_burst_after_a_long_rest_counts_like_one_into_a_fresh_revision() {
    // 3,600 s is an even second as 0 is: decisions in turn fall alike.
    let figures = |output: &RunOutput, from: f64| -> Vec<(f64, u64, f64, f64)> {
        let decisions = output.decisions.iter().filter(|decision| decision.at_s >= from);
        decisions.take(6).map(|d| (d.at_s - from, d.wanted, d.stable, d.panic)).collect()
    };
    let fresh = figures(&simulate(&[0]), 0.0);
    let rested = figures(&simulate(&[0, 3_600]), 3_600.0);
    // The early report of the first request, and then the whole burst in the first full seconds.
    assert_eq!(fresh, [(0.25, 2, 1.0, 1.0), (2.0, 29, 20.0, 20.0)]);
    assert_eq!(rested, fresh);
}
