//! Request heads: from bytes to a [`RequestHead`], or to the refusal the client gets.

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderValue};
use http::{Method, StatusCode, Version};

use super::decoder::Decoder;
use super::fields::{FieldError, Fields, lists};
use crate::head::{BodyLength, RequestHead, Scheme};

/// Fields that are parsed without asking the allocator.
const FIELDS_USUAL: usize = 64;
/// The most fields a head may have: as many as a header map can be trusted to hold.
const FIELDS_MAX: usize = 16 * 1024;

/// Why a request never reached a handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    /// What is wrong, for the status line and the body; empty when the status says it all.
    pub(crate) detail: &'static str,
    pub(crate) shape: RefusalShape,
}

/// How Go's server words a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    let mut usual = [const { MaybeUninit::uninit() }; FIELDS_USUAL];
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(block, &mut usual) {
        Ok(status) if status.is_complete() => return build(&request, block, scheme, spare),
        Err(httparse::Error::TooManyHeaders) => {}
        Err(httparse::Error::Version) => return Err(version_refusal(block)),
        Ok(_) | Err(_) => return Err(Refusal::BAD_REQUEST),
    }
    let mut many = vec![MaybeUninit::uninit(); FIELDS_MAX];
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(block, &mut many) {
        Ok(status) if status.is_complete() => build(&request, block, scheme, spare),
        Err(httparse::Error::TooManyHeaders) => Err(FieldError::TooMany.into()),
        Ok(_) | Err(_) => Err(Refusal::BAD_REQUEST),
    }
}

/// A version this proxy does not speak is named as such; nonsense in its place is not.
fn version_refusal(block: &Bytes) -> Refusal {
    let line = block.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let version = line.rsplit(|byte| *byte == b' ').next().unwrap_or_default().trim_ascii();
    let known_shape = version.len() == 8
        && version.starts_with(b"HTTP/")
        && version[5].is_ascii_digit()
        && version[6] == b'.'
        && version[7].is_ascii_digit()
        && !matches!(version, b"HTTP/1.0" | b"HTTP/1.1");
    match known_shape {
        true => {
            Refusal::new(StatusCode::HTTP_VERSION_NOT_SUPPORTED, "unsupported protocol version")
        }
        false => Refusal::BAD_REQUEST,
    }
}

fn build(
    request: &httparse::Request<'_, '_>,
    block: &Bytes,
    scheme: Scheme,
    spare: HeaderMap,
) -> Result<ParsedRequest, Refusal> {
    let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version)
    else {
        return Err(Refusal::BAD_REQUEST);
    };
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| Refusal::BAD_REQUEST)?;
    let version = if minor == 0 { Version::HTTP_10 } else { Version::HTTP_11 };
    let mut fields = Fields::sort(request.headers, block, spare)?;
    let asterisk = target == "*" && method == Method::OPTIONS;
    let target = block.slice_ref(target.as_bytes());
    let (target, authority) = split_target(target, &method, asterisk)?;
    check_host(fields.host.as_ref(), version, &method)?;
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
            host: authority.or(fields.host),
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
        (true, _) => Ok((Decoder::chunked(), BodyLength::Unknown)),
        (false, Some(0)) => Ok((Decoder::Done, BodyLength::Known(0))),
        (false, Some(length)) => Ok((Decoder::Length(length), BodyLength::Known(length))),
        (false, None) => Ok((Decoder::Done, BodyLength::Empty)),
    }
}

/// Splits an absolute-form target into its origin form and its authority.
fn split_target(
    target: Bytes,
    method: &Method,
    asterisk: bool,
) -> Result<(Bytes, Option<HeaderValue>), Refusal> {
    if target.starts_with(b"/") || asterisk || *method == Method::CONNECT {
        return Ok((target, None));
    }
    let colon = memchr::memmem::find(&target, b"://").ok_or(Refusal::BAD_REQUEST)?;
    let scheme_is_sound = colon > 0 && target[..colon].iter().all(u8::is_ascii_alphanumeric);
    let rest = target.slice(colon + 3..);
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    let mut authority = rest.slice(..end);
    if let Some(at) = memchr::memrchr(b'@', &authority) {
        authority = authority.slice(at + 1..);
    }
    if !scheme_is_sound || authority.is_empty() || !authority.iter().all(is_host_byte) {
        return Err(Refusal::BAD_REQUEST);
    }
    let origin = match rest.get(end) {
        Some(b'/') => rest.slice(end..),
        Some(_) => Bytes::from([b"/", &rest[end..]].concat()),
        None => Bytes::from_static(b"/"),
    };
    let authority = HeaderValue::from_maybe_shared(authority).map_err(|_| Refusal::BAD_REQUEST)?;
    Ok((origin, Some(authority)))
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
        Some(host) if !host.as_bytes().iter().all(is_host_byte) => {
            Err(Refusal::new(StatusCode::BAD_REQUEST, "malformed Host header"))
        }
        _ => Ok(()),
    }
}

/// Bytes that may stand in a `Host` field (RFC 3986 `host`, generously).
fn is_host_byte(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!$%&'()*+,-.:;=@[]_~".contains(byte)
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
