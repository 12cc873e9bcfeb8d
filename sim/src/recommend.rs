//! The cheapest settings that keep stated objectives, with the evidence.
//!
//! It searches the combinations of some dimensions: first those at random, then the neighbours of
//! the best one so far until none is better, within a budget of runs. The winner is run again with
//! other seeds, because settings that keep an objective only by luck are no recommendation.

mod objective;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};

use crate::arrival::Traffic;
use crate::engine::RunError;
use crate::parallel;
use crate::random::Streams;
use crate::scenario::Scenario;
use crate::sweep::{Dimension, Refused, SweepPoint, mark_front, try_settings};

pub use objective::{Figure, Objective, ObjectiveError};

/// Other seeds with which a winner is run again.
const CONFIRMATIONS: u64 = 4;

/// What to search, for what.
#[derive(Debug, Clone)]
pub struct Search {
    /// What must be kept.
    pub objectives: Vec<Objective>,
    /// What may be varied.
    pub dimensions: Vec<Dimension>,
    /// Runs at most, confirmations aside.
    pub budget: usize,
    /// Threads to use; the outcome does not depend on them.
    pub threads: NonZeroUsize,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recommendation {
    /// The cheapest settings that keep every objective with every seed tried; `None` when none do.
    pub best: Option<Evidence>,
    /// The settings as they are.
    pub baseline: Evidence,
    /// Everything tried, cheapest first.
    pub tried: Vec<Evidence>,
    /// Combinations that were to be tried and cannot be run, and why.
    #[serde(default)]
    pub refused: Vec<Refused>,
    /// Combinations there are in all.
    pub combinations: usize,
}

/// One combination of settings, and its figures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The settings and their figures.
    pub point: SweepPoint,
    /// Each objective: its text, the figure, and whether it was kept.
    pub objectives: Vec<Judged>,
    /// Whether all were kept.
    pub keeps_all: bool,
    /// The worst figure of each objective over the confirming seeds; empty where none were run.
    pub worst: Vec<f64>,
}

/// One objective and whether it was met.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// The objective; text in JSON.
    #[serde(with = "objective::text")]
    pub objective: Objective,
    /// What came out.
    pub figure: f64,
    /// Whether it was kept.
    pub kept: bool,
}

/// The dimensions that are searched by default: the settings that are usually tuned first.
pub fn usual_dimensions() -> Vec<Dimension> {
    let dimension = |setting: &str, values: &[&str]| Dimension {
        setting: setting.to_owned(),
        values: values.iter().map(|value| (*value).to_owned()).collect(),
    };
    vec![
        dimension("min-scale", &["0", "1", "2", "3", "5", "10"]),
        dimension("target-utilization-percentage", &["40", "55", "70", "85", "95"]),
        dimension("stable-window", &["15s", "30s", "60s", "120s", "300s"]),
        dimension("scale-down-delay", &["0s", "30s", "120s", "600s"]),
        dimension("panic-threshold-percentage", &["150", "200", "400"]),
    ]
}

/// Searches for the cheapest settings that meet the objectives. `progress` is called with the
/// number of runs done and the most that there can be.
///
/// # Errors
///
/// When the settings as they are cannot be run, or no combination that was tried can; when the
/// traffic cannot be read.
pub fn recommend(
    base: &Scenario,
    traffic: &dyn Traffic,
    search: &Search,
    mut progress: impl FnMut(usize, usize),
) -> Result<Recommendation, RunError> {
    let baseline = try_settings(base, traffic, &BTreeMap::new())?;
    let baseline = judge(SweepPoint::new(BTreeMap::new(), baseline), &search.objectives);
    let mut field = Field { base, traffic, search, tried: BTreeMap::new(), runs: 1 };
    progress(field.runs, search.budget);
    field.scatter(&mut progress)?;
    field.climb(&mut progress)?;
    let (mut tried, mut refused) = (Vec::new(), Vec::new());
    for outcome in field.tried.into_values() {
        match outcome {
            Ok(evidence) => tried.push(evidence),
            Err(problem) => refused.push(problem),
        }
    }
    if tried.is_empty()
        && let Some(Refused { reason, .. }) = refused.first()
    {
        return Err(RunError::Model(format!("no combination can be run: {reason}")));
    }
    tried.push(baseline.clone());
    tried.sort_by(|a, b| order(a).partial_cmp(&order(b)).unwrap_or(std::cmp::Ordering::Equal));
    mark_front(&mut tried.iter_mut().map(|one| &mut one.point).collect::<Vec<_>>());
    let mut best = None;
    for candidate in tried.iter_mut().filter(|evidence| evidence.keeps_all) {
        confirm(base, traffic, search, candidate)?;
        if candidate.keeps_all {
            best = Some(candidate.clone());
            break;
        }
    }
    let combinations = search.dimensions.iter().map(|dimension| dimension.values.len()).product();
    Ok(Recommendation { best, baseline, tried, refused, combinations })
}

/// Cheapest first; among equals the faster one.
fn order(evidence: &Evidence) -> (f64, f64) {
    (evidence.point.instance_seconds, evidence.point.p99_ms)
}

fn judge(point: SweepPoint, objectives: &[Objective]) -> Evidence {
    let judged: Vec<Judged> = objectives
        .iter()
        .map(|objective| {
            let figure = objective.figure.of(&point.result);
            Judged { objective: *objective, figure, kept: objective.is_kept_by(figure) }
        })
        .collect();
    let keeps_all = judged.iter().all(|judged| judged.kept);
    Evidence { point, objectives: judged, keeps_all, worst: Vec::new() }
}

/// Runs a candidate again with other seeds, and judges it by the worst.
fn confirm(
    base: &Scenario,
    traffic: &dyn Traffic,
    search: &Search,
    candidate: &mut Evidence,
) -> Result<(), RunError> {
    let seeds: Vec<u64> =
        (0..CONFIRMATIONS).map(|n| Streams::new(base.seed).stream("confirm", n).bits()).collect();
    let settings = candidate.point.settings.clone();
    let results = parallel::map(
        &seeds,
        search.threads,
        |seed| try_settings(&Scenario { seed: *seed, ..base.clone() }, traffic, &settings),
        |_, _| {},
    );
    candidate.worst = candidate.objectives.iter().map(|judged| judged.figure).collect();
    for result in results {
        let result = result?;
        for (worst, objective) in candidate.worst.iter_mut().zip(&search.objectives) {
            *worst = worst.max(objective.figure.of(&result));
        }
    }
    let pairs = search.objectives.iter().zip(&candidate.worst);
    candidate.keeps_all = pairs.into_iter().all(|(objective, worst)| objective.is_kept_by(*worst));
    Ok(())
}

/// What has been tried so far, by the index of each dimension's value.
struct Field<'a> {
    base: &'a Scenario,
    traffic: &'a dyn Traffic,
    search: &'a Search,
    tried: BTreeMap<Vec<usize>, Result<Evidence, Refused>>,
    runs: usize,
}

impl Field<'_> {
    /// Tries half of the budget at random.
    fn scatter(&mut self, progress: &mut impl FnMut(usize, usize)) -> Result<(), RunError> {
        let dimensions = &self.search.dimensions;
        let mut stream = Streams::new(self.base.seed).stream("recommend", 0);
        let mut chosen = BTreeSet::new();
        // Some draws repeat in a small field, so the number of draws is bounded, not of places.
        for _ in 0..self.search.budget / 2 {
            let place: Vec<usize> = dimensions
                .iter()
                .map(|dimension| stream.below(dimension.values.len() as u64) as usize)
                .collect();
            chosen.insert(place);
        }
        self.evaluate(chosen.into_iter().collect(), progress)
    }

    /// Tries the neighbours of the best until none is better or the budget is used up.
    fn climb(&mut self, progress: &mut impl FnMut(usize, usize)) -> Result<(), RunError> {
        while self.runs < self.search.budget {
            let Some(best) = self.best() else { return Ok(()) };
            let mut around: Vec<Vec<usize>> = neighbours(&best, &self.search.dimensions)
                .into_iter()
                .filter(|place| !self.tried.contains_key(place))
                .collect();
            around.truncate(self.search.budget - self.runs);
            if around.is_empty() {
                return Ok(());
            }
            self.evaluate(around, progress)?;
            if self.best().as_ref() == Some(&best) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The cheapest place that keeps all objectives; without any, the one that misses by the least.
    fn best(&self) -> Option<Vec<usize>> {
        let rank = |evidence: &Evidence| {
            let pairs = self.search.objectives.iter().zip(&evidence.objectives);
            let missed: f64 = pairs.map(|(o, judged)| o.missed_by(judged.figure)).sum();
            (missed, evidence.point.instance_seconds)
        };
        let known = self.tried.iter().filter_map(|(place, e)| e.as_ref().ok().map(|e| (place, e)));
        known
            .min_by(|(_, a), (_, b)| {
                rank(a).partial_cmp(&rank(b)).unwrap_or(std::cmp::Ordering::Equal)
            })
            .map(|(place, _)| place.clone())
    }

    fn evaluate(
        &mut self,
        places: Vec<Vec<usize>>,
        progress: &mut impl FnMut(usize, usize),
    ) -> Result<(), RunError> {
        let (base, traffic, search) = (self.base, self.traffic, self.search);
        let settings = |place: &Vec<usize>| -> BTreeMap<String, String> {
            let pairs = search.dimensions.iter().zip(place);
            pairs.map(|(d, index)| (d.setting.clone(), d.values[*index].clone())).collect()
        };
        let before = self.runs;
        let mut done = 0;
        let results = parallel::map(
            &places,
            search.threads,
            |place| try_settings(base, traffic, &settings(place)),
            |_, _| {
                done += 1;
                progress(before + done, search.budget);
            },
        );
        self.runs += places.len();
        for (place, result) in places.into_iter().zip(results) {
            let evidence = match result {
                Ok(result) => {
                    Ok(judge(SweepPoint::new(settings(&place), result), &search.objectives))
                }
                Err(RunError::Setting { problem, .. } | RunError::Model(problem)) => {
                    Err(Refused { settings: settings(&place), reason: problem })
                }
                Err(error) => return Err(error),
            };
            self.tried.insert(place, evidence);
        }
        Ok(())
    }
}

/// The places that differ by one step in one dimension.
fn neighbours(place: &[usize], dimensions: &[Dimension]) -> Vec<Vec<usize>> {
    let mut around = Vec::new();
    for (position, dimension) in dimensions.iter().enumerate() {
        for index in [place[position].wrapping_sub(1), place[position] + 1] {
            if index < dimension.values.len() {
                let mut other = place.to_vec();
                other[position] = index;
                around.push(other);
            }
        }
    }
    around
}
