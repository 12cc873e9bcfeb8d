//! Visitors that stay with a revision, without a memory of them.
//!
//! A visitor has a number. The number has a place among the requests of each route, and the place
//! falls to a revision. As long as shares stay, so does the revision; where the share of one grows
//! at the cost of its neighbour, a visitor changes from that one to it, once.

use std::fmt;

use http::HeaderMap;
use http::header::{COOKIE, HeaderName, HeaderValue};

use crate::share::{Place, Share};

/// The cookie in which a visitor keeps its number. Its value is one of a million: it puts visitors
/// into groups and identifies nobody.
pub const VISITOR_COOKIE: &str = "tidegate-visitor";

/// How long a browser keeps the number: longer than any rollout, and no longer than a year's half.
const VISITOR_COOKIE_SECONDS: u32 = 180 * 86_400;

/// Longest value of a header or cookie that is told apart: what is longer is no name of a visitor.
const KEY_BYTES_MAX: usize = 4_096;

/// By what visitors are known again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Stickiness {
    /// By nothing: each request is drawn for itself.
    #[default]
    None,
    /// By a number in a cookie of ours, which the first response sets.
    Visitor,
    /// By the value of a header of the request.
    Header(HeaderName),
    /// By the value of a cookie that the app sets.
    Cookie(String),
}

/// The number of a visitor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Visitor(u32);

/// Whether a cookie may be sent without TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// The client's connection was encrypted: the cookie is kept to such ones.
    Encrypted,
    /// It was not.
    Plain,
}

impl Visitor {
    /// The number of a visitor that has none yet.
    #[must_use]
    pub fn of_draw(draw: u64) -> Self {
        Self(Place::of_draw(draw).number())
    }

    /// The number in a request's cookie, if it is one of ours.
    #[must_use]
    pub fn of_request(headers: &HeaderMap) -> Option<Self> {
        let value = cookie(headers, VISITOR_COOKIE)?;
        let is_number = (1..=6).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
        let text = str::from_utf8(value).ok().filter(|_| is_number)?;
        text.parse().ok().map(Self)
    }

    /// Its place among the requests of a route. Each number has one of its own there, and those of
    /// another route are in another order.
    #[must_use]
    pub fn place(self, salt: Salt) -> Place {
        let whole = u64::from(Share::WHOLE.millionths());
        let place = (u64::from(self.0) * salt.factor() + salt.offset()) % whole;
        // It is less than the whole.
        Place::of_number(u32::try_from(place).unwrap_or(0))
    }

    /// The value of the `Set-Cookie` field that makes a client keep the number.
    #[must_use]
    pub fn set_cookie(self, transport: Transport) -> HeaderValue {
        let secure = match transport {
            Transport::Encrypted => "; Secure",
            Transport::Plain => "",
        };
        let text = format!(
            "{VISITOR_COOKIE}={self}; Path=/; Max-Age={VISITOR_COOKIE_SECONDS}; HttpOnly; \
             SameSite=Lax{secure}"
        );
        // Digits and the text above: there is nothing that a field could not carry.
        HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
    }
}

impl fmt::Display for Visitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What tells the order of visitors in one route from that in another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Salt(u64);

impl Salt {
    /// That of the route with this name.
    #[must_use]
    pub fn of_route(name: &str) -> Self {
        Self(hash(name.as_bytes(), 0))
    }

    /// Has no divisor in common with the whole, so that no two numbers get one place.
    fn factor(self) -> u64 {
        let odd = ((self.0 >> 32) % 1_000_000) | 1;
        if odd.is_multiple_of(5) { odd + 2 } else { odd }
    }

    fn offset(self) -> u64 {
        self.0 & u64::from(u32::MAX)
    }
}

/// The place of whoever shows this text.
#[must_use]
pub fn place_of_key(key: &[u8], salt: Salt) -> Place {
    Place::of_draw(hash(key, salt.0))
}

/// The value of a header that names a visitor: the only one, and not an empty one.
#[must_use]
pub fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => usable(value.as_bytes()),
        _ => None,
    }
}

/// The value of the first cookie with this name; `None` for an empty one.
#[must_use]
pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    let fields = headers.get_all(COOKIE).iter();
    let mut pairs = fields.flat_map(|field| field.as_bytes().split(|byte| *byte == b';'));
    let value = pairs
        .find_map(|pair| pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
    usable(value)
}

fn usable(value: &[u8]) -> Option<&[u8]> {
    (1..=KEY_BYTES_MAX).contains(&value.len()).then_some(value)
}

/// FNV-1a with a last mixing, by which each bit of the text reaches each of the number. It hides
/// nothing: whoever wants to may choose a group.
fn hash(text: &[u8], salt: u64) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME);
    mix(text.iter().fold(OFFSET ^ salt, step))
}

/// Another number for each number, without a pattern between them: what SplitMix64 ends with.
#[must_use]
pub fn mix(number: u64) -> u64 {
    let first = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let second = (first ^ (first >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    second ^ (second >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn every_number_has_a_place_of_its_own_in_each_route() {
        for route in ["shop", "api", "a", ""] {
            let salt = Salt::of_route(route);
            let mut taken = vec![false; 1_000_000];
            for number in 0..1_000_000 {
                let place = Visitor(number).place(salt).number() as usize;
                assert!(!std::mem::replace(&mut taken[place], true), "{route}: {number}");
            }
        }
    }

    #[test]
    fn a_number_comes_back_as_it_was_given() {
        let visitor = Visitor::of_draw(0x1234_5678_9abc_def0);
        let cookie = visitor.set_cookie(Transport::Encrypted);
        let text = cookie.to_str().expect("it is text");
        assert!(text.ends_with("; Secure") && text.contains("; HttpOnly"), "{text}");
        let pair = text.split(';').next().expect("a pair").to_owned();
        let mut headers = HeaderMap::new();
        headers.insert(COOKIE, pair.parse().expect("a value"));
        assert_eq!(Visitor::of_request(&headers), Some(visitor));
    }

    #[test]
    fn what_is_no_number_of_ours_is_none() {
        for value in ["", "x", "-1", "+1", "1234567", "1 2", "0x1", "\u{661}"] {
            let mut headers = HeaderMap::new();
            let pair = format!("{VISITOR_COOKIE}={value}");
            headers.insert(COOKIE, HeaderValue::from_bytes(pair.as_bytes()).expect("a value"));
            assert_eq!(Visitor::of_request(&headers), None, "{value:?}");
        }
    }

    #[test]
    fn cookies_are_found_among_others_and_in_several_fields() {
        let headers = headers(&[("cookie", "ab=1;a = 2; a=3"), ("cookie", "b=4; a=5; c=")]);
        assert_eq!(cookie(&headers, "a"), Some(&b"3"[..]));
        assert_eq!(cookie(&headers, "b"), Some(&b"4"[..]));
        assert_eq!((cookie(&headers, "c"), cookie(&headers, "d")), (None, None));
    }

    #[test]
    fn a_header_that_is_repeated_names_nobody() {
        let headers = headers(&[("x-user", "a"), ("x-user", "b"), ("x-one", "a"), ("x-none", "")]);
        let named = |name| header(&headers, &HeaderName::from_static(name));
        assert_eq!(named("x-one"), Some(&b"a"[..]));
        assert_eq!((named("x-user"), named("x-none"), named("x-other")), (None, None, None));
    }
}
