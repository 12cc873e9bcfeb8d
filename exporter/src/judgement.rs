//! What an answer means: taken, refused for ever, or to be tried again.

use std::time::{Duration, SystemTime};

use http::StatusCode;
use http::header::HeaderValue;
use tidegate_otlp::{Answer, Refusal, TransportError};
use tidegate_proto::Message as _;
use tidegate_proto::otlp::v1::ExportMetricsServiceResponse;

use crate::message::Format;
use crate::outbox::Outcome;

/// The statuses of gRPC after which OpenTelemetry tries again: cancelled, deadline exceeded,
/// resource exhausted, aborted, out of range, unavailable, data loss.
const GRPC_RETRIED: [&str; 7] = ["1", "4", "8", "10", "11", "14", "15"];

/// What became of a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// What follows.
    pub outcome: Outcome,
    /// Points of a message that was taken which the receiver did not take.
    pub rejected: u64,
    /// What to log, if anything is wrong.
    pub complaint: Option<String>,
}

/// Judges an answer that came at `now`.
#[must_use]
pub fn judge(
    format: Format,
    answer: &Result<Answer, TransportError>,
    now: SystemTime,
) -> Judgement {
    let retry = |after, complaint: String| Judgement {
        outcome: Outcome::Retry { after },
        rejected: 0,
        complaint: Some(complaint),
    };
    match answer {
        Ok(answer) if is_page(answer) => retry(
            None,
            "the answer is a page for people: something on the way answers in the receiver's place"
                .to_owned(),
        ),
        Ok(answer) => taken(format, answer),
        Err(TransportError::Refused(refusal)) if !is_retried(refusal) => Judgement {
            outcome: Outcome::Refused,
            rejected: 0,
            complaint: Some(format!("the receiver refuses: {refusal}")),
        },
        Err(error @ TransportError::Refused(Refusal::Http { retry_after, .. })) => {
            let after = retry_after.as_ref().and_then(|value| pause(value, now));
            retry(after, error.to_string())
        }
        Err(error) => retry(None, error.to_string()),
    }
}

fn taken(format: Format, answer: &Answer) -> Judgement {
    let partial = match format {
        Format::Otlp => ExportMetricsServiceResponse::decode(answer.body.clone()).ok(),
        Format::RemoteWrite => None,
    };
    let partial = partial.and_then(|response| response.partial_success).unwrap_or_default();
    let rejected = u64::try_from(partial.rejected_data_points).unwrap_or(0);
    let says = tidegate_words::excerpt(&partial.error_message);
    let complaint = match (rejected, partial.error_message.is_empty()) {
        (0, true) => None,
        (0, false) => Some(format!("the receiver warns: {says}")),
        _ => Some(format!("the receiver took all but {rejected} points: {says}")),
    };
    Judgement { outcome: Outcome::Taken, rejected, complaint }
}

/// What a network says that wants a person to sign in first.
fn is_page(answer: &Answer) -> bool {
    let text = answer.content_type.as_ref().and_then(|value| value.to_str().ok());
    text.is_some_and(|text| text.trim_start().to_ascii_lowercase().starts_with("text/html"))
}

fn is_retried(refusal: &Refusal) -> bool {
    match refusal {
        // A redirect is not followed, since it may lead what is ours to anybody; but it does not
        // say that the message is wrong either.
        Refusal::Http { status, .. } => {
            !status.is_client_error()
                || matches!(*status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
        }
        Refusal::Grpc { code, .. } => GRPC_RETRIED.contains(&code.as_str()),
    }
}

/// `Retry-After`, which is seconds or a date.
fn pause(value: &HeaderValue, now: SystemTime) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    httpdate::parse_http_date(text).ok()?.duration_since(now).ok()
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use tidegate_proto::otlp::v1::ExportMetricsPartialSuccess;

    use super::*;

    const RETRY: Outcome = Outcome::Retry { after: None };

    fn http(status: u16, retry_after: Option<&'static str>) -> Result<Answer, TransportError> {
        let status = StatusCode::from_u16(status).expect("a status");
        let retry_after = retry_after.map(HeaderValue::from_static);
        Err(TransportError::Refused(Refusal::Http { status, retry_after }))
    }

    fn outcome(answer: &Result<Answer, TransportError>) -> Outcome {
        judge(Format::Otlp, answer, UNIX_EPOCH).outcome
    }

    #[test]
    fn what_may_be_taken_later_is_tried_again() {
        for status in [302, 308, 408, 429, 500, 502, 503, 504] {
            assert_eq!(outcome(&http(status, None)), RETRY, "{status}");
        }
        for status in [400, 401, 403, 404, 413, 415, 422] {
            assert_eq!(outcome(&http(status, None)), Outcome::Refused, "{status}");
        }
        let after = |text| outcome(&http(429, Some(text)));
        assert_eq!(after("7"), Outcome::Retry { after: Some(Duration::from_secs(7)) });
        let date = "Thu, 01 Jan 1970 00:01:00 GMT";
        assert_eq!(after(date), Outcome::Retry { after: Some(Duration::from_secs(60)) });
        assert_eq!(after("soon"), RETRY);
        let grpc = |code: &str| {
            let refusal = Refusal::Grpc { code: code.to_owned(), message: String::new() };
            outcome(&Err(TransportError::Refused(refusal)))
        };
        assert_eq!((grpc("14"), grpc("8")), (RETRY, RETRY));
        assert_eq!(
            (grpc("3"), grpc("16"), grpc("")),
            (Outcome::Refused, Outcome::Refused, Outcome::Refused)
        );
        assert_eq!(outcome(&Err(TransportError::TimedOut)), RETRY);
    }

    #[test]
    fn a_page_for_people_is_no_receiver() {
        let content_type = Some(HeaderValue::from_static("Text/HTML; charset=utf-8"));
        let answer = Answer { content_type, body: Default::default() };
        assert_eq!(outcome(&Ok(answer)), RETRY);
        assert_eq!(outcome(&Ok(Answer::default())), Outcome::Taken);
    }

    #[test]
    fn a_partial_success_is_counted() {
        let partial = ExportMetricsPartialSuccess {
            rejected_data_points: 3,
            error_message: "too old".to_owned(),
        };
        let response = ExportMetricsServiceResponse { partial_success: Some(partial) };
        let body = response.encode_to_vec().into();
        let judged = judge(Format::Otlp, &Ok(Answer { content_type: None, body }), UNIX_EPOCH);
        assert_eq!((judged.outcome, judged.rejected), (Outcome::Taken, 3));
        assert!(judged.complaint.expect("it is said").contains("too old"));
        let junk = Answer { content_type: None, body: (&b"\xff\xff"[..]).into() };
        assert_eq!(judge(Format::Otlp, &Ok(junk), UNIX_EPOCH).rejected, 0);
    }
}
