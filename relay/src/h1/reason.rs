//! Reason phrases as Go writes them.

use std::fmt;

use http::StatusCode;

/// The reason phrase of a status line.
pub(crate) struct Reason(pub(crate) StatusCode);

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match phrase(self.0) {
            Some(text) => formatter.write_str(text),
            None => write!(formatter, "status code {}", self.0.as_u16()),
        }
    }
}

/// The phrase, where the status has one.
pub(crate) fn phrase(status: StatusCode) -> Option<&'static str> {
    match status.as_u16() {
        203 => Some("Non-Authoritative Information"),
        413 => Some("Request Entity Too Large"),
        414 => Some("Request URI Too Long"),
        416 => Some("Requested Range Not Satisfiable"),
        _ => status.canonical_reason(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_codes_are_spelled_out() {
        let status = StatusCode::from_u16(999).expect("999 is in range");
        assert_eq!(Reason(status).to_string(), "status code 999");
        assert_eq!(Reason(StatusCode::NOT_FOUND).to_string(), "Not Found");
        assert_eq!(Reason(StatusCode::PAYLOAD_TOO_LARGE).to_string(), "Request Entity Too Large");
    }
}
