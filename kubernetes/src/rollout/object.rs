//! A rollout as an object of the API, and what its settings mean.

use tidegate_autoscaler::Timestamp;
use tidegate_kubernetes_objects::traffic_rollout::{
    Control, HealthGate, RolloutRun, Strategy as WrittenStrategy,
};
use tidegate_kubernetes_objects::{TrafficRolloutSpec, TrafficRolloutStatus};
use tidegate_rollout::{Gate, Order, Settings, Step, Strategy, Weight};

use crate::world::{Version, Versioned};

/// Time between two changes of a linear rollout: many ingresses read all of their configuration
/// anew for each.
pub const LINEAR_PERIOD_MS: u64 = 10_000;

/// The share that a linear rollout begins with.
const FIRST_PERMILLE: i32 = 10;

/// A `TrafficRollout`.
#[derive(Debug, Clone, PartialEq)]
pub struct RolloutObject {
    /// Its identity.
    pub uid: String,
    /// When it was created, which decides between two that claim the same.
    pub created: Timestamp,
    /// The generation of its spec.
    pub generation: i64,
    /// The version that was seen.
    pub version: Version,
    /// What it says.
    pub spec: TrafficRolloutSpec,
    /// What that means, or what is wrong with it.
    pub settings: Result<Settings, String>,
    /// What was last written about it.
    pub status: TrafficRolloutStatus,
}

impl Versioned for RolloutObject {
    fn version(&self) -> &Version {
        &self.version
    }
}

impl RolloutObject {
    /// Which rollout it is.
    #[must_use]
    pub fn run(&self) -> RolloutRun {
        let TrafficRolloutSpec { stable, new, revision, .. } = &self.spec;
        RolloutRun {
            stable: stable.name.clone(),
            new: new.name.clone(),
            revision: revision.clone(),
        }
    }

    /// What a person wants of it.
    #[must_use]
    pub fn order(&self) -> Order {
        match self.spec.control.unwrap_or_default() {
            Control::Run => Order::Run,
            Control::Pause => Order::Pause,
            Control::Promote => Order::Promote,
            Control::Abort => Order::Abort,
        }
    }
}

/// What a spec means to the rollout library.
///
/// # Errors
///
/// What is wrong with it. The definition refuses most of that already, where it is in force.
pub fn settings(spec: &TrafficRolloutSpec) -> Result<Settings, String> {
    let strategy = strategy(&spec.strategy).map_err(|wrong| format!("spec.strategy: {wrong}"))?;
    let health = spec.health.unwrap_or_default();
    let gate = gate(&health).ok_or("spec.health: a number is below zero or beyond its bound")?;
    if spec.stable.name == spec.new.name {
        return Err("spec.stable and spec.new name the same Service".to_owned());
    }
    Ok(Settings { strategy, gate })
}

fn strategy(written: &WrittenStrategy) -> Result<Strategy, String> {
    let weight =
        |permille: i32| Weight::from_permille(permille.into()).map_err(|error| error.to_string());
    let millis = |seconds: i64| {
        let seconds = u64::try_from(seconds).map_err(|_| format!("{seconds} s is below zero"));
        seconds.map(|seconds| seconds.saturating_mul(1_000))
    };
    let made = match (&written.steps, &written.linear) {
        (Some(steps), None) => {
            let step = |step: &tidegate_kubernetes_objects::traffic_rollout::RolloutStep| {
                let (weight, hold_ms) = (weight(step.permille)?, millis(step.hold_seconds)?);
                Ok::<Step, String>(Step { weight, hold_ms })
            };
            Strategy::steps(steps.iter().map(step).collect::<Result<Vec<Step>, String>>()?)
        }
        (None, Some(linear)) => {
            let first = weight(linear.first_permille.unwrap_or(FIRST_PERMILLE))?;
            Strategy::linear(first, millis(linear.over_seconds)?, LINEAR_PERIOD_MS)
        }
        _ => return Err("give either steps or linear, and not both".to_owned()),
    };
    made.map_err(|error| error.to_string())
}

fn gate(health: &HealthGate) -> Option<Gate> {
    let usual = Gate::default();
    Some(Gate {
        tolerated_errors_permille: match health.tolerated_errors_permille {
            Some(permille) => u16::try_from(permille).ok().filter(|given| *given <= 1_000)?,
            None => usual.tolerated_errors_permille,
        },
        tolerated_latency_percent: match health.tolerated_latency_percent {
            Some(percent) => u32::try_from(percent).ok()?,
            None => usual.tolerated_latency_percent,
        },
        requests_min: match health.min_requests {
            Some(requests) => u64::try_from(requests).ok()?,
            None => usual.requests_min,
        },
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(strategy: Value, health: Value) -> Result<Settings, String> {
        let spec = json!({
            "route": {"name": "web"},
            "stable": {"name": "web-v1"},
            "new": {"name": "web-v2"},
            "strategy": strategy,
            "health": health,
        });
        settings(&serde_json::from_value(spec).expect("it can be read"))
    }

    #[test]
    fn what_is_not_said_is_as_usual() {
        let steps = json!({"steps": [{"permille": 100, "holdSeconds": 60}]});
        let settings = read(steps, json!({"minRequests": 7})).expect("it can be followed");
        assert_eq!(settings.gate, Gate { requests_min: 7, ..Gate::default() });
        let step = Step { weight: Weight::from_permille(100).expect("valid"), hold_ms: 60_000 };
        assert_eq!(settings.strategy, Strategy::steps(vec![step]).expect("it rises"));
        assert!(read(json!({"linear": {"overSeconds": 60}}), json!({})).is_ok());
    }

    #[test]
    fn what_cannot_be_followed_is_told() {
        let step = |permille: i32| json!({"permille": permille, "holdSeconds": 60});
        for (strategy, health, part) in [
            (json!({}), json!({}), "either steps or linear"),
            (json!({"steps": [step(50), step(50)]}), json!({}), "step 2 sends 5 %"),
            (json!({"steps": [step(1_001)]}), json!({}), "expected 0 to 1000"),
            (json!({"steps": [{"permille": 5, "holdSeconds": -1}]}), json!({}), "below zero"),
            (json!({"linear": {"overSeconds": 9}}), json!({}), "10000 ms"),
            (json!({"steps": [step(5)]}), json!({"minRequests": -1}), "spec.health"),
        ] {
            let told = read(strategy, health).map(|_| ()).unwrap_err();
            assert!(told.contains(part), "{told:?} does not say {part:?}");
        }
    }
}
