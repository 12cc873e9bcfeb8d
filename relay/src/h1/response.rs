//! Response heads from an upstream.

use bytes::Bytes;
use http::header::HeaderMap;
use http::{Method, StatusCode};

use super::decoder::Decoder;
use super::fields::{FieldError, Fields, Writer};
use super::section::lines;
use crate::head::{BodyLength, ResponseHead};

/// How many bytes of a malformed first line are quoted: enough to recognise it in a log.
const QUOTED_MAX: usize = 128;

/// A response's head, and what it means for its connection.
pub(crate) struct ParsedResponse {
    pub(crate) head: ResponseHead,
    pub(crate) decoder: Decoder,
    pub(crate) persistent: bool,
}

/// Parses one whole head; `method` is the request's.
pub(crate) fn parse(
    block: &Bytes,
    method: &Method,
    spare: HeaderMap,
) -> Result<ParsedResponse, String> {
    let mut lines = lines(block);
    let first = lines.next().unwrap_or_default();
    let (version, status) = status_line(first).ok_or_else(|| malformed(block))?;
    let fields = Fields::parse(lines, block, Writer::App, spare).map_err(describe)?;
    Ok(build(fields, version, status, method))
}

/// What a response's version means for its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    /// HTTP/1.0: it ends with the response unless the app keeps it alive, and has no chunks.
    Old,
    /// HTTP/1.1: it stays open unless the app closes it.
    Persistent,
}

/// Parses a status line as Go does: any version of the usual form, three digits, and any text
/// behind them, or none.
fn status_line(line: &[u8]) -> Option<(Version, StatusCode)> {
    let blank = memchr::memchr(b' ', line)?;
    let version = match &line[..blank] {
        b"HTTP/1.0" => Version::Old,
        [b'H', b'T', b'T', b'P', b'/', b'0', b'.', b'0'..=b'9'] => Version::Old,
        [b'H', b'T', b'T', b'P', b'/', b'1'..=b'9', b'.', b'0'..=b'9'] => Version::Persistent,
        _ => return None,
    };
    let rest = line[blank + 1..].trim_ascii_start();
    let code = rest.split(|byte| *byte == b' ').next().filter(|code| code.len() == 3)?;
    Some((version, StatusCode::from_bytes(code).ok()?))
}

/// Go's text for bytes that are not a response.
pub(crate) fn malformed(bytes: &[u8]) -> String {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let line = &line[..line.len().min(QUOTED_MAX)];
    format!("malformed HTTP response \"{}\"", line.escape_ascii())
}

fn build(fields: Fields, version: Version, status: StatusCode, method: &Method) -> ParsedResponse {
    let (decoder, body) = framing(&fields, status, method);
    let persistent = match version {
        Version::Old => fields.keep_alive && !fields.close,
        Version::Persistent => !fields.close && !fields.is_ambiguous(),
    };
    let head = ResponseHead {
        status,
        headers: fields.headers,
        odd: fields.odd,
        body,
        declared_length: fields.content_length.filter(|_| !fields.chunked),
        upgrade: fields.upgrade,
        trailer: fields.trailer,
    };
    ParsedResponse { head, persistent, decoder }
}

fn describe(error: FieldError) -> String {
    match error {
        FieldError::ContentLength => "bad Content-Length".into(),
        FieldError::TransferEncoding => "unsupported transfer encoding".into(),
        FieldError::Malformed | FieldError::ManyHosts => "malformed MIME header".into(),
        FieldError::TooMany => "too many header fields".into(),
    }
}

fn framing(fields: &Fields, status: StatusCode, method: &Method) -> (Decoder, BodyLength) {
    let bodiless = status.is_informational()
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED
        || *method == Method::HEAD;
    match (fields.chunked, fields.content_length) {
        _ if bodiless => (Decoder::Done, BodyLength::Empty),
        (true, _) => (Decoder::chunked(Writer::App), BodyLength::Unknown),
        (false, Some(0)) => (Decoder::Done, BodyLength::Known(0)),
        (false, Some(length)) => (Decoder::Length(length), BodyLength::Known(length)),
        (false, None) => (Decoder::UntilClose, BodyLength::Unknown),
    }
}
