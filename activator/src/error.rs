//! Why the activator responds itself, and what each reason counts as.

use tidegate_admission::Refusal;
use tidegate_relay::host::MalformedHost;
use tidegate_relay::{Cause, ForwardError, Interrupted};

/// Why a request got no response from an instance.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// No known revision has the name in the request.
    #[error("unknown revision")]
    UnknownRevision,
    /// Its headers that name a revision are repeated, or are no names.
    #[error("malformed routing headers")]
    MalformedRoute,
    /// Which route its path takes depends on who reads it.
    #[error("ambiguous path")]
    AmbiguousPath,
    /// Its header that names a host does not.
    #[error(transparent)]
    MalformedHost(#[from] MalformedHost),
    /// No instance has room, and it may not wait (longer).
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The client hung up, or its time was up, while it waited.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// It could not be sent, or its exchange with the instance failed.
    #[error(transparent)]
    Forward(#[from] ForwardError),
    /// The connection to its instance ended before the response began, because the whole instance
    /// did.
    #[error("the instance ended: {0}")]
    Died(#[source] ForwardError),
    /// There will be no instance: the reason in the controller's words, which come as text.
    #[error("{0}")]
    GivenUp(String),
    /// None of the instances that were tried could be reached.
    #[error("no instance could be reached in {attempts} attempts: {source}")]
    Unreachable {
        /// How many were tried.
        attempts: u32,
        /// Why the last one could not.
        source: ForwardError,
    },
}

impl Failure {
    /// Whether an instance failed, rather than the client or the queue.
    pub fn is_instances(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Died(_) => true,
            Self::Forward(error) => !matches!(
                error,
                ForwardError::ClientGone
                    | ForwardError::RequestBody(_)
                    | ForwardError::OverBudget
                    | ForwardError::NoDescriptors { .. }
            ),
            _ => false,
        }
    }

    /// What it is called in the log, in metrics and in the header for clients; `None` when
    /// the client has gone, and no response can reach it.
    pub fn cause(&self) -> Option<Cause> {
        match self {
            Self::UnknownRevision => Some(Cause::UnknownRevision),
            Self::MalformedRoute | Self::MalformedHost(_) | Self::AmbiguousPath => {
                Some(Cause::MalformedRequest)
            }
            Self::Refused(Refusal::QueueFull) => Some(Cause::QueueFull),
            Self::Refused(Refusal::WaitedTooLong) => Some(Cause::WaitedTooLong),
            Self::Interrupted(interrupted) => interrupted.cause(),
            Self::Died(_) => Some(Cause::AppDied),
            Self::GivenUp(_) => Some(Cause::NeverReady),
            Self::Unreachable { .. } => Some(Cause::Unreachable),
            Self::Forward(error) => error.cause(),
        }
    }
}
