//! The simulator's prediction for the very same arrivals.
//!
//! It runs the same decision and admission code as the demo did, under the same settings, with a
//! model of the app: its configured service time, and the start-up time that was measured.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tidegate_sim::scenario::{Keep, Path, Platform, PolicyChoice, StartUp};
use tidegate_sim::{
    Arrival, ArrivalSource, DecisionRecord, Distribution, Recording, RevisionIndex, RevisionModel,
    RevisionNames, Scenario, SimSpan, SimTime, SourceError, Traffic,
};

use super::stats::{Standing, Tally};
use super::traffic::Schedule;

/// What is known about the app and its settings.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    /// Autoscaler settings by name, as the demo's own revision was given them.
    pub(crate) settings: BTreeMap<String, String>,
    pub(crate) max_instances: u32,
    pub(crate) idle: Duration,
    pub(crate) concurrency: u32,
    pub(crate) service: Duration,
    /// From the decision for an instance to its readiness.
    pub(crate) start_up: Duration,
}

/// Knative's settings as local mode gives them to a service that starts at zero.
pub(crate) fn settings(window: Duration) -> BTreeMap<String, String> {
    [
        ("allow-zero-initial-scale", "true".to_owned()),
        ("initial-scale", "0".to_owned()),
        ("stable-window", format!("{}ms", window.as_millis())),
        ("target-burst-capacity", "-1".to_owned()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

/// The prediction, and how far it is from what was measured.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Prediction {
    pub(crate) cold_starts: u64,
    pub(crate) mean_instances: f64,
    pub(crate) most_instances: u64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// Mean distance of ready instances, second by second, as a share of the measured mean.
    pub(crate) instances_error: f64,
    /// Ready instances in each second.
    pub(crate) ready: Vec<f64>,
    /// Changes of the desired number: when, in seconds, how many, and why.
    pub(crate) changes: Vec<(f64, u64, String)>,
}

/// Simulates the schedule over the time that was measured.
pub(crate) fn predict(
    model: &Model,
    schedule: &Arc<Schedule>,
    tally: &Tally,
    seed: u64,
) -> anyhow::Result<Prediction> {
    let measured = tally.standings.last().map_or(schedule.length, |last| last.at);
    let mut settings = model.settings.clone();
    settings.insert("max-scale".into(), model.max_instances.to_string());
    let revision = RevisionModel {
        policy: PolicyChoice::Tidegate,
        settings,
        concurrency: model.concurrency,
        service: Distribution::Constant(span(model.service)),
        start_up: StartUp::total(Distribution::Constant(span(model.start_up))),
        path: Path::Central,
        platform: Platform::Cluster.local(span(model.idle)),
        initial: Some(0),
        ..RevisionModel::default()
    };
    let scenario = Scenario {
        seed,
        duration: Some(span(measured)),
        revision,
        recording: Recording { series: Keep::Yes, decisions: MOST_DECISIONS, ..Recording::NOTHING },
        ..Scenario::default()
    };
    let output = tidegate_sim::run(&scenario, &Replayed(Arc::clone(schedule)), &mut ())?;
    let result = &output.result;
    let ready: Vec<f64> = output
        .series
        .iter()
        .find(|series| series.revision.is_none())
        .map(|series| series.points.iter().map(|point| point.ready_mean).collect())
        .unwrap_or_default();
    Ok(Prediction {
        cold_starts: result.cold_starts,
        mean_instances: result.instances.mean,
        most_instances: result.instances.max,
        p50_ms: result.latency_ms.p50,
        p99_ms: result.latency_ms.p99,
        instances_error: distance(&ready, &per_second(&tally.standings)),
        ready,
        changes: changes(&output.decisions),
    })
}

/// Decisions of the simulation that are kept: more than a day of the demo makes.
const MOST_DECISIONS: u32 = 100_000;

/// The decisions that changed the desired number.
fn changes(decisions: &[DecisionRecord]) -> Vec<(f64, u64, String)> {
    let mut desired = 0;
    let mut changes = Vec::new();
    for decision in decisions {
        if decision.desired != desired {
            desired = decision.desired;
            changes.push((decision.at_s, desired, decision.reason.clone()));
        }
    }
    changes
}

/// Mean of ready instances in each second.
pub(crate) fn per_second(standings: &[Standing]) -> Vec<f64> {
    let mut means: Vec<f64> = Vec::new();
    for pair in standings.windows(2) {
        let (mut from, to) = (pair[0].at.as_secs_f64(), pair[1].at.as_secs_f64());
        while from < to {
            let second = from.floor();
            let until = to.min(second + 1.0);
            // A second of a run that lasted at most a day.
            let index = second as usize;
            if means.len() <= index {
                means.resize(index + 1, 0.0);
            }
            means[index] += f64::from(pair[0].ready) * (until - from);
            from = until;
        }
    }
    means
}

/// Mean absolute difference, as a share of the mean of what was measured.
pub(crate) fn distance(predicted: &[f64], measured: &[f64]) -> f64 {
    let total: f64 = measured.iter().sum();
    if total <= 0.0 {
        return 0.0;
    }
    let length = predicted.len().max(measured.len());
    let at = |values: &[f64], index: usize| values.get(index).copied().unwrap_or(0.0);
    let difference = |index| (at(predicted, index) - at(measured, index)).abs();
    (0..length).map(difference).sum::<f64>() / total
}

fn span(duration: Duration) -> SimSpan {
    SimSpan::from_secs_f64(duration.as_secs_f64())
}

/// The schedule as the simulator's traffic.
struct Replayed(Arc<Schedule>);

impl Traffic for Replayed {
    fn open(&self) -> Result<Box<dyn ArrivalSource + Send>, SourceError> {
        let mut names = RevisionNames::new();
        let revision = names.intern("demo");
        Ok(Box::new(Replay { schedule: Arc::clone(&self.0), next: 0, names, revision }))
    }

    fn sha256(&self) -> String {
        // The demo prints its seed instead, which identifies the arrivals as well.
        String::new()
    }

    fn describe(&self) -> String {
        format!("{} arrivals of the demo", self.0.arrivals.len())
    }

    fn len_hint(&self) -> Option<u64> {
        Some(self.0.arrivals.len() as u64)
    }
}

struct Replay {
    schedule: Arc<Schedule>,
    next: usize,
    names: RevisionNames,
    revision: RevisionIndex,
}

impl ArrivalSource for Replay {
    fn next(&mut self) -> Option<Result<Arrival, SourceError>> {
        let at = self.schedule.arrivals.get(self.next)?;
        self.next += 1;
        let at = SimTime::from_secs_f64(at.as_secs_f64());
        Some(Ok(Arrival { at, service: None, revision: self.revision }))
    }

    fn names(&self) -> &RevisionNames {
        &self.names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(millis: u64, ready: u32) -> Standing {
        Standing { at: Duration::from_millis(millis), ready, ..Standing::default() }
    }

    #[test]
    fn a_series_is_averaged_by_the_second() {
        let standings = [standing(0, 0), standing(500, 2), standing(2_000, 0)];
        assert_eq!(per_second(&standings), [1.0, 2.0]);
        assert_eq!(distance(&[1.0, 2.0], &per_second(&standings)), 0.0);
        assert_eq!(distance(&[1.0, 0.5], &per_second(&standings)), 0.5);
    }
}
