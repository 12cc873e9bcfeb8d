//! Just enough of WebSocket (RFC 6455) to open one for a client that has none of its handshake, and
//! to close one: the key and its answer, where frames end, and the close frame. Payloads are never
//! inspected.

use std::hash::{BuildHasher, RandomState};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::{HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY};
use sha1::{Digest, Sha1};

/// Close, code 1001 (going away), as a server sends it.
pub(crate) const CLOSE_TO_CLIENT: &[u8] = &[0x88, 2, 0x03, 0xE9];
/// The same as a client sends it: masked, with a key of zeros.
pub(crate) const CLOSE_TO_APP: &[u8] = &[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xE9];

/// What a server puts behind a key before it hashes both (RFC 6455, section 1.3).
const ACCEPT_SUFFIX: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Whether an upgrade is to WebSocket.
pub(crate) fn is_token(upgrade: &HeaderValue) -> bool {
    upgrade.as_bytes().eq_ignore_ascii_case(b"websocket")
}

/// A key for a handshake: 16 bytes that differ each time, so that no cache takes one answer for
/// another's. They protect nothing else, so the seeds of hash maps are random enough.
pub(crate) fn key() -> HeaderValue {
    let halves = [0u8, 1].map(|half| RandomState::new().hash_one(half).to_ne_bytes());
    let text = STANDARD.encode(halves.as_flattened());
    HeaderValue::try_from(text).expect("base64 is plain text")
}

/// Whether a response's fields answer the key in a request's: only a server that knows WebSocket
/// can.
pub(crate) fn is_accepted(request: &HeaderMap, response: &HeaderMap) -> bool {
    let (Some(key), Some(accept)) =
        (request.get(SEC_WEBSOCKET_KEY), response.get(SEC_WEBSOCKET_ACCEPT))
    else {
        return false;
    };
    let hash = Sha1::new().chain_update(key.as_bytes()).chain_update(ACCEPT_SUFFIX).finalize();
    STANDARD.encode(hash).as_bytes() == accept.as_bytes()
}

/// The longest frame head: two bytes, eight of length, four of mask.
const HEAD_MAX: usize = 14;

/// Follows the frames of one direction.
#[derive(Debug, Clone, Default)]
pub(crate) struct Frames {
    head: [u8; HEAD_MAX],
    /// Bytes of the current head so far.
    seen: usize,
    /// Bytes of the current payload that are still to come.
    payload: u64,
}

impl Frames {
    /// Whether the bytes so far are a whole number of frames.
    pub(crate) fn at_boundary(&self) -> bool {
        self.seen == 0 && self.payload == 0
    }

    /// Follows all of `data`.
    pub(crate) fn pass(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            let count = self.pass_to_boundary(data);
            data = &data[count..];
        }
    }

    /// Follows `data` up to the first end of a frame. Gives the number of bytes up to there, or all
    /// of them when no frame ends in them.
    pub(crate) fn pass_to_boundary(&mut self, data: &[u8]) -> usize {
        let mut at = 0;
        while at < data.len() {
            if self.payload > 0 {
                let left = data.len() - at;
                let count = usize::try_from(self.payload).unwrap_or(usize::MAX).min(left);
                self.payload -= count as u64;
                at += count;
            } else {
                self.head[self.seen] = data[at];
                self.seen += 1;
                at += 1;
                if let Some(payload) = self.payload_length() {
                    self.payload = payload;
                    self.seen = 0;
                }
            }
            if self.at_boundary() {
                return at;
            }
        }
        at
    }

    /// The payload's length, once the head is whole.
    fn payload_length(&self) -> Option<u64> {
        let [_, second, ..] = self.head;
        if self.seen < 2 {
            return None;
        }
        let mask = if second & 0x80 == 0 { 0 } else { 4 };
        let (extended, length) = match second & 0x7f {
            126 => (2, u64::from(u16::from_be_bytes([self.head[2], self.head[3]]))),
            127 => {
                let [_, _, bytes @ .., _, _, _, _] = self.head;
                (8, u64::from_be_bytes(bytes))
            }
            short => (0, u64::from(short)),
        };
        (self.seen == 2 + extended + mask).then_some(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame with `length` bytes of payload.
    fn frame(length: usize, masking_key: Option<[u8; 4]>) -> Vec<u8> {
        let mask = if masking_key.is_some() { 0x80 } else { 0 };
        let mut frame = vec![0x82];
        match length {
            0..=125 => frame.push(mask | length as u8),
            126..=65_535 => {
                frame.push(mask | 126);
                frame.extend_from_slice(&(length as u16).to_be_bytes());
            }
            _ => {
                frame.push(mask | 127);
                frame.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        frame.extend_from_slice(masking_key.as_ref().map_or(&[][..], |key| key));
        frame.resize(frame.len() + length, 0xFF);
        frame
    }

    #[test]
    fn boundaries_are_found_however_the_bytes_are_cut() {
        for masking_key in [None, Some([1, 2, 3, 4])] {
            for length in [0, 1, 125, 126, 127, 65_535, 65_536, 70_000] {
                let one = frame(length, masking_key);
                let two = [one.clone(), one.clone()].concat();
                assert_eq!(Frames::default().pass_to_boundary(&two), one.len());
                for step in [1, 2, 3, 7, 4096] {
                    let mut frames = Frames::default();
                    for piece in two.chunks(step) {
                        frames.pass(piece);
                    }
                    assert!(frames.at_boundary(), "{length} by {step}");
                    frames.pass(&one[..one.len() - 1]);
                    assert!(!frames.at_boundary() || one.len() == 1);
                }
            }
        }
    }

    /// The example of RFC 6455, section 1.3.
    #[test]
    fn an_answer_fits_its_key_alone() {
        let fields = |name, value| HeaderMap::from_iter([(name, HeaderValue::from_static(value))]);
        let key = fields(SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ==");
        let accept = fields(SEC_WEBSOCKET_ACCEPT, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert!(is_accepted(&key, &accept));
        let other = fields(SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZR==");
        assert!(!is_accepted(&other, &accept));
        assert!(!is_accepted(&key, &HeaderMap::new()));
        assert_eq!(STANDARD.decode(super::key().as_bytes()).map(|key| key.len()), Ok(16));
        assert_ne!(super::key(), super::key());
    }

    #[test]
    fn close_frames_are_whole_frames() {
        for close in [CLOSE_TO_CLIENT, CLOSE_TO_APP] {
            assert_eq!(Frames::default().pass_to_boundary(close), close.len());
        }
    }
}
