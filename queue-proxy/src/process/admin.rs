//! The listeners beside the main one: the drain's, statistics, metrics. Always plain text.

use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};
use tidegate_admin::{metrics_reply, not_found};
use tidegate_proto::{LOAD_CONTENT_TYPE, LOAD_PATH, STAT_CONTENT_TYPE};
use tidegate_relay as relay;
use tidegate_relay::{Exchange, Handler, Interrupted, Reply, Server, ServerSettings, TimeLimits};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::drain::Stage;
use crate::gate::Gate;
use crate::metrics::Metrics;
use crate::statistics::{LoadStream, Snapshot};

/// Begins a drain that nothing undoes.
const DRAIN_PATH: &[u8] = crate::begin_drain::PATH.as_bytes();
/// Time in which the head of a scrape must arrive, as in Knative.
const METRICS_HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a listener may take to take a message: it gets one every second.
const LISTENER_PATIENCE: Duration = Duration::from_secs(5);

/// The hook that begins a drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DrainRequest {
    /// A hook of the app's container, which runs also where that container alone is restarted.
    App,
    /// The sidecar's own hook: its pod ends.
    Sidecar,
}

/// What the side listeners serve.
pub(super) struct AdminListeners {
    pub(super) side_drain: relay::Drain,
    pub(super) stage: watch::Receiver<Stage>,
    pub(super) requests: mpsc::Sender<DrainRequest>,
    pub(super) snapshot: Snapshot,
    pub(super) load_stream: LoadStream,
    pub(super) metrics: Option<Metrics>,
    pub(super) gate: Gate,
}

impl AdminListeners {
    /// Serves the listeners that there are.
    pub(super) fn open(
        self,
        admin: Option<TcpListener>,
        stats: Option<TcpListener>,
        metrics: Option<TcpListener>,
    ) -> std::io::Result<()> {
        let bounds =
            ServerSettings { callers: relay::Callers::Operators, ..ServerSettings::default() };
        if let Some(listener) = admin {
            let handler = Admin { stage: self.stage.clone(), requests: self.requests };
            spawn(handler, listener, bounds, &self.side_drain)?;
        }
        if let Some(listener) = stats {
            let (snapshot, load_stream) = (self.snapshot, self.load_stream);
            let handler = Stats { snapshot, load_stream, stage: self.stage };
            spawn(handler, listener, bounds, &self.side_drain)?;
        }
        if let (Some(listener), Some(metrics)) = (metrics, self.metrics) {
            let handler = MetricsPage { metrics, gate: self.gate };
            let bounds = ServerSettings { head_timeout: METRICS_HEADER_TIMEOUT, ..bounds };
            spawn(handler, listener, bounds, &self.side_drain)?;
        }
        Ok(())
    }
}

fn spawn<H: Handler>(
    handler: H,
    listener: TcpListener,
    bounds: ServerSettings,
    drain: &relay::Drain,
) -> std::io::Result<()> {
    let server = Server::new(handler, bounds, drain.clone());
    let listener = tokio::net::TcpListener::from_std(listener)?;
    tokio::spawn(async move { server.serve_listener(listener).await });
    Ok(())
}

/// `/wait-for-drain` responds when the drain is over, or was undone; `/drain`, which only this pod
/// may call, begins one that nothing undoes.
struct Admin {
    stage: watch::Receiver<Stage>,
    requests: mpsc::Sender<DrainRequest>,
}

impl Handler for Admin {
    async fn handle(&self, exchange: &mut Exchange) {
        let is_of_this_pod = exchange.peer().is_some_and(|peer| is_localhost(peer.ip()));
        match exchange.head().path() {
            b"/wait-for-drain" => self.wait(exchange).await,
            DRAIN_PATH if is_of_this_pod => {
                let began = self.requests.send(DrainRequest::Sidecar).await;
                tracing::debug!(?began, "the pod ends");
                let _ = exchange.respond(Reply::empty(StatusCode::OK)).await;
            }
            _ => {
                let _ = exchange.respond(not_found()).await;
            }
        }
    }
}

/// The one address: what a service mesh passes on from elsewhere may come from others of loopback.
fn is_localhost(address: IpAddr) -> bool {
    let address = address.to_canonical();
    address == Ipv4Addr::LOCALHOST || address == Ipv6Addr::LOCALHOST
}

impl Admin {
    async fn wait(&self, exchange: &mut Exchange) {
        let mut stage = self.stage.clone();
        let waiting = async {
            if *stage.borrow_and_update() == Stage::Serving {
                // A full channel means that a drain is requested already; a closed one that it is
                // over.
                let _ = self.requests.try_send(DrainRequest::App);
                let _ = stage.wait_for(|stage| *stage != Stage::Serving).await;
            }
            let _ = stage.wait_for(|stage| matches!(stage, Stage::Serving | Stage::Over)).await;
        };
        if exchange.hold(TimeLimits::default(), waiting).await.is_ok() {
            let _ = exchange.respond(Reply::empty(StatusCode::OK)).await;
        }
    }
}

/// The statistics port: `/metrics` is the protobuf that Knative's autoscaler scrapes, always;
/// `/load` goes on for as long as the sidecar serves.
struct Stats {
    snapshot: Snapshot,
    load_stream: LoadStream,
    stage: watch::Receiver<Stage>,
}

impl Handler for Stats {
    async fn handle(&self, exchange: &mut Exchange) {
        let path = exchange.head().path();
        let reply = if path == b"/metrics" {
            let mut reply = Reply::empty(StatusCode::OK)
                .with_header(CONTENT_TYPE, HeaderValue::from_static(STAT_CONTENT_TYPE));
            reply.body = self.snapshot.encoded();
            reply
        } else if path == LOAD_PATH.as_bytes() {
            match self.load_stream.listen() {
                // An error means that the listener has gone.
                Some(newest) => {
                    let _ = self.stream(exchange, newest).await;
                    return;
                }
                None => Reply::empty(StatusCode::SERVICE_UNAVAILABLE),
            }
        } else {
            not_found()
        };
        let _ = exchange.respond(reply).await;
    }
}

impl Stats {
    async fn stream(
        &self,
        exchange: &mut Exchange,
        mut newest: watch::Receiver<Bytes>,
    ) -> Result<(), Interrupted> {
        let mut stage = self.stage.clone();
        let reply = Reply::empty(StatusCode::OK)
            .with_header(CONTENT_TYPE, HeaderValue::from_static(LOAD_CONTENT_TYPE));
        let mut conversation = exchange.converse(reply)?;
        let mut output = Vec::new();
        loop {
            let sending = poll_fn(|cx| conversation.poll_send(cx, &mut output));
            // One that takes nothing loses its place; its response is cut.
            let Ok(sent) = timeout(LISTENER_PATIENCE, sending).await else { return Ok(()) };
            sent?;
            tokio::select! {
                changed = newest.changed() => if changed.is_err() { break },
                _ = stage.wait_for(|stage| *stage != Stage::Serving) => break,
            }
            output.extend_from_slice(&newest.borrow_and_update());
        }
        conversation.end(None).await
    }
}

/// `/metrics` for Prometheus.
struct MetricsPage {
    metrics: Metrics,
    gate: Gate,
}

impl Handler for MetricsPage {
    async fn handle(&self, exchange: &mut Exchange) {
        let head = exchange.head();
        let reply = match head.path() {
            b"/metrics" => metrics_reply(&head.method, &self.metrics.gather(self.gate.levels())),
            _ => not_found(),
        };
        let _ = exchange.respond(reply).await;
    }
}
