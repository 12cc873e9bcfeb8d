//! What a peer says first, overheard: it tells a controller from whatever else may listen there.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

/// First byte of HTTP/2's first frame, SETTINGS: the high byte of a length that is far below 64 KiB
/// (RFC 9113, 3.4 and 6.5).
const SETTINGS_BYTE: u8 = 0;

/// First byte of a TLS alert, which is what TLS says to whoever does not speak it (RFC 8446, 5.1).
const TLS_ALERT_BYTE: u8 = 21;

/// What was heard first.
#[derive(Debug)]
pub(crate) enum FirstWord {
    /// A peer that speaks HTTP/2.
    Http2,
    /// One that speaks TLS, where we do not.
    Tls,
    /// One that speaks something else.
    Other,
    /// The end of the stream.
    None,
    /// Why there is nothing to hear.
    Error(io::Error),
}

/// A stream whose first word is told.
#[derive(Debug)]
pub(crate) struct Overheard<T> {
    stream: T,
    heard: Option<oneshot::Sender<FirstWord>>,
}

impl<T> Overheard<T> {
    /// Tells `heard` the first word that is read from `stream`.
    pub(crate) fn new(stream: T, heard: oneshot::Sender<FirstWord>) -> Self {
        Self { stream, heard: Some(heard) }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Overheard<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut self.stream).poll_read(context, buffer));
        let Some(heard) = self.heard.take() else { return Poll::Ready(read) };
        let (word, read) = match read {
            Ok(()) => (word(buffer.filled().get(before)), Ok(())),
            // Whoever waits for the word is told why; here it is enough that there is none.
            Err(error) => {
                let kind = error.kind();
                (FirstWord::Error(error), Err(kind.into()))
            }
        };
        // When nobody waits any more nobody has to know.
        let _ = heard.send(word);
        Poll::Ready(read)
    }
}

fn word(first: Option<&u8>) -> FirstWord {
    match first {
        None => FirstWord::None,
        Some(&SETTINGS_BYTE) => FirstWord::Http2,
        Some(&TLS_ALERT_BYTE) => FirstWord::Tls,
        Some(_) => FirstWord::Other,
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Overheard<T> {
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
    async fn only_the_first_word_is_told_and_all_is_read() {
        for (said, expected) in
            [(&b"\0\0\0\x04\0"[..], "Http2"), (b"\x15\x03\x03", "Tls"), (b"HTTP/1.1 400", "Other")]
        {
            let (ours, mut theirs) = tokio::io::duplex(64);
            let (heard, first_word) = oneshot::channel();
            let mut stream = Overheard::new(ours, heard);
            theirs.write_all(said).await.expect("there is room");
            drop(theirs);
            let mut read = Vec::new();
            stream.read_to_end(&mut read).await.expect("readable");
            assert_eq!(read, said);
            let word = first_word.await.expect("it is told");
            assert_eq!(format!("{word:?}"), expected);
        }
    }
}
