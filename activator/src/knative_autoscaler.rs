//! The same numbers for a Knative autoscaler, over the WebSocket that its own activators push to.
//!
//! Knative adds up what one activator says of a revision within a second, so a second is said once.
//! The exception is the request that wakes a revision: it is said at once, as one request in
//! flight, and taken off the second that it belongs to. What cannot be sent is dropped and counted,
//! as Knative's activator drops it: a number of the past is of no use to an autoscaler that does
//! not know when it was.

use std::str::FromStr;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use prost::Message as _;
use tidegate_dial::Host;
use tidegate_proto::knative::{Stat as KnativeStat, WireStatMessage, WireStatMessages};
use tidegate_proto::stats::v1::Stat;
use tidegate_reporter::{Backoff, RevisionName};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::metrics::{Metrics, Pushed};

/// Numbers that wait to be sent: two seconds of a thousand revisions.
const QUEUED_MAX: usize = 2_048;

/// Numbers that go into one message, as many as Knative's activator takes together.
const BATCH_MAX: usize = 1_000;

/// Longest message that is read: the autoscaler says nothing but pings, pongs and a close.
const READ_BYTES_MAX: usize = 4 << 10;

/// How long connecting and its handshake may take; Knative's.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(3);

/// Time between two pings; Knative's.
const PING_EVERY: Duration = Duration::from_millis(3_300);

/// Silence after which the connection is given up; Knative's.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// Where a Knative autoscaler takes numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnativeAddress {
    host: String,
    port: u16,
}

impl FromStr for KnativeAddress {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
        match port.parse() {
            Ok(port) if port > 0 && !host.is_empty() && host.bytes().all(is_host) => {
                Ok(Self { host: host.to_owned(), port })
            }
            _ => Err("expected HOST:PORT, such as autoscaler.knative-serving:8080"),
        }
    }
}

/// Why a report is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// A second has passed.
    Due,
    /// A queue has formed, or grown.
    Early,
}

/// What makes up one revision's numbers.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Concurrency times milliseconds, and milliseconds, of the second so far.
    concurrency_ms: f64,
    length_ms: f64,
    requests: f64,
    /// Requests in flight that were said ahead of their second.
    ahead: f64,
    /// Whether the last second had nothing in it, so that the next request wakes the revision.
    is_idle: bool,
}

/// What is said of a revision: its average concurrency, and its requests.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Said {
    concurrency: f64,
    requests: f64,
}

impl Ledger {
    /// That of a revision of which nothing was said yet.
    pub(crate) fn new() -> Self {
        Self { is_idle: true, ..Self::default() }
    }

    /// A part of a second has ended because a queue formed. Gives what wakes the revision.
    pub(crate) fn early(&mut self, stat: &Stat) -> Option<Said> {
        self.add(stat);
        if !std::mem::take(&mut self.is_idle) {
            return None;
        }
        self.ahead = 1.0;
        Some(Said { concurrency: 1.0, requests: 1.0 })
    }

    /// A second has ended. Gives what is said of it; nothing of one that is as idle as the last.
    pub(crate) fn in_turn(&mut self, stat: &Stat) -> Option<Said> {
        self.add(stat);
        let average = if self.length_ms > 0.0 { self.concurrency_ms / self.length_ms } else { 0.0 };
        let ahead = self.ahead;
        let said = Said {
            concurrency: (average - ahead).max(0.0),
            requests: (self.requests - ahead).max(0.0),
        };
        let was_idle = self.is_idle;
        let is_idle = average == 0.0 && self.requests == 0.0;
        *self = Self { is_idle, ..Self::default() };
        (!(was_idle && is_idle)).then_some(said)
    }

    fn add(&mut self, stat: &Stat) {
        let length_ms = f64::from(stat.period_length_ms);
        self.concurrency_ms += stat.average_concurrency * length_ms;
        self.length_ms += length_ms;
        self.requests += stat.request_count as f64;
    }
}

/// Takes numbers for the autoscaler; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct KnativeAutoscaler {
    name: String,
    queue: mpsc::Sender<WireStatMessage>,
    metrics: Metrics,
}

impl KnativeAutoscaler {
    /// Takes numbers for the autoscaler at `address`, under the name of this activator; a task of
    /// `tasks` pushes them, until the last clone is gone.
    pub(crate) fn start(
        address: &KnativeAddress,
        name: &str,
        metrics: Metrics,
        tasks: &mut JoinSet<()>,
    ) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUED_MAX);
        tasks.spawn(push(Host::new(&address.host), address.port, waiting, metrics.clone()));
        Self { name: name.to_owned(), queue, metrics }
    }

    /// Hears a report of a revision, and says what follows from it. Never waits.
    pub(crate) fn hear(
        &self,
        ledger: &mut Ledger,
        revision: &RevisionName,
        stat: &Stat,
        turn: Turn,
    ) {
        let said = match turn {
            Turn::Due => ledger.in_turn(stat),
            Turn::Early => ledger.early(stat),
        };
        let Some(said) = said else { return };
        let stat = KnativeStat {
            pod_name: self.name.clone(),
            average_concurrent_requests: said.concurrency,
            request_count: said.requests,
            ..KnativeStat::default()
        };
        let message = WireStatMessage {
            namespace: revision.namespace.clone(),
            name: revision.name.clone(),
            stat: Some(stat),
        };
        if self.queue.try_send(message).is_err() {
            self.metrics.knative_stats(Pushed::Dropped, 1);
        }
    }
}

type Socket = WebSocketStream<TcpStream>;

/// Pushes until nobody says anything any more.
async fn push(
    host: Host,
    port: u16,
    mut waiting: mpsc::Receiver<WireStatMessage>,
    metrics: Metrics,
) {
    let backoff = Backoff::default();
    let mut failures = 0;
    loop {
        let connected = timeout(HANDSHAKE_TIMEOUT, connect(&host, port)).await;
        let error = match connected {
            Ok(Ok(socket)) => {
                tracing::info!(host = host.name(), port, "pushing to Knative's autoscaler");
                failures = 0;
                match serve(socket, &mut waiting, &metrics).await {
                    Ok(()) => return,
                    Err(error) => error.to_string(),
                }
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no WebSocket within {} s", HANDSHAKE_TIMEOUT.as_secs()),
        };
        if failures == 0 {
            tracing::warn!(host = host.name(), port, error, "Knative's autoscaler is not reached");
        }
        let next = sleep(backoff.wait(failures, Backoff::random()));
        failures = failures.saturating_add(1);
        tokio::pin!(next);
        loop {
            tokio::select! {
                () = &mut next => break,
                message = waiting.recv() => match message {
                    Some(_) => metrics.knative_stats(Pushed::Dropped, 1),
                    None => return,
                },
            }
        }
    }
}

async fn connect(host: &Host, port: u16) -> Result<Socket, tungstenite::Error> {
    let stream = host.connect(port).await?;
    stream.set_nodelay(true)?;
    let name = match host.name().contains(':') {
        true => format!("[{}]", host.name()),
        false => host.name().to_owned(),
    };
    let config = WebSocketConfig::default()
        .max_message_size(Some(READ_BYTES_MAX))
        .max_frame_size(Some(READ_BYTES_MAX));
    let url = format!("ws://{name}:{port}/");
    let (socket, _) = client_async_with_config(url, stream, Some(config)).await?;
    Ok(socket)
}

/// Pushes over one connection. Ends without an error when nobody says anything any more.
async fn serve(
    mut socket: Socket,
    waiting: &mut mpsc::Receiver<WireStatMessage>,
    metrics: &Metrics,
) -> Result<(), tungstenite::Error> {
    let mut pings = interval_at(Instant::now() + PING_EVERY, PING_EVERY);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut heard = Instant::now();
    let mut messages = Vec::new();
    loop {
        tokio::select! {
            count = waiting.recv_many(&mut messages, BATCH_MAX) => {
                if count == 0 {
                    return socket.close(None).await;
                }
                let batch = WireStatMessages { messages: std::mem::take(&mut messages) };
                let sent = socket.send(Message::Binary(batch.encode_to_vec().into())).await;
                let became = if sent.is_ok() { Pushed::Sent } else { Pushed::Dropped };
                metrics.knative_stats(became, count as u64);
                sent?;
            }
            _ = pings.tick() => {
                if heard.elapsed() > SILENCE_MAX {
                    return Err(tungstenite::Error::Io(std::io::ErrorKind::TimedOut.into()));
                }
                socket.send(Message::Ping(Vec::new().into())).await?;
            }
            message = socket.next() => match message {
                None | Some(Ok(Message::Close(_))) => {
                    return Err(tungstenite::Error::ConnectionClosed);
                }
                Some(Ok(_)) => heard = Instant::now(),
                Some(Err(error)) => return Err(error),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(average_concurrency: f64, period_length_ms: u32, request_count: u64) -> Stat {
        Stat { average_concurrency, period_length_ms, request_count, ..Stat::default() }
    }

    fn said(concurrency: f64, requests: f64) -> Option<Said> {
        Some(Said { concurrency, requests })
    }

    #[test]
    fn the_first_request_is_said_at_once_and_taken_off_its_second() {
        let mut ledger = Ledger::new();
        assert_eq!(ledger.in_turn(&stat(0.0, 1_000, 0)), None, "nothing is nothing new");
        assert_eq!(ledger.early(&stat(1.0, 400, 1)), said(1.0, 1.0));
        assert_eq!(ledger.early(&stat(2.0, 100, 1)), None, "it is awake");
        // (1 * 400 + 2 * 100 + 4 * 500) / 1,000 = 2.6 in flight, of which one was said.
        assert_eq!(ledger.in_turn(&stat(4.0, 500, 2)), said(1.6, 3.0));
        assert_eq!(ledger.in_turn(&stat(4.0, 1_000, 5)), said(4.0, 5.0));
    }

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for text in ["autoscaler:8080", "127.0.0.1:1", "[::1]:65535"] {
            assert!(KnativeAddress::from_str(text).is_ok(), "{text}");
        }
        for text in ["", "autoscaler", ":8080", "a:0", "a:65536", "a b:1", "ws://a:1", "a/b:1"] {
            assert!(KnativeAddress::from_str(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_end_of_it_is_said_once() {
        let mut ledger = Ledger::new();
        assert_eq!(ledger.in_turn(&stat(0.5, 1_000, 3)), said(0.5, 3.0));
        assert_eq!(ledger.in_turn(&stat(0.0, 1_000, 0)), said(0.0, 0.0));
        assert_eq!(ledger.in_turn(&stat(0.0, 1_000, 0)), None);
        assert_eq!(ledger.early(&stat(0.1, 10, 1)), said(1.0, 1.0), "and it can be woken again");
        assert_eq!(ledger.in_turn(&stat(0.0, 990, 0)), said(0.0, 0.0), "never below zero");
    }
}
