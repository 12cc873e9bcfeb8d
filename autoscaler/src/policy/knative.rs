//! Knative's algorithm behind the trait.

use super::seam::{NextWake, Policy, TickInput};
use crate::explain::Decision;
use crate::revision::RevisionAutoscaler;
use crate::sample::{Origin, Sample};
use crate::time::Timestamp;

/// Knative's algorithm as a policy; with [`crate::Improvements`], Tidegate's.
pub type KnativePolicy = RevisionAutoscaler;

impl Policy for RevisionAutoscaler {
    fn record(&mut self, at: Timestamp, origin: Origin, sample: &Sample) {
        RevisionAutoscaler::record(self, at, origin, sample);
    }

    fn tick(&mut self, input: &TickInput<'_>) -> Decision {
        RevisionAutoscaler::tick(self, input.now, input.observed, input.signals)
    }

    fn should_wake(&self, waiting: u32) -> bool {
        RevisionAutoscaler::should_wake(self, f64::from(waiting))
    }

    fn next_wake(&self) -> NextWake {
        // Nobody reports a revision at rest, and from silence it never comes to more than nothing.
        NextWake::Event
    }
}
