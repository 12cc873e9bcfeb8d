//! The bundled sample app: a real HTTP server that takes a while for each request, and counts how
//! many it had to serve at once.
//!
//! It is started as any app: it reads its port from `$PORT` and depends on nothing of Tidegate's.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

/// The header of a response with the number of requests that the app had when this one arrived,
/// itself included.
pub(crate) const IN_FLIGHT_HEADER: &str = "x-in-flight";

/// Counters of one process of the app.
#[derive(Debug, Default)]
struct Counts {
    in_flight: AtomicU32,
    most_in_flight: AtomicU32,
    served: AtomicU64,
}

/// Counts a request out when it is finished or cancelled.
struct Entered(Arc<Counts>);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
        self.0.served.fetch_add(1, Ordering::SeqCst);
    }
}

/// Serves until the process gets a signal to stop.
pub(crate) fn execute(service_time: Duration, start_up: Duration) -> anyhow::Result<()> {
    let port = std::env::var("PORT").context("the sample app needs $PORT")?;
    let port: u16 = port.parse().with_context(|| format!("$PORT is not a port: {port:?}"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // Stands for what real apps do before they listen: load code, connect to a database.
        tokio::time::sleep(start_up).await;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let counts = Arc::new(Counts::default());
        let mut told_to_stop =
            tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        loop {
            let stream = tokio::select! {
                accepted = listener.accept() => accepted?.0,
                _ = told_to_stop.recv() => return Ok(()),
            };
            stream.set_nodelay(true)?;
            let counts = Arc::clone(&counts);
            let service =
                service_fn(move |request| answer(request, Arc::clone(&counts), service_time));
            let mut http = hyper::server::conn::http1::Builder::new();
            http.timer(TokioTimer::new());
            let connection = http.serve_connection(TokioIo::new(stream), service);
            // A broken connection ends the requests on it and nothing else.
            tokio::spawn(async move { drop(connection.await) });
        }
    })
}

async fn answer(
    _request: Request<Incoming>,
    counts: Arc<Counts>,
    service_time: Duration,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let in_flight = counts.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
    counts.most_in_flight.fetch_max(in_flight, Ordering::SeqCst);
    let entered = Entered(Arc::clone(&counts));
    tokio::time::sleep(service_time).await;
    let body = serde_json::json!({
        "process": std::process::id(),
        "in_flight": in_flight,
        "most_in_flight": counts.most_in_flight.load(Ordering::SeqCst),
        "served": counts.served.load(Ordering::SeqCst) + 1,
    });
    drop(entered);
    let response = Response::builder()
        .header("content-type", "application/json")
        .header(IN_FLIGHT_HEADER, in_flight)
        .body(Full::new(Bytes::from(body.to_string())));
    Ok(response.unwrap_or_default())
}
