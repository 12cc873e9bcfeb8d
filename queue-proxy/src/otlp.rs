//! Pushing traces and metrics in the OpenTelemetry protocol, over HTTP/1.1 or gRPC.
//!
//! One task sends; a bounded channel leads to it. A collector that is slow or gone costs records,
//! which are counted, and never the data path.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use prost::Message as _;
use tidegate_otlp::{Message, Signal, Transport};
use tidegate_telemetry::Family;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::{Instant, MissedTickBehavior};

use crate::trace::span::{Resource, Span};

mod convert;
pub mod push;

use crate::tls;
use push::Otlp;

pub use tidegate_otlp::TransportError;

/// Spans that may wait for the collector, as OpenTelemetry's batch processor has it.
const QUEUE_SPANS: usize = 2048;
/// Bytes of spans that may wait or be on their way. A usual one takes one KiB; what clients choose
/// makes up to four of it.
pub const QUEUE_BYTES: usize = 2 << 20;
/// Spans in one push, as OpenTelemetry's batch processor has it.
const BATCH_SPANS: usize = 512;
/// Time that a span waits for others to share its push, as OpenTelemetry's batch processor has it.
const BATCH_DELAY: Duration = Duration::from_secs(5);
/// Time between two log lines about a collector that fails.
const COMPLAINT_PERIOD: Duration = Duration::from_secs(60);

/// Takes spans for the collector. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SpanQueue {
    sender: mpsc::Sender<Span>,
    /// Bytes of spans that wait or are on their way.
    held: Arc<AtomicUsize>,
    lost: Arc<AtomicU64>,
}

impl SpanQueue {
    /// Spans that no collector has got, since the start.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Hands over a span, or drops and counts it when the collector is too slow.
    pub fn push(&self, span: Span) {
        let bytes = span.bytes();
        // Taken first and given back, so that threads cannot pass the bound together.
        let held = self.held.fetch_add(bytes, Ordering::Relaxed);
        let sent = if held + bytes > QUEUE_BYTES {
            Err(TrySendError::Full(span))
        } else {
            self.sender.try_send(span)
        };
        if let Err(error) = sent {
            self.held.fetch_sub(bytes, Ordering::Relaxed);
            if matches!(error, TrySendError::Full(_)) {
                self.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// Sends spans until every queue is gone.
#[derive(Debug)]
pub struct SpanPusher {
    transport: Transport,
    resource: Resource,
    queue: mpsc::Receiver<Span>,
    held: Arc<AtomicUsize>,
    lost: Arc<AtomicU64>,
    complaint: Complaint,
}

/// A queue and who empties it.
///
/// # Errors
///
/// The endpoint is no URL that can be pushed to.
pub fn spans(
    settings: &Otlp,
    resource: Resource,
) -> Result<(SpanQueue, SpanPusher), TransportError> {
    let transport = transport(settings, Signal::Traces)?;
    let (sender, queue) = mpsc::channel(QUEUE_SPANS);
    let held = Arc::new(AtomicUsize::new(0));
    let lost = Arc::new(AtomicU64::new(0));
    let pusher = SpanPusher {
        transport,
        resource,
        queue,
        held: Arc::clone(&held),
        lost: Arc::clone(&lost),
        complaint: Complaint::default(),
    };
    Ok((SpanQueue { sender, held, lost }, pusher))
}

impl SpanPusher {
    /// Pushes batches, until `end` resolves; then what is left, once.
    pub async fn run(mut self, end: impl Future<Output = ()>) {
        let mut end = std::pin::pin!(end);
        let mut batch = Vec::new();
        loop {
            let mut ended = false;
            tokio::select! {
                biased;
                () = &mut end => ended = true,
                () = gather(&mut self.queue, &mut batch) => {}
            }
            if ended {
                self.queue.close();
                while let Ok(span) = self.queue.try_recv() {
                    batch.push(span);
                }
            }
            for spans in batch.chunks(BATCH_SPANS) {
                let message = convert::traces(spans, &self.resource).encode_to_vec();
                let sent = push(&self.transport, message).await;
                if sent.is_err() {
                    self.lost.fetch_add(spans.len() as u64, Ordering::Relaxed);
                }
                self.complaint.after(sent, self.lost.load(Ordering::Relaxed));
            }
            let bytes = batch.iter().map(Span::bytes).sum();
            self.held.fetch_sub(bytes, Ordering::Relaxed);
            batch.clear();
            if ended {
                return;
            }
        }
    }
}

/// Waits for a span, then for others to join it. Cancel safe: what was taken is in `batch`.
async fn gather(queue: &mut mpsc::Receiver<Span>, batch: &mut Vec<Span>) {
    match queue.recv().await {
        Some(span) => batch.push(span),
        None => return std::future::pending().await,
    }
    let deadline = Instant::now() + BATCH_DELAY;
    while batch.len() < BATCH_SPANS {
        match tokio::time::timeout_at(deadline, queue.recv()).await {
            Ok(Some(span)) => batch.push(span),
            Ok(None) | Err(_) => return,
        }
    }
}

fn transport(settings: &Otlp, signal: Signal) -> Result<Transport, TransportError> {
    Transport::otlp(settings.protocol, &settings.endpoint, signal)
}

/// One push, as it is: what the collector says beside yes and no is not looked at.
async fn push(transport: &Transport, message: Vec<u8>) -> Result<(), TransportError> {
    let tls = match transport.alpn() {
        Some(alpn) => Some(tls::of_system(alpn).map_err(TransportError::Connect)?),
        None => None,
    };
    transport.push(Message::plain(message), tls).await.map(drop)
}

/// Sends the metrics again and again.
#[derive(Debug)]
pub struct MetricsPusher {
    transport: Transport,
    resource: Resource,
    interval: Duration,
    started: std::time::SystemTime,
    complaint: Complaint,
}

impl MetricsPusher {
    /// A pusher for `settings`.
    ///
    /// # Errors
    ///
    /// The endpoint is no URL that can be pushed to.
    pub fn new(settings: &Otlp, resource: Resource) -> Result<Self, TransportError> {
        Ok(Self {
            transport: transport(settings, Signal::Metrics)?,
            resource,
            interval: settings.interval,
            started: std::time::SystemTime::now(),
            complaint: Complaint::default(),
        })
    }

    /// Pushes what `gather` finds at each interval, and once when `end` resolves. Calls `failed`
    /// for each push that the collector did not take.
    pub async fn run(
        mut self,
        gather: impl Fn() -> Vec<Family>,
        failed: impl Fn(),
        end: impl Future<Output = ()>,
    ) {
        let mut end = std::pin::pin!(end);
        let first = Instant::now() + self.interval;
        let mut tick = tokio::time::interval_at(first, self.interval);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let ended = tokio::select! {
                biased;
                () = &mut end => true,
                _ = tick.tick() => false,
            };
            let now = std::time::SystemTime::now();
            let families = gather();
            let gathered = [(&families[..], now)];
            let request = tidegate_otlp::metrics::metrics(gathered, &self.resource, self.started);
            let sent = push(&self.transport, request.encode_to_vec()).await;
            if sent.is_err() {
                failed();
            }
            self.complaint.after(sent, 0);
            if ended {
                return;
            }
        }
    }
}

/// Logs that a collector does not take what it is sent, now and then.
#[derive(Debug, Default)]
struct Complaint {
    last: Option<Instant>,
    /// Spans lost by the time of the last line.
    told: u64,
}

impl Complaint {
    /// A push came to this end, and so many spans are lost since the start.
    fn after(&mut self, sent: Result<(), TransportError>, lost: u64) {
        let due = self.last.is_none_or(|last| last.elapsed() >= COMPLAINT_PERIOD);
        if let Err(error) = sent
            && due
        {
            self.last = Some(Instant::now());
            let dropped = lost - std::mem::replace(&mut self.told, lost);
            tracing::warn!(dropped, "cannot export telemetry: {error}");
        }
    }
}

#[cfg(test)]
mod tests;
