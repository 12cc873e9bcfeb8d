//! The lifecycle settings of one revision.

use crate::settings::{Config, GoDuration, Reachability, Resolved, ScaleBounds};
use crate::spec::DecisionSpec;

/// How long a revision may take to become ready by default.
pub const DEFAULT_PROGRESS_DEADLINE: GoDuration = GoDuration::from_seconds(600);

/// The shortest idle time that counts, in milliseconds: the resolution of the windows. A floor of 0
/// would mean the default.
const IDLE_FLOOR_MIN_MS: u64 = 1_000;

/// Whether a revision may have no instance at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum ZeroScale {
    /// An idle revision loses its last instance.
    #[default]
    Allowed,
    /// One instance always stays.
    Forbidden,
}

/// The lifecycle settings of one revision.
#[derive(Debug, Clone, PartialEq)]
pub struct LifecycleSpec {
    /// Whether it may have no instance at all.
    pub zero_scale: ZeroScale,
    /// Fewest and most instances.
    pub bounds: ScaleBounds,
    /// Instances to start with.
    pub initial_scale: i32,
    /// Whether anything routes requests to it.
    pub reachability: Reachability,
    /// How long it must have been active before it may become idle: the stable window.
    pub stable_window: GoDuration,
    /// How long the activator must have been in the path before the last instance goes.
    pub grace_period: GoDuration,
    /// How long the last instance stays at least.
    pub retention: GoDuration,
    /// How long it may take to become ready.
    pub progress_deadline: GoDuration,
    /// What its decisions are computed from; the burst capacity and what activators hold.
    pub decision: DecisionSpec,
}

impl LifecycleSpec {
    /// The lifecycle settings that annotations and cluster settings come to. `progress_deadline` is
    /// the cluster's, which an annotation overrides.
    pub fn new(
        config: &Config,
        resolved: &Resolved,
        reachability: Reachability,
        progress_deadline: GoDuration,
    ) -> Self {
        Self {
            zero_scale: match config.enable_scale_to_zero {
                true => ZeroScale::Allowed,
                false => ZeroScale::Forbidden,
            },
            bounds: resolved.bounds,
            initial_scale: resolved.spec.initial_scale,
            reachability,
            stable_window: resolved.stable_window,
            grace_period: config.scale_to_zero_grace_period,
            retention: resolved.effective_retention,
            progress_deadline: resolved.progress_deadline.unwrap_or(progress_deadline),
            decision: resolved.spec,
        }
    }

    /// Makes a revision that has had no request for `idle_ms` lose its last instance: sooner than a
    /// whole window of `window_ms`, and later by keeping the last instance. Both `decision` and
    /// these settings follow.
    pub fn scale_to_zero_after(
        &mut self,
        idle_ms: u64,
        window_ms: u64,
        decision: &mut DecisionSpec,
    ) {
        let duration =
            |ms: u64| GoDuration::from_milliseconds(i64::try_from(ms).unwrap_or(i64::MAX));
        decision.idle_floor_ms = idle_ms.clamp(IDLE_FLOOR_MIN_MS, window_ms.max(IDLE_FLOOR_MIN_MS));
        self.stable_window = duration(idle_ms.min(window_ms));
        self.decision = *decision;
        if idle_ms > window_ms {
            self.retention = duration(idle_ms - window_ms);
        }
    }

    pub(super) fn is_reachable(&self) -> bool {
        self.reachability != Reachability::Unreachable
    }
}
