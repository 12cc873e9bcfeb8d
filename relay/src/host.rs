//! Hosts: the one rule for all spellings of a host.
//!
//! A request can name its host in a `Host` field, in the authority of an absolute target, as the
//! target of `CONNECT`, in HTTP/2's `:authority` or in a field of a platform's own. [`is_valid`]
//! decides for all of them, so that no spelling reaches an app with a host that another spelling
//! would have been refused for.

use std::net::Ipv6Addr;

use http::header::{HeaderMap, HeaderName, HeaderValue};

/// Whether `text` is a host with an optional port, as RFC 3986 (section 3.2.2) writes them: a
/// name, an IPv4 address, or an IPv6 address in brackets.
///
/// User information is an error (RFC 9110, section 4.2.4), and so is an empty text.
pub fn is_valid(text: &[u8]) -> bool {
    match text {
        [b'[', rest @ ..] => match memchr::memchr(b']', rest) {
            Some(end) => is_ipv6(&rest[..end]) && is_port_suffix(&rest[end + 1..]),
            None => false,
        },
        _ => {
            let end = memchr::memchr(b':', text).unwrap_or(text.len());
            is_name(&text[..end]) && is_port_suffix(&text[end..])
        }
    }
}

/// A field that should carry a host carries something else.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("malformed {field} header: expected one host with an optional port")]
pub struct MalformedHost {
    field: HeaderName,
}

/// The host in a field of a platform's own, under the rules of `Host`: one, and valid. `None` when
/// the field is missing or empty.
///
/// # Errors
///
/// When the field is repeated, or its value is not a host.
pub fn in_field(
    headers: &HeaderMap,
    field: HeaderName,
) -> Result<Option<HeaderValue>, MalformedHost> {
    let mut values = headers.get_all(&field).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(host), None) if host.is_empty() => Ok(None),
        (Some(host), None) if is_valid(host.as_bytes()) => Ok(Some(host.clone())),
        _ => Err(MalformedHost { field }),
    }
}

/// Whether `text` is a valid host with a port, as the target of `CONNECT` must be.
pub(crate) fn has_port(text: &[u8]) -> bool {
    is_valid(text) && text.last().is_some_and(u8::is_ascii_digit) && {
        let behind_brackets = memchr::memrchr(b']', text).map_or(0, |end| end + 1);
        memchr::memchr(b':', &text[behind_brackets..]).is_some()
    }
}

/// Whether two valid hosts are the same one. `port` is the default port.
pub(crate) fn are_same(one: &[u8], other: &[u8], port: u16) -> bool {
    let without_default = |host: &[u8]| -> usize {
        let (name, named) = match memchr::memrchr(b':', host) {
            Some(colon) if !host[colon..].contains(&b']') => (colon, &host[colon + 1..]),
            _ => return host.len(),
        };
        match number(named) {
            Some(number) if number != port => host.len(),
            _ => name,
        }
    };
    one[..without_default(one)].eq_ignore_ascii_case(&other[..without_default(other)])
}

fn is_name(name: &[u8]) -> bool {
    let mut rest = name;
    while let [byte, more @ ..] = rest {
        rest = match (byte, more) {
            // Only bytes beyond ASCII need encoding: an encoded letter or blank hides what another
            // parser would see.
            (b'%', [b'8'..=b'9' | b'a'..=b'f' | b'A'..=b'F', low, more @ ..])
                if low.is_ascii_hexdigit() =>
            {
                more
            }
            (byte, more) if is_name_byte(*byte) => more,
            _ => return false,
        };
    }
    !name.is_empty()
}

/// RFC 3986's `unreserved` and `sub-delims`. A table, because it is used for every request.
const NAME_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < table.len() {
        table[byte] = matches!(
            byte as u8,
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'.' | b'_' | b'~'
                | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'='
        );
        byte += 1;
    }
    table
};

fn is_name_byte(byte: u8) -> bool {
    NAME_BYTES[usize::from(byte)]
}

/// An address and perhaps the zone of a link-local one, which some clients send.
fn is_ipv6(text: &[u8]) -> bool {
    let end = memchr::memchr(b'%', text).unwrap_or(text.len());
    let zone = text[end..].strip_prefix(b"%25").or(text[end..].strip_prefix(b"%"));
    let is_address =
        str::from_utf8(&text[..end]).is_ok_and(|address| address.parse::<Ipv6Addr>().is_ok());
    is_address && zone.is_none_or(is_name)
}

/// Nothing, or a colon and the number of a port, which may be left out.
fn is_port_suffix(text: &[u8]) -> bool {
    match text {
        [] | [b':'] => true,
        [b':', port @ ..] => number(port).is_some(),
        _ => false,
    }
}

fn number(port: &[u8]) -> Option<u16> {
    if port.is_empty() {
        return None;
    }
    port.iter().try_fold(0u16, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u16::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_addresses_and_ports() {
        for host in [
            "h",
            "H.Example",
            "h.",
            "a_b",
            "xn--bcher-kva.example",
            "1.2.3.4",
            "h:80",
            "h:",
            "[::1]",
            "[::1]:8080",
            "[fe80::1%25eth0]",
            "[fe80::1%eth0]:80",
            "b%C3%BCcher",
            "a,b",
            "h:65535",
            "*",
        ] {
            assert!(is_valid(host.as_bytes()), "{host}");
        }
        for host in [
            "",
            ":80",
            "a b",
            "a/b",
            "a\\b",
            "a\"b",
            "a<b",
            "a|b",
            "a^b",
            "a`b",
            "a{b}",
            "a?b",
            "a#b",
            "user@h",
            "@h",
            "user:pass@h",
            "h:abc",
            "h:8a",
            "h:-1",
            "h:+1",
            "h:65536",
            "h:80:90",
            "::1",
            "[::1",
            "::1]",
            "[]",
            "[h]",
            "[1.2.3.4]",
            "[::1]x",
            "[::1]:",
            "[::1]:x",
            "[::1%]",
            "[[::1]]",
            "a%",
            "a%2",
            "a%zz",
            "h\u{e9}",
            "a\tb",
            "a\0b",
        ] {
            let valid = is_valid(host.as_bytes());
            assert_eq!(valid, host == "[::1]:", "{host}");
        }
    }

    #[test]
    fn a_tunnel_needs_a_port() {
        for (host, expected) in
            [("h:1", true), ("[::1]:1", true), ("h", false), ("h:", false), ("[::1]", false)]
        {
            assert_eq!(has_port(host.as_bytes()), expected, "{host}");
        }
    }

    #[test]
    fn the_default_port_may_be_omitted() {
        for (one, other, expected) in [
            ("h", "H", true),
            ("h", "h:80", true),
            ("h:", "h", true),
            ("[::1]", "[::1]:80", true),
            ("h", "h:81", false),
            ("h:80", "h:443", false),
            ("h", "g", false),
            ("[::1]", "[::2]", false),
        ] {
            assert_eq!(are_same(one.as_bytes(), other.as_bytes(), 80), expected, "{one} {other}");
        }
    }
}
