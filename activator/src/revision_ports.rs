//! Ports that belong to one revision each, whatever host and headers a request names.
//!
//! The controller assigns them. A cluster routes a Service's requests to one of them while the
//! Service has no pod: host and headers need not name the revision then, and are ignored. A client
//! of one Service cannot reach another by what it writes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tidegate_relay::{Drain, Server, ServerSettings, listen};
use tidegate_reporter::{ListenPorts, RevisionName};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::handler::ActivatorHandler;
use crate::metrics::Metrics;

/// Time between two attempts to bind a port that is in use.
const RETRY: Duration = Duration::from_secs(2);

/// What listens on those ports.
pub(crate) struct RevisionPorts {
    handler: ActivatorHandler,
    settings: ServerSettings,
    drain: Drain,
    address: IpAddr,
    metrics: Metrics,
    open: BTreeMap<u16, OpenPort>,
    /// Ports that could not be opened and were logged: each is logged once.
    missing: BTreeSet<u16>,
}

/// A port that is listened on. Dropped, it accepts no more; its connections go on.
struct OpenPort {
    revision: RevisionName,
    accepting: JoinHandle<()>,
}

impl OpenPort {
    /// Resolves once the listener is closed.
    async fn close(mut self) {
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
    /// None yet, all at `address`.
    pub(crate) fn new(
        handler: ActivatorHandler,
        settings: ServerSettings,
        drain: Drain,
        address: IpAddr,
    ) -> Self {
        let metrics = handler.metrics.clone();
        let (open, missing) = (BTreeMap::new(), BTreeSet::new());
        Self { handler, settings, drain, address, metrics, open, missing }
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
        let gone = |port: &u16, open: &OpenPort| wanted.get(port) != Some(&open.revision);
        let gone: Vec<u16> =
            self.open.iter().filter(|(port, open)| gone(port, open)).map(|(p, _)| *p).collect();
        for port in gone {
            if let Some(open) = self.open.remove(&port) {
                // As long as the listener is there no other revision can have its port.
                open.close().await;
            }
        }
        self.missing.retain(|port| wanted.contains_key(port));
        for (port, revision) in wanted {
            if self.open.contains_key(port) {
                continue;
            }
            let address = SocketAddr::new(self.address, *port);
            match listen(address).and_then(TcpListener::from_std) {
                Ok(listener) => {
                    self.missing.remove(port);
                    self.open(*port, revision.clone(), listener);
                }
                Err(error) => {
                    if self.missing.insert(*port) {
                        tracing::warn!(%address, %error, ?revision, "cannot listen for a revision");
                    }
                }
            }
        }
        self.metrics.ports(self.open.len(), self.missing.len());
    }

    fn open(&mut self, port: u16, revision: RevisionName, listener: TcpListener) {
        let handler = ActivatorHandler { revision: Some(revision.clone()), ..self.handler.clone() };
        let server = Server::new(handler, self.settings, self.drain.clone());
        let accepting = tokio::spawn(async move { server.serve_listener(listener).await });
        self.open.insert(port, OpenPort { revision, accepting });
    }
}
