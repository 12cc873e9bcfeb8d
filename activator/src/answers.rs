//! The activator's own responses: the one place where its errors become HTTP.

use std::time::Duration;

use tidegate_admission::Refusal;
use tidegate_knative::text;
use tidegate_proto::failure;
use tidegate_relay::http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use tidegate_relay::http::{HeaderMap, StatusCode};
use tidegate_relay::{ForwardError, Interrupted, Reply, RequestHead};

use crate::outcomes::Cause;

/// After how long a client that was refused may try again; Knative's activator sends no hint.
pub const RETRY_AFTER_REFUSAL: Duration = Duration::from_secs(1);

/// Why a request was not answered by an instance.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// No known revision has the name that it asked for.
    #[error("unknown revision")]
    UnknownRevision,
    /// Its routing headers are repeated, or name nothing.
    #[error("malformed routing headers")]
    MalformedRoute,
    /// No instance has room, and it may not wait (longer).
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The client hung up, or its time was up, while it waited.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// It could not be sent, or its exchange with the instance failed.
    #[error(transparent)]
    Forward(#[from] ForwardError),
    /// An instance ended, or closed its connection, before it answered.
    #[error("{0}")]
    Lost(Cause),
    /// There will be no instance.
    #[error("{0}")]
    GivenUp(String),
    /// None of the instances that were tried could be reached.
    #[error("no instance could be reached in {attempts} attempts")]
    Unreachable {
        /// How many were tried.
        attempts: u32,
    },
}

impl Failure {
    /// Whether an instance failed, rather than the client or the queue.
    pub fn is_instances(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Lost(_) => true,
            Self::Forward(error) => !matches!(
                error,
                ForwardError::ClientGone | ForwardError::RequestBody(_) | ForwardError::OverBudget
            ),
            _ => false,
        }
    }

    /// What it counts as; `None` when the client caused it.
    pub fn cause(&self) -> Option<Cause> {
        Some(match self {
            Self::UnknownRevision => Cause::UnknownRevision,
            Self::Refused(Refusal::QueueFull) => Cause::LineFull,
            Self::Refused(Refusal::WaitedTooLong) => Cause::WaitedTooLong,
            Self::Interrupted(Interrupted::TimedOut(_)) => Cause::TimedOut,
            Self::Interrupted(Interrupted::ClientGone) | Self::MalformedRoute => return None,
            Self::Lost(cause) => *cause,
            Self::GivenUp(_) => Cause::NeverReady,
            Self::Unreachable { .. } => Cause::Unreachable,
            Self::Forward(error) => match error {
                ForwardError::ClientGone | ForwardError::RequestBody(_) => return None,
                ForwardError::TimedOut(_) => Cause::TimedOut,
                ForwardError::Connect { .. } | ForwardError::ConnectTimedOut { .. } => {
                    Cause::Unreachable
                }
                ForwardError::Closed | ForwardError::Io(_) => Cause::AppClosed,
                ForwardError::Truncated => Cause::CutShort,
                ForwardError::OverBudget => Cause::OverBudget,
                ForwardError::Declined { reason, .. } => match reason.as_str() {
                    failure::LINE_FULL => Cause::LineFull,
                    failure::WAITED_TOO_LONG => Cause::WaitedTooLong,
                    failure::TIMEOUT => Cause::TimedOut,
                    failure::UNREACHABLE => Cause::Unreachable,
                    failure::CLOSED => Cause::AppClosed,
                    failure::TRUNCATED => Cause::CutShort,
                    failure::OVER_BUDGET => Cause::OverBudget,
                    _ => Cause::Malformed,
                },
                _ => Cause::Malformed,
            },
        })
    }

    /// Status and text. The text names no address and repeats nothing that an app or a client sent.
    fn status_and_text(&self) -> (StatusCode, &str) {
        match self {
            Self::UnknownRevision => (StatusCode::NOT_FOUND, "unknown revision"),
            Self::MalformedRoute => (StatusCode::BAD_REQUEST, "malformed routing headers"),
            // Knative's text for a full queue, so that clients that match it still do.
            Self::Refused(Refusal::QueueFull) => {
                (StatusCode::SERVICE_UNAVAILABLE, text::QUEUE_IS_FULL)
            }
            Self::Refused(Refusal::WaitedTooLong) => {
                (StatusCode::SERVICE_UNAVAILABLE, "no instance became free in time")
            }
            Self::Interrupted(Interrupted::TimedOut(_))
            | Self::Forward(ForwardError::TimedOut(_)) => {
                (StatusCode::GATEWAY_TIMEOUT, text::ACTIVATOR_TIMEOUT)
            }
            Self::Interrupted(Interrupted::ClientGone) => {
                (StatusCode::BAD_GATEWAY, "client disconnected")
            }
            Self::Unreachable { .. } => (StatusCode::BAD_GATEWAY, "no instance could be reached"),
            Self::GivenUp(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason),
            Self::Lost(Cause::AppDied) => {
                (StatusCode::BAD_GATEWAY, "the app died before it answered")
            }
            Self::Lost(_) => (StatusCode::BAD_GATEWAY, CLOSED),
            Self::Forward(ForwardError::RequestBody(_)) => {
                (StatusCode::BAD_REQUEST, "malformed request body")
            }
            Self::Forward(error) => (
                error.status(),
                match self.cause() {
                    Some(Cause::Unreachable) => "the instance could not be reached",
                    Some(Cause::AppClosed) => CLOSED,
                    Some(Cause::LineFull) => text::QUEUE_IS_FULL,
                    Some(Cause::WaitedTooLong) => "request waited too long in the queue",
                    Some(Cause::TimedOut) => text::REQUEST_TIMEOUT,
                    Some(Cause::OverBudget) => "memory budget is used up",
                    Some(Cause::CutShort) => "the app closed the connection within its answer",
                    _ if has_malformed_body(error) => "the body of the app's answer is malformed",
                    _ => "the instance did not answer properly",
                },
            ),
        }
    }

    /// The status of its response.
    pub fn status(&self) -> StatusCode {
        self.status_and_text().0
    }

    /// The response to a request with this head.
    pub fn reply(&self, head: &RequestHead) -> Reply {
        let (status, text) = self.status_and_text();
        if is_grpc(head) {
            return grpc_reply(status, text);
        }
        let reply = Reply::error(status, text);
        match status {
            StatusCode::SERVICE_UNAVAILABLE => {
                reply.with_header(RETRY_AFTER, seconds(RETRY_AFTER_REFUSAL))
            }
            _ => reply,
        }
    }
}

/// Whether the head of a response was sound and its body was not.
fn has_malformed_body(error: &ForwardError) -> bool {
    match error {
        ForwardError::ResponseBody(_) => true,
        ForwardError::Declined { reason, .. } => reason == failure::MALFORMED_BODY,
        _ => false,
    }
}

/// The text when an app closed its connection, whether the activator or the sidecar noticed it.
const CLOSED: &str = "the app closed the connection before it answered";

fn seconds(duration: Duration) -> HeaderValue {
    HeaderValue::from(duration.as_secs().max(1))
}

fn is_grpc(head: &RequestHead) -> bool {
    let content_type = head.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    content_type.is_some_and(|value| value.starts_with(b"application/grpc"))
}

/// A gRPC client understands nothing but a status of gRPC's own, in a response that is a success to
/// HTTP.
fn grpc_reply(status: StatusCode, text: &str) -> Reply {
    const UNAVAILABLE: u16 = 14;
    const DEADLINE_EXCEEDED: u16 = 4;
    const UNIMPLEMENTED: u16 = 12;
    const INTERNAL: u16 = 13;
    let code = match status {
        StatusCode::NOT_FOUND => UNIMPLEMENTED,
        StatusCode::GATEWAY_TIMEOUT => DEADLINE_EXCEEDED,
        StatusCode::BAD_REQUEST => INTERNAL,
        _ => UNAVAILABLE,
    };
    let mut headers = HeaderMap::with_capacity(3);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(HeaderName::from_static("grpc-status"), HeaderValue::from(code));
    // Texts are printable; gRPC escapes a percent sign.
    if let Ok(text) = HeaderValue::from_str(&text.replace('%', "%25")) {
        headers.insert(HeaderName::from_static("grpc-message"), text);
    }
    Reply { status: StatusCode::OK, headers, body: Default::default() }
}
