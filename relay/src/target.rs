//! Request targets: the one rule for all of their forms (RFC 9112, section 3.2).

use bytes::Bytes;
use http::Method;
use http::header::HeaderValue;

use crate::host;

/// A valid target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// What the app receives: a path and query, `*`, or the authority of a `CONNECT`.
    pub(crate) for_app: Bytes,
    /// The host that the target itself names, which takes precedence over the `Host` field.
    pub(crate) authority: Option<HeaderValue>,
}

/// Whether the request concerns the server itself and not the app.
pub(crate) fn is_asterisk(target: &[u8]) -> bool {
    target == b"*"
}

/// Parses a target of any form; `None` when its form is not valid with `method`.
///
/// Paths and queries are bytes: all but blanks and control characters pass unchanged.
pub(crate) fn read(target: Bytes, method: &Method) -> Option<Target> {
    if target.iter().any(|byte| *byte <= b' ' || *byte == 0x7f) {
        return None;
    }
    match &target[..] {
        [b'/', ..] => Some(Target { for_app: target, authority: None }),
        b"*" if *method == Method::OPTIONS => Some(Target { for_app: target, authority: None }),
        b"*" => None,
        _ if *method == Method::CONNECT => {
            let authority = host::has_port(&target).then(|| value(&target)).flatten()?;
            Some(Target { for_app: target, authority: Some(authority) })
        }
        _ => absolute(&target),
    }
}

/// Splits an absolute target into its origin form and its authority.
fn absolute(target: &Bytes) -> Option<Target> {
    let colon = memchr::memmem::find(target, b"://")?;
    let [first, others @ ..] = &target[..colon] else { return None };
    let is_scheme = first.is_ascii_alphabetic()
        && others.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte));
    let rest = target.slice(colon + 3..);
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    let authority = rest.slice(..end);
    if !is_scheme || !host::is_valid(&authority) {
        return None;
    }
    let for_app = match rest.get(end) {
        Some(b'/') => rest.slice(end..),
        Some(_) => Bytes::from([b"/", &rest[end..]].concat()),
        None => Bytes::from_static(b"/"),
    };
    Some(Target { for_app, authority: value(&authority) })
}

/// Whether HTTP/2 can carry a target unchanged.
pub(crate) fn fits_http2(target: &Bytes) -> bool {
    http::uri::PathAndQuery::from_maybe_shared(target.clone())
        .is_ok_and(|path| path.as_str().as_bytes() == &target[..])
}

/// A target for HTTP/2: bytes that a URI cannot hold are percent-encoded, as Go does for both
/// protocols.
pub(crate) fn for_http2(target: &Bytes) -> Bytes {
    if fits_http2(target) {
        return target.clone();
    }
    let mut encoded = Vec::with_capacity(target.len() + 16);
    for byte in target {
        match byte {
            b'"' | b'#' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' | 0x80.. => {
                encoded.extend_from_slice(format!("%{byte:02X}").as_bytes());
            }
            byte => encoded.push(*byte),
        }
    }
    encoded.into()
}

fn value(text: &Bytes) -> Option<HeaderValue> {
    HeaderValue::from_maybe_shared(text.clone()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(target: &[u8], method: Method) -> Option<(Vec<u8>, Option<String>)> {
        let target = read(Bytes::copy_from_slice(target), &method)?;
        let text = |host: HeaderValue| String::from_utf8_lossy(host.as_bytes()).into_owned();
        Some((target.for_app.to_vec(), target.authority.map(text)))
    }

    #[test]
    fn every_form_is_taken_apart() {
        let found =
            |path: &[u8], host: Option<&str>| Some((path.to_vec(), host.map(str::to_owned)));
        for (target, path, host) in [
            (&b"/a?b"[..], &b"/a?b"[..], None),
            (b"//a", b"//a", None),
            (b"/\xff\xfe?\xe9", b"/\xff\xfe?\xe9", None),
            (b"/a\"<>\\^`{|}", b"/a\"<>\\^`{|}", None),
            (b"http://h", b"/", Some("h")),
            (b"HTTPS://h:8/p?q", b"/p?q", Some("h:8")),
            (b"http://h?q", b"/?q", Some("h")),
            (b"http://[::1]:8/p", b"/p", Some("[::1]:8")),
            (b"coap+ws://h/p", b"/p", Some("h")),
        ] {
            assert_eq!(parsed(target, Method::GET), found(path, host), "{}", target.escape_ascii());
        }
        assert_eq!(parsed(b"*", Method::OPTIONS), found(b"*", None));
        assert_eq!(parsed(b"h:1", Method::CONNECT), found(b"h:1", Some("h:1")));
        assert_eq!(parsed(b"/rpc", Method::CONNECT), found(b"/rpc", None));
    }

    #[test]
    fn http2_gets_what_it_can_carry() {
        for (target, expected) in [
            (&b"/a?b=%20"[..], &b"/a?b=%20"[..]),
            (b"/caf\xe9?\xff", b"/caf%E9?%FF"),
            (b"/a#b", b"/a%23b"),
            (b"/a<b>\\", b"/a%3Cb%3E%5C"),
        ] {
            let sent = for_http2(&Bytes::copy_from_slice(target));
            assert_eq!(sent, expected, "{}", target.escape_ascii());
            assert!(fits_http2(&sent));
        }
    }

    #[test]
    fn malformed_targets_are_refused() {
        for target in [
            &b""[..],
            b"*",
            b"a",
            b"a/b",
            b"http:/h",
            b"http:///p",
            b"http://",
            b"http://?q",
            b"://h/",
            b"1http://h/",
            b"http://u@h/",
            b"http://u:p@h/",
            b"http://h:x/",
            b"http://:80/",
            b"http://a b/",
            b"http://a\\b/",
            b"http://[::1/",
            b"http://h#f",
            b"http://h\xe9/",
            b"/a b",
            b"/a\tb",
            b"/a\x7f",
            b"/a\x01",
            b"h:1",
        ] {
            assert_eq!(parsed(target, Method::GET), None, "{}", target.escape_ascii());
        }
        for target in [&b"h"[..], b"h:", b"h:x", b"u@h:1", b"http://h/", b"*"] {
            assert_eq!(parsed(target, Method::CONNECT), None, "{}", target.escape_ascii());
        }
    }
}
