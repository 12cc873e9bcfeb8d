//! Further addresses of an activator that runs, each for one route: whoever connects there takes
//! it, whatever host and path a request names.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tidegate_relay::{Drain, Phase, Server, ServerSettings};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::balancers::Balancers;
use crate::config::Carries;
use crate::handler::ActivatorHandler;
use crate::listeners::accept;
use crate::tcp_port::{Announcement, Instances, TcpPort, Whose};

/// What opens doors.
pub(crate) struct Doors {
    handler: ActivatorHandler,
    settings: ServerSettings,
    balancers: Balancers,
    /// Places of connections that are passed on as they are.
    places: Arc<Semaphore>,
}

/// An address for one route. Dropped, it accepts no more; its connections go on, each until the
/// response that it waits for.
pub struct Door {
    address: SocketAddr,
    drain: Drain,
    accepting: JoinHandle<()>,
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Door {
    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts no more; resolves once the address is free.
    pub async fn close(mut self) {
        self.drain.set_phase(Phase::Draining);
        self.accepting.abort();
        // Its error is the cancellation of the line above.
        let _ = (&mut self.accepting).await;
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.drain.set_phase(Phase::Draining);
        self.accepting.abort();
    }
}

impl Doors {
    /// What has `handler` handle requests, within these bounds.
    pub(crate) fn new(
        handler: &ActivatorHandler,
        (settings, balancers, places): (ServerSettings, &Balancers, &Arc<Semaphore>),
    ) -> Self {
        let (handler, balancers) = (handler.clone(), balancers.clone());
        Self { handler, settings, balancers, places: Arc::clone(places) }
    }

    /// Serves what connects to `listener` by `route`, in a task of the current runtime.
    pub(crate) fn open(
        &self,
        listener: std::net::TcpListener,
        route: &str,
        carries: Carries,
    ) -> io::Result<Door> {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let address = listener.local_addr()?;
        let drain = self.handler.drain.part();
        let route: Arc<str> = route.into();
        let accepting = match carries {
            Carries::Http => {
                let handler = ActivatorHandler { route: Some(route), ..self.handler.clone() };
                let server = Server::new(handler, self.settings, drain.clone());
                tokio::spawn(accept(server, listener, (self.balancers.clone(), None)))
            }
            Carries::Tcp => {
                let port = TcpPort {
                    whose: Whose::OfRoute(Arc::clone(&self.handler.routes), route),
                    throttler: Arc::clone(&self.handler.throttler),
                    instances: Instances::OfRevision,
                    places: Arc::clone(&self.places),
                    drain: drain.clone(),
                    metrics: self.handler.metrics.clone(),
                    balancers: self.balancers.clone(),
                    announcement: Announcement::Nothing,
                    limits: self.handler.queueing.limits.stream,
                };
                tokio::spawn(port.serve(listener))
            }
        };
        Ok(Door { address, drain, accepting })
    }
}
