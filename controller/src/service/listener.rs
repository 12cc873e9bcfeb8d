//! Connections to the controller: accepted, bounded, and over TLS where that is configured.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tidegate_trust::parting::close_after;
use tidegate_trust::renewed::RENEW_EVERY;
use tidegate_trust::{ServerTls, TlsMismatch};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::{Connected, TcpConnectInfo};

use crate::access::Gatekeeper;

/// Connections that may be open at a time, shaking hands included; one more is closed at once.
/// Each reporter has one, and so has each `tidegate explain`.
pub(crate) const CONNECTIONS_MAX: usize = 200_000;

/// How long a connection may take to begin: its first byte, and its TLS handshake.
const CONNECTION_BEGIN_TIMEOUT: Duration = Duration::from_secs(10);

/// First byte of a TLS client (RFC 8446, 5.1). That of HTTP/2 is a letter.
const TLS_HANDSHAKE_BYTE: u8 = 22;

/// An empty SETTINGS frame, for a TLS client: this port serves plaintext HTTP/2 (RFC 9113, 6.5).
const HTTP2_SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

/// A fatal alert, `protocol_version`, for a plaintext client: this port serves TLS (RFC 8446, 6).
const TLS_ALERT: &[u8] = &[21, 3, 3, 0, 2, 2, 70];

/// For how many bytes a rejected connection is still read.
const PARTING_BYTES_MAX: u64 = 64 * 1024;

/// Accepted connections that may wait to be served.
const ACCEPTED_DEPTH: usize = 64;

/// How long accepting pauses when the system has no descriptors left. Longer than where clients
/// wait for a response: reporters connect again by themselves.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The accepted connections, and the task that accepts them: it ends with the stream, and when it
/// is dropped the port is free at once.
pub(crate) fn connections(
    listener: TcpListener,
    tls: Option<Arc<ServerTls>>,
    gatekeeper: &Gatekeeper,
) -> (ReceiverStream<io::Result<Connection>>, impl Future<Output = ()>) {
    let (accepted, stream) = mpsc::channel(ACCEPTED_DEPTH);
    let renewals = tls.as_ref().map(|tls| tls.renewals());
    let secret = gatekeeper.secret().cloned();
    let accepting = accept(listener, Acceptor { tls, gatekeeper: gatekeeper.clone(), accepted });
    let working = async move {
        let renewing = async {
            match renewals {
                Some(renewals) => renewals.watch(RENEW_EVERY).await,
                None => std::future::pending().await,
            }
        };
        let renewing_secret = async {
            match secret {
                Some(secret) => secret.watch(RENEW_EVERY).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = accepting => {}
            () = renewing => {}
            () = renewing_secret => {}
        }
    };
    (ReceiverStream::new(stream), working)
}

/// Checks every connection before it is served.
#[derive(Clone)]
struct Acceptor {
    tls: Option<Arc<ServerTls>>,
    gatekeeper: Gatekeeper,
    accepted: mpsc::Sender<io::Result<Connection>>,
}

async fn accept(listener: TcpListener, acceptor: Acceptor) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let incoming = tokio::select! {
            incoming = listener.accept() => incoming,
            () = acceptor.accepted.closed() => return,
        };
        let (stream, peer) = match incoming {
            Ok(incoming) => incoming,
            Err(error) => {
                // A peer that closed before the accept, or no descriptors for a while.
                acceptor.gatekeeper.metrics().accepts_failed.increment(1);
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
            acceptor.gatekeeper.metrics().connections_too_many.increment(1);
            acceptor.gatekeeper.log_refusal(Some(peer), TooMany);
            continue;
        };
        // Messages are small and must not wait for an acknowledgement of the one before.
        if stream.set_nodelay(true).is_err() {
            continue;
        }
        tokio::spawn(acceptor.clone().handshake(stream, peer, permit));
    }
}

/// Why a connection is closed at once.
#[derive(Debug, thiserror::Error)]
#[error("{CONNECTIONS_MAX} connections are open already")]
struct TooMany;

impl Acceptor {
    /// Peeks at the first byte of a client, and passes on the connections that fit this port.
    async fn handshake(self, stream: TcpStream, peer: SocketAddr, permit: OwnedSemaphorePermit) {
        let io = match timeout(CONNECTION_BEGIN_TIMEOUT, self.negotiate(stream, peer)).await {
            Ok(Some(io)) => io,
            Ok(None) => return,
            Err(_) => {
                self.gatekeeper.metrics().handshakes_failed.increment(1);
                tracing::debug!(%peer, "a connection that did not begin in time was closed");
                return;
            }
        };
        // When the server has ended the connection is dropped.
        let _ = self.accepted.send(Ok(Connection { io, peer, _permit: permit })).await;
    }

    async fn negotiate(&self, stream: TcpStream, peer: SocketAddr) -> Option<Io> {
        let mut first = [0];
        // A probe that only checks whether the port is open sends nothing.
        if stream.peek(&mut first).await.ok()? == 0 {
            return None;
        }
        let is_tls = first[0] == TLS_HANDSHAKE_BYTE;
        match &self.tls {
            None if !is_tls => return Some(Io::Plain(stream)),
            None => {
                self.gatekeeper.log_refusal(Some(peer), TlsMismatch::client_speaks_tls());
                self.reject(stream, HTTP2_SETTINGS).await;
            }
            Some(_) if !is_tls => {
                self.gatekeeper.log_refusal(Some(peer), TlsMismatch::client_speaks_no_tls());
                self.reject(stream, TLS_ALERT).await;
            }
            Some(tls) => {
                let acceptor = TlsAcceptor::from(tls.current());
                match acceptor.accept(stream).into_fallible().await {
                    Ok(stream) => return Some(Io::Tls(Box::new(stream))),
                    Err((error, stream)) => {
                        match tls.mismatch(&error) {
                            Some(mismatch) => self.gatekeeper.log_refusal(Some(peer), mismatch),
                            None => {
                                tracing::debug!(%peer, %error, "a TLS handshake was broken off");
                            }
                        }
                        self.reject(stream, b"").await;
                    }
                }
            }
        }
        None
    }

    async fn reject(&self, stream: TcpStream, message: &[u8]) {
        self.gatekeeper.metrics().handshakes_failed.increment(1);
        close_after(stream, message, PARTING_BYTES_MAX).await;
    }
}

/// One accepted connection. Its permit is returned when it is dropped.
pub(crate) struct Connection {
    io: Io,
    peer: SocketAddr,
    _permit: OwnedSemaphorePermit,
}

enum Io {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        TcpConnectInfo { local_addr: None, remote_addr: Some(self.peer) }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Io::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.io {
            Io::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Io::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Plain(stream) => Pin::new(stream).poll_flush(context),
            Io::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Io::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
