//! The part of HTTP/2's framing (RFC 9113, section 4) that the relay needs itself.

use bytes::{BufMut, BytesMut};

/// What a client begins with.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub(crate) const PREFACE_LEN: usize = PREFACE.len();
/// The head of every frame.
pub(crate) const FRAME_HEAD_LEN: usize = 9;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RESET: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const CONTINUATION: u8 = 9;
/// Frames of this type and above are unknown to the standard, and ignored.
pub(crate) const UNKNOWN_FROM: u8 = 10;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PADDED: u8 = 8;
pub(crate) const PRIORITY: u8 = 0x20;
/// The bytes in front of the fields that [`PRIORITY`] announces.
pub(crate) const PRIORITY_LEN: usize = 5;

/// The head of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame {
    /// The length of the payload.
    pub(crate) length: usize,
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    /// How many bytes of padding end the payload. Their number is the payload's first byte.
    pub(crate) padding: Option<usize>,
}

/// Reads the head of a frame, and the length of its padding. Nothing when more must be read.
pub(crate) fn parse(input: &[u8]) -> Option<Frame> {
    let (&[l2, l1, l0, kind, flags, s3, s2, s1, s0], payload) = input.split_first_chunk()?;
    let length = usize::from(l2) << 16 | usize::from(l1) << 8 | usize::from(l0);
    let is_padded = matches!(kind, DATA | HEADERS) && flags & PADDED != 0 && length > 0;
    let padding = match is_padded {
        true => Some(usize::from(*payload.first()?)),
        false => None,
    };
    let stream = u32::from_be_bytes([s3 & 0x7f, s2, s1, s0]);
    Some(Frame { length, kind, flags, stream, padding })
}

/// Writes the head of a frame.
pub(crate) fn put_head(out: &mut BytesMut, length: usize, kind: u8, flags: u8, stream: u32) {
    out.put_uint(length as u64, 3);
    out.put_u8(kind);
    out.put_u8(flags);
    out.put_u32(stream);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let mut wire = BytesMut::new();
        put_head(&mut wire, 70_000, DATA, END_STREAM, 7);
        let frame =
            Frame { length: 70_000, kind: DATA, flags: END_STREAM, stream: 7, padding: None };
        assert_eq!(parse(&wire), Some(frame));
        assert_eq!(parse(&wire[..8]), None);
    }

    #[test]
    fn the_length_of_the_padding_has_to_be_there() {
        let mut wire = BytesMut::new();
        put_head(&mut wire, 10, HEADERS, PADDED, 1);
        assert_eq!(parse(&wire), None);
        wire.put_u8(3);
        assert_eq!(parse(&wire).and_then(|frame| frame.padding), Some(3));
    }
}
