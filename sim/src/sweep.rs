//! Many settings against the same arrivals, and the Pareto front of the results.
//!
//! A sweep runs every combination of the values of some settings, or a random part of them, on all
//! cores. Of the results those are on the Pareto front that no other dominates in cost, tail
//! latency, share of cold starts and share of requests lost.

mod dimension;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::arrival::Traffic;
use crate::engine::RunError;
use crate::figure::Figure;
use crate::parallel;
use crate::random::Streams;
use crate::result::SimResult;
use crate::scenario::Scenario;
use crate::seeds::{Effort, run_seeds, seeds, with_intervals};

pub use dimension::{Dimension, DimensionError};

/// Most runs of one sweep: beyond it a person has mistyped a range.
pub const MAX_RUNS: usize = 100_000;

/// Which combinations are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// All.
    Grid,
    /// So many, drawn at random without repetition.
    Random {
        /// Number of points.
        runs: usize,
        /// Seed of the draw.
        seed: u64,
    },
}

/// One combination of settings and its result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SweepPoint {
    /// The values of the settings that were varied.
    pub settings: BTreeMap<String, String>,
    /// The settings that differ from point to point, as `key=value`.
    pub label: String,
    /// What it costs: seconds of instances. This and the figures below are means over all seeds.
    pub instance_seconds: f64,
    /// What it costs in money, where anything has a price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
    /// 99th percentile of latency, milliseconds.
    pub p99_ms: f64,
    /// Cold starts per request.
    pub cold_share: f64,
    /// Requests rejected, timed out or failed, per request.
    pub lost_share: f64,
    /// Whether no other point is better in everything.
    pub on_front: bool,
    /// The whole result, without those of single revisions.
    pub result: SimResult,
}

/// A combination that cannot be run, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Refused {
    /// The values of the settings that were varied.
    pub settings: BTreeMap<String, String>,
    /// Why not.
    pub reason: String,
}

/// What a sweep found.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SweepOutput {
    /// All points in the order of the grid.
    pub points: Vec<SweepPoint>,
    /// Combinations that contradict themselves, such as a minimum above a maximum.
    pub refused: Vec<Refused>,
}

/// Runs `base` with every combination of `dimensions` that `plan` asks for. `progress` is
/// called after each combination with the number of those done and of all.
///
/// # Errors
///
/// [`RunError::Model`] when there are too many combinations or none can be run, and any error of
/// the traffic.
pub fn sweep(
    base: &Scenario,
    traffic: &dyn Traffic,
    dimensions: &[Dimension],
    plan: Plan,
    effort: Effort,
    mut progress: impl FnMut(usize, usize),
) -> Result<SweepOutput, RunError> {
    let combinations = combinations(dimensions, plan)?;
    let count = combinations.len();
    let mut done = 0;
    let results = parallel::map(
        &combinations,
        effort.threads,
        |settings| try_settings(base, traffic, settings, effort.on_one_thread()),
        |_, _| {
            done += 1;
            progress(done, count);
        },
    );
    let mut output = SweepOutput::default();
    for (settings, result) in combinations.into_iter().zip(results) {
        match result {
            Ok(result) => output.points.push(SweepPoint::new(settings, result)),
            Err(RunError::Setting { problem, .. } | RunError::Model(problem)) => {
                output.refused.push(Refused { settings, reason: problem });
            }
            Err(error) => return Err(error),
        }
    }
    if output.points.is_empty()
        && let Some(refused) = output.refused.first()
    {
        return Err(RunError::Model(format!("no combination can be run: {}", refused.reason)));
    }
    mark_front(&mut output.points.iter_mut().collect::<Vec<_>>());
    Ok(output)
}

/// Every combination of `dimensions`.
pub(crate) fn every_combination(
    dimensions: &[Dimension],
) -> Result<Vec<BTreeMap<String, String>>, RunError> {
    combinations(dimensions, Plan::Grid)
}

/// The combinations of `dimensions` that `plan` asks for, the last dimension varying fastest.
fn combinations(
    dimensions: &[Dimension],
    plan: Plan,
) -> Result<Vec<BTreeMap<String, String>>, RunError> {
    let total = dimensions
        .iter()
        .try_fold(1_usize, |total, dimension| total.checked_mul(dimension.values.len()));
    let wanted = match plan {
        Plan::Grid => total.filter(|total| *total <= MAX_RUNS),
        Plan::Random { runs, .. } => total.map(|total| total.min(runs)).filter(|n| *n <= MAX_RUNS),
    };
    let (Some(total), Some(wanted)) = (total, wanted) else {
        return Err(RunError::Model(format!(
            "the sweep has more than {MAX_RUNS} combinations; leave out values, or draw some at \
             random"
        )));
    };
    let mut chosen: Vec<usize> = match plan {
        Plan::Grid => (0..total).collect(),
        Plan::Random { seed, .. } => draw(total, wanted, seed),
    };
    chosen.sort_unstable();
    Ok(chosen.into_iter().map(|index| combination(dimensions, index)).collect())
}

/// `wanted` different numbers below `total` (Floyd's algorithm).
fn draw(total: usize, wanted: usize, seed: u64) -> Vec<usize> {
    let mut stream = Streams::new(seed).stream("sweep", 0);
    let mut chosen = std::collections::BTreeSet::new();
    for upper in total - wanted..total {
        let candidate = stream.below(upper as u64 + 1) as usize;
        if !chosen.insert(candidate) {
            chosen.insert(upper);
        }
    }
    chosen.into_iter().collect()
}

fn combination(dimensions: &[Dimension], mut index: usize) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::new();
    for dimension in dimensions.iter().rev() {
        let value = &dimension.values[index % dimension.values.len()];
        settings.insert(dimension.setting.clone(), value.clone());
        index /= dimension.values.len();
    }
    settings
}

/// Runs `base` with other `settings`, and keeps nothing but the point: one of a sweep's.
///
/// # Errors
///
/// [`RunError`] when the settings cannot be used together, or the traffic cannot be read.
pub fn point(
    base: &Scenario,
    traffic: &dyn Traffic,
    settings: &BTreeMap<String, String>,
) -> Result<SweepPoint, RunError> {
    let once = Effort::once(std::num::NonZeroUsize::MIN);
    Ok(SweepPoint::new(settings.clone(), try_settings(base, traffic, settings, once)?))
}

/// Runs `base` with other `settings`, and keeps nothing but the result over the seeds.
pub(crate) fn try_settings(
    base: &Scenario,
    traffic: &dyn Traffic,
    settings: &BTreeMap<String, String>,
    effort: Effort,
) -> Result<SimResult, RunError> {
    let mut scenario = base.clone();
    for (key, value) in settings {
        scenario.set(key, value).map_err(RunError::Model)?;
    }
    let seeds = seeds(base.seed, effort.seeds.get());
    let mut results = run_seeds(&scenario, traffic, &seeds, effort.threads)?.into_iter();
    let mut first = results.next().unwrap_or_default();
    first.revisions.clear();
    Ok(with_intervals(first, results.as_slice()))
}

/// Marks the points that no other dominates.
pub fn mark_front(points: &mut [&mut SweepPoint]) {
    let on_front: Vec<bool> =
        points.iter().map(|point| !points.iter().any(|other| other.dominates(point))).collect();
    for (point, on_front) in points.iter_mut().zip(on_front) {
        point.on_front = on_front;
    }
}

impl SweepPoint {
    pub(crate) fn new(settings: BTreeMap<String, String>, result: SimResult) -> Self {
        let words: Vec<String> =
            settings.iter().map(|(key, value)| format!("{key}={value}")).collect();
        SweepPoint {
            label: words.join(" "),
            settings,
            instance_seconds: Figure::InstanceHours.mean(&result) * 3_600.0,
            cost: result.cost.map(|_| Figure::Cost.mean(&result)),
            p99_ms: Figure::P99.mean(&result),
            cold_share: Figure::Cold.mean(&result),
            lost_share: Figure::Lost.mean(&result),
            on_front: false,
            result,
        }
    }

    /// What settings are ranked by: what they cost, or without prices their instance-hours.
    pub fn price(&self) -> f64 {
        self.cost.unwrap_or(self.instance_seconds / 3_600.0)
    }

    fn figures(&self) -> [f64; 4] {
        [self.price(), self.p99_ms, self.cold_share, self.lost_share]
    }

    /// Whether this point is nowhere worse than `other` and somewhere better.
    fn dominates(&self, other: &SweepPoint) -> bool {
        let pairs = self.figures().into_iter().zip(other.figures());
        let (mut better, mut worse) = (false, false);
        for (mine, theirs) in pairs {
            better |= mine < theirs;
            worse |= mine > theirs;
        }
        better && !worse
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_random_plan_draws_without_repetition_and_the_same_each_time() {
        let drawn = draw(1_000, 100, 7);
        assert_eq!(drawn.len(), 100);
        assert_eq!(drawn, draw(1_000, 100, 7));
        assert_ne!(drawn, draw(1_000, 100, 8));
        assert_eq!(draw(5, 5, 1), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn the_front_keeps_what_nothing_beats() {
        let point = |cost: f64, p99: f64| {
            let mut result = SimResult { instance_seconds: cost, ..SimResult::default() };
            result.latency_ms.p99 = p99;
            SweepPoint::new(BTreeMap::new(), result)
        };
        let mut points =
            [point(1.0, 9.0), point(2.0, 5.0), point(3.0, 6.0), point(4.0, 1.0), point(4.0, 1.0)];
        mark_front(&mut points.iter_mut().collect::<Vec<_>>());
        let front: Vec<bool> = points.iter().map(|point| point.on_front).collect();
        assert_eq!(front, [true, true, false, true, true]);
    }
}
