//! A client that hung up freed its slot at once: fifty clients that sent a request and left put
//! fifty requests into an app with a limit of one. The exchange ended with its client, and the slot
//! with the exchange, while the app still worked.
//!
//! With a guard that asks for it, the slot now stays taken until the app has responded or closed,
//! in whatever phase of the exchange the client leaves.

use std::sync::Arc;
use std::time::Duration;

use tidegate_relay::{StreamLimits, TimeLimits};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, timeout};

use crate::harness::{App, HELLO, Proxy, STEP_TIMEOUT, Wire};

const NO_LIMITS: TimeLimits = TimeLimits {
    response_start: None,
    idle: None,
    overall: None,
    stream: StreamLimits { idle: None, lifetime: None },
};
/// Longer than any test.
const HOLD: Duration = Duration::from_secs(60);
const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

/// How a client closes its connection.
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

/// An app that passes each connection to the test once it has read a head from it.
struct ManualApp {
    app: App,
    requested: mpsc::UnboundedReceiver<Wire>,
}

impl ManualApp {
    async fn new() -> ManualApp {
        let (pass_on, requested) = mpsc::unbounded_channel();
        let app = App::scripted(move |mut wire, _| {
            let pass_on = pass_on.clone();
            async move {
                if !wire.head().await.is_empty() {
                    let _ = pass_on.send(wire);
                }
            }
        })
        .await;
        ManualApp { app, requested }
    }

    /// The connection of the next request.
    async fn requested(&mut self) -> Wire {
        let requested = timeout(STEP_TIMEOUT, self.requested.recv()).await;
        requested.expect("a request arrives").expect("the app runs")
    }
}

#[tokio::test]
async fn the_slot_stays_taken_until_the_app_has_answered() {
    for how in [Leaving::Orderly, Leaving::Reset] {
        let mut manual = ManualApp::new().await;
        let proxy = Proxy::holding(manual.app.address, NO_LIMITS, HOLD).await;
        let mut client = proxy.client().await;
        client.send(GET).await;
        let mut app = manual.requested().await;
        leave(client, how);
        proxy.until_handled().await;
        assert_eq!(proxy.held_after_all_events().await, 1);
        app.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello").await;
        assert_eq!(proxy.held_after_all_events().await, 1);
        app.send("world").await;
        proxy.until_held(0).await;
        assert!(!app.fill().await, "the connection is closed, not kept: {how:?}");
    }
}

#[tokio::test]
async fn the_slot_is_free_when_the_app_closes() {
    let mut manual = ManualApp::new().await;
    let proxy = Proxy::holding(manual.app.address, NO_LIMITS, HOLD).await;
    let mut client = proxy.client().await;
    client.send(GET).await;
    let app = manual.requested().await;
    leave(client, Leaving::Orderly);
    proxy.until_handled().await;
    assert_eq!(proxy.held_after_all_events().await, 1);
    drop(app);
    proxy.until_held(0).await;
}

#[tokio::test]
async fn a_client_that_leaves_within_the_response_holds_the_slot_to_its_end() {
    let mut manual = ManualApp::new().await;
    let proxy = Proxy::holding(manual.app.address, NO_LIMITS, HOLD).await;
    let mut client = proxy.client().await;
    client.send(GET).await;
    let mut app = manual.requested().await;
    app.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n").await;
    client.until("hello").await;
    leave(client, Leaving::Reset);
    proxy.until_handled().await;
    for _ in 0..3 {
        app.send("5\r\nworld\r\n").await;
        assert_eq!(proxy.held_after_all_events().await, 1);
    }
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
        let mut manual = ManualApp::new().await;
        let proxy = Proxy::holding(manual.app.address, NO_LIMITS, HOLD).await;
        let mut client = proxy.client().await;
        client.send(format!("POST / HTTP/1.1\r\nHost: h\r\n{framing}\r\n\r\n{part}")).await;
        let mut app = manual.requested().await;
        app.exactly(part.len()).await;
        leave(client, Leaving::Reset);
        assert_eq!(app.rest().await, "", "{framing}: the app sees the end of it");
        // It cleans up, which takes time, and may even respond.
        proxy.until_handled().await;
        assert_eq!(proxy.held_after_all_events().await, 1);
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
        let mut manual = ManualApp::new().await;
        let proxy = Proxy::holding(manual.app.address, limits, HOLD).await;
        let mut client = proxy.client().await;
        client.send(GET).await;
        let mut app = manual.requested().await;
        assert!(client.response().await.0.starts_with("HTTP/1.1 504"), "{limits:?}");
        proxy.until_handled().await;
        assert_eq!(proxy.held_after_all_events().await, 1);
        app.send(HELLO).await;
        proxy.until_held(0).await;
    }
}

#[tokio::test]
async fn nothing_is_held_for_longer_than_the_guard_allows() {
    let mut manual = ManualApp::new().await;
    let hold = Duration::from_millis(150);
    let proxy = Proxy::holding(manual.app.address, NO_LIMITS, hold).await;
    let mut client = proxy.client().await;
    client.send(GET).await;
    let mut app = manual.requested().await;
    let left = Instant::now();
    leave(client, Leaving::Orderly);
    proxy.until_held(0).await;
    assert!(left.elapsed() >= hold);
    assert!(!app.fill().await, "the app reads the end");
}

#[tokio::test]
async fn an_app_that_never_stops_sending_gets_an_error() {
    let mut manual = ManualApp::new().await;
    let proxy = Proxy::holding(manual.app.address, NO_LIMITS, HOLD).await;
    let mut client = proxy.client().await;
    client.send(GET).await;
    let mut app = manual.requested().await;
    leave(client, Leaving::Orderly);
    use tokio::io::AsyncWriteExt as _;
    app.send("HTTP/1.1 200 OK\r\n\r\n").await;
    let piece = vec![b'x'; 1 << 20];
    let sending = async { while app.stream.write_all(&piece).await.is_ok() {} };
    timeout(STEP_TIMEOUT, sending).await.expect("a write fails");
    proxy.until_held(0).await;
}

#[tokio::test]
async fn a_tunnel_whose_client_vanishes_holds_its_slot_until_the_app_closes() {
    for how in [Leaving::Orderly, Leaving::Reset] {
        let mut manual = ManualApp::new().await;
        let proxy = Proxy::holding(manual.app.address, NO_LIMITS, HOLD).await;
        let mut client = proxy.client().await;
        let upgrade = "Connection: Upgrade\r\nUpgrade: websocket";
        client.send(format!("GET / HTTP/1.1\r\nHost: h\r\n{upgrade}\r\n\r\n")).await;
        let mut app = manual.requested().await;
        app.send(format!("HTTP/1.1 101 Switching Protocols\r\n{upgrade}\r\n\r\n")).await;
        client.head().await;
        leave(client, how);
        assert!(!app.fill().await, "the app reads the end of the tunnel");
        assert_eq!(proxy.held_after_all_events().await, 1);
        drop(app);
        proxy.until_held(0).await;
    }
}

#[tokio::test]
async fn without_a_hold_the_connection_is_closed_at_once() {
    let mut manual = ManualApp::new().await;
    let proxy = Proxy::before(&manual.app).await;
    let mut client = proxy.client().await;
    client.send(GET).await;
    let mut app = manual.requested().await;
    leave(client, Leaving::Orderly);
    assert!(!app.fill().await, "the app reads the end");
    proxy.until_held(0).await;
}

/// An HTTP/2 app that responds to a request for each permit of the semaphore, and reports how each
/// one ended.
async fn http2_app() -> (App, Arc<Semaphore>, mpsc::UnboundedReceiver<&'static str>) {
    let (report, events) = mpsc::unbounded_channel();
    let gate = Arc::new(Semaphore::new(0));
    let opened = gate.clone();
    let app = App::scripted(move |wire, _| {
        let (report, gate) = (report.clone(), opened.clone());
        async move {
            let Ok(mut connection) = h2::server::handshake(wire.stream).await else { return };
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                let (report, gate) = (report.clone(), gate.clone());
                let mut body = request.into_body();
                tokio::spawn(async move {
                    let _ = report.send("requested");
                    while let Some(piece) = body.data().await {
                        if piece.is_err() {
                            let _ = report.send("cut short");
                            return;
                        }
                    }
                    let worked = tokio::select! {
                        _ = std::future::poll_fn(|cx| respond.poll_reset(cx)) => "cancelled",
                        _ = gate.acquire() => "done",
                    };
                    let _ = respond.send_response(http::Response::new(()), true);
                    let _ = report.send(worked);
                });
            }
        }
    })
    .await;
    (app, gate, events)
}

async fn next_event(events: &mut mpsc::UnboundedReceiver<&'static str>) -> &'static str {
    timeout(STEP_TIMEOUT, events.recv()).await.expect("it is reported").expect("the app runs")
}

#[tokio::test]
async fn an_http2_app_works_on_and_keeps_the_slot() {
    let (app, gate, mut events) = http2_app().await;
    let proxy = Proxy::holding(app.address, NO_LIMITS, HOLD).await;
    let mut requests = crate::http2::client(&proxy).await;
    let request = http::Request::get("http://h.example/").version(http::Version::HTTP_2);
    let (_, mut sending) = requests.send_request(request.body(()).unwrap(), true).unwrap();
    assert_eq!(next_event(&mut events).await, "requested");
    sending.send_reset(h2::Reason::CANCEL);
    proxy.until_handled().await;
    assert_eq!(proxy.held_after_all_events().await, 1);
    gate.add_permits(1);
    assert_eq!(next_event(&mut events).await, "done");
    proxy.until_held(0).await;
}

#[tokio::test]
async fn an_http2_upload_that_is_cut_short_is_reset_and_not_awaited() {
    let (app, _, mut events) = http2_app().await;
    let proxy = Proxy::holding(app.address, NO_LIMITS, HOLD).await;
    let mut requests = crate::http2::client(&proxy).await;
    let request = http::Request::post("http://h.example/").version(http::Version::HTTP_2);
    let (_, mut sending) = requests.send_request(request.body(()).unwrap(), false).unwrap();
    sending.send_data(bytes::Bytes::from_static(b"half of it"), false).unwrap();
    assert_eq!(next_event(&mut events).await, "requested");
    sending.send_reset(h2::Reason::CANCEL);
    assert_eq!(next_event(&mut events).await, "cut short");
    proxy.until_held(0).await;
}
