//! The two halves of an HTTP/2 stream, in the same shape as an HTTP/1 connection: bytes are
//! looked at, written elsewhere, and only then taken, so flow control reaches from end to end.

use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h2::{Reason, RecvStream, SendStream};
use http::HeaderMap;

/// The most bytes handed to the HTTP/2 library at once: a slow reader holds at most about this
/// much of our memory per stream.
const PIECE_MAX: usize = 64 * 1024;

/// Receives a body.
pub(crate) struct Incoming {
    stream: RecvStream,
    piece: Bytes,
    ended: bool,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Incoming {
    pub(crate) fn new(stream: RecvStream) -> Incoming {
        let ended = stream.is_end_stream();
        Incoming { stream, piece: Bytes::new(), ended, trailers: None }
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
                    self.trailers = ready!(self.stream.poll_trailers(cx))?;
                    self.ended = true;
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
        // Fails only when the stream is gone, which the next poll reports.
        let _ = self.stream.flow_control().release_capacity(count);
    }
}

/// Sends a body.
pub(crate) struct Outgoing {
    stream: SendStream<Bytes>,
    /// What is still owed of a declared length; the last byte then ends the stream.
    left: Option<u64>,
    ended: bool,
}

impl Outgoing {
    /// `left` is the declared length, if there is one. `ended` says that the head already
    /// ended the stream.
    pub(crate) fn new(stream: SendStream<Bytes>, left: Option<u64>, ended: Ended) -> Outgoing {
        Outgoing { stream, left, ended: ended == Ended::Yes }
    }

    /// Accepts some of `data`, as flow control allows.
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
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(count as u64).ok_or(Reason::INTERNAL_ERROR)?;
        }
        let last = self.left == Some(0);
        self.stream.send_data(Bytes::copy_from_slice(&data[..count]), last)?;
        self.ended = last;
        Poll::Ready(Ok(count))
    }

    /// Ends the body.
    pub(crate) fn finish(&mut self, trailers: Option<HeaderMap>) -> Result<(), h2::Error> {
        if self.ended {
            return Ok(());
        }
        self.ended = true;
        match (trailers, self.left) {
            (Some(trailers), _) => self.stream.send_trailers(trailers),
            (None, None | Some(0)) => self.stream.send_data(Bytes::new(), true),
            (None, Some(_)) => {
                self.stream.send_reset(Reason::INTERNAL_ERROR);
                Err(Reason::INTERNAL_ERROR.into())
            }
        }
    }

    /// Cuts the stream off.
    pub(crate) fn reset(&mut self, reason: Reason) {
        self.stream.send_reset(reason);
    }

    /// Ready when the peer has reset the stream.
    pub(crate) fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.stream.poll_reset(cx).map(|_| ())
    }
}

/// Whether a head was the whole message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Yes,
    No,
}
