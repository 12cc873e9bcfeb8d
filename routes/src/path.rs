//! Paths: how a route names them, and how a request's is compared.
//!
//! An app receives the path byte for byte and may read it in another way than its neighbours:
//! resolve `..`, decode `%2f`, drop `;v=1`, take `\` for `/` or `//` for `/`. A route that is found
//! by one reading and an app that serves another are a hole in whatever the route protects. So a
//! path has two readings here, the plainest and the one that resolves everything. Where both lead
//! to the same route there is nothing to be confused; else the path is ambiguous, and refused. One
//! with `.` or `..` is ambiguous wherever it could lead to more than one route.

use std::borrow::Cow;
use std::collections::BTreeMap;

/// Longest path of a route.
pub const PATH_BYTES_MAX: usize = 1_024;

/// Segments of a route's path, at most.
pub const SEGMENTS_MAX: usize = 32;

/// How often a path is decoded at most: what is encoded more often than that was meant to deceive.
const DECODINGS_MAX: usize = 4;

/// Stands for a slash that was encoded. No path of a route has one.
const ENCODED_SLASH: u8 = 0;

/// Which paths a route is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum PathRule {
    /// This one.
    Exact(String),
    /// This one and all below it, by whole segments; empty for all paths.
    Prefix(String),
}

/// What a path of a route must be, for messages.
const EXPECTED: &str = "expected a path such as /api: with a slash before each segment, without \
                        empty ones, `.` or `..`, a query, and `;`, `%` or `\\`";

impl PathRule {
    /// This path and all below it; a slash at its end does not count.
    ///
    /// # Errors
    ///
    /// What would be accepted.
    pub fn prefix(text: &str) -> Result<Self, &'static str> {
        let path = text.strip_suffix('/').unwrap_or(text);
        let is_root = text == "/";
        (is_root || is_path(path)).then(|| Self::Prefix(path.to_owned())).ok_or(EXPECTED)
    }

    /// This path alone. A slash at its end counts.
    ///
    /// # Errors
    ///
    /// What would be accepted.
    pub fn exact(text: &str) -> Result<Self, &'static str> {
        let path = text.strip_suffix('/').unwrap_or(text);
        let is_root = text == "/";
        (is_root || is_path(path)).then(|| Self::Exact(text.to_owned())).ok_or(EXPECTED)
    }
}

fn is_path(path: &str) -> bool {
    let Some(rest) = path.strip_prefix('/') else { return false };
    let is_byte = |byte: u8| byte > b' ' && byte != 0x7f && !b"%\\;?#".contains(&byte);
    let is_segment = |segment: &str| {
        !segment.is_empty() && !is_dots(segment.as_bytes()) && segment.bytes().all(is_byte)
    };
    path.len() <= PATH_BYTES_MAX
        && rest.split('/').count() <= SEGMENTS_MAX
        && rest.split('/').all(is_segment)
}

fn is_dots(segment: &[u8]) -> bool {
    matches!(segment, b"." | b"..")
}

/// The path leads to one route by one reading and to another by another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ambiguous;

/// The paths of one host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PathIndex {
    exact: BTreeMap<Vec<u8>, usize>,
    prefixes: BTreeMap<Vec<u8>, usize>,
    /// Segments of the longest prefix.
    depth: usize,
}

impl PathIndex {
    /// Adds a rule that leads to `to`.
    ///
    /// # Errors
    ///
    /// What the same rule leads to already.
    pub fn insert(&mut self, rule: &PathRule, to: usize) -> Result<(), usize> {
        let (map, path) = match rule {
            PathRule::Exact(path) => (&mut self.exact, path),
            PathRule::Prefix(path) => (&mut self.prefixes, path),
        };
        match map.insert(path.as_bytes().to_vec(), to) {
            Some(before) => Err(before),
            None => {
                self.depth = self.depth.max(path.matches('/').count());
                Ok(())
            }
        }
    }

    /// What the longest rule that a path follows leads to, an exact one before a prefix; `None`
    /// where it follows none.
    ///
    /// # Errors
    ///
    /// When that depends on who reads the path.
    pub fn find(&self, path: &Path<'_>) -> Result<Option<usize>, Ambiguous> {
        let plain = self.follow(&path.plain);
        match &path.other {
            Other::Same => Ok(plain),
            Other::Resolved(resolved) => match self.follow(resolved) == plain {
                true => Ok(plain),
                false => Err(Ambiguous),
            },
            Other::Anything if self.is_empty() => Ok(None),
            Other::Anything if self.takes_all() => Ok(plain),
            Other::Anything => Err(Ambiguous),
        }
    }

    fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.prefixes.is_empty()
    }

    /// Whether there is one rule, for all paths.
    fn takes_all(&self) -> bool {
        self.exact.is_empty() && self.prefixes.len() == 1 && self.depth == 0
    }

    fn follow(&self, path: &[u8]) -> Option<usize> {
        if let Some(found) = self.exact.get(path) {
            return Some(*found);
        }
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        let mut ends: Vec<usize> = ends.chain([path.len()]).take(self.depth + 1).collect();
        ends.reverse();
        ends.into_iter().find_map(|end| self.prefixes.get(&path[..end]).copied())
    }
}

/// A request's path in its two readings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path<'a> {
    /// Each segment decoded once, where it stands.
    plain: Cow<'a, [u8]>,
    other: Other,
}

/// The reading that resolves everything.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Other {
    /// It is the same.
    Same,
    /// This.
    Resolved(Vec<u8>),
    /// It climbs, or is encoded too often to be followed: it may lead anywhere.
    Anything,
}

impl<'a> Path<'a> {
    /// The path of a request's target, without its query. A target that is no path, as that of
    /// `OPTIONS *` and of `CONNECT`, stands for `/`.
    #[must_use]
    pub fn of_target(target: &'a [u8]) -> Self {
        let end = target.iter().position(|byte| *byte == b'?').unwrap_or(target.len());
        let path = &target[..end];
        if path.first() != Some(&b'/') {
            return Self { plain: Cow::Borrowed(b"/"), other: Other::Same };
        }
        let is_plain = !path.iter().any(|byte| b"%\\;".contains(byte))
            && !path.windows(2).any(|two| two == b"//" || two == b"/.");
        if is_plain {
            return Self { plain: Cow::Borrowed(path), other: Other::Same };
        }
        let plain = match path.contains(&b'%') {
            true => Cow::Owned(decoded(path, ENCODED_SLASH)),
            false => Cow::Borrowed(path),
        };
        let other = match resolved(path) {
            Some(resolved) if resolved == *plain => Other::Same,
            Some(resolved) => Other::Resolved(resolved),
            None => Other::Anything,
        };
        Self { plain, other }
    }
}

/// The path with everything resolved that somebody might resolve; `None` if it climbs, or does not
/// come to an end.
fn resolved(path: &[u8]) -> Option<Vec<u8>> {
    let mut text = path.to_vec();
    for _ in 0..DECODINGS_MAX {
        if !has_escape(&text) {
            break;
        }
        text = decoded(&text, b'/');
    }
    if has_escape(&text) {
        return None;
    }
    let mut resolved = Vec::with_capacity(text.len());
    let mut is_last_empty = false;
    for segment in text.split(|byte| matches!(byte, b'/' | b'\\')).skip(1) {
        let end = segment.iter().position(|byte| *byte == b';').unwrap_or(segment.len());
        let segment = &segment[..end];
        if is_dots(segment) {
            return None;
        }
        is_last_empty = segment.is_empty();
        if !is_last_empty {
            resolved.push(b'/');
            resolved.extend_from_slice(segment);
        }
    }
    if is_last_empty {
        resolved.push(b'/');
    }
    Some(resolved)
}

/// The bytes that an escape at the beginning stands for.
fn escape(text: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let [b'%', high, low, ..] = text else { return None };
    u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()
}

fn has_escape(text: &[u8]) -> bool {
    (0..text.len()).any(|at| escape(&text[at..]).is_some())
}

/// The text with each escape decoded once, and `slash` for one that stands for a slash.
fn decoded(text: &[u8], slash: u8) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, behind @ ..] = rest {
        let (byte, behind) = match escape(rest) {
            Some(b'/') => (slash, &rest[3..]),
            Some(byte) => (byte, &rest[3..]),
            None => (*first, behind),
        };
        decoded.push(byte);
        rest = behind;
    }
    decoded
}

/// What of a path lies below a prefix, byte for byte, with the query: `/a?b` of `/old/a?b` below
/// `/old`.
#[must_use]
pub fn below<'a>(target: &'a [u8], prefix: &str) -> &'a [u8] {
    let segments = prefix.matches('/').count();
    let end = target.iter().position(|byte| *byte == b'?').unwrap_or(target.len());
    let slashes = target[..end].iter().enumerate().filter(|(_, byte)| **byte == b'/');
    let from = slashes.map(|(at, _)| at).nth(segments).unwrap_or(end);
    &target[from..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(rules: &[&str]) -> PathIndex {
        let mut index = PathIndex::default();
        for (to, rule) in rules.iter().enumerate() {
            let rule = match rule.strip_prefix('=') {
                Some(exact) => PathRule::exact(exact),
                None => PathRule::prefix(rule),
            };
            index.insert(&rule.expect("a path"), to).expect("it is new");
        }
        index
    }

    fn found(index: &PathIndex, target: &str) -> Result<Option<usize>, Ambiguous> {
        index.find(&Path::of_target(target.as_bytes()))
    }

    #[test]
    fn the_longest_rule_wins_and_an_exact_one_before_a_prefix() {
        let index = index(&["/", "/api", "=/api", "/api/v2", "=/robots.txt"]);
        for (target, to) in [
            ("/", 0),
            ("/apis", 0),
            ("/ap", 0),
            ("/api", 2),
            ("/api?x=/api/v2", 2),
            ("/api/", 1),
            ("/api/v1/v2", 1),
            ("/api/v2", 3),
            ("/api/v2/", 3),
            ("/api/v2/a/b/c", 3),
            ("/robots.txt", 4),
            ("/robots.txt/", 0),
            ("/robots.txt?a", 4),
            ("*", 0),
            ("host:443", 0),
            ("/%61pi/v2", 3),
            ("/a%20b", 0),
            ("/API", 0),
        ] {
            assert_eq!(found(&index, target), Ok(Some(to)), "{target}");
        }
    }

    #[test]
    fn what_two_readers_route_differently_is_refused() {
        let index = index(&["/", "/admin", "=/robots.txt"]);
        for target in [
            "/public/../admin",
            "/./admin",
            "/public/%2e%2e/admin",
            "/public/%252e%252e/admin",
            "/public/..;/admin",
            "/public/..;x=1/admin",
            "//admin",
            "/\\admin",
            "/x/..",
            "/admin%2fx",
            "/%2fadmin",
            "/%5cadmin",
            "/admin;x",
            "/admin;x/y",
            "/%2561dmin",
            "/admin\\x",
            "//robots.txt",
            "/..",
            "/%25252525252561dmin",
        ] {
            assert_eq!(found(&index, target), Err(Ambiguous), "{target}");
        }
    }

    #[test]
    fn what_leads_to_one_route_by_every_reading_passes() {
        let several = index(&["/", "/admin", "/admin/users"]);
        for (target, to) in [
            ("/projects/group%2fname", 0),
            ("/files//a", 0),
            ("/a;v=1/b", 0),
            ("/a%", 0),
            ("/a%zz", 0),
            ("/admin/a%2fb", 1),
            ("/admin//a", 1),
            ("/caf%c3%a9", 0),
            ("/.well-known/x", 0),
            ("/a/...", 0),
        ] {
            assert_eq!(found(&several, target), Ok(Some(to)), "{target}");
        }
        // One route for all paths cannot be missed, and none cannot be found.
        assert_eq!(found(&index(&["/"]), "/a/../b"), Ok(Some(0)));
        assert_eq!(found(&index(&[]), "/a/../b"), Ok(None));
        assert_eq!(found(&index(&["=/health"]), "/a/../b"), Err(Ambiguous));
    }

    #[test]
    fn a_rule_that_no_path_could_follow_is_refused() {
        let long = format!("/{}", "a/".repeat(SEGMENTS_MAX + 1));
        for text in
            ["", "a", "//", "/a//b", "/a/..", "/./b", "/a b", "/a%20b", "/a?b", "/a;b", &long]
        {
            assert!(PathRule::prefix(text).is_err(), "{text}");
            assert!(PathRule::exact(text).is_err(), "{text}");
        }
        assert_eq!(PathRule::prefix("/"), Ok(PathRule::Prefix(String::new())));
        assert_eq!(PathRule::prefix("/a/"), Ok(PathRule::Prefix("/a".into())));
        assert_eq!(PathRule::exact("/a/"), Ok(PathRule::Exact("/a/".into())));
        assert!(PathRule::prefix("/café").is_ok());
    }

    #[test]
    fn what_lies_below_a_prefix_is_kept_byte_for_byte() {
        for (target, prefix, rest) in [
            ("/old/a%2fb?c=/d", "/old", "/a%2fb?c=/d"),
            ("/old", "/old", ""),
            ("/old?x", "/old", "?x"),
            ("/%6fld/a", "/old", "/a"),
            ("/a?b", "", "/a?b"),
            ("//evil.example", "", "//evil.example"),
        ] {
            assert_eq!(below(target.as_bytes(), prefix), rest.as_bytes(), "{target}");
        }
    }
}
