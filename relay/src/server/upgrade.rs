//! `Upgrade: h2c`: a connection that switches from HTTP/1.1 to HTTP/2.
//!
//! The HTTP/2 library serves only connections that are HTTP/2 from their first byte. So the
//! request is written again in frames: after the client's preface and its SETTINGS follow a HEADERS
//! frame and DATA frames for stream 1, which the standard reserves for it, and then the bytes that
//! the client sent next. The compression state is untouched, because every field is
//! written as a literal that is never indexed.

use std::future::poll_fn;
use std::time::Duration;

use bytes::BytesMut;
use http::header::{HeaderName, HeaderValue};

use crate::exchange::client::H1Client;
use crate::h2gate::frame::{
    self, DATA, END_HEADERS, END_STREAM, FRAME_HEAD_LEN, HEADERS, PREFACE_LEN, SETTINGS,
};
use crate::head::{BodyLength, RequestHead};
use crate::memory::Charge;
use crate::target;

/// The longest request body that is kept for the upgrade; a longer one stays HTTP/1.1, which
/// the standard allows.
const BODY_MAX: usize = 64 * 1024;
/// The longest head: it has to fit into one frame of the smallest maximum size.
const HEAD_MAX: usize = 16 * 1024;
/// The largest SETTINGS frame a client may open with.
const SETTINGS_MAX: usize = 4096;
/// The stream of the request that asked for the upgrade (RFC 7540, section 3.2).
const UPGRADED_STREAM: u32 = 1;
/// How long the client may take for its body, its preface and its SETTINGS.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(10);

const SWITCHING: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";

/// The outcome of a client's request to switch to HTTP/2.
pub(crate) enum Upgrade {
    /// The request stays HTTP/1.1. Nothing of it has been taken.
    Declined,
    Switched {
        /// What the HTTP/2 server must read first.
        front: BytesMut,
        /// The charge for `front`.
        charge: Charge,
    },
    /// The client broke off. Its request is half taken, or the 101 has been sent already: no other
    /// response can follow.
    Broken,
}

/// Switches the connection over, if that can be done.
pub(crate) async fn accept(
    client: &mut H1Client,
    head: &RequestHead,
    settings: &HeaderValue,
) -> Upgrade {
    let Some((fields, length, charge)) = prepare(head, settings) else { return Upgrade::Declined };
    match tokio::time::timeout(UPGRADE_TIMEOUT, switch(client, &fields, length)).await {
        Ok(Some(front)) => Upgrade::Switched { front, charge },
        Ok(None) | Err(_) => Upgrade::Broken,
    }
}

/// The head as a HEADERS payload, the length of the body, and the charge for both. `None` when the
/// request cannot be written in frames, or memory is short.
fn prepare(head: &RequestHead, settings: &HeaderValue) -> Option<(Vec<u8>, usize, Charge)> {
    let length = match head.body {
        BodyLength::Empty => 0,
        BodyLength::Known(length) if !head.expect_continue => usize::try_from(length).ok()?,
        BodyLength::Known(_) | BodyLength::Unknown => return None,
    };
    if length > BODY_MAX || !is_base64url(settings.as_bytes()) {
        return None;
    }
    let fields = encode_head(head)?;
    let mut charge = Charge::default();
    // Once as received, once in frames.
    charge.add(2 * (length + fields.len())).ok()?;
    Some((fields, length, charge))
}

async fn switch(client: &mut H1Client, fields: &[u8], length: usize) -> Option<BytesMut> {
    let connection = &mut client.connection;
    let mut body = BytesMut::with_capacity(length);
    while poll_fn(|cx| connection.poll_data(cx)).await.ok()? {
        let count = connection.data().len();
        body.extend_from_slice(connection.data());
        connection.consume(count);
    }
    client.write_head(|output| output.extend_from_slice(SWITCHING));
    let connection = &mut client.connection;
    poll_fn(|cx| connection.poll_flush(cx)).await.ok()?;
    let mut needed = PREFACE_LEN + FRAME_HEAD_LEN;
    loop {
        let input = connection.input();
        if input.len() >= PREFACE_LEN + FRAME_HEAD_LEN {
            let frame = &input[PREFACE_LEN..];
            let size = usize::from(frame[1]) << 8 | usize::from(frame[2]);
            if frame[0] != 0 || frame[3] != SETTINGS || size > SETTINGS_MAX {
                break;
            }
            needed = PREFACE_LEN + FRAME_HEAD_LEN + size;
        }
        if input.len() >= needed {
            break;
        }
        if poll_fn(|cx| connection.poll_fill(cx)).await.ok()? == 0 {
            break;
        }
    }
    // If the client broke off or sent something else, the HTTP/2 server reports it.
    let input = connection.input();
    let split = needed.min(input.len());
    let mut front = BytesMut::with_capacity(input.len() + fields.len() + body.len() + 64);
    front.extend_from_slice(&input[..split]);
    let last = if body.is_empty() { END_STREAM } else { 0 };
    put_frame(&mut front, HEADERS, END_HEADERS | last, fields);
    let mut pieces = body.chunks(HEAD_MAX).peekable();
    while let Some(piece) = pieces.next() {
        let last = if pieces.peek().is_none() { END_STREAM } else { 0 };
        put_frame(&mut front, DATA, last, piece);
    }
    front.extend_from_slice(&input[split..]);
    Some(front)
}

fn put_frame(out: &mut BytesMut, kind: u8, flags: u8, payload: &[u8]) {
    frame::put_head(out, payload.len(), kind, flags, UPGRADED_STREAM);
    out.extend_from_slice(payload);
}

/// The head as a HEADERS payload. `None` when HTTP/2 cannot carry it.
fn encode_head(head: &RequestHead) -> Option<Vec<u8>> {
    // A request without a host, or whose target is not a URI, exists in HTTP/1 only.
    let host = head.host.as_ref()?;
    if !target::fits_http2(&head.target) {
        return None;
    }
    let mut out = Vec::with_capacity(256);
    put_field(&mut out, b":method", head.method.as_str().as_bytes());
    put_field(&mut out, b":scheme", head.scheme.as_str().as_bytes());
    put_field(&mut out, b":path", &head.target);
    put_field(&mut out, b":authority", host.as_bytes());
    if let BodyLength::Known(length) = head.body {
        put_field(&mut out, b"content-length", length.to_string().as_bytes());
    }
    if head.te_trailers {
        put_field(&mut out, b"te", b"trailers");
    }
    let skipped = HeaderName::from_static("http2-settings");
    for (name, value) in head.headers.iter().filter(|(name, _)| **name != skipped) {
        put_field(&mut out, name.as_str().as_bytes(), value.as_bytes());
    }
    (out.len() <= HEAD_MAX).then_some(out)
}

/// A literal field that is never indexed (RFC 7541, section 6.2.3).
fn put_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.push(0x10);
    put_string(out, name);
    put_string(out, value);
}

/// A string without Huffman coding, its length as a 7-bit prefix integer.
fn put_string(out: &mut Vec<u8>, text: &[u8]) {
    const PREFIX_MAX: usize = 0x7f;
    if text.len() < PREFIX_MAX {
        out.push(text.len() as u8);
    } else {
        out.push(PREFIX_MAX as u8);
        let mut rest = text.len() - PREFIX_MAX;
        while rest >= 0x80 {
            out.push((rest & 0x7f) as u8 | 0x80);
            rest >>= 7;
        }
        out.push(rest as u8);
    }
    out.extend_from_slice(text);
}

fn is_base64url(text: &[u8]) -> bool {
    text.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'='))
}
