//! The story: in local mode a revision at rest is woken by its first request. Waking closes the
//! meter's period of the rest, whose reports were not collected, and it closed it after that
//! request had been counted: the second after a rest had no arrival in it. Where arrivals decide,
//! a lone request found no instance until another one came.
//!
//! The revision is woken before the request is counted, so the request belongs to the second that
//! begins.

use tidegate_sim::scenario::{Platform, StartUp};
use tidegate_sim::{Distribution, PolicyChoice, RevisionModel, Scenario, SimSpan, run};

#[path = "traffic/rows.rs"]
mod rows;

use rows::Rows;

/// Requests so far apart that the revision is at rest before each.
const ARRIVALS_MS: [u64; 3] = [500, 100_250, 250_750];

fn lone() -> Rows {
    Rows(ARRIVALS_MS.map(|at_ms| (at_ms, 100)).to_vec())
}

#[test]
fn the_first_request_after_a_rest_counts_in_the_second_that_it_begins() {
    let settings = [("metric", "rps"), ("target", "1"), ("stable-window", "10s")];
    let scenario = Scenario {
        revision: RevisionModel {
            policy: PolicyChoice::Tidegate,
            concurrency: 10,
            settings: settings.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            start_up: StartUp::total(Distribution::Constant(SimSpan::from_secs(1))),
            platform: Platform::Cluster.local(SimSpan::from_secs(10)),
            ..RevisionModel::default()
        },
        ..Scenario::default()
    };
    let result = run(&scenario, &lone(), &mut ()).expect("it runs").result;
    assert_eq!((result.completed, result.cold_starts), (3, 3));
    // The rest of its second, until that is reported, and the instance's start.
    assert!(result.wait_ms.max <= 2_000.0, "one waited {} ms", result.wait_ms.max);
}
