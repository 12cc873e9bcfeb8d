//! The same scenario with several seeds: other arrivals where they are made up, other work where it
//! is drawn, and otherwise nothing else.

use std::num::NonZeroUsize;

use crate::arrival::{Traffic, Wrapper};
use crate::engine::{RunError, run};
use crate::figure::over_seeds;
use crate::parallel;
use crate::result::SimResult;
use crate::scenario::{Recording, Scenario};

/// How many times everything is run, and on how many threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effort {
    /// Seeds, from the scenario's own on.
    pub seeds: NonZeroUsize,
    /// Threads to use; the outcome does not depend on them.
    pub threads: NonZeroUsize,
}

impl Effort {
    /// One seed, the scenario's own.
    pub const fn once(threads: NonZeroUsize) -> Self {
        Effort { seeds: NonZeroUsize::MIN, threads }
    }

    /// The same for one of many jobs that run at once.
    pub(crate) const fn on_one_thread(self) -> Self {
        Effort { threads: NonZeroUsize::MIN, ..self }
    }
}

/// `count` seeds from `first` on: with the same command, `--seed` gives any one of them again.
pub fn seeds(first: u64, count: usize) -> Vec<u64> {
    (0..count as u64).map(|number| first.wrapping_add(number)).collect()
}

/// `inner` with another seed.
pub(crate) struct Reseeded<'a> {
    pub(crate) inner: &'a dyn Traffic,
    pub(crate) seed: u64,
}

impl Wrapper for Reseeded<'_> {
    fn inner(&self) -> &dyn Traffic {
        self.inner
    }

    fn seed(&self) -> Option<u64> {
        Some(self.seed)
    }
}

/// Runs `scenario` with another seed, traffic included, and keeps nothing but the result.
///
/// # Errors
///
/// As [`run`].
pub fn run_seed(
    scenario: &Scenario,
    traffic: &dyn Traffic,
    seed: u64,
) -> Result<SimResult, RunError> {
    let other = Scenario { seed, recording: Recording::NOTHING, ..scenario.clone() };
    // The scenario's own seed is the traffic's own as well.
    let output = if seed == scenario.seed {
        run(&other, traffic, &mut ())
    } else {
        run(&other, &Reseeded { inner: traffic, seed }, &mut ())
    };
    Ok(output?.result)
}

/// Runs `scenario` with each of `seeds`, on `threads`, and returns the results in their order.
///
/// # Errors
///
/// The error of the first seed that cannot be run.
pub fn run_seeds(
    scenario: &Scenario,
    traffic: &dyn Traffic,
    seeds: &[u64],
    threads: NonZeroUsize,
) -> Result<Vec<SimResult>, RunError> {
    let one = |seed: &u64| run_seed(scenario, traffic, *seed);
    parallel::map(seeds, threads, one, |_, _| {}).into_iter().collect()
}

/// `first` with the intervals of all its figures over itself and `others`.
pub fn with_intervals(mut first: SimResult, others: &[SimResult]) -> SimResult {
    if !others.is_empty() {
        let all: Vec<&SimResult> = std::iter::once(&first).chain(others).collect();
        first.over_seeds = Some(over_seeds(&all));
    }
    first
}
