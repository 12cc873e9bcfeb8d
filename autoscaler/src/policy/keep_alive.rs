//! One request per instance, and a fixed time before an idle instance goes: what most function
//! platforms do.

use std::collections::VecDeque;

use super::seam::{NextWake, Policy, TickInput};
use crate::decision::Outcome;
use crate::explain::{Decision, Detail, Explanation};
use crate::time::Timestamp;

/// Recommends as many instances as requests were in flight at once within the last `idle_ms`.
///
/// That is what the clocks of the instances themselves come to, each of which goes `idle_ms` after
/// its last request, where a request is given to the instance that was used last. What serves is
/// never one too many: remove an instance that is idle.
///
/// It goes by [`crate::Observed::in_flight`] and [`crate::Observed::waiting`], so it is as exact
/// as it is asked often: ask at every arrival and departure for the exact number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeepAlivePolicy {
    idle_ms: u64,
    /// Demands in rising order of the time they were last seen, and falling order of size.
    falling: VecDeque<(Timestamp, u32)>,
}

impl KeepAlivePolicy {
    /// A policy that releases an instance after it was idle for `idle_ms` milliseconds.
    pub const fn new(idle_ms: u64) -> KeepAlivePolicy {
        KeepAlivePolicy { idle_ms, falling: VecDeque::new() }
    }
}

impl Policy for KeepAlivePolicy {
    fn tick(&mut self, input: &TickInput<'_>) -> Decision {
        let Some(observed) = input.observed else {
            let detail = Detail::KeepAlive { needed: 0, idle_ms: self.idle_ms };
            let outcome = Outcome::default();
            return Decision::new(Explanation { at: input.now, detail, outcome, lifecycle: None });
        };
        let needed = observed.in_flight.saturating_add(observed.waiting);
        // The demand seen last lasted until now, so its idle time starts now.
        if let Some(newest) = self.falling.back_mut() {
            newest.0 = newest.0.max(input.now);
        }
        while self.falling.back().is_some_and(|newest| newest.1 <= needed) {
            self.falling.pop_back();
        }
        self.falling.push_back((input.now, needed));
        while self.falling.len() > 1
            && self
                .falling
                .front()
                .is_some_and(|seen| input.now.millis_since(seen.0) >= self.idle_ms)
        {
            self.falling.pop_front();
        }
        let most = self.falling.front().map_or(0, |seen| seen.1);
        Decision::new(Explanation {
            at: input.now,
            detail: Detail::KeepAlive { needed, idle_ms: self.idle_ms },
            outcome: Outcome {
                valid: true,
                desired: i32::try_from(most).unwrap_or(i32::MAX),
                excess_burst_capacity: 0,
            },
            lifecycle: None,
        })
    }

    /// When the recommendation falls next.
    fn next_wake(&self) -> NextWake {
        match self.falling.front().filter(|_| self.falling.len() > 1) {
            Some((seen, _)) => NextWake::At(seen.plus_millis(self.idle_ms)),
            None => NextWake::Event,
        }
    }
}
