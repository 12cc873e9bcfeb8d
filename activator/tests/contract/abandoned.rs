//! A client that hung up gave its room at an instance back while the instance worked on: with a
//! limit of 1, fifty clients that disconnected had fifty requests inside the app. Room is now
//! given back when the instance is done.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tidegate_activator::{Config, Endpoint};
use tidegate_admission::Abandoned;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::app::App;
use crate::client::get;
use crate::stage::{close_whole, config, fixed, open, status, until, web};

/// The time between two checks of a condition that is waited for.
const POLL_PERIOD: Duration = Duration::from_millis(1);
/// How long a client stays before it leaves: some are admitted by then, and some wait.
const CLIENT_STAY: Duration = Duration::from_millis(5);

/// An app that does not look at its socket while it works, as most do not.
struct Absorbed {
    address: SocketAddr,
    inside: Arc<AtomicU32>,
    most_inside: Arc<AtomicU32>,
}

impl Absorbed {
    async fn start(work: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (inside, most_inside) = (Arc::<AtomicU32>::default(), Arc::<AtomicU32>::default());
        let counts = (Arc::clone(&inside), Arc::clone(&most_inside));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, work, counts.clone()));
            }
        });
        Self { address, inside, most_inside }
    }

    async fn until_inside(&self, count: u32) {
        while self.inside.load(Ordering::SeqCst) != count {
            tokio::time::sleep(POLL_PERIOD).await;
        }
    }

    fn before(&self, limit: u32) -> Config {
        let address = self.address.to_string();
        let endpoint = Endpoint { instance: "web-0".into(), address, limit };
        Config { endpoints: vec![(web(), endpoint)], ..config(None) }
    }
}

async fn serve(
    mut stream: TcpStream,
    work: Duration,
    (inside, most_inside): (Arc<AtomicU32>, Arc<AtomicU32>),
) {
    let mut head = [0; 4096];
    while let Ok(1..) = stream.read(&mut head).await {
        let now = inside.fetch_add(1, Ordering::SeqCst) + 1;
        most_inside.fetch_max(now, Ordering::SeqCst);
        tokio::time::sleep(work).await;
        inside.fetch_sub(1, Ordering::SeqCst);
        if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.is_err() {
            return;
        }
    }
}

async fn ask(address: SocketAddr, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn clients_that_disconnect_never_put_an_instance_over_its_limit() {
    for limit in [1, 3] {
        let app = Absorbed::start(Duration::from_millis(50)).await;
        let (running, address) = open(app.before(limit));
        for _ in 0..50 {
            let client = ask(address, "/").await;
            tokio::time::sleep(CLIENT_STAY).await;
            drop(client);
        }
        assert_eq!(get(address, "/", &[]).await.unwrap().body, "ok");
        assert!(app.most_inside.load(Ordering::SeqCst) <= limit, "limit {limit}");
        close_whole(running).await;
        assert_eq!(app.inside.load(Ordering::SeqCst), 0, "the drain waited for the instance");
    }
}

#[tokio::test]
async fn abandoned_requests_count_until_the_instance_finishes_them() {
    let app = App::start(Duration::ZERO).await;
    let (running, address) = open(fixed(&[(&app, 2)]));
    let clients = [ask(address, "/gate").await, ask(address, "/gate").await];
    while app.seen.in_flight.load(Ordering::SeqCst) < 2 {
        tokio::time::sleep(POLL_PERIOD).await;
    }
    drop(clients);
    until(&running, |status| (status.abandoned, status.in_flight) == (2, 2)).await;
    app.seen.gate.add_permits(2);
    until(&running, |status| (status.abandoned, status.in_flight) == (0, 0)).await;
    assert_eq!(status(&running).abandoned_total, 2);
    let throttler = running.throttler().all().remove(0);
    let report = throttler.take_period().report;
    assert_eq!(report.request_count, 2);
    close_whole(running).await;
}

#[tokio::test]
async fn no_slot_is_held_without_a_limit_or_under_the_release_rule() {
    for (limit, rule) in [(0, Abandoned::hold(None)), (1, Abandoned::Release)] {
        let app = Absorbed::start(Duration::from_secs(60)).await;
        let (running, address) = open(Config { abandoned: rule, ..app.before(limit) });
        let client = ask(address, "/").await;
        app.until_inside(1).await;
        drop(client);
        until(&running, |status| status.abandoned_total == 1 && status.in_flight == 0).await;
        assert_eq!(status(&running).abandoned, 0);
        close_whole(running).await;
    }
}
