//! One buffered HTTP/1 connection, to a client or to an upstream.
//!
//! It reads into one buffer, lends body bytes as slices of it, and buffers output until it is worth
//! a system call. All methods are polled by one task.

use std::io;
use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;
use tokio_util::io::poll_read_buf;

use super::decoder::{BadFraming, Decoder, Step};
use super::encoder::{self, Encoder};
use super::section::Scan;
use crate::buffers::{self, BUFFER_BYTES, STREAM_BUFFER_BYTES};
use crate::io::Io;
use crate::memory::{self, Charge};

/// Below this much free space a read is not worth its system call.
const SPARE_MIN: usize = 2 * 1024;
/// Pieces of a body are copied behind their head up to this size, so that both leave in one plain
/// write; longer ones are written from the read buffer itself.
const GATHER_MAX: usize = 4 * 1024;
/// The most bytes that are buffered before they are written.
const GATHERED_MAX: usize = 8 * 1024;
/// A read buffer may grow to this many bytes whatever is left of the memory budget: enough for the
/// read-ahead of a waiting request, so that admitted work can always continue.
const FORCED_MAX: usize = 32 * 1024;

/// Why no head was read.
#[derive(Debug)]
pub(crate) enum HeadError {
    /// The peer closed the connection in the middle of a head.
    Truncated(Bytes),
    /// The head is longer than allowed.
    TooLarge,
    /// There is no room for it in the memory budget.
    OverBudget,
    /// The connection broke.
    Io(io::Error),
}

/// Why a body ended too soon.
#[derive(Debug)]
pub(crate) enum BodyError {
    /// The peer closed the connection in the middle of the body.
    Truncated,
    /// The framing is broken.
    Framing(BadFraming),
    /// There is no room in the memory budget for what its end may hold.
    OverBudget,
    /// The connection broke.
    Io(io::Error),
}

pub(crate) struct Connection {
    io: Box<dyn Io>,
    input: BytesMut,
    /// Finds the end of the head at the front of the input.
    section: Scan,
    /// The peer will send nothing more.
    ended: bool,
    /// The last read filled the whole buffer.
    filled: bool,
    output: Vec<u8>,
    /// Output before this offset is written.
    written: usize,
    /// The charge for the buffers beyond one of the ordinary size: every connection that waits, for
    /// a request or for a response, has one.
    held: Charge,
    /// Something has been written since the last head was begun.
    pub(crate) touched: bool,
    pub(crate) decoder: Decoder,
    pub(crate) encoder: Encoder,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Connection {
    pub(crate) fn new(io: Box<dyn Io>) -> Connection {
        Connection {
            io,
            input: BytesMut::new(),
            section: Scan::default(),
            ended: false,
            filled: false,
            output: Vec::new(),
            written: 0,
            held: Charge::default(),
            touched: false,
            decoder: Decoder::Done,
            encoder: Encoder::Empty,
            trailers: None,
        }
    }

    /// Takes the connection apart: the stream and the bytes already read from it.
    pub(crate) fn into_parts(self) -> (Box<dyn Io>, BytesMut) {
        (self.io, self.input)
    }

    pub(crate) fn io(&self) -> &dyn Io {
        &*self.io
    }

    /// Bytes read and not yet used.
    pub(crate) fn input(&self) -> &[u8] {
        &self.input
    }

    /// The peer has closed its direction.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Gives unused buffers back to the thread, because the connection is about to wait.
    pub(crate) fn release_buffers(&mut self) {
        self.release_input();
        self.release_output();
    }

    /// Gives the read buffer back, if there is nothing in it.
    pub(crate) fn release_input(&mut self) {
        if self.input.is_empty() && self.input.capacity() > 0 {
            buffers::keep_input(std::mem::take(&mut self.input));
            self.held.lower_to(0);
        }
    }

    /// Gives the write buffer back, if all of it is written.
    pub(crate) fn release_output(&mut self) {
        if !self.has_output() && self.output.capacity() > 0 {
            self.written = 0;
            buffers::keep_output(std::mem::take(&mut self.output));
        }
    }

    /// Reads once. Ready with zero at the end of the stream.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.ended {
            return Poll::Ready(Ok(0));
        }
        ready!(self.poll_room(cx))?;
        let room = self.input.capacity() - self.input.len();
        let count = ready!(poll_read_buf(Pin::new(&mut *self.io), cx, &mut self.input))?;
        self.ended = count == 0;
        self.filled = count == room;
        Poll::Ready(Ok(count))
    }

    /// Makes room to read into. A long body that fills its buffer gets a larger one; a connection
    /// without a buffer gets one only when there is something to read.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let streams = self.filled && self.decoder.is_long(STREAM_BUFFER_BYTES);
        let wanted = if streams { STREAM_BUFFER_BYTES } else { BUFFER_BYTES };
        if self.input.is_empty() && self.input.try_reclaim(wanted) {
            return Poll::Ready(Ok(()));
        }
        // Large buffers only make things faster, so they are the first to go when memory is short.
        let large = streams
            && self.input.is_empty()
            && memory::is_ample()
            && self.held.raise_to(STREAM_BUFFER_BYTES).is_ok();
        if large {
            self.input = BytesMut::with_capacity(STREAM_BUFFER_BYTES);
        } else if self.input.capacity() == 0 {
            ready!(self.io.poll_readable(cx))?;
            self.input = buffers::take_input();
            if self.output.capacity() > 0 {
                self.held.force_to(BUFFER_BYTES);
            }
        } else if self.input.capacity() - self.input.len() < SPARE_MIN {
            self.grow()?;
        }
        Poll::Ready(Ok(()))
    }

    /// Makes room behind bytes that cannot be used yet.
    fn grow(&mut self) -> io::Result<()> {
        // Growing doubles.
        let size = 2 * (self.input.len() + BUFFER_BYTES);
        match size <= FORCED_MAX {
            true => self.held.force_to(size - BUFFER_BYTES),
            false => self.held.raise_to(size).map_err(|_| over_budget())?,
        }
        self.input.reserve(BUFFER_BYTES);
        Ok(())
    }

    /// Ready with one whole head, or with `None` when the peer closed instead of sending one.
    pub(crate) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        limit: usize,
    ) -> Poll<Result<Option<Bytes>, HeadError>> {
        loop {
            if let Some(end) = self.find_head_end() {
                self.section = Scan::default();
                if end > limit {
                    return Poll::Ready(Err(HeadError::TooLarge));
                }
                return Poll::Ready(Ok(Some(self.input.split_to(end).freeze())));
            }
            if self.input.len() > limit {
                return Poll::Ready(Err(HeadError::TooLarge));
            }
            if ready!(self.poll_fill(cx)).map_err(head_error)? == 0 {
                let rest = self.input.split().freeze();
                return Poll::Ready(match rest.is_empty() {
                    true => Ok(None),
                    false => Err(HeadError::Truncated(rest)),
                });
            }
        }
    }

    /// The offset behind the empty line, with blank lines in front of the head removed: some
    /// senders put them behind a body.
    fn find_head_end(&mut self) -> Option<usize> {
        let noise = |byte: &u8| matches!(byte, b'\r' | b'\n');
        let blank = self.input.iter().take_while(|byte| noise(byte)).count();
        self.input.advance(blank);
        self.section.end(&self.input)
    }

    /// Ready with true when [`Connection::data`] has something, with false at the body's end.
    pub(crate) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, BodyError>> {
        loop {
            let step = self.decoder.step(&mut self.input, &mut self.trailers);
            match step.map_err(BodyError::Framing)? {
                Step::Data(_) => return Poll::Ready(Ok(true)),
                Step::End => return Poll::Ready(Ok(false)),
                Step::NeedInput => {}
            }
            if ready!(self.poll_fill(cx)).map_err(body_error)? == 0 {
                return Poll::Ready(match self.decoder.end_of_input() {
                    true => Ok(false),
                    false => Err(BodyError::Truncated),
                });
            }
        }
    }

    /// Whether the rest of the message is in the buffer. A body with broken framing counts as
    /// whole, because more input cannot mend it.
    pub(crate) fn holds_whole_message(&self) -> bool {
        let (mut decoder, mut input) = (self.decoder.clone(), self.input.clone());
        loop {
            match decoder.step(&mut input, &mut None) {
                Ok(Step::Data(count)) => {
                    decoder.consumed(count);
                    input.advance(count);
                }
                Ok(Step::NeedInput) => return false,
                Ok(Step::End) | Err(_) => return true,
            }
        }
    }

    /// The body bytes at hand, after [`Connection::poll_data`] was ready with true.
    pub(crate) fn data(&mut self) -> &[u8] {
        match self.decoder.step(&mut self.input, &mut self.trailers) {
            Ok(Step::Data(count)) => &self.input[..count],
            _ => &[],
        }
    }

    /// Takes `count` body bytes away.
    pub(crate) fn consume(&mut self, count: usize) {
        self.decoder.consumed(count);
        self.input.advance(count);
    }

    /// The buffer that heads are written to.
    pub(crate) fn output(&mut self) -> &mut Vec<u8> {
        if self.output.capacity() == 0 {
            self.output = buffers::take_output();
            if self.input.capacity() > 0 {
                self.held.force_to(BUFFER_BYTES);
            }
        }
        &mut self.output
    }

    /// All output is written. A buffer that grew for one long head is dropped at once, not when the
    /// exchange ends: its response may take hours.
    fn output_is_written(&mut self) {
        self.written = 0;
        match self.output.capacity() > 2 * BUFFER_BYTES {
            true => self.output = Vec::new(),
            false => self.output.clear(),
        }
    }

    /// Accepts some of `data` as body. Short pieces are buffered, long ones are written at once;
    /// the caller calls again with the rest.
    pub(crate) fn poll_write_data(
        &mut self,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let allowed = match self.encoder {
            Encoder::Empty => return Poll::Ready(Ok(data.len())),
            Encoder::Length(0) => return Poll::Ready(Err(too_long())),
            Encoder::Length(left) => usize::try_from(left).unwrap_or(usize::MAX).min(data.len()),
            Encoder::Chunked(owed) if owed > 0 => owed.min(data.len()),
            Encoder::Chunked(_) | Encoder::UntilClose => data.len(),
        };
        let pending = self.output.len() - self.written;
        // A tunnel is not buffered, except behind a head, which has to be written first.
        let alone = pending == 0 && self.encoder == Encoder::UntilClose;
        if !alone && allowed <= GATHER_MAX && pending + allowed <= GATHERED_MAX {
            self.gather(&data[..allowed]);
            return Poll::Ready(Ok(allowed));
        }
        if self.encoder == Encoder::Chunked(0) {
            encoder::chunk_size(self.output(), allowed);
            self.encoder = Encoder::Chunked(allowed);
        }
        let accepted = ready!(self.poll_write_through(cx, &data[..allowed]))?;
        self.encoded(accepted);
        Poll::Ready(Ok(accepted))
    }

    fn gather(&mut self, data: &[u8]) {
        let chunked = self.encoder == Encoder::Chunked(0);
        let output = self.output();
        if chunked {
            encoder::chunk_size(output, data.len());
        }
        output.extend_from_slice(data);
        if chunked {
            output.extend_from_slice(b"\r\n");
        } else {
            self.encoded(data.len());
        }
    }

    /// Counts `count` bytes of the body as buffered or written.
    fn encoded(&mut self, count: usize) {
        match &mut self.encoder {
            Encoder::Length(left) => *left -= count as u64,
            Encoder::Chunked(owed) => {
                *owed -= count;
                if *owed == 0 {
                    self.output().extend_from_slice(b"\r\n");
                }
            }
            Encoder::Empty | Encoder::UntilClose => {}
        }
    }

    /// Writes the buffered output and `data` behind it, without copying. Ready with how many bytes
    /// of
    /// `data` were written, which is at least one unless `data` is empty.
    fn poll_write_through(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            let pending = &self.output[self.written..];
            let slices = [IoSlice::new(pending), IoSlice::new(data)];
            let count = match pending.len() {
                0 => ready!(Pin::new(&mut *self.io).poll_write(cx, data))?,
                _ if self.io.is_write_vectored() => {
                    ready!(Pin::new(&mut *self.io).poll_write_vectored(cx, &slices))?
                }
                _ => ready!(Pin::new(&mut *self.io).poll_write(cx, pending))?,
            };
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.touched = true;
            let from_output = count.min(pending.len());
            self.written += from_output;
            if self.written == self.output.len() {
                self.output_is_written();
            }
            if count > from_output {
                return Poll::Ready(Ok(count - from_output));
            }
        }
    }

    /// Ends the body, with trailers where the framing can carry them.
    pub(crate) fn finish(&mut self, trailers: Option<&HeaderMap>) -> io::Result<()> {
        match self.encoder {
            Encoder::Chunked(0) => {
                let output = self.output();
                output.extend_from_slice(b"0\r\n");
                if let Some(trailers) = trailers {
                    encoder::fields(output, trailers);
                }
                output.extend_from_slice(b"\r\n");
            }
            Encoder::Length(0) | Encoder::Empty | Encoder::UntilClose => {}
            Encoder::Chunked(_) | Encoder::Length(_) => {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "body is incomplete"));
            }
        }
        if self.encoder != Encoder::UntilClose {
            self.encoder = Encoder::Empty;
        }
        Ok(())
    }

    /// Whether output is buffered.
    pub(crate) fn has_output(&self) -> bool {
        self.written < self.output.len()
    }

    /// Writes the buffered output.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.has_output() {
            let pending = &self.output[self.written..];
            let count = ready!(Pin::new(&mut *self.io).poll_write(cx, pending))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.touched = true;
            self.written += count;
        }
        self.output_is_written();
        Pin::new(&mut *self.io).poll_flush(cx)
    }

    /// Closes the sending direction, after the buffered output is written.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_flush(cx))?;
        Pin::new(&mut *self.io).poll_shutdown(cx)
    }

    /// Discards what was read.
    pub(crate) fn discard_input(&mut self) {
        self.input.clear();
        self.section = Scan::default();
    }

    /// Treats everything that follows as one opaque stream, in both directions.
    pub(crate) fn become_tunnel(&mut self) {
        self.decoder = Decoder::UntilClose;
        self.encoder = Encoder::UntilClose;
    }
}

fn over_budget() -> io::Error {
    io::Error::new(io::ErrorKind::OutOfMemory, "the memory budget is used up")
}

fn head_error(error: io::Error) -> HeadError {
    match error.kind() {
        io::ErrorKind::OutOfMemory => HeadError::OverBudget,
        _ => HeadError::Io(error),
    }
}

fn body_error(error: io::Error) -> BodyError {
    match error.kind() {
        io::ErrorKind::OutOfMemory => BodyError::OverBudget,
        _ => BodyError::Io(error),
    }
}

fn too_long() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "body is longer than declared")
}
