//! What a run leaves behind.

use serde::{Deserialize, Serialize};

use crate::record::DecisionRecord;
use crate::result::SimResult;
use crate::series::TimeSeries;

/// All outputs of a run. Only `result` is filled unless the scenario's recording asks.
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
