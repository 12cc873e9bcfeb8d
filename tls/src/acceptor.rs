//! From a socket to a connection that is served: the handshake, within its bounds.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustls::ServerConfig;
use tidegate_relay::memory::Reservation;
use tidegate_relay::metrics::ConnectionFailure;
use tidegate_relay::{Handler, Server};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How long a client may take for its handshake. It is two round trips and some milliseconds of
/// work; what takes longer holds memory for nothing.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// What a client may send until the handshake is done. Hellos take 300 bytes to 3 KiB, also with
/// keys that withstand quantum computers; the library alone would gather 64 KiB of one.
const HELLO_BYTES_MAX: usize = 16 << 10;

/// What a handshake that has begun may hold: what its client sent, and the library's state.
const HANDSHAKE_BYTES: usize = HELLO_BYTES_MAX + (8 << 10);

/// What a TLS connection begins with: a handshake record.
const TLS_HANDSHAKE: u8 = 22;

/// Go's response to plain HTTP on a TLS port.
const PLAIN_ON_TLS: &[u8] =
    b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";

/// Agrees on TLS with clients. Cheap to clone.
#[derive(Clone)]
pub struct Acceptor {
    tls: TlsAcceptor,
    timeout: Duration,
}

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Acceptor").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

/// How a handshake ended.
enum Handshake {
    Done(Box<TlsStream<Measured>>),
    /// The client closed without a byte, as a probe does that only tests whether the port is open.
    Empty,
    Failed,
}

impl Acceptor {
    /// Speaks TLS by this configuration. A handshake may take as long as `timeout`, and
    /// [`HANDSHAKE_TIMEOUT`] at most.
    #[must_use]
    pub fn new(config: Arc<ServerConfig>, timeout: Duration) -> Self {
        Self { tls: TlsAcceptor::from(config), timeout: timeout.min(HANDSHAKE_TIMEOUT) }
    }

    /// Serves one connection until it closes. One that speaks no TLS is told so, where it speaks
    /// HTTP, and closed.
    ///
    /// Not cancel safe: the exchange in flight is cut short.
    pub async fn serve<H: Handler>(&self, server: &Server<H>, stream: TcpStream, peer: SocketAddr) {
        // A failure costs latency, not correctness.
        let _ = stream.set_nodelay(true);
        let handshake = tokio::time::timeout(self.timeout, self.agree(stream));
        // Boxed, because it is over soon and its connection may last for days.
        match Box::pin(handshake).await {
            Ok(Handshake::Done(stream)) => server.serve_stream(*stream, Some(peer)).await,
            Ok(Handshake::Empty) => {}
            // Any client can cause it as often as it likes, so it is counted and not logged.
            Ok(Handshake::Failed) | Err(_) => ConnectionFailure::Handshake.count(),
        }
    }

    async fn agree(&self, mut stream: TcpStream) -> Handshake {
        let mut first = [0];
        if stream.peek(&mut first).await.unwrap_or(0) == 0 {
            return Handshake::Empty;
        }
        if first[0] != TLS_HANDSHAKE {
            let _ = stream.write_all(PLAIN_ON_TLS).await;
            let _ = stream.shutdown().await;
            return Handshake::Failed;
        }
        // From here on the client has sent something: one that is silent holds a descriptor only.
        let Some(_held) = Reservation::take(HANDSHAKE_BYTES) else { return Handshake::Failed };
        match self.tls.accept(Measured { stream, left: HELLO_BYTES_MAX }).await {
            Ok(mut stream) => {
                stream.get_mut().0.left = usize::MAX;
                Handshake::Done(Box::new(stream))
            }
            Err(_) => Handshake::Failed,
        }
    }
}

/// A socket of which no more than so many bytes are read.
struct Measured {
    stream: TcpStream,
    left: usize,
}

impl AsyncRead for Measured {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        if self.left == usize::MAX {
            return Poll::Ready(Ok(()));
        }
        let read = buffer.filled().len() - before;
        match self.left.checked_sub(read) {
            Some(left) => self.left = left,
            None => return Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Measured {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
