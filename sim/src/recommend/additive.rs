//! Objectives as sums over revisions: what each uses of what all of them may.

use crate::arrival::RevisionIndex;
use crate::engine::RunError;
use crate::price::Bill;
use crate::record::{Observer, Outcome, RequestRecord};
use crate::result::{RevisionResult, SimResult};
use crate::scenario::Scenario;
use crate::time::{SimSpan, SimTime};

use super::{Figure, Objective};

/// Counts, for each revision, the requests that were slower than each objective allows. A
/// percentile of all requests together is no sum over revisions; how many are slower is.
pub(super) struct Slower {
    from: SimTime,
    /// For each objective that is about a percentile.
    bounds: Vec<Option<Bound>>,
    /// By revision, then by objective.
    counts: Vec<Vec<u64>>,
}

#[derive(Clone, Copy)]
struct Bound {
    /// Of the wait before service, not of the whole latency.
    is_wait: bool,
    at_most: SimSpan,
}

impl Slower {
    pub(super) fn new(objectives: &[Objective], scenario: &Scenario) -> Self {
        let bound = |objective: &Objective| {
            slower_allowed(objective.figure).map(|_| Bound {
                is_wait: objective.figure == Figure::WaitP99,
                at_most: SimSpan::from_secs_f64(objective.at_most / 1e3),
            })
        };
        Slower {
            from: SimTime::ZERO + scenario.warm_up,
            bounds: objectives.iter().map(bound).collect(),
            counts: Vec::new(),
        }
    }

    /// How many of a revision were slower than each objective allows.
    pub(super) fn of(&self, revision: usize) -> Vec<u64> {
        self.counts.get(revision).cloned().unwrap_or_else(|| vec![0; self.bounds.len()])
    }
}

impl Observer for Slower {
    fn request(&mut self, request: &RequestRecord) {
        if request.outcome != Outcome::Completed || request.arrived < self.from {
            return;
        }
        let RevisionIndex(revision) = request.revision;
        if self.counts.len() <= revision as usize {
            self.counts.resize(revision as usize + 1, vec![0; self.bounds.len()]);
        }
        let counts = &mut self.counts[revision as usize];
        for (count, bound) in counts.iter_mut().zip(&self.bounds) {
            let Some(bound) = bound else { continue };
            let until = if bound.is_wait { request.started } else { Some(request.ended) };
            let took = until.map(|until| until.since(request.arrived));
            *count += u64::from(took.is_some_and(|took| took > bound.at_most));
        }
    }
}

/// The share of completed requests that may be slower than a percentile's bound.
fn slower_allowed(figure: Figure) -> Option<f64> {
    Some(match figure {
        Figure::P50 => 0.5,
        Figure::P90 => 0.1,
        Figure::P95 => 0.05,
        Figure::P99 | Figure::WaitP99 => 0.01,
        Figure::P999 => 0.001,
        Figure::Max => 0.0,
        _ => return None,
    })
}

/// Refuses objectives that are no sum over revisions.
pub(super) fn check(objectives: &[Objective]) -> Result<(), RunError> {
    let no_sum = |objective: &&Objective| {
        matches!(
            objective.figure,
            Figure::Requests | Figure::Instances | Figure::Idle | Figure::NodeHours
        )
    };
    let Some(Objective { figure, .. }) = objectives.iter().find(no_sum) else { return Ok(()) };
    Err(RunError::Model(format!(
        "{} does not add up over revisions; expected a latency, cold, lost, instance-hours, \
         instances-mean or cost where each revision has settings of its own",
        figure.name()
    )))
}

/// What one revision uses of an objective; all together may use [`limit`]. `slower` of its requests
/// were slower than allowed.
pub(super) fn uses(
    objective: &Objective,
    one: &RevisionResult,
    slower: u64,
    bill: &Bill,
    cost: f64,
) -> f64 {
    let (requests, completed) = (one.requests as f64, one.completed as f64);
    match objective.figure {
        Figure::Cold => one.cold_starts as f64 - objective.at_most * requests,
        Figure::Lost => {
            let lost = one.rejected + one.timed_out + one.failed;
            lost as f64 - objective.at_most * requests
        }
        Figure::Mean => (one.latency_ms.mean - objective.at_most) * completed,
        Figure::InstanceHours => bill.instance_hours,
        Figure::InstancesMean => one.instances.mean,
        Figure::GbHours => bill.gb_hours,
        Figure::GpuHours => bill.gpu_hours,
        Figure::Cost => cost,
        Figure::ScaleEvents => one.scale_events as f64,
        other => slower as f64 - slower_allowed(other).unwrap_or(0.0) * completed,
    }
}

/// What all revisions together may use of an objective.
pub(super) fn limit(objective: &Objective) -> f64 {
    match objective.figure {
        Figure::InstanceHours
        | Figure::InstancesMean
        | Figure::GbHours
        | Figure::GpuHours
        | Figure::Cost
        | Figure::ScaleEvents => objective.at_most,
        _ => 0.0,
    }
}

/// The size of what an objective allows in a result, in the units of [`uses`].
pub(super) fn allowance(objective: &Objective, whole: &SimResult) -> f64 {
    match objective.figure {
        Figure::Cold | Figure::Lost => objective.at_most * whole.requests as f64,
        Figure::Mean => objective.at_most * whole.completed as f64,
        figure => match slower_allowed(figure) {
            Some(share) => share * whole.completed as f64,
            None => objective.at_most,
        },
    }
}
