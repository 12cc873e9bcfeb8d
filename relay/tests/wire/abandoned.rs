//! A client that hung up took its slot with it: fifty clients that asked and left put fifty
//! requests into an app that was to have one at a time. The exchange ended with its client, and
//! the slot ended with the exchange, while the app worked on.
//!
//! With a guard that wants to be kept the slot now stays taken until the app has answered or
//! closed, in every phase in which a client can go.

use std::sync::Arc;
use std::time::Duration;

use tidegate_relay::TimeLimits;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, timeout};

use crate::stage::{App, HELLO, Proxy, Wire};

const NO_LIMITS: TimeLimits = TimeLimits { response_start: None, idle: None, overall: None };
/// Longer than any scene.
const HOLD: Duration = Duration::from_secs(60);
const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

/// How a client leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaving {
    Orderly,
    Reset,
}

fn leave(client: Wire, how: Leaving) {
    if how == Leaving::Reset {
        client.stream.set_zero_linger().expect("it is a TCP socket");
    }
    drop(client);
}

/// Long enough for a slot to be given back by mistake.
async fn a_while() {
    tokio::time::sleep(Duration::from_millis(100)).await;
}

/// An app that hands over each connection once it has read a head from it.
struct Puppet {
    app: App,
    asked: mpsc::UnboundedReceiver<Wire>,
}

impl Puppet {
    async fn new() -> Puppet {
        let (hand_over, asked) = mpsc::unbounded_channel();
        let app = App::playing(move |mut wire, _| {
            let hand_over = hand_over.clone();
            async move {
                if !wire.head().await.is_empty() {
                    let _ = hand_over.send(wire);
                }
            }
        })
        .await;
        Puppet { app, asked }
    }

    async fn asked(&mut self) -> Wire {
        let asked = timeout(Duration::from_secs(20), self.asked.recv()).await;
        asked.expect("a request comes").expect("the app runs")
    }
}

#[tokio::test]
async fn the_slot_stays_taken_until_the_app_has_answered() {
    for how in [Leaving::Orderly, Leaving::Reset] {
        let mut puppet = Puppet::new().await;
        let proxy = Proxy::holding(puppet.app.address, NO_LIMITS, HOLD).await;
        let mut client = proxy.client().await;
        client.send(GET).await;
        let mut app = puppet.asked().await;
        leave(client, how);
        a_while().await;
        proxy.until_held(1).await;
        app.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello").await;
        a_while().await;
        proxy.until_held(1).await;
        app.send("world").await;
        proxy.until_held(0).await;
        assert!(!app.fill().await, "the connection is closed, not kept: {how:?}");
    }
}

#[tokio::test]
async fn the_slot_is_free_when_the_app_closes() {
    let mut puppet = Puppet::new().await;
    let proxy = Proxy::holding(puppet.app.address, NO_LIMITS, HOLD).await;
    let mut client = proxy.client().await;
    client.send(GET).await;
    let app = puppet.asked().await;
    leave(client, Leaving::Orderly);
    a_while().await;
    proxy.until_held(1).await;
    drop(app);
    proxy.until_held(0).await;
}

#[tokio::test]
async fn a_client_that_leaves_within_the_answer_holds_the_slot_to_its_end() {
    let mut puppet = Puppet::new().await;
    let proxy = Proxy::holding(puppet.app.address, NO_LIMITS, HOLD).await;
    let mut client = proxy.client().await;
    client.send(GET).await;
    let mut app = puppet.asked().await;
    app.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n").await;
    client.until("hello").await;
    leave(client, Leaving::Reset);
    for _ in 0..3 {
        a_while().await;
        app.send("5\r\nworld\r\n").await;
    }
    proxy.until_held(1).await;
    app.send("0\r\nTrailer: t\r\n\r\n").await;
    proxy.until_held(0).await;
}

#[tokio::test]
async fn a_request_that_is_cut_short_is_cut_short_for_the_app() {
    for (framing, part) in [
        ("Content-Length: 10", "hello"),
        ("Transfer-Encoding: chunked", "5\r\nhello\r\n"),
        ("Content-Length: 10\r\nExpect: 100-continue", ""),
    ] {
        let mut puppet = Puppet::new().await;
        let proxy = Proxy::holding(puppet.app.address, NO_LIMITS, HOLD).await;
        let mut client = proxy.client().await;
        client.send(format!("POST / HTTP/1.1\r\nHost: h\r\n{framing}\r\n\r\n{part}")).await;
        let mut app = puppet.asked().await;
        app.exactly(part.len()).await;
        leave(client, Leaving::Reset);
        assert_eq!(app.rest().await, "", "{framing}: the app sees the end of it");
        // It cleans up, which takes time, and may even answer.
        a_while().await;
        proxy.until_held(1).await;
        app.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
        proxy.until_held(0).await;
    }
}

#[tokio::test]
async fn a_timeout_holds_the_slot_as_well() {
    for limits in [
        TimeLimits { overall: Some(Duration::from_millis(50)), ..NO_LIMITS },
        TimeLimits { response_start: Some(Duration::from_millis(50)), ..NO_LIMITS },
        TimeLimits { idle: Some(Duration::from_millis(50)), ..NO_LIMITS },
    ] {
        let mut puppet = Puppet::new().await;
        let proxy = Proxy::holding(puppet.app.address, limits, HOLD).await;
        let mut client = proxy.client().await;
        client.send(GET).await;
        let mut app = puppet.asked().await;
        assert!(client.answer().await.0.starts_with("HTTP/1.1 504"), "{limits:?}");
        a_while().await;
        proxy.until_held(1).await;
        app.send(HELLO).await;
        proxy.until_held(0).await;
    }
}

#[tokio::test]
async fn nothing_is_held_for_longer_than_the_guard_says() {
    let mut puppet = Puppet::new().await;
    let hold = Duration::from_millis(150);
    let proxy = Proxy::holding(puppet.app.address, NO_LIMITS, hold).await;
    let mut client = proxy.client().await;
    client.send(GET).await;
    let mut app = puppet.asked().await;
    let left = Instant::now();
    leave(client, Leaving::Orderly);
    proxy.until_held(0).await;
    assert!(left.elapsed() >= hold);
    assert!(!app.fill().await, "the app is told");
}

#[tokio::test]
async fn an_app_that_never_stops_sending_is_told_that_nobody_listens() {
    let mut puppet = Puppet::new().await;
    let proxy = Proxy::holding(puppet.app.address, NO_LIMITS, HOLD).await;
    let mut client = proxy.client().await;
    client.send(GET).await;
    let mut app = puppet.asked().await;
    leave(client, Leaving::Orderly);
    use tokio::io::AsyncWriteExt as _;
    app.send("HTTP/1.1 200 OK\r\n\r\n").await;
    let piece = vec![b'x'; 1 << 20];
    let sending = async { while app.stream.write_all(&piece).await.is_ok() {} };
    timeout(Duration::from_secs(20), sending).await.expect("a write fails");
    proxy.until_held(0).await;
}

#[tokio::test]
async fn a_tunnel_whose_client_vanishes_holds_its_slot_until_the_app_closes() {
    for how in [Leaving::Orderly, Leaving::Reset] {
        let mut puppet = Puppet::new().await;
        let proxy = Proxy::holding(puppet.app.address, NO_LIMITS, HOLD).await;
        let mut client = proxy.client().await;
        let upgrade = "Connection: Upgrade\r\nUpgrade: websocket";
        client.send(format!("GET / HTTP/1.1\r\nHost: h\r\n{upgrade}\r\n\r\n")).await;
        let mut app = puppet.asked().await;
        app.send(format!("HTTP/1.1 101 Switching Protocols\r\n{upgrade}\r\n\r\n")).await;
        client.head().await;
        leave(client, how);
        assert!(!app.fill().await, "the app is told in the tunnel's own way");
        a_while().await;
        proxy.until_held(1).await;
        drop(app);
        proxy.until_held(0).await;
    }
}

#[tokio::test]
async fn without_the_wish_to_hold_the_connection_is_closed_at_once() {
    let mut puppet = Puppet::new().await;
    let proxy = Proxy::before(&puppet.app).await;
    let mut client = proxy.client().await;
    client.send(GET).await;
    let mut app = puppet.asked().await;
    leave(client, Leaving::Orderly);
    assert!(!app.fill().await, "the app is told");
    proxy.until_held(0).await;
}

/// An HTTP/2 app that answers each request when it is told to, and shows how each one ended.
async fn http2_app() -> (App, Arc<Semaphore>, mpsc::UnboundedReceiver<&'static str>) {
    let (tell, told) = mpsc::unbounded_channel();
    let gate = Arc::new(Semaphore::new(0));
    let opened = gate.clone();
    let app = App::playing(move |wire, _| {
        let (tell, gate) = (tell.clone(), opened.clone());
        async move {
            let Ok(mut connection) = h2::server::handshake(wire.stream).await else { return };
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                let (tell, gate) = (tell.clone(), gate.clone());
                let mut body = request.into_body();
                tokio::spawn(async move {
                    let _ = tell.send("asked");
                    while let Some(piece) = body.data().await {
                        if piece.is_err() {
                            let _ = tell.send("cut short");
                            return;
                        }
                    }
                    let worked = tokio::select! {
                        _ = std::future::poll_fn(|cx| respond.poll_reset(cx)) => "cancelled",
                        _ = gate.acquire() => "done",
                    };
                    let _ = respond.send_response(http::Response::new(()), true);
                    let _ = tell.send(worked);
                });
            }
        }
    })
    .await;
    (app, gate, told)
}

async fn said(told: &mut mpsc::UnboundedReceiver<&'static str>) -> &'static str {
    timeout(Duration::from_secs(20), told.recv()).await.expect("it comes").expect("the app runs")
}

#[tokio::test]
async fn an_http2_app_works_on_and_keeps_the_slot() {
    let (app, gate, mut told) = http2_app().await;
    let proxy = Proxy::holding(app.address, NO_LIMITS, HOLD).await;
    let mut requests = crate::http2::client(&proxy).await;
    let request = http::Request::get("http://h.example/").version(http::Version::HTTP_2);
    let (_, mut sending) = requests.send_request(request.body(()).unwrap(), true).unwrap();
    assert_eq!(said(&mut told).await, "asked");
    sending.send_reset(h2::Reason::CANCEL);
    a_while().await;
    proxy.until_held(1).await;
    gate.add_permits(1);
    assert_eq!(said(&mut told).await, "done");
    proxy.until_held(0).await;
}

#[tokio::test]
async fn an_http2_upload_that_is_cut_short_is_reset_and_waited_for_no_longer() {
    let (app, _, mut told) = http2_app().await;
    let proxy = Proxy::holding(app.address, NO_LIMITS, HOLD).await;
    let mut requests = crate::http2::client(&proxy).await;
    let request = http::Request::post("http://h.example/").version(http::Version::HTTP_2);
    let (_, mut sending) = requests.send_request(request.body(()).unwrap(), false).unwrap();
    sending.send_data(bytes::Bytes::from_static(b"half of it"), false).unwrap();
    assert_eq!(said(&mut told).await, "asked");
    sending.send_reset(h2::Reason::CANCEL);
    assert_eq!(said(&mut told).await, "cut short");
    proxy.until_held(0).await;
}
