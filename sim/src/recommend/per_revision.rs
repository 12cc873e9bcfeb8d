//! The cheapest settings for each revision alone, under bounds on all of them together.
//!
//! Revisions disturb each other only on nodes and by failures, so one run for each combination of
//! settings, with all revisions under it, says what each revision would do under it. From these
//! figures each revision's settings are chosen (`assignment`), and what was chosen is run as a
//! whole, with every seed. Where that misses a bound after all, the choice is made again with
//! tighter ones.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::additive::{self, Slower};
use super::assignment::{Offer, assign};
use super::{Evidence, Objective, judge, known};
use crate::arrival::Traffic;
use crate::billing::bill_of;
use crate::engine::{RunError, run};
use crate::parallel;
use crate::price::Bill;
use crate::result::{RevisionResult, SimResult};
use crate::scenario::{Recording, RevisionModel, Scenario};
use crate::seeds::{Effort, Reseeded, run_seeds, seeds, with_intervals};
use crate::sweep::{Dimension, Refused, SweepPoint, every_combination};

/// Most combinations of settings; each is run with every seed.
const COMBINATIONS_MAX: usize = 256;

/// Times that bounds are tightened.
const ATTEMPTS: usize = 6;

/// What a missed bound is tightened by at least, as a share of what it allows.
const TIGHTENED_SHARE: f64 = 0.02;

/// What all settings of their own are called together.
const OWN: &str = "each its own";

/// What to search, for what.
#[derive(Debug, Clone)]
pub struct RevisionSearch {
    /// What must be kept by all revisions together.
    pub objectives: Vec<Objective>,
    /// What may be varied for each.
    pub dimensions: Vec<Dimension>,
    /// Seeds with which everything is run, and threads.
    pub effort: Effort,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PerRevision {
    /// All revisions with the settings chosen for each; `None` when nothing keeps the objectives.
    pub best: Option<Evidence>,
    /// The settings as they are.
    pub baseline: Evidence,
    /// The same settings for all revisions, cheapest first.
    pub uniform: Vec<Evidence>,
    /// The revisions whose settings change, the one that costs most more first.
    pub changes: Vec<Change>,
    /// By what share the best costs more than the least that any choice among these settings could;
    /// `None` on nodes, since what these cost is no sum over revisions.
    pub gap_share: Option<f64>,
    /// Revisions in all.
    pub revisions: usize,
    /// Combinations that cannot be run, and why.
    #[serde(default)]
    pub refused: Vec<Refused>,
}

/// One revision's settings, and what they change, on average over the seeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Its name.
    pub revision: String,
    /// Its settings, beside those that are as they are.
    pub settings: Settings,
    /// What it costs as it is, and then; without prices, its instance-hours.
    pub cost: [f64; 2],
    /// Its cold starts as it is, and then.
    pub cold_starts: [f64; 2],
}

/// Settings by name.
type Settings = BTreeMap<String, String>;

/// One combination with one seed: the whole, and what each revision did.
struct Tried {
    whole: SimResult,
    parts: BTreeMap<String, Part>,
}

/// One combination with every seed.
type Tries = (Settings, Vec<Tried>);

/// What was chosen, and the whole of it.
struct Found {
    evidence: Evidence,
    chosen: Vec<usize>,
    gap_share: Option<f64>,
}

/// What one revision did with one seed.
#[derive(Debug, Clone, Default)]
struct Part {
    cost: f64,
    cold_starts: f64,
    /// What it uses of each objective.
    uses: Vec<f64>,
}

/// Searches for the cheapest settings of each revision with which all of them together meet the
/// objectives. `progress` is called with the number of runs done and of all.
///
/// # Errors
///
/// When an objective does not add up over revisions, there are too many combinations, or the
/// settings as they are cannot be run; when the traffic cannot be read.
pub fn recommend_per_revision(
    base: &Scenario,
    traffic: &dyn Traffic,
    search: &RevisionSearch,
    mut progress: impl FnMut(usize, usize),
) -> Result<PerRevision, RunError> {
    additive::check(&search.objectives)?;
    let field = Field { base, traffic, search };
    // No change comes first: that is what is kept where nothing is gained.
    let mut combinations = every_combination(&search.dimensions)?;
    if combinations.len() > COMBINATIONS_MAX {
        return Err(RunError::Model(format!(
            "there are {} combinations; expected at most {COMBINATIONS_MAX} where each revision \
             has settings of its own, so leave out values",
            combinations.len()
        )));
    }
    combinations.insert(0, Settings::new());
    let (options, refused) = field.try_all(combinations, &mut progress)?;
    if let ([_], Some(Refused { reason, .. })) = (&options[..], refused.first()) {
        return Err(RunError::Model(format!("no combination can be run: {reason}")));
    }
    let Some((_, baseline)) = options.first() else {
        return Err(RunError::Model("no combination can be run".to_owned()));
    };
    let baseline = field.evidence(&Settings::new(), baseline);
    known(&search.objectives, &baseline.point.result)?;
    let names = names(&options);
    let offers = field.offers(&options, &names);
    let mut uniform: Vec<Evidence> =
        options.iter().skip(1).map(|(settings, tried)| field.evidence(settings, tried)).collect();
    super::sort(&mut uniform);
    let found = field.choose(&options, &names, &offers)?;
    let mut answer = PerRevision {
        best: None,
        baseline,
        uniform,
        changes: Vec::new(),
        gap_share: None,
        revisions: names.len(),
        refused,
    };
    if let Some(found) = found {
        answer.changes = field.changes(&options, &names, &found.chosen);
        answer.gap_share = found.gap_share.filter(|_| base.nodes.is_empty());
        answer.best = Some(found.evidence);
    }
    Ok(answer)
}

/// The names of all revisions that any seed saw.
fn names(options: &[Tries]) -> Vec<String> {
    let all = options.iter().flat_map(|(_, tried)| tried);
    let names: std::collections::BTreeSet<&String> =
        all.flat_map(|tried| tried.parts.keys()).collect();
    names.into_iter().cloned().collect()
}

struct Field<'a> {
    base: &'a Scenario,
    traffic: &'a dyn Traffic,
    search: &'a RevisionSearch,
}

impl Field<'_> {
    /// Runs every combination with every seed; those that cannot be run are told apart.
    fn try_all(
        &self,
        combinations: Vec<Settings>,
        progress: &mut impl FnMut(usize, usize),
    ) -> Result<(Vec<Tries>, Vec<Refused>), RunError> {
        let seeds = seeds(self.base.seed, self.search.effort.seeds.get());
        let jobs: Vec<(&Settings, u64)> = combinations
            .iter()
            .flat_map(|settings| seeds.iter().map(move |seed| (settings, *seed)))
            .collect();
        let mut done = 0;
        let results = parallel::map(
            &jobs,
            self.search.effort.threads,
            |(settings, seed)| self.try_one(settings, *seed),
            |_, _| {
                done += 1;
                progress(done, jobs.len());
            },
        );
        let (mut options, mut refused) = (Vec::new(), Vec::new());
        let mut results = results.into_iter();
        for settings in &combinations {
            let tried: Result<Vec<Tried>, RunError> =
                results.by_ref().take(seeds.len()).collect::<Vec<_>>().into_iter().collect();
            match tried {
                Ok(tried) => options.push((settings.clone(), tried)),
                Err(RunError::Setting { problem, .. } | RunError::Model(problem))
                    if !settings.is_empty() =>
                {
                    refused.push(Refused { settings: settings.clone(), reason: problem });
                }
                Err(error) => return Err(error),
            }
        }
        Ok((options, refused))
    }

    /// Runs all revisions under the same settings with one seed.
    fn try_one(&self, settings: &Settings, seed: u64) -> Result<Tried, RunError> {
        let mut scenario = Scenario { seed, recording: Recording::NOTHING, ..self.base.clone() };
        set_all(&mut scenario.revision, settings)?;
        for model in scenario.revisions.values_mut() {
            set_all(model, settings)?;
        }
        let objectives = &self.search.objectives;
        let mut slower = Slower::new(objectives, &scenario);
        let reseeded = Reseeded { inner: self.traffic, seed };
        let traffic = if seed == self.base.seed { self.traffic } else { &reseeded };
        let whole = run(&scenario, traffic, &mut slower)?.result;
        let part = |(number, one): (usize, &RevisionResult)| {
            let bill = bill_of(one, &scenario, self.traffic);
            let cost = self.cost(&bill);
            let slower = slower.of(number);
            let uses = objectives
                .iter()
                .zip(slower)
                .map(|(objective, slower)| additive::uses(objective, one, slower, &bill, cost));
            let part = Part { cost, cold_starts: one.cold_starts as f64, uses: uses.collect() };
            (one.revision.clone(), part)
        };
        let parts = whole.revisions.iter().enumerate().map(part).collect();
        Ok(Tried { whole: whole.without_revisions(), parts })
    }

    /// What a revision is ranked by: what it costs, or its instance-hours without prices, and on
    /// nodes, which are paid for whoever is on them.
    fn cost(&self, bill: &Bill) -> f64 {
        if self.base.prices.are_given() && self.base.nodes.is_empty() {
            self.base.prices.of(bill)
        } else {
            bill.instance_hours
        }
    }

    /// All revisions under the same settings, over the seeds.
    fn evidence(&self, settings: &Settings, tried: &[Tried]) -> Evidence {
        let mut wholes = tried.iter().map(|tried| tried.whole.clone());
        let first = wholes.next().unwrap_or_default();
        let result = with_intervals(first, &wholes.collect::<Vec<_>>());
        judge(SweepPoint::new(settings.clone(), result), &self.search.objectives)
    }

    /// What each revision could have: its mean cost, and its use of each objective with each seed.
    fn offers(&self, options: &[Tries], names: &[String]) -> Vec<Vec<Offer>> {
        let nothing = Part { uses: vec![0.0; self.search.objectives.len()], ..Part::default() };
        let offer = |name: &String, tried: &[Tried]| {
            let parts = tried.iter().map(|tried| tried.parts.get(name).unwrap_or(&nothing));
            let cost = parts.clone().map(|part| part.cost).sum::<f64>() / tried.len() as f64;
            Offer { cost, uses: parts.flat_map(|part| part.uses.iter().copied()).collect() }
        };
        names
            .iter()
            .map(|name| options.iter().map(|(_, tried)| offer(name, tried)).collect())
            .collect()
    }

    /// Chooses, runs what was chosen, and chooses again with tighter bounds where one was missed.
    fn choose(
        &self,
        options: &[Tries],
        names: &[String],
        offers: &[Vec<Offer>],
    ) -> Result<Option<Found>, RunError> {
        let seeds = self.search.effort.seeds.get();
        let objectives = &self.search.objectives;
        let once: Vec<f64> = objectives.iter().map(additive::limit).collect();
        let mut limits: Vec<f64> = once.repeat(seeds);
        let mut at_least = None;
        for _ in 0..ATTEMPTS {
            let Some(assigned) = assign(offers, &limits) else { return Ok(None) };
            let bound = *at_least.get_or_insert(assigned.at_least);
            let evidence = self.run_chosen(options, names, &assigned.chosen)?;
            if evidence.keeps_all {
                let gap_share = (bound > 0.0).then(|| (assigned.cost / bound - 1.0).max(0.0));
                return Ok(Some(Found { evidence, chosen: assigned.chosen, gap_share }));
            }
            for (number, limit) in limits.iter_mut().enumerate() {
                let number = number % objectives.len();
                let worst = objectives[number].figure.worst(&evidence.point.result);
                let missed = objectives[number].missed_by(worst);
                if missed > 0.0 {
                    let allowed = additive::allowance(&objectives[number], &evidence.point.result);
                    *limit -= allowed * missed.clamp(TIGHTENED_SHARE, 0.5);
                }
            }
        }
        Ok(None)
    }

    /// Runs all revisions, each under what was chosen for it, with every seed.
    fn run_chosen(
        &self,
        options: &[Tries],
        names: &[String],
        chosen: &[usize],
    ) -> Result<Evidence, RunError> {
        let mut scenario = self.base.clone();
        let mut labels = Settings::new();
        for (name, number) in names.iter().zip(chosen).filter(|(_, number)| **number != 0) {
            let settings = &options[*number].0;
            let mut model = self.base.model_of(name).clone();
            set_all(&mut model, settings)?;
            scenario.revisions.insert(name.clone(), model);
            let words: Vec<String> =
                settings.iter().map(|(key, value)| format!("{key}={value}")).collect();
            labels.insert(name.clone(), words.join(" "));
        }
        let effort = self.search.effort;
        let seeds = seeds(self.base.seed, effort.seeds.get());
        let results = run_seeds(&scenario, self.traffic, &seeds, effort.threads)?;
        let mut results = results.into_iter();
        let first = results.next().unwrap_or_default().without_revisions();
        let result = with_intervals(first, results.as_slice());
        let mut point = SweepPoint::new(labels, result);
        OWN.clone_into(&mut point.label);
        Ok(judge(point, &self.search.objectives))
    }

    fn changes(&self, options: &[Tries], names: &[String], chosen: &[usize]) -> Vec<Change> {
        let mean = |number: usize, name: &String, of: fn(&Part) -> f64| {
            let tried = &options[number].1;
            let sum: f64 = tried.iter().filter_map(|tried| tried.parts.get(name)).map(of).sum();
            sum / tried.len() as f64
        };
        let change = |(name, number): (&String, &usize)| {
            let both = |of: fn(&Part) -> f64| [mean(0, name, of), mean(*number, name, of)];
            Change {
                revision: name.clone(),
                settings: options[*number].0.clone(),
                cost: both(|part| part.cost),
                cold_starts: both(|part| part.cold_starts),
            }
        };
        let changed = names.iter().zip(chosen).filter(|(_, number)| **number != 0);
        let mut changes: Vec<Change> = changed.map(change).collect();
        let more = |change: &Change| change.cost[1] - change.cost[0];
        changes.sort_by(|a, b| more(b).total_cmp(&more(a)).then(a.revision.cmp(&b.revision)));
        changes
    }
}

/// Sets everything of `settings`.
fn set_all(model: &mut RevisionModel, settings: &Settings) -> Result<(), RunError> {
    settings.iter().try_for_each(|(key, value)| model.set(key, value).map_err(RunError::Model))
}
