//! What the front door itself answers: the one place where its errors become HTTP.

use std::time::Duration;

use tidegate_admission::Refusal;
use tidegate_relay::http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use tidegate_relay::http::{HeaderMap, StatusCode};
use tidegate_relay::{ForwardError, Interrupted, Reply, RequestHead};

/// A client that was refused may find room after this long; Knative's activator says nothing.
pub const RETRY_AFTER_REFUSAL: Duration = Duration::from_secs(1);

/// Why a request was not answered by an instance.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// No door leads to what it asked for.
    #[error("unknown revision")]
    UnknownRevision,
    /// Its routing headers are repeated, or name nothing.
    #[error("malformed routing headers")]
    MalformedRoute,
    /// It may neither go on nor wait.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The client hung up, or its time was up, while it waited.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// It was sent, or could not be.
    #[error(transparent)]
    Forward(#[from] ForwardError),
    /// One instance after the other could not be reached.
    #[error("no instance could be reached in {attempts} attempts")]
    Unreachable {
        /// How many were tried.
        attempts: u32,
    },
}

impl Failure {
    /// Whether an instance failed, rather than the client or the line.
    pub fn is_instances(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Forward(error) => !matches!(
                error,
                ForwardError::ClientGone | ForwardError::RequestBody(_) | ForwardError::OverBudget
            ),
            _ => false,
        }
    }

    /// Status and text. The text names no address and repeats nothing that an app or a client said.
    fn status_and_text(&self) -> (StatusCode, &'static str) {
        match self {
            Self::UnknownRevision => (StatusCode::NOT_FOUND, "unknown revision"),
            Self::MalformedRoute => (StatusCode::BAD_REQUEST, "malformed routing headers"),
            // Knative's text for a full line, so that clients that look for it find it.
            Self::Refused(Refusal::LineFull) => {
                (StatusCode::SERVICE_UNAVAILABLE, "pending request queue full")
            }
            Self::Refused(Refusal::WaitedTooLong) => {
                (StatusCode::SERVICE_UNAVAILABLE, "no instance became free in time")
            }
            Self::Interrupted(Interrupted::TimedOut(_))
            | Self::Forward(ForwardError::TimedOut(_)) => {
                (StatusCode::GATEWAY_TIMEOUT, "activator request timeout")
            }
            Self::Interrupted(Interrupted::ClientGone) => {
                (StatusCode::BAD_GATEWAY, "client disconnected")
            }
            Self::Unreachable { .. } => (StatusCode::BAD_GATEWAY, "no instance could be reached"),
            Self::Forward(error) => (
                error.status(),
                match error {
                    ForwardError::RequestBody(_) => "malformed request body",
                    ForwardError::Connect { .. } | ForwardError::ConnectTimedOut { .. } => {
                        "the instance could not be reached"
                    }
                    ForwardError::OverBudget => "memory budget is used up",
                    _ => "the instance did not answer properly",
                },
            ),
        }
    }

    /// The answer to a request with this head.
    pub fn reply(&self, head: &RequestHead) -> Reply {
        let (status, text) = self.status_and_text();
        if is_grpc(head) {
            return grpc_reply(status, text);
        }
        let reply = Reply::error(status, text);
        match self {
            Self::Refused(_) | Self::Forward(ForwardError::OverBudget) => {
                reply.with_header(RETRY_AFTER, seconds(RETRY_AFTER_REFUSAL))
            }
            _ => reply,
        }
    }
}

fn seconds(duration: Duration) -> HeaderValue {
    HeaderValue::from(duration.as_secs().max(1))
}

fn is_grpc(head: &RequestHead) -> bool {
    let content_type = head.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    content_type.is_some_and(|value| value.starts_with(b"application/grpc"))
}

/// A gRPC client understands nothing but a status of gRPC's own, in an answer that is a success to
/// HTTP.
fn grpc_reply(status: StatusCode, text: &'static str) -> Reply {
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
    headers.insert(HeaderName::from_static("grpc-message"), HeaderValue::from_static(text));
    Reply { status: StatusCode::OK, headers, body: Default::default() }
}
