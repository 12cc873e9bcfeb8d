//! Where the sidecar's errors become HTTP: nowhere else.
//!
//! `docs/errors.md` has the table of causes and statuses. The texts are Knative's.

use http::StatusCode;
use http::header::{HeaderName, HeaderValue, RETRY_AFTER};
use tidegate_admission::Refusal;
use tidegate_knative::text;
use tidegate_relay::{Cause, ForwardError, Interrupted, Reply};

use crate::error::Failure;

const FAILURE_HEADER: HeaderName = HeaderName::from_static(tidegate_proto::FAILURE_HEADER);

/// Memory and descriptors come back as soon as others end.
const ROOM_RETRY_SECONDS: u32 = 1;

/// Status and headers of refusals.
#[derive(Debug, Clone, Copy)]
pub struct RefusalStyle {
    /// 503 or 429.
    pub status: StatusCode,
    /// Seconds in `Retry-After`.
    pub retry_after_seconds: Option<u32>,
}

impl Failure {
    /// The response; `None` when the client has gone.
    pub fn reply(&self, style: RefusalStyle) -> Option<Reply> {
        match self {
            Self::Malformed(host) => Some(Reply::error(StatusCode::BAD_REQUEST, host.to_string())),
            Self::Refused(refusal) => Some(refused(*refusal, style)),
            Self::Interrupted(Interrupted::ClientGone)
            | Self::Forward(ForwardError::ClientGone) => None,
            Self::Interrupted(Interrupted::TimedOut(_))
            | Self::Forward(ForwardError::TimedOut(_)) => Some(timed_out()),
            Self::Forward(error) => Some(failed(error)),
        }
    }
}

/// The response with its cause, for our activator, which responds to the client itself.
pub fn marked(reply: Reply, cause: Cause) -> Reply {
    reply.with_header(FAILURE_HEADER, HeaderValue::from_static(cause.label()))
}

fn refused(refusal: Refusal, style: RefusalStyle) -> Reply {
    let message = match refusal {
        Refusal::QueueFull => text::QUEUE_IS_FULL,
        Refusal::WaitedTooLong => "request waited too long in the queue",
    };
    let reply = Reply::error(style.status, message);
    match style.retry_after_seconds {
        Some(seconds) => reply.with_header(RETRY_AFTER, HeaderValue::from(seconds)),
        None => reply,
    }
}

fn failed(error: &ForwardError) -> Reply {
    let reply = Reply::error(error.status(), error.to_string());
    match error {
        ForwardError::OverBudget | ForwardError::NoDescriptors { .. } => {
            reply.with_header(RETRY_AFTER, HeaderValue::from(ROOM_RETRY_SECONDS))
        }
        _ => reply,
    }
}

/// No newline and no `nosniff`: these are Knative's bytes.
fn timed_out() -> Reply {
    Reply::text(StatusCode::GATEWAY_TIMEOUT, text::REQUEST_TIMEOUT)
}

#[cfg(test)]
mod tests {
    use tidegate_relay::Timeout;

    use super::*;

    #[test]
    fn the_texts_are_knatives() {
        let style =
            RefusalStyle { status: StatusCode::SERVICE_UNAVAILABLE, retry_after_seconds: None };
        let reply = refused(Refusal::QueueFull, style);
        assert_eq!(reply.body, &b"pending request queue full\n"[..]);
        assert_eq!(reply.headers["x-content-type-options"], "nosniff");
        assert!(!reply.headers.contains_key(RETRY_AFTER));

        let forwarded = |error: ForwardError| Failure::from(error).reply(style);
        let reply = forwarded(ForwardError::TimedOut(Timeout::Overall)).unwrap();
        assert_eq!(
            (reply.status, &reply.body[..]),
            (StatusCode::GATEWAY_TIMEOUT, &b"request timeout"[..])
        );
        assert!(!reply.headers.contains_key("x-content-type-options"));

        let reply = forwarded(ForwardError::Closed).unwrap();
        assert_eq!((reply.status, &reply.body[..]), (StatusCode::BAD_GATEWAY, &b"EOF\n"[..]));
        assert!(forwarded(ForwardError::ClientGone).is_none());
    }

    #[test]
    fn refusals_can_carry_retry_after() {
        let style =
            RefusalStyle { status: StatusCode::TOO_MANY_REQUESTS, retry_after_seconds: Some(2) };
        let reply = refused(Refusal::WaitedTooLong, style);
        assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(reply.headers[RETRY_AFTER], "2");
    }
}
