//! HTTP/2 connections that carry many requests.
//!
//! What a head holds in the compression table was charged, and given back only at the end of its
//! connection. Five hundred requests with 20 kB of cookies each, one after the other, used up what
//! one connection may hold: it was ended, with every other stream on it. And the HTTP/2 library
//! takes a hundred empty DATA frames for an attack, over the whole life of a connection: some apps
//! send one with each message, and the relay itself sent one behind informational responses.
//!
//! The memory budget is one for the process, so this is a test binary of its own.

#[path = "wire/sockets.rs"]
mod sockets;

use std::net::SocketAddr;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderValue, Request, Response, StatusCode};
use sockets::{run_app, run_server};
use tidegate_relay::{
    Address, ConnectPatience, Drain, Exchange, Forward, Handler, ServerSettings, TimeLimits,
    Upstream, UpstreamSettings, memory,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const LONG_VALUE_BYTES: usize = 20_000;
/// A byte whose Huffman code is longer than itself: 13 bits (RFC 7541, appendix B).
static LONG_VALUE: [u8; LONG_VALUE_BYTES] = [b'~'; LONG_VALUE_BYTES];
const ENCODED_BYTES: usize = LONG_VALUE_BYTES * 13 / 8;
/// What one connection may hold of the smallest budget.
const CONNECTION_SHARE_BYTES: usize = 8 << 20;
/// More long heads than one connection could hold, by a quarter.
const LONG_HEADS: usize = CONNECTION_SHARE_BYTES / ENCODED_BYTES * 5 / 4;
/// More empty frames than the library allows on one connection.
const MANY: usize = 150;

struct Forwarder(Upstream);

impl Handler for Forwarder {
    async fn handle(&self, exchange: &mut Exchange) {
        let (limits, connect) = (TimeLimits::default(), ConnectPatience::default());
        sockets::forward(exchange, &self.0, Forward { limits, connect, guard: () }).await;
    }
}

/// A proxy in front of an app, with the smallest memory budget.
async fn proxy(app: SocketAddr) -> SocketAddr {
    memory::set_budget(memory::BUDGET_BYTES_MIN);
    let upstream = Upstream::new(Address::Tcp(app), UpstreamSettings::default());
    run_server(Forwarder(upstream), ServerSettings::default(), Drain::new()).await
}

/// An HTTP/2 app whose every response has this field, and an empty DATA frame.
async fn http2_app(stream: TcpStream, field: HeaderValue) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((_, mut respond))) = connection.accept().await {
        let mut response = Response::new(());
        response.headers_mut().insert("x-field", field.clone());
        let Ok(mut sending) = respond.send_response(response, false) else { continue };
        let _ = sending.send_data(Bytes::new(), false);
        let _ = sending.send_data(Bytes::from_static(b"ok"), true);
    }
}

/// An HTTP/1 app that sends a hint before each response.
async fn hinting_app(mut stream: TcpStream) {
    let mut request = Vec::new();
    while stream.read_buf(&mut request).await.is_ok_and(|count| count > 0) {
        if request.starts_with(b"PRI") {
            let _ =
                stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
            return;
        }
        if request.ends_with(b"\r\n\r\n") {
            request.clear();
            let response = "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n\
                          HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
            let _ = stream.write_all(response.as_bytes()).await;
        }
    }
}

/// A client that opens another connection after a GOAWAY, as every HTTP/2 client does.
struct Client {
    proxy: SocketAddr,
    requests: Option<SendRequest<Bytes>>,
    connections: usize,
}

impl Client {
    fn new(proxy: SocketAddr) -> Client {
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
        let (response, _) =
            requests.send_request(request.body(()).expect("a request"), true).expect("it is sent");
        let response = response.await.expect("a response");
        let status = response.status();
        let mut body = response.into_body();
        while let Some(piece) = body.data().await {
            let count = piece.expect("the body is whole").len();
            let _ = body.flow_control().release_capacity(count);
        }
        self.requests = Some(requests);
        status
    }
}

fn long() -> HeaderValue {
    HeaderValue::from_bytes(&LONG_VALUE).expect("a value")
}

#[tokio::test]
async fn long_request_heads_never_end_a_connection() {
    let short = HeaderValue::from_static("a");
    let (address, _) = run_app(move |stream, _| http2_app(stream, short.clone())).await;
    let mut client = Client::new(proxy(address).await);
    for number in 0..LONG_HEADS {
        assert_eq!(client.get(long()).await, StatusCode::OK, "request {number}");
    }
    assert!((2..20).contains(&client.connections), "{} connections", client.connections);
}

#[tokio::test]
async fn long_response_heads_never_end_a_connection() {
    let (address, connections) = run_app(move |stream, _| http2_app(stream, long())).await;
    let mut client = Client::new(proxy(address).await);
    for number in 0..LONG_HEADS {
        let status = client.get(HeaderValue::from_static("a")).await;
        assert_eq!(status, StatusCode::OK, "request {number}");
    }
    let connections = connections.load(Ordering::SeqCst);
    assert!((2..20).contains(&connections), "{connections} connections to the app");
}

#[tokio::test]
async fn empty_frames_do_not_end_a_connection() {
    let short = HeaderValue::from_static("a");
    let (address, connections) = run_app(move |stream, _| http2_app(stream, short.clone())).await;
    let mut client = Client::new(proxy(address).await);
    for number in 0..MANY {
        let status = client.get(HeaderValue::from_static("a")).await;
        assert_eq!(status, StatusCode::OK, "request {number}");
    }
    assert_eq!((client.connections, connections.load(Ordering::SeqCst)), (1, 1));
}

#[tokio::test]
async fn hints_do_not_end_a_connection() {
    let (address, _) = run_app(|stream, _| hinting_app(stream)).await;
    let mut client = Client::new(proxy(address).await);
    for number in 0..MANY {
        let status = client.get(HeaderValue::from_static("a")).await;
        assert_eq!(status, StatusCode::OK, "request {number}");
    }
    assert_eq!(client.connections, 1);
}
