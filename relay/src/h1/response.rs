//! Answer heads from an upstream.

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::header::HeaderMap;
use http::{Method, StatusCode};

use super::decoder::Decoder;
use super::fields::{FieldError, Fields};
use crate::head::{BodyLength, ResponseHead};

const FIELDS_USUAL: usize = 64;
const FIELDS_MAX: usize = 16 * 1024;
/// How much of a malformed first line is quoted: enough to recognise it in a log.
const QUOTED_MAX: usize = 128;

/// An answer's head and what the connection has to know about it.
pub(crate) struct ParsedResponse {
    pub(crate) head: ResponseHead,
    pub(crate) decoder: Decoder,
    pub(crate) persistent: bool,
}

/// Parses one whole head; `method` is what the request asked with.
pub(crate) fn parse(
    block: &Bytes,
    method: &Method,
    spare: HeaderMap,
) -> Result<ParsedResponse, String> {
    let mut usual = [const { MaybeUninit::uninit() }; FIELDS_USUAL];
    let mut response = httparse::Response::new(&mut []);
    let mut config = httparse::ParserConfig::default();
    config.allow_obsolete_multiline_headers_in_responses(true);
    match config.parse_response_with_uninit_headers(&mut response, block, &mut usual) {
        Ok(status) if status.is_complete() => return build(&response, block, method, spare),
        Err(httparse::Error::TooManyHeaders) => {}
        Ok(_) | Err(_) => return Err(malformed(block)),
    }
    let mut many = vec![MaybeUninit::uninit(); FIELDS_MAX];
    let mut response = httparse::Response::new(&mut []);
    match config.parse_response_with_uninit_headers(&mut response, block, &mut many) {
        Ok(status) if status.is_complete() => build(&response, block, method, spare),
        Ok(_) | Err(_) => Err(malformed(block)),
    }
}

/// Go's words for bytes that are no answer.
pub(crate) fn malformed(bytes: &[u8]) -> String {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let line = &line[..line.len().min(QUOTED_MAX)];
    format!("malformed HTTP response \"{}\"", line.escape_ascii())
}

fn build(
    response: &httparse::Response<'_, '_>,
    block: &Bytes,
    method: &Method,
    spare: HeaderMap,
) -> Result<ParsedResponse, String> {
    let (Some(code), Some(minor)) = (response.code, response.version) else {
        return Err(malformed(block));
    };
    let status = StatusCode::from_u16(code).map_err(|_| malformed(block))?;
    let fields = Fields::sort(response.headers, block, spare).map_err(describe)?;
    let (decoder, body) = framing(&fields, status, method);
    let persistent = match minor {
        0 => fields.keep_alive && !fields.close,
        _ => !fields.close && !fields.is_ambiguous(),
    };
    let head = ResponseHead {
        status,
        headers: fields.headers,
        body,
        declared_length: fields.content_length.filter(|_| !fields.chunked),
        upgrade: fields.upgrade,
        trailer: fields.trailer,
    };
    Ok(ParsedResponse { head, persistent, decoder })
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
        (true, _) => (Decoder::chunked(), BodyLength::Unknown),
        (false, Some(0)) => (Decoder::Done, BodyLength::Known(0)),
        (false, Some(length)) => (Decoder::Length(length), BodyLength::Known(length)),
        (false, None) => (Decoder::UntilClose, BodyLength::Unknown),
    }
}
