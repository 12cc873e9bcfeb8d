//! Several scenarios against the very same arrivals.
//!
//! Each variant opens the traffic anew, and chance has streams of its own for each use, so the n-th
//! request arrives at the same time and needs the same work in every variant: differences between
//! results come from the settings alone.

use crate::arrival::Traffic;
use crate::engine::{RunError, RunOutput};
use crate::figure::differences;
use crate::measured;
use crate::parallel;
use crate::result::SimResult;
use crate::scenario::Scenario;
use crate::seeds::{Effort, run_seed, seeds, with_intervals};

/// A scenario with a name for people.
#[derive(Debug, Clone)]
pub struct Variant {
    /// What the variant is called in reports.
    pub name: String,
    /// What is simulated.
    pub scenario: Scenario,
}

/// Runs every variant with as many seeds as `effort` says, from its own on, and returns the outputs
/// with the first seed in their order; with several seeds, each has intervals and differences.
/// `progress` is called after each run.
///
/// # Errors
///
/// The error of the first variant, in order, that cannot be run.
pub fn compare(
    variants: &[Variant],
    traffic: &dyn Traffic,
    effort: Effort,
    mut progress: impl FnMut(),
) -> Result<Vec<RunOutput>, RunError> {
    let count = effort.seeds.get();
    let jobs: Vec<(&Variant, u64)> = variants
        .iter()
        .flat_map(|variant| {
            seeds(variant.scenario.seed, count).into_iter().map(move |seed| (variant, seed))
        })
        .collect();
    let one = |(variant, seed): &(&Variant, u64)| {
        let scenario = &variant.scenario;
        if *seed == scenario.seed {
            return measured::run(scenario, traffic, &mut ());
        }
        let result = run_seed(scenario, traffic, *seed)?;
        Ok(RunOutput { result, ..RunOutput::default() })
    };
    let mut outputs = parallel::map(&jobs, effort.threads, one, |_, _| progress()).into_iter();
    let mut all = Vec::with_capacity(variants.len());
    while let Some(first) = outputs.next().transpose()? {
        let others = outputs.by_ref().take(count - 1).map(|run| Ok(run?.result));
        let others: Vec<SimResult> = others.collect::<Result<_, RunError>>()?;
        all.push((first, others));
    }
    Ok(against_the_first(all))
}

/// Puts intervals and differences to the runs.
fn against_the_first(all: Vec<(RunOutput, Vec<SimResult>)>) -> Vec<RunOutput> {
    let results = |(first, others): &(RunOutput, Vec<SimResult>)| -> Vec<SimResult> {
        let all = std::iter::once(&first.result).chain(others);
        // Figures of the whole alone are compared, and there may be very many revisions.
        all.map(SimResult::without_revisions).collect()
    };
    let base = all.first().map(results).unwrap_or_default();
    let compared = all.into_iter().enumerate().map(|(number, run)| {
        let own = results(&run);
        let (mut output, others) = run;
        output.result = with_intervals(output.result, &others);
        if let Some(over_seeds) = output.result.over_seeds.as_mut().filter(|_| number > 0) {
            let (before, after): (Vec<_>, Vec<_>) = (base.iter().collect(), own.iter().collect());
            over_seeds.differences = differences(&before, &after);
        }
        output
    });
    compared.collect()
}
