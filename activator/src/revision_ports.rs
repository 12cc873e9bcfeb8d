//! Ports that belong to one revision each, whatever host and headers a request names.
//!
//! The controller assigns them. A cluster routes a Service's requests to one of them while the
//! Service has no pod: host and headers need not name the revision then, and are ignored. A client
//! of one Service cannot reach another by what it writes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tidegate_admission::DispatcherSettings;
use tidegate_relay::{Drain, Phase, Server, ServerSettings, listen};
use tidegate_reporter::{ListenPort, ListenPorts, PortProtocol, RevisionName, ServiceMode};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use crate::balancers::Balancers;
use crate::handler::ActivatorHandler;
use crate::metrics::Metrics;
use crate::revision_throttler::RevisionThrottler;
use crate::tcp_port::{self, Announcement, Instances, TcpPort, Whose};

/// Time between two attempts to bind a port that is in use.
const RETRY: Duration = Duration::from_secs(2);

/// What listens on those ports.
pub(crate) struct RevisionPorts {
    handler: ActivatorHandler,
    settings: ServerSettings,
    dispatch: DispatcherSettings,
    drain: Drain,
    address: IpAddr,
    metrics: Metrics,
    /// Places of connections that are passed on as they are.
    places: Arc<Semaphore>,
    open: BTreeMap<u16, OpenPort>,
    /// Ports that could not be opened and were logged: each is logged once.
    missing: BTreeSet<u16>,
}

/// A port that is listened on. Dropped, it accepts no more; its connections go on.
struct OpenPort {
    revision: RevisionName,
    accepting: JoinHandle<()>,
    /// The phase of this port's connections: once the revision's Service leads to its instances
    /// again they are let go, each after the response that it waits for.
    drain: Drain,
    /// Where its connections are passed on to as they are; `None` for HTTP.
    instances: Option<Arc<RevisionThrottler>>,
}

impl OpenPort {
    /// Whether it does what is wanted, but for what can be changed while it is open.
    fn is_for(&self, wanted: &ListenPort) -> bool {
        let is_tcp = matches!(wanted.protocol, PortProtocol::Tcp { .. });
        self.revision == wanted.revision && self.instances.is_some() == is_tcp
    }

    fn follow(&self, wanted: &ListenPort) {
        let phase = match wanted.mode {
            ServiceMode::Proxy => Phase::Serving,
            ServiceMode::Serve => Phase::Draining,
        };
        self.drain.set_phase(phase);
        if let (Some(instances), PortProtocol::Tcp { addresses }) =
            (&self.instances, &wanted.protocol)
        {
            instances.set_endpoints(&tcp_port::instances(addresses));
        }
    }

    /// Resolves once the listener is closed.
    async fn close(mut self) {
        self.drain.set_phase(Phase::Draining);
        self.accepting.abort();
        // Its error is the cancellation of the line above.
        let _ = (&mut self.accepting).await;
    }
}

impl Drop for OpenPort {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl RevisionPorts {
    /// None yet, all at `address`; `places` are those of connections that are passed on.
    pub(crate) fn new(
        handler: ActivatorHandler,
        (settings, dispatch): (ServerSettings, DispatcherSettings),
        (address, places): (IpAddr, Arc<Semaphore>),
    ) -> Self {
        let (drain, metrics) = (handler.drain.clone(), handler.metrics.clone());
        let (open, missing) = (BTreeMap::new(), BTreeSet::new());
        Self { handler, settings, dispatch, drain, address, metrics, places, open, missing }
    }

    /// Listens on the ports that the controller assigns, until it is cancelled; connections that
    /// are open then, or whose port is given up, go on until they end.
    pub(crate) async fn follow(mut self, mut ports: watch::Receiver<ListenPorts>) {
        loop {
            let wanted = ports.borrow_and_update().clone();
            self.adjust(&wanted).await;
            let changed = ports.changed();
            let is_over = match self.missing.is_empty() {
                true => changed.await.is_err(),
                false => matches!(tokio::time::timeout(RETRY, changed).await, Ok(Err(_))),
            };
            if is_over {
                // The controller's side is gone: the open ports stay open.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Opens and closes what has changed.
    async fn adjust(&mut self, wanted: &ListenPorts) {
        let gone =
            |port: &u16, open: &OpenPort| wanted.get(port).is_none_or(|port| !open.is_for(port));
        let gone: Vec<u16> =
            self.open.iter().filter(|(port, open)| gone(port, open)).map(|(p, _)| *p).collect();
        for port in gone {
            if let Some(open) = self.open.remove(&port) {
                // As long as the listener is there no other revision can have its port.
                open.close().await;
            }
        }
        self.missing.retain(|port| wanted.contains_key(port));
        for (port, wanted) in wanted {
            if let Some(open) = self.open.get(port) {
                open.follow(wanted);
                continue;
            }
            let address = SocketAddr::new(self.address, *port);
            match listen(address).and_then(TcpListener::from_std) {
                Ok(listener) => {
                    self.missing.remove(port);
                    self.open(*port, wanted, listener);
                }
                Err(error) => {
                    if self.missing.insert(*port) {
                        let revision = &wanted.revision;
                        tracing::warn!(%address, %error, ?revision, "cannot listen for a revision");
                    }
                }
            }
        }
        self.metrics.ports(self.open.len(), self.missing.len());
    }

    fn open(&mut self, port: u16, wanted: &ListenPort, listener: TcpListener) {
        let revision = wanted.revision.clone();
        let drain = self.drain.part();
        let (accepting, instances) = match &wanted.protocol {
            PortProtocol::Http => {
                let handler =
                    ActivatorHandler { revision: Some(revision.clone()), ..self.handler.clone() };
                let server = Server::new(handler, self.settings, drain.clone());
                (tokio::spawn(async move { server.serve_listener(listener).await }), None)
            }
            PortProtocol::Tcp { .. } => {
                let instances = RevisionThrottler::new(revision.clone(), self.dispatch);
                let port = TcpPort {
                    whose: Whose::Revision(revision.clone()),
                    throttler: Arc::clone(&self.handler.throttler),
                    instances: Instances::OfPort(Arc::clone(&instances)),
                    places: Arc::clone(&self.places),
                    drain: drain.clone(),
                    metrics: self.metrics.clone(),
                    balancers: Balancers::default(),
                    announcement: Announcement::Nothing,
                    limits: self.handler.queueing.limits.stream,
                };
                (tokio::spawn(port.serve(listener)), Some(instances))
            }
        };
        let open = OpenPort { revision, accepting, drain, instances };
        open.follow(wanted);
        self.open.insert(port, open);
    }
}
