//! What is seen of a revision and of the world around it when a step is due.

use crate::pauses::Outlook;
use crate::time::Timestamp;

/// Everything a step looks at.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Observation {
    /// The last valid decision, or [`super::UNDECIDED`].
    pub decided: i32,
    /// Excess burst capacity as of that decision.
    pub excess_burst_capacity: i32,
    /// What is to be expected of the pause that the revision is in, as of that decision.
    #[cfg_attr(feature = "serde", serde(default))]
    pub outlook: Outlook,
    /// Instances that take requests now.
    pub ready: u32,
    /// Whether requests can reach the revision at all.
    pub plumbing: ServerlessService,
    /// Whether the activator responds for the revision.
    pub probe: ActivatorProbe,
}

/// Whether what carries requests to a revision exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum ServerlessService {
    /// The service does not exist yet, or has no private side yet.
    Missing,
    /// The service exists, and there is no way around the activator: it needs no time to come into
    /// the path.
    ThroughActivator,
    /// The service exists.
    Present {
        /// Since when requests go through the activator, if they do.
        activator_since: Option<Timestamp>,
    },
}

/// The result of a probe through the public address of the revision: whether the activator is in
/// the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum ActivatorProbe {
    /// The activator responded.
    Confirmed,
    /// Another server responded, or none.
    Denied,
    /// No probe was sent yet. A step that needs one returns
    /// [`super::ProbeUse::Unconfirmed`]; probe then, and reconcile again.
    #[default]
    NotAsked,
}
