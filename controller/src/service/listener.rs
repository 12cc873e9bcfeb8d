//! Connections to the controller: accepted, bounded, and over TLS where that is asked for.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::{Connected, TcpConnectInfo};

/// Connections that may be open at a time, shaking hands included; one more is closed at once.
/// Each reporter has one, and so has whoever asks.
pub(crate) const CONNECTIONS_MAX: usize = 200_000;

/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Accepted connections that may wait to be served.
const ACCEPTED_DEPTH: usize = 64;

/// How long accepting pauses when the system has no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Connections as they come, and the work of accepting them: it ends with the stream, and when it
/// is dropped the port is free at once.
pub(crate) fn connections(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
) -> (ReceiverStream<io::Result<Connection>>, impl Future<Output = ()>) {
    let (accepted, stream) = mpsc::channel(ACCEPTED_DEPTH);
    let accepting = accept(listener, tls.map(TlsAcceptor::from), accepted);
    (ReceiverStream::new(stream), accepting)
}

type Accepted = mpsc::Sender<io::Result<Connection>>;

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, accepted: Accepted) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let incoming = tokio::select! {
            incoming = listener.accept() => incoming,
            () = accepted.closed() => return,
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
            tracing::warn!(%peer, most = CONNECTIONS_MAX, "a connection too many was closed");
            continue;
        };
        // Words are small and must not wait for an acknowledgement of the one before.
        if stream.set_nodelay(true).is_err() {
            continue;
        }
        match tls.clone() {
            None => {
                let connection = Connection { io: Io::Plain(stream), peer, _place: place };
                if accepted.send(Ok(connection)).await.is_err() {
                    return;
                }
            }
            Some(tls) => drop(tokio::spawn(shake(tls, stream, peer, place, accepted.clone()))),
        }
    }
}

async fn shake(
    tls: TlsAcceptor,
    stream: TcpStream,
    peer: SocketAddr,
    place: OwnedSemaphorePermit,
    accepted: Accepted,
) {
    match timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
        Ok(Ok(stream)) => {
            let connection = Connection { io: Io::Tls(Box::new(stream)), peer, _place: place };
            // Nobody serves any more: the connection is dropped.
            let _ = accepted.send(Ok(connection)).await;
        }
        Ok(Err(error)) => tracing::debug!(%peer, %error, "a TLS handshake failed"),
        Err(_) => tracing::debug!(%peer, "a TLS handshake took too long"),
    }
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
