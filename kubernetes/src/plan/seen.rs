//! What a plan reads out of what is seen.

use tidegate_autoscaler::Timestamp;

use crate::world::{DesiredScale, Memory, Scaler, Target, World};

/// How old a desired scale may be for a target to lose replicas by it.
pub const DESIRED_FRESH_MS: u64 = 5_000;

/// Whether every pod that takes requests is reporting now, so that a silent one is not
/// taken for idle. Of a Service with ports that carry no HTTP a pod is silent that does not count
/// their connections. `heard` is when so many pods were heard of.
pub(super) fn all_reporting(
    target: Option<&Target>,
    heard: Option<(Timestamp, i32)>,
    now: Timestamp,
) -> bool {
    let (Some(target), Some((as_of, pods))) = (target, heard) else { return false };
    now.millis_since(as_of) <= DESIRED_FRESH_MS && pods >= target.ready
}

/// Whether a pod that takes requests has no queue-proxy that reports. Before anything was decided
/// nobody can tell.
pub(super) fn is_anybody_silent(target: Option<&Target>, desired: Option<&DesiredScale>) -> bool {
    target.is_some_and(|t| t.ready > desired.map_or(0, |desired| desired.reporting))
}

/// Forgets what a target was set to once somebody else has set it to more than zero.
pub(super) fn note_replicas(memory: &mut Memory, target: &Target) {
    let is_new = memory.scaled.as_ref().is_some_and(|scaled| {
        !target.version.is_older_than(&scaled.version)
            && target.replicas != scaled.replicas
            && target.replicas > 0
    });
    if is_new {
        memory.scaled = None;
    }
}

/// Whether the Service has a pod of its own that takes requests.
pub(super) fn has_ready_pod(world: &World, scaler: &Scaler) -> bool {
    let mut slices = world.slices.of_service(&scaler.service);
    slices.any(|(_, slice)| slice.ours.is_none() && slice.ready > 0)
}
