//! What a run is to do.

use std::path::PathBuf;
use std::time::Duration;

/// Activators.
pub const DOORS: usize = 2;

/// What to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The program whose roles are killed.
    pub tidegate: PathBuf,
    /// Cycles of all revisions together.
    pub cycles: usize,
    /// Revisions, whose cycles go on beside each other.
    pub revisions: usize,
    /// Requests of each cycle.
    pub requests: u64,
    /// Clients of each revision, each with one request at a time.
    pub clients: usize,
    /// Requests that an instance takes at a time.
    pub limit: u32,
    /// What the app takes for each.
    pub service: Duration,
    /// The seed of what is killed, and when.
    pub seed: u64,
    /// Where the processes write what they log; nowhere without.
    pub logs: Option<PathBuf>,
}

pub(super) fn name(revision: usize) -> String {
    format!("web-{revision}")
}

pub(super) fn qualified(revision: usize) -> String {
    format!("default/{}", name(revision))
}
