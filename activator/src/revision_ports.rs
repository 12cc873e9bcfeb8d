//! Ports whose requests are one revision's, whatever they name.
//!
//! The controller says which there are. A cluster leads a Service's requests to one of them while
//! the Service has no pod: neither host nor headers have to name the revision then.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tidegate_relay::{Drain, Server, ServerSettings, listen};
use tidegate_reporter::{ListenPorts, RevisionName};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::handler::ActivatorHandler;

/// Time between two tries to listen on a port that somebody else has.
const RETRY: Duration = Duration::from_secs(2);

/// What listens on those ports.
pub(crate) struct RevisionPorts {
    handler: ActivatorHandler,
    settings: ServerSettings,
    drain: Drain,
    address: IpAddr,
    open: BTreeMap<u16, OpenPort>,
    serving: JoinSet<()>,
}

/// A port that is listened on.
struct OpenPort {
    revision: RevisionName,
    task: tokio::task::AbortHandle,
}

impl RevisionPorts {
    /// None yet, all at `address`.
    pub(crate) fn new(
        handler: ActivatorHandler,
        settings: ServerSettings,
        drain: Drain,
        address: IpAddr,
    ) -> Self {
        let (open, serving) = (BTreeMap::new(), JoinSet::new());
        Self { handler, settings, drain, address, open, serving }
    }

    /// Listens where the controller says, until it is cancelled; connections that are open then,
    /// or whose port is given up, go on until they end.
    pub(crate) async fn follow(mut self, mut ports: watch::Receiver<ListenPorts>) {
        loop {
            let wanted = ports.borrow_and_update().clone();
            let is_whole = self.adjust(&wanted);
            while self.serving.try_join_next().is_some() {}
            let changed = ports.changed();
            let is_over = match is_whole {
                true => changed.await.is_err(),
                false => matches!(tokio::time::timeout(RETRY, changed).await, Ok(Err(_))),
            };
            if is_over {
                // Nobody will say anything new; what is open stays.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Opens and closes what has changed. Returns whether all that are wanted are open.
    fn adjust(&mut self, wanted: &ListenPorts) -> bool {
        self.open.retain(|port, open| {
            let stays = wanted.get(port) == Some(&open.revision);
            if !stays {
                open.task.abort();
            }
            stays
        });
        let mut is_whole = true;
        for (port, revision) in wanted {
            if self.open.contains_key(port) {
                continue;
            }
            let address = SocketAddr::new(self.address, *port);
            match listen(address).and_then(TcpListener::from_std) {
                Ok(listener) => self.open(*port, revision.clone(), listener),
                Err(error) => {
                    tracing::warn!(%address, %error, ?revision, "cannot listen for a revision");
                    is_whole = false;
                }
            }
        }
        is_whole
    }

    fn open(&mut self, port: u16, revision: RevisionName, listener: TcpListener) {
        let handler = ActivatorHandler { revision: Some(revision.clone()), ..self.handler.clone() };
        let server = Server::new(handler, self.settings, self.drain.clone());
        let task = self.serving.spawn(async move { server.serve_listener(listener).await });
        self.open.insert(port, OpenPort { revision, task });
    }
}
