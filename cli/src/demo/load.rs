//! An open-loop client: every request is sent at its scheduled time, however the others fare.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::{Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::app::IN_FLIGHT_HEADER;
use super::traffic::Schedule;

/// A client that has waited this long gives up, and the request counts as lost.
pub(crate) const CLIENT_TIMEOUT: Duration = Duration::from_secs(60);

/// The outcome of one request.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    /// When it was to be sent, after the start.
    pub(crate) scheduled: Duration,
    /// From that moment to the last byte of the response.
    pub(crate) latency: Duration,
    /// Requests that its instance had when it arrived, itself included; or why it was lost.
    pub(crate) answer: Result<u32, String>,
}

/// Sends every request of the schedule, the first ones from `start` on. Each outcome goes into the
/// channel, which closes after the last one.
pub(crate) fn replay(
    target: SocketAddr,
    schedule: Arc<Schedule>,
    start: Instant,
) -> mpsc::UnboundedReceiver<Outcome> {
    // As many outcomes as there are arrivals: the schedule bounds the channel.
    let (outcomes, received) = mpsc::unbounded_channel();
    let client = Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .build::<_, Empty<Bytes>>(connector());
    tokio::spawn(async move {
        for scheduled in &schedule.arrivals {
            tokio::time::sleep_until(start + *scheduled).await;
            let (client, outcomes, scheduled) = (client.clone(), outcomes.clone(), *scheduled);
            tokio::spawn(async move {
                let answer = tokio::time::timeout(CLIENT_TIMEOUT, ask(&client, target)).await;
                let answer = answer.unwrap_or_else(|_| {
                    Err(format!("no answer within {} s", CLIENT_TIMEOUT.as_secs()))
                });
                let latency = start.elapsed().saturating_sub(scheduled);
                // The receiver is gone when the demo was interrupted.
                let _ = outcomes.send(Outcome { scheduled, latency, answer });
            });
        }
    });
    received
}

fn connector() -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector
}

async fn ask(
    client: &Client<HttpConnector, Empty<Bytes>>,
    target: SocketAddr,
) -> Result<u32, String> {
    let request = Request::get(format!("http://{target}/"))
        .header("user-agent", "tidegate-demo")
        .body(Empty::new())
        .map_err(|error| error.to_string())?;
    let response = client.request(request).await.map_err(|error| describe(&error))?;
    let status = response.status();
    let in_flight = response.headers().get(IN_FLIGHT_HEADER);
    let in_flight = in_flight.and_then(|value| value.to_str().ok()?.parse().ok());
    let body = response.into_body().collect().await.map_err(|error| describe(&error))?.to_bytes();
    match (status, in_flight) {
        (StatusCode::OK, Some(in_flight)) if body.ends_with(b"}") => Ok(in_flight),
        (StatusCode::OK, _) => Err("an answer that is not the app's".to_owned()),
        _ => Err(format!("status {status}")),
    }
}

/// The error and everything that caused it, on one line.
fn describe(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
