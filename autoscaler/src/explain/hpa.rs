//! Why the HPA decided what it decided.

use std::fmt;

use crate::signal::SignalKind;

/// The steps of one decision.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct HpaTrace {
    /// Replicas there were.
    pub current: u32,
    /// The metric that wanted most, where one was known.
    pub metric: Option<SignalKind>,
    /// That metric's average relative to its target.
    pub ratio: f64,
    /// Replicas it asked for.
    pub proposed: u32,
    /// What the stabilization windows left of that.
    pub stabilized: u32,
    /// What the rates and bounds left of that.
    pub desired: u32,
    /// The rule that had the last word.
    pub rule: HpaRule,
}

impl HpaTrace {
    /// No change.
    pub(crate) fn holding(current: u32) -> Self {
        Self {
            current,
            metric: None,
            ratio: 1.0,
            proposed: current,
            stabilized: current,
            desired: current,
            rule: HpaRule::WithinTolerance,
        }
    }
}

/// The rule that had the last word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum HpaRule {
    /// The replicas could not be counted.
    CountUnknown,
    /// There are no replicas, which switches the HPA off.
    DisabledAtZero,
    /// No metric is known.
    NoMetrics,
    /// A metric is not known, and the others want fewer replicas.
    MetricsIncomplete,
    /// There were more replicas than allowed.
    AboveMax,
    /// There were fewer replicas than allowed.
    BelowMin,
    /// The ratio is near enough to 1.
    WithinTolerance,
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
            Self::CountUnknown | Self::DisabledAtZero | Self::NoMetrics | Self::MetricsIncomplete
        )
    }
}

impl fmt::Display for HpaTrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { current, ratio, proposed, stabilized, desired, .. } = self;
        match self.rule {
            HpaRule::CountUnknown => f.write_str("the replicas could not be counted"),
            HpaRule::DisabledAtZero => f.write_str("no replicas, which switches the HPA off"),
            HpaRule::NoMetrics => f.write_str("no metric is known, so nothing changes"),
            HpaRule::MetricsIncomplete => f.write_str(
                "a metric is not known and the others want fewer replicas, so nothing changes",
            ),
            HpaRule::AboveMax => write!(f, "{current} replicas are too many, so {desired}"),
            HpaRule::BelowMin => write!(f, "{current} replicas are too few, so {desired}"),
            HpaRule::WithinTolerance => {
                write!(f, "at {ratio:.2} of the target, near enough to keep {current}")
            }
            HpaRule::Ratio => write!(f, "{ratio:.2} of the target on {current} makes {desired}"),
            HpaRule::Stabilized => write!(
                f,
                "{ratio:.2} of the target asks for {proposed}, the stabilization window holds \
                 {desired}"
            ),
            HpaRule::RateLimited => write!(
                f,
                "{ratio:.2} of the target asks for {stabilized}, the behavior policies allow \
                 {desired} for now"
            ),
            HpaRule::LoweredToMax => {
                write!(f, "{ratio:.2} of the target asks for {stabilized}, at most {desired}")
            }
            HpaRule::RaisedToMin => {
                write!(f, "{ratio:.2} of the target asks for {stabilized}, at least {desired}")
            }
        }
    }
}
