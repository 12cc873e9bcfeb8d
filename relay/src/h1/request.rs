//! Request heads: from bytes to a [`RequestHead`], or to the error that the client gets.

use bytes::Bytes;
use http::header::{HeaderMap, HeaderValue};
use http::{Method, StatusCode, Version};

use super::decoder::Decoder;
use super::fields::{FieldError, Fields, Writer, lists};
use super::section::lines;
use crate::head::{BodyLength, RequestHead, Scheme};
use crate::host;
use crate::target::{self, Target};

/// The error response to a request that does not reach a handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeadRefusal {
    pub(crate) status: StatusCode,
    /// What is wrong, for the status line and the body; empty when the status is enough.
    pub(crate) detail: &'static str,
    pub(crate) shape: RefusalShape,
}

/// The forms of a refusal that Go's server sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RefusalShape {
    /// Status line and body carry the status and the detail.
    Detailed,
    /// The body is the detail alone.
    BodyOnly,
}

impl HeadRefusal {
    pub(crate) const BAD_REQUEST: HeadRefusal = HeadRefusal::new(StatusCode::BAD_REQUEST, "");

    pub(crate) const fn new(status: StatusCode, detail: &'static str) -> HeadRefusal {
        HeadRefusal { status, detail, shape: RefusalShape::Detailed }
    }
}

impl From<FieldError> for HeadRefusal {
    fn from(error: FieldError) -> HeadRefusal {
        match error {
            FieldError::Malformed | FieldError::ContentLength => HeadRefusal::BAD_REQUEST,
            FieldError::ManyHosts => {
                HeadRefusal::new(StatusCode::BAD_REQUEST, "too many Host headers")
            }
            FieldError::TooMany => {
                HeadRefusal::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "")
            }
            FieldError::TransferEncoding => HeadRefusal {
                status: StatusCode::NOT_IMPLEMENTED,
                detail: "Unsupported transfer encoding",
                shape: RefusalShape::BodyOnly,
            },
        }
    }
}

/// A request head, and what it means for its connection.
pub(crate) struct ParsedRequest {
    pub(crate) head: RequestHead,
    pub(crate) decoder: Decoder,
    /// The connection may carry another request after this one.
    pub(crate) persistent: bool,
    /// `OPTIONS *`, which concerns the server and not the app.
    pub(crate) asterisk: bool,
    /// An `Expect` other than `100-continue`.
    pub(crate) unknown_expectation: bool,
    /// `HTTP2-Settings`, when the client requested a switch to HTTP/2.
    pub(crate) http2_settings: Option<HeaderValue>,
}

/// Parses one whole head, from its first byte to the empty line.
pub(crate) fn parse(
    block: &Bytes,
    scheme: Scheme,
    spare: HeaderMap,
) -> Result<ParsedRequest, HeadRefusal> {
    let mut lines = lines(block);
    let line = request_line(lines.next().unwrap_or_default(), block)?;
    let fields = Fields::parse(lines, block, Writer::Client, spare)?;
    build(line, fields, scheme)
}

struct RequestLine {
    method: Method,
    target: Bytes,
    version: Version,
}

/// Takes the first line apart: a method, one blank, a target, one blank, a version.
fn request_line(line: &[u8], block: &Bytes) -> Result<RequestLine, HeadRefusal> {
    let first = memchr::memchr(b' ', line).ok_or(HeadRefusal::BAD_REQUEST)?;
    let last = memchr::memrchr(b' ', line).ok_or(HeadRefusal::BAD_REQUEST)?;
    let target = line.get(first + 1..last).ok_or(HeadRefusal::BAD_REQUEST)?;
    let method = Method::from_bytes(&line[..first]).map_err(|_| HeadRefusal::BAD_REQUEST)?;
    let version = match &line[last + 1..] {
        b"HTTP/1.1" => Version::HTTP_11,
        b"HTTP/1.0" => Version::HTTP_10,
        other => return Err(version_refusal(other)),
    };
    Ok(RequestLine { method, target: block.slice_ref(target), version })
}

/// A well-formed version that is not supported is a 505; anything else in its place is a 400.
fn version_refusal(version: &[u8]) -> HeadRefusal {
    match version {
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => {
            HeadRefusal::new(StatusCode::HTTP_VERSION_NOT_SUPPORTED, "unsupported protocol version")
        }
        _ => HeadRefusal::BAD_REQUEST,
    }
}

fn build(
    line: RequestLine,
    mut fields: Fields,
    scheme: Scheme,
) -> Result<ParsedRequest, HeadRefusal> {
    let RequestLine { method, target, version } = line;
    let Target { for_app: target, authority } =
        target::read(target, &method).ok_or(HeadRefusal::BAD_REQUEST)?;
    check_host(fields.host.as_ref(), version, &method)?;
    let asterisk = target::is_asterisk(&target);
    let (decoder, body) = framing(&fields, version)?;
    let persistent = match version {
        Version::HTTP_10 => fields.keep_alive && !fields.close,
        // A message with both framings is used to smuggle requests: nothing may follow it.
        _ => !fields.close && !fields.is_ambiguous(),
    };
    let expect = fields.expect.take().filter(|_| version == Version::HTTP_11);
    let expect_continue =
        expect.as_ref().is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    let unknown_expectation = expect.is_some_and(|value| !expect_continue && !value.is_empty());
    let upgrade = fields.upgrade.take().filter(|_| version == Version::HTTP_11);
    let wants_http2 = upgrade.as_ref().is_some_and(|value| lists(value.as_bytes(), "h2c"));
    // An upgrade to HTTP/2 concerns this connection. If it were forwarded, the app could accept it,
    // and the relay would parse the next bytes as the wrong protocol.
    let upgrade = upgrade.filter(|_| !wants_http2);
    Ok(ParsedRequest {
        head: RequestHead {
            method,
            target,
            version,
            host: authority.or(fields.host).filter(|host| !host.is_empty()),
            scheme,
            headers: fields.headers,
            upgrade,
            body,
            te_trailers: fields.te_trailers,
            expect_continue,
            trailer: fields.trailer,
        },
        decoder,
        persistent,
        asterisk,
        unknown_expectation,
        http2_settings: fields.http2_settings.filter(|_| wants_http2),
    })
}

fn framing(fields: &Fields, version: Version) -> Result<(Decoder, BodyLength), HeadRefusal> {
    match (fields.chunked, fields.content_length) {
        // HTTP/1.0 has no chunks, so two servers may read such a message differently.
        (true, _) if version == Version::HTTP_10 => Err(HeadRefusal::BAD_REQUEST),
        (true, _) => Ok((Decoder::chunked(Writer::Client), BodyLength::Unknown)),
        (false, Some(0)) => Ok((Decoder::Done, BodyLength::Known(0))),
        (false, Some(length)) => Ok((Decoder::Length(length), BodyLength::Known(length))),
        (false, None) => Ok((Decoder::Done, BodyLength::Empty)),
    }
}

fn check_host(
    host: Option<&HeaderValue>,
    version: Version,
    method: &Method,
) -> Result<(), HeadRefusal> {
    match host {
        None if version == Version::HTTP_11 && *method != Method::CONNECT => {
            Err(HeadRefusal::new(StatusCode::BAD_REQUEST, "missing required Host header"))
        }
        Some(host) if !host.is_empty() && !host::is_valid(host.as_bytes()) => {
            Err(HeadRefusal::new(StatusCode::BAD_REQUEST, "malformed Host header"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
