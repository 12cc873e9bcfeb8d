//! The byte streams an exchange runs over, behind one object-safe trait.

use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// The methods of `AsyncWrite`, each passed on to the same method of a field. For streams that
/// change what is read and nothing of what is written.
macro_rules! write_through {
    ($field:tt) => {
        fn poll_write(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            data: &[u8],
        ) -> Poll<io::Result<usize>> {
            Pin::new(&mut self.$field).poll_write(cx, data)
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.$field).poll_flush(cx)
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.$field).poll_shutdown(cx)
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            slices: &[io::IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            Pin::new(&mut self.$field).poll_write_vectored(cx, slices)
        }

        fn is_write_vectored(&self) -> bool {
            self.$field.is_write_vectored()
        }
    };
}
pub(crate) use write_through;

/// Resolves when a connection is broken.
pub(crate) type Breakage = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A connection to a client or to an upstream.
///
/// The hot path calls it about four times per exchange, so one virtual call each is cheap, and
/// the whole data plane is compiled once instead of once per kind of stream.
pub(crate) trait Io: AsyncRead + AsyncWrite + Unpin + Send {
    /// Resolves when reading may make progress, so that an idle connection need not own a
    /// buffer while it waits. Streams that cannot detect that are always ready.
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let _ = cx;
        Poll::Ready(Ok(()))
    }

    /// Whether an idle connection is still open and silent. Costs no system call unless the
    /// event loop has already reported something.
    fn is_quiet(&self) -> bool {
        true
    }

    /// Resolves when the connection breaks, which no read reports after the peer has ended its own
    /// direction. `None` where that cannot be detected.
    fn breakage(&self) -> Option<Breakage> {
        None
    }

    /// Makes the coming close visible as a reset instead of an orderly end.
    fn reset_on_close(&self) {}
}

impl Io for TcpStream {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_read_ready(cx)
    }

    fn is_quiet(&self) -> bool {
        would_block(self.try_read(&mut [0]))
    }

    fn breakage(&self) -> Option<Breakage> {
        // A second descriptor, because the first has already reported its end of input.
        let copy = self.as_fd().try_clone_to_owned().ok()?;
        let stream = TcpStream::from_std(copy.into()).ok()?;
        Some(Box::pin(async move {
            // It fails only when the runtime ends, and the connection with it.
            let _ = stream.ready(Interest::ERROR).await;
        }))
    }

    fn reset_on_close(&self) {
        // A failure only means that the peer sees an orderly close instead.
        let _ = self.set_zero_linger();
    }
}

impl Io for UnixStream {
    fn breakage(&self) -> Option<Breakage> {
        let copy = self.as_fd().try_clone_to_owned().ok()?;
        let stream = UnixStream::from_std(copy.into()).ok()?;
        Some(Box::pin(async move {
            let _ = stream.ready(Interest::ERROR).await;
        }))
    }

    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_read_ready(cx)
    }

    fn is_quiet(&self) -> bool {
        would_block(self.try_read(&mut [0]))
    }
}

fn would_block(read: io::Result<usize>) -> bool {
    matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

/// Any other stream: TLS, an in-memory pipe.
pub(crate) struct Opaque<T>(pub(crate) T);

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for Opaque<T> {}

impl<T: AsyncRead + Unpin> AsyncRead for Opaque<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Opaque<T> {
    write_through!(0);
}
