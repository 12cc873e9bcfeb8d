//! Why a run could not be carried out.

use crate::arrival::SourceError;

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
