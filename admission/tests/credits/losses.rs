//! Streams that are cut, doors that die, instances that begin anew, limits that change; requests
//! that come long before or after what was said about them.

use std::time::Duration;

use proptest::prelude::*;

use crate::world::{Furnishing, World};

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// The limit holds at every moment (the world asserts it), nothing is lost that is not lost
    /// with its door or its instance, and in the end every place is free or held by one door.
    #[test]
    fn whatever_is_lost_or_late_the_limit_holds_and_credits_come_back(
        doors in 1..6_usize,
        instances in 1..5_usize,
        limit in 1..5_u32,
        requests in 1..400_usize,
        gap_us in 100..8_000_u64,
        jitter_us in 0..20_000_u64,
        troubles in 0..40_usize,
        seed in any::<u64>(),
    ) {
        let mut world = World::new(Furnishing {
            doors,
            instances,
            limit,
            requests,
            gap: Duration::from_micros(gap_us),
            service: Duration::from_millis(4),
            delay: Duration::from_micros(500),
            jitter: Duration::from_micros(jitter_us),
            troubles,
            seed,
        });
        world.run();
        world.assert_at_rest();
    }
}
