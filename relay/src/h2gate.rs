//! The filter between the HTTP/2 library and its socket.
//!
//! The library decodes whatever it can read, and keeps it until it is taken. A peer decides how
//! much that is: 280 bytes may be a head of 1 MiB, and half a head is kept for as long as it likes.
//! So frames pass through this filter. A head is withheld until it is complete, and charged; heads
//! are passed on in turns, so that one poll decodes only a few before each of them is charged for
//! its decoded size; long frames are split, so that the library's buffers stay small; and whether a
//! frame has begun and not ended is visible, so that a clock can bound it.
//!
//! The other half of it, [`Watch`], belongs to the task that drives the connection, and to the
//! streams.

mod block;
pub(crate) mod frame;
mod measure;
mod out;
pub(crate) mod pace;
mod watch;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, BytesMut};
use h2::Reason;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;
use tokio_util::io::poll_read_buf;

use crate::buffers::{self, BUFFER_BYTES};
use crate::io::{Io, write_through};
use crate::memory::{self, Charge};
use block::Block;
use frame::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, FRAME_HEAD_LEN, Frame, HEADERS, PADDED,
    PREFACE_LEN, PRIORITY, PUSH_PROMISE, RESET, SETTINGS, UNKNOWN_FROM,
};
use out::Out;
use watch::GateState;
pub(crate) use watch::{StreamEntry, Watch};

/// Longer frames reach the library in pieces of this size, or not at all: it buffers a whole frame.
const PIECE_BYTES: usize = 16 * 1024;
/// A turn ends behind the head that brings it to this many encoded bytes,
const TURN_BYTES: usize = 4 * 1024;
/// or to this many heads.
const TURN_HEADS: u32 = 16;
/// Streams a peer may open and reset before they are polled, until its connection is ended (the
/// rapid reset attack).
const RESETS_MAX: u32 = 50;
/// The most bytes that one byte of an encoded head takes when it is decoded: one entry of a header
/// map.
const EXPANSION: usize = 104;
/// A connection whose compression table may keep this many bytes of earlier heads gets a GOAWAY, so
/// that its client opens another: only its end frees them.
const PINNED_BYTES_MAX: usize = 2 << 20;

/// Which side the peer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    Client,
    Server,
}

/// The bounds of a gate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) peer: Peer,
    /// The longest frame that SETTINGS allows the peer.
    pub(crate) frame_max: usize,
    /// The longest head, encoded.
    pub(crate) block_max: usize,
    /// The longest head, decoded, as the library was told. Of trailers it keeps what fits.
    pub(crate) list_max: usize,
    /// Trailers that are longer than this, encoded, are charged until their stream ends.
    pub(crate) free_trailers: usize,
}

/// A byte stream that passes frames on as described above.
pub(crate) struct FrameGate {
    io: Box<dyn Io>,
    limits: Limits,
    shared: Arc<GateState>,
    /// What has been read and not yet inspected.
    raw: BytesMut,
    /// What the library reads next.
    ready: BytesMut,
    /// Then this many bytes are passed on unchanged.
    pass: usize,
    /// Then the rest of a long frame of data.
    split: Option<Split>,
    /// Then this many bytes are dropped.
    skip: usize,
    /// The head that is being withheld.
    block: Option<Block>,
    /// The charge for what the library's compression table may reference until the connection ends.
    pinned: Charge,
    turn: Turn,
    /// What a client sends on this stream, or on one before it, is no head of a request. What a
    /// server sends may be either on any stream.
    opened_max: u32,
    /// Streams that were opened and reset before they were polled, beyond those that were not.
    early_resets: u32,
    /// Resolved with whether the peer uses HTTP/2, where a task waits for that.
    opening: Option<oneshot::Sender<Opening>>,
}

/// What a peer opened with. HTTP/2 begins with SETTINGS; an HTTP/1 server begins with a status
/// line, or hangs up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opening {
    Settings,
    Other,
}

struct Split {
    stream: u32,
    left: usize,
    end_stream: u8,
    /// Bytes of padding behind the data.
    padding: Option<usize>,
}

/// What has been passed on since the driving task last polled the library.
#[derive(Default)]
struct Turn {
    number: u64,
    heads: u32,
    bytes: usize,
    /// The streams that were opened.
    opened: Vec<u32>,
}

impl FrameGate {
    /// A gate in front of `io`, from which `front` has been read already.
    pub(crate) fn new(io: Box<dyn Io>, front: BytesMut, limits: Limits) -> (FrameGate, Watch) {
        let shared = Arc::new(GateState::default());
        let (pass, opened_max) = match limits.peer {
            Peer::Client => (PREFACE_LEN, 0),
            Peer::Server => (0, u32::MAX),
        };
        let gate = FrameGate {
            io,
            limits,
            pinned: Charge::on(shared.account()),
            shared: shared.clone(),
            raw: front,
            ready: BytesMut::new(),
            pass,
            split: None,
            skip: 0,
            block: None,
            turn: Turn::default(),
            opened_max,
            early_resets: 0,
            opening: None,
        };
        (gate, Watch::new(shared))
    }

    /// Sends what the peer opens with to `sender`.
    pub(crate) fn notify_opening(mut self, sender: oneshot::Sender<Opening>) -> FrameGate {
        self.opening = Some(sender);
        self
    }

    /// Makes one step. Ready with false at the end of the stream.
    ///
    /// The order of the checks is the order of the bytes: what is ready, then what passes
    /// unchanged, then the rest of a split frame, and only then the next frame is admitted.
    fn poll_step(&mut self, cx: &mut Context<'_>, out: &mut Out<'_, '_>) -> Poll<io::Result<bool>> {
        if !self.ready.is_empty() {
            let length = self.ready.len();
            out.take_from(&mut self.ready, length);
            if self.ready.is_empty() {
                self.ready = BytesMut::new();
            }
            return Poll::Ready(Ok(true));
        }
        if self.pass > 0 {
            return self.poll_pass(cx, out);
        }
        if self.split.is_some() {
            self.next_piece();
            return Poll::Ready(Ok(true));
        }
        // The task that drives the connection reads the watch after every poll.
        // It wakes this one when it begins the next turn, so no waker is registered here.
        if self.shared.is_stopped() || self.turn_is_over() {
            return Poll::Pending;
        }
        if self.raw.is_empty() {
            return self.poll_fill(cx, out);
        }
        if self.block.as_ref().is_some_and(|block| block.left > 0) {
            self.withhold();
            return Poll::Ready(Ok(true));
        }
        if self.skip > 0 {
            let count = self.skip.min(self.raw.len());
            self.raw.advance(count);
            self.skip -= count;
            return Poll::Ready(Ok(true));
        }
        match frame::parse(&self.raw) {
            Some(frame) => {
                if let Err(reason) = self.admit(frame) {
                    self.stop(reason);
                }
                Poll::Ready(Ok(true))
            }
            None => self.poll_fill(cx, out),
        }
    }

    /// Whether this turn's heads have all been passed on.
    fn turn_is_over(&mut self) -> bool {
        let number = self.shared.turn();
        if number != self.turn.number {
            self.turn.opened.clear();
            let opened = std::mem::take(&mut self.turn.opened);
            self.turn = Turn { number, opened, ..Turn::default() };
        }
        let over = self.turn.heads >= TURN_HEADS || self.turn.bytes >= TURN_BYTES;
        if over {
            self.shared.end_turn();
        }
        over
    }

    fn poll_pass(&mut self, cx: &mut Context<'_>, out: &mut Out<'_, '_>) -> Poll<io::Result<bool>> {
        if !self.raw.is_empty() {
            self.pass -= out.take_from(&mut self.raw, self.pass);
            return Poll::Ready(Ok(true));
        }
        if self.pass < BUFFER_BYTES {
            return self.poll_fill(cx, out);
        }
        if out.has_some() {
            return Poll::Pending;
        }
        self.note_progress();
        // The rest of a long frame is read into the library's buffer, which saves a copy.
        let count = ready!(out.poll_read_from(&mut *self.io, cx, self.pass))?;
        self.pass -= count;
        Poll::Ready(Ok(count > 0))
    }

    /// Reads once, unless the library already gets something without.
    fn poll_fill(&mut self, cx: &mut Context<'_>, out: &Out<'_, '_>) -> Poll<io::Result<bool>> {
        if out.has_some() {
            return Poll::Pending;
        }
        self.note_progress();
        if self.raw.capacity() == 0 {
            ready!(self.io.poll_readable(cx))?;
            self.raw = buffers::take_input();
        } else if !self.raw.try_reclaim(BUFFER_BYTES / 2) {
            self.raw.reserve(BUFFER_BYTES);
        }
        let read = poll_read_buf(Pin::new(&mut *self.io), cx, &mut self.raw);
        if self.raw.is_empty() {
            buffers::keep_input(std::mem::take(&mut self.raw));
        }
        Poll::Ready(Ok(ready!(read)? > 0))
    }

    /// Updates whether the watch sees a frame that has begun and not ended.
    fn note_progress(&self) {
        let unfinished = !self.raw.is_empty()
            || self.pass > 0
            || self.skip > 0
            || self.split.is_some()
            || self.block.is_some();
        match unfinished {
            true => self.shared.mark_unfinished(),
            false => self.shared.mark_finished(),
        }
    }

    /// Inspects the frame whose head is at the front of what was read.
    fn admit(&mut self, frame: Frame) -> Result<(), Reason> {
        if let Some(opening) = self.opening.take() {
            // The task that waited for it may have been dropped.
            let _ = opening.send(match frame.kind {
                SETTINGS => Opening::Settings,
                _ => Opening::Other,
            });
        }
        if frame.length > self.limits.frame_max {
            return Err(Reason::FRAME_SIZE_ERROR);
        }
        if let Some(block) = &mut self.block {
            if frame.kind != CONTINUATION || frame.stream != block.stream {
                return Err(Reason::PROTOCOL_ERROR);
            }
            block.left = frame.length;
            block.ends = frame.flags & END_HEADERS != 0;
            self.raw.advance(FRAME_HEAD_LEN);
            self.withhold();
            return Ok(());
        }
        self.shared.count_frame();
        let whole = FRAME_HEAD_LEN + frame.length;
        match frame.kind {
            HEADERS
                if frame.flags & END_HEADERS != 0
                    && whole <= self.raw.len()
                    && !self.are_long_trailers(frame.stream, frame.flags, frame.length) =>
            {
                self.pass = whole;
                self.pass_head(frame.stream, frame.flags, frame.length)?;
            }
            HEADERS => self.begin_block(frame)?,
            // Empty frames have no effect, and the library takes a hundred of them on one
            // connection for an attack, over its whole life.
            DATA if frame.length == 0 && frame.flags & END_STREAM == 0 => self.skip = whole,
            DATA => {
                self.shared.count_data(frame.length);
                match frame.length > PIECE_BYTES {
                    true => self.begin_split(frame),
                    false => self.pass = whole,
                }
            }
            RESET => {
                self.pass = whole;
                self.count_reset(frame.stream)?;
            }
            PUSH_PROMISE => return Err(Reason::PROTOCOL_ERROR),
            UNKNOWN_FROM.. => self.skip = whole,
            _ => self.pass = whole,
        }
        // The library buffers whole frames; only heads and bodies are split here.
        match self.pass > FRAME_HEAD_LEN + PIECE_BYTES && frame.kind != HEADERS {
            true => Err(Reason::FRAME_SIZE_ERROR),
            false => Ok(()),
        }
    }

    /// A stream is reset. One that was opened in the same turn cost a start and a stop for nothing.
    fn count_reset(&mut self, stream: u32) -> Result<(), Reason> {
        if self.turn.opened.contains(&stream) {
            self.early_resets += 2;
        }
        match self.early_resets > RESETS_MAX {
            true => Err(Reason::ENHANCE_YOUR_CALM),
            false => Ok(()),
        }
    }

    fn begin_block(&mut self, frame: Frame) -> Result<(), Reason> {
        let (prefix, padding) = frame.padding.map_or((0, 0), |padding| (1, padding));
        let left = frame.length.checked_sub(prefix + padding).ok_or(Reason::PROTOCOL_ERROR)?;
        self.raw.advance(FRAME_HEAD_LEN + prefix);
        self.skip = padding;
        self.block = Some(Block {
            stream: frame.stream,
            flags: frame.flags & (END_STREAM | PRIORITY),
            bytes: BytesMut::new(),
            charge: Charge::on(self.shared.account()),
            left,
            ends: frame.flags & END_HEADERS != 0,
        });
        self.withhold();
        Ok(())
    }

    /// Buffers the bytes of a head, and passes the head on once it is complete.
    fn withhold(&mut self) {
        let Some(block) = &mut self.block else { return };
        let count = block.left.min(self.raw.len());
        if let Err(reason) = block.take_from(&mut self.raw, count, self.limits.block_max) {
            return self.stop(reason);
        }
        if block.left > 0 || !block.ends {
            return;
        }
        let Some(mut block) = self.block.take() else { return };
        let (stream, flags, length) = (block.stream, block.flags, block.bytes.len());
        if self.are_long_trailers(stream, flags, length) {
            block.refuse_beyond(self.limits.list_max);
        }
        let mut kind = HEADERS;
        let mut first_flags = flags;
        loop {
            let size = block.bytes.len().min(self.limits.frame_max);
            let end = if size == block.bytes.len() { END_HEADERS } else { 0 };
            frame::put_head(&mut self.ready, size, kind, first_flags | end, stream);
            self.ready.extend_from_slice(&block.bytes.split_to(size));
            if end != 0 {
                break;
            }
            (kind, first_flags) = (CONTINUATION, 0);
        }
        if let Err(reason) = self.pass_head(stream, flags, length) {
            self.stop(reason);
        }
    }

    /// Whether the library may leave fields out, which then have to be measured. The last head of a
    /// server that has no body is taken for trailers.
    fn are_long_trailers(&self, stream: u32, flags: u8, length: usize) -> bool {
        flags & END_STREAM != 0
            && measure::is_long(length, self.limits.list_max)
            && stream <= self.opened_max
    }

    /// Counts and charges a head that is about to reach the library.
    fn pass_head(&mut self, stream: u32, flags: u8, length: usize) -> Result<(), Reason> {
        self.turn.heads += 1;
        self.turn.bytes += length;
        self.turn.opened.push(stream);
        self.opened_max = self.opened_max.max(stream);
        self.early_resets = self.early_resets.saturating_sub(1);
        let too_much = |_| Reason::ENHANCE_YOUR_CALM;
        if length > PIECE_BYTES {
            // One entry of the compression table keeps the buffer of its whole head alive.
            self.pinned.add(length).map_err(too_much)?;
            if self.pinned.bytes() > PINNED_BYTES_MAX {
                self.shared.retire();
            }
        }
        if flags & END_STREAM != 0 && length > self.limits.free_trailers {
            self.shared.charge_trailers(stream, length * EXPANSION).map_err(too_much)?;
        }
        Ok(())
    }

    /// Prepares to split a long DATA frame. Padding counts in flow control, so it goes with the
    /// last piece.
    fn begin_split(&mut self, frame: Frame) {
        self.raw.advance(FRAME_HEAD_LEN);
        let mut left = frame.length;
        if let Some(padding) = frame.padding {
            // A long frame is longer than any padding.
            left -= 1 + padding;
            self.raw.advance(1);
        }
        let end_stream = frame.flags & END_STREAM;
        self.split = Some(Split { stream: frame.stream, left, end_stream, padding: frame.padding });
    }

    /// Begins the next piece of a long frame.
    fn next_piece(&mut self) {
        let Some(split) = &mut self.split else { return };
        let size = split.left.min(PIECE_BYTES);
        split.left -= size;
        if split.left > 0 {
            frame::put_head(&mut self.ready, size, DATA, 0, split.stream);
            self.pass = size;
            return;
        }
        let (stream, end_stream) = (split.stream, split.end_stream);
        match split.padding {
            None => frame::put_head(&mut self.ready, size, DATA, end_stream, stream),
            Some(padding) => {
                let length = 1 + size + padding;
                frame::put_head(&mut self.ready, length, DATA, end_stream | PADDED, stream);
                self.ready.put_u8(padding as u8);
            }
        }
        self.pass = size + split.padding.unwrap_or_default();
        self.split = None;
    }

    fn stop(&mut self, reason: Reason) {
        if reason == Reason::ENHANCE_YOUR_CALM {
            memory::count_refusal();
        }
        self.block = None;
        self.shared.stop(reason);
    }
}

impl AsyncRead for FrameGate {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut out = Out::new(buffer);
        while !out.is_full() {
            match self.poll_step(cx, &mut out) {
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(Ok(false)) => break,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending if out.has_some() => break,
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for FrameGate {
    write_through!(io);
}
