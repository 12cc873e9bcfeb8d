//! Where a target is on its way to zero and back, derived from what is seen.
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
//! No step depends on what only this process remembers: whoever decides next sees the same mode.
//! What no object shows is whose a zero is. So `Draining` is written down before a target is set
//! to zero; a zero that comes from any other mode is somebody else's, and is respected.

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
        // What is seen may be older than what we have done since.
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
