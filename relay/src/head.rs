//! Message heads: the part of a request or a response before its body.

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method, StatusCode, Version};

use crate::memory;

/// Bytes that are read ahead of the exchange in flight, to detect that the client has gone.
pub(crate) const READ_AHEAD_MAX: usize = 16 * 1024;

/// The length of a body, as its head declares it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyLength {
    /// There is no body.
    Empty,
    /// Exactly this many bytes.
    Known(u64),
    /// It ends where its framing ends it.
    Unknown,
}

/// The head of a request as the client sent it, hop-by-hop fields taken out.
///
/// What a handler changes here is what the upstream receives.
#[derive(Debug, Clone)]
pub struct RequestHead {
    /// The method, which may be any token.
    pub method: Method,
    /// The request target in origin form (`/path?query`), byte for byte as received. An
    /// absolute-form target was taken apart: its authority is in [`RequestHead::host`].
    /// For `CONNECT` it is the authority.
    pub target: Bytes,
    /// The client's protocol version: HTTP/1.0, HTTP/1.1 or HTTP/2.
    pub version: Version,
    /// The host that the client requested: the `Host` field, `:authority`, or the authority of an
    /// absolute-form target. `None` only for HTTP/1.0 requests without one.
    pub host: Option<HeaderValue>,
    /// `http` or `https`, by this proxy's own listener.
    pub scheme: Scheme,
    /// End-to-end fields. Fields that concern the connection (`Connection`, `Upgrade`, `TE`,
    /// `Transfer-Encoding`, ...), `Host` and `Content-Length` are not among them.
    pub headers: HeaderMap,
    /// The protocol that the client wants to switch to, when it requested an upgrade.
    pub upgrade: Option<HeaderValue>,
    /// The length of the body, as declared.
    pub body: BodyLength,
    /// The client sent `TE: trailers`.
    pub te_trailers: bool,
    /// The client waits for `100 Continue` before it sends the body.
    pub expect_continue: bool,
    /// The trailer fields the client announced.
    pub(crate) trailer: Option<HeaderValue>,
}

impl RequestHead {
    /// The path without its query.
    pub fn path(&self) -> &[u8] {
        match memchr::memchr(b'?', &self.target) {
            Some(end) => &self.target[..end],
            None => &self.target,
        }
    }

    /// Bytes that it takes while it is held: its fields as they are kept, its target, and as much
    /// of its body as may be read ahead.
    pub fn held_bytes(&self) -> usize {
        let body = match self.body {
            BodyLength::Empty => 0,
            BodyLength::Known(length) => usize::try_from(length).unwrap_or(usize::MAX),
            BodyLength::Unknown => READ_AHEAD_MAX,
        };
        memory::fields_bytes(&self.headers) + self.target.len() + body.min(READ_AHEAD_MAX)
    }

    /// Copies its values out of the read buffer, which it keeps alive otherwise: for exchanges that
    /// outlive their head by far.
    pub(crate) fn leave_buffer(&mut self) {
        let others = [&mut self.host, &mut self.upgrade, &mut self.trailer];
        let mut values: Vec<_> = others.into_iter().flatten().collect();
        values.extend(self.headers.values_mut());
        let length = values.iter().map(|value| value.len()).sum::<usize>() + self.target.len();
        // One allocation for all of them.
        let mut kept = BytesMut::with_capacity(length);
        let mut copy = |bytes: &[u8]| {
            kept.extend_from_slice(bytes);
            kept.split().freeze()
        };
        self.target = copy(&self.target);
        for value in values {
            if let Ok(copied) = HeaderValue::from_maybe_shared(copy(value.as_bytes())) {
                *value = copied;
            }
        }
        // A copy has room for the fields that there are, and not for as many again.
        self.headers = self.headers.clone();
    }

    /// Whether a second attempt does no harm: the method is safe, or the client gave an
    /// idempotency key, and there is no body that the first attempt could have used up.
    pub fn is_replayable(&self) -> bool {
        const KEY: HeaderName = HeaderName::from_static("idempotency-key");
        const X_KEY: HeaderName = HeaderName::from_static("x-idempotency-key");
        let bodiless = matches!(self.body, BodyLength::Empty | BodyLength::Known(0));
        let safe =
            matches!(self.method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE);
        bodiless && (safe || self.headers.contains_key(KEY) || self.headers.contains_key(X_KEY))
    }
}

/// Whether the client's own connection was encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scheme {
    /// Plaintext.
    #[default]
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// The scheme's name in a URL.
    pub fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }
}

/// The head of a response, hop-by-hop fields taken out.
#[derive(Debug)]
pub(crate) struct ResponseHead {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// Fields whose values hold control characters, which only HTTP/1 can carry.
    pub(crate) odd: Vec<(HeaderName, Bytes)>,
    pub(crate) body: BodyLength,
    /// The value of `Content-Length` even where there is no body (`HEAD`, 304).
    pub(crate) declared_length: Option<u64>,
    pub(crate) upgrade: Option<HeaderValue>,
    pub(crate) trailer: Option<HeaderValue>,
}

impl ResponseHead {
    /// `100 Continue`.
    pub(crate) fn go_on() -> ResponseHead {
        ResponseHead {
            status: StatusCode::CONTINUE,
            headers: HeaderMap::new(),
            odd: Vec::new(),
            body: BodyLength::Empty,
            declared_length: None,
            upgrade: None,
            trailer: None,
        }
    }
}

/// A response of the proxy itself, small enough to be held in memory.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The fields, without framing: length and connection handling are filled in.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl Reply {
    /// A response without a body.
    pub fn empty(status: StatusCode) -> Reply {
        Reply { status, headers: HeaderMap::new(), body: Bytes::new() }
    }

    /// A plain text response, exactly as given.
    pub fn text(status: StatusCode, body: impl Into<Bytes>) -> Reply {
        let mut headers = HeaderMap::with_capacity(4);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        Reply { status, headers, body: body.into() }
    }

    /// An error in the shape Go's `http.Error` gives it: plain text, a newline at the end, and
    /// `X-Content-Type-Options: nosniff`.
    pub fn error(status: StatusCode, message: impl AsRef<[u8]>) -> Reply {
        let body = [message.as_ref(), b"\n"].concat();
        let mut reply = Reply::text(status, body);
        reply
            .headers
            .insert(http::header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        reply
    }

    /// The same response with one more field.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Reply {
        self.headers.insert(name, value);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_that_leaves_its_buffer_is_the_same_and_holds_none_of_it() {
        let buffer = Bytes::from_static(b"/a?b example.com one two websocket");
        let value = |at: std::ops::Range<usize>| {
            HeaderValue::from_maybe_shared(buffer.slice(at)).expect("visible text")
        };
        let mut headers = HeaderMap::new();
        headers.append("x", value(17..20));
        headers.append("x", value(21..24));
        let mut head = RequestHead {
            method: Method::GET,
            target: buffer.slice(0..4),
            version: Version::HTTP_11,
            host: Some(value(5..16)),
            scheme: Scheme::Http,
            headers,
            upgrade: Some(value(25..34)),
            body: BodyLength::Empty,
            te_trailers: false,
            expect_continue: false,
            trailer: None,
        };
        let before = format!("{head:?}");
        head.leave_buffer();
        assert_eq!(format!("{head:?}"), before);
        let range = buffer.as_ptr_range();
        let values = head.headers.values().chain(&head.host).chain(&head.upgrade);
        assert!(values.map(HeaderValue::as_bytes).all(|value| !range.contains(&value.as_ptr())));
        assert!(!range.contains(&head.target.as_ptr()));
    }
}
