//! Knative's activator takes an instance that does not answer a connection within 50 to 250 ms for
//! one that is gone: at a round trip of 70 ms some are lost, at 200 ms all. Ours learns how long a
//! connection takes.

use std::time::Duration;

use tidegate_bench::built::program;
use tidegate_bench::far::{Plan, run};
use tidegate_bench::far_path::FarPath;

#[tokio::test(flavor = "multi_thread")]
async fn instances_at_a_round_trip_of_200_ms_serve_every_request() {
    let path = match FarPath::open(Duration::from_millis(200)) {
        Ok(path) => path,
        Err(error) => {
            println!("skipped: a path that takes its time cannot be made here: {error}");
            return;
        }
    };
    let plan = Plan { tidegate: program("tidegate"), path, clients: 4, requests: 10 };
    let outcome = run(plan).await.unwrap();
    assert_eq!((outcome.failed, outcome.latency_us.len()), (0, 40), "{outcome:?}");
    // Nothing comes back sooner than the path takes.
    assert!(outcome.latency_us.min() >= 200_000, "{outcome:?}");
    assert_eq!(outcome.ejected_later, 0, "once it knows the path: {outcome:?}");
}
