//! The threads that carry requests, and the listeners they serve.

use std::net::TcpListener;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustls::ServerConfig;
use tidegate_relay as relay;
use tidegate_relay::descriptors::Refusal;
use tidegate_relay::{Address, Scheme, Server, ServerSettings, Upstream, UpstreamSettings};
use tidegate_reporter::OverflowAddresses;
use tidegate_tls::Acceptor;
use tokio::sync::watch;

use crate::overflow::Overflow;
use crate::proxy::{Proxy, ProxyContext};
use crate::settings::{AppProtocol, Timeouts};
use crate::tcp::TcpProxy;
use crate::tls::Certificate;

/// Time between two checks for upstream connections that were idle too long.
const SWEEP_PERIOD: Duration = Duration::from_secs(15);
/// The stack of a data thread: futures live on the heap.
const STACK_BYTES: usize = 256 << 10;

/// Everything a data thread needs.
#[derive(Clone)]
pub(super) struct Workers {
    pub(super) shared: ProxyContext,
    pub(super) app_port: u16,
    pub(super) app_protocol: AppProtocol,
    pub(super) timeouts: Timeouts,
    pub(super) idle_connections: usize,
    /// Where requests may be handed on.
    pub(super) overflow: watch::Receiver<OverflowAddresses>,
    pub(super) drain: relay::Drain,
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
        let listener = tokio::net::TcpListener::from_std(main)?;
        match self.app_protocol {
            AppProtocol::Http => {
                let plain = server(Scheme::Http);
                tokio::spawn(async move { plain.serve_listener(listener).await });
            }
            AppProtocol::Tcp => {
                let (shared, drain) = (self.shared.clone(), self.drain.clone());
                let proxy = TcpProxy { shared, upstream: Arc::clone(&upstream), drain };
                tokio::spawn(async move {
                    let drain = proxy.drain.clone();
                    let serve = move |client, _| proxy.clone().serve(client);
                    relay::server::accept(listener, (&drain, Refusal::Close), serve).await;
                });
            }
        }
        if let Some((listener, (config, _))) = tls {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let acceptor = Acceptor::new(config, self.timeouts.header);
            let secure = server(Scheme::Https);
            let serve = move |server: Server<Proxy>, stream, peer| {
                let acceptor = acceptor.clone();
                async move { acceptor.serve(&server, stream, peer).await }
            };
            tokio::spawn(async move { secure.accept(listener, serve).await });
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
