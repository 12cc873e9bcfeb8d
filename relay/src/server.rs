//! Serving connections: HTTP/1.0, HTTP/1.1 and HTTP/2 (by prior knowledge or upgrade), detected by
//! their first bytes.

mod h1;
mod h2;
mod upgrade;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use crate::cause::CauseHeader;
use crate::drain::{Drain, Phase};
use crate::exchange::Exchange;
use crate::h1::Connection;
use crate::head::Scheme;
use crate::io::{Io, Opaque};
use crate::metrics::ConnectionFailure;

/// Handles requests. One handler serves all connections of a server.
pub trait Handler: Send + Sync + 'static {
    /// Handles one request, by [`Exchange::respond`] or [`Exchange::forward`]. When it returns
    /// without either, the client gets a 500.
    fn handle(&self, exchange: &mut Exchange) -> impl Future<Output = ()> + Send;
}

/// The bounds of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerSettings {
    /// The longest request head.
    pub head_bytes_max: usize,
    /// How long a client may take to send a head, from the moment its connection was accepted
    /// or, on a connection in use, from the head's first byte. Idle connections are not bound.
    /// In HTTP/2 any frame that has begun counts, as long as no stream is alive.
    pub head_timeout: Duration,
    /// HTTP/2 streams a client may have open at a time.
    pub streams_max: u32,
    /// Whether clients reach this server over TLS.
    pub scheme: Scheme,
    /// The prefixes of the fields that the platform around this proxy routes by and trusts, in
    /// lower case. They are dropped from trailers, in both directions: a field that is checked in
    /// the head must not pass unchecked behind the body.
    pub platform_fields: &'static [&'static str],
    /// Whether responses to requests that no handler gets to see carry their cause.
    pub cause_header: CauseHeader,
}

impl Default for ServerSettings {
    /// The bounds of Knative's sidecar: 1 MiB and some slack for heads, which have 60 seconds;
    /// 250 streams.
    fn default() -> ServerSettings {
        ServerSettings {
            head_bytes_max: (1 << 20) + 4096,
            head_timeout: Duration::from_secs(60),
            streams_max: 250,
            scheme: Scheme::Http,
            platform_fields: &[],
            cause_header: CauseHeader::Hidden,
        }
    }
}

/// A handler with its bounds and its shutdown.
pub struct Server<H> {
    shared: Arc<ServerState<H>>,
}

/// What all connections of a server share.
pub(crate) struct ServerState<H> {
    pub(crate) handler: H,
    pub(crate) settings: ServerSettings,
    pub(crate) drain: Drain,
}

impl<H> Clone for Server<H> {
    fn clone(&self) -> Server<H> {
        Server { shared: self.shared.clone() }
    }
}

/// How long to wait after an accept that failed: after the process has run out of descriptors,
/// accepting again at once would only spin.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

impl<H: Handler> Server<H> {
    /// A server that passes requests to `handler` and shuts down with `drain`.
    pub fn new(handler: H, settings: ServerSettings, drain: Drain) -> Server<H> {
        Server { shared: Arc::new(ServerState { handler, settings, drain }) }
    }

    /// The handler.
    pub fn handler(&self) -> &H {
        &self.shared.handler
    }

    /// Accepts connections and serves each in a task of its own, on the runtime it is polled
    /// on. Returns when the drain reaches [`Phase::Closing`].
    ///
    /// Cancel safe: connections already accepted go on.
    pub async fn serve_listener(&self, listener: TcpListener) {
        let mut drain_token = self.shared.drain.enter();
        loop {
            let accepted = std::future::poll_fn(|cx| {
                if drain_token.poll_phase(cx) == Phase::Closing {
                    return std::task::Poll::Ready(None);
                }
                listener.poll_accept(cx).map(Some)
            })
            .await;
            match accepted {
                None => return,
                Some(Ok((stream, peer))) => {
                    let server = self.clone();
                    tokio::spawn(async move { server.serve_tcp(stream, peer).await });
                }
                Some(Err(error)) => {
                    if !is_about_one_connection(&error) {
                        ConnectionFailure::Accept.count();
                        tracing::warn!(%error, "cannot accept a connection");
                        sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        }
    }

    /// Serves one TCP connection until it closes.
    ///
    /// Not cancel safe: the exchange in flight is cut short.
    pub async fn serve_tcp(&self, stream: TcpStream, peer: SocketAddr) {
        // A failure costs latency, not correctness.
        let _ = stream.set_nodelay(true);
        self.serve(Box::new(stream), Some(peer)).await;
    }

    /// Serves one connection of any other kind, such as TLS, until it closes.
    ///
    /// Not cancel safe: the exchange in flight is cut short.
    pub async fn serve_stream<T>(&self, stream: T, peer: Option<SocketAddr>)
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        self.serve(Box::new(Opaque(stream)), peer).await;
    }

    async fn serve(&self, io: Box<dyn Io>, peer: Option<SocketAddr>) {
        // A listener on both families reports an IPv4 client as `::ffff:10.0.0.7`; apps and logs
        // use
        // `10.0.0.7`.
        let peer = peer.map(|peer| SocketAddr::new(peer.ip().to_canonical(), peer.port()));
        let connection = Connection::new(io);
        if let Some(handover) = h1::serve(&self.shared, connection, peer).await {
            // Boxed, because a connection's task is as large as its largest part, and ten thousand
            // idle ones should not each reserve room for HTTP/2.
            Box::pin(h2::serve(&self.shared, handover, peer)).await;
        }
    }
}

/// Errors that concern the connection that was about to be accepted, and not the listener.
fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}
