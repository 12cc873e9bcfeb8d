//! A small run of the cycles: from zero to some instances and back, while apps, sidecars,
//! activators and the controller are killed at random. What is outside a killed process is
//! answered, and no instance ever has more than its limit.

use std::time::Duration;

use tidegate_bench::built::program;
use tidegate_bench::cycles::{Plan, run};

#[tokio::test(flavor = "multi_thread")]
async fn requests_outside_what_is_killed_are_answered() {
    let plan = Plan {
        tidegate: program("tidegate"),
        cycles: 5,
        revisions: 3,
        requests: 60,
        clients: 6,
        limit: 2,
        service: Duration::from_millis(20),
        seed: 7,
        logs: None,
    };
    let outcome = run(plan, |_| {}).await.unwrap();
    assert!(outcome.lost.is_empty(), "{outcome:?}");
    assert_eq!(outcome.cycles, 5, "{outcome:?}");
    assert!(outcome.kills.iter().sum::<u64>() > 0, "{outcome:?}");
    let lost = outcome.lost_with_instances + outcome.lost_with_activators;
    assert_eq!(outcome.served + lost, 5 * 60, "{outcome:?}");
    assert!(outcome.most_inside <= 2, "{outcome:?}");
}
