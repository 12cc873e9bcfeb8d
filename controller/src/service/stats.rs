//! Report streams: from wire messages to events, and from effects to wire messages.

use std::net::SocketAddr;
use std::time::Duration;

use tidegate_proto::stats::v1 as wire;
use tidegate_proto::stats::v1::report_request::Message as Incoming;
use tidegate_proto::stats::v1::stats_service_server::StatsService;
use tokio::time::timeout;
use tonic::{Code, Request, Response, Status, Streaming};

use crate::access::Addresses;
use crate::caller::Caller;
use crate::error::CallError;
use crate::event::{Event, ServerMessage};
use crate::identity::{ReporterId, RevisionId};
use crate::report::{Hello, Report};
use crate::response_stream::{self, ResponseSender, ResponseStream};
use crate::service::pace::Pace;
use crate::sharding;
use crate::task::{Handle, Message};

/// Stats in one history message; Tidegate's reporters send half as many.
const HISTORY_STATS_MAX: usize = 1_000;

/// Longest message of a reporter. Tidegate's send half of it at most: a few hundred stats, with the
/// digests of their service times.
pub(crate) const MESSAGE_BYTES_MAX: usize = 256 * 1024;

/// A stream whose hello takes longer than this is ended.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// Every so many stats one is acknowledged: an acknowledgement only saves memory at the reporter.
const ACK_EVERY: u64 = 8;

/// Serves `StatsService`.
pub(crate) struct Stats {
    handle: Handle,
    addresses: Addresses,
}

impl Stats {
    pub(crate) fn new(handle: Handle, addresses: Addresses) -> Self {
        Self { handle, addresses }
    }
}

#[tonic::async_trait]
impl StatsService for Stats {
    type ReportStream = ResponseStream;

    async fn report(
        &self,
        request: Request<Streaming<wire::ReportRequest>>,
    ) -> Result<Response<Self::ReportStream>, Status> {
        let (sender, responses) = response_stream::pair(self.handle.clock(), self.handle.shard());
        let (handle, addresses) = (self.handle.clone(), self.addresses);
        let peer = request.remote_addr();
        let caller = request.extensions().get::<Caller>().cloned().unwrap_or(Caller::Trusted);
        tokio::spawn(async move {
            let inbound = request.into_inner();
            let end = listen(&handle, inbound, &sender, (caller, addresses, peer)).await;
            if let Err(refusal) = &end {
                tracing::warn!(?peer, reason = %refusal, "a report stream was ended");
                handle.metrics().streams_broken.increment(1);
            }
            sender.end(end);
        });
        Ok(Response::new(responses))
    }
}

/// Reads one stream from its hello to its end.
async fn listen(
    handle: &Handle,
    mut inbound: Streaming<wire::ReportRequest>,
    sender: &ResponseSender,
    (caller, addresses, peer): (Caller, Addresses, Option<SocketAddr>),
) -> Result<(), CallError> {
    let first = timeout(HELLO_TIMEOUT, inbound.message()).await.or(Err(CallError::NoHello))?;
    let first = match first {
        Ok(first) => first,
        Err(status) => return unreadable(status),
    };
    let Some(Incoming::Hello(hello)) = first.and_then(|request| request.message) else {
        return Err(CallError::HelloExpected);
    };
    let clock_offset_ms = clock_offset_ms(&hello, handle.now().as_millis());
    let taken_for = (hello.shard, hello.shards);
    let hello = Hello::try_from(hello)?;
    caller.may_report(&hello)?;
    sharding::check(handle.shard(), &hello, taken_for)?;
    if let Hello::QueueProxy { address, .. } = &hello {
        addresses.check(address, peer)?;
    }
    let reporter = handle.next_reporter();
    let pace = Pace::of(&hello, handle.now());
    let open = Message::Open { reporter, hello, sender: sender.clone() };
    handle.send(open).await?;
    let from = From { reporter, clock_offset_ms, pace };
    let outcome = follow(handle, &mut inbound, from, sender).await;
    // When the controller has ended there is no task left to receive it.
    let _ = handle.happened(Event::Disconnected { reporter }).await;
    outcome
}

/// Whose stream it is.
struct From {
    reporter: ReporterId,
    clock_offset_ms: i64,
    pace: Pace,
}

/// What is to be added to the times of a reporter, so that they are by the controller's clock.
fn clock_offset_ms(hello: &wire::Hello, now_unix_ms: i64) -> i64 {
    match hello.now_unix_ms {
        // It has told nothing of its clock.
        0 => 0,
        theirs => now_unix_ms.saturating_sub(theirs),
    }
}

async fn follow(
    handle: &Handle,
    inbound: &mut Streaming<wire::ReportRequest>,
    From { reporter, clock_offset_ms, mut pace }: From,
    sender: &ResponseSender,
) -> Result<(), CallError> {
    let mut acknowledged = 0;
    loop {
        // The controller drops its end of a stream that it refuses, or that does not keep up.
        let message = tokio::select! {
            message = inbound.message() => message,
            () = sender.closed() => return Ok(()),
        };
        let request = match message {
            Ok(Some(request)) => request,
            Ok(None) => return Ok(()),
            Err(status) => return unreadable(status),
        };
        if let Some(pause) = pace.take(handle.now(), reports_in(&request)) {
            handle.metrics().reports_paced.increment(1);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = sender.closed() => return Ok(()),
            }
        }
        let (event, last) = match request.message {
            Some(Incoming::Stat(stat)) => {
                let last = stat.sequence;
                let Some(report) = read(handle, (reporter, clock_offset_ms), stat) else {
                    continue;
                };
                (Event::Reported { reporter, report }, last)
            }
            Some(Incoming::History(history)) if history.stats.len() > HISTORY_STATS_MAX => {
                return Err(CallError::LongHistory {
                    stats: history.stats.len(),
                    most: HISTORY_STATS_MAX,
                });
            }
            Some(Incoming::History(history)) => {
                let from = (reporter, clock_offset_ms);
                let read = history.stats.into_iter().filter_map(|s| read(handle, from, s));
                let reports: Vec<Report> = read.collect();
                let Some(last) = reports.last().map(|report| report.sequence) else { continue };
                handle.remembered(reporter, reports).await?;
                acknowledged = acknowledge(sender, acknowledged, last);
                continue;
            }
            Some(Incoming::KnownInstances(known)) => {
                let instances = known_instances(known);
                handle.happened(Event::Known { reporter, instances }).await?;
                continue;
            }
            Some(Incoming::Hello(_)) => {
                return Err(CallError::SecondHello);
            }
            // A newer reporter may send messages that this version does not define.
            None => continue,
        };
        handle.happened(event).await?;
        acknowledged = acknowledge(sender, acknowledged, last);
    }
}

/// Instances by revision; a name that cannot be one is left out.
fn known_instances(known: wire::KnownInstances) -> Vec<(RevisionId, u32)> {
    let read = |of: wire::RevisionInstances| {
        Some((RevisionId::try_from(of.revision?).ok()?, of.instances))
    };
    known.revisions.into_iter().filter_map(read).collect()
}

/// How many reports a message counts as. One without any is no cheaper to read.
fn reports_in(request: &wire::ReportRequest) -> usize {
    match &request.message {
        Some(Incoming::History(history)) => history.stats.len().max(1),
        Some(Incoming::KnownInstances(known)) => known.revisions.len().max(1),
        _ => 1,
    }
}

/// Acknowledges every `ACK_EVERY` reports. Returns the last number acknowledged.
fn acknowledge(sender: &ResponseSender, acknowledged: u64, last: u64) -> u64 {
    if last < acknowledged.saturating_add(ACK_EVERY) {
        return acknowledged;
    }
    sender.send(ServerMessage::Acknowledged { sequence: last });
    last
}

/// What follows from a message that could not be read. A cut stream is no error: its last
/// report holds.
fn unreadable(status: Status) -> Result<(), CallError> {
    match status.code() {
        Code::OutOfRange | Code::ResourceExhausted => {
            Err(CallError::LongMessage { most_bytes: MESSAGE_BYTES_MAX, source: status })
        }
        // The codes of the library for bytes that are no message.
        Code::Internal | Code::Unimplemented => Err(CallError::Unreadable(status)),
        Code::DeadlineExceeded => Err(CallError::Late(status)),
        _ => Ok(()),
    }
}

/// An invalid stat is dropped; the stream stays open.
fn read(
    handle: &Handle,
    (reporter, clock_offset_ms): (ReporterId, i64),
    mut stat: wire::Stat,
) -> Option<Report> {
    stat.period_start_unix_ms = stat.period_start_unix_ms.saturating_add(clock_offset_ms);
    match Report::read(stat, handle.now().as_millis()) {
        Ok(report) => {
            handle.metrics().reports.increment(1);
            Some(report)
        }
        Err(error) => {
            handle.metrics().ignored(&error);
            tracing::warn!(reporter = reporter.0, %error, "a stat was left out");
            None
        }
    }
}
