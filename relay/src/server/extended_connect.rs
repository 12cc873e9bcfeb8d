//! Extended CONNECT (RFC 8441): a WebSocket on a stream of HTTP/2.
//!
//! Apps know the upgrade of HTTP/1.1, so that is what the request becomes before a handler sees it:
//! `GET` with `Upgrade: websocket`, and a key of ours. The stream carries the frames once the app
//! has switched.

use http::header::{
    CONTENT_LENGTH, EXPECT, HeaderMap, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_VERSION, TE, TRAILER, UPGRADE,
};
use http::{Method, Version};

use crate::exchange::websocket;
use crate::head::RequestHead;
use crate::trailers;

/// The one version of the protocol (RFC 6455).
const WEBSOCKET_VERSION: HeaderValue = HeaderValue::from_static("13");

/// What a request asks its stream to become.
pub(super) struct Asked(HeaderValue);

impl Asked {
    /// `None` when the value of `:protocol` could not stand in a field.
    pub(super) fn read(protocol: &h2::ext::Protocol) -> Option<Asked> {
        HeaderValue::from_str(protocol.as_str()).ok().map(Asked)
    }

    /// The fields of the upgrade. `None` when the request is malformed: it promises a body, which
    /// such a request cannot have, or names a second protocol.
    pub(super) fn into_upgrade(self, headers: &mut HeaderMap) -> Option<HeaderValue> {
        if headers.contains_key(CONTENT_LENGTH) || headers.contains_key(UPGRADE) {
            return None;
        }
        for name in [EXPECT, TE, TRAILER, SEC_WEBSOCKET_ACCEPT] {
            headers.remove(name);
        }
        trailers::drop_hop_by_hop(headers);
        // The client has none: the stream stands for what the key proves (RFC 8441, section 5.1).
        headers.insert(SEC_WEBSOCKET_KEY, websocket::key());
        headers.entry(SEC_WEBSOCKET_VERSION).or_insert(WEBSOCKET_VERSION);
        Some(self.0)
    }
}

/// Whether a request asks for a protocol that no app behind an upgrade could be asked for: what
/// such a protocol does with a stream is not known here.
pub(super) fn is_unsupported(head: &RequestHead) -> bool {
    let other = |token: &HeaderValue| !websocket::is_token(token);
    head.version == Version::HTTP_2 && head.upgrade.as_ref().is_some_and(other)
}

/// The method by which the app is asked.
pub(super) fn method(asked: Option<&Asked>, method: Method) -> Method {
    if asked.is_some() { Method::GET } else { method }
}
