//! What one of us hears of an activator is passed on to the others.
//!
//! An activator connects to any of us, and only one decides. Each of us tells all others, so that
//! the one that decides hears everything, without knowing where the activators are connected.
//!
//! A peer's connection carries messages, each behind its length in four bytes, and nothing back.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tidegate_kubernetes_podautoscaler::listener::MESSAGE_BYTES_MAX;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

use super::metrics::Metrics;
use super::statistics_relay::Message;

/// Peers at a time. There is one that decides, and a few that stand by.
const PEERS_MAX: usize = 16;

/// Messages that wait for one peer; those beyond are lost to it. An activator sends one a second.
const WAITING_MAX: usize = 256;

/// Time between two looks for peers.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// How long it may take to connect to a peer, and to send it one message.
const SEND_TIMEOUT: Duration = Duration::from_secs(3);

/// Takes in what peers have heard, for ever.
pub(crate) async fn serve(listener: TcpListener, heard: mpsc::Sender<Message>, metrics: Metrics) {
    let places = std::sync::Arc::new(Semaphore::new(PEERS_MAX));
    loop {
        let Ok(place) = std::sync::Arc::clone(&places).acquire_owned().await else { return };
        let Ok((peer, address)) = listener.accept().await else {
            tokio::time::sleep(LOOK_INTERVAL).await;
            continue;
        };
        let (heard, metrics) = (heard.clone(), metrics.clone());
        tokio::spawn(async move {
            if let Err(error) = take_in(peer, &heard, &metrics).await {
                tracing::debug!(%address, %error, "a peer is gone");
            }
            drop(place);
        });
    }
}

async fn take_in(
    peer: TcpStream,
    heard: &mpsc::Sender<Message>,
    metrics: &Metrics,
) -> std::io::Result<()> {
    let mut peer = BufReader::new(peer);
    loop {
        let length = peer.read_u32().await?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > MESSAGE_BYTES_MAX {
            return Err(std::io::Error::other(format!("a message of {length} bytes is too long")));
        }
        let mut message = vec![0; length];
        peer.read_exact(&mut message).await?;
        metrics.heard_by_peer.increment(1);
        if heard.try_send(message).is_err() {
            metrics.lost_too_many.increment(1);
        }
    }
}

/// Where peers are.
#[derive(Debug, Clone)]
pub struct Peers {
    /// A host that has the addresses of all of us, and the port that we listen on.
    pub host: String,
    /// Our own address, which is no peer's.
    pub own: IpAddr,
}

/// Passes on what comes from `messages` to all peers and to `own`, for ever.
pub(crate) async fn tell(
    mut messages: mpsc::Receiver<Message>,
    own: mpsc::Sender<Message>,
    peers: Option<Peers>,
    metrics: Metrics,
) {
    let mut links: BTreeMap<SocketAddr, mpsc::Sender<Message>> = BTreeMap::new();
    let mut looks = tokio::time::interval(LOOK_INTERVAL);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            message = messages.recv() => {
                let Some(message) = message else { return };
                for link in links.values() {
                    if let Err(TrySendError::Full(_)) = link.try_send(message.clone()) {
                        metrics.lost_too_many.increment(1);
                    }
                }
                if own.try_send(message).is_err() {
                    metrics.lost_too_many.increment(1);
                }
            }
            _ = looks.tick() => {
                links.retain(|_, link| !link.is_closed());
                let Some(peers) = &peers else { continue };
                for address in addresses(peers).await {
                    if links.len() < PEERS_MAX && !links.contains_key(&address) {
                        let (link, waiting) = mpsc::channel(WAITING_MAX);
                        links.insert(address, link);
                        tokio::spawn(send(address, waiting));
                    }
                }
            }
        }
    }
}

async fn addresses(peers: &Peers) -> Vec<SocketAddr> {
    let found = timeout(LOOK_INTERVAL, tokio::net::lookup_host(&peers.host)).await;
    let Ok(Ok(found)) = found else { return Vec::new() };
    found.filter(|address| address.ip() != peers.own).collect()
}

/// Sends until that fails or nobody gives more.
async fn send(address: SocketAddr, mut messages: mpsc::Receiver<Message>) {
    let Ok(Ok(mut peer)) = timeout(SEND_TIMEOUT, TcpStream::connect(address)).await else { return };
    let _ = peer.set_nodelay(true);
    while let Some(message) = messages.recv().await {
        let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
        let mut bytes = length.to_be_bytes().to_vec();
        bytes.extend(message);
        let sent = timeout(SEND_TIMEOUT, peer.write_all(&bytes)).await;
        if !matches!(sent, Ok(Ok(()))) {
            return;
        }
    }
}
