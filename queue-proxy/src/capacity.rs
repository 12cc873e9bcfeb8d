//! A concurrency limit that follows the app's latency, for those who would rather not guess one.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tidegate_admission::{Adaptive, AdaptiveSettings, Limit, Moment};

use crate::gate::Gate;

/// Feeds latencies to the rule and its answer to the gate. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Capacity {
    adaptive: Arc<Mutex<Adaptive>>,
}

// === impl Capacity ===

impl Capacity {
    /// A limit that never exceeds `ceiling`, if there is one.
    pub fn new(ceiling: Option<u32>) -> Self {
        let defaults = AdaptiveSettings::default();
        let maximum = ceiling.unwrap_or(defaults.maximum);
        let settings =
            AdaptiveSettings { maximum, initial: defaults.initial.min(maximum), ..defaults };
        Self { adaptive: Arc::new(Mutex::new(Adaptive::new(settings))) }
    }

    /// The limit now.
    pub fn limit(&self) -> Limit {
        self.adaptive.lock().limit()
    }

    /// A request took `service`; the gate is resized if that changes anything.
    pub fn sample(&self, service: Duration, gate: &Gate) {
        let now = Moment::from(gate.uptime());
        let in_flight = gate.levels().executing.saturating_add(1);
        // The lock is released before the gate wakes anybody.
        let changed = self.adaptive.lock().sample(now, service, in_flight);
        if let Some(limit) = changed {
            gate.resize(limit);
        }
    }
}
