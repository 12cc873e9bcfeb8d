//! Why the sidecar responds itself, and what each reason is called.

use tidegate_admission::Refusal;
use tidegate_relay::host::MalformedHost;
use tidegate_relay::{Cause, ForwardError, Interrupted};

/// Why a request got no response from the app.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A header that routes it names no host.
    #[error(transparent)]
    Malformed(#[from] MalformedHost),
    /// The app has no room, and it may not wait (longer).
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The client hung up, or its time was up, while it waited.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// It could not be sent, or its exchange with the app failed.
    #[error(transparent)]
    Forward(#[from] ForwardError),
}

impl Failure {
    /// What it is called in the logs, in metrics and in the header for clients; `None` when
    /// the client has gone, and no response can reach it.
    pub fn cause(&self) -> Option<Cause> {
        match self {
            Self::Malformed(_) => Some(Cause::MalformedRequest),
            Self::Refused(Refusal::QueueFull) => Some(Cause::QueueFull),
            Self::Refused(Refusal::WaitedTooLong) => Some(Cause::WaitedTooLong),
            Self::Interrupted(interrupted) => interrupted.cause(),
            Self::Forward(error) => error.cause(),
        }
    }
}
