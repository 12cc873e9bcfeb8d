//! Connections that a Service led to an activator while it had no pod, and that clients keep: they
//! are let go once the pods take requests themselves, and no request is lost by it.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tidegate_activator::Running;
use tidegate_proto::stats::v1::ServiceMode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::app::App;
use crate::client::Response;
use crate::controller::Controller;
use crate::revision_ports::{free_port, until_open};
use crate::stage::{PATIENCE, POLL_PERIOD, close_whole, config, open};

/// Clients that keep their connections, as many of each protocol.
const CLIENTS: usize = 10;

/// Sends a request on a connection that stays, and reads its response, whose body is five bytes.
async fn ask(client: &mut TcpStream, path: &str) -> Response {
    let request = format!("GET {path} HTTP/1.1\r\nHost: app.example\r\n\r\n");
    client.write_all(request.as_bytes()).await.unwrap();
    let mut response = Vec::new();
    let reading = async {
        while !response.ends_with(b"hello") {
            assert!(client.read_buf(&mut response).await.unwrap() > 0, "it ended: {response:?}");
        }
    };
    timeout(PATIENCE, reading).await.expect("in time");
    Response::parse(&response).unwrap()
}

async fn until_closed(client: &mut TcpStream) {
    let mut rest = Vec::new();
    timeout(PATIENCE, client.read_to_end(&mut rest)).await.expect("in time").unwrap();
    assert!(rest.is_empty());
}

/// A client of HTTP/2 whose connection stays.
type Streams = SendRequest<Empty<Bytes>>;

async fn connect_http2(address: SocketAddr) -> (Streams, JoinHandle<hyper::Result<()>>) {
    let io = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
    (sender, tokio::spawn(connection))
}

async fn ask_http2(sender: &mut Streams, path: &str) -> u16 {
    let request = Request::get(format!("http://app.example{path}")).body(Empty::new()).unwrap();
    let response = timeout(PATIENCE, sender.send_request(request)).await.expect("in time").unwrap();
    let status = response.status().as_u16();
    response.into_body().collect().await.unwrap();
    status
}

/// An app behind a port of its own, and who says where its clients should connect.
struct Led {
    app: App,
    controller: Controller,
    running: Running,
    port: u16,
    address: SocketAddr,
}

impl Led {
    async fn start() -> Self {
        let app = App::start(Duration::ZERO).await;
        let controller = Controller::start().await;
        let (running, _) = open(config(Some(&controller)));
        controller.list("api", &[("api-1", app.address, 0)]);
        let port = free_port();
        controller.open("api", &[port]);
        until_open(port).await;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        Self { app, controller, running, port, address }
    }

    fn lead(&self, mode: ServiceMode) {
        self.controller.open_in(mode, "api", &[self.port]);
    }

    async fn until_in_flight(&self, count: u32) {
        let waiting = async {
            while self.app.seen.in_flight.load(Ordering::SeqCst) < count {
                tokio::time::sleep(POLL_PERIOD).await;
            }
        };
        timeout(PATIENCE, waiting).await.expect("in time");
    }
}

#[tokio::test]
async fn kept_connections_are_closed_after_the_response_that_they_wait_for() {
    let led = Led::start().await;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let mut client = TcpStream::connect(led.address).await.unwrap();
        for _ in 0..3 {
            assert!(!ask(&mut client, "/").await.has("connection: close"), "it is kept");
        }
        clients.push(client);
    }
    // One of them waits for its response at that moment.
    let mut late = clients.pop().unwrap();
    let late = tokio::spawn(async move { (ask(&mut late, "/gate").await, late) });
    led.until_in_flight(1).await;
    let (mut witness, connection) = connect_http2(led.address).await;
    assert_eq!(ask_http2(&mut witness, "/").await, 200);
    led.lead(ServiceMode::Serve);
    // The activator knows of it by then.
    timeout(PATIENCE, connection).await.expect("it is let go").unwrap().unwrap();
    for client in &mut clients {
        let response = ask(client, "/").await;
        assert_eq!(response.status, 200);
        assert!(response.has("connection: close"), "{response:?}");
        until_closed(client).await;
    }
    led.app.seen.gate.add_permits(1);
    let (response, mut late) = timeout(PATIENCE, late).await.expect("in time").unwrap();
    assert!(response.status == 200 && response.has("connection: close"), "{response:?}");
    until_closed(&mut late).await;
    assert_eq!(led.app.served() as usize, 3 * CLIENTS + 1 + CLIENTS);
    close_whole(led.running).await;
}

#[tokio::test]
async fn http2_connections_are_let_go_when_their_last_request_has_its_response() {
    let led = Led::start().await;
    let mut idle = Vec::new();
    for _ in 0..CLIENTS {
        let (mut sender, connection) = connect_http2(led.address).await;
        assert_eq!(ask_http2(&mut sender, "/").await, 200);
        idle.push((sender, connection));
    }
    let (mut sender, busy) = connect_http2(led.address).await;
    let late = tokio::spawn(async move { ask_http2(&mut sender, "/gate").await });
    led.until_in_flight(1).await;
    led.lead(ServiceMode::Serve);
    for (_sender, connection) in idle {
        timeout(PATIENCE, connection).await.expect("it is let go").unwrap().unwrap();
    }
    assert!(!busy.is_finished(), "its request has no response yet");
    led.app.seen.gate.add_permits(1);
    assert_eq!(timeout(PATIENCE, late).await.expect("in time").unwrap(), 200);
    timeout(PATIENCE, busy).await.expect("it is let go").unwrap().unwrap();
    assert_eq!(led.app.served() as usize, CLIENTS + 1);
    close_whole(led.running).await;
}

#[tokio::test]
async fn late_connections_are_served_and_at_zero_again_they_are_kept_again() {
    let led = Led::start().await;
    led.lead(ServiceMode::Serve);
    let let_go = async {
        let mut client = TcpStream::connect(led.address).await.unwrap();
        while !ask(&mut client, "/").await.has("connection: close") {}
        until_closed(&mut client).await;
    };
    timeout(PATIENCE, let_go).await.expect("it is let go");
    let mut late = TcpStream::connect(led.address).await.unwrap();
    let response = ask(&mut late, "/").await;
    assert!(response.status == 200 && response.has("connection: close"), "{response:?}");
    led.lead(ServiceMode::Proxy);
    let kept = async {
        let mut client = TcpStream::connect(led.address).await.unwrap();
        while ask(&mut client, "/").await.has("connection: close") {
            client = TcpStream::connect(led.address).await.unwrap();
        }
    };
    timeout(PATIENCE, kept).await.expect("they are kept again");
    close_whole(led.running).await;
}
