//! A sidecar outlives its app: while it drained it still accepted requests, and declined each of
//! them because nobody listened behind it. The request was sent there again at once, 64 times
//! within a few milliseconds, and failed with a 502 although the next instance was on its way. Now
//! such an instance is left out until its sidecar says that its app is ready, and requests wait.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tidegate_activator::{Config, Endpoint};
use tidegate_proto::FAILURE_HEADER;
use tokio::net::TcpListener;

use crate::app::App;
use crate::client::get;
use crate::stage::{close_whole, config, open, status, until, web};

/// Requests that may find out together that an app is gone: as many as the instance's limit.
const LIMIT: u32 = 4;

/// A sidecar that declines what comes, until its app is there.
struct Sidecar {
    address: SocketAddr,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    app_is_there: AtomicBool,
    declined: AtomicU32,
    probed: AtomicU32,
}

impl Sidecar {
    async fn without_app() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Seen>::default();
        let serves = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let seen = Arc::clone(&serves);
                tokio::spawn(async move {
                    let handler = service_fn(move |request| respond(request, Arc::clone(&seen)));
                    let server = auto::Builder::new(TokioExecutor::new());
                    let _ = server.serve_connection(TokioIo::new(stream), handler).await;
                });
            }
        });
        Self { address, seen }
    }

    fn declined(&self) -> u32 {
        self.seen.declined.load(Ordering::SeqCst)
    }
}

async fn respond(
    request: Request<Incoming>,
    seen: Arc<Seen>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let is_there = seen.app_is_there.load(Ordering::SeqCst);
    let is_probe = request.headers().get("k-network-probe").is_some_and(|value| value == "queue");
    let response = Response::builder();
    let response = match (is_probe, is_there) {
        (true, _) => {
            seen.probed.fetch_add(1, Ordering::SeqCst);
            let ready = if is_there { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            response.status(ready)
        }
        (false, true) => response.status(StatusCode::OK),
        (false, false) => {
            seen.declined.fetch_add(1, Ordering::SeqCst);
            response.status(StatusCode::BAD_GATEWAY).header(FAILURE_HEADER, "unreachable")
        }
    };
    Ok(response.body(Full::default()).unwrap())
}

fn endpoint(name: &str, address: SocketAddr) -> Endpoint {
    Endpoint { instance: name.into(), address: address.to_string(), limit: LIMIT }
}

fn instances(endpoints: impl IntoIterator<Item = Endpoint>) -> Config {
    let endpoints = endpoints.into_iter().map(|endpoint| (web(), endpoint)).collect();
    let secret = Some("what sidecars know their activators by".parse().unwrap());
    Config { endpoints, sidecar_secret: secret, ..config(None) }
}

#[tokio::test]
async fn other_instances_take_what_a_sidecar_without_its_app_declines() {
    let (sidecar, app) = (Sidecar::without_app().await, App::start(Duration::ZERO).await);
    let both = [endpoint("web-0", sidecar.address), endpoint("web-1", app.address)];
    let (running, address) = open(instances(both));
    for _ in 0..100 {
        assert_eq!(get(address, "/", &[]).await.unwrap().status, 200);
    }
    assert_eq!((sidecar.declined(), status(&running).ready), (1, 1), "it is out");
    close_whole(running).await;
}

#[tokio::test]
async fn requests_wait_until_the_app_behind_the_only_sidecar_is_ready() {
    let sidecar = Sidecar::without_app().await;
    let (running, address) = open(instances([endpoint("web-0", sidecar.address)]));
    let waiting = tokio::spawn(async move { get(address, "/", &[]).await });
    let probed = || sidecar.seen.probed.load(Ordering::SeqCst);
    until(&running, |status| status.waiting == 1 && probed() > 3).await;
    assert_eq!(sidecar.declined(), 1, "it is asked, and no request is risked on it");
    sidecar.seen.app_is_there.store(true, Ordering::SeqCst);
    assert_eq!(waiting.await.unwrap().unwrap().status, 200);
    assert_eq!((sidecar.declined(), status(&running).ready), (1, 1));
    close_whole(running).await;
}

#[tokio::test]
async fn an_instance_that_comes_takes_what_waits_for_an_app_that_is_gone() {
    let (sidecar, app) = (Sidecar::without_app().await, App::start(Duration::ZERO).await);
    let (running, address) = open(instances([endpoint("web-0", sidecar.address)]));
    let waiting = tokio::spawn(async move { get(address, "/", &[]).await });
    until(&running, |status| status.waiting == 1).await;
    let throttler = running.throttler().all().remove(0);
    let both = [endpoint("web-0", sidecar.address), endpoint("web-1", app.address)];
    throttler.set_endpoints(&both);
    assert_eq!(waiting.await.unwrap().unwrap().status, 200);
    assert_eq!((sidecar.declined(), app.served()), (1, 1));
    close_whole(running).await;
}
