//! A revision at a glance.

use tidegate_autoscaler::Timestamp;
use tidegate_autoscaler::settings::ScaleBounds;

use crate::identity::{InstanceName, RevisionId};
use crate::instance::Phase;
use crate::pin::Pinned;

/// A revision as it is now.
#[derive(Debug, Clone, PartialEq)]
pub struct RevisionStatus {
    /// The revision.
    pub revision: RevisionId,
    /// Instances wanted; -1 before the first decision.
    pub desired: i32,
    /// Instances that take requests.
    pub ready: u32,
    /// Instances that were started and do not take requests yet.
    pub starting: u32,
    /// Instances that are being stopped.
    pub draining: u32,
    /// Instances that stand still until they are wanted, or are about to.
    pub frozen: u32,
    /// Whether panic mode is on.
    pub in_panic: bool,
    /// Average concurrency over the stable window, 0 when unknown.
    pub stable_concurrency: f64,
    /// Average concurrency over the panic window, 0 when unknown.
    pub panic_concurrency: f64,
    /// Requests in queues.
    pub waiting: u32,
    /// Requests executing and waiting.
    pub in_flight: u32,
    /// Why the last decision was what it was; empty before the first.
    pub last_reason: String,
    /// What the load of one instance should come to, where a target is what decides.
    pub target: Option<f64>,
    /// Requests that one instance takes at a time, the mean of those that say so; 0 is unlimited.
    pub limit: f64,
    /// Fewest and most instances, as declared.
    pub bounds: ScaleBounds,
    /// What a person has set instead.
    pub pinned: Option<Pinned>,
    /// Instances that are there and are still to be replaced, as a person ordered.
    pub outdated: u32,
    /// The instances, in the order of their names.
    pub instances: Vec<InstanceStatus>,
}

/// One instance as the controller knows it at the moment of the response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceStatus {
    /// Its name.
    pub name: InstanceName,
    /// What it is doing.
    pub phase: Phase,
    /// Requests at it, as far as is known.
    pub in_flight: u32,
    /// When it was started, or heard of first.
    pub started: Timestamp,
    /// Whether it is still to be replaced, as a person ordered.
    pub outdated: bool,
    /// Whether its sidecar counts connections that carry no HTTP among them.
    pub counts_connections: bool,
}
