//! Where a probe's request goes, and where a redirect leads.

use super::dial;

/// Plain or over TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Plain.
    Http,
    /// TLS; as the kubelet does, without verifying the certificate.
    Https,
}

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) scheme: Scheme,
    pub(super) host: String,
    pub(super) port: u16,
    /// Path and query, as they stand in a request line.
    pub(super) path: String,
}

/// What a `Location` leads to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Redirect {
    /// Another page of the same host.
    Follow(Target),
    /// Another page of the same host, named without a host of its own: the probe's `Host` holds.
    FollowRelative(Target),
    /// Another host, which is not probed: the app has responded, which is enough.
    Elsewhere,
    /// Nothing that can be requested: another scheme of the same host, or no URL.
    Unusable,
}

impl Target {
    pub(super) fn authority(&self) -> String {
        dial::authority(&self.host, self.port)
    }

    /// Where a redirect leads. As the kubelet judges it: the host alone decides, letter by letter.
    pub(super) fn redirect(&self, location: &str) -> Redirect {
        let location = location.split('#').next().unwrap_or("");
        let (scheme, rest) = match split_scheme(location) {
            Some((scheme, rest)) => (Some(scheme), rest),
            None => (None, location),
        };
        let Some(rest) = rest.strip_prefix("//") else {
            return match scheme {
                // `mailto:` and its like name no host.
                Some(_) => Redirect::Elsewhere,
                None => Redirect::FollowRelative(Self {
                    path: origin_form(&resolve(&self.path, rest)),
                    ..self.clone()
                }),
            };
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        // URL parsers differ on where the host is in such a text.
        if authority.bytes().any(|byte| byte <= b' ' || byte == b'\\' || byte == 0x7f) {
            return Redirect::Unusable;
        }
        let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let Some((host, port)) = split_port(authority) else { return Redirect::Unusable };
        if host != self.host.trim_matches(['[', ']']) {
            return Redirect::Elsewhere;
        }
        let scheme = match scheme.map(str::to_ascii_lowercase).as_deref() {
            None => self.scheme,
            Some("http") => Scheme::Http,
            Some("https") => Scheme::Https,
            Some(_) => return Redirect::Unusable,
        };
        let default_port = if scheme == Scheme::Https { 443 } else { 80 };
        let port = match port {
            "" => default_port,
            digits => match digits.parse() {
                Ok(port) if port > 0 => port,
                _ => return Redirect::Unusable,
            },
        };
        let path = origin_form(&resolve("/", path));
        Redirect::Follow(Self { scheme, host: host.to_owned(), port, path })
    }
}

/// `https:` and what follows it.
fn split_scheme(location: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = location.split_once(':')?;
    let mut bytes = scheme.bytes();
    let is_scheme = bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    is_scheme.then_some((scheme, rest))
}

/// Host without brackets, and port, which may be empty; `None` for what is neither.
fn split_port(authority: &str) -> Option<(&str, &str)> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, port) = rest.split_once(']')?;
        return Some((host, if port.is_empty() { "" } else { port.strip_prefix(':')? }));
    }
    Some(authority.split_once(':').unwrap_or((authority, "")))
}

/// A reference without scheme and host, seen from `base` (RFC 3986, 5.2.2).
fn resolve(base: &str, reference: &str) -> String {
    let base_path = base.split('?').next().unwrap_or("");
    if reference.is_empty() {
        return base.to_owned();
    }
    if reference.starts_with('?') {
        return format!("{base_path}{reference}");
    }
    let (path, query) = match reference.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (reference, None),
    };
    let merged = if path.starts_with('/') {
        path.to_owned()
    } else {
        let directory = base_path.rsplit_once('/').map_or("", |(directory, _)| directory);
        format!("{directory}/{path}")
    };
    let mut resolved = without_dots(&merged);
    if let Some(query) = query {
        resolved.push('?');
        resolved.push_str(query);
    }
    resolved
}

/// Takes `.` and `..` out of an absolute path.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/').skip(1) {
        match segment {
            "." => {}
            ".." => {
                kept.pop();
            }
            other => kept.push(other),
        }
    }
    let ends_in_directory = path.ends_with("/.") || path.ends_with("/..");
    let end = if ends_in_directory && !kept.is_empty() { "/" } else { "" };
    format!("/{}{end}", kept.join("/"))
}

/// Path and query as a request line may carry them: a leading slash, no host of its own, no
/// fragment, and an escape for every byte that has no place there.
pub(super) fn origin_form(text: &str) -> String {
    let text = text.split('#').next().unwrap_or("");
    let text = split_scheme(text).filter(|(_, rest)| rest.starts_with("//")).map_or(text, |s| s.1);
    let text = match text.strip_prefix("//") {
        Some(rest) => rest.find(['/', '?']).map_or("", |start| &rest[start..]),
        None => text,
    };
    let mut path = String::with_capacity(text.len() + 1);
    if !text.starts_with('/') {
        path.push('/');
    }
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"/?-._~!$&'()*+,;=:@%[]".contains(&byte) {
            path.push(char::from(byte));
        } else {
            path.push_str(&format!("%{byte:02X}"));
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::Redirect::{Elsewhere, Follow, FollowRelative, Unusable};
    use super::*;

    fn target() -> Target {
        Target {
            scheme: Scheme::Http,
            host: "127.0.0.1".to_owned(),
            port: 8080,
            path: "/a/b?q".to_owned(),
        }
    }

    #[test]
    fn redirects_to_the_same_host_are_resolved() {
        for (location, expected) in [
            ("/target", "127.0.0.1:8080/target"),
            ("next", "127.0.0.1:8080/a/next"),
            ("../up?x#y", "127.0.0.1:8080/up?x"),
            ("./", "127.0.0.1:8080/a/"),
            ("../../../..", "127.0.0.1:8080/"),
            ("?other", "127.0.0.1:8080/a/b?other"),
            ("#here", "127.0.0.1:8080/a/b?q"),
            ("/a b", "127.0.0.1:8080/a%20b"),
            ("/x:y", "127.0.0.1:8080/x:y"),
            ("http://127.0.0.1:81/x?y", "127.0.0.1:81/x?y"),
            ("HTTP://127.0.0.1", "127.0.0.1:80/"),
            ("http://127.0.0.1?x", "127.0.0.1:80/?x"),
            ("https://127.0.0.1/", "127.0.0.1:443/"),
            ("//127.0.0.1:9/z", "127.0.0.1:9/z"),
            ("http://user:word@127.0.0.1:9/", "127.0.0.1:9/"),
        ] {
            let next = match target().redirect(location) {
                Follow(next) | FollowRelative(next) => next,
                other => panic!("{location}: {other:?}"),
            };
            assert_eq!(format!("{}{}", next.authority(), next.path), expected, "{location}");
        }
        let Follow(next) = target().redirect("https://127.0.0.1/") else { panic!("same host") };
        assert_eq!(next.scheme, Scheme::Https);
    }

    #[test]
    fn other_hosts_are_never_requested() {
        for location in [
            "https://sso.example.test/login",
            "//sso.example.test",
            "http://localhost:8080/",
            "http://[::1]:8080/",
            "http://127.0.0.1.example/",
            "http://127.0.0.1@sso.example.test/",
            "ftp://x/",
            "mailto:me",
            "javascript:alert(1)",
            "http:///path",
        ] {
            assert_eq!(target().redirect(location), Elsewhere, "{location}");
        }
        for location in [
            "ftp://127.0.0.1/",
            "http://127.0.0.1:x/",
            "http://127.0.0.1:0/",
            "http://127.0.0.1 /",
            "http://sso.example.test\\@127.0.0.1/x",
            "//[::1",
        ] {
            assert_eq!(target().redirect(location), Unusable, "{location}");
        }
        let six = Target { host: "[::1]".to_owned(), ..target() };
        assert!(matches!(six.redirect("http://[::1]:9/"), Follow(_)));
    }

    #[test]
    fn a_path_is_escaped_for_the_request_line() {
        for (text, expected) in [
            ("", "/"),
            ("health?x=1", "/health?x=1"),
            ("/a b?c d", "/a%20b?c%20d"),
            ("/x\r\nHost: evil", "/x%0D%0AHost:%20evil"),
            ("/é", "/%C3%A9"),
            ("/already%20there", "/already%20there"),
            ("/a#b", "/a"),
            ("//evil.example/x", "/x"),
            ("http://evil.example/x?y", "/x?y"),
            ("?q", "/?q"),
        ] {
            assert_eq!(origin_form(text), expected, "{text}");
        }
    }
}
