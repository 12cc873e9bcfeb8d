//! What happened lately: decisions that changed something, instances that came and went, orders.

use std::sync::Arc;

use parking_lot::Mutex;
use tidegate_controller::Notice;
use tidegate_controller::journal::DecisionRecord;
use tidegate_controller::process::ring::{Bounds, Found, Ring};
use tokio::sync::watch;

/// Events that are kept: some minutes of a service that scales all the time, days of a calm one.
const KEPT: Bounds = Bounds { entries: 2_000, bytes: 1 << 20 };

/// What an event takes beyond its texts.
const EVENT_OVERHEAD_BYTES: usize = 128;

/// Something that happened to a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When, in Unix milliseconds.
    pub unix_ms: i64,
    /// The service.
    pub service: String,
    /// What kind of event it is, in a word.
    pub kind: &'static str,
    /// The instance that it is about, if it is about one.
    pub instance: Option<String>,
    /// The event in a sentence.
    pub text: String,
    /// Instances wanted before and after a decision.
    pub change: Option<(i32, i32)>,
    /// Why it was decided.
    pub reason: String,
}

impl Event {
    /// A decision that changes the number of instances.
    pub(crate) fn of_decision(service: String, record: &DecisionRecord) -> Self {
        let (before, after) = (record.before, record.replicas());
        let plural = if after == 1 { "" } else { "s" };
        Self {
            unix_ms: record.unix_ms,
            service,
            kind: "scaled",
            instance: None,
            text: format!("{before} -> {after} instance{plural}"),
            change: Some((before, after)),
            reason: record.to_string(),
        }
    }

    /// What is noticed of an instance, or ordered.
    pub(crate) fn of_notice(service: String, unix_ms: i64, notice: &Notice) -> Self {
        let instance = notice.instance().map(ToString::to_string);
        let (kind, text) = (kind(notice), notice.to_string());
        Self { unix_ms, service, kind, instance, text, change: None, reason: String::new() }
    }

    fn bytes(&self) -> usize {
        let instance = self.instance.as_ref().map_or(0, String::len);
        let texts = self.service.len() + instance + self.text.len() + self.reason.len();
        texts + EVENT_OVERHEAD_BYTES
    }
}

fn kind(notice: &Notice) -> &'static str {
    match notice {
        Notice::Starting { .. } => "starting",
        Notice::Ready { .. } => "ready",
        Notice::ColdStarted(_) => "cold_start",
        Notice::NotReady { .. } => "not_ready",
        Notice::Lingers { .. } => "lingers",
        Notice::Draining { .. } => "draining",
        Notice::Stopped { .. } => "stopped",
        Notice::Frozen { .. } => "frozen",
        Notice::Woken { .. } => "woken",
        Notice::Crashed { .. } => "crashed",
        Notice::GaveUp { .. } => "gave_up",
        Notice::Restarting { .. } => "restarting",
        Notice::Restarted { .. } => "restarted",
        Notice::Pinned { .. } => "pinned",
        Notice::Unpinned { .. } => "unpinned",
        Notice::AllStopped => "all_stopped",
    }
}

/// The last events. Cheap to clone.
#[derive(Debug, Clone)]
pub struct EventMemory {
    kept: Arc<Mutex<Ring<Arc<Event>>>>,
    news: watch::Sender<u64>,
}

impl Default for EventMemory {
    fn default() -> Self {
        Self { kept: Arc::new(Mutex::new(Ring::new(KEPT))), news: watch::Sender::new(0) }
    }
}

impl EventMemory {
    /// Adds an event.
    pub fn push(&self, event: Event) {
        let mut kept = self.kept.lock();
        let bytes = event.bytes();
        kept.push(Arc::new(event), bytes);
        let next = kept.next();
        drop(kept);
        self.news.send_replace(next);
    }

    /// Changes with every event.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// At most `most` events from number `from` on.
    #[must_use]
    pub fn read(&self, from: u64, most: usize) -> Found<Arc<Event>> {
        self.kept.lock().read(from, most)
    }
}
