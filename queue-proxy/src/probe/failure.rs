//! Why one attempt failed, as text that a person can act on.

use std::error::Error;
use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use tidegate_dial::Pending;

/// The longest part of an app's text that is repeated, in bytes before escapes.
const LONGEST_QUOTE: usize = 80;
/// The longest reason on the report stream and in the log.
pub const LONGEST_REASON: usize = 512;

/// One failed attempt: what was tried, and what came of it.
#[derive(Debug, thiserror::Error)]
#[error("{tried}: {cause}")]
pub struct Failure {
    /// What was tried, such as `GET http://127.0.0.1:8080/healthz`.
    pub tried: String,
    /// What came of it.
    #[source]
    pub cause: ProbeFailure,
}

/// What came of an attempt.
#[derive(Debug, thiserror::Error)]
pub enum ProbeFailure {
    /// No connection.
    #[error("cannot connect to {addresses}: {}", plain(source))]
    Connect {
        /// Every address that was tried.
        addresses: String,
        /// The system's error.
        source: io::Error,
    },
    /// No address to connect to, so far.
    #[error("cannot connect: {0}")]
    LookingUp(#[source] Pending),
    /// No response in time.
    #[error("the app did not answer within {0:?}")]
    TimedOut(Duration),
    /// Not HTTP, or not the right kind of it.
    #[error("cannot understand the app: {0}")]
    Protocol(#[source] Box<dyn Error + Send + Sync>),
    /// No TLS.
    #[error("cannot understand the app: TLS: {0}")]
    Tls(#[source] io::Error),
    /// A response that is no gRPC.
    #[error("cannot understand the app: expected gRPC, got HTTP status {0}")]
    NotGrpc(u16),
    /// A connection that ended in order, and too early.
    #[error("cannot understand the app: EOF")]
    Closed,
    /// The specification names a request that cannot be sent.
    #[error("the probe's request cannot be built: {0}")]
    Request(#[source] Box<dyn Error + Send + Sync>),
    /// A status that is no success.
    #[error("HTTP probe failed with status {status}, expected 200 to 399{}", begins(beginning))]
    Status {
        /// The status.
        status: u16,
        /// The first bytes of the body.
        beginning: Vec<u8>,
    },
    /// Redirected for ever.
    #[error("stopped after {requests} requests, the last response redirects to {to}")]
    Redirects {
        /// How many were sent.
        requests: usize,
        /// Where the last response leads.
        to: String,
    },
    /// Redirected to something that is no address.
    #[error("the app redirects to {0}, which cannot be requested")]
    Location(String),
    /// The health service, or the server in its place, refuses the call.
    #[error("the health service answered grpc-status {status}{}", unimplemented(status))]
    Refused {
        /// The status as the app sent it, usually a number.
        status: String,
    },
    /// The health service reports that it is not serving.
    #[error("the health service reports {}, expected SERVING", serving_status(*.0))]
    NotServing(i32),
    /// A command.
    #[error(
        "exec probe not supported: the command would have to run in the app's container, which a \
         sidecar cannot enter; use httpGet, tcpSocket or grpc"
    )]
    Exec,
    /// Nothing to try.
    #[error("no probe found: expected httpGet, tcpSocket or grpc")]
    Nothing,
}

impl ProbeFailure {
    /// Whether the app accepted a connection, whatever it then did.
    pub(super) fn reached_app(&self) -> bool {
        match self {
            Self::Protocol(_)
            | Self::Tls(_)
            | Self::NotGrpc(_)
            | Self::Closed
            | Self::Status { .. }
            | Self::Redirects { .. }
            | Self::Location(_)
            | Self::Refused { .. }
            | Self::NotServing(_) => true,
            // A connection that was not accepted in time and a response that was not sent in time
            // look the same.
            Self::TimedOut(_)
            | Self::Connect { .. }
            | Self::LookingUp(_)
            | Self::Request(_)
            | Self::Exec
            | Self::Nothing => false,
        }
    }

    /// What a library made of bytes that it cannot read.
    pub(super) fn protocol(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Protocol(error.into())
    }

    /// What a library made of a request that it cannot build.
    pub(super) fn request(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Request(error.into())
    }
}

/// The text for the errors that occur while an app starts; the system's own for the rest.
fn plain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            "connection refused, no process listens there".to_owned()
        }
        io::ErrorKind::ConnectionReset => "connection reset".to_owned(),
        _ => error.to_string(),
    }
}

fn begins(beginning: &[u8]) -> String {
    if beginning.is_empty() {
        return String::new();
    }
    format!("; its body begins {}", quoted(beginning))
}

fn unimplemented(status: &str) -> &'static str {
    if status == "12" { ": the app has no grpc.health.v1.Health" } else { "" }
}

fn serving_status(status: i32) -> String {
    match status {
        0 => "UNKNOWN".to_owned(),
        2 => "NOT_SERVING".to_owned(),
        3 => "SERVICE_UNKNOWN".to_owned(),
        other => format!("status {other}"),
    }
}

/// Foreign text, truncated, in quotes and with everything escaped that is not plain text: it can
/// neither end the line nor control a terminal.
pub(super) fn quoted(bytes: &[u8]) -> String {
    let cut = &bytes[..bytes.len().min(LONGEST_QUOTE)];
    let text = String::from_utf8_lossy(cut);
    let text = text.trim_end_matches('\u{fffd}').trim();
    let mut quoted = String::from("\"");
    for character in text.chars() {
        let _ = write!(quoted, "{}", character.escape_debug());
    }
    quoted.push_str(if bytes.len() > cut.len() { "…\"" } else { "\"" });
    quoted
}

/// A reason, bounded.
pub(super) fn bounded(mut reason: String) -> String {
    if reason.len() > LONGEST_REASON {
        let mut end = LONGEST_REASON - '…'.len_utf8();
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        reason.truncate(end);
        reason.push('…');
    }
    reason
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_app_text_is_one_short_escaped_line() {
        assert_eq!(quoted(b"  not yet\n"), "\"not yet\"");
        assert_eq!(quoted(b"a\x1b[2J\r\nb\0\"\\"), r#""a\u{1b}[2J\r\nb\0\"\\""#);
        assert_eq!(quoted("\u{202e}evil\u{9b}31m".as_bytes()), r#""\u{202e}evil\u{9b}31m""#);
        assert_eq!(quoted(b"\xff\xfe"), "\"\"");
        let long = quoted(&b"x".repeat(5000));
        assert_eq!(long.chars().count(), LONGEST_QUOTE + 3, "{long}");
        // A character that the truncation splits is left out.
        assert_eq!(quoted("é".repeat(41).as_bytes()), format!("\"{}…\"", "é".repeat(40)));
    }

    #[test]
    fn the_librarys_error_is_kept_as_the_source() {
        let error = <u32 as prost::Message>::decode(&[0xff][..]).expect_err("it ends within");
        let failure = Failure { tried: "GET /".to_owned(), cause: ProbeFailure::protocol(error) };
        let cause = failure.source().and_then(|cause| cause.source());
        assert!(cause.is_some_and(|source| source.is::<prost::DecodeError>()), "{cause:?}");
    }

    #[test]
    fn a_reason_is_bounded_in_length() {
        let reason = bounded("é".repeat(1000));
        assert!(reason.len() <= LONGEST_REASON && reason.ends_with('…'), "{}", reason.len());
        assert_eq!(bounded("short".to_owned()), "short");
    }
}
