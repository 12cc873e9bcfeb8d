//! Revisions as those see them who look each second: numbers of all of them, and the rest of one.

use std::sync::Arc;

use crate::cold_start::ColdStart;
use crate::declaration::Declaration;
use crate::identity::RevisionId;
use crate::journal::DecisionRecord;
use crate::status::InstanceStatus;

/// The numbers of a revision. Making one copies no text and walks over no instances, so that those
/// of ten thousand revisions delay no tick.
#[derive(Debug, Clone, PartialEq)]
pub struct Overview {
    /// The revision.
    pub revision: RevisionId,
    /// Instances wanted; -1 before the first decision.
    pub desired: i32,
    /// Instances that take requests.
    pub ready: u32,
    /// Instances that were started and do not take requests yet, or not just now.
    pub starting: u32,
    /// Instances that are being stopped.
    pub draining: u32,
    /// Instances that stand still until they are wanted, or are about to.
    pub frozen: u32,
    /// Requests in queues.
    pub waiting: u32,
    /// Requests executing and waiting.
    pub in_flight: u32,
    /// The loads that the last decision weighed; `None` where it had none.
    pub windows: Option<Windows>,
    /// Whether panic mode is on.
    pub in_panic: bool,
    /// Whether wanted instances are not started.
    pub is_hindered: bool,
    /// Fewest and most instances; 0 is no bound.
    pub bounds: (i32, i32),
    /// Whether a person has set these bounds in place of the declared ones.
    pub is_pinned: bool,
    /// Requests that one instance takes at a time; 0 is unlimited.
    pub container_concurrency: u32,
    /// Requests that have ended since the revision was declared.
    pub finished: u64,
    /// Those of them that failed.
    pub failed: u64,
    /// How many decisions were made of it.
    pub decisions: u64,
}

/// The averages of a revision's first signal, usually its concurrency.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Windows {
    /// Over the stable window.
    pub stable: f64,
    /// Over the panic window.
    pub panic: f64,
    /// What one instance should carry.
    pub target: f64,
}

/// How much of a revision is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DetailQuery {
    /// Decisions after this number; 0 for all that are kept.
    pub after: u64,
    /// The most decisions: the newest.
    pub decisions_max: usize,
    /// The most instances, in the order of their names.
    pub instances_max: usize,
}

/// One revision with what there is to read of it.
#[derive(Debug, Clone)]
pub struct Detail {
    /// Its numbers.
    pub overview: Overview,
    /// How it is scaled.
    pub declaration: Declaration,
    /// Decisions with their numbers, newest first.
    pub decisions: Vec<(u64, Arc<DecisionRecord>)>,
    /// Instances, in the order of their names.
    pub instances: Vec<InstanceStatus>,
    /// The last cold starts, newest first.
    pub cold_starts: Vec<ColdStart>,
}
