//! Report streams: from wire messages to events, and from words to wire messages.

use std::net::SocketAddr;
use std::time::Duration;

use tidegate_proto::stats::v1 as wire;
use tidegate_proto::stats::v1::report_request::Message as Said;
use tidegate_proto::stats::v1::report_response::Message as Answer;
use tidegate_proto::stats::v1::stats_service_server::StatsService;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status, Streaming};

use crate::access::{Addresses, ForeignAddress};
use crate::event::{Event, Refusal, Word};
use crate::identity::ReporterId;
use crate::report::{Greeting, Report};
use crate::task::{Ended, Handle, Message, Outlet};

/// Answers that may wait in one stream. An activator is told of every revision when it connects,
/// so this bounds how many a single stream can be told of at once.
const OUTLET_DEPTH: usize = 16_384;

/// Longest message of a reporter. Ours send half of it at most: a few hundred stats, with the
/// digests of their service times.
pub(crate) const MESSAGE_BYTES_MAX: usize = 256 * 1024;

/// A stream that does not introduce itself for this long is ended.
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
    type ReportStream = ReceiverStream<Result<wire::ReportResponse, Status>>;

    async fn report(
        &self,
        request: Request<Streaming<wire::ReportRequest>>,
    ) -> Result<Response<Self::ReportStream>, Status> {
        let (outlet, answers) = mpsc::channel(OUTLET_DEPTH);
        let (handle, addresses) = (self.handle.clone(), self.addresses);
        let peer = request.remote_addr();
        tokio::spawn(async move {
            let inbound = request.into_inner();
            let refusal = match listen(&handle, inbound, &outlet, (addresses, peer)).await {
                Ok(()) => return,
                Err(refusal) => refusal,
            };
            tracing::warn!(?peer, reason = refusal.message(), "a report stream was ended");
            // The peer may be gone already.
            let _ = outlet.try_send(Err(refusal));
        });
        Ok(Response::new(ReceiverStream::new(answers)))
    }
}

/// Reads one stream from its greeting to its end.
async fn listen(
    handle: &Handle,
    mut inbound: Streaming<wire::ReportRequest>,
    outlet: &Outlet,
    (addresses, peer): (Addresses, Option<SocketAddr>),
) -> Result<(), Status> {
    let first = timeout(HELLO_TIMEOUT, inbound.message())
        .await
        .map_err(|_| Status::deadline_exceeded("no hello was sent"))??;
    let Some(Said::Hello(hello)) = first.and_then(|request| request.message) else {
        return Err(Status::invalid_argument("the first message must be a hello"));
    };
    let greeting =
        Greeting::try_from(hello).map_err(|error| Status::invalid_argument(error.to_string()))?;
    if let Greeting::QueueProxy { address, .. } = &greeting {
        let foreign = |error: ForeignAddress| Status::permission_denied(error.to_string());
        addresses.check(address, peer).map_err(foreign)?;
    }
    let reporter = handle.next_reporter();
    let open = Message::Open { reporter, greeting, outlet: outlet.clone() };
    handle.send(open).await.map_err(ended)?;
    let outcome = follow(handle, &mut inbound, reporter, outlet).await;
    // When the controller has ended there is nobody left to tell.
    let _ = handle.happened(Event::Disconnected { reporter }).await;
    outcome
}

async fn follow(
    handle: &Handle,
    inbound: &mut Streaming<wire::ReportRequest>,
    reporter: ReporterId,
    outlet: &Outlet,
) -> Result<(), Status> {
    let mut acknowledged = 0;
    loop {
        // The controller drops its end of a stream that it refuses, or that does not keep up.
        let message = tokio::select! {
            message = inbound.message() => message,
            () = outlet.closed() => return Ok(()),
        };
        let request = match message {
            Ok(Some(request)) => request,
            Ok(None) => return Ok(()),
            Err(status) => return unreadable(status),
        };
        let (event, last) = match request.message {
            Some(Said::Stat(stat)) => {
                let last = stat.sequence;
                let Some(report) = read(handle, reporter, stat) else { continue };
                (Event::Reported { reporter, report }, last)
            }
            Some(Said::History(history)) => {
                let read = history.stats.into_iter().filter_map(|s| read(handle, reporter, s));
                let reports: Vec<Report> = read.collect();
                let Some(last) = reports.last().map(|report| report.sequence) else { continue };
                (Event::Remembered { reporter, reports }, last)
            }
            Some(Said::Hello(_)) => {
                return Err(Status::invalid_argument("a second hello in one stream"));
            }
            // A newer reporter may say what this version does not know.
            None => continue,
        };
        handle.happened(event).await.map_err(ended)?;
        if last >= acknowledged + ACK_EVERY {
            acknowledged = last;
            let ack = Answer::Ack(wire::Ack { sequence: last });
            // It only saves memory at the other end: not worth waiting for.
            let _ = outlet.try_send(Ok(wire::ReportResponse { message: Some(ack) }));
        }
    }
}

/// What follows from a message that could not be read. A cut stream is no error of ours: what it
/// said last holds.
fn unreadable(status: Status) -> Result<(), Status> {
    match status.code() {
        Code::OutOfRange | Code::ResourceExhausted => Err(Status::resource_exhausted(format!(
            "a message is longer than the {MESSAGE_BYTES_MAX} bytes that are read"
        ))),
        // What the library says of bytes that are no message.
        Code::Internal | Code::Unimplemented => Err(Status::invalid_argument(format!(
            "a message could not be read: {}",
            status.message()
        ))),
        _ => Ok(()),
    }
}

/// A stat that makes no sense is left out; the stream goes on.
fn read(handle: &Handle, reporter: ReporterId, stat: wire::Stat) -> Option<Report> {
    match Report::read(stat, handle.now().as_millis()) {
        Ok(report) => Some(report),
        Err(error) => {
            tracing::warn!(reporter = reporter.0, %error, "a stat was left out");
            None
        }
    }
}

fn ended(error: Ended) -> Status {
    Status::unavailable(error.to_string())
}

/// A refusal on the wire.
pub(crate) fn refused(refusal: &Refusal) -> Status {
    let code = match refusal {
        Refusal::Unknown(_) => Code::FailedPrecondition,
        Refusal::NameInUse(_) => Code::AlreadyExists,
        Refusal::NotWhereItWasStarted { .. } => Code::PermissionDenied,
        Refusal::Full { .. } => Code::ResourceExhausted,
        Refusal::Replaced => Code::Aborted,
    };
    Status::new(code, refusal.to_string())
}

/// The controller's words on the wire.
pub(crate) fn to_wire(word: Word) -> wire::ReportResponse {
    let message = match word {
        Word::Directive { report_interval_ms, history_seconds } => {
            Answer::Directive(wire::Directive {
                report_interval_ms,
                history_seconds,
                limit: None,
                drain: false,
            })
        }
        Word::Endpoints { revision, endpoints } => Answer::Endpoints(wire::Endpoints {
            revision: Some((&revision).into()),
            endpoints: endpoints
                .iter()
                .map(|endpoint| wire::Endpoint {
                    instance: endpoint.instance.to_string(),
                    address: endpoint.address.to_string(),
                    limit: endpoint.limit,
                })
                .collect(),
        }),
    };
    wire::ReportResponse { message: Some(message) }
}
