//! Trailer fields: the one rule for which fields may follow a body.
//!
//! A receiver may merge trailers into the head. So nothing that frames a message, routes it,
//! concerns the connection, or grants access may be sent that late (RFC 9110, section 6.5.1): a
//! field that is checked in the head must not pass unchecked behind the body.

use http::HeaderMap;
use http::header::{self, HeaderName};

/// Fields that are dropped from trailers, those of the connection aside.
const FORBIDDEN: [HeaderName; 19] = [
    // Framing and the body's type.
    header::CONTENT_LENGTH,
    header::CONTENT_ENCODING,
    header::CONTENT_TYPE,
    header::CONTENT_RANGE,
    // Routing, and the fields about the client and its request.
    header::HOST,
    header::FORWARDED,
    header::MAX_FORWARDS,
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-proto"),
    // Fields that change the meaning of a request.
    header::CACHE_CONTROL,
    header::EXPECT,
    header::PRAGMA,
    header::RANGE,
    // Credentials and cookies.
    header::AUTHORIZATION,
    header::COOKIE,
    header::SET_COOKIE,
    header::WWW_AUTHENTICATE,
    HeaderName::from_static("realm"),
];

/// The prefix of conditional fields.
const CONDITION: &str = "if-";

/// Hop-by-hop fields, in heads as in trailers. `Connection` may name more.
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

/// Whether a field concerns the connection and not the message.
pub(crate) fn is_hop_by_hop(name: &HeaderName) -> bool {
    HOP_BY_HOP.contains(name)
}

/// Removes the fields of a head that concern the connection.
pub(crate) fn drop_hop_by_hop(headers: &mut HeaderMap) {
    // Over HTTP/2 there is seldom one: one pass over all fields costs less than a look-up of each.
    if headers.keys().any(is_hop_by_hop) {
        for name in &HOP_BY_HOP {
            headers.remove(name);
        }
    }
}

/// The prefixes of the fields that the platform around a proxy routes by and trusts:
/// [`ServerSettings::platform_fields`](crate::ServerSettings::platform_fields).
pub(crate) type PlatformFields = &'static [&'static str];

/// Whether a field may follow a body.
fn may_trail(name: &HeaderName, platform: PlatformFields) -> bool {
    let text = name.as_str();
    !is_hop_by_hop(name)
        && !FORBIDDEN.contains(name)
        && !text.starts_with(CONDITION)
        && !platform.iter().any(|prefix| text.starts_with(prefix))
}

/// Drops the fields that may not follow a body.
pub(crate) fn filter(trailers: HeaderMap, platform: PlatformFields) -> HeaderMap {
    let may_trail = |name: &HeaderName| may_trail(name, platform);
    if trailers.keys().all(may_trail) {
        return trailers;
    }
    let mut filtered = HeaderMap::with_capacity(trailers.len());
    for name in trailers.keys().filter(|name| may_trail(name)) {
        for value in trailers.get_all(name) {
            filtered.append(name.clone(), value.clone());
        }
    }
    filtered
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn only_fields_about_the_body_may_follow_it() {
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
        let filtered = filter(trailers.clone(), &[]);
        assert_eq!(filtered.len(), 6, "no platform is known here");
        let filtered = filter(trailers, &["k-", "knative-"]);
        assert_eq!(filtered.len(), 4);
        assert_eq!(filtered.get_all("x-checksum").iter().count(), 2);
        assert!(filtered.contains_key("grpc-status") && filtered.contains_key("server-timing"));
    }
}
