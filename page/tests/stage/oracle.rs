//! Somebody who knows what would have been, because a test says so.

use tidegate_page::what_if::{Outcome, Past, Replay, Step, WhatIf};

/// Says that twice as many instances would have been there, unless it is asked for what cannot be.
#[derive(Debug)]
pub(crate) struct Oracle;

impl WhatIf for Oracle {
    fn replay(&self, past: &Past, settings: &[(String, String)]) -> Result<Replay, String> {
        if let Some((key, value)) = settings.iter().find(|(_, value)| value == "impossible") {
            return Err(format!("{key}: {value:?} <b>cannot be</b>"));
        }
        let present = outcome(past, 1.0);
        let other = if settings.is_empty() { present.clone() } else { outcome(past, 2.0) };
        let (id, moments) = (&past.declaration.id, past.moments.len());
        Ok(Replay { present, other, assumed: format!("{moments} moments of {id}") })
    }
}

fn outcome(past: &Past, share: f64) -> Outcome {
    let step = |moment: &tidegate_page::what_if::Moment| Step {
        at: moment.at_ms,
        ready: f64::from(moment.ready) * share,
        waiting: moment.waiting,
    };
    Outcome {
        requests: 1_000,
        cold_starts: 7,
        lost: 0,
        p50_ms: 20.0,
        p99_ms: 100.0 / share,
        ready_mean: share,
        ready_max: 3,
        instance_hours: share,
        steps: past.moments.iter().map(step).collect(),
    }
}
