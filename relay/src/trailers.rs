//! Trailer fields: the one rule for what may come behind a body.
//!
//! A receiver may merge trailers into the head. So nothing that frames a message, routes it,
//! speaks of the connection, or grants access may come that late (RFC 9110, section 6.5.1):
//! what would have been judged in front of the body must not slip in behind it.

use http::HeaderMap;
use http::header::{self, HeaderName};

/// Fields that are dropped from trailers, those of the connection aside.
const FORBIDDEN: [HeaderName; 19] = [
    // Framing and what the body is.
    header::CONTENT_LENGTH,
    header::CONTENT_ENCODING,
    header::CONTENT_TYPE,
    header::CONTENT_RANGE,
    // Routing, and what tells an app who asked for what.
    header::HOST,
    header::FORWARDED,
    header::MAX_FORWARDS,
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-proto"),
    // Requests that mean something else with them.
    header::CACHE_CONTROL,
    header::EXPECT,
    header::PRAGMA,
    header::RANGE,
    // Who somebody is.
    header::AUTHORIZATION,
    header::COOKIE,
    header::SET_COOKIE,
    header::WWW_AUTHENTICATE,
    HeaderName::from_static("realm"),
];

/// Conditions, by how they begin.
const CONDITION: &str = "if-";

/// Fields between two neighbours, in heads as in trailers. `Connection` may name more.
const HOP_BY_HOP: [HeaderName; 10] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("http2-settings"),
];

/// Whether a field speaks of the connection and not of the message.
pub(crate) fn is_hop_by_hop(name: &HeaderName) -> bool {
    HOP_BY_HOP.contains(name)
}

/// Takes out of a head what speaks of the connection.
pub(crate) fn drop_hop_by_hop(headers: &mut HeaderMap) {
    // Over HTTP/2 there is seldom one, and looking for each costs more than looking at all.
    if headers.keys().any(is_hop_by_hop) {
        for name in &HOP_BY_HOP {
            headers.remove(name);
        }
    }
}

/// How fields begin that belong to the platform around a proxy, which routes by them and trusts
/// them: [`ServerSettings::platform_fields`](crate::ServerSettings::platform_fields).
pub(crate) type PlatformFields = &'static [&'static str];

/// Whether a field may come behind a body.
fn may_trail(name: &HeaderName, platform: PlatformFields) -> bool {
    let text = name.as_str();
    !is_hop_by_hop(name)
        && !FORBIDDEN.contains(name)
        && !text.starts_with(CONDITION)
        && !platform.iter().any(|prefix| text.starts_with(prefix))
}

/// Drops what may not come behind a body.
pub(crate) fn sift(trailers: HeaderMap, platform: PlatformFields) -> HeaderMap {
    let may_trail = |name: &HeaderName| may_trail(name, platform);
    if trailers.keys().all(may_trail) {
        return trailers;
    }
    let mut sifted = HeaderMap::with_capacity(trailers.len());
    for name in trailers.keys().filter(|name| may_trail(name)) {
        for value in trailers.get_all(name) {
            sifted.append(name.clone(), value.clone());
        }
    }
    sifted
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn only_what_says_something_about_the_body_trails_it() {
        let mut trailers = HeaderMap::new();
        for name in [
            "host",
            "content-length",
            "transfer-encoding",
            "connection",
            "te",
            "trailer",
            "upgrade",
            "k-original-host",
            "knative-serving-revision",
            "if-match",
            "cookie",
            "authorization",
            "x-forwarded-for",
            "expect",
            "proxy-authorization",
        ] {
            trailers.insert(name, HeaderValue::from_static("x"));
        }
        for value in ["1", "2"] {
            trailers.append("x-checksum", HeaderValue::from_static(value));
        }
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        trailers.insert("server-timing", HeaderValue::from_static("a"));
        let sifted = sift(trailers.clone(), &[]);
        assert_eq!(sifted.len(), 6, "no platform is known here");
        let sifted = sift(trailers, &["k-", "knative-"]);
        assert_eq!(sifted.len(), 4);
        assert_eq!(sifted.get_all("x-checksum").iter().count(), 2);
        assert!(sifted.contains_key("grpc-status") && sifted.contains_key("server-timing"));
    }
}
