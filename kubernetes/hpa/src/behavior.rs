//! How far one step may go: scaling policies and bounds.

use crate::object::{Behavior, Hpa, Policy, PolicyUnit, Rules, Select};

/// What applies upwards where the object says nothing.
const UP: [Policy; 2] = [
    Policy { unit: PolicyUnit::Pods, value: 4, period_seconds: 15 },
    Policy { unit: PolicyUnit::Percent, value: 100, period_seconds: 15 },
];

/// What applies downwards where the object says nothing.
const DOWN: [Policy; 1] = [Policy { unit: PolicyUnit::Percent, value: 100, period_seconds: 15 }];

/// For how long recommendations to scale down are remembered where nothing says otherwise
/// (`--horizontal-pod-autoscaler-downscale-stabilization`).
pub const DOWN_WINDOW_SECONDS: i64 = 300;

/// Without a `behavior`, a step goes to twice the replicas, or to this many.
const STEP_LEAST: i32 = 4;

/// For how long recommendations are remembered, upwards and downwards.
#[must_use]
pub fn windows_seconds(behavior: Option<&Behavior>) -> (i64, i64) {
    let window = |rules: Option<&Rules>| rules.and_then(|r| r.stabilization_window_seconds);
    (
        window(behavior.map(|behavior| &behavior.up)).unwrap_or(0),
        window(behavior.map(|behavior| &behavior.down)).unwrap_or(DOWN_WINDOW_SECONDS),
    )
}

/// The policies that apply in one direction, and which of them counts.
#[must_use]
pub fn policies(hpa: &Hpa, is_up: Direction) -> (Select, &[Policy]) {
    let (rules, usual): (_, &[Policy]) = match is_up {
        Direction::Up => (hpa.behavior.as_ref().map(|behavior| &behavior.up), &UP),
        Direction::Down => (hpa.behavior.as_ref().map(|behavior| &behavior.down), &DOWN),
    };
    match rules {
        Some(rules) if rules.policies.is_empty() => (rules.select, usual),
        Some(rules) => (rules.select, &rules.policies),
        None => (Select::Max, usual),
    }
}

/// Upwards or downwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// To more replicas.
    Up,
    /// To fewer replicas.
    Down,
}

/// How far one step may go, when nothing was scaled within the policies' periods: first by the
/// policies, then also by the bounds.
#[must_use]
pub fn limit(hpa: &Hpa, direction: Direction) -> (i32, i32) {
    let (select, policies) = policies(hpa, direction);
    let now = hpa.current_replicas;
    match direction {
        Direction::Up => {
            let most = match hpa.behavior {
                None => now.saturating_mul(2).max(STEP_LEAST),
                Some(_) => chosen(select, policies, now, added).max(now),
            };
            (most, most.min(hpa.max_replicas))
        }
        Direction::Down => {
            let least = match hpa.behavior {
                None => i32::MIN,
                Some(_) => match select {
                    Select::Max => chosen(Select::Min, policies, now, taken),
                    Select::Min => chosen(Select::Max, policies, now, taken),
                    Select::Disabled => now,
                }
                .min(now),
            };
            (least, least.max(hpa.min_replicas))
        }
    }
}

fn chosen(select: Select, policies: &[Policy], now: i32, step: fn(&Policy, i32) -> i32) -> i32 {
    let reached = policies.iter().map(|policy| step(policy, now));
    let chosen = match select {
        Select::Max => reached.max(),
        Select::Min => reached.min(),
        Select::Disabled => None,
    };
    chosen.unwrap_or(now)
}

/// The cast of a percentage ends at the largest number there is.
fn added(policy: &Policy, now: i32) -> i32 {
    match policy.unit {
        PolicyUnit::Pods => now.saturating_add(policy.value),
        PolicyUnit::Percent => {
            (f64::from(now) * (1.0 + f64::from(policy.value) / 100.0)).ceil() as i32
        }
    }
}

fn taken(policy: &Policy, now: i32) -> i32 {
    match policy.unit {
        PolicyUnit::Pods => now.saturating_sub(policy.value),
        PolicyUnit::Percent => (f64::from(now) * (1.0 - f64::from(policy.value) / 100.0)) as i32,
    }
}
