//! HTTP/2 byte by byte: frames and field blocks that no library would write.

use crate::harness::{Proxy, Wire};

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum StreamOutcome {
    Response,
    Reset,
    Closed,
}

/// Opens an HTTP/2 connection to the proxy.
pub(crate) async fn open(proxy: &Proxy) -> Wire {
    let mut client = proxy.client().await;
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    client.send([0, 0, 0, 4, 0, 0, 0, 0, 0]).await;
    client
}

/// A frame as received.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u8,
    pub(crate) payload: Vec<u8>,
}

/// The next frame; nothing at the end of the stream.
pub(crate) async fn next(wire: &mut Wire) -> Option<Frame> {
    let head = wire.raw(9).await;
    let [a, b, c, kind, flags, _, _, _, stream] = head[..] else { return None };
    let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
    Some(Frame { kind, flags, stream, payload: wire.raw(length).await })
}

/// How stream 1 ends.
pub(crate) async fn outcome(client: &mut Wire) -> StreamOutcome {
    loop {
        match next(client).await {
            Some(Frame { kind: 1, stream: 1, .. }) => return StreamOutcome::Response,
            Some(Frame { kind: 3, stream: 1, .. }) => return StreamOutcome::Reset,
            Some(Frame { kind: 7, .. }) | None => return StreamOutcome::Closed,
            Some(_) => {}
        }
    }
}

/// A HEADERS frame of stream 1 with a request's head.
pub(crate) fn headers_frame(method: &str, fields: &[(&str, &str)], flags: u8) -> Vec<u8> {
    let mut all = vec![(":method", method), (":scheme", "http")];
    all.extend_from_slice(fields);
    frame(1, flags, &block(&all))
}

/// A frame of stream 1.
pub(crate) fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags, 0, 0, 0, 1];
    frame.extend_from_slice(payload);
    frame
}

/// Literal fields, never indexed, without Huffman coding.
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0x10);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).expect("a short text"));
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}
