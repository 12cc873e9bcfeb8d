//! Runs a scenario against traffic.

use serde::{Deserialize, Serialize};

use crate::arrival::{SourceError, Traffic};
use crate::record::{DecisionRecord, Observer};
use crate::result::SimResult;
use crate::scenario::Scenario;
use crate::series::TimeSeries;
use crate::world::World;

/// Everything a run leaves behind. Only `result` is filled unless the scenario's recording asks.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RunOutput {
    /// The result with stable names.
    pub result: SimResult,
    /// The series over all revisions first, then those of single revisions.
    pub series: Vec<TimeSeries>,
    /// Decisions that differed from the one before, in order of time.
    pub decisions: Vec<DecisionRecord>,
    /// Decisions that differed but were not kept, because there were too many.
    pub decisions_dropped: u64,
    /// When cold starts happened, seconds, in order of time.
    pub cold_starts_s: Vec<f64>,
}

/// Why a run could not be carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The traffic could not be opened or read; the cause names file, line and column.
    #[error("the traffic cannot be read")]
    Traffic(#[source] SourceError),
    /// The traffic went back in time.
    #[error(
        "arrival {number} at {at_s} s comes before the one at {before_s} s; sort the traffic by \
         time"
    )]
    Order {
        /// Number of the arrival, from 1.
        number: u64,
        /// Its time.
        at_s: f64,
        /// Time of the one before it.
        before_s: f64,
    },
    /// A setting is not acceptable.
    #[error("revision `{revision}`: {problem}")]
    Setting {
        /// For which revision.
        revision: String,
        /// What is wrong, with key, value and allowed range.
        problem: String,
    },
    /// The model contradicts itself.
    #[error("{0}")]
    Model(String),
}

/// Runs `scenario` against `traffic` from its beginning, telling `observer` what happens.
///
/// `wall_seconds`, `requests_per_wall_second` and `peak_rss_bytes` of the result stay zero: the
/// engine reads no clock. [`crate::measured::run`] fills them.
///
/// # Errors
///
/// [`RunError`] when traffic or scenario cannot be used.
pub fn run<O: Observer>(
    scenario: &Scenario,
    traffic: &dyn Traffic,
    observer: &mut O,
) -> Result<RunOutput, RunError> {
    let mut source = traffic.open().map_err(RunError::Traffic)?;
    let mut output = World::new(scenario, observer)?.run(source.as_mut())?;
    output.result.trace_sha256 = traffic.sha256();
    output.result.settings = scenario.settings(traffic);
    Ok(output)
}
