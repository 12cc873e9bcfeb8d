//! The cheapest settings that keep stated objectives, with the evidence.
//!
//! It searches the combinations of some dimensions: first those at random, then the neighbours of
//! the best one so far until none is better, within a budget of runs. The winner is run again with
//! other seeds, because settings that keep an objective only by luck are no recommendation; and
//! what of it changes nothing worth speaking of is left as it was (`fewest`).
//!
//! [`per_revision`] finds settings for each revision alone, within bounds on all of them.

mod additive;
mod assignment;
mod fewest;
mod objective;
pub mod per_revision;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::arrival::Traffic;
use crate::engine::RunError;
use crate::interval::Interval;
use crate::parallel;
use crate::random::Streams;
use crate::result::SimResult;
use crate::scenario::Scenario;
use crate::seeds::{Effort, run_seeds, seeds, with_intervals};
use crate::sweep::{Dimension, Refused, SweepPoint, mark_front, try_settings};

pub use crate::figure::{Figure, Unit};
pub use objective::{Objective, ObjectiveError};

/// What costs more by no more than this share counts as equally cheap: it is less than the same
/// settings differ by from one day's traffic to the next, and no reason to turn another knob.
const TIE_SHARE: f64 = 0.01;

/// What to search, for what.
#[derive(Debug, Clone)]
pub struct Search {
    /// What must be kept.
    pub objectives: Vec<Objective>,
    /// What may be varied.
    pub dimensions: Vec<Dimension>,
    /// Runs at most, those with other seeds aside.
    pub budget: usize,
    /// Seeds with which the settings as they are and what wins are run, and threads. What loses is
    /// run with one.
    pub effort: Effort,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recommendation {
    /// The cheapest settings that keep every objective with every seed tried; `None` when none do.
    pub best: Option<Evidence>,
    /// The settings as they are, with every seed.
    pub baseline: Evidence,
    /// By how much the best differs from the settings as they are in what it costs, paired by seed;
    /// `None` with one seed, or without a best.
    #[serde(default)]
    pub saving: Option<Interval>,
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
    /// Each objective: its text, the figure (its mean over the seeds tried), and whether that keeps
    /// it.
    pub objectives: Vec<Judged>,
    /// Whether all were kept with every seed tried.
    pub keeps_all: bool,
    /// The worst figure of each objective over the seeds; empty where one was tried.
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
    let mut field = Field { base, traffic, search, tried: BTreeMap::new(), runs: 1 };
    let baseline = field.confirm(&BTreeMap::new())?;
    known(&search.objectives, &baseline.evidence.point.result)?;
    progress(field.runs, search.budget);
    field.scatter(&mut progress)?;
    field.climb(&mut progress)?;
    let (mut tried, mut refused) = (Vec::new(), Vec::new());
    for outcome in std::mem::take(&mut field.tried).into_values() {
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
    tried.push(baseline.evidence.clone());
    sort(&mut tried);
    let mut best = None;
    for candidate in tried.iter_mut().filter(|evidence| evidence.keeps_all) {
        let confirmed = field.confirm(&candidate.point.settings)?;
        *candidate = confirmed.evidence.clone();
        if candidate.keeps_all {
            best = Some(confirmed);
            break;
        }
    }
    if let Some(found) = &mut best
        && let Some(simpler) = fewest::simpler(&field, &baseline, found)?
    {
        *found = simpler;
        tried.retain(|evidence| evidence.point.settings != found.evidence.point.settings);
        tried.push(found.evidence.clone());
        sort(&mut tried);
    }
    mark_front(&mut tried.iter_mut().map(|one| &mut one.point).collect::<Vec<_>>());
    let combinations = search.dimensions.iter().map(|dimension| dimension.values.len()).product();
    let saving =
        best.as_ref().and_then(|best| Interval::of_differences(&baseline.costs, &best.costs));
    let (best, baseline) = (best.map(|best| best.evidence), baseline.evidence);
    Ok(Recommendation { best, baseline, saving, tried, refused, combinations })
}

/// Refuses objectives about what the scenario does not say.
fn known(objectives: &[Objective], result: &SimResult) -> Result<(), RunError> {
    let unknown = objectives.iter().find(|objective| !objective.figure.is_known(result));
    let Some(Objective { figure, .. }) = unknown else { return Ok(()) };
    let needs = match figure {
        Figure::Cost => "prices (--price)",
        Figure::GbHours => "the memory of instances (--instance-memory, or --memory)",
        Figure::GpuHours => "GPUs (--instance-gpus, or gpus= of --nodes)",
        _ => "nodes (--nodes)",
    };
    Err(RunError::Model(format!("{} can be kept only where there are {needs}", figure.name())))
}

fn sort(tried: &mut [Evidence]) {
    tried.sort_by(|a, b| order(a).partial_cmp(&order(b)).unwrap_or(std::cmp::Ordering::Equal));
}

/// What a run costs; without prices, its instance-hours.
fn cost(result: &SimResult) -> f64 {
    Figure::price(result).of(result)
}

/// Cheapest first; among equals the faster one. By the first seed, which all were run with: a mean
/// over several cannot be held against one.
fn order(evidence: &Evidence) -> (f64, f64) {
    let result = &evidence.point.result;
    (cost(result), result.latency_ms.p99)
}

impl Evidence {
    /// By what share of its bound each objective is missed, added up; 0 when all are kept.
    pub fn missed_by(&self) -> f64 {
        let missed = |judged: &Judged| judged.objective.missed_by(judged.figure);
        self.objectives.iter().map(missed).sum()
    }
}

fn judge(point: SweepPoint, objectives: &[Objective]) -> Evidence {
    let judged: Vec<Judged> = objectives
        .iter()
        .map(|objective| {
            let figure = objective.figure.mean(&point.result);
            Judged { objective: *objective, figure, kept: objective.is_kept_by(figure) }
        })
        .collect();
    let worst: Vec<f64> =
        objectives.iter().map(|objective| objective.figure.worst(&point.result)).collect();
    let pairs = objectives.iter().zip(&worst);
    let keeps_all = pairs.into_iter().all(|(objective, worst)| objective.is_kept_by(*worst));
    let worst = if point.result.over_seeds.is_some() { worst } else { Vec::new() };
    Evidence { point, objectives: judged, keeps_all, worst }
}

/// Settings that were run with every seed.
#[derive(Debug, Clone)]
struct Confirmed {
    evidence: Evidence,
    /// What they cost with each seed.
    costs: Vec<f64>,
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
    /// Runs `settings` with every seed.
    fn confirm(&self, settings: &BTreeMap<String, String>) -> Result<Confirmed, RunError> {
        let mut scenario = self.base.clone();
        for (key, value) in settings {
            scenario.set(key, value).map_err(RunError::Model)?;
        }
        let effort = self.search.effort;
        let seeds = seeds(self.base.seed, effort.seeds.get());
        let results = run_seeds(&scenario, self.traffic, &seeds, effort.threads)?;
        let costs = results.iter().map(cost).collect();
        let mut results = results.into_iter();
        let mut first = results.next().unwrap_or_default();
        first.revisions.clear();
        let point = SweepPoint::new(settings.clone(), with_intervals(first, results.as_slice()));
        Ok(Confirmed { evidence: judge(point, &self.search.objectives), costs })
    }

    /// Runs `settings` with the first seed alone.
    fn try_once(&self, settings: &BTreeMap<String, String>) -> Result<Evidence, RunError> {
        let effort = Effort::once(self.search.effort.threads);
        let result = try_settings(self.base, self.traffic, settings, effort)?;
        Ok(judge(SweepPoint::new(settings.clone(), result), &self.search.objectives))
    }

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
        let rank = |evidence: &Evidence| (evidence.missed_by(), order(evidence).0);
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
            search.effort.threads,
            |place| {
                let alone = Effort::once(search.effort.threads).on_one_thread();
                try_settings(base, traffic, &settings(place), alone)
            },
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
