//! HTTP/2 trailers that come to more than the longest head, or to more fields than a map takes.
//!
//! The HTTP/2 library left out the fields that did not fit, without a word, and the message passed
//! for whole: an app read a request without its signature, a client a response without its
//! `grpc-status`. A few hundred bytes are enough where each refers to one long entry of the
//! compression table. The stream is reset now, in both directions, and its connection goes on.

use crate::frames::{END_HEADERS, END_STREAM, Frame, block, frame, headers_frame, next, open};
use crate::harness::{App, Proxy, Wire};
use crate::trailers::frame_app;
use crate::ways_in::http1_app;

/// The longest head of a client, and of an app.
const REQUEST_MAX: usize = 1_048_896;
const RESPONSE_MAX: usize = 10 << 20;
/// The longest frame that an app may send; a client may send longer ones.
const FRAME_MAX: usize = 16_384;
/// The value of [`entry`], and what a field of it counts.
const ENTRY_VALUE_LEN: usize = 4_000;
const ENTRY_BYTES: usize = 1 + ENTRY_VALUE_LEN + 32;
/// Eight times `a` in Huffman coding.
const EIGHT_A: [u8; 5] = [0x18, 0xc6, 0x31, 0x8c, 0x63];

/// A length in front of a string (RFC 7541, section 5.1).
fn length(flag: u8, length: usize) -> Vec<u8> {
    let Some(mut rest) = length.checked_sub(127) else { return vec![flag | length as u8] };
    let mut bytes = vec![flag | 127];
    while rest > 127 {
        bytes.push(rest as u8 | 128);
        rest >>= 7;
    }
    bytes.push(rest as u8);
    bytes
}

/// A literal field; with 0x40 it is put in the compression table as well.
fn literal(representation: u8, name: &str, value: &[u8]) -> Vec<u8> {
    let name_len = length(0, name.len());
    [&[representation], &name_len[..], name.as_bytes(), &length(0, value.len()), value].concat()
}

/// A literal of `len` times `a`, in Huffman coding.
fn huffman_literal(len: usize) -> Vec<u8> {
    let value = EIGHT_A.repeat(len / 8);
    [&b"\x00\x01v"[..], &length(0x80, value.len()), &value].concat()
}

/// The long entry, which is put in the compression table.
fn entry() -> Vec<u8> {
    literal(0x40, "e", &[b'x'; ENTRY_VALUE_LEN])
}

fn many_names(count: usize) -> Vec<u8> {
    (0..count).flat_map(|number| literal(0, &format!("{number:x}"), b"")).collect()
}

/// Trailers of more than `most` bytes, or of too many fields, by every way in. Behind all of them
/// comes the one that matters.
fn too_long(most: usize) -> Vec<(&'static str, Vec<u8>)> {
    let references = most / ENTRY_BYTES + 1;
    let ways = [
        ("one literal", huffman_literal(most)),
        ("many literals", literal(0, "v", &[b'x'; 1_000]).repeat(most / 1_033 + 1)),
        ("references", [entry(), vec![0xbe; references]].concat()),
        ("names by reference", [entry(), b"\x0f\x2f\x00".repeat(most / 33 + 1)].concat()),
        ("fields", many_names(30_000)),
    ];
    ways.map(|(what, block)| (what, [block, literal(0, "x-sum", b"1")].concat())).into()
}

/// The frames of trailers on stream 1.
fn trailer_frames(block: &[u8]) -> Vec<u8> {
    let mut pieces = block.chunks(FRAME_MAX).peekable();
    let mut frames = Vec::new();
    while let Some(piece) = pieces.next() {
        let end = if pieces.peek().is_none() { END_HEADERS } else { 0 };
        match frames.is_empty() {
            true => frames.extend(frame(1, END_STREAM | end, piece)),
            false => frames.extend(frame(9, end, piece)),
        }
    }
    frames
}

/// Sends a request with a body and these trailers.
async fn upload(proxy: &Proxy, trailers: &[u8]) -> Wire {
    let mut client = open(proxy).await;
    client.send(headers_frame("POST", &[(":path", "/"), (":authority", "h")], END_HEADERS)).await;
    client.send(frame(0, 0, b"ab")).await;
    client.send(trailer_frames(trailers)).await;
    client
}

/// The frames of stream 1, up to its end or the connection's.
async fn stream_frames(client: &mut Wire) -> Vec<Frame> {
    let mut frames = Vec::new();
    while let Some(frame) = next(client).await {
        let ended = frame.kind < 2 && frame.flags & END_STREAM != 0 || matches!(frame.kind, 3 | 7);
        if frame.stream == 1 || frame.kind == 7 {
            frames.push(frame);
        }
        if ended {
            break;
        }
    }
    frames
}

#[tokio::test]
async fn a_request_whose_trailers_are_too_long_is_never_whole() {
    for (what, trailers) in too_long(REQUEST_MAX) {
        let (app, seen) = App::once(|mut wire| async move { wire.rest().await }).await;
        let proxy = Proxy::before(&app).await;
        let mut client = upload(&proxy, &trailers).await;
        let last = stream_frames(&mut client).await.pop().expect("the stream ends");
        assert_eq!(last.kind, 3, "{what}: {last:?}");
        let seen = seen.await.expect("the app's connection ends");
        assert!(!seen.contains("\r\n0\r\n"), "{what}: the app got {}", seen.len());
    }
}

/// Padding and a priority are no part of the fields that are measured.
#[tokio::test]
async fn trailers_are_too_long_however_they_are_framed() {
    const PADDED: u8 = 8;
    const PRIORITY: u8 = 0x20;
    let fields = [entry(), vec![0xbe; 300]].concat();
    let priority = [0, 0, 0, 0, 15];
    for (flags, payload) in [
        (PADDED, [&[3][..], &fields, &[0; 3]].concat()),
        (PRIORITY, [&priority[..], &fields].concat()),
        (PADDED | PRIORITY, [&[3][..], &priority, &fields, &[0; 3]].concat()),
    ] {
        let (app, seen) = App::once(|mut wire| async move { wire.rest().await }).await;
        let proxy = Proxy::before(&app).await;
        let mut client = open(&proxy).await;
        let head = [(":path", "/"), (":authority", "h")];
        client.send(headers_frame("POST", &head, END_HEADERS)).await;
        client.send(frame(1, flags | END_STREAM | END_HEADERS, &payload)).await;
        let last = stream_frames(&mut client).await.pop().expect("the stream ends");
        assert_eq!(last.kind, 3, "{flags:#x}: {last:?}");
        let seen = seen.await.expect("the app's connection ends");
        assert!(!seen.contains("\r\n0\r\n"), "{flags:#x}: the app got {}", seen.len());
    }
}

#[tokio::test]
async fn a_response_whose_trailers_are_too_long_is_never_whole() {
    for (what, trailers) in too_long(RESPONSE_MAX) {
        let head = block(&[(":status", "200"), ("content-type", "a/b")]);
        let data = frame(0, 0, b"ab");
        let response = vec![frame(1, END_HEADERS, &head), data, trailer_frames(&trailers)];
        let (app, _) = frame_app(response).await;
        let proxy = Proxy::before(&app).await;
        let mut client = upload(&proxy, &literal(0, "x-sum", b"1")).await;
        let last = stream_frames(&mut client).await.pop().expect("the stream ends");
        assert_eq!(last.kind, 3, "{what}: {last:?}");
    }
}

/// What the library decoded stays in its compression table, so the next stream can refer to it.
#[tokio::test]
async fn the_connection_goes_on() {
    let (app, seen) = http1_app().await;
    let proxy = Proxy::before(&app).await;
    let trailers = [entry(), vec![0xbe; 300]].concat();
    let mut client = upload(&proxy, &trailers).await;
    assert_eq!(stream_frames(&mut client).await.pop().map(|frame| frame.kind), Some(3));
    let third_stream = |mut frame: Vec<u8>| {
        frame[8] = 3;
        frame
    };
    let head = [(":method", "POST"), (":scheme", "http"), (":path", "/"), (":authority", "h")];
    client.send(third_stream(frame(1, END_HEADERS, &block(&head)))).await;
    client.send(third_stream(frame(0, 0, b"ab"))).await;
    client.send(third_stream(frame(1, END_HEADERS | END_STREAM, b"\xbe"))).await;
    let response = loop {
        let frame = next(&mut client).await.expect("the connection stays open");
        if frame.stream == 3 {
            break frame;
        }
    };
    assert_eq!(response.kind, 1, "{response:?}");
    assert!(seen.lock().join("\n").contains("E: xxx"), "the field of the third stream");
}

/// Trailers that are long, and not too long, lose nothing.
#[tokio::test]
async fn long_trailers_arrive_whole() {
    let last = literal(0, "x-sum", b"1");
    for (block, count) in [
        ([entry(), vec![0xbe; 254]].concat(), 255),
        (literal(0, "e", &[b'x'; 1_000_000]), 1),
        (literal(0, "e", b"x").repeat(6_000), 6_000),
    ] {
        let (app, seen) = http1_app().await;
        let proxy = Proxy::before(&app).await;
        let mut client = upload(&proxy, &[&block[..], &last].concat()).await;
        let frames = stream_frames(&mut client).await;
        assert_eq!(frames.first().map(|frame| frame.kind), Some(1), "{frames:?}");
        let seen = seen.lock().join("\n");
        assert_eq!(seen.matches("\r\nE: x").count(), count, "{}", seen.len());
        assert!(seen.ends_with("\r\nX-Sum: 1\r\n\r\n"));
    }
}

#[tokio::test]
async fn long_trailers_of_a_response_arrive_whole() {
    let trailers = [entry(), vec![0xbe; 2_500], literal(0, "x-sum", b"1")].concat();
    let head = block(&[(":status", "200"), ("content-type", "a/b")]);
    let response = vec![frame(1, END_HEADERS, &head), trailer_frames(&trailers)];
    let (app, _) = frame_app(response).await;
    let proxy = Proxy::before(&app).await;
    let mut client = upload(&proxy, &literal(0, "x-sum", b"1")).await;
    let last = stream_frames(&mut client).await.pop().expect("the stream ends");
    assert_eq!((last.kind, last.flags & END_STREAM), (1, END_STREAM), "{last:?}");
    assert!(last.payload.len() > 2_500, "as many fields as the app sent");
}
