//! Between Knative's activators and its autoscaler: every byte is passed on, and heard.
//!
//! An activator sends the statistics of all revisions to the one address that it knows, the Service
//! `autoscaler`; Knative's autoscaler takes what is its and has nothing to do with the rest. That
//! Service leads here, and from here each connection goes on to Knative's autoscaler unchanged. So
//! Knative's own class goes on as before, whatever we understand, and an activator that cannot
//! reach its autoscaler finds that out as before.

use std::sync::Arc;
use std::time::Duration;

use tidegate_kubernetes_podautoscaler::listener::Listener;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

use super::metrics::Metrics;

/// Connections at a time. Each activator and each of Knative's autoscalers has one.
const CONNECTIONS_MAX: usize = 1_024;

/// How long it may take to connect to Knative's autoscaler: as long as an activator waits for the
/// whole of its handshake.
const AUTOSCALER_CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a connection may be silent. An activator sends a ping every 3.3 seconds, and takes a
/// connection for dead after ten.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// How much is read at once.
const READ_BYTES: usize = 16 << 10;

/// How long to wait after a connection could not be accepted: the process has no more files.
const FILES_PAUSE: Duration = Duration::from_millis(100);

/// A message of an activator.
pub(crate) type Message = Vec<u8>;

/// Passes connections on to `upstream`, a host and port, for ever; what is heard goes to `heard`.
pub(crate) async fn serve(
    listener: TcpListener,
    upstream: String,
    heard: mpsc::Sender<Message>,
    metrics: Metrics,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let upstream: Arc<str> = upstream.into();
    loop {
        // The semaphore is never closed; who comes beyond the bound waits to be accepted.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Ok((client, _)) = listener.accept().await else {
            tokio::time::sleep(FILES_PAUSE).await;
            continue;
        };
        let (upstream, heard, metrics) = (Arc::clone(&upstream), heard.clone(), metrics.clone());
        tokio::spawn(async move {
            metrics.activators.increment(1.0);
            if let Err(error) = pass_on(client, &upstream, &heard, &metrics).await {
                tracing::warn!(%upstream, %error, "a connection of an activator has ended");
            }
            metrics.activators.decrement(1.0);
            drop(place);
        });
    }
}

async fn pass_on(
    client: TcpStream,
    upstream: &str,
    heard: &mpsc::Sender<Message>,
    metrics: &Metrics,
) -> std::io::Result<()> {
    let server = timeout(AUTOSCALER_CONNECT_TIMEOUT, TcpStream::connect(upstream)).await??;
    // A first request is one small message, and somebody waits for it.
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let there = listen_in(from_client, to_server, heard, metrics);
    let back = copy(from_server, to_client);
    tokio::try_join!(there, back).map(|_| ())
}

/// From the activator to the autoscaler. What is passed on is passed on first.
async fn listen_in(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    heard: &mpsc::Sender<Message>,
    metrics: &Metrics,
) -> std::io::Result<()> {
    let mut listener = Listener::default();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let count = timeout(SILENCE_MAX, from.read(&mut buffer)).await??;
        if count == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..count]).await?;
        for message in listener.pass(&buffer[..count]) {
            match heard.try_send(message) {
                Ok(()) => metrics.heard_directly.increment(1),
                Err(_) => metrics.lost_too_many.increment(1),
            }
        }
        metrics.lost_too_long.increment(listener.take_skipped());
    }
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) -> std::io::Result<()> {
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let count = timeout(SILENCE_MAX, from.read(&mut buffer)).await??;
        if count == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..count]).await?;
    }
}
