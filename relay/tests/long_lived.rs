//! HTTP/2 connections that live long.
//!
//! What a head holds in the compression table was charged and given back only at the end of its
//! connection. Five hundred requests with 20 kB of cookies each, one after the other, used up what
//! one connection may hold: it was torn down, with everything else that was on it. And the HTTP/2
//! library takes a hundred empty frames of data for an attack, over the whole life of a connection:
//! some apps send one with each message, and we sent one behind informational answers ourselves.
//!
//! The memory budget is one of a process, so this is a test binary of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderValue, Request, Response, StatusCode};
use tidegate_relay::{
    Address, ConnectPatience, Drain, Exchange, Forward, Handler, Reply, Server, ServerSettings,
    TimeLimits, Upstream, UpstreamSettings, memory,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The compression of HTTP/2 makes nothing of these.
static LONG: [u8; 20_000] = [b'~'; 20_000];
/// More long heads than a connection's share of the budget has room for.
const LONG_HEADS: usize = 600;
/// More than the library allows a connection of empty frames.
const MANY: usize = 150;

struct Forwarder(Upstream);

impl Handler for Forwarder {
    async fn handle(&self, exchange: &mut Exchange) {
        let (limits, connect) = (TimeLimits::default(), ConnectPatience::default());
        let forward = Forward { limits, connect, guard: () };
        if let Err(error) = exchange.forward(&self.0, forward).await
            && !exchange.has_responded()
        {
            let _ = exchange.respond(Reply::error(error.status(), error.to_string())).await;
        }
    }
}

/// A proxy in front of an app, within the smallest budget.
async fn proxy(app: SocketAddr) -> SocketAddr {
    memory::set_budget(memory::BUDGET_BYTES_MIN);
    let upstream = Upstream::new(Address::Tcp(app), UpstreamSettings::default());
    let server = Server::new(Forwarder(upstream), ServerSettings::default(), Drain::new());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move { server.serve_listener(listener).await });
    address
}

/// Listens, and plays `script` on each connection; counts them.
async fn app<F, S>(script: S) -> (SocketAddr, Arc<AtomicUsize>)
where
    S: Fn(TcpStream) -> F + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = connections.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            let _ = stream.set_nodelay(true);
            tokio::spawn(script(stream));
        }
    });
    (address, connections)
}

/// An HTTP/2 app whose every answer has this field, and an empty frame of data in it.
async fn http2_app(stream: TcpStream, field: HeaderValue) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((_, mut respond))) = connection.accept().await {
        let mut answer = Response::new(());
        answer.headers_mut().insert("x-field", field.clone());
        let Ok(mut sending) = respond.send_response(answer, false) else { continue };
        let _ = sending.send_data(Bytes::new(), false);
        let _ = sending.send_data(Bytes::from_static(b"ok"), true);
    }
}

/// An HTTP/1 app that gives a hint before each answer.
async fn hinting_app(mut stream: TcpStream) {
    let mut asked = Vec::new();
    while stream.read_buf(&mut asked).await.is_ok_and(|count| count > 0) {
        if asked.starts_with(b"PRI") {
            let _ =
                stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
            return;
        }
        if asked.ends_with(b"\r\n\r\n") {
            asked.clear();
            let answer = "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n\
                          HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    }
}

/// A client that opens another connection when it is told to, as every client of HTTP/2 does.
struct Client {
    proxy: SocketAddr,
    requests: Option<SendRequest<Bytes>>,
    connections: usize,
}

impl Client {
    fn of(proxy: SocketAddr) -> Client {
        Client { proxy, requests: None, connections: 0 }
    }

    async fn requests(&mut self) -> SendRequest<Bytes> {
        if let Some(requests) = self.requests.take()
            && let Ok(requests) = requests.ready().await
        {
            return requests;
        }
        let stream = TcpStream::connect(self.proxy).await.expect("the proxy listens");
        let _ = stream.set_nodelay(true);
        let (requests, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
        tokio::spawn(connection);
        self.connections += 1;
        requests.ready().await.expect("there is room for a stream")
    }

    async fn get(&mut self, field: HeaderValue) -> StatusCode {
        let mut requests = self.requests().await;
        let request = Request::get("http://h.example/").header("x-field", field);
        let (answer, _) =
            requests.send_request(request.body(()).expect("a request"), true).expect("it is sent");
        let answer = answer.await.expect("what was sent is answered");
        let status = answer.status();
        let mut body = answer.into_body();
        while let Some(piece) = body.data().await {
            let count = piece.expect("the answer is whole").len();
            let _ = body.flow_control().release_capacity(count);
        }
        self.requests = Some(requests);
        status
    }
}

fn long() -> HeaderValue {
    HeaderValue::from_bytes(&LONG).expect("a value")
}

#[tokio::test]
async fn long_request_heads_never_tear_a_connection_down() {
    let short = HeaderValue::from_static("a");
    let (address, _) = app(move |stream| http2_app(stream, short.clone())).await;
    let mut client = Client::of(proxy(address).await);
    for number in 0..LONG_HEADS {
        assert_eq!(client.get(long()).await, StatusCode::OK, "request {number}");
    }
    assert!((2..20).contains(&client.connections), "{} connections", client.connections);
}

#[tokio::test]
async fn long_answer_heads_never_tear_a_connection_down() {
    let (address, connections) = app(move |stream| http2_app(stream, long())).await;
    let mut client = Client::of(proxy(address).await);
    for number in 0..LONG_HEADS {
        let status = client.get(HeaderValue::from_static("a")).await;
        assert_eq!(status, StatusCode::OK, "request {number}");
    }
    let connections = connections.load(Ordering::SeqCst);
    assert!((2..20).contains(&connections), "{connections} connections to the app");
}

#[tokio::test]
async fn empty_frames_are_no_attack() {
    let short = HeaderValue::from_static("a");
    let (address, connections) = app(move |stream| http2_app(stream, short.clone())).await;
    let mut client = Client::of(proxy(address).await);
    for number in 0..MANY {
        let status = client.get(HeaderValue::from_static("a")).await;
        assert_eq!(status, StatusCode::OK, "request {number}");
    }
    assert_eq!((client.connections, connections.load(Ordering::SeqCst)), (1, 1));
}

#[tokio::test]
async fn hints_cost_no_connection() {
    let (address, _) = app(hinting_app).await;
    let mut client = Client::of(proxy(address).await);
    for number in 0..MANY {
        let status = client.get(HeaderValue::from_static("a")).await;
        assert_eq!(status, StatusCode::OK, "request {number}");
    }
    assert_eq!(client.connections, 1);
}
