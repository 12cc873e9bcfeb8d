//! What a step comes to, and why.

use std::fmt;

use crate::settings::GoDuration;
use crate::time::Timestamp;

/// What to carry out and to report.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Step {
    /// The decision that went in; [`super::UNDECIDED`] where none was looked at.
    pub decided: i32,
    /// Instances wanted now; [`super::UNDECIDED`] where that must wait.
    pub want: i32,
    /// Instances to ask for, where that changes.
    pub patch: Option<i32>,
    /// Instances asked for after this step.
    pub replicas: i32,
    /// Whether requests take the way through the activator.
    pub mode: TrafficMode,
    /// How many activators should serve the revision.
    pub activators: i32,
    /// Whether the revision is serving.
    pub active: ActiveCondition,
    /// Whether it has once had all the instances it was to start with.
    pub initialized: bool,
    /// Instances wanted, as reported; keeps the last known number.
    pub desired: i32,
    /// Instances ready, as reported.
    pub actual: i32,
    /// When to reconcile again if nothing happens before, in milliseconds from now.
    pub recheck_ms: Option<i64>,
    /// Whether the activator was asked.
    pub probe: ProbeUse,
    /// The rule that decided.
    pub rule: StepRule,
}

/// The way requests take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum TrafficMode {
    /// Through the activator, which holds them while there is nowhere to send them.
    #[default]
    Proxy,
    /// Straight to the instances.
    Serve,
}

/// Whether a step asked the activator if it is in the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum ProbeUse {
    /// The probe would have changed nothing.
    #[default]
    NotNeeded,
    /// It confirmed that it is.
    Confirmed,
    /// It did not: keep asking, and reconcile again once it responds.
    Unconfirmed,
}

/// Whether a revision is serving.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum ActiveStatus {
    /// It has the instances it needs.
    True,
    /// It was scaled to zero.
    False,
    /// It is being brought up.
    Unknown,
}

/// Why a revision is not serving.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum ActiveReason {
    /// It is serving, or nothing has happened yet.
    #[default]
    None,
    /// Requests wait for instances.
    Queued,
    /// There is no traffic.
    NoTraffic,
    /// It did not become ready in time.
    TimedOut,
}

impl fmt::Display for ActiveStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        })
    }
}

impl fmt::Display for ActiveReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "",
            Self::Queued => "Queued",
            Self::NoTraffic => "NoTraffic",
            Self::TimedOut => "TimedOut",
        })
    }
}

impl fmt::Display for TrafficMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Proxy => "Proxy",
            Self::Serve => "Serve",
        })
    }
}

/// Status, reason, and since when both have been so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ActiveCondition {
    /// Whether the revision is serving.
    pub status: ActiveStatus,
    /// Why not.
    pub reason: ActiveReason,
    /// The whole second at which status or reason last changed. Knative keeps this time in the
    /// Kubernetes API, which drops what is below a second.
    pub since: Timestamp,
}

impl ActiveCondition {
    /// What a revision starts with.
    pub(super) fn starting(now: Timestamp) -> Self {
        let (status, reason) = (ActiveStatus::Unknown, ActiveReason::None);
        Self { status, reason, since: now.whole_second() }
    }

    /// What it becomes when `want` instances are wanted, `ready` there are and `threshold`
    /// make it whole.
    pub(super) fn after(self, now: Timestamp, want: i32, ready: i32, threshold: i32) -> Self {
        let wanted = want > 0 || self.status != ActiveStatus::False;
        let (status, reason) = if want == 0 || threshold == 0 {
            let timed_out = self.status == ActiveStatus::Unknown && threshold > 0;
            let reason = if timed_out { ActiveReason::TimedOut } else { ActiveReason::NoTraffic };
            (ActiveStatus::False, reason)
        } else if ready < threshold && wanted {
            (ActiveStatus::Unknown, ActiveReason::Queued)
        } else if ready < threshold {
            (ActiveStatus::False, ActiveReason::NoTraffic)
        } else if wanted {
            (ActiveStatus::True, ActiveReason::None)
        } else {
            (self.status, self.reason)
        };
        if (status, reason) == (self.status, self.reason) {
            return self;
        }
        Self { status, reason, since: now.whole_second() }
    }
}

/// The rule that decided a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum StepRule {
    /// What carries requests does not exist yet.
    Unplumbed,
    /// Nothing has been decided yet, or since a restart, so everything stays.
    Undecided,
    /// The decision stands as it is.
    Followed,
    /// Nothing has been decided about a new revision, so it has what it starts with.
    StartsWith {
        /// Instances.
        replicas: i32,
    },
    /// The decision was below the lower bound.
    RaisedToMin {
        /// Fewest instances.
        min: i32,
    },
    /// The decision was below what a new revision starts with.
    RaisedToInitial {
        /// Instances to start with.
        initial: i32,
    },
    /// The decision was above the upper bound.
    LoweredToMax {
        /// Most instances.
        max: i32,
    },
    /// Zero, but scale to zero is switched off.
    ZeroForbidden,
    /// Zero, but the revision is still being brought up.
    Activating {
        /// How long that may take.
        limit: GoDuration,
    },
    /// The revision did not become ready in time.
    ActivationFailed {
        /// How long it had.
        limit: GoDuration,
    },
    /// Zero, but the revision has been active for less than a stable window.
    ActiveTooShortly {
        /// How much longer it stays.
        rest: GoDuration,
    },
    /// Zero, and the revision has been active long enough: the activator takes over first.
    BecameIdle,
    /// The activator has not confirmed that it is in the path.
    ActivatorUnconfirmed,
    /// The last instance is kept for its retention period.
    Retained {
        /// How much longer.
        rest: GoDuration,
    },
    /// The activator has been in the path too shortly.
    Grace {
        /// How much longer.
        rest: GoDuration,
    },
    /// Inactive for longer than the grace and retention periods.
    IdleLongEnough {
        /// How long it has been inactive.
        age: GoDuration,
    },
    /// The activator has long been in the path anyway.
    ActivatorLongInPath {
        /// How long.
        in_path: GoDuration,
    },
    /// There is no way around the activator, so there is nothing to wait for.
    AlwaysInPath,
}

impl StepRule {
    /// Whether the last instance goes.
    pub(crate) fn is_zero(self) -> bool {
        matches!(
            self,
            Self::ActivationFailed { .. }
                | Self::IdleLongEnough { .. }
                | Self::ActivatorLongInPath { .. }
                | Self::AlwaysInPath
        )
    }
}

impl fmt::Display for StepRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unplumbed => {
                f.write_str("nothing carries requests to the revision yet; nothing changes")
            }
            Self::Undecided => f.write_str("nothing decided yet; the replicas stay as they are"),
            Self::StartsWith { replicas } => {
                write!(f, "nothing decided yet; the revision starts with {replicas}")
            }
            Self::Followed => f.write_str("the decision lies within the bounds"),
            Self::RaisedToMin { min } => write!(f, "raised to the minimum scale of {min}"),
            Self::RaisedToInitial { initial } => {
                write!(f, "raised to the initial scale of {initial} until that is reached once")
            }
            Self::LoweredToMax { max } => write!(f, "lowered to the maximum scale of {max}"),
            Self::ZeroForbidden => f.write_str("one is the least: scale to zero is switched off"),
            Self::Activating { limit } => {
                write!(f, "zero waits until the revision is active, for which it has {limit}")
            }
            Self::ActivationFailed { limit } => write!(f, "not active within {limit}, given up"),
            Self::ActiveTooShortly { rest } => {
                write!(f, "one is kept for {rest}, until a stable window of activity is over")
            }
            Self::BecameIdle => f.write_str("zero waits for the activator to be in the path"),
            Self::ActivatorUnconfirmed => {
                f.write_str("zero waits until the activator confirms that it is in the path")
            }
            Self::Retained { rest } => {
                write!(f, "zero waits {rest} for the retention period of the last instance")
            }
            Self::Grace { rest } => {
                write!(f, "zero waits {rest} for the activator's grace period in the path")
            }
            Self::IdleLongEnough { age } => write!(f, "inactive for {age}"),
            Self::ActivatorLongInPath { in_path } => {
                write!(f, "the activator has been in the path for {in_path}")
            }
            Self::AlwaysInPath => f.write_str("the activator is always in the path"),
        }
    }
}

impl fmt::Display for Step {
    /// One sentence: the replicas and the reason.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.patch {
            Some(replicas) => write!(f, "replicas become {replicas}")?,
            None => write!(f, "replicas stay at {}", self.replicas)?,
        }
        if self.decided >= 0 {
            write!(f, " on a decision of {}", self.decided)?;
        }
        write!(f, ": {}", self.rule)?;
        let way = match self.mode {
            TrafficMode::Proxy => "requests go through the activator",
            TrafficMode::Serve => "requests go straight to the instances",
        };
        write!(f, "; {way}")
    }
}
