//! Where the activator's errors become HTTP, or gRPC for clients that speak it: nowhere else.
//!
//! `docs/errors.md` has the table of causes, statuses and texts.

use std::time::Duration;

use tidegate_admission::Refusal;
use tidegate_knative::text;
use tidegate_relay::http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use tidegate_relay::http::{HeaderMap, StatusCode};
use tidegate_relay::{Cause, CauseHeader, ForwardError, Interrupted, Reply, RequestHead};

use crate::error::Failure;

/// After how long a client that was refused may try again, where the queue does not say it;
/// Knative's activator sends no hint.
pub const RETRY_AFTER_REFUSAL: Duration = Duration::from_secs(1);

/// What is the same for all responses of one activator, and how its queue stands.
#[derive(Debug, Clone, Copy)]
pub struct ReplyStyle {
    /// Whether clients are told the cause.
    pub cause_header: CauseHeader,
    /// The status of refusals.
    pub refusal_status: StatusCode,
    /// After how long a client that is refused may try again.
    pub retry_after: Duration,
}

impl ReplyStyle {
    /// What Knative's clients expect, but for a hint when to try again.
    pub fn new(cause_header: CauseHeader) -> Self {
        let refusal_status = StatusCode::SERVICE_UNAVAILABLE;
        Self { cause_header, refusal_status, retry_after: RETRY_AFTER_REFUSAL }
    }
}

impl Failure {
    /// Status and text. The text names no address and repeats no byte that an app or a client sent.
    fn status_and_text(&self) -> (StatusCode, &str) {
        match self {
            Self::UnknownRevision => (StatusCode::NOT_FOUND, "unknown revision"),
            Self::MalformedRoute | Self::MalformedHost(_) => {
                (StatusCode::BAD_REQUEST, "malformed routing headers")
            }
            Self::AmbiguousPath => (StatusCode::BAD_REQUEST, "ambiguous path"),
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
            Self::Died(_) => (StatusCode::BAD_GATEWAY, "the app died before it answered"),
            Self::Forward(ForwardError::RequestBody(_)) => {
                (StatusCode::BAD_REQUEST, "malformed request body")
            }
            Self::Forward(error) => (
                error.status(),
                match self.cause() {
                    Some(Cause::Unreachable) => "the instance could not be reached",
                    Some(Cause::AppClosed) => "the app closed the connection before it answered",
                    Some(Cause::QueueFull) => text::QUEUE_IS_FULL,
                    Some(Cause::WaitedTooLong) => "request waited too long in the queue",
                    Some(Cause::TimedOut) => text::REQUEST_TIMEOUT,
                    Some(Cause::OverBudget) => "memory budget is used up",
                    Some(Cause::NoDescriptors) => "too many connections now",
                    Some(Cause::CutShort) => "the app closed the connection within its response",
                    Some(Cause::MalformedResponseBody) => {
                        "the body of the app's response is malformed"
                    }
                    Some(Cause::MalformedRequest) => "malformed request",
                    _ => "the instance did not answer properly",
                },
            ),
        }
    }

    /// The status of the response, in HTTP.
    pub fn status(&self, style: ReplyStyle) -> StatusCode {
        match self {
            Self::Refused(_) => style.refusal_status,
            _ => self.status_and_text().0,
        }
    }

    /// The response to a client that speaks `protocol`.
    pub fn reply(&self, protocol: Protocol, style: ReplyStyle) -> Reply {
        let (status, text) = (self.status(style), self.status_and_text().1);
        let refused = matches!(self, Self::Refused(_));
        let again = match (refused, status) {
            (true, _) => Some(style.retry_after),
            (false, StatusCode::SERVICE_UNAVAILABLE) => Some(RETRY_AFTER_REFUSAL),
            (false, _) => None,
        };
        let reply = match (protocol, again) {
            (Protocol::Grpc, _) if refused => {
                let pushback = HeaderValue::from(millis(style.retry_after));
                grpc_reply(status, text).with_header(GRPC_PUSHBACK, pushback)
            }
            (Protocol::Grpc, _) => grpc_reply(status, text),
            (Protocol::Http, Some(again)) => {
                Reply::error(status, text).with_header(RETRY_AFTER, seconds(again))
            }
            (Protocol::Http, None) => Reply::error(status, text),
        };
        match self.cause() {
            Some(cause) => style.cause_header.mark(reply, cause),
            None => reply,
        }
    }
}

/// Tells a gRPC client that retries when to do so (gRPC's proposal A6).
const GRPC_PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Whole seconds, rounded up: a client that comes a moment early is refused again.
fn seconds(duration: Duration) -> HeaderValue {
    HeaderValue::from(millis(duration).div_ceil(1_000).max(1))
}

/// The protocol whose statuses a client understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// A status of HTTP.
    Http,
    /// A status of gRPC, in a response that is a success to HTTP.
    Grpc,
}

impl Protocol {
    /// That of a request with this head.
    pub fn of(head: &RequestHead) -> Self {
        match head.headers.get(CONTENT_TYPE) {
            Some(value) if value.as_bytes().starts_with(b"application/grpc") => Self::Grpc,
            _ => Self::Http,
        }
    }
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
