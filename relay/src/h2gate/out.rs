//! The library's read buffer, and whether a read has filled some of it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::ReadBuf;

use crate::io::Io;

/// The buffer that the library passed to a read.
pub(super) struct Out<'a, 'b> {
    buffer: &'a mut ReadBuf<'b>,
    before: usize,
}

impl<'a, 'b> Out<'a, 'b> {
    pub(super) fn new(buffer: &'a mut ReadBuf<'b>) -> Out<'a, 'b> {
        let before = buffer.filled().len();
        Out { buffer, before }
    }

    pub(super) fn is_full(&self) -> bool {
        self.buffer.remaining() == 0
    }

    /// Whether something has been filled in.
    pub(super) fn has_some(&self) -> bool {
        self.buffer.filled().len() > self.before
    }

    /// Moves up to `most` bytes, and gives their number.
    pub(super) fn take_from(&mut self, bytes: &mut BytesMut, most: usize) -> usize {
        let count = most.min(bytes.len()).min(self.buffer.remaining());
        self.buffer.put_slice(&bytes[..count]);
        bytes.advance(count);
        count
    }

    /// Reads up to `most` bytes. Ready with how many.
    pub(super) fn poll_read_from(
        &mut self,
        io: &mut dyn Io,
        cx: &mut Context<'_>,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        let most = most.min(self.buffer.remaining());
        let mut part = ReadBuf::new(self.buffer.initialize_unfilled_to(most));
        ready!(Pin::new(io).poll_read(cx, &mut part))?;
        let count = part.filled().len();
        self.buffer.advance(count);
        Poll::Ready(Ok(count))
    }
}
