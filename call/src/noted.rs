//! A stream that notes why it failed. HTTP's library takes an error that is read between two
//! messages for the end of the connection, and says nothing of it: so it is with the alert by which
//! a peer refuses a certificate.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::Mutex;
use tidegate_reporter::transport::{Stream, Target};
use tidegate_trust::TlsMismatch;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Why a stream failed, once it has.
pub(crate) type Note = Arc<Mutex<Option<TlsMismatch>>>;

/// A stream to a peer.
pub(crate) struct Noted {
    stream: Box<dyn Stream>,
    peer: Target,
    note: Note,
}

impl Noted {
    /// Notes in the second why the first fails.
    pub(crate) fn new(stream: Box<dyn Stream>, peer: Target) -> (Self, Note) {
        let note = Note::default();
        (Self { stream, peer, note: Arc::clone(&note) }, note)
    }

    fn noted<T>(&self, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(error)) = &outcome
            && let Some(mismatch) = self.peer.mismatch(error)
        {
            self.note.lock().get_or_insert(mismatch);
        }
        outcome
    }
}

impl AsyncRead for Noted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.noted(read)
    }
}

impl AsyncWrite for Noted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.noted(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.noted(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
