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
use crate::identity::ReporterId;
use crate::report::{Hello, Report};
use crate::response_stream::{self, ResponseSender, ResponseStream};
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
        let (sender, responses) = response_stream::pair();
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
    let hello = Hello::try_from(hello)?;
    caller.may_report(&hello)?;
    if let Hello::QueueProxy { address, .. } = &hello {
        addresses.check(address, peer)?;
    }
    let reporter = handle.next_reporter();
    let open = Message::Open { reporter, hello, sender: sender.clone() };
    handle.send(open).await?;
    let outcome = follow(handle, &mut inbound, reporter, sender).await;
    // When the controller has ended there is no task left to receive it.
    let _ = handle.happened(Event::Disconnected { reporter }).await;
    outcome
}

async fn follow(
    handle: &Handle,
    inbound: &mut Streaming<wire::ReportRequest>,
    reporter: ReporterId,
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
        let (event, last) = match request.message {
            Some(Incoming::Stat(stat)) => {
                let last = stat.sequence;
                let Some(report) = read(handle, reporter, stat) else { continue };
                (Event::Reported { reporter, report }, last)
            }
            Some(Incoming::History(history)) if history.stats.len() > HISTORY_STATS_MAX => {
                return Err(CallError::LongHistory {
                    stats: history.stats.len(),
                    most: HISTORY_STATS_MAX,
                });
            }
            Some(Incoming::History(history)) => {
                let read = history.stats.into_iter().filter_map(|s| read(handle, reporter, s));
                let reports: Vec<Report> = read.collect();
                let Some(last) = reports.last().map(|report| report.sequence) else { continue };
                handle.remembered(reporter, reports).await?;
                acknowledged = acknowledge(sender, acknowledged, last);
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
fn read(handle: &Handle, reporter: ReporterId, stat: wire::Stat) -> Option<Report> {
    match Report::read(stat, handle.now().as_millis()) {
        Ok(report) => {
            handle.metrics().reports.increment(1);
            Some(report)
        }
        Err(error) => {
            handle.metrics().reports_ignored.increment(1);
            tracing::warn!(reporter = reporter.0, %error, "a stat was left out");
            None
        }
    }
}
