//! The failures of an exchange, and the status that the client gets for each.

use std::error::Error;
use std::fmt;
use std::io;

use http::StatusCode;

use crate::cause::Cause;
use crate::memory::{self, OverBudget};

/// Which time limit ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timeout {
    /// The response did not begin in time.
    ResponseStart,
    /// No byte moved in either direction for too long.
    Idle,
    /// The exchange as a whole took too long.
    Overall,
    /// Nothing moved for too long after the response had begun.
    StreamIdle,
    /// What the response began has lasted for as long as it may.
    StreamLifetime,
}

/// Why waiting on behalf of a client ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Interrupted {
    /// The client hung up: no response can be sent.
    #[error("client disconnected")]
    ClientGone,
    /// A time limit ran out.
    #[error("request timeout")]
    TimedOut(Timeout),
}

/// Why an exchange with the upstream failed.
///
/// The `Display` texts of upstream failures are those Knative's sidecar puts into its 502 bodies.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    /// The upstream could not be reached. Nothing was sent.
    #[error("dial {network} {address}: connect: {}", errno_text(source))]
    Connect {
        /// `tcp` or `unix`.
        network: &'static str,
        /// The address that was dialled.
        address: String,
        /// The system's error.
        source: io::Error,
    },
    /// This process has no descriptor left for a connection. Nothing was sent, and nothing is known
    /// of the upstream.
    #[error("dial {network} {address}: socket: {}", errno_text(source))]
    NoDescriptors {
        /// `tcp` or `unix`.
        network: &'static str,
        /// The address that was to be dialled.
        address: String,
        /// The system's error.
        source: io::Error,
    },
    /// Every attempt to connect timed out. Nothing was sent.
    #[error("timed out dialing {address} after {waited_ms} ms")]
    ConnectTimedOut {
        /// The address that was dialled.
        address: String,
        /// How long all attempts took, in milliseconds.
        waited_ms: u64,
    },
    /// The upstream closed its connection without a response.
    #[error("EOF")]
    Closed,
    /// The upstream closed its connection in the middle of a response's body.
    #[error("unexpected EOF")]
    Truncated,
    /// The connection to the upstream broke.
    #[error("{0}")]
    Io(#[source] io::Error),
    /// The upstream's response is not HTTP: what Go says of such bytes, for no error of ours is its
    /// source.
    #[error("net/http: HTTP/1.x transport connection broken: {0}")]
    Malformed(String),
    /// The body of the upstream's response is not what its head declares.
    #[error("malformed response body: {0}")]
    ResponseBody(&'static str),
    /// The upstream switched to a protocol that the client did not request.
    #[error(
        "backend tried to switch protocol {:?} when {:?} was requested",
        .got,
        .wanted
    )]
    SwitchedProtocol {
        /// What the upstream switched to.
        got: String,
        /// What the client requested; empty when it requested no switch.
        wanted: String,
    },
    /// The client wants a WebSocket over HTTP/2, and no response but a switch may open one.
    #[error("the app's response opens no WebSocket: {0}")]
    NoWebSocket(&'static str),
    /// The upstream is a proxy, and its response an error of its own that is not forwarded.
    #[error("the proxy upstream responded {status}: {cause}")]
    Declined {
        /// The status of that response.
        status: StatusCode,
        /// The cause, from the header that marks such responses. A label that is no cause of this
        /// version is [`Cause::MalformedResponse`].
        cause: Cause,
    },
    /// The HTTP/2 stream or connection to the upstream failed.
    #[error("http2: {0}")]
    Http2(#[source] Box<dyn Error + Send + Sync>),
    /// A time limit ran out.
    #[error("request timeout")]
    TimedOut(Timeout),
    /// The client hung up, or its connection broke.
    #[error("client disconnected")]
    ClientGone,
    /// The upstream sent more informational responses than are forwarded for one request.
    #[error("too many informational responses")]
    TooManyInformational,
    /// There is no room in the memory budget for the request or for the head of its response.
    #[error("memory budget is used up")]
    OverBudget,
    /// The client's body is not what its head declares.
    #[error("malformed request body: {0}")]
    RequestBody(&'static str),
}

impl ForwardError {
    /// The status for the client, if no response has begun.
    pub fn status(&self) -> StatusCode {
        match self {
            ForwardError::TimedOut(_) => StatusCode::GATEWAY_TIMEOUT,
            ForwardError::RequestBody(_) => StatusCode::BAD_REQUEST,
            ForwardError::OverBudget | ForwardError::NoDescriptors { .. } => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            ForwardError::Declined { status, .. } => *status,
            _ => StatusCode::BAD_GATEWAY,
        }
    }

    /// Whether the failure was not the upstream's: if it has the request, it may still be working
    /// on it.
    pub(crate) fn leaves_work_running(&self) -> bool {
        matches!(
            self,
            ForwardError::ClientGone | ForwardError::TimedOut(_) | ForwardError::RequestBody(_)
        )
    }

    /// The request or its response is refused for lack of memory; counts the refusal.
    pub(crate) fn refused(_: OverBudget) -> ForwardError {
        memory::count_refusal();
        ForwardError::OverBudget
    }

    /// Whether no byte of the request can have reached the upstream, so that it may be sent
    /// elsewhere, whatever its method.
    pub fn is_unsent(&self) -> bool {
        matches!(self, ForwardError::Connect { .. } | ForwardError::ConnectTimedOut { .. })
    }
}

impl From<Interrupted> for ForwardError {
    fn from(interrupted: Interrupted) -> ForwardError {
        match interrupted {
            Interrupted::ClientGone => ForwardError::ClientGone,
            Interrupted::TimedOut(timeout) => ForwardError::TimedOut(timeout),
        }
    }
}

/// The system's text for an error, in lower case and without Rust's error number, as C's
/// `strerror` and Go give them.
fn errno_text(error: &io::Error) -> impl fmt::Display + use<> {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    text.to_lowercase()
}

impl Interrupted {
    /// The cause to respond with; `None` when the client has gone.
    #[must_use]
    pub fn cause(self) -> Option<Cause> {
        match self {
            Self::ClientGone => None,
            Self::TimedOut(_) => Some(Cause::TimedOut),
        }
    }
}

impl ForwardError {
    /// The cause to respond with; `None` when the client has gone.
    #[must_use]
    pub fn cause(&self) -> Option<Cause> {
        Some(match self {
            Self::ClientGone => return None,
            Self::TimedOut(_) => Cause::TimedOut,
            Self::Connect { .. } | Self::ConnectTimedOut { .. } => Cause::Unreachable,
            Self::Closed | Self::Io(_) => Cause::AppClosed,
            Self::Truncated => Cause::CutShort,
            Self::OverBudget => Cause::OverBudget,
            Self::NoDescriptors { .. } => Cause::NoDescriptors,
            Self::RequestBody(_) => Cause::MalformedRequest,
            Self::ResponseBody(_) => Cause::MalformedResponseBody,
            Self::Declined { cause, .. } => *cause,
            Self::Malformed(_)
            | Self::SwitchedProtocol { .. }
            | Self::NoWebSocket(_)
            | Self::Http2(_)
            | Self::TooManyInformational => Cause::MalformedResponse,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_http2_librarys_error_is_kept_as_the_source() {
        let error = ForwardError::Http2(h2::Error::from(h2::Reason::REFUSED_STREAM).into());
        let source = error.source().and_then(|source| source.downcast_ref::<h2::Error>());
        assert_eq!(source.and_then(h2::Error::reason), Some(h2::Reason::REFUSED_STREAM));
        assert_eq!(error.to_string(), format!("http2: {}", source.expect("it is kept")));
    }
}
