//! What may be sent again although an instance may have seen it, and what an end says of the
//! instance.

use tidegate_admission::outliers::Outcome;
use tidegate_relay::http::{HeaderMap, Method};
use tidegate_relay::{BodyLength, Cause, Exchange, ForwardError, RequestHead, Timeout};

use crate::request_observer::Course;

/// How often one request is sent again at most, beside the times that nothing of it was sent.
pub(crate) const REPEATS_MAX: u32 = 2;

/// The status from which on a response is the app's failure.
const SERVER_ERROR: u16 = 500;

/// Whether a request that failed at an instance does no harm when it is sent to another: the
/// instance broke off before anything of a response came, all of the request is still here, and its
/// method or its key says that it may be repeated.
pub(crate) fn is_harmless(error: &ForwardError, exchange: &Exchange) -> bool {
    let broke_off = matches!(error.cause(), Some(Cause::AppClosed | Cause::AppDied));
    broke_off
        && !exchange.has_responded()
        && exchange.report().request_bytes == 0
        && is_idempotent(exchange.head())
}

/// Of a method that may be repeated (RFC 9110), or with a key by which the app knows a repetition;
/// and without a body, which would have to be kept for it.
fn is_idempotent(head: &RequestHead) -> bool {
    let bodiless = matches!(head.body, BodyLength::Empty | BodyLength::Known(0));
    let by_method = matches!(
        head.method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE | Method::PUT | Method::DELETE
    );
    bodiless && head.upgrade.is_none() && (by_method || has_key(&head.headers))
}

fn has_key(headers: &HeaderMap) -> bool {
    headers.contains_key("idempotency-key") || headers.contains_key("x-idempotency-key")
}

/// What the end of an exchange says of its instance; `None` if it says nothing: the client left, or
/// set a time of its own, or the instance was never reached, which is known by other means.
pub(crate) fn outcome(
    outcome: &Result<(), ForwardError>,
    exchange: &Exchange,
    course: &Course,
) -> Option<Outcome> {
    let status = exchange.report().status.map_or(0, |status| status.as_u16());
    match outcome {
        // How long a tunnel lasts is not the app's latency.
        Ok(()) if status < 200 => None,
        Ok(()) if status >= SERVER_ERROR => Some(Outcome::Failed),
        Ok(()) => Some(Outcome::Responded(course.worked())),
        Err(
            ForwardError::ClientGone
            | ForwardError::RequestBody(_)
            | ForwardError::OverBudget
            | ForwardError::TimedOut(Timeout::Overall | Timeout::Idle)
            | ForwardError::Connect { .. }
            | ForwardError::ConnectTimedOut { .. }
            | ForwardError::NoDescriptors { .. },
        ) => None,
        // A sidecar whose queue is full works as it should.
        Err(ForwardError::Declined { cause: Cause::QueueFull | Cause::WaitedTooLong, .. }) => None,
        Err(_) => Some(Outcome::Failed),
    }
}
