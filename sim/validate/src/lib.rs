//! The simulator against what is known: formulas that are exact, and figures that others measured.
//!
//! Each [`Check`] names its source, what was expected, what came out, and how far apart the two may
//! be. `closed` holds queueing theory, `knative` what real Knative clusters did, `peers` what
//! another simulator and a commercial platform did, `azure` counts over a published trace.
//!
//! It must never: hold a figure without its source, or widen what is allowed so that a figure fits.

mod azure;
mod knative;
mod peers;
mod queueing_theory;

use std::num::NonZeroUsize;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use tidegate_sim::engine::{RunError, run};
use tidegate_sim::parallel;
use tidegate_sim::random::Streams;
use tidegate_sim::result::SimResult;
use tidegate_sim::scenario::{RevisionModel, Scenario};
use tidegate_sim::time::SimSpan;
use tidegate_sim_traffic::Generated;

/// What to validate, and how thoroughly.
#[derive(Debug, Clone)]
pub struct ValidateOptions {
    /// Requests simulated for each closed form.
    pub requests: u64,
    /// Only the groups whose name contains this.
    pub only: Option<String>,
    /// Azure Functions 2019 files to count cold starts in: `invocations.csv` of the published
    /// samples of 100 or 250 functions.
    pub azure_invocations: Vec<PathBuf>,
    /// Threads to use; the result does not depend on them.
    pub threads: NonZeroUsize,
    /// Seed of all runs.
    pub seed: u64,
}

/// One figure compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// What it belongs to: `closed forms`, `real Knative`, ...
    pub group: String,
    /// The case, in words.
    pub case: String,
    /// The figure, with its unit.
    pub figure: String,
    /// What is known.
    pub expected: f64,
    /// The simulator's figure.
    pub ours: f64,
    /// How far apart, as `allowed` counts it.
    pub error: f64,
    /// How far apart they may be.
    pub allowed: Allowed,
    /// Whether they are near enough.
    pub passed: bool,
    /// Standard error of `ours`, where it is known.
    pub standard_error: Option<f64>,
    /// Where the expected figure comes from.
    pub source: String,
}

/// How far apart two figures may be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Allowed {
    /// Not at all.
    Exact,
    /// This share of the expected figure, or three standard errors if that is more.
    Share(f64),
    /// This much in the figure's own unit.
    Absolute(f64),
    /// `ours` must be at least the expected figure.
    AtLeast,
    /// `ours` must be at most the expected figure.
    AtMost,
    /// Shown for context, not judged.
    Shown,
}

/// One case to run: gives its checks.
type Case = Box<dyn Fn(&ValidateOptions) -> Result<Vec<Check>, RunError> + Send + Sync>;

impl Default for ValidateOptions {
    fn default() -> Self {
        ValidateOptions {
            requests: 10_000_000,
            only: None,
            azure_invocations: Vec::new(),
            threads: parallel::all_cores(),
            seed: 1,
        }
    }
}

/// Runs all cases and gives their checks in a fixed order. `progress` is called after each case is
/// done: how many are, of how many, and its checks.
///
/// # Errors
///
/// The first error of a run, such as a trace that cannot be read.
pub fn validate(
    options: &ValidateOptions,
    mut progress: impl FnMut(usize, usize, &[Check]),
) -> Result<Vec<Check>, RunError> {
    let mut cases: Vec<(&str, Case)> = Vec::new();
    cases.extend(queueing_theory::cases());
    cases.extend(knative::cases());
    cases.extend(peers::cases());
    cases.extend(azure::cases(options));
    if let Some(only) = &options.only {
        cases.retain(|(group, _)| group.contains(only.as_str()));
    }
    let (mut done, count) = (0, cases.len());
    let results = parallel::map(
        &cases,
        options.threads,
        |(_, case)| case(options),
        |_, result| {
            done += 1;
            progress(done, count, result.as_deref().unwrap_or(&[]));
        },
    );
    let mut checks = Vec::new();
    for result in results {
        checks.extend(result?);
    }
    Ok(checks)
}

impl Check {
    /// Compares `ours` with `expected`.
    fn new(group: &str, case: &str, figure: &str, expected: f64, ours: f64) -> Self {
        Check {
            group: group.to_owned(),
            case: case.to_owned(),
            figure: figure.to_owned(),
            expected,
            ours,
            error: 0.0,
            allowed: Allowed::Shown,
            passed: true,
            standard_error: None,
            source: String::new(),
        }
    }

    fn with_error(mut self, standard_error: f64) -> Self {
        self.standard_error = Some(standard_error);
        self
    }

    fn from(mut self, source: &str) -> Self {
        self.source = source.to_owned();
        self
    }

    fn within(mut self, allowed: Allowed) -> Self {
        let difference = self.ours - self.expected;
        let relative = if self.expected == 0.0 { difference } else { difference / self.expected };
        let noise = 3.0 * self.standard_error.unwrap_or(0.0);
        self.allowed = allowed;
        (self.error, self.passed) = match allowed {
            Allowed::Exact => (difference, difference == 0.0),
            Allowed::Share(share) => {
                let bound = (share * self.expected).abs().max(noise);
                (relative, difference.abs() <= bound)
            }
            Allowed::Absolute(bound) => (difference, difference.abs() <= bound),
            Allowed::AtLeast => (difference, difference >= 0.0),
            Allowed::AtMost => (difference, difference <= 0.0),
            Allowed::Shown => (relative, true),
        };
        self
    }
}

/// Parts into which a case is cut, so that its own scatter tells the standard error.
const BATCHES: u64 = 10;

/// Runs `revision` under `rate` requests a second in [`BATCHES`] independent parts of together
/// about `options.requests` after a warm-up each. Every `case` draws its own numbers, so that
/// chance does not push all cases the same way.
fn batches(
    options: &ValidateOptions,
    case: &str,
    revision: &RevisionModel,
    rate: f64,
    warm_up_s: f64,
) -> Result<Vec<SimResult>, RunError> {
    let seconds = options.requests as f64 / BATCHES as f64 / rate;
    let duration = SimSpan::from_secs_f64(warm_up_s + seconds);
    let one = |batch: u64| {
        let seed = Streams::new(options.seed).stream(case, batch).bits();
        let scenario = Scenario {
            seed,
            duration: Some(duration),
            warm_up: SimSpan::from_secs_f64(warm_up_s),
            revision: revision.clone(),
            ..Scenario::default()
        };
        let traffic = Generated::new(&format!("poisson:{rate}"), 0, duration, seed)
            .map_err(RunError::Traffic)?;
        run(&scenario, &traffic, &mut ()).map(|output| output.result)
    };
    (0..BATCHES).map(one).collect()
}

/// Mean over the batches and its standard error.
fn mean_and_error(results: &[SimResult], of: impl Fn(&SimResult) -> f64) -> (f64, f64) {
    let n = results.len() as f64;
    let mean = results.iter().map(&of).sum::<f64>() / n;
    let squares: f64 = results.iter().map(|result| (of(result) - mean).powi(2)).sum();
    (mean, (squares / (n - 1.0).max(1.0) / n).sqrt())
}
