//! The activator's own listeners: for HTTP, for HTTP over TLS, and for connections to one revision
//! that are passed on as they are.

use std::net::SocketAddr;
use std::sync::Arc;

use tidegate_relay::{Scheme, Server, ServerSettings};
use tidegate_reporter::RevisionName;
use tidegate_tls::{Acceptor, Certificates, HANDSHAKE_TIMEOUT};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::balancers::{Balancers, Ends};
use crate::config::{Carries, Config, ConfigError, TcpListen, TlsListen};
use crate::handler::ActivatorHandler;
use crate::tcp_port::{Announcement, Instances, TcpPort, Whose};

/// What is bound and not served yet.
#[derive(Debug)]
pub(crate) struct Sockets {
    http: TcpListener,
    /// Whose connections those to the main address are, where they carry no HTTP.
    passed_on_to: Option<RevisionName>,
    tls: Option<(TcpListener, Certificates, Acceptor)>,
    tcp: Vec<(TcpListener, TcpListen)>,
    addresses: Addresses,
}

/// Where an activator listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses {
    /// The main one, for HTTP unless [`Config::carries`] says otherwise.
    pub http: SocketAddr,
    /// For HTTP over TLS, if it is spoken.
    pub tls: Option<SocketAddr>,
    /// For connections that are passed on as they are, in the order of their configuration.
    pub tcp: Vec<SocketAddr>,
}

impl Sockets {
    /// Binds what is configured beside `http`.
    pub(crate) fn bind(config: &Config, http: std::net::TcpListener) -> Result<Self, ConfigError> {
        let (http, http_address) = adopt(config.listen, Ok(http))?;
        let passed_on_to = match config.carries {
            Carries::Http => None,
            Carries::Tcp => config.default_revision.clone(),
        };
        let tls = match &config.tls {
            None => None,
            Some(TlsListen { address, certificates }) => {
                let certificates = Certificates::load(certificates)?;
                let acceptor = Acceptor::new(certificates.server_config()?, HANDSHAKE_TIMEOUT);
                let (listener, bound) = adopt(*address, tidegate_relay::listen(*address))?;
                Some((bound, (listener, certificates, acceptor)))
            }
        };
        let (tls_address, tls) = tls.unzip();
        let mut tcp = Vec::new();
        let mut tcp_addresses = Vec::new();
        for wanted in &config.tcp_ports {
            let listened = tidegate_relay::listen(wanted.address);
            let (listener, bound) = adopt(wanted.address, listened)?;
            tcp.push((listener, wanted.clone()));
            tcp_addresses.push(bound);
        }
        let addresses = Addresses { http: http_address, tls: tls_address, tcp: tcp_addresses };
        Ok(Self { http, passed_on_to, tls, tcp, addresses })
    }

    pub(crate) fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Serves all of them, in tasks of `tasks`.
    pub(crate) fn serve(self, handler: ActivatorHandler, at: Entrance, tasks: &mut JoinSet<()>) {
        let Entrance { settings, balancers, places } = at;
        let drain = handler.drain.clone();
        let port = |revision, announcement| TcpPort {
            whose: Whose::Revision(revision),
            throttler: Arc::clone(&handler.throttler),
            instances: Instances::OfRevision,
            places: Arc::clone(&places),
            drain: drain.clone(),
            metrics: handler.metrics.clone(),
            balancers: balancers.clone(),
            announcement,
            limits: handler.queueing.limits.stream,
        };
        for (listener, TcpListen { revision, announcement, .. }) in self.tcp {
            tasks.spawn(port(revision, announcement).serve(listener));
        }
        let http = match self.passed_on_to {
            Some(revision) => {
                tasks.spawn(port(revision, Announcement::Nothing).serve(self.http));
                None
            }
            None => Some(self.http),
        };
        if let Some((listener, certificates, acceptor)) = self.tls {
            let settings = ServerSettings { scheme: Scheme::Https, ..settings };
            let server = Server::new(handler.clone(), settings, drain.clone());
            let secure = (balancers.clone(), Some(acceptor));
            tasks.spawn(accept(server, listener, secure));
            tasks.spawn(certificates.watch(tidegate_trust::renewed::RENEW_EVERY));
        }
        if let Some(http) = http {
            let server = Server::new(handler, settings, drain);
            tasks.spawn(accept(server, http, (balancers, None)));
        }
    }
}

/// What all listeners have in common.
pub(crate) struct Entrance {
    pub(crate) settings: ServerSettings,
    pub(crate) balancers: Balancers,
    /// Places of connections that are passed on as they are.
    pub(crate) places: Arc<Semaphore>,
}

/// Accepts connections, each with what a balancer says of it, and over TLS where that is asked for.
pub(crate) async fn accept(
    server: Server<ActivatorHandler>,
    listener: TcpListener,
    (balancers, tls): (Balancers, Option<Acceptor>),
) {
    let serve = move |server: Server<ActivatorHandler>, mut stream, peer| {
        let (balancers, tls) = (balancers.clone(), tls.clone());
        async move {
            let Some(Ends { client, .. }) = balancers.ends(&mut stream, peer).await else { return };
            match tls {
                None => server.serve_tcp(stream, client).await,
                Some(tls) => tls.serve(&server, stream, client).await,
            }
        }
    };
    server.accept(listener, serve).await;
}

/// Hands a listener to the runtime. Gives where it is as well.
fn adopt(
    wanted: SocketAddr,
    listener: std::io::Result<std::net::TcpListener>,
) -> Result<(TcpListener, SocketAddr), ConfigError> {
    let adopt = || {
        let listener = listener?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    };
    adopt().map_err(|source| ConfigError::Listen { address: wanted, source })
}
