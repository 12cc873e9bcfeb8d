//! Writing heads and framing bodies.

use std::io::Write as _;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode, Version};

use super::reason::Reason;
use crate::head::{BodyLength, RequestHead, ResponseHead};

/// How the body that is sent is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoder {
    /// There is no body; data is dropped.
    Empty,
    /// This many bytes are still to be written.
    Length(u64),
    /// In chunks; this many bytes of the current one are still to be written.
    Chunked(usize),
    /// The end of the connection is the end of the body.
    UntilClose,
}

impl Encoder {
    /// Whether closing the connection now would look like the proper end of the body.
    pub(crate) fn ends_by_closing(self) -> bool {
        matches!(self, Encoder::UntilClose)
    }
}

/// Whether the connection stays open after the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Persistence {
    KeepAlive,
    Close,
}

/// Writes a request head. Gives how its body is to be framed.
pub(crate) fn request(output: &mut Vec<u8>, head: &RequestHead, host: &HeaderValue) -> Encoder {
    output.extend_from_slice(head.method.as_str().as_bytes());
    output.push(b' ');
    output.extend_from_slice(&head.target);
    output.extend_from_slice(b" HTTP/1.1\r\nHost: ");
    output.extend_from_slice(host.as_bytes());
    output.extend_from_slice(b"\r\n");
    fields(output, &head.headers);
    if let Some(upgrade) = &head.upgrade {
        output.extend_from_slice(b"Connection: Upgrade\r\nUpgrade: ");
        output.extend_from_slice(upgrade.as_bytes());
        output.extend_from_slice(b"\r\n");
    }
    if head.te_trailers {
        output.extend_from_slice(b"Te: trailers\r\n");
    }
    if head.expect_continue {
        output.extend_from_slice(b"Expect: 100-continue\r\n");
    }
    let encoder = match head.body {
        BodyLength::Empty => {
            if expects_body(&head.method) {
                content_length(output, 0);
            }
            Encoder::Empty
        }
        BodyLength::Known(length) => {
            content_length(output, length);
            Encoder::Length(length)
        }
        // Over HTTP/2 what follows it is the tunnel's.
        BodyLength::Unknown
            if head.method == Method::CONNECT && head.version == Version::HTTP_2 =>
        {
            Encoder::Empty
        }
        BodyLength::Unknown => {
            output.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
            trailer_announcement(output, head.trailer.as_ref());
            Encoder::Chunked(0)
        }
    };
    output.extend_from_slice(b"\r\n");
    encoder
}

/// Whether servers may insist on a length (411) although there is no body (RFC 9110, section 8.6).
/// HTTP/2 clients flag an empty body, for which HTTP/1 declares a length of zero.
fn expects_body(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}

/// The client that a response is written for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recipient {
    pub(crate) version: Version,
    pub(crate) persistence: Persistence,
    /// The request was a `HEAD`.
    pub(crate) head_only: bool,
}

/// Writes a final response's head. Gives how its body is framed, and whether the connection stays
/// open: a body of unknown length to an HTTP/1.0 client ends with the connection.
pub(crate) fn response(
    output: &mut Vec<u8>,
    head: &ResponseHead,
    to: Recipient,
) -> (Encoder, Persistence) {
    status_line(output, head.status, to.version);
    response_fields(output, head);
    let mut persistence = to.persistence;
    let no_content = head.status == StatusCode::NO_CONTENT || head.status.is_informational();
    let encoder = match head.body {
        _ if to.head_only || no_content || head.status == StatusCode::NOT_MODIFIED => {
            if let Some(length) = head.declared_length.filter(|_| !no_content) {
                content_length(output, length);
            }
            Encoder::Empty
        }
        BodyLength::Empty => {
            content_length(output, 0);
            Encoder::Empty
        }
        BodyLength::Known(length) => {
            content_length(output, length);
            Encoder::Length(length)
        }
        BodyLength::Unknown if to.version == Version::HTTP_10 => {
            persistence = Persistence::Close;
            Encoder::UntilClose
        }
        BodyLength::Unknown => {
            output.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
            trailer_announcement(output, head.trailer.as_ref());
            Encoder::Chunked(0)
        }
    };
    match (to.version, persistence) {
        (Version::HTTP_10, Persistence::KeepAlive) => {
            output.extend_from_slice(b"Connection: keep-alive\r\n");
        }
        (Version::HTTP_10, Persistence::Close) | (_, Persistence::KeepAlive) => {}
        (_, Persistence::Close) => output.extend_from_slice(b"Connection: close\r\n"),
    }
    output.extend_from_slice(b"\r\n");
    (encoder, persistence)
}

/// Writes an informational response, which has no body and does not affect the connection. A 101
/// names the protocol that the connection switches to.
pub(crate) fn informational(output: &mut Vec<u8>, head: &ResponseHead) {
    status_line(output, head.status, Version::HTTP_11);
    if let Some(upgrade) = &head.upgrade {
        output.extend_from_slice(b"Connection: Upgrade\r\nUpgrade: ");
        output.extend_from_slice(upgrade.as_bytes());
        output.extend_from_slice(b"\r\n");
    }
    response_fields(output, head);
    output.extend_from_slice(b"\r\n");
}

/// Writes a response's fields, including those that only HTTP/1 can carry.
fn response_fields(output: &mut Vec<u8>, head: &ResponseHead) {
    fields(output, &head.headers);
    for (name, value) in &head.odd {
        field(output, name, value);
    }
}

/// Writes a field block, names in the canonical case that Go gives them.
pub(crate) fn fields(output: &mut Vec<u8>, headers: &HeaderMap) {
    for (name, value) in headers {
        field(output, name, value.as_bytes());
    }
}

fn field(output: &mut Vec<u8>, name: &HeaderName, value: &[u8]) {
    canonical_name(output, name);
    output.extend_from_slice(b": ");
    output.extend_from_slice(value);
    output.extend_from_slice(b"\r\n");
}

/// Writes the size line of a chunk.
pub(crate) fn chunk_size(output: &mut Vec<u8>, size: usize) {
    write!(output, "{size:x}\r\n").expect("writing into memory does not fail");
}

fn status_line(output: &mut Vec<u8>, status: StatusCode, version: Version) {
    output.extend_from_slice(match version {
        Version::HTTP_10 => b"HTTP/1.0 ",
        _ => b"HTTP/1.1 ",
    });
    if status == StatusCode::OK {
        output.extend_from_slice(b"200 OK\r\n");
        return;
    }
    write!(output, "{} {}\r\n", status.as_u16(), Reason(status))
        .expect("writing into memory does not fail");
}

fn content_length(output: &mut Vec<u8>, length: u64) {
    write!(output, "Content-Length: {length}\r\n").expect("writing into memory does not fail");
}

fn trailer_announcement(output: &mut Vec<u8>, trailer: Option<&HeaderValue>) {
    if let Some(trailer) = trailer {
        output.extend_from_slice(b"Trailer: ");
        output.extend_from_slice(trailer.as_bytes());
        output.extend_from_slice(b"\r\n");
    }
}

/// `x-forwarded-for` becomes `X-Forwarded-For`.
fn canonical_name(output: &mut Vec<u8>, name: &HeaderName) {
    let start = output.len();
    output.extend_from_slice(name.as_str().as_bytes());
    let written = &mut output[start..];
    let mut at_start = true;
    for byte in written {
        if at_start {
            byte.make_ascii_uppercase();
        }
        at_start = *byte == b'-';
    }
}
