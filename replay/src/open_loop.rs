//! The open loop: what is due is sent, however the rest fares.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::client::Client;
use crate::request::Request;

/// Requests in flight at most unless others are asked for: each holds a connection, and more than a
/// few ten thousand of them are more ports than one address has.
const IN_FLIGHT_MAX: NonZeroU32 = NonZeroU32::new(10_000).expect("is not zero");

/// Longest wait for a whole response unless another is asked for.
const TIMEOUT: Duration = Duration::from_secs(60);

/// One request that is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// When, after the start.
    pub at: Duration,
    /// To which of the targets; beyond the last one it is to the last one.
    pub target: usize,
    /// How long the server works on it, as far as the trace says.
    pub service: Option<Duration>,
}

impl Due {
    /// For the first target.
    #[must_use]
    pub const fn new(at: Duration) -> Self {
        Self { at, target: 0, service: None }
    }
}

/// What bounds a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Requests in flight at most. One that is due beyond that is sent once another has ended, and
    /// its latency counts from when it was due all the same.
    pub in_flight_max: NonZeroU32,
    /// From when a request is sent to the last byte of its response, at most.
    pub timeout: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { in_flight_max: IN_FLIGHT_MAX, timeout: TIMEOUT }
    }
}

/// The response to a request, read to its end and thrown away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Bytes of its body.
    pub body_bytes: u64,
    /// From when the request was due to when the headers had come.
    pub headers_after: Duration,
}

/// Why a request has no whole response.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Nobody took the connection.
    #[error("no connection: {0}")]
    Connect(String),
    /// The response was not whole in time.
    #[error("no whole response in time")]
    TimedOut,
    /// The connection broke, or what came was no response.
    #[error("broken off: {0}")]
    Broken(String),
}

/// What came of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The request.
    pub due: Due,
    /// From when it was due to when it was sent.
    pub sent_late: Duration,
    /// From when it was due to the last byte of the response, or to the failure.
    pub latency: Duration,
    /// The response, or why there is none.
    pub answer: Result<Answer, Failure>,
}

/// How the sending went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// Requests that were sent.
    pub requests: u64,
    /// From the first moment to the last outcome.
    pub lasted: Duration,
    /// Most requests in flight at once.
    pub in_flight_peak: usize,
    /// Requests that were in flight when it was ended by `stop`: nothing is known of them. `None`
    /// when it went to its end.
    pub interrupted: Option<usize>,
}

/// Sends every arrival, which must come in the order of time, and hands each outcome to `observe`
/// in the order in which they come. Ends when the last is there, or at once when `stop` resolves.
///
/// # Cancel safety
///
/// Dropping it ends all requests in flight.
///
/// # Panics
///
/// When there is no target.
pub async fn send(
    client: &Client,
    targets: &[Request],
    mut arrivals: mpsc::Receiver<Due>,
    bounds: Bounds,
    stop: impl Future<Output = ()>,
    mut observe: impl FnMut(Outcome),
) -> Sent {
    assert!(!targets.is_empty(), "a replay needs a target");
    let targets: Vec<Arc<Request>> = targets.iter().cloned().map(Arc::new).collect();
    let in_flight_max = usize::try_from(bounds.in_flight_max.get()).unwrap_or(usize::MAX);
    let start = Instant::now();
    let mut sent =
        Sent { requests: 0, lasted: Duration::ZERO, in_flight_peak: 0, interrupted: None };
    let mut flights: JoinSet<Outcome> = JoinSet::new();
    let mut next: Option<Due> = None;
    let mut ended = false;
    tokio::pin!(stop);
    while !(ended && next.is_none() && flights.is_empty()) {
        let has_room = flights.len() < in_flight_max;
        tokio::select! {
            biased;
            () = &mut stop => {
                sent.interrupted = Some(flights.len());
                break;
            }
            Some(landed) = flights.join_next(), if !flights.is_empty() => {
                if let Ok(outcome) = landed {
                    observe(outcome);
                }
            }
            arrival = arrivals.recv(), if next.is_none() && !ended => match arrival {
                Some(due) => next = Some(due),
                None => ended = true,
            },
            () = sleep_until(start + next.map_or(Duration::ZERO, |due| due.at)),
                if next.is_some() && has_room =>
            {
                let Some(due) = next.take() else { continue };
                let target = &targets[due.target.min(targets.len() - 1)];
                let (client, target) = (client.clone(), Arc::clone(target));
                flights.spawn(fly(client, target, due, start, bounds.timeout));
                sent.requests += 1;
                sent.in_flight_peak = sent.in_flight_peak.max(flights.len());
            }
        }
    }
    sent.lasted = start.elapsed();
    sent
}

/// Sends one request and reads its response to the end.
async fn fly(
    client: Client,
    target: Arc<Request>,
    due: Due,
    start: Instant,
    longest: Duration,
) -> Outcome {
    let since_due = || start.elapsed().saturating_sub(due.at);
    let sent_late = since_due();
    let answer = async {
        let response = client.request(message(&target, &due)).await.map_err(|error| {
            let text = chain(&error);
            if error.is_connect() { Failure::Connect(text) } else { Failure::Broken(text) }
        })?;
        let headers_after = since_due();
        let (parts, mut body) = response.into_parts();
        let mut body_bytes = 0_u64;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| Failure::Broken(chain(&error)))?;
            body_bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        Ok(Answer { status: parts.status, headers: parts.headers, body_bytes, headers_after })
    };
    let answer = timeout(longest, answer).await.unwrap_or(Err(Failure::TimedOut));
    Outcome { due, sent_late, latency: since_due(), answer }
}

fn message(target: &Request, due: &Due) -> http::Request<Full<Bytes>> {
    let mut message = http::Request::new(Full::new(target.body.clone()));
    *message.method_mut() = target.method.clone();
    *message.uri_mut() = target.uri.clone();
    *message.version_mut() = Version::HTTP_11;
    *message.headers_mut() = target.headers.clone();
    if let (Some(name), Some(service)) = (&target.service_time_header, due.service) {
        let ms = (service.as_secs_f64() * 1e3).to_string();
        if let Ok(value) = HeaderValue::from_str(&ms) {
            message.headers_mut().insert(name.clone(), value);
        }
    }
    message
}

/// An error and everything that caused it, on one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
