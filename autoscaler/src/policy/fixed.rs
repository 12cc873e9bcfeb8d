//! A number that never changes.

use super::seam::{NextWake, Policy, TickInput};
use crate::decision::Outcome;
use crate::explain::{Decision, Detail, Explanation};

/// Always recommends the same number of instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FixedPolicy {
    instances: u32,
}

impl FixedPolicy {
    /// A policy that recommends `instances`.
    pub const fn new(instances: u32) -> FixedPolicy {
        FixedPolicy { instances }
    }
}

impl Policy for FixedPolicy {
    fn tick(&mut self, input: &TickInput<'_>) -> Decision {
        Decision::new(Explanation {
            at: input.now,
            detail: Detail::Fixed { instances: self.instances },
            outcome: Outcome {
                valid: true,
                desired: i32::try_from(self.instances).unwrap_or(i32::MAX),
                excess_burst_capacity: 0,
            },
            lifecycle: None,
        })
    }

    fn next_wake(&self) -> NextWake {
        NextWake::Event
    }
}
