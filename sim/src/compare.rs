//! Several scenarios against the very same arrivals.
//!
//! Each variant opens the traffic anew, and chance has streams of its own for each use, so the n-th
//! request arrives at the same time and needs the same work in every variant: differences between
//! results come from the settings alone.

use std::num::NonZeroUsize;

use crate::arrival::Traffic;
use crate::engine::{RunError, RunOutput};
use crate::measured;
use crate::parallel;
use crate::scenario::Scenario;

/// A scenario with a name for people.
#[derive(Debug, Clone)]
pub struct Variant {
    /// What the variant is called in reports.
    pub name: String,
    /// What is simulated.
    pub scenario: Scenario,
}

/// Runs every variant and returns the outputs in their order. `progress` is called after each.
///
/// # Errors
///
/// The error of the first variant, in order, that cannot be run.
pub fn compare(
    variants: &[Variant],
    traffic: &dyn Traffic,
    threads: NonZeroUsize,
    mut progress: impl FnMut(&Variant),
) -> Result<Vec<RunOutput>, RunError> {
    let one = |variant: &Variant| measured::run(&variant.scenario, traffic, &mut ());
    parallel::map(variants, threads, one, |index, _| progress(&variants[index]))
        .into_iter()
        .collect()
}
