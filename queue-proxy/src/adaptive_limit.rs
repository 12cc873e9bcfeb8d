//! A concurrency limit that follows the app's latency, where no fixed one is configured.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tidegate_admission::{Adaptive, AdaptiveSettings, Limit, Moment};

use crate::gate::Gate;

/// Feeds latencies to the rule and its response to the gate. Cheap to clone.
#[derive(Debug, Clone)]
pub struct AdaptiveLimit {
    adaptive: Arc<Mutex<Adaptive>>,
}

/// Between three quarters and five quarters of `period`, by chance: instances that started together
/// must not all ask their apps at the same time.
fn spread(period: Duration) -> Duration {
    let chance = RandomState::new().hash_one(std::process::id()) % 1024;
    period.mul_f64(0.75 + chance as f64 / 2048.0)
}

impl AdaptiveLimit {
    /// A limit that never exceeds `ceiling`, if there is one.
    pub fn new(ceiling: Option<u32>) -> Self {
        let defaults = AdaptiveSettings::default();
        let maximum = ceiling.unwrap_or(defaults.maximum);
        let settings = AdaptiveSettings {
            maximum,
            initial: defaults.initial.min(maximum),
            rest_max: spread(defaults.rest_max),
            ..defaults
        };
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
        // The lock is released before the gate wakes waiting requests.
        let changed = self.adaptive.lock().sample(now, service, in_flight);
        if let Some(limit) = changed {
            tracing::debug!(limit = limit.to_wire(), "the limit follows the app's latency");
            gate.resize(limit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_ask_at_different_times() {
        let minute = Duration::from_secs(60);
        let periods: Vec<Duration> = (0..32).map(|_| spread(minute)).collect();
        assert!(periods.iter().all(|period| (45..=75).contains(&period.as_secs())), "{periods:?}");
        assert!(periods.iter().any(|period| *period != periods[0]), "{periods:?}");
    }

    #[test]
    fn the_ceiling_holds_from_the_start() {
        assert_eq!(AdaptiveLimit::new(Some(3)).limit().to_wire(), 3);
        assert_eq!(AdaptiveLimit::new(None).limit().to_wire(), 20);
    }
}
