//! What is answered without any app.

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};

use crate::path::below;

/// Longest body of an answer.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// Most header fields of an answer.
pub const HEADERS_MAX: usize = 32;

/// Longest place that a redirect leads to, before what it keeps of the request.
pub const LOCATION_BYTES_MAX: usize = 2_048;

/// An answer that is always the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its fields, without those that frame it.
    pub headers: HeaderMap,
    /// Its whole body.
    pub body: Bytes,
}

/// An answer that sends the client elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    /// Its status, one of those with a place.
    pub status: StatusCode,
    /// Where to.
    to: Location,
    /// What is added to that.
    kept: Kept,
}

/// A place that a client may be sent to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// On another host, or on this one by its name: scheme, host, and perhaps a path.
    Absolute(String),
    /// A path of the host that was asked.
    Path(String),
}

/// What of a request is added to the place that it is sent to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// Nothing.
    Nothing,
    /// What lies below the path of the route, and the query.
    Below(String),
}

impl Location {
    /// Reads a place: `https://host`, `https://host/path` or `/path`, the first two also with
    /// `http`.
    ///
    /// # Errors
    ///
    /// What would be accepted.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const EXPECTED: &str = "expected https://host/path, http://host/path or /path, in ASCII \
                                and without a fragment";
        let is_clean = text.len() <= LOCATION_BYTES_MAX && text.bytes().all(is_location_byte);
        if !is_clean {
            return Err(EXPECTED);
        }
        let lower = text.to_ascii_lowercase();
        let scheme = ["https://", "http://"].into_iter().find(|scheme| lower.starts_with(scheme));
        match scheme {
            Some(scheme) => {
                let rest = &text[scheme.len()..];
                let host = rest.split(['/', '?']).next().unwrap_or_default();
                // Nothing that is kept of a request may become a part of the host.
                is_authority(host).then(|| Self::Absolute(text.to_owned())).ok_or(EXPECTED)
            }
            // A second slash would begin the name of another host.
            None if text.starts_with('/') && !text.starts_with("//") => {
                Ok(Self::Path(text.to_owned()))
            }
            None => Err(EXPECTED),
        }
    }
}

/// A host with or without a port, and without anything about users.
fn is_authority(text: &str) -> bool {
    let (host, port) = match text.rfind(':') {
        Some(colon) if !text[colon..].contains(']') => (&text[..colon], &text[colon + 1..]),
        _ => (text, "0"),
    };
    let is_port = !port.is_empty() && port.parse::<u16>().is_ok();
    let pattern = crate::host::HostPattern::parse(host);
    is_port && matches!(pattern, Ok(crate::host::HostPattern::Exact(_)))
}

/// What a place may hold as it is.
fn is_location_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"\"#<>\\^`{|}".contains(&byte)
}

impl Redirect {
    /// A redirect. What is kept goes behind the path of `to`, which therefore has no query then.
    ///
    /// # Errors
    ///
    /// What would be accepted.
    pub fn new(status: StatusCode, to: Location, kept: Kept) -> Result<Self, &'static str> {
        let (Location::Absolute(text) | Location::Path(text)) = &to;
        if kept != Kept::Nothing && text.contains('?') {
            return Err("expected a place without a query where the request's own is kept");
        }
        Ok(Self { status, to, kept })
    }

    /// Where a request with this target is sent: always to the host that the file names, or to the
    /// one that was asked.
    #[must_use]
    pub fn location(&self, target: &[u8]) -> HeaderValue {
        let rest = match &self.kept {
            Kept::Below(prefix) if target.first() == Some(&b'/') => below(target, prefix),
            _ => &[],
        };
        let (Location::Absolute(base) | Location::Path(base)) = &self.to;
        let mut place = match rest.is_empty() {
            true => base.clone(),
            false => base.trim_end_matches('/').to_owned(),
        };
        // What follows a host without a path must not be read as a part of it.
        if matches!(rest.first(), Some(b'?')) && !has_path(&place) {
            place.push('/');
        }
        // Slashes at the beginning, and what browsers take for them, would name another host.
        let rest = match &self.to {
            Location::Path(_) if place.is_empty() => {
                let from = rest.iter().position(|byte| !is_slash(*byte)).unwrap_or(rest.len());
                place.push('/');
                &rest[from..]
            }
            _ => rest,
        };
        for byte in rest {
            match is_location_byte(*byte) {
                true => place.push(char::from(*byte)),
                false => place.push_str(&format!("%{byte:02X}")),
            }
        }
        // It is graphic ASCII by now.
        HeaderValue::try_from(place).unwrap_or_else(|_| HeaderValue::from_static("/"))
    }
}

fn has_path(place: &str) -> bool {
    place.split_once("://").map_or(place, |(_, rest)| rest).contains('/')
}

fn is_slash(byte: u8) -> bool {
    matches!(byte, b'/' | b'\\')
}

/// Fields that frame a message or concern its connection: they are the proxy's own.
const FRAMING: [&str; 9] = [
    "connection",
    "content-length",
    "date",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "proxy-connection",
];

/// A field of an answer.
///
/// # Errors
///
/// What would be accepted.
pub fn field(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), &'static str> {
    let name: HeaderName = name.parse().map_err(|_| "expected the name of a header field")?;
    if FRAMING.contains(&name.as_str()) {
        return Err("expected a field that does not frame the answer or concern its connection");
    }
    let value = value.parse().map_err(|_| "expected text without control characters, in ASCII")?;
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redirect(to: &str, kept: Kept) -> Redirect {
        let to = Location::parse(to).expect("a place");
        Redirect::new(StatusCode::PERMANENT_REDIRECT, to, kept).expect("a redirect")
    }

    fn everything() -> Kept {
        Kept::Below(String::new())
    }

    #[test]
    fn a_redirect_leads_where_the_file_says() {
        for (to, kept, target, expected) in [
            ("https://new.example", Kept::Nothing, "/a?b", "https://new.example"),
            ("https://new.example", everything(), "/a?b", "https://new.example/a?b"),
            ("https://new.example/", everything(), "/a", "https://new.example/a"),
            ("https://new.example/x", everything(), "/a", "https://new.example/x/a"),
            ("https://new.example", Kept::Below("/old".into()), "/old?b", "https://new.example/?b"),
            ("https://new.example", Kept::Below("/old".into()), "/old/a", "https://new.example/a"),
            ("/new", Kept::Below("/old".into()), "/old/a?b", "/new/a?b"),
            ("/new", Kept::Below("/old".into()), "/old", "/new"),
            ("/", everything(), "/a", "/a"),
            ("/", everything(), "*", "/"),
        ] {
            let place = redirect(to, kept).location(target.as_bytes());
            assert_eq!(place.to_str().ok(), Some(expected), "{to} {target}");
        }
    }

    /// An open redirect: a link to a trusted host that leads to one of the attacker's.
    #[test]
    fn no_request_chooses_the_host_that_it_is_sent_to() {
        let targets: [&[u8]; 9] = [
            b"//evil.example",
            b"/\\evil.example",
            b"///evil.example/..",
            b"/@evil.example",
            b"/.evil.example",
            b"/:80@evil.example",
            b"?@evil.example",
            b"/%0d%0aLocation:%20https://evil.example",
            b"/\x85\xff<script>",
        ];
        for target in targets {
            for to in ["https://new.example", "https://new.example/", "https://new.example:8/x"] {
                let place = redirect(to, everything()).location(target);
                let text = place.to_str().expect("ASCII");
                let rest = text.strip_prefix("https://new.example").expect("the host stays");
                let rest = rest.strip_prefix(":8").unwrap_or(rest);
                assert!(rest.is_empty() || rest.starts_with('/'), "{text}");
                assert!(!text.contains(['\\', '<', '"', '\r', '\n']), "{text}");
            }
            for (to, kept) in
                [("/", everything()), ("/x", everything()), ("/", Kept::Below("/old".into()))]
            {
                let place = redirect(to, kept).location(target);
                let text = place.to_str().expect("ASCII");
                assert!(text.starts_with('/') && !text.starts_with("//"), "{text}");
                assert!(!text.starts_with("/\\"), "{text}");
            }
        }
    }

    #[test]
    fn what_is_no_place_is_refused() {
        for text in [
            "",
            "new.example",
            "//new.example",
            "javascript:alert(1)",
            "ftp://a",
            "https://",
            "https:///a",
            "https://user@a",
            "https://user:pass@a",
            "https://*.example.com",
            "https://a:99999",
            "https://a:",
            "https://a b",
            "https://a/\r\nb",
            "https://a#b",
            "https://ü.de",
            "/\\a",
        ] {
            assert!(Location::parse(text).is_err(), "{text}");
        }
        for text in ["https://a", "HTTP://a.b:8/c?d=e", "https://[::1]:8/", "/", "/a/b?c"] {
            assert!(Location::parse(text).is_ok(), "{text}");
        }
        let to = Location::parse("/a?b").expect("a place");
        assert!(Redirect::new(StatusCode::FOUND, to, everything()).is_err());
    }

    #[test]
    fn fields_that_frame_an_answer_are_refused() {
        assert!(field("Cache-Control", "max-age=60").is_ok());
        for (name, value) in [
            ("Content-Length", "5"),
            ("transfer-encoding", "chunked"),
            ("Connection", "close"),
            ("a b", "c"),
            ("x", "a\r\nb: c"),
            ("", "a"),
        ] {
            assert!(field(name, value).is_err(), "{name}");
        }
    }
}
