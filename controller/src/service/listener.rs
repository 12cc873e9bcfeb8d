//! Connections to the controller: accepted, bounded, and over TLS where that is asked for.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tidegate_trust::{ServerTls, TlsMismatch};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::{Connected, TcpConnectInfo};

use crate::access::Gatekeeper;

/// Connections that may be open at a time, shaking hands included; one more is closed at once.
/// Each reporter has one, and so has whoever asks.
pub(crate) const CONNECTIONS_MAX: usize = 200_000;

/// How long a connection may take to begin: its first byte, and its TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// First byte of whoever speaks TLS (RFC 8446, 5.1). That of HTTP/2 is a letter.
const TLS_HANDSHAKE_BYTE: u8 = 22;

/// An empty SETTINGS frame: shows whoever speaks TLS that HTTP/2 is spoken here (RFC 9113, 6.5).
const HTTP2_SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

/// A fatal alert, `protocol_version`: shows whoever does not speak TLS that it is spoken here (RFC
/// 8446, 6).
const TLS_ALERT: &[u8] = &[21, 3, 3, 0, 2, 2, 70];

/// How long, and for how many bytes, it is listened to somebody who is turned away.
const PARTING_TIMEOUT: Duration = Duration::from_secs(1);
const PARTING_BYTES_MAX: u64 = 64 * 1024;

/// Accepted connections that may wait to be served.
const ACCEPTED_DEPTH: usize = 64;

/// How long accepting pauses when the system has no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How often certificates are looked at anew: soon enough for any that is renewed before it ends,
/// rarely enough that reading three small files costs nothing.
const RENEW_EVERY: Duration = Duration::from_secs(5);

/// Connections as they come, and the work of accepting them: it ends with the stream, and when it
/// is dropped the port is free at once.
pub(crate) fn connections(
    listener: TcpListener,
    tls: Option<Arc<ServerTls>>,
    keeper: &Gatekeeper,
) -> (ReceiverStream<io::Result<Connection>>, impl Future<Output = ()>) {
    let (accepted, stream) = mpsc::channel(ACCEPTED_DEPTH);
    let renewals = tls.as_ref().map(|tls| tls.renewals());
    let accepting = accept(listener, Door { tls, keeper: keeper.clone(), accepted });
    let working = async move {
        let renewing = async {
            match renewals {
                Some(renewals) => renewals.watch(RENEW_EVERY).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = accepting => {}
            () = renewing => {}
        }
    };
    (ReceiverStream::new(stream), working)
}

/// What every connection comes through.
#[derive(Clone)]
struct Door {
    tls: Option<Arc<ServerTls>>,
    keeper: Gatekeeper,
    accepted: mpsc::Sender<io::Result<Connection>>,
}

async fn accept(listener: TcpListener, door: Door) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let incoming = tokio::select! {
            incoming = listener.accept() => incoming,
            () = door.accepted.closed() => return,
        };
        let (stream, peer) = match incoming {
            Ok(incoming) => incoming,
            Err(error) => {
                // A peer that hung up before we looked, or no descriptors for a while.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            door.keeper.metrics().connections_too_many.increment(1);
            door.keeper.complain(Some(peer), TooMany);
            continue;
        };
        // Words are small and must not wait for an acknowledgement of the one before.
        if stream.set_nodelay(true).is_err() {
            continue;
        }
        tokio::spawn(door.clone().greet(stream, peer, place));
    }
}

/// Why a connection is closed at once.
#[derive(Debug, thiserror::Error)]
#[error("{CONNECTIONS_MAX} connections are open already")]
struct TooMany;

impl Door {
    /// Hears in which language a client begins, and lets in who speaks ours.
    async fn greet(self, stream: TcpStream, peer: SocketAddr, place: OwnedSemaphorePermit) {
        let io = match timeout(HANDSHAKE_TIMEOUT, self.enter(stream, peer)).await {
            Ok(Some(io)) => io,
            Ok(None) => return,
            Err(_) => {
                self.keeper.metrics().handshakes_failed.increment(1);
                tracing::debug!(%peer, "a connection that did not begin in time was closed");
                return;
            }
        };
        // When nobody serves any more the connection is dropped.
        let _ = self.accepted.send(Ok(Connection { io, peer, _place: place })).await;
    }

    async fn enter(&self, stream: TcpStream, peer: SocketAddr) -> Option<Io> {
        let mut first = [0];
        // Whoever only looks whether the port is open, as probes do, says nothing.
        if stream.peek(&mut first).await.ok()? == 0 {
            return None;
        }
        let speaks_tls = first[0] == TLS_HANDSHAKE_BYTE;
        match &self.tls {
            None if !speaks_tls => return Some(Io::Plain(stream)),
            None => {
                self.keeper.complain(Some(peer), TlsMismatch::client_speaks_tls());
                self.turn_away(stream, HTTP2_SETTINGS).await;
            }
            Some(_) if !speaks_tls => {
                self.keeper.complain(Some(peer), TlsMismatch::client_speaks_no_tls());
                self.turn_away(stream, TLS_ALERT).await;
            }
            Some(tls) => {
                let acceptor = TlsAcceptor::from(tls.current());
                match acceptor.accept(stream).into_fallible().await {
                    Ok(stream) => return Some(Io::Tls(Box::new(stream))),
                    Err((error, stream)) => {
                        match tls.mismatch(&error) {
                            Some(mismatch) => self.keeper.complain(Some(peer), mismatch),
                            None => {
                                tracing::debug!(%peer, %error, "a TLS handshake was broken off");
                            }
                        }
                        self.turn_away(stream, b"").await;
                    }
                }
            }
        }
        None
    }

    async fn turn_away(&self, stream: TcpStream, word: &[u8]) {
        self.keeper.metrics().handshakes_failed.increment(1);
        part(stream, word).await;
    }
}

/// Says a last word and waits until the client has heard it: a connection that is closed while
/// there is something to read is reset, and a reset overtakes what was said.
async fn part(mut stream: TcpStream, word: &[u8]) {
    let parting = async {
        stream.write_all(word).await?;
        stream.shutdown().await?;
        tokio::io::copy(&mut (&mut stream).take(PARTING_BYTES_MAX), &mut tokio::io::sink()).await
    };
    // It may be gone already.
    let _ = timeout(PARTING_TIMEOUT, parting).await;
}

/// One accepted connection. Its place is given back when it is dropped.
pub(crate) struct Connection {
    io: Io,
    peer: SocketAddr,
    _place: OwnedSemaphorePermit,
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
