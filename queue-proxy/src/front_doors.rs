//! Front doors that hold credits of this instance: the service `tidegate.credits.v1` on the port
//! that takes requests, for who shows the front door's secret.
//!
//! It is gRPC, of which a stream of messages needs no more than a frame: five bytes and a message.
//! The rules are those of [`tidegate_admission::credits`]; what comes from the other end is checked
//! and converted at once.

use std::future::poll_fn;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version};
use prost::Message;
use tidegate_admission::credits::{DoorId, Orders, Report, Tenure, Yielded};
use tidegate_proto::credits::v1::{self as wire, HoldRequest, HoldResponse};
use tidegate_proto::{
    CREDIT_HEADER, CREDITS_MESSAGE_BYTES_MAX, CREDITS_PATH, CREDITS_VERSION, FRONT_DOOR_HEADER,
};
use tidegate_relay::{Conversation, Exchange, Reply, RequestHead};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::drain::Stage;
use crate::gate::{Door, Gate};

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

/// The frame of a gRPC message: whether it is compressed, and its length.
const FRAME_BYTES: usize = 5;

/// How long a front door may take for its first message.
const HELLO_DUE: Duration = Duration::from_secs(5);

/// Why a stream ends, as gRPC says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The front door has ended it, or has gone.
    Left,
    /// The sidecar drains.
    Draining,
    /// It did not do in time what it was told.
    Silent,
    /// What it sent is none of this protocol.
    Malformed,
    /// It speaks another version.
    Version,
    /// There is no limit, or there are too many front doors.
    NoDoor,
}

impl End {
    fn status(self) -> (&'static str, &'static str) {
        match self {
            Self::Left => ("0", ""),
            Self::Draining => ("14", "the sidecar drains"),
            Self::Silent => ("4", "the front door did not answer in time"),
            Self::Malformed => ("3", "the message is not understood"),
            Self::Version => ("9", "the sidecar speaks version 1"),
            Self::NoDoor => ("8", "the instance has no limit or too many front doors"),
        }
    }

    fn fields(self) -> HeaderMap {
        let (code, message) = self.status();
        let mut fields = HeaderMap::with_capacity(2);
        fields.insert(GRPC_STATUS, HeaderValue::from_static(code));
        if !message.is_empty() {
            fields.insert(GRPC_MESSAGE, HeaderValue::from_static(message));
        }
        fields
    }
}

/// The front doors of this sidecar. Cheap to clone.
#[derive(Debug, Clone)]
pub struct FrontDoors {
    secret: Option<Arc<str>>,
    /// Differs from that of any sidecar that had this address before.
    life: u32,
    stage: watch::Receiver<Stage>,
}

impl FrontDoors {
    /// Serves who shows `secret`; nobody without one.
    pub fn new(secret: Option<Arc<str>>, stage: watch::Receiver<Stage>) -> Self {
        let random = std::collections::hash_map::RandomState::new().build_hasher().finish();
        // Any 32 of its bits will do.
        Self { secret, life: (random & u64::from(u32::MAX)) as u32, stage }
    }

    /// Whether a request opens a stream of credits and may.
    pub fn is_asked(&self, head: &RequestHead) -> bool {
        if head.version != Version::HTTP_2 || head.path() != CREDITS_PATH.as_bytes() {
            return false;
        }
        let shown = head.headers.get(FRONT_DOOR_HEADER).map(HeaderValue::as_bytes);
        self.secret.as_ref().is_some_and(|secret| shown == Some(secret.as_bytes()))
    }

    /// The credit that a request shows. It never reaches the app.
    pub fn take_credit(&self, headers: &mut HeaderMap) -> Option<(DoorId, u64)> {
        let value = headers.remove(CREDIT_HEADER)?;
        let mut parts = value.to_str().ok()?.split('-');
        let (life, door, number) = (parts.next()?, parts.next()?, parts.next()?);
        let ours = life.parse() == Ok(self.life) && parts.next().is_none();
        let (door, number) = (door.parse().ok()?, number.parse().ok()?);
        ours.then_some((DoorId::from_number(door), number))
    }

    /// Serves one front door's stream until it ends.
    pub async fn serve(&self, exchange: &mut Exchange, gate: &Gate) {
        let opened = match *self.stage.borrow() {
            Stage::Serving => gate.open_door().ok_or(End::NoDoor),
            _ => Err(End::Draining),
        };
        let mut reply = Reply::empty(StatusCode::OK).with_header(CONTENT_TYPE, GRPC);
        let door = match opened {
            Ok(door) => door,
            Err(end) => {
                reply.headers.extend(end.fields());
                // An error means that the front door has gone.
                let _ = exchange.respond(reply).await;
                return;
            }
        };
        let Ok(conversation) = exchange.converse(reply) else { return };
        let mut stream = Stream { conversation, input: Vec::new(), output: Vec::new() };
        let name = format!("{}-{}", self.life, door.id().number());
        stream.push(&HoldResponse { stream: name.clone(), ..HoldResponse::default() });
        let end = stream.run(&door, self.stage.clone()).await;
        // Whatever it held is free before anything else happens.
        drop(door);
        tracing::debug!(stream = name, ?end, "a front door's stream has ended");
        // An error means that the front door has gone.
        let _ = stream.conversation.end(Some(end.fields())).await;
    }
}

/// One front door's stream.
struct Stream<'a> {
    conversation: Conversation<'a>,
    input: Vec<u8>,
    output: Vec<u8>,
}

impl Stream<'_> {
    async fn run(&mut self, door: &Door, mut stage: watch::Receiver<Stage>) -> End {
        match timeout(HELLO_DUE, self.receive()).await {
            Ok(Ok(hello)) if hello.protocol_version != CREDITS_VERSION => return End::Version,
            Ok(Ok(hello)) => door.report(&report(door, hello)),
            Ok(Err(end)) => return end,
            Err(_) => return End::Silent,
        }
        loop {
            let due = door.answer_due();
            let silent = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            let happened = tokio::select! {
                biased;
                happened = self.next(door) => happened,
                () = silent => {
                    // It may have answered in the meantime, and been told more.
                    match door.answer_due() {
                        Some(due) if due <= Instant::now() => return End::Silent,
                        _ => continue,
                    }
                }
                _ = stage.wait_for(|stage| *stage != Stage::Serving) => return End::Draining,
            };
            match happened {
                Ok(Happened::Said(said)) => door.report(&report(door, said)),
                Ok(Happened::Told(orders)) => self.push(&told(orders)),
                Err(end) => return end,
            }
        }
    }

    /// The next message, in whatever direction.
    async fn next(&mut self, door: &Door) -> Result<Happened, End> {
        poll_fn(|context| {
            let sent = self.conversation.poll_send(context, &mut self.output);
            if let Poll::Ready(Err(_)) = sent {
                return Poll::Ready(Err(End::Left));
            }
            if let Poll::Ready(said) = self.poll_receive(context) {
                return Poll::Ready(said.map(Happened::Said));
            }
            // What is not read piles up where it is bounded: in the orders, not here.
            if sent.is_pending() {
                return Poll::Pending;
            }
            door.poll_orders(context).map(|orders| Ok(Happened::Told(orders)))
        })
        .await
    }

    async fn receive(&mut self) -> Result<HoldRequest, End> {
        poll_fn(|context| {
            if let Poll::Ready(Err(_)) = self.conversation.poll_send(context, &mut self.output) {
                return Poll::Ready(Err(End::Left));
            }
            self.poll_receive(context)
        })
        .await
    }

    fn poll_receive(
        &mut self,
        context: &mut std::task::Context<'_>,
    ) -> Poll<Result<HoldRequest, End>> {
        loop {
            if let Some(message) = take_message(&mut self.input)? {
                return Poll::Ready(Ok(message));
            }
            match self.conversation.poll_receive(context, &mut self.input) {
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(Ok(false) | Err(_)) => return Poll::Ready(Err(End::Left)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn push(&mut self, message: &HoldResponse) {
        let length = u32::try_from(message.encoded_len()).unwrap_or(u32::MAX);
        self.output.push(0);
        self.output.extend_from_slice(&length.to_be_bytes());
        self.output.extend_from_slice(&message.encode_to_vec());
    }
}

/// What happens on a stream.
enum Happened {
    /// The front door said something.
    Said(HoldRequest),
    /// It is to be told something.
    Told(Orders),
}

/// Takes a whole message from the front of what was received, if there is one.
fn take_message(input: &mut Vec<u8>) -> Result<Option<HoldRequest>, End> {
    let Some((frame, rest)) = input.split_first_chunk::<FRAME_BYTES>() else { return Ok(None) };
    let [compressed, length @ ..] = *frame;
    let length = u32::from_be_bytes(length) as usize;
    if compressed != 0 || length > CREDITS_MESSAGE_BYTES_MAX {
        return Err(End::Malformed);
    }
    let Some(message) = rest.get(..length) else { return Ok(None) };
    let message = HoldRequest::decode(message).map_err(|_| End::Malformed)?;
    input.drain(..FRAME_BYTES + length);
    Ok(Some(message))
}

/// What a front door says, in the gate's time.
fn report(door: &Door, said: HoldRequest) -> Report {
    Report {
        answered: said.answered,
        seen: said.seen,
        waiting: said.waiting,
        oldest: door.ago(Duration::from_micros(said.oldest_wait_us)),
        newest: door.ago(Duration::from_micros(said.newest_wait_us)),
        returned: said.returned,
        yielded: said
            .yielded
            .into_iter()
            .map(|yielded| Yielded { number: yielded.number, uses: yielded.uses })
            .collect(),
    }
}

/// What it is told, on the wire.
fn told(orders: Orders) -> HoldResponse {
    let granted = orders.granted.into_iter().map(|granted| wire::Granted {
        first: granted.first,
        count: granted.count,
        tenure: match granted.tenure {
            Tenure::Kept => wire::Tenure::Kept.into(),
            Tenure::Once => wire::Tenure::Once.into(),
        },
    });
    HoldResponse {
        stream: String::new(),
        sequence: orders.sequence,
        granted: granted.collect(),
        recalled: orders.recalled,
        voided: orders.voided,
        shared: orders.shared,
    }
}
