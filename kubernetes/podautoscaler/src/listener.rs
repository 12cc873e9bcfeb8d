//! Listens in on the connection of an activator: the WebSocket messages in the bytes that pass.
//!
//! The bytes go on to Knative's autoscaler as they are, whatever is understood of them here. What
//! is understood is copied out: the binary messages that the client sends.

/// Longest head of a request that is read before it is given up to be one of a WebSocket.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// Longest message that is kept: an activator sends one of some 100 bytes a revision every second,
/// so this is more than Knative's limit of revisions a cluster. A longer one is skipped.
pub const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// Bytes of a frame's header at most: two, eight of the length, four of the mask.
const FRAME_HEADER_BYTES_MAX: usize = 14;

const CONTINUATION: u8 = 0;
const BINARY: u8 = 2;
/// Opcodes from here on are of frames between those of a message: close, ping, pong.
const CONTROL: u8 = 8;

/// What passes from one client to the server.
#[derive(Debug, Clone, Default)]
pub struct Listener {
    state: State,
    /// What belongs together and is not whole: a head, or the header of a frame.
    kept: Vec<u8>,
    /// The message so far.
    message: Vec<u8>,
    /// What becomes of the message.
    use_of_message: Use,
    /// Messages that were too long.
    skipped: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    /// The request that asks for a WebSocket.
    #[default]
    Head,
    /// The header of a frame.
    FrameHeader,
    /// Within a frame.
    Frame(Frame),
    /// Something else than a WebSocket, or nothing that can be followed.
    Deaf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Frame {
    /// Bytes of it that are still to come.
    rest: u64,
    mask: [u8; 4],
    /// Bytes of it that have come.
    passed: usize,
    part: Part,
}

/// What a frame is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// The message, which goes on.
    Middle,
    /// The message, which is then whole.
    Last,
    /// No message.
    Control,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Use {
    #[default]
    Skip,
    Keep,
    TooLong,
}

impl Listener {
    /// Bytes pass. Returns the messages that are whole now.
    pub fn pass(&mut self, mut bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut messages = Vec::new();
        while !bytes.is_empty() {
            bytes = match self.state {
                State::Deaf => return messages,
                State::Head => self.head(bytes),
                State::FrameHeader => self.frame_header(bytes, &mut messages),
                State::Frame(frame) => self.frame(frame, bytes, &mut messages),
            };
        }
        messages
    }

    /// Messages that were longer than [`MESSAGE_BYTES_MAX`] since this was asked last.
    pub fn take_skipped(&mut self) -> u64 {
        std::mem::take(&mut self.skipped)
    }

    /// Whether nothing is listened to: it is no WebSocket.
    #[must_use]
    pub fn is_deaf(&self) -> bool {
        self.state == State::Deaf
    }

    fn head<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        const END: &[u8] = b"\r\n\r\n";
        let from = self.kept.len().saturating_sub(END.len() - 1);
        let before = self.kept.len();
        self.kept.extend_from_slice(&bytes[..bytes.len().min(HEAD_BYTES_MAX)]);
        let end = self.kept[from..].windows(END.len()).position(|window| window == END);
        let Some(end) = end.map(|at| from + at + END.len()) else {
            if self.kept.len() >= HEAD_BYTES_MAX {
                return self.become_deaf();
            }
            return &[];
        };
        let head = String::from_utf8_lossy(&self.kept[..end]).to_ascii_lowercase();
        let upgrades = head.lines().any(|line| {
            line.split_once(':').is_some_and(|(name, value)| {
                name.trim() == "upgrade" && value.trim() == "websocket"
            })
        });
        if !upgrades {
            return self.become_deaf();
        }
        self.kept.clear();
        self.state = State::FrameHeader;
        &bytes[end - before..]
    }

    fn become_deaf(&mut self) -> &'static [u8] {
        *self = Self { state: State::Deaf, skipped: self.skipped, ..Self::default() };
        &[]
    }

    fn frame_header<'a>(&mut self, bytes: &'a [u8], messages: &mut Vec<Vec<u8>>) -> &'a [u8] {
        let before = self.kept.len();
        let wanted = FRAME_HEADER_BYTES_MAX.saturating_sub(before).min(bytes.len());
        self.kept.extend_from_slice(&bytes[..wanted]);
        let Some((header, length)) = FrameHeader::read(&self.kept) else { return &bytes[wanted..] };
        self.kept.clear();
        // What is sent to a server is always masked, and nothing was agreed that uses other bits.
        let (Some(mask), false) = (header.mask, header.is_extended) else {
            return self.become_deaf();
        };
        let part = match (header.opcode, header.is_final) {
            (CONTROL.., _) => Part::Control,
            (_, true) => Part::Last,
            (_, false) => Part::Middle,
        };
        if part != Part::Control && header.opcode != CONTINUATION {
            self.message.clear();
            self.use_of_message = if header.opcode == BINARY { Use::Keep } else { Use::Skip };
        }
        let frame = Frame { rest: header.length, mask, passed: 0, part };
        self.state = State::Frame(frame);
        if frame.rest == 0 {
            self.end_frame(part, messages);
        }
        &bytes[length - before..]
    }

    fn frame<'a>(
        &mut self,
        mut frame: Frame,
        bytes: &'a [u8],
        messages: &mut Vec<Vec<u8>>,
    ) -> &'a [u8] {
        let here = usize::try_from(frame.rest).unwrap_or(usize::MAX).min(bytes.len());
        let (ours, after) = bytes.split_at(here);
        if frame.part != Part::Control && self.use_of_message == Use::Keep {
            if self.message.len() + here > MESSAGE_BYTES_MAX {
                (self.message, self.use_of_message) = (Vec::new(), Use::TooLong);
            } else {
                let unmasked = ours.iter().zip(frame.passed..);
                self.message.extend(unmasked.map(|(byte, at)| byte ^ frame.mask[at % 4]));
            }
        }
        frame.passed += here;
        frame.rest -= here as u64;
        self.state = State::Frame(frame);
        if frame.rest == 0 {
            self.end_frame(frame.part, messages);
        }
        after
    }

    fn end_frame(&mut self, part: Part, messages: &mut Vec<Vec<u8>>) {
        self.state = State::FrameHeader;
        if part != Part::Last {
            return;
        }
        match std::mem::take(&mut self.use_of_message) {
            Use::Keep => messages.push(std::mem::take(&mut self.message)),
            Use::TooLong => self.skipped += 1,
            Use::Skip => {}
        }
    }
}

struct FrameHeader {
    opcode: u8,
    is_final: bool,
    is_extended: bool,
    length: u64,
    mask: Option<[u8; 4]>,
}

impl FrameHeader {
    /// The header at the beginning of `bytes` and its length; `None` while it is not whole.
    fn read(bytes: &[u8]) -> Option<(Self, usize)> {
        let (&first, &second) = (bytes.first()?, bytes.get(1)?);
        let (length, at) = match second & 0x7f {
            126 => (u64::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)), 4),
            127 => (u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?), 10),
            short => (u64::from(short), 2),
        };
        let (mask, at) = match second & 0x80 {
            0 => (None, at),
            _ => (Some(bytes.get(at..at + 4)?.try_into().ok()?), at + 4),
        };
        let header = Self {
            opcode: first & 0x0f,
            is_final: first & 0x80 != 0,
            is_extended: first & 0x70 != 0,
            length,
            mask,
        };
        Some((header, at))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEAD: &[u8] = b"GET / HTTP/1.1\r\nHost: autoscaler\r\nUpgrade: WebSocket\r\n\
        Connection: Upgrade\r\n\r\n";

    /// A frame as a client sends it.
    fn frame(first: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
        let mut bytes = vec![first];
        match payload.len() {
            length @ 0..126 => bytes.push(0x80 | length as u8),
            length @ 126..=0xffff => {
                bytes.push(0x80 | 126);
                bytes.extend((length as u16).to_be_bytes());
            }
            length => {
                bytes.push(0x80 | 127);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        bytes.extend(mask);
        bytes.extend(payload.iter().zip(0..).map(|(byte, at): (&u8, usize)| byte ^ mask[at % 4]));
        bytes
    }

    proptest! {
        /// However messages are cut into frames, mixed with others and delivered in pieces.
        #[test]
        fn every_binary_message_is_heard(
            sent in prop::collection::vec(
                (prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..4), 0_u8..4),
                0..8,
            ),
            mask in any::<[u8; 4]>(),
            pieces in prop::collection::vec(1_usize..200, 1..20),
        ) {
            let mut bytes = HEAD.to_vec();
            let mut expected = Vec::new();
            for (parts, kind) in &sent {
                let is_binary = *kind != 0;
                let last = parts.len() - 1;
                for (at, part) in parts.iter().enumerate() {
                    let opcode = match (at, is_binary) { (0, true) => 2, (0, false) => 1, _ => 0 };
                    let fin = if at == last { 0x80 } else { 0 };
                    bytes.extend(frame(fin | opcode, part, mask));
                    if *kind == 2 {
                        bytes.extend(frame(0x89, b"ping", mask));
                    }
                }
                if is_binary {
                    expected.push(parts.concat());
                }
            }
            let mut listener = Listener::default();
            let mut heard = Vec::new();
            let mut rest = bytes.as_slice();
            for size in pieces.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, after) = rest.split_at((*size).min(rest.len()));
                heard.extend(listener.pass(piece));
                rest = after;
            }
            prop_assert_eq!(heard, expected);
            prop_assert!(!listener.is_deaf());
        }

        /// Whatever passes, it is no reason to fail or to keep more than a message.
        #[test]
        fn anything_may_pass(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..500), 0..20),
            begins in any::<bool>(),
        ) {
            let mut listener = Listener::default();
            if begins {
                listener.pass(HEAD);
            }
            for piece in &pieces {
                listener.pass(piece);
                prop_assert!(listener.kept.len() <= HEAD_BYTES_MAX * 2);
                prop_assert!(listener.message.len() <= MESSAGE_BYTES_MAX);
            }
        }
    }

    #[test]
    fn a_message_that_is_too_long_is_skipped_and_the_next_one_heard() {
        let mut listener = Listener::default();
        listener.pass(HEAD);
        let long = vec![7; MESSAGE_BYTES_MAX + 1];
        assert!(listener.pass(&frame(0x82, &long, [1, 2, 3, 4])).is_empty());
        assert_eq!(listener.take_skipped(), 1);
        assert_eq!(listener.pass(&frame(0x82, b"next", [9; 4])), [b"next".to_vec()]);
        assert_eq!(listener.take_skipped(), 0);
    }

    #[test]
    fn what_is_no_websocket_is_not_listened_to() {
        for head in
            [b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n".as_slice(), &[b'x'; HEAD_BYTES_MAX]]
        {
            let mut listener = Listener::default();
            listener.pass(head);
            assert!(listener.is_deaf());
            assert!(listener.pass(&frame(0x82, b"x", [0; 4])).is_empty());
        }
        let mut unmasked = Listener::default();
        unmasked.pass(HEAD);
        assert!(unmasked.pass(&[0x82, 1, 7]).is_empty());
        assert!(unmasked.is_deaf());
    }
}
