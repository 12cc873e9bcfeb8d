//! A WebSocket's goodbye: where its frames end, so that a close can be put between two of them.

use tokio::time::Instant;

/// An unmasked close frame that says 1001, going away (RFC 6455, sections 5.5.1 and 7.4.1).
const GOING_AWAY: &[u8] = &[0x88, 0x02, 0x03, 0xe9];
/// The longest frame header: two bytes, eight of length, four of mask.
const HEADER_MAX: usize = 14;

/// Follows the frames towards a client and says goodbye between two of them.
#[derive(Debug, Default)]
pub(crate) struct Farewell {
    frames: Frames,
    wanted: bool,
    said_at: Option<Instant>,
}

impl Farewell {
    /// From now on the goodbye is due as soon as no frame is in the middle of being sent.
    pub(crate) fn want(&mut self) {
        self.wanted = true;
    }

    /// Whether the goodbye is still to be wanted.
    pub(crate) fn is_unwanted(&self) -> bool {
        !self.wanted
    }

    /// When the goodbye was said. Nothing follows it.
    pub(crate) fn said_at(&self) -> Option<Instant> {
        self.said_at
    }

    /// How many of the bytes at hand may go before the goodbye.
    pub(crate) fn allowed(&self, data: &[u8]) -> usize {
        if self.wanted { self.frames.rest_of_frame(data) } else { data.len() }
    }

    /// These bytes have gone.
    pub(crate) fn sent(&mut self, data: &[u8]) {
        self.frames.follow(data);
    }

    /// The goodbye, once, when it is due.
    pub(crate) fn take(&mut self, now: impl FnOnce() -> Instant) -> Option<&'static [u8]> {
        if !self.wanted || self.said_at.is_some() || !self.frames.is_at_boundary() {
            return None;
        }
        self.said_at = Some(now());
        Some(GOING_AWAY)
    }
}

/// Where in a frame a byte stream stands.
#[derive(Clone, Copy, Debug, Default)]
struct Frames {
    header: [u8; HEADER_MAX],
    header_len: usize,
    payload_left: u64,
}

impl Frames {
    fn is_at_boundary(&self) -> bool {
        self.header_len == 0 && self.payload_left == 0
    }

    fn follow(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            data = &data[self.step(data)..];
        }
    }

    /// Bytes up to the end of the frame that has begun; none when none has.
    fn rest_of_frame(&self, data: &[u8]) -> usize {
        let mut ahead = *self;
        let mut count = 0;
        while !ahead.is_at_boundary() && count < data.len() {
            count += ahead.step(&data[count..]);
        }
        count
    }

    /// Takes one byte of a header or as much of a payload as there is.
    fn step(&mut self, data: &[u8]) -> usize {
        if self.payload_left > 0 {
            let count = usize::try_from(self.payload_left).unwrap_or(usize::MAX).min(data.len());
            self.payload_left -= count as u64;
            return count;
        }
        self.header[self.header_len] = data[0];
        self.header_len += 1;
        if let Some(length) = payload_length(&self.header[..self.header_len]) {
            self.header_len = 0;
            self.payload_left = length;
        }
        1
    }
}

/// The length of the payload, once the header is complete.
fn payload_length(header: &[u8]) -> Option<u64> {
    let second = *header.get(1)?;
    let mask = if second & 0x80 == 0 { 0 } else { 4 };
    let extended = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    if header.len() < 2 + extended + mask {
        return None;
    }
    let short = u64::from(second & 0x7f);
    let long = header[2..2 + extended].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    Some(if extended == 0 { short } else { long })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame of each kind of length, masked and not.
    fn frames() -> Vec<Vec<u8>> {
        let mut masked = vec![0x81, 0x83, 1, 2, 3, 4];
        masked.extend_from_slice(b"abc");
        let mut medium = vec![0x82, 126, 0x01, 0x00];
        medium.extend_from_slice(&[7; 256]);
        let mut long = vec![0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0];
        long.extend_from_slice(&[7; 65536]);
        vec![vec![0x89, 0x00], masked, medium, long, vec![0x81, 0x01, b'x']]
    }

    #[test]
    fn boundaries_are_where_frames_end_however_the_bytes_are_cut() {
        for cut in [1, 2, 3, 7, 1000, 100_000] {
            let mut state = Frames::default();
            let stream: Vec<u8> = frames().concat();
            let mut ends: Vec<usize> = frames()
                .iter()
                .scan(0, |end, frame| {
                    *end += frame.len();
                    Some(*end)
                })
                .collect();
            ends.insert(0, 0);
            for (index, piece) in stream.chunks(cut).enumerate() {
                assert_eq!(state.is_at_boundary(), ends.contains(&(index * cut)), "cut {cut}");
                state.follow(piece);
            }
            assert!(state.is_at_boundary());
        }
    }

    #[test]
    fn the_goodbye_waits_for_the_end_of_the_frame_and_is_said_once() {
        let mut farewell = Farewell::default();
        farewell.sent(&[0x81, 0x05, b'h', b'e']);
        farewell.want();
        assert_eq!(farewell.take(Instant::now), None);
        assert_eq!(farewell.allowed(b"llo\x81\x01x"), 3);
        farewell.sent(b"llo");
        assert_eq!(farewell.take(Instant::now), Some(GOING_AWAY));
        assert_eq!(farewell.take(Instant::now), None);
        assert!(farewell.said_at().is_some());
    }
}
