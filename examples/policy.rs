//! A decider of your own: two instances for every request that is there, and its reason.
//!
//! `cargo run -p tidegate-autoscaler --example policy`

use tidegate_autoscaler::explain::{Custom, Decision, Detail, Explanation};
use tidegate_autoscaler::{Observed, Outcome, Policy, TickInput, Timestamp};

/// So many instances for every request in flight or waiting.
struct PerRequest {
    instances: u32,
}

impl Policy for PerRequest {
    fn tick(&mut self, input: &TickInput<'_>) -> Decision {
        let seen = input.observed.unwrap_or_default();
        let busy = seen.in_flight.saturating_add(seen.waiting);
        let desired = busy.saturating_mul(self.instances);
        let account = Custom::new("per request")
            .with("requests", f64::from(busy))
            .with("instances each", f64::from(self.instances));
        Decision::new(Explanation {
            at: input.now,
            detail: Detail::Custom(account),
            outcome: Outcome {
                // Without a count there is nothing to go by, and the last wish stands.
                valid: input.observed.is_some(),
                desired: i32::try_from(desired).unwrap_or(i32::MAX),
                excess_burst_capacity: 0,
            },
            lifecycle: None,
        })
    }
}

fn main() {
    let mut policy = PerRequest { instances: 2 };
    let start = Timestamp::from_secs(1_700_000_000);
    let counts = [Some((0, 0)), Some((3, 0)), Some((4, 2)), None];
    for (tick, count) in (0..).zip(counts) {
        let observed =
            count.map(|(in_flight, waiting)| Observed { in_flight, waiting, ..Observed::ready(4) });
        let now = start.plus_millis(tick * 2_000);
        let decision = policy.tick(&TickInput { now, observed, signals: &[] });
        println!("{}", decision.explanation);
    }
}
