//! Why a proxy responds to a client itself, in place of the app: one vocabulary for the log, the
//! metrics and the header that tells clients.
//!
//! Handlers refuse for reasons that this crate knows nothing of; their names are here all the same,
//! so that every process calls the same thing by the same name. `docs/errors.md` has the table,
//! which the tests of the roles compare with what they respond.

use std::fmt;

use http::{HeaderName, HeaderValue};

use crate::head::Reply;

/// The response header that tells clients the cause, where that is switched on.
pub const CAUSE_HEADER: HeaderName = HeaderName::from_static("tidegate-error");

/// Why a proxy responded to a client itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// The instance ended before it responded.
    AppDied,
    /// The app closed its connection without a response, or the connection broke.
    AppClosed,
    /// The app, or its instance, does not accept connections.
    Unreachable,
    /// The head of the app's response cannot be understood.
    MalformedResponse,
    /// The body of the app's response cannot be understood.
    MalformedResponseBody,
    /// A time limit ran out.
    TimedOut,
    /// The queue is full.
    QueueFull,
    /// The longest wait in the queue has passed.
    WaitedTooLong,
    /// The memory budget is used up.
    OverBudget,
    /// The process has no descriptor left for a connection to the app.
    NoDescriptors,
    /// No instance ever became ready.
    NeverReady,
    /// The app's response ended within its body.
    CutShort,
    /// No revision has the name that was asked for.
    UnknownRevision,
    /// The request contradicts itself, or its body is not what its head promised.
    MalformedRequest,
}

impl Cause {
    /// Every cause.
    pub const ALL: [Self; 14] = [
        Self::AppDied,
        Self::AppClosed,
        Self::Unreachable,
        Self::MalformedResponse,
        Self::MalformedResponseBody,
        Self::TimedOut,
        Self::QueueFull,
        Self::WaitedTooLong,
        Self::OverBudget,
        Self::NoDescriptors,
        Self::NeverReady,
        Self::CutShort,
        Self::UnknownRevision,
        Self::MalformedRequest,
    ];

    /// Its name for machines: in the header, in the log, and as a label of metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::AppDied => "app_died",
            Self::AppClosed => "app_closed",
            Self::Unreachable => "unreachable",
            Self::MalformedResponse => "malformed_response",
            Self::MalformedResponseBody => "malformed_response_body",
            Self::TimedOut => "timeout",
            Self::QueueFull => "queue_full",
            Self::WaitedTooLong => "waited_too_long",
            Self::OverBudget => "over_budget",
            Self::NoDescriptors => "no_descriptors",
            Self::NeverReady => "never_ready",
            Self::CutShort => "cut_short",
            Self::UnknownRevision => "unknown_revision",
            Self::MalformedRequest => "malformed_request",
        }
    }

    /// The cause with this label.
    #[must_use]
    pub fn with_label(label: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.label().as_bytes() == label)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AppDied => "app died",
            Self::AppClosed => "app closed the connection",
            Self::Unreachable => "app not reachable",
            Self::MalformedResponse => "response not understood",
            Self::MalformedResponseBody => "body of the response not understood",
            Self::TimedOut => "timed out",
            Self::QueueFull => "queue full",
            Self::WaitedTooLong => "waited too long",
            Self::OverBudget => "memory budget used up",
            Self::NoDescriptors => "no descriptors left",
            Self::NeverReady => "never ready",
            Self::CutShort => "response cut short",
            Self::UnknownRevision => "unknown revision",
            Self::MalformedRequest => "malformed request",
        })
    }
}

/// Whether clients are told the cause in [`CAUSE_HEADER`]. It names no address, but says more of
/// what is behind the proxy than a client may have to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CauseHeader {
    /// They are not.
    #[default]
    Hidden,
    /// They are.
    Shown,
}

impl CauseHeader {
    /// The response with its cause, where that is shown.
    #[must_use]
    pub fn mark(self, reply: Reply, cause: Cause) -> Reply {
        match self {
            Self::Hidden => reply,
            Self::Shown => reply.with_header(CAUSE_HEADER, HeaderValue::from_static(cause.label())),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    #[test]
    fn labels_are_unique_and_read_back() {
        for cause in Cause::ALL {
            assert_eq!(Cause::with_label(cause.label().as_bytes()), Some(cause));
        }
        assert_eq!(Cause::with_label(b"nonsense"), None);
    }

    #[test]
    fn the_header_is_there_only_where_it_is_shown() {
        let reply = || Reply::error(StatusCode::BAD_GATEWAY, "EOF");
        let hidden = CauseHeader::default().mark(reply(), Cause::AppClosed);
        assert!(!hidden.headers.contains_key(CAUSE_HEADER));
        let shown = CauseHeader::Shown.mark(reply(), Cause::AppClosed);
        assert_eq!(shown.headers[CAUSE_HEADER], "app_closed");
    }
}
