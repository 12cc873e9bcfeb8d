//! An upstream: the address that requests are forwarded to, and the connections kept to it.

mod dial;
mod http2;
pub(crate) mod liveness;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

use http::{HeaderValue, Version};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::exchange::origin::H1Origin;
use crate::head::RequestHead;
use crate::io::Io;
use http2::Sender;

/// Where an upstream listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// A TCP socket.
    Tcp(SocketAddr),
    /// A TCP port of this machine: 127.0.0.1, or `[::1]` where an app listens only there, as
    /// servers that bind `localhost` may.
    Loopback(u16),
    /// A Unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => address.fmt(formatter),
            Address::Loopback(port) => {
                SocketAddr::from((Ipv4Addr::LOCALHOST, *port)).fmt(formatter)
            }
            Address::Unix(path) => path.display().fmt(formatter),
        }
    }
}

/// The protocol of the connections to an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 without TLS, by prior knowledge.
    Http2,
}

/// How long to wait for an upstream that neither accepts a connection nor refuses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ConnectPatience {
    /// Fifteen attempts, the first of 50 ms and each further one 1.4 times as long, some 20 s
    /// together: what Knative's sidecar has for the app, to which there is no other.
    #[default]
    Growing,
    /// One attempt, for a caller that has other upstreams.
    Once(Duration),
}

/// How an upstream's connections are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpstreamSettings {
    /// The most idle HTTP/1 connections kept. A sidecar sets it to its concurrency limit, so
    /// that no connection is closed only to be opened again.
    pub idle_max: usize,
    /// How long an HTTP/1 connection may wait for its next request.
    pub idle_timeout: Duration,
}

impl Default for UpstreamSettings {
    /// A thousand idle connections for ninety seconds: what Knative's sidecar keeps.
    fn default() -> UpstreamSettings {
        UpstreamSettings { idle_max: 1000, idle_timeout: Duration::from_secs(90) }
    }
}

/// One address, and the connections to it.
///
/// Connections belong to the event loop that opened them: a program with several threads gives
/// each its own `Upstream`, and no request ever changes threads.
pub struct Upstream {
    address: Address,
    /// The address as a host, for requests that name none.
    host: HeaderValue,
    settings: UpstreamSettings,
    /// The most recently used last: connections at the bottom expire.
    idle: Mutex<Vec<Idle>>,
    http2: Mutex<Vec<Sender>>,
    /// Held by the stream that makes an HTTP/2 connection, which the others then share.
    dialling_http2: tokio::sync::Mutex<()>,
    learned: AtomicU8,
    /// Of a [`Address::Loopback`]: whether `[::1]` took the last connection.
    on_ipv6: AtomicBool,
}

/// A connection to an upstream that nothing was sent on.
pub struct Stream(pub(crate) Box<dyn Io>);

impl fmt::Debug for Stream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Stream").finish_non_exhaustive()
    }
}

struct Idle {
    origin: Box<H1Origin>,
    since: Instant,
}

impl Upstream {
    /// An upstream without a connection. Nothing is dialled until a request arrives.
    pub fn new(address: Address, settings: UpstreamSettings) -> Upstream {
        let host = match &address {
            // An address is digits, colons and brackets.
            Address::Tcp(_) | Address::Loopback(_) => {
                HeaderValue::try_from(address.to_string()).ok()
            }
            Address::Unix(_) => None,
        };
        Upstream {
            host: host.unwrap_or(HeaderValue::from_static("localhost")),
            address,
            settings,
            idle: Mutex::default(),
            http2: Mutex::default(),
            dialling_http2: tokio::sync::Mutex::default(),
            learned: AtomicU8::new(UNKNOWN),
            on_ipv6: AtomicBool::new(false),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The address as a host, for requests that name none: what Go's client puts there.
    pub(crate) fn host(&self) -> &HeaderValue {
        &self.host
    }

    /// How many connections are idle.
    pub fn idle_connections(&self) -> usize {
        self.idle.lock().len()
    }

    /// Closes connections that have been idle for too long. Call it every few seconds;
    /// connections are also checked when they are about to be used.
    pub fn close_expired(&self) {
        let now = Instant::now();
        let keeps = |idle: &Idle| now - idle.since < self.settings.idle_timeout;
        self.idle.lock().retain(|idle| keeps(idle) && idle.origin.connection.io().is_quiet());
    }

    /// Closes every idle connection.
    pub fn close_idle(&self) {
        self.idle.lock().clear();
        self.http2.lock().clear();
    }

    /// The protocol for a request: the one that it arrived by, unless the upstream has shown that
    /// it supports only the other.
    pub(crate) fn protocol_for(&self, head: &RequestHead) -> Protocol {
        match self.only_protocol() {
            Some(Protocol::Http1) => Protocol::Http1,
            // An upgrade exists in HTTP/1.1 only.
            _ if head.upgrade.is_some() => Protocol::Http1,
            Some(Protocol::Http2) => Protocol::Http2,
            None if head.version == Version::HTTP_2 => Protocol::Http2,
            None => Protocol::Http1,
        }
    }

    /// The only protocol that the upstream supports, where it has shown one.
    fn only_protocol(&self) -> Option<Protocol> {
        match self.learned.load(Ordering::Relaxed) {
            HTTP1_ONLY => Some(Protocol::Http1),
            HTTP2_ONLY => Some(Protocol::Http2),
            _ => None,
        }
    }

    /// Remembers the only protocol that the upstream supports.
    pub(crate) fn learn(&self, protocol: Protocol) {
        let value = match protocol {
            Protocol::Http1 => HTTP1_ONLY,
            Protocol::Http2 => HTTP2_ONLY,
        };
        self.learned.store(value, Ordering::Relaxed);
    }

    /// Forgets the protocol, because the app at this address may have been replaced.
    fn unlearn(&self) {
        self.learned.store(UNKNOWN, Ordering::Relaxed);
    }

    /// The connection used last, unless it has expired or was closed.
    pub(crate) fn take_idle(&self, now: Instant) -> Option<Box<H1Origin>> {
        loop {
            let idle = self.idle.lock().pop()?;
            let fresh = now.saturating_duration_since(idle.since) < self.settings.idle_timeout;
            if fresh && idle.origin.connection.io().is_quiet() {
                return Some(idle.origin);
            }
        }
    }

    /// Keeps a connection for the next exchange. `since` is when its last one began, which is exact
    /// enough and saves a reading of the clock.
    pub(crate) fn put_back(&self, mut origin: Box<H1Origin>, since: Instant) {
        origin.rest();
        let mut idle = self.idle.lock();
        if idle.len() < self.settings.idle_max {
            idle.push(Idle { origin, since });
        }
    }
}

const UNKNOWN: u8 = 0;
const HTTP1_ONLY: u8 = 1;
const HTTP2_ONLY: u8 = 2;

impl fmt::Debug for Upstream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Upstream")
            .field("address", &self.address)
            .field("idle", &self.idle_connections())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn idle_connections_have_a_number_and_a_time() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port is free");
        let address = Address::Tcp(listener.local_addr().expect("it is bound"));
        let idle_timeout = Duration::from_secs(90);
        let upstream = Upstream::new(address, UpstreamSettings { idle_max: 2, idle_timeout });
        let patience = ConnectPatience::Once(Duration::from_secs(1));
        let since = Instant::now();
        let mut accepted = Vec::new();
        for _ in 0..3 {
            let (connection, _) = upstream.dial(patience).await.expect("it listens");
            accepted.push(listener.accept().await.expect("it was dialled"));
            upstream.put_back(Box::new(H1Origin::new(connection)), since);
        }
        assert_eq!(upstream.idle_connections(), 2, "one more is closed");
        tokio::time::advance(idle_timeout / 2).await;
        upstream.close_expired();
        assert_eq!(upstream.idle_connections(), 2);
        assert!(upstream.take_idle(Instant::now()).is_some());
        tokio::time::advance(idle_timeout / 2).await;
        assert!(upstream.take_idle(Instant::now()).is_none(), "its time is over");
        assert_eq!(upstream.idle_connections(), 0);
    }
}
