//! The settings of an HPA object.

use std::fmt;

use crate::settings::{HpaObject, HpaTarget};
use crate::signal::SignalKind;

/// The longest stabilization window that Kubernetes accepts, in milliseconds.
const STABILIZATION_MAX_MS: u64 = 3_600_000;

/// The longest period of a behavior policy that Kubernetes accepts, in milliseconds.
const PERIOD_MAX_MS: u64 = 1_800_000;

/// The most metrics, and the most policies of one direction.
const ENTRIES_MAX: usize = 16;

/// An HPA's specification and the controller's own settings that bear on it.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct HpaSettings {
    /// Fewest replicas; at least 1.
    pub min_replicas: u32,
    /// Most replicas; at least `min_replicas`.
    pub max_replicas: u32,
    /// What is measured, and how much of it each replica should have. At least one.
    pub metrics: Vec<HpaMetricSpec>,
    /// How far from 1 the ratio may be without consequences.
    pub tolerance: Tolerance,
    /// How growth is held back.
    pub scale_up: ScalingRules,
    /// How shrinking is held back.
    pub scale_down: ScalingRules,
    /// How often a decision is made, in milliseconds.
    pub sync_period_ms: u64,
    /// Over how long concurrency and request rate are averaged, in milliseconds.
    pub metrics_window_ms: u64,
}

impl Default for HpaSettings {
    /// Kubernetes' defaults, with a concurrency of 70 to aim for.
    fn default() -> Self {
        Self {
            min_replicas: 1,
            max_replicas: 10,
            metrics: vec![HpaMetricSpec { kind: SignalKind::Concurrency, target: 70.0 }],
            tolerance: Tolerance::default(),
            scale_up: ScalingRules::default_up(),
            scale_down: ScalingRules::default_down(),
            sync_period_ms: 15_000,
            metrics_window_ms: 60_000,
        }
    }
}

/// A metric and its target.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct HpaMetricSpec {
    /// What is measured.
    pub kind: SignalKind,
    /// The average per replica to aim for, in the unit of the signal. Above 0.
    pub target: f64,
}

/// How far from 1 the ratio may be without consequences; 0.1 by default.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Tolerance {
    /// Above 1.
    pub up: f64,
    /// Below 1.
    pub down: f64,
}

impl Default for Tolerance {
    fn default() -> Self {
        Self { up: 0.1, down: 0.1 }
    }
}

impl Tolerance {
    pub(super) fn covers(self, ratio: f64) -> bool {
        (1.0 - self.down..=1.0 + self.up).contains(&ratio)
    }
}

/// How one direction is held back.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ScalingRules {
    /// How long the most cautious recommendation counts, in milliseconds; at most an hour.
    pub stabilization_ms: u64,
    /// Which of the policies decides.
    pub select: SelectPolicy,
    /// How much may change within which time. At least one.
    pub policies: Vec<ScalingPolicy>,
}

impl ScalingRules {
    /// Growth at once, by four replicas or to the double every 15 seconds.
    pub fn default_up() -> Self {
        let every_15_s = |step| ScalingPolicy { step, period_ms: 15_000 };
        Self {
            stabilization_ms: 0,
            select: SelectPolicy::Max,
            policies: vec![
                every_15_s(ScalingStep::Replicas(4)),
                every_15_s(ScalingStep::Percent(100)),
            ],
        }
    }

    /// Shrinking only to what five minutes agree on, then by any number.
    pub fn default_down() -> Self {
        let policy = ScalingPolicy { step: ScalingStep::Percent(100), period_ms: 15_000 };
        Self { stabilization_ms: 300_000, select: SelectPolicy::Max, policies: vec![policy] }
    }
}

/// Which of several policies decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum SelectPolicy {
    /// The one that allows most.
    #[default]
    Max,
    /// The one that allows least.
    Min,
    /// None: this direction is switched off.
    Disabled,
}

/// How much may change within which time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ScalingPolicy {
    /// How much.
    pub step: ScalingStep,
    /// Within which time, in milliseconds; 1 s to 30 min.
    pub period_ms: u64,
}

/// A change of replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum ScalingStep {
    /// A number of replicas. Above 0.
    Replicas(u32),
    /// A share of what there was at the start of the period, in percent. Above 0.
    Percent(u32),
}

/// A number of an HPA's settings that is not in its range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HpaSettingsError {
    /// The number's name.
    pub field: &'static str,
    /// What would have been accepted.
    pub expected: &'static str,
}

impl fmt::Display for HpaSettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hpa settings: {} is out of range, expected {}", self.field, self.expected)
    }
}

impl std::error::Error for HpaSettingsError {}

impl HpaSettings {
    /// What the HPA object of a revision says, with Kubernetes' defaults for the rest. Metrics of
    /// other names than `concurrency`, `rps`, `cpu` and `memory` become [`SignalKind::Custom`]
    /// number 0; without a target the metric is a processor utilization of 80 percent.
    pub fn of_object(object: &HpaObject, target: Option<f64>) -> Self {
        let defaults = Self::default();
        let metric = object.metric.as_ref().zip(target).map_or(
            HpaMetricSpec { kind: SignalKind::Cpu, target: 80.0 },
            |(metric, target)| {
                let target = match &metric.target {
                    HpaTarget::ResourceUtilization(_) => target.ceil(),
                    HpaTarget::ResourceAverage(_) | HpaTarget::PodsAverage(_) => target.trunc(),
                };
                HpaMetricSpec { kind: kind_of(&metric.name), target }
            },
        );
        let window_ms = object.stabilization_s.and_then(|s| u64::try_from(s).ok());
        let stabilized = |mut rules: ScalingRules| {
            if let Some(window_s) = window_ms {
                rules.stabilization_ms = window_s.saturating_mul(1000);
            }
            rules
        };
        let count = |replicas: i32| u32::try_from(replicas).unwrap_or(0);
        Self {
            min_replicas: object.min_replicas.map_or(1, count),
            max_replicas: count(object.max_replicas),
            metrics: vec![metric],
            scale_up: stabilized(defaults.scale_up),
            scale_down: stabilized(defaults.scale_down),
            ..Self::default()
        }
    }

    pub(super) fn validate(&self) -> Result<(), HpaSettingsError> {
        let require = |holds: bool, field, expected| match holds {
            true => Ok(()),
            false => Err(HpaSettingsError { field, expected }),
        };
        require(self.min_replicas >= 1, "min replicas", "at least 1")?;
        let ordered = self.min_replicas <= self.max_replicas;
        require(ordered, "max replicas", "at least the min replicas")?;
        let metrics = (1..=ENTRIES_MAX).contains(&self.metrics.len());
        require(metrics, "number of metrics", "1 to 16")?;
        let usable = |metric: &HpaMetricSpec| metric.target.is_finite() && metric.target > 0.0;
        require(self.metrics.iter().all(usable), "metric target", "a number above 0")?;
        let Tolerance { up, down } = self.tolerance;
        let tolerant = up.is_finite() && up >= 0.0 && (0.0..1.0).contains(&down);
        require(tolerant, "tolerance", "at least 0, and below 1 for scaling down")?;
        require(self.sync_period_ms >= 1000, "sync period", "at least 1 second")?;
        for rules in [&self.scale_up, &self.scale_down] {
            let stabilized = rules.stabilization_ms <= STABILIZATION_MAX_MS;
            require(stabilized, "stabilization window", "at most 1 hour")?;
            let policies = (1..=ENTRIES_MAX).contains(&rules.policies.len());
            require(policies, "number of scaling policies", "1 to 16")?;
            for policy in &rules.policies {
                let period = (1000..=PERIOD_MAX_MS).contains(&policy.period_ms);
                require(period, "period of a scaling policy", "1 second to 30 minutes")?;
                let (ScalingStep::Replicas(value) | ScalingStep::Percent(value)) = policy.step;
                require(value > 0, "value of a scaling policy", "above 0")?;
            }
        }
        Ok(())
    }
}

fn kind_of(metric: &str) -> SignalKind {
    match metric {
        "concurrency" => SignalKind::Concurrency,
        "rps" => SignalKind::RequestRate,
        "cpu" => SignalKind::Cpu,
        "memory" => SignalKind::Memory,
        _ => SignalKind::Custom(0),
    }
}
