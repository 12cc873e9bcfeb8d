//! The threads that carry requests, and the listeners they serve.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustls::ServerConfig;
use tidegate_relay as relay;
use tidegate_relay::metrics::ConnectionFailure;
use tidegate_relay::server::ACCEPT_PAUSE;
use tidegate_relay::{Address, Scheme, Server, ServerSettings, Upstream, UpstreamSettings};
use tidegate_reporter::OverflowAddresses;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::drain::Stage;
use crate::overflow::Overflow;
use crate::proxy::{Proxy, ProxyContext};
use crate::settings::Timeouts;
use crate::tls::Certificate;

/// Time between two checks for upstream connections that were idle too long.
const SWEEP_PERIOD: Duration = Duration::from_secs(15);
/// The stack of a data thread: futures live on the heap.
const STACK_BYTES: usize = 256 << 10;
/// What a TLS connection begins with: a handshake record.
const TLS_HANDSHAKE: u8 = 22;
/// Go's response to plain HTTP on a TLS port.
const PLAIN_ON_TLS: &[u8] =
    b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";

/// Everything a data thread needs.
#[derive(Clone)]
pub(super) struct Workers {
    pub(super) shared: ProxyContext,
    pub(super) app_port: u16,
    pub(super) timeouts: Timeouts,
    pub(super) idle_connections: usize,
    /// Where requests may be handed on.
    pub(super) overflow: watch::Receiver<OverflowAddresses>,
    pub(super) drain: relay::Drain,
    pub(super) stage: watch::Receiver<Stage>,
}

type TlsListener = (TcpListener, (Arc<ServerConfig>, Arc<Certificate>));

impl Workers {
    /// Starts to serve: on this thread when one is enough, else on threads of their own.
    pub(super) fn start(
        self,
        threads: usize,
        main: TcpListener,
        tls: Option<TlsListener>,
    ) -> std::io::Result<()> {
        if threads <= 1 {
            return self.serve(main, tls);
        }
        for number in 0..threads {
            let plane = self.clone();
            let main = main.try_clone()?;
            let tls = match &tls {
                Some((listener, parts)) => Some((listener.try_clone()?, parts.clone())),
                None => None,
            };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let thread = thread::Builder::new().name(format!("data-{number}"));
            thread.stack_size(STACK_BYTES).spawn(move || {
                runtime.block_on(async move {
                    if let Err(error) = plane.serve(main, tls) {
                        tracing::error!("a data thread cannot serve: {error}");
                    }
                    // The thread lives as long as the process.
                    std::future::pending::<()>().await;
                });
            })?;
        }
        Ok(())
    }

    /// Serves on the event loop of the thread that calls it.
    fn serve(self, main: TcpListener, tls: Option<TlsListener>) -> std::io::Result<()> {
        let settings =
            UpstreamSettings { idle_max: self.idle_connections, ..UpstreamSettings::default() };
        let upstream = Arc::new(Upstream::new(Address::Loopback(self.app_port), settings));
        let overflow = Arc::new(Overflow::new(self.overflow.clone()));
        tokio::spawn(sweep(Arc::clone(&upstream), Arc::clone(&overflow)));
        let server = |scheme| {
            let bounds = ServerSettings {
                head_timeout: self.timeouts.header,
                scheme,
                cause_header: self.shared.cause_header,
                platform_fields: tidegate_knative::headers::PLATFORM_FIELDS,
                ..ServerSettings::default()
            };
            let proxy =
                Proxy::new(self.shared.clone(), Arc::clone(&upstream), Arc::clone(&overflow));
            Server::new(proxy, bounds, self.drain.clone())
        };
        let plain = server(Scheme::Http);
        let listener = tokio::net::TcpListener::from_std(main)?;
        tokio::spawn(async move { plain.serve_listener(listener).await });
        if let Some((listener, (config, _))) = tls {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let secure = Secure {
                server: server(Scheme::Https),
                acceptor: TlsAcceptor::from(config),
                handshake_timeout: self.timeouts.header,
            };
            tokio::spawn(secure.serve(listener, self.stage));
        }
        Ok(())
    }
}

async fn sweep(upstream: Arc<Upstream>, overflow: Arc<Overflow>) {
    loop {
        tokio::time::sleep(SWEEP_PERIOD).await;
        upstream.close_expired();
        overflow.close_expired();
    }
}

/// How a TLS handshake ended.
enum Handshake {
    Done(Box<TlsStream<TcpStream>>),
    /// The client closed without a byte, as a probe does that only tests whether the port is open.
    Empty,
    Failed,
}

struct Secure {
    server: Server<Proxy>,
    acceptor: TlsAcceptor,
    handshake_timeout: Duration,
}

impl Secure {
    async fn serve(self, listener: tokio::net::TcpListener, mut stage: watch::Receiver<Stage>) {
        let secure = Arc::new(self);
        loop {
            let closing = stage.wait_for(|stage| matches!(stage, Stage::Finishing | Stage::Over));
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = closing => return,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let secure = Arc::clone(&secure);
                    tokio::spawn(async move { secure.serve_connection(stream, peer).await });
                }
                Err(error) => {
                    ConnectionFailure::Accept.count();
                    tracing::warn!("cannot accept a connection: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn serve_connection(&self, mut stream: TcpStream, peer: SocketAddr) {
        // A failure costs latency, not correctness.
        let _ = stream.set_nodelay(true);
        let handshake = async {
            let mut first = [0];
            if stream.peek(&mut first).await.unwrap_or(0) == 0 {
                return Handshake::Empty;
            }
            if first[0] != TLS_HANDSHAKE {
                let _ = stream.write_all(PLAIN_ON_TLS).await;
                let _ = stream.shutdown().await;
                return Handshake::Failed;
            }
            match self.acceptor.accept(stream).await {
                Ok(stream) => Handshake::Done(Box::new(stream)),
                Err(_) => Handshake::Failed,
            }
        };
        let handshake = tokio::time::timeout(self.handshake_timeout, handshake).await;
        match handshake {
            Ok(Handshake::Done(stream)) => self.server.serve_stream(*stream, Some(peer)).await,
            Ok(Handshake::Empty) => {}
            // Any client can cause this as often as it likes, so it is counted and not logged.
            Ok(Handshake::Failed) | Err(_) => ConnectionFailure::Handshake.count(),
        }
    }
}
