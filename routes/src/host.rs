//! Hosts: how a route names them, and how a request's is compared.

/// Longest name of a host in DNS, without the dot at its end.
pub const HOST_BYTES_MAX: usize = 253;

/// Longest label of a name, and so longest name of a route and of a tag.
pub const LABEL_BYTES_MAX: usize = 63;

/// The hosts that a route is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum HostPattern {
    /// This one.
    Exact(String),
    /// All below this one: `.example.com` for `*.example.com`.
    Below(String),
}

impl HostPattern {
    /// Reads a pattern: a name, an IPv4 address, an IPv6 address in brackets, or `*.` and a name.
    ///
    /// # Errors
    ///
    /// What would be accepted.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let lower = text.to_ascii_lowercase();
        let name = lower.strip_suffix('.').unwrap_or(&lower);
        if let Some(address) = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let is_address = address.parse::<core::net::Ipv6Addr>().is_ok();
            return match is_address {
                true => Ok(Self::Exact(name.to_owned())),
                false => Err("expected an IPv6 address in the brackets"),
            };
        }
        match name.strip_prefix("*.") {
            Some(rest) if is_name(rest) => Ok(Self::Below(format!(".{rest}"))),
            None if is_name(name) => Ok(Self::Exact(name.to_owned())),
            _ => Err("expected a host without a port, such as shop.example.com or *.example.com"),
        }
    }

    /// The host of a tag of this one, as Knative names it: `TAG-HOST`. `None` where it would be no
    /// name, or would be among those of all hosts below one.
    #[must_use]
    pub fn of_tag(&self, tag: &str) -> Option<String> {
        let Self::Exact(host) = self else { return None };
        let named = format!("{tag}-{host}");
        let is_address = host.starts_with('[') || host.parse::<core::net::Ipv4Addr>().is_ok();
        (!is_address && is_name(&named)).then_some(named)
    }
}

/// Labels of letters, digits, hyphens and underscores, with dots between them.
fn is_name(text: &str) -> bool {
    let is_byte = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let is_label =
        |label: &str| (1..=LABEL_BYTES_MAX).contains(&label.len()) && label.bytes().all(is_byte);
    text.len() <= HOST_BYTES_MAX && text.split('.').all(is_label)
}

/// The name in a request's host, without a port and a dot at its end, as it is compared: in lower
/// case, in `buffer` if it has to be changed. `None` for what is longer than any name.
pub fn name_of<'a>(host: &'a str, buffer: &'a mut String) -> Option<&'a str> {
    let name = match host.rfind(':') {
        // A colon within brackets is none of a port.
        Some(colon) if !host[colon..].contains(']') => &host[..colon],
        _ => host,
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.is_empty() || name.len() > HOST_BYTES_MAX {
        return None;
    }
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        *buffer = name.to_ascii_lowercase();
        return Some(buffer);
    }
    Some(name)
}

/// The parts of a name by which it may lie below another: `.b.c` and `.c` for `a.b.c`.
pub fn parents(name: &str) -> impl Iterator<Item = &str> {
    name.match_indices('.').filter(|(at, _)| *at > 0).map(|(at, _)| &name[at..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_names_addresses_and_all_below_a_name() {
        for (text, expected) in [
            ("Shop.Example.COM.", HostPattern::Exact("shop.example.com".into())),
            ("*.Example.com", HostPattern::Below(".example.com".into())),
            ("127.0.0.1", HostPattern::Exact("127.0.0.1".into())),
            ("[::1]", HostPattern::Exact("[::1]".into())),
            ("localhost", HostPattern::Exact("localhost".into())),
        ] {
            assert_eq!(HostPattern::parse(text), Ok(expected), "{text}");
        }
        for text in [
            "", "*", "*.", "a..b", "a b", "a:80", "a/b", "**.a", "a.*.b", "*a.b", "[x]", "ü.de",
            ".",
        ] {
            assert!(HostPattern::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn tags_have_hosts_as_in_knative() {
        let host = |text| HostPattern::parse(text).expect("a pattern");
        let named = host("shop.example.com").of_tag("next");
        assert_eq!(named.as_deref(), Some("next-shop.example.com"));
        for text in ["*.example.com", "127.0.0.1", "[::1]"] {
            assert_eq!(host(text).of_tag("next"), None, "{text}");
        }
        assert_eq!(host(&format!("{}.de", "a".repeat(60))).of_tag("next"), None);
    }

    #[test]
    fn ports_dots_and_case_do_not_count() {
        for (host, expected) in [
            ("a.b", Some("a.b")),
            ("A.b:80", Some("a.b")),
            ("a.b.:8", Some("a.b")),
            ("[::1]:80", Some("[::1]")),
            ("[::1]", Some("[::1]")),
            ("", None),
            (".", None),
        ] {
            assert_eq!(name_of(host, &mut String::new()), expected, "{host}");
        }
        assert_eq!(name_of(&"a".repeat(254), &mut String::new()), None);
        assert_eq!(parents("a.b.c").collect::<Vec<_>>(), [".b.c", ".c"]);
        assert_eq!(parents("a").count(), 0);
    }
}
