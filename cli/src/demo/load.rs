//! The demo's client: every request is sent at its time, and its answer must be the app's.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tidegate_replay::{Bounds, Client, Due, Request, Security, Version, send};
use tokio::sync::mpsc;

use super::app::IN_FLIGHT_HEADER;
use super::traffic::Schedule;

/// A client that has waited this long gives up, and the request counts as lost.
pub(crate) const CLIENT_TIMEOUT: Duration = Duration::from_secs(60);

/// Arrivals between the schedule and the client.
const READ_AHEAD: usize = 64;

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

/// Sends every request of the schedule, from now on. Each outcome goes into the channel, which
/// closes after the last one.
///
/// # Errors
///
/// When there is no client.
pub(crate) fn replay(
    target: SocketAddr,
    schedule: Arc<Schedule>,
) -> anyhow::Result<mpsc::UnboundedReceiver<Outcome>> {
    let client = Client::new(&Security::Nobody, Version::Preferred)?;
    let request = Request::get(&format!("http://{target}/"))?;
    let request = request.header("User-Agent: tidegate-demo").context("the client's name")?;
    // As many outcomes as there are arrivals: the schedule bounds the channel.
    let (outcomes, received) = mpsc::unbounded_channel();
    let (due, arrivals) = mpsc::channel(READ_AHEAD);
    tokio::spawn(async move {
        for at in &schedule.arrivals {
            if due.send(Due::new(*at)).await.is_err() {
                return;
            }
        }
    });
    tokio::spawn(async move {
        let bounds = Bounds { timeout: CLIENT_TIMEOUT, ..Bounds::default() };
        // The receiver is gone when the demo was interrupted.
        let gone = outcomes.clone();
        let observe = |outcome| drop(outcomes.send(judged(outcome)));
        send(&client, &[request], arrivals, bounds, gone.closed(), observe).await;
    });
    Ok(received)
}

/// Whether the answer is the app's.
fn judged(outcome: tidegate_replay::Outcome) -> Outcome {
    let answer = match &outcome.answer {
        Err(failure) => Err(failure.to_string()),
        Ok(answer) if answer.status != 200 => Err(format!("status {}", answer.status)),
        Ok(answer) => {
            let in_flight = answer.headers.get(IN_FLIGHT_HEADER);
            let in_flight = in_flight.and_then(|value| value.to_str().ok()?.parse().ok());
            in_flight.ok_or_else(|| "an answer that is not the app's".to_owned())
        }
    };
    Outcome { scheduled: outcome.due.at, latency: outcome.latency, answer }
}
