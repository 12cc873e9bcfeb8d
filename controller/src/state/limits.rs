//! Bounds on what a controller holds: over all revisions and streams, and per revision where one
//! could take it all.

use crate::journal::DECISIONS_IN_ALL_MAX;

/// Most revisions one controller holds.
pub const REVISIONS_MAX: usize = 100_000;

/// Most streams at a time.
pub const REPORTERS_MAX: usize = 200_000;

/// Most instances of one revision: the same bound as a reporter's.
pub const INSTANCES_PER_REVISION_MAX: usize = 100_000;

/// Most instances in all. Those whose stream was cut count until they are forgotten.
pub const INSTANCES_MAX: usize = 200_000;

/// Most seconds of history that all revisions hold together before their first decisions: revisions
/// beyond it begin without history. Enough for sixteen thousand to restart at once with a window of
/// a minute each.
pub const HISTORY_SECONDS_MAX: usize = 1_000_000;

/// Most activators: each is sent every revision.
pub const ACTIVATORS_MAX: usize = 1_000;

/// The bounds above, as values, so that a test can reach them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) revisions: usize,
    pub(super) reporters: usize,
    pub(super) instances_per_revision: usize,
    pub(super) instances: usize,
    pub(super) activators: usize,
    pub(super) history_seconds: usize,
    pub(super) decisions: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            revisions: REVISIONS_MAX,
            reporters: REPORTERS_MAX,
            instances_per_revision: INSTANCES_PER_REVISION_MAX,
            instances: INSTANCES_MAX,
            activators: ACTIVATORS_MAX,
            history_seconds: HISTORY_SECONDS_MAX,
            decisions: DECISIONS_IN_ALL_MAX,
        }
    }
}
