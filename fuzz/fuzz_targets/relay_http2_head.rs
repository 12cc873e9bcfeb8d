//! Any header list over HTTP/2, well formed as a frame, and any trailers: what reaches a handler
//! could be written as a head of HTTP/1 without becoming another one, and is answered once.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use tidegate_fuzz::messages;
use tidegate_fuzz::stage::{Road, assert_sound, play, talk};
use tidegate_relay::http::StatusCode;
use tidegate_relay::{Drain, Exchange, Handler, Reply, Server, ServerSettings};

#[derive(Debug, Arbitrary)]
struct Head<'a> {
    method: Option<&'a [u8]>,
    scheme: Option<&'a [u8]>,
    authority: Option<&'a [u8]>,
    path: Option<&'a [u8]>,
    fields: Vec<(&'a [u8], &'a [u8])>,
    body: Option<&'a [u8]>,
    /// Behind the body, if there is one.
    trailers: Vec<(&'a [u8], &'a [u8])>,
}

/// Fields of one head; more would only be slower.
const FIELDS_MAX: usize = 16;
/// Bytes of one name or value: a length of seven bits.
const TEXT_MAX: usize = 126;

struct Checked;

impl Handler for Checked {
    async fn handle(&self, exchange: &mut Exchange) {
        assert_sound(exchange.head());
        let _ = exchange.respond(Reply::text(StatusCode::OK, "ok")).await;
    }
}

fn text(block: &mut Vec<u8>, bytes: &[u8]) {
    let bytes = &bytes[..bytes.len().min(TEXT_MAX)];
    block.push(bytes.len() as u8);
    block.extend_from_slice(bytes);
}

/// A literal field that is not indexed, as HPACK has it.
fn field(block: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    block.push(0);
    text(block, name);
    text(block, value);
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

fn bytes(head: &Head<'_>) -> Vec<u8> {
    let mut block = Vec::new();
    let pseudo: [(&[u8], _); 4] = [
        (b":method", head.method),
        (b":scheme", head.scheme),
        (b":authority", head.authority),
        (b":path", head.path),
    ];
    for (name, value) in pseudo {
        if let Some(value) = value {
            field(&mut block, name, value);
        }
    }
    for (name, value) in head.fields.iter().take(FIELDS_MAX) {
        field(&mut block, name, value);
    }
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(4, 0, 0, &[]));
    let ends = if head.body.is_some() { 0 } else { 1 };
    bytes.extend(frame(1, 4 | ends, 1, &block));
    if let Some(body) = head.body {
        let ends = u8::from(head.trailers.is_empty());
        bytes.extend(frame(0, ends, 1, &body[..body.len().min(TEXT_MAX)]));
        if ends == 0 {
            let mut block = Vec::new();
            for (name, value) in head.trailers.iter().take(FIELDS_MAX) {
                field(&mut block, name, value);
            }
            bytes.extend(frame(1, 5, 1, &block));
        }
    }
    bytes
}

fuzz_target!(|head: Head| {
    let answers = play(async {
        let server = Server::new(Checked, ServerSettings::default(), Drain::new());
        talk(&server, &bytes(&head), Road::Pipe).await
    });
    for (stream, heads) in messages::heads_by_stream(&answers) {
        assert_eq!(heads, 1, "stream {stream}");
    }
});
