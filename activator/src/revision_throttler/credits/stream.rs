//! One stream to one instance.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tidegate_admission::credits::{Granted, Orders, Tenure};
use tidegate_knative::{headers, probe};
use tidegate_proto::credits::v1::credit_service_client::CreditServiceClient;
use tidegate_proto::credits::v1::{self as wire, HoldRequest, HoldResponse};
use tidegate_proto::{
    CREDITS_MESSAGE_BYTES_MAX, CREDITS_PROBE, CREDITS_VERSION, FRONT_DOOR_HEADER,
};
use tidegate_relay::http::header::USER_AGENT;
use tidegate_relay::http::{HeaderValue, Request};
use tidegate_reporter::Credentials;
use tidegate_reporter::transport::{Connection, Target, connect};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::{Code, Streaming};

use super::super::credit::Pace;
use super::Keeper;

/// How long an instance may take to accept a stream and to name it: five round trips at 200 ms.
const OPEN_TIMEOUT: Duration = Duration::from_secs(1);

/// How often an instance is told what it does not wait for.
const LEISURE: Duration = Duration::from_secs(1);

/// A stream is closed once no request has come for so long, in periods of [`LEISURE`]: a revision
/// that wakes opens it in the time of one round trip.
const IDLE_PERIODS: u32 = 60;

/// Messages on their way to the connection. Few: what is to be said is put together when it is
/// sent.
const OUTBOX: usize = 2;

/// Time between two messages about nothing but what waits, for each of the other streams: together
/// they then send no more than 50,000 of them in a second.
const PAUSE_FOR_EACH: Duration = Duration::from_micros(20);

/// Shorter pauses are none: timers are not that fine.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);

/// The most characters of a stream's name.
const NAME_MAX: usize = 64;

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// No request has come for long, or the instance or the revision is listed no more.
    Idle,
    /// The instance grants no credits.
    Unsupported,
    /// The stream could not be opened, or was cut.
    Lost,
}

/// One stream, from its connection to its end.
pub(super) struct Session<'a> {
    keeper: &'a Keeper,
    told: Instant,
    /// Requests of the revision when that was last looked at, and for how long they are so many.
    requests: u64,
    idle_periods: u32,
}

impl<'a> Session<'a> {
    pub(super) fn new(keeper: &'a Keeper) -> Self {
        Self { keeper, told: Instant::now(), requests: 0, idle_periods: 0 }
    }

    pub(super) async fn run(mut self) -> Ended {
        let (outbox, messages) = mpsc::channel(OUTBOX);
        let hello = HoldRequest { protocol_version: CREDITS_VERSION, ..HoldRequest::default() };
        if outbox.try_send(hello).is_err() {
            return Ended::Lost;
        }
        let opened = timeout(OPEN_TIMEOUT, self.open(ReceiverStream::new(messages))).await;
        let (mut inbound, name) = match opened {
            Ok(Ok(opened)) => opened,
            Ok(Err(ended)) => return ended,
            Err(_) => return Ended::Lost,
        };
        let Some(throttler) = self.keeper.throttler.upgrade() else { return Ended::Idle };
        if !throttler.state.lock().open_stream(self.keeper.instance, name) {
            return Ended::Idle;
        }
        drop(throttler);
        self.exchange(&outbox, &mut inbound).await
    }

    async fn open(
        &self,
        messages: ReceiverStream<HoldRequest>,
    ) -> Result<(Streaming<HoldResponse>, Arc<str>), Ended> {
        let address = self.keeper.backend.upstream.address().to_string();
        let target =
            Target::new(&address, &Credentials::default()).map_err(|_| Ended::Unsupported)?;
        let connection = connect(&target).await.map_err(|error| match error.is_mismatch() {
            true => Ended::Unsupported,
            false => Ended::Lost,
        })?;
        let secret = self.keeper.settings.secret.clone();
        let mut client =
            CreditServiceClient::with_origin(Introduced { connection, secret }, target.origin())
                .max_decoding_message_size(CREDITS_MESSAGE_BYTES_MAX);
        let response = client.hold(messages).await.map_err(|status| ended(&status))?;
        let mut inbound = response.into_inner();
        let first = inbound.message().await.map_err(|status| ended(&status))?;
        let name = first.map(|first| first.stream).ok_or(Ended::Lost)?;
        let plain = |byte: u8| byte.is_ascii_digit() || byte == b'-';
        if name.is_empty() || name.len() > NAME_MAX || !name.bytes().all(plain) {
            return Err(Ended::Unsupported);
        }
        Ok((inbound, name.into()))
    }

    async fn exchange(
        &mut self,
        outbox: &mpsc::Sender<HoldRequest>,
        inbound: &mut Streaming<HoldResponse>,
    ) -> Ended {
        let stirred = Arc::clone(&self.keeper.stirred);
        let mut leisure = interval_at(Instant::now() + LEISURE, LEISURE);
        leisure.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut pace = Pace::Prompt;
        loop {
            // Before the state is read, so that no change of it is missed.
            let mut news = pin!(stirred.notified());
            news.as_mut().enable();
            let Some(throttler) = self.keeper.throttler.upgrade() else { return Ended::Idle };
            if !throttler.state.lock().is_listed(self.keeper.instance) {
                return Ended::Idle;
            }
            let report = throttler.report(self.keeper.instance, pace);
            drop(throttler);
            if let Some(report) = report {
                if outbox.send(report).await.is_err() {
                    return Ended::Lost;
                }
                self.told = Instant::now();
            }
            pace = Pace::Prompt;
            tokio::select! {
                biased;
                told = inbound.message() => match told {
                    Ok(Some(told)) => {
                        if let Some(ended) = self.obey(told) {
                            return ended;
                        }
                    }
                    Ok(None) => return Ended::Lost,
                    Err(status) => return ended(&status),
                },
                () = news => self.pause().await,
                _ = leisure.tick() => {
                    if self.is_idle() {
                        return Ended::Idle;
                    }
                    pace = Pace::Leisurely;
                }
            }
        }
    }

    /// Does what the instance says. Gives why the stream ends if it does.
    fn obey(&self, told: HoldResponse) -> Option<Ended> {
        let Some(throttler) = self.keeper.throttler.upgrade() else { return Some(Ended::Idle) };
        let Some(orders) = orders(told) else { return Some(Ended::Unsupported) };
        let obeyed = throttler.obey(self.keeper.instance, &orders);
        obeyed.err().map(|error| {
            let instance = &*self.keeper.backend.name;
            tracing::warn!(instance, %error, "an instance's credits are of no use");
            Ended::Unsupported
        })
    }

    /// With many streams, waits before all of them say that requests wait, or that none does.
    async fn pause(&self) {
        let Some(throttler) = self.keeper.throttler.upgrade() else { return };
        let streams = throttler.status().credit_streams;
        drop(throttler);
        let pause = PAUSE_FOR_EACH * streams;
        if pause >= SHORTEST_PAUSE {
            tokio::time::sleep_until(self.told + pause).await;
        }
    }

    /// Whether no request has come for long. Called once in each period.
    fn is_idle(&mut self) -> bool {
        let Some(throttler) = self.keeper.throttler.upgrade() else { return true };
        let status = throttler.status();
        let is_quiet =
            status.requests == self.requests && (status.in_flight, status.waiting) == (0, 0);
        self.requests = status.requests;
        self.idle_periods = if is_quiet { self.idle_periods + 1 } else { 0 };
        self.idle_periods >= IDLE_PERIODS
    }
}

/// What an instance's refusal means.
fn ended(status: &tonic::Status) -> Ended {
    match status.code() {
        // The sidecar drains, the connection is cut, or we took too long.
        Code::Unavailable | Code::Cancelled | Code::DeadlineExceeded | Code::Unknown => Ended::Lost,
        _ => Ended::Unsupported,
    }
}

/// What an instance says, if it can be understood.
fn orders(told: HoldResponse) -> Option<Orders> {
    let granted = told.granted.into_iter().map(|granted| {
        let tenure = match wire::Tenure::try_from(granted.tenure) {
            Ok(wire::Tenure::Kept) => Tenure::Kept,
            Ok(wire::Tenure::Once) => Tenure::Once,
            Ok(wire::Tenure::Unspecified) | Err(_) => return None,
        };
        Some(Granted { first: granted.first, count: granted.count, tenure })
    });
    Some(Orders {
        sequence: told.sequence,
        granted: granted.collect::<Option<_>>()?,
        recalled: told.recalled,
        voided: told.voided,
        shared: told.shared,
    })
}

/// Shows the secret with each request, and looks like a probe: a sidecar that has no such service
/// answers it itself.
#[derive(Debug, Clone)]
struct Introduced {
    connection: Connection,
    secret: HeaderValue,
}

impl Service<Request<Body>> for Introduced {
    type Response = <Connection as Service<Request<Body>>>::Response;
    type Error = <Connection as Service<Request<Body>>>::Error;
    type Future = <Connection as Service<Request<Body>>>::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.connection.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let fields = request.headers_mut();
        fields.insert(FRONT_DOOR_HEADER, self.secret.clone());
        fields.insert(USER_AGENT, HeaderValue::from_static(probe::SIDECAR_AGENT));
        fields.insert(headers::NETWORK_PROBE, HeaderValue::from_static(CREDITS_PROBE));
        self.connection.call(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenure_that_is_unknown_makes_the_message_useless() {
        let granted = |tenure| wire::Granted { first: 1, count: 2, tenure };
        let told = |tenure| HoldResponse {
            sequence: 1,
            granted: vec![granted(tenure)],
            ..HoldResponse::default()
        };
        assert!(orders(told(wire::Tenure::Kept.into())).is_some());
        assert!(orders(told(0)).is_none());
        assert!(orders(told(9)).is_none());
    }
}
