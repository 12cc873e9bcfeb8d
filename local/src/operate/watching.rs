//! What is sent on as it comes: states, lines, events. A reader that is slower than what comes
//! misses some of it and is told how much; nothing waits for it.

use std::pin::Pin;
use std::time::Duration;

use tidegate_controller::InstanceName;
use tidegate_controller::process::OutputStream;
use tidegate_controller::process::line_memory::{Cursor, ReadLine};
use tidegate_proto::operate::v1 as wire;
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::time::MissedTickBehavior;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::closing::closed;
use super::events::Event;
use super::roster::Roster;
use super::wire as messages;

/// Messages on their way to one reader.
const UNSENT_MAX: usize = 2;

/// Lines, or events, in one message.
const BATCH: usize = 256;

/// Least and most time between two states.
const INTERVALS_MS: std::ops::RangeInclusive<u32> = 100..=60_000;

/// What a call answers with.
pub(super) type Messages<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Whether to go on after what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// Everything that is kept was sent.
    Sent,
    /// The reader or the socket closes.
    Closed,
}

/// Which lines are wanted.
#[derive(Debug)]
pub(super) struct WantedLines {
    /// The revision whose instances are meant.
    pub(super) revision: String,
    /// Only of this instance.
    pub(super) instance: Option<InstanceName>,
    /// Only from then on.
    pub(super) since_unix_ms: i64,
    /// Whether queue-proxies are meant as well.
    pub(super) sidecars: bool,
}

impl WantedLines {
    fn is_from(&self, instance: &InstanceName) -> bool {
        let is_it = self.instance.as_ref().is_none_or(|wanted| wanted == instance);
        is_it && instance.revision_name() == self.revision
    }

    fn has(&self, read: &ReadLine) -> bool {
        let Some(line) = &read.line else { return true };
        let is_source = self.sidecars || line.stream != OutputStream::Sidecar;
        is_source && line.unix_ms >= self.since_unix_ms
    }
}

/// The states of all services again and again.
pub(super) fn states(
    roster: Roster,
    interval_ms: u32,
    (closing, place): (watch::Receiver<()>, OwnedSemaphorePermit),
) -> Messages<wire::ListServicesResponse> {
    let (sender, receiver) = mpsc::channel(1);
    let interval_ms = interval_ms.clamp(*INTERVALS_MS.start(), *INTERVALS_MS.end());
    let mut ticks = tokio::time::interval(Duration::from_millis(interval_ms.into()));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let sending = async move {
        let _place = place;
        loop {
            ticks.tick().await;
            // Room first: what is read then is fresh.
            let Ok(room) = sender.reserve().await else { return };
            match listed(&roster).await {
                Ok(response) => room.send(Ok(response)),
                Err(_) => return,
            }
        }
    };
    until_closed(sending, closing);
    Box::pin(ReceiverStream::new(receiver))
}

/// The states of all services now.
pub(super) async fn listed(
    roster: &Roster,
) -> Result<wire::ListServicesResponse, tidegate_controller::Ended> {
    let services = roster.list().await?;
    let services = services.iter().map(messages::service).collect();
    Ok(wire::ListServicesResponse { services, unix_ms: roster.now_unix_ms() })
}

/// Lines that are kept, and then those that come.
pub(super) fn lines(
    roster: &Roster,
    wanted: WantedLines,
    until: Until,
    (closing, place): (watch::Receiver<()>, OwnedSemaphorePermit),
) -> Messages<wire::ReadLinesResponse> {
    let (sender, receiver) = mpsc::channel(UNSENT_MAX);
    let memory = roster.memory().clone();
    let sending = async move {
        let _place = place;
        let mut news = memory.watch();
        let mut cursor = Cursor::default();
        loop {
            news.mark_unchanged();
            let Ok(room) = sender.reserve().await else { return };
            let read = memory.read(&mut cursor, BATCH, |instance| wanted.is_from(instance));
            let is_all = read.is_empty();
            let found = read.into_iter().filter(|read| read.missed > 0 || wanted.has(read));
            let lines: Vec<_> = found.map(|read| messages::line(wanted.trimmed(read))).collect();
            if !lines.is_empty() {
                room.send(Ok(wire::ReadLinesResponse { lines }));
            }
            if is_all && (until == Until::Sent || !has_more(&mut news, &sender).await) {
                return;
            }
        }
    };
    until_closed(sending, closing);
    Box::pin(ReceiverStream::new(receiver))
}

impl WantedLines {
    /// A line that is not wanted leaves only the number of those that were missed before it.
    fn trimmed(&self, read: ReadLine) -> ReadLine {
        let line = if self.has(&read) { read.line } else { None };
        ReadLine { line, ..read }
    }
}

/// Events that are kept, and then those that come.
pub(super) fn events(
    roster: &Roster,
    wanted: wire::ReadEventsRequest,
    (closing, place): (watch::Receiver<()>, OwnedSemaphorePermit),
) -> Messages<wire::ReadEventsResponse> {
    let (sender, receiver) = mpsc::channel(UNSENT_MAX);
    let memory = roster.events().clone();
    let sending = async move {
        let _place = place;
        let mut news = memory.watch();
        // What was dropped before anybody asked is not missed by this reader.
        let mut next = memory.read(0, 0).next;
        loop {
            news.mark_unchanged();
            let Ok(room) = sender.reserve().await else { return };
            let found = memory.read(next, BATCH);
            let is_all = found.entries.is_empty();
            next = found.next;
            let is_wanted = |event: &Event| {
                (wanted.service.is_empty() || event.service == wanted.service)
                    && event.unix_ms >= wanted.since_unix_ms
            };
            let found_wanted = found.entries.iter().filter(|event| is_wanted(event));
            let events: Vec<_> = found_wanted.map(messages::event).collect();
            if !events.is_empty() || found.missed > 0 {
                room.send(Ok(wire::ReadEventsResponse { missed: found.missed, events }));
            }
            if is_all && (!wanted.follow || !has_more(&mut news, &sender).await) {
                return;
            }
        }
    };
    until_closed(sending, closing);
    Box::pin(ReceiverStream::new(receiver))
}

/// Waits for news; false when the reader or the memory is gone.
async fn has_more<T>(news: &mut watch::Receiver<u64>, sender: &mpsc::Sender<T>) -> bool {
    tokio::select! {
        changed = news.changed() => changed.is_ok(),
        () = sender.closed() => false,
    }
}

/// Sends until that is done or the socket closes.
fn until_closed(sending: impl Future<Output = ()> + Send + 'static, closing: watch::Receiver<()>) {
    tokio::spawn(async move {
        tokio::select! {
            () = sending => {}
            () = closed(closing) => {}
        }
    });
}
