//! The one place where failures become HTTP.
//!
//! | failure | answer |
//! |---|---|
//! | the line is full, or the wait was too long | 503 (or 429), text, optional `Retry-After` |
//! | a time limit ran out | 504 `request timeout` |
//! | `K-Original-Host` is no host | 400, text |
//! | the request's body is not what its head promised | 400, text |
//! | the app cannot be reached, or cannot be understood | 502, text |
//! | there is no memory for the request or its answer's head | 503, text, `Retry-After: 1` |
//! | the client has gone | none |

use http::StatusCode;
use http::header::{HeaderName, HeaderValue, RETRY_AFTER};
use tidegate_admission::Refusal;
use tidegate_knative::text;
use tidegate_proto::failure;
use tidegate_relay::host::MalformedHost;
use tidegate_relay::{ForwardError, Interrupted, Reply};

/// Memory comes back as soon as others end.
const MEMORY_RETRY_SECONDS: u32 = 1;

/// How refusals look.
#[derive(Debug, Clone, Copy)]
pub struct RefusalStyle {
    /// 503 or 429.
    pub status: StatusCode,
    /// Seconds in `Retry-After`.
    pub retry_after_seconds: Option<u32>,
}

/// The answer to a request that may neither enter nor wait.
pub fn refused(refusal: Refusal, style: RefusalStyle) -> Reply {
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

/// The answer to a request whose wait was ended; `None` when nobody is left to read it.
pub fn interrupted(interrupted: Interrupted) -> Option<Reply> {
    match interrupted {
        Interrupted::ClientGone => None,
        Interrupted::TimedOut(_) => Some(timed_out()),
    }
}

/// The answer to a request that failed in or before the app; `None` when nobody is left to read it.
pub fn failed(error: &ForwardError) -> Option<Reply> {
    match error {
        ForwardError::ClientGone => None,
        ForwardError::TimedOut(_) => Some(timed_out()),
        ForwardError::OverBudget => {
            let reply = Reply::error(error.status(), error.to_string());
            Some(reply.with_header(RETRY_AFTER, HeaderValue::from(MEMORY_RETRY_SECONDS)))
        }
        other => Some(Reply::error(other.status(), other.to_string())),
    }
}

/// The answer to a request whose routing headers make no sense.
pub fn malformed(host: &MalformedHost) -> Reply {
    Reply::error(StatusCode::BAD_REQUEST, host.to_string())
}

/// The answer with the reason for it, for a front door of ours that tells the client itself.
pub fn marked(reply: Reply, reason: &'static str) -> Reply {
    let marker = HeaderName::from_static(tidegate_proto::FAILURE_HEADER);
    reply.with_header(marker, HeaderValue::from_static(reason))
}

/// Why a request was refused, for a front door of ours.
pub fn reason_refused(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::QueueFull => failure::LINE_FULL,
        Refusal::WaitedTooLong => failure::WAITED_TOO_LONG,
    }
}

/// Why a request failed, for a front door of ours.
pub fn reason_failed(error: &ForwardError) -> &'static str {
    match error {
        ForwardError::TimedOut(_) => failure::TIMEOUT,
        ForwardError::Connect { .. } | ForwardError::ConnectTimedOut { .. } => failure::UNREACHABLE,
        ForwardError::Closed | ForwardError::Io(_) | ForwardError::ClientGone => failure::CLOSED,
        ForwardError::OverBudget => failure::OVER_BUDGET,
        ForwardError::Truncated => failure::TRUNCATED,
        ForwardError::ResponseBody(_) => failure::MALFORMED_BODY,
        _ => failure::MALFORMED,
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

        let reply = failed(&ForwardError::TimedOut(Timeout::Overall)).unwrap();
        assert_eq!(
            (reply.status, &reply.body[..]),
            (StatusCode::GATEWAY_TIMEOUT, &b"request timeout"[..])
        );
        assert!(!reply.headers.contains_key("x-content-type-options"));

        let reply = failed(&ForwardError::Closed).unwrap();
        assert_eq!((reply.status, &reply.body[..]), (StatusCode::BAD_GATEWAY, &b"EOF\n"[..]));
        assert!(failed(&ForwardError::ClientGone).is_none());
    }

    #[test]
    fn refusals_can_be_polite() {
        let style =
            RefusalStyle { status: StatusCode::TOO_MANY_REQUESTS, retry_after_seconds: Some(2) };
        let reply = refused(Refusal::WaitedTooLong, style);
        assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(reply.headers[RETRY_AFTER], "2");
    }
}
