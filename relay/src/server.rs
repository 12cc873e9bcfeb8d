//! Serving connections: HTTP/1.0, HTTP/1.1 and HTTP/2 (by prior knowledge or upgrade), detected by
//! their first bytes.

mod extended_connect;
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
use crate::descriptors::{self, Refusal};
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
    /// Who may have the last descriptors.
    pub callers: Callers,
}

/// Whose connections a server takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Callers {
    /// Anybody's: they are refused while there are hardly any descriptors left.
    #[default]
    Clients,
    /// Those who watch over this process, and have to be answered above all when it is short of
    /// something.
    Operators,
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
            callers: Callers::Clients,
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
        let serve = |server: Server<H>, stream, peer| async move {
            server.serve_tcp(stream, peer).await;
        };
        self.accept(listener, serve).await;
    }

    /// As [`Server::serve_listener`], but has `serve` serve each connection: what stands between
    /// the socket and HTTP is its own to know.
    ///
    /// Cancel safe: connections already accepted go on.
    pub async fn accept<S>(
        &self,
        listener: TcpListener,
        serve: impl Fn(Server<H>, TcpStream, SocketAddr) -> S,
    ) where
        S: Future<Output = ()> + Send + 'static,
    {
        let settings = &self.shared.settings;
        let refusal = match (settings.callers, settings.scheme) {
            (Callers::Operators, _) => Refusal::Never,
            (Callers::Clients, Scheme::Http) => Refusal::Http,
            (Callers::Clients, Scheme::Https) => Refusal::Close,
        };
        let serve = |stream, peer| serve(self.clone(), stream, peer);
        accept(listener, (&self.shared.drain, refusal), serve).await;
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

/// Accepts connections and has `serve` serve each in a task of its own, on the runtime it is polled
/// on. Returns when the drain reaches [`Phase::Closing`]. While there are hardly any descriptors
/// left, new connections are refused.
///
/// Cancel safe: connections already accepted go on.
pub async fn accept<S>(
    listener: TcpListener,
    (drain, refusal): (&Drain, Refusal),
    serve: impl Fn(TcpStream, SocketAddr) -> S,
) where
    S: Future<Output = ()> + Send + 'static,
{
    let mut drain_token = drain.enter();
    loop {
        let accepted = std::future::poll_fn(|cx| {
            if drain_token.poll_phase(cx) == Phase::Closing {
                return std::task::Poll::Ready(None);
            }
            listener.poll_accept(cx).map(Some)
        })
        .await;
        match accepted {
            None => break,
            Some(Ok((stream, _)))
                if refusal != Refusal::Never && descriptors::is_one_of_the_last(&stream) =>
            {
                ConnectionFailure::Accept.count();
                tracing::debug!("a connection was refused for want of descriptors");
                descriptors::refuse(stream, refusal);
            }
            Some(Ok((stream, peer))) => {
                tokio::spawn(serve(stream, peer));
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
    // The kernel has made connections that nobody has accepted yet: whoever made them may have sent
    // a request, which would be reset with the listener.
    for _ in 0..BACKLOG_MAX {
        let waiting = std::future::poll_fn(|cx| match listener.poll_accept(cx) {
            std::task::Poll::Ready(Ok(accepted)) => std::task::Poll::Ready(Some(accepted)),
            _ => std::task::Poll::Ready(None),
        });
        let Some((stream, peer)) = waiting.await else { break };
        tokio::spawn(serve(stream, peer));
    }
    // They are counted by the drain before this end of it is.
    tokio::task::yield_now().await;
}

/// Connections that are accepted at the end: as many as the kernel keeps for a listener.
const BACKLOG_MAX: usize = 4_096;

/// Errors that concern the connection that was about to be accepted, and not the listener.
fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}
