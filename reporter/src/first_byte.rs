//! The first byte that a peer sends: tells a controller from any other server at its address.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

/// First byte of HTTP/2's first frame, SETTINGS: the high byte of a length that is far below 64 KiB
/// (RFC 9113, 3.4 and 6.5).
const SETTINGS_BYTE: u8 = 0;

/// First byte of a TLS alert, which a TLS server sends to a plaintext client (RFC 8446, 5.1).
const TLS_ALERT_BYTE: u8 = 21;

/// What the first byte shows.
#[derive(Debug)]
pub(crate) enum FirstByte {
    /// A peer that speaks HTTP/2.
    Http2,
    /// A peer that speaks TLS, where we do not.
    Tls,
    /// A peer that speaks another protocol.
    Other,
    /// The peer closed the stream without a byte.
    None,
    /// The read failed.
    Error(io::Error),
}

/// A stream whose first byte is reported.
#[derive(Debug)]
pub(crate) struct Peeked<T> {
    stream: T,
    observer: Option<oneshot::Sender<FirstByte>>,
}

impl<T> Peeked<T> {
    /// Sends to `observer` what the first read from `stream` shows.
    pub(crate) fn new(stream: T, observer: oneshot::Sender<FirstByte>) -> Self {
        Self { stream, observer: Some(observer) }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Peeked<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut self.stream).poll_read(context, buffer));
        let Some(observer) = self.observer.take() else { return Poll::Ready(read) };
        let (classified, read) = match read {
            Ok(()) => (classify(buffer.filled().get(before)), Ok(())),
            // The observer receives the error; the reader receives the end of the stream.
            Err(error) => {
                let kind = error.kind();
                (FirstByte::Error(error), Err(kind.into()))
            }
        };
        // The observer may have stopped waiting.
        let _ = observer.send(classified);
        Poll::Ready(read)
    }
}

fn classify(first: Option<&u8>) -> FirstByte {
    match first {
        None => FirstByte::None,
        Some(&SETTINGS_BYTE) => FirstByte::Http2,
        Some(&TLS_ALERT_BYTE) => FirstByte::Tls,
        Some(_) => FirstByte::Other,
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Peeked<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn the_first_byte_is_classified_and_all_is_read() {
        for (said, expected) in
            [(&b"\0\0\0\x04\0"[..], "Http2"), (b"\x15\x03\x03", "Tls"), (b"HTTP/1.1 400", "Other")]
        {
            let (ours, mut theirs) = tokio::io::duplex(64);
            let (observer, first_byte) = oneshot::channel();
            let mut stream = Peeked::new(ours, observer);
            theirs.write_all(said).await.expect("there is room");
            drop(theirs);
            let mut read = Vec::new();
            stream.read_to_end(&mut read).await.expect("readable");
            assert_eq!(read, said);
            let classified = first_byte.await.expect("it is told");
            assert_eq!(format!("{classified:?}"), expected);
        }
    }
}
