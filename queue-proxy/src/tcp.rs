//! The data path of an app whose protocol is its own: what connects to the main listener is passed
//! on as it is, and each connection is one request for as long as it lasts.
//!
//! It passes the gate as a request does, so that a limit and its queue hold for it, the reports
//! count it, and a drain waits for it. What finds no place is reset: to a client of an unknown
//! protocol an orderly end would look like an answer.

use std::sync::Arc;
use std::time::Duration;

use tidegate_admission::Source;
use tidegate_relay::splice::{self, Terms};
use tidegate_relay::{Drain, Upstream};
use tokio::net::TcpStream;

use crate::error::Failure;
use crate::gate::{Admission, Permit};
use crate::proxy::ProxyContext;

/// How long the app may take to accept a connection. It runs beside the sidecar, so one that does
/// not accept within it has its hands full.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// What takes the connections, on one data thread.
#[derive(Clone)]
pub struct TcpProxy {
    /// What all data threads share.
    pub shared: ProxyContext,
    /// The app.
    pub upstream: Arc<Upstream>,
    /// Counts connections as those of the main listener.
    pub drain: Drain,
}

impl TcpProxy {
    /// Passes one connection on until it ends.
    ///
    /// Not cancel safe: the connection is reset.
    pub async fn serve(self, client: TcpStream) {
        let _token = self.drain.enter();
        // Whoever only looks whether the port is open wakes nothing.
        if splice::is_probe(&client).await {
            return;
        }
        self.shared.draining.touch();
        let Some(permit) = self.admit(&client).await else {
            splice::reset(client);
            return;
        };
        let metrics = self.shared.observers.metrics.as_ref();
        if let Some(metrics) = metrics {
            metrics.admitted(self.shared.gate.levels());
        }
        match self.upstream.open(CONNECT_TIMEOUT).await {
            Ok((app, _)) => {
                let terms = Terms { limits: self.shared.limits.stream, ..Terms::default() };
                splice::splice(client, app, terms).await;
            }
            Err(error) => {
                if let Some(metrics) = metrics {
                    metrics.connect_failed();
                }
                tracing::error!("a connection was reset: {error}");
                splice::reset(client);
            }
        }
        drop(permit);
    }

    /// A place at the app; `None` when there is none, or the client has left.
    async fn admit(&self, client: &TcpStream) -> Option<Permit> {
        // An activator that is paired with this sidecar counts each connection too.
        let source = match self.shared.activator_secret {
            Some(_) => Source::Proxied,
            None => Source::Direct,
        };
        let refusal = match self.shared.gate.arrive(source) {
            Admission::Entered(permit) => return Some(permit),
            Admission::Waiting(place) => tokio::select! {
                biased;
                admitted = place => match admitted {
                    Ok(permit) => return Some(permit),
                    Err(refusal) => refusal,
                },
                () = splice::left(client) => return None,
            },
            Admission::Refused(refusal) => refusal,
        };
        if let Some(metrics) = &self.shared.observers.metrics {
            metrics.refused(refusal);
        }
        let failure = Failure::Refused(refusal);
        tracing::info!("a connection was reset: {failure}");
        None
    }
}
