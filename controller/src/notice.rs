//! Notices for a person: what happens to instances, and what somebody ordered.

use std::fmt;

use crate::cold_start::ColdStart;
use crate::identity::{InstanceName, RevisionId};
use crate::pin::Pin;

/// How an instance ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Termination {
    /// What was seen, as text: an exit status, a signal, an error on start.
    pub what: String,
    /// The last lines it wrote.
    pub output: Vec<String>,
}

/// A notice for a person, with times in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// An instance is being started.
    Starting {
        /// The instance.
        instance: InstanceName,
    },
    /// An instance takes requests.
    Ready {
        /// The instance.
        instance: InstanceName,
        /// How long after it was started.
        after_ms: u64,
    },
    /// The first request of those that waited for an instance has its response.
    ColdStarted(ColdStart),
    /// An instance is not ready although it has had time.
    NotReady {
        /// The instance.
        instance: InstanceName,
        /// How long ago it was started.
        after_ms: u64,
        /// What was tried, the result, and where it listens instead.
        why: String,
    },
    /// An instance has not ended on SIGTERM, and will be killed.
    Lingers {
        /// The instance.
        instance: InstanceName,
        /// How long until then.
        left_ms: u64,
    },
    /// An instance is being stopped because it is not needed.
    Draining {
        /// The instance.
        instance: InstanceName,
    },
    /// An instance has ended after its stop order.
    Stopped {
        /// The instance.
        instance: InstanceName,
    },
    /// An instance that is not needed stands still.
    Frozen {
        /// The instance.
        instance: InstanceName,
    },
    /// An instance that stood still takes requests again.
    Woken {
        /// The instance.
        instance: InstanceName,
    },
    /// An instance ended unexpectedly.
    Crashed {
        /// The instance.
        instance: InstanceName,
        /// How it ended, or is to be done.
        ending: Termination,
        /// How long until another is started in its place.
        retry_in_ms: u64,
    },
    /// No instance ever became ready; nothing more is started.
    GaveUp {
        /// The revision.
        revision: RevisionId,
        /// How the last one ended.
        ending: Termination,
        /// How many were tried.
        attempts: u32,
    },
    /// A person has every instance replaced.
    Restarting {
        /// The revision.
        revision: RevisionId,
        /// How many are replaced.
        instances: u32,
    },
    /// Every instance that a person had replaced is gone.
    Restarted {
        /// The revision.
        revision: RevisionId,
    },
    /// A person has set other bounds than were declared.
    Pinned {
        /// The revision.
        revision: RevisionId,
        /// The bounds, and for how long.
        pin: Pin,
    },
    /// The declared bounds hold again.
    Unpinned {
        /// The revision.
        revision: RevisionId,
    },
    /// Every instance that the controller started has ended, after an order to stop all.
    AllStopped,
}

impl Notice {
    /// The revision that it is about; `None` where it is about all of them.
    #[must_use]
    pub fn revision_name(&self) -> Option<&str> {
        match self {
            Self::AllStopped => None,
            Self::GaveUp { revision, .. }
            | Self::Restarting { revision, .. }
            | Self::Restarted { revision }
            | Self::Pinned { revision, .. }
            | Self::Unpinned { revision } => Some(revision.name()),
            _ => self.instance().map(InstanceName::revision_name),
        }
    }

    /// The instance that it is about, if it is about one.
    #[must_use]
    pub fn instance(&self) -> Option<&InstanceName> {
        match self {
            Self::Starting { instance }
            | Self::Ready { instance, .. }
            | Self::NotReady { instance, .. }
            | Self::Lingers { instance, .. }
            | Self::Draining { instance }
            | Self::Stopped { instance }
            | Self::Frozen { instance }
            | Self::Woken { instance }
            | Self::Crashed { instance, .. } => Some(instance),
            Self::ColdStarted(start) => Some(&start.instance),
            Self::GaveUp { .. }
            | Self::Restarting { .. }
            | Self::Restarted { .. }
            | Self::Pinned { .. }
            | Self::Unpinned { .. }
            | Self::AllStopped => None,
        }
    }
}

impl fmt::Display for Notice {
    /// One sentence, without what the instance wrote.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Starting { instance } => write!(formatter, "{instance} starts"),
            Self::Ready { instance, after_ms } => {
                write!(formatter, "{instance} is ready after {after_ms} ms")
            }
            Self::ColdStarted(start) => write!(formatter, "{}: {}", start.instance, start.timeline),
            Self::NotReady { instance, after_ms, why } => {
                write!(formatter, "{instance} is not ready after {}: {why}", span(*after_ms))
            }
            Self::Lingers { instance, left_ms } => {
                write!(formatter, "{instance} ignores SIGTERM, killing it in {}", span(*left_ms))
            }
            Self::Draining { instance } => write!(formatter, "{instance} drains"),
            Self::Stopped { instance } => write!(formatter, "{instance} stopped"),
            Self::Frozen { instance } => write!(formatter, "{instance} is frozen"),
            Self::Woken { instance } => write!(formatter, "{instance} is woken"),
            Self::Crashed { instance, ending, retry_in_ms } => {
                write!(formatter, "{instance} failed: {}; another one starts", ending.what)?;
                match retry_in_ms {
                    0 => Ok(()),
                    ms => write!(formatter, " in {}", span(*ms)),
                }
            }
            Self::GaveUp { revision, ending, attempts } => {
                let plural = if *attempts == 1 { "" } else { "s" };
                let (name, what) = (revision.name(), &ending.what);
                write!(formatter, "{name} never became ready in {attempts} attempt{plural}: {what}")
            }
            Self::Restarting { revision, instances } => {
                let plural = if *instances == 1 { "" } else { "s" };
                write!(formatter, "{} restarts {instances} instance{plural}", revision.name())
            }
            Self::Restarted { revision } => write!(formatter, "{} has restarted", revision.name()),
            Self::Pinned { revision, pin } => {
                write!(formatter, "{} is kept {pin}", revision.name())
            }
            Self::Unpinned { revision } => {
                write!(formatter, "{} is scaled as declared again", revision.name())
            }
            Self::AllStopped => formatter.write_str("every instance has stopped"),
        }
    }
}

/// Seconds once there are some.
fn span(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000.. => format!("{} s", (ms + 500) / 1_000),
    }
}
