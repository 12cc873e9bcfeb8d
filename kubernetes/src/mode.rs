//! A target's mode, its step on the way to zero and back, derived from the observed objects.
//!
//! ```text
//!          nothing is wanted                          replicas are 0
//!   Warm ─────────────────────> Draining ─────────────────────────────> Zero
//!    ^     a slice is there        │  ^                                  │
//!    │                   something │  │ nothing                          │ something is wanted:
//!    │                   is wanted v  │ is wanted                        v replicas are set
//!    └────────────────────────── Activating <────────────────────────────┘
//!       pods are ready, the slice goes
//! ```
//!
//! No step depends on the memory of this process: the next leader derives the same mode. Who set a
//! target to zero is in no object, so `Draining` is written to the status before a target is set to
//! zero; a zero after any other mode was set by a person or another program, and is respected.

use tidegate_kubernetes_objects::traffic_scaler::Mode;

use crate::world::{DesiredScale, Memory, Scaler, Target};

/// The mode of a target that is there; `has_slices` is whether a slice of ours is.
#[must_use]
pub fn mode(
    scaler: &Scaler,
    target: &Target,
    memory: &Memory,
    (has_slices, desired): (bool, Option<&DesiredScale>),
) -> Mode {
    if target.replicas == 0 {
        // The observed object may be older than our last write.
        let outdated =
            memory.scaled.as_ref().is_some_and(|s| target.version.is_older_than(&s.version));
        return match outdated || scaler.is_zero_of_ours(memory) {
            true => Mode::Zero,
            false => Mode::Suspended,
        };
    }
    match desired {
        _ if !has_slices => Mode::Warm,
        Some(desired) if desired.replicas == 0 => Mode::Draining,
        Some(_) => Mode::Activating,
        None if scaler.status.mode == Some(Mode::Draining) => Mode::Draining,
        None => Mode::Activating,
    }
}
