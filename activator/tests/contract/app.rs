//! An instance: a real HTTP server that counts how many requests it has at once, and can be killed.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// What an instance has seen.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) in_flight: AtomicU32,
    pub(crate) most_in_flight: AtomicU32,
    pub(crate) served: AtomicU32,
    pub(crate) last_headers: Mutex<HeaderMap>,
    /// Requests to `/gate` take one permit each before they get a response.
    pub(crate) gate: Semaphore,
}

pub(crate) struct App {
    pub(crate) address: SocketAddr,
    pub(crate) seen: Arc<Seen>,
    dead: watch::Sender<Life>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Life {
    Alive,
    Killed,
}

impl App {
    /// Starts an instance that takes `service` for each request.
    pub(crate) async fn start(service: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen {
            in_flight: AtomicU32::new(0),
            most_in_flight: AtomicU32::new(0),
            served: AtomicU32::new(0),
            last_headers: Mutex::default(),
            gate: Semaphore::new(0),
        });
        let (dead, killed) = watch::channel(Life::Alive);
        tokio::spawn(accept(listener, Arc::clone(&seen), service, killed));
        Self { address, seen, dead }
    }

    /// Resets every connection and closes the listener, as `SIGKILL` would. Gives how many requests
    /// it was holding.
    pub(crate) fn kill(&self) -> u32 {
        let held = self.seen.in_flight.load(Ordering::SeqCst);
        self.dead.send_replace(Life::Killed);
        held
    }

    pub(crate) fn most_in_flight(&self) -> u32 {
        self.seen.most_in_flight.load(Ordering::SeqCst)
    }

    pub(crate) fn served(&self) -> u32 {
        self.seen.served.load(Ordering::SeqCst)
    }
}

async fn accept(
    listener: TcpListener,
    seen: Arc<Seen>,
    service: Duration,
    mut killed: watch::Receiver<Life>,
) {
    let mut connections = JoinSet::new();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted.unwrap().0,
            _ = killed.wait_for(|life| *life == Life::Killed) => return,
        };
        stream.set_nodelay(true).unwrap();
        connections.spawn(serve(stream, Arc::clone(&seen), service));
    }
}

async fn serve(stream: TcpStream, seen: Arc<Seen>, service: Duration) {
    let handler = service_fn(move |request| respond(request, Arc::clone(&seen), service));
    let connection = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), handler)
        .with_upgrades();
    let _ = connection.await;
}

struct Entered(Arc<Seen>);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn respond(
    request: Request<Incoming>,
    seen: Arc<Seen>,
    service: Duration,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let in_flight = seen.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
    seen.most_in_flight.fetch_max(in_flight, Ordering::SeqCst);
    let entered = Entered(Arc::clone(&seen));
    *seen.last_headers.lock().unwrap() = request.headers().clone();
    if request.headers().contains_key("upgrade") {
        tokio::spawn(echo(request, entered));
        let switching = Response::builder()
            .status(StatusCode::SWITCHING_PROTOCOLS)
            .header("connection", "upgrade")
            .header("upgrade", "echo");
        return Ok(switching.body(Full::default()).unwrap());
    }
    if request.uri().path() == "/gate" {
        seen.gate.acquire().await.unwrap().forget();
    }
    tokio::time::sleep(service).await;
    seen.served.fetch_add(1, Ordering::SeqCst);
    drop(entered);
    Ok(Response::new(Full::from("hello")))
}

/// Gives back what it gets until the other side has had enough.
async fn echo(request: Request<Incoming>, _entered: Entered) {
    let Ok(upgraded) = hyper::upgrade::on(request).await else { return };
    let mut stream = TokioIo::new(upgraded);
    let mut buffer = [0; 1024];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        if stream.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
