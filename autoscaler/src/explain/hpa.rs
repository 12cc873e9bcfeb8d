//! Why the HPA decided what it decided.

use std::fmt;

use super::figure::{Figure, are, multiplying_to};
use crate::signal::SignalKind;

/// The steps of one decision.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct HpaTrace {
    /// Replicas there were.
    pub current: u32,
    /// The metric that recommended most, where one was known.
    pub metric: Option<SignalKind>,
    /// That metric's average relative to its target, over the replicas that are counted.
    pub ratio: f64,
    /// Replicas that are counted: those that reported the metric, and those that are not ready
    /// where they dampen growth.
    pub counted: u32,
    /// Replicas that reported the metric.
    pub reporting: u32,
    /// Fewest and most replicas.
    pub bounds: (u32, u32),
    /// Replicas it asked for.
    pub proposed: u32,
    /// What the stabilization windows left of that.
    pub stabilized: u32,
    /// What the rates and bounds left of that.
    pub desired: u32,
    /// The rule that determined the replicas.
    pub rule: HpaRule,
}

impl HpaTrace {
    /// No change, within bounds of so many replicas.
    pub(crate) fn holding(current: u32, bounds: (u32, u32)) -> Self {
        Self {
            current,
            counted: 0,
            reporting: 0,
            bounds,
            metric: None,
            ratio: 1.0,
            proposed: current,
            stabilized: current,
            desired: current,
            rule: HpaRule::WithinTolerance,
        }
    }
}

/// The rule that determined the replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum HpaRule {
    /// The replicas could not be counted.
    CountUnknown,
    /// There are no replicas, which switches the HPA off.
    DisabledAtZero,
    /// No metric is known.
    NoMetrics,
    /// No replica is ready, so that no metric is measured.
    NoneReady,
    /// A metric is not known, and the others recommend fewer replicas.
    MetricsIncomplete,
    /// There were more replicas than allowed.
    AboveMax,
    /// There were fewer replicas than allowed.
    BelowMin,
    /// The ratio is near enough to 1.
    WithinTolerance,
    /// Counting the replicas that are not ready takes the reason for a change away.
    Doubt,
    /// The ratio.
    Ratio,
    /// The stabilization window does not agree yet.
    Stabilized,
    /// The behavior policies allow no faster change.
    RateLimited,
    /// The upper bound.
    LoweredToMax,
    /// The lower bound.
    RaisedToMin,
}

impl HpaRule {
    /// Whether there was enough to decide from.
    pub(crate) fn is_decisive(self) -> bool {
        !matches!(
            self,
            Self::CountUnknown
                | Self::DisabledAtZero
                | Self::NoMetrics
                | Self::NoneReady
                | Self::MetricsIncomplete
        )
    }
}

impl fmt::Display for HpaTrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { current, proposed, stabilized, desired, bounds: (min, max), .. } = self;
        match self.rule {
            HpaRule::CountUnknown => f.write_str("the replicas could not be counted"),
            HpaRule::DisabledAtZero => {
                f.write_str("there are no replicas, which switches the HPA off")
            }
            HpaRule::NoMetrics => f.write_str("no metric is known"),
            HpaRule::NoneReady => f.write_str("no replica is ready, so no metric says anything"),
            HpaRule::MetricsIncomplete => {
                f.write_str("a metric is not known, and what is known wants fewer replicas")
            }
            HpaRule::AboveMax => {
                write!(f, "{} more than the maximum of {max}", Replicas(*current))
            }
            HpaRule::BelowMin => {
                write!(f, "{} fewer than the minimum of {min}", Replicas(*current))
            }
            HpaRule::WithinTolerance => {
                self.load(f)?;
                write!(f, " is near enough to keep {current}")
            }
            HpaRule::Doubt => {
                self.load(f)?;
                write!(f, " is no reason to change the {current} there are")
            }
            HpaRule::Ratio => {
                self.load(f)?;
                write!(f, " makes {desired}")
            }
            HpaRule::Stabilized
            | HpaRule::RateLimited
            | HpaRule::LoweredToMax
            | HpaRule::RaisedToMin => {
                self.load(f)?;
                write!(f, " makes {proposed}")?;
                if stabilized != proposed {
                    write!(f, ", the stabilization window holds {stabilized}")?;
                }
                match self.rule {
                    HpaRule::RateLimited => {
                        write!(f, ", the behavior policies allow {desired} for now")
                    }
                    HpaRule::LoweredToMax => write!(f, ", the maximum is {max}"),
                    HpaRule::RaisedToMin => write!(f, ", the minimum is {min}"),
                    _ => Ok(()),
                }
            }
        }
    }
}

impl HpaTrace {
    /// The metric, its ratio, and the replicas that the ratio is of.
    fn load(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.metric {
            Some(SignalKind::Concurrency) | None => "concurrency",
            Some(SignalKind::RequestRate) => "request rate",
            Some(SignalKind::BurstPercentile) => "the percentile of bursts",
            Some(SignalKind::Held) => "requests held",
            Some(SignalKind::Cpu) => "processor load",
            Some(SignalKind::Memory) => "memory",
            Some(SignalKind::Latency) => "latency",
            Some(SignalKind::Custom(_)) => "custom signal",
        })?;
        if let Some(SignalKind::Custom(id)) = self.metric {
            write!(f, " {id}")?;
        }
        let (proposed, counted) = (f64::from(self.proposed), f64::from(self.counted));
        match self.rule {
            HpaRule::WithinTolerance | HpaRule::Doubt => write!(f, " at {}", Figure(self.ratio))?,
            _ => write!(f, " at {}", multiplying_to(proposed, self.ratio, counted))?,
        }
        write!(f, " of the target on {}", self.counted)?;
        match self.counted.saturating_sub(self.reporting) {
            0 => Ok(()),
            1 => f.write_str(", 1 of which is not ready and counts as idle,"),
            unready => write!(f, ", {unready} of which are not ready and count as idle,"),
        }
    }
}

/// A number of replicas with its verb.
struct Replicas(u32);

impl fmt::Display for Replicas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} replica{} {}", self.0, if self.0 == 1 { "" } else { "s" }, are(self.0))
    }
}
