//! The two halves of an HTTP/2 stream, with the interface of an HTTP/1 connection: bytes are
//! borrowed, written to the other side, and only then consumed, so flow control is end to end.

use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes};
use h2::{Reason, RecvStream, SendStream};
use http::header::{CONTENT_LENGTH, HeaderMap, HeaderValue};
use parking_lot::Mutex;

use crate::h1::fields::{Writer, decimal};
use crate::memory::{self, Account, Charge};

/// The most bytes given to the HTTP/2 library at once: a slow reader holds at most about this much
/// memory per stream.
const PIECE_MAX: usize = 64 * 1024;
/// Bytes that the HTTP/2 library gathers for a peer that reads slowly, per stream.
pub(crate) const SEND_BUFFER_MAX: usize = 64 * 1024;
/// Bytes of a body that [`STREAM_BYTES`] includes; most bodies are no longer.
const FREE_BYTES: usize = 4 * 1024;
/// Bytes of the one piece that may be unwritten when memory is short; included as well.
const UNCHARGED_BYTES: usize = 2 * 1024;

/// Bytes that a stream holds beside its head: its task, the library's state of it, and the first
/// and the last piece of what it sends.
pub(crate) const STREAM_BYTES: usize = 18 * 1024;
/// The same of a stream to an upstream, which has no task of its own.
pub(crate) const UPSTREAM_STREAM_BYTES: usize = 8 * 1024;

/// Whether a value begins or ends with a blank, which makes a message malformed (RFC 9113, section
/// 8.2.1): the next parser may trim it, and then read another value than the relay did.
pub(crate) fn has_outer_blanks(headers: &HeaderMap) -> bool {
    let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let has_blank = |value: &HeaderValue| {
        is_blank(value.as_bytes().first()) || is_blank(value.as_bytes().last())
    };
    headers.values().any(has_blank)
}

/// Removes `Content-Length` from a head. As in HTTP/1 it has to be the same number each time.
pub(crate) fn take_length(headers: &mut HeaderMap) -> Result<Option<u64>, BadLength> {
    let mut length = None;
    for value in headers.get_all(CONTENT_LENGTH) {
        let value_length = decimal(value.as_bytes()).ok_or(BadLength)?;
        if length.replace(value_length).is_some_and(|other| other != value_length) {
            return Err(BadLength);
        }
    }
    if length.is_some() {
        headers.remove(CONTENT_LENGTH);
    }
    Ok(length)
}

/// `Content-Length` is not one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadLength;

/// Receives a body.
pub(crate) struct Incoming {
    stream: RecvStream,
    writer: Writer,
    piece: Bytes,
    ended: bool,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Incoming {
    pub(crate) fn new(stream: RecvStream, writer: Writer) -> Incoming {
        let ended = stream.is_end_stream();
        Incoming { stream, writer, piece: Bytes::new(), ended, trailers: None }
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.ended && self.piece.is_empty()
    }

    /// Ready with true when [`Incoming::data`] has something, with false at the end.
    pub(crate) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, h2::Error>> {
        loop {
            if !self.piece.is_empty() {
                return Poll::Ready(Ok(true));
            }
            if self.ended {
                return Poll::Ready(Ok(false));
            }
            match ready!(self.stream.poll_data(cx)) {
                Some(piece) => self.piece = piece?,
                None => {
                    let trailers = ready!(self.stream.poll_trailers(cx))?;
                    self.ended = true;
                    if self.writer == Writer::Client
                        && trailers.as_ref().is_some_and(has_outer_blanks)
                    {
                        return Poll::Ready(Err(Reason::PROTOCOL_ERROR.into()));
                    }
                    self.trailers = trailers;
                }
            }
        }
    }

    pub(crate) fn data(&self) -> &[u8] {
        &self.piece
    }

    /// Takes `count` bytes away and lets the sender send as many more.
    pub(crate) fn consume(&mut self, count: usize) {
        self.piece.advance(count);
        // Fails only when the stream has ended, which the next poll reports.
        let _ = self.stream.flow_control().release_capacity(count);
    }
}

/// Sends a body.
pub(crate) struct Outgoing {
    stream: SendStream<Piece>,
    /// Bytes of a declared length that are still to be sent; the last byte then ends the stream.
    left: Option<u64>,
    ended: bool,
    /// Bytes that may still be sent before pieces are charged: a stream's own charge includes them.
    free: usize,
    account: Account,
    /// The charge for the stream until the last piece is written, where it may outlive its
    /// exchange.
    of_stream: Option<Arc<Charge>>,
    /// Whether a piece is in flight that could not be charged, because memory is short.
    uncharged: Option<Arc<Outstanding>>,
}

impl Outgoing {
    /// `left` is the declared length, if there is one. `ended` means that the head already
    /// ended the stream. What is sent is charged to `account` until it is written, and `of_stream`
    /// is kept as long.
    pub(crate) fn new(
        stream: SendStream<Piece>,
        left: Option<u64>,
        ended: Ended,
        account: Account,
        of_stream: Option<Arc<Charge>>,
    ) -> Outgoing {
        let ended = ended == Ended::Yes;
        Outgoing { stream, left, ended, free: FREE_BYTES, account, of_stream, uncharged: None }
    }

    /// Accepts some of `data`, as flow control and the memory budget allow.
    pub(crate) fn poll_write_data(
        &mut self,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<Result<usize, h2::Error>> {
        if self.ended {
            return Poll::Ready(Ok(data.len()));
        }
        let wanted = data.len().min(PIECE_MAX);
        let mut capacity = self.stream.capacity();
        if capacity == 0 {
            self.stream.reserve_capacity(wanted);
            capacity = match ready!(self.stream.poll_capacity(cx)) {
                Some(capacity) => capacity?,
                None => return Poll::Ready(Err(Reason::CANCEL.into())),
            };
        }
        let count = capacity.min(wanted);
        if count == 0 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let hold = ready!(self.poll_hold(cx, count));
        let count = count.min(hold.bytes_max);
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(count as u64).ok_or(Reason::INTERNAL_ERROR)?;
        }
        let last = self.left == Some(0);
        let piece = self.piece(Bytes::copy_from_slice(&data[..count]), hold);
        self.stream.send_data(piece, last)?;
        self.ended = last;
        Poll::Ready(Ok(count))
    }

    fn piece(&self, bytes: Bytes, hold: Hold) -> Piece {
        Piece { bytes, _hold: hold, _of_stream: self.of_stream.clone() }
    }

    /// Charges a piece of `count` bytes. Where there is no room for it, one short piece at a time
    /// may still be in flight, so that a message that has begun can always end.
    fn poll_hold(&mut self, cx: &mut Context<'_>, count: usize) -> Poll<Hold> {
        if let Some(free) = self.free.checked_sub(count) {
            self.free = free;
            return Poll::Ready(Hold::nothing());
        }
        let mut charge = Charge::on(&self.account);
        if memory::is_ample() && charge.add(count).is_ok() {
            return Poll::Ready(Hold { _charge: charge, uncharged: None, bytes_max: count });
        }
        let uncharged = self.uncharged.get_or_insert_default();
        ready!(uncharged.poll_begin(cx));
        let uncharged = Some(uncharged.clone());
        Poll::Ready(Hold { _charge: charge, uncharged, bytes_max: UNCHARGED_BYTES })
    }

    /// Ends the body.
    pub(crate) fn finish(&mut self, trailers: Option<HeaderMap>) -> Result<(), h2::Error> {
        if self.ended {
            return Ok(());
        }
        self.ended = true;
        match (trailers, self.left) {
            (Some(mut trailers), _) => {
                let cost = memory::fields_bytes(&trailers);
                if cost > FREE_BYTES {
                    let mut charge = Charge::on(&self.account);
                    if charge.add(cost).is_err() {
                        memory::count_refusal();
                        self.stream.send_reset(Reason::ENHANCE_YOUR_CALM);
                        return Err(Reason::ENHANCE_YOUR_CALM.into());
                    }
                    memory::attach(&mut trailers, (charge, self.of_stream.clone()));
                }
                self.stream.send_trailers(trailers)
            }
            (None, None | Some(0)) => {
                let last = self.piece(Bytes::new(), Hold::default());
                self.stream.send_data(last, true)
            }
            (None, Some(_)) => {
                self.stream.send_reset(Reason::INTERNAL_ERROR);
                Err(Reason::INTERNAL_ERROR.into())
            }
        }
    }

    /// Resets the stream.
    pub(crate) fn reset(&mut self, reason: Reason) {
        self.stream.send_reset(reason);
    }

    /// Ready when the peer has reset the stream.
    pub(crate) fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.stream.poll_reset(cx).map(|_| ())
    }
}

/// Bytes that are queued for a peer. The library drops them once they are written, and only then is
/// their charge given back.
#[derive(Debug)]
pub(crate) struct Piece {
    bytes: Bytes,
    _hold: Hold,
    _of_stream: Option<Arc<Charge>>,
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }
}

/// The charge for a piece.
#[derive(Debug, Default)]
struct Hold {
    _charge: Charge,
    uncharged: Option<Arc<Outstanding>>,
    bytes_max: usize,
}

impl Hold {
    /// For a piece that the stream's own charge includes.
    fn nothing() -> Hold {
        Hold { _charge: Charge::default(), uncharged: None, bytes_max: usize::MAX }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(uncharged) = &self.uncharged {
            uncharged.end();
        }
    }
}

/// Whether an uncharged piece is in flight.
#[derive(Debug, Default)]
struct Outstanding {
    state: Mutex<(bool, Option<Waker>)>,
}

impl Outstanding {
    /// Ready when no such piece is in flight; from then on one is.
    fn poll_begin(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state.lock();
        if state.0 {
            state.1 = Some(cx.waker().clone());
            return Poll::Pending;
        }
        state.0 = true;
        Poll::Ready(())
    }

    fn end(&self) {
        let waker = {
            let mut state = self.state.lock();
            state.0 = false;
            state.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Whether a head was the whole message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Yes,
    No,
}
