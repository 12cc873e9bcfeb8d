//! Request heads: from bytes to a [`RequestHead`], or to the refusal the client gets.

use bytes::Bytes;
use http::header::{HeaderMap, HeaderValue};
use http::{Method, StatusCode, Version};

use super::decoder::Decoder;
use super::fields::{FieldError, Fields, Writer, lists};
use super::section::lines;
use crate::head::{BodyLength, RequestHead, Scheme};
use crate::host;
use crate::target::{self, Target};

/// Why a request never reached a handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    /// What is wrong, for the status line and the body; empty when the status says it all.
    pub(crate) detail: &'static str,
    pub(crate) shape: RefusalShape,
}

/// How Go's server words a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RefusalShape {
    /// Status line and body carry the status and the detail.
    Detailed,
    /// The body is the detail alone.
    BodyOnly,
}

impl Refusal {
    pub(crate) const BAD_REQUEST: Refusal = Refusal::new(StatusCode::BAD_REQUEST, "");

    pub(crate) const fn new(status: StatusCode, detail: &'static str) -> Refusal {
        Refusal { status, detail, shape: RefusalShape::Detailed }
    }
}

impl From<FieldError> for Refusal {
    fn from(error: FieldError) -> Refusal {
        match error {
            FieldError::Malformed | FieldError::ContentLength => Refusal::BAD_REQUEST,
            FieldError::ManyHosts => Refusal::new(StatusCode::BAD_REQUEST, "too many Host headers"),
            FieldError::TooMany => Refusal::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, ""),
            FieldError::TransferEncoding => Refusal {
                status: StatusCode::NOT_IMPLEMENTED,
                detail: "Unsupported transfer encoding",
                shape: RefusalShape::BodyOnly,
            },
        }
    }
}

/// A request head and what the connection has to know about it.
pub(crate) struct ParsedRequest {
    pub(crate) head: RequestHead,
    pub(crate) decoder: Decoder,
    /// The connection may carry another request after this one.
    pub(crate) persistent: bool,
    /// `OPTIONS *`, which asks about the server and not about the app.
    pub(crate) asterisk: bool,
    /// An `Expect` other than `100-continue`.
    pub(crate) unknown_expectation: bool,
    /// `HTTP2-Settings`, when the client asked to go on in HTTP/2.
    pub(crate) http2_settings: Option<HeaderValue>,
}

/// Parses one whole head, from its first byte to the empty line.
pub(crate) fn parse(
    block: &Bytes,
    scheme: Scheme,
    spare: HeaderMap,
) -> Result<ParsedRequest, Refusal> {
    let mut lines = lines(block);
    let line = request_line(lines.next().unwrap_or_default(), block)?;
    let fields = Fields::sort(lines, block, Writer::Client, spare)?;
    build(line, fields, scheme)
}

struct RequestLine {
    method: Method,
    target: Bytes,
    version: Version,
}

/// Takes the first line apart: a method, one blank, a target, one blank, a version.
fn request_line(line: &[u8], block: &Bytes) -> Result<RequestLine, Refusal> {
    let first = memchr::memchr(b' ', line).ok_or(Refusal::BAD_REQUEST)?;
    let last = memchr::memrchr(b' ', line).ok_or(Refusal::BAD_REQUEST)?;
    let target = line.get(first + 1..last).ok_or(Refusal::BAD_REQUEST)?;
    let method = Method::from_bytes(&line[..first]).map_err(|_| Refusal::BAD_REQUEST)?;
    let version = match &line[last + 1..] {
        b"HTTP/1.1" => Version::HTTP_11,
        b"HTTP/1.0" => Version::HTTP_10,
        other => return Err(version_refusal(other)),
    };
    Ok(RequestLine { method, target: block.slice_ref(target), version })
}

/// A version this proxy does not speak is named as such; nonsense in its place is not.
fn version_refusal(version: &[u8]) -> Refusal {
    match version {
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => {
            Refusal::new(StatusCode::HTTP_VERSION_NOT_SUPPORTED, "unsupported protocol version")
        }
        _ => Refusal::BAD_REQUEST,
    }
}

fn build(line: RequestLine, mut fields: Fields, scheme: Scheme) -> Result<ParsedRequest, Refusal> {
    let RequestLine { method, target, version } = line;
    let Target { asked: target, authority } =
        target::read(target, &method).ok_or(Refusal::BAD_REQUEST)?;
    check_host(fields.host.as_ref(), version, &method)?;
    let asterisk = target::is_asterisk(&target);
    let (decoder, body) = framing(&fields, version)?;
    let persistent = match version {
        Version::HTTP_10 => fields.keep_alive && !fields.close,
        // A message with both framings is a smuggler's tool: nothing may follow it.
        _ => !fields.close && !fields.is_ambiguous(),
    };
    let expect = fields.expect.take().filter(|_| version == Version::HTTP_11);
    let expect_continue =
        expect.as_ref().is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    let unknown_expectation = expect.is_some_and(|value| !expect_continue && !value.is_empty());
    let upgrade = fields.upgrade.take().filter(|_| version == Version::HTTP_11);
    let wants_http2 = upgrade.as_ref().is_some_and(|value| lists(value.as_bytes(), "h2c"));
    // An offer to speak HTTP/2 is made to us. Passing it on would let the app and the client
    // disagree with us about what the next bytes are.
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

fn framing(fields: &Fields, version: Version) -> Result<(Decoder, BodyLength), Refusal> {
    match (fields.chunked, fields.content_length) {
        // HTTP/1.0 knows no chunks. Whatever the sender meant, two servers may read it differently.
        (true, _) if version == Version::HTTP_10 => Err(Refusal::BAD_REQUEST),
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
) -> Result<(), Refusal> {
    match host {
        None if version == Version::HTTP_11 && *method != Method::CONNECT => {
            Err(Refusal::new(StatusCode::BAD_REQUEST, "missing required Host header"))
        }
        Some(host) if !host.is_empty() && !host::is_sound(host.as_bytes()) => {
            Err(Refusal::new(StatusCode::BAD_REQUEST, "malformed Host header"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
