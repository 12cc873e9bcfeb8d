//! WebSockets through the activator, on connections of their own and on streams of HTTP/2: they
//! take a place for as long as they last, and are told when they have to go.

use std::net::SocketAddr;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use h2::client::SendRequest;
use h2::ext::Protocol;
use hyper::body::Bytes;
use hyper::{Request, Version};
use tidegate_activator::Endpoint;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::controller::Controller;
use crate::stage::{PATIENCE, close_whole, config, open, until, web};

/// An app that echoes what its WebSockets bring.
async fn echoing_app() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else { return };
                while let Some(Ok(message)) = socket.next().await {
                    if message.is_text() && socket.send(message).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

async fn over_http1(address: SocketAddr) -> WebSocketStream<TcpStream> {
    let stream = TcpStream::connect(address).await.unwrap();
    tokio_tungstenite::client_async("ws://app.example/chat", stream).await.unwrap().0
}

async fn connection(address: SocketAddr) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut requests, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    while !requests.is_extended_connect_protocol_enabled() {
        tokio::task::yield_now().await;
        requests = requests.ready().await.unwrap();
    }
    requests
}

async fn over_http2(requests: &mut SendRequest<Bytes>) -> WebSocketStream<DuplexStream> {
    let request = Request::connect("http://app.example/chat").version(Version::HTTP_2);
    let request = request.extension(Protocol::from_static("websocket")).body(()).unwrap();
    let (response, mut sending) = requests.send_request(request, false).unwrap();
    let response = response.await.unwrap();
    assert_eq!(response.status(), 200);
    let mut body = response.into_body();
    let (near, far) = tokio::io::duplex(4096);
    let (mut read, mut write) = tokio::io::split(far);
    tokio::spawn(async move {
        while let Some(Ok(piece)) = body.data().await {
            let _ = body.flow_control().release_capacity(piece.len());
            if write.write_all(&piece).await.is_err() {
                return;
            }
        }
    });
    tokio::spawn(async move {
        let mut buffer = vec![0; 4096];
        while let Ok(count @ 1..) = read.read(&mut buffer).await {
            if sending.send_data(Bytes::copy_from_slice(&buffer[..count]), false).is_err() {
                return;
            }
        }
        let _ = sending.send_data(Bytes::new(), true);
    });
    WebSocketStream::from_raw_socket(near, Role::Client, None).await
}

async fn echo<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut WebSocketStream<S>) {
    socket.send(Message::text("ping")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("ping"));
}

/// The code of the close frame that comes next.
async fn close_code<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut WebSocketStream<S>) -> u16 {
    let next = tokio::time::timeout(PATIENCE, socket.next()).await.expect("it is told in time");
    match next {
        Some(Ok(Message::Close(Some(frame)))) => frame.code.into(),
        other => panic!("expected a close frame, got {other:?}"),
    }
}

fn endpoint(address: SocketAddr, limit: u32) -> Endpoint {
    Endpoint { instance: "web-0".into(), address: address.to_string(), limit }
}

#[tokio::test]
async fn one_on_a_stream_takes_a_place_for_its_life() {
    let app = echoing_app().await;
    let mut config = config(None);
    config.endpoints = vec![(web(), endpoint(app, 2))];
    let (running, address) = open(config);
    let mut requests = connection(address).await;
    let mut first = over_http2(&mut requests).await;
    let mut second = over_http1(address).await;
    echo(&mut first).await;
    echo(&mut second).await;
    // The third waits for a place, whichever way it came.
    let waiting = tokio::spawn(async move {
        let mut third = over_http2(&mut requests).await;
        echo(&mut third).await;
    });
    until(&running, |status| status.waiting == 1 && status.in_flight == 2).await;
    first.close(None).await.unwrap();
    tokio::time::timeout(PATIENCE, waiting).await.expect("it gets the place").unwrap();
    drop((first, second));
    close_whole(running).await;
}

#[tokio::test]
async fn those_that_wait_at_zero_open_once_there_is_an_instance() {
    let controller = Controller::start().await;
    let (running, address) = open(config(Some(&controller)));
    controller.list("web", &[]);
    let mut requests = connection(address).await;
    let opening = tokio::spawn(async move {
        let mut on_stream = over_http2(&mut requests).await;
        echo(&mut on_stream).await;
    });
    let alone = tokio::spawn(async move { echo(&mut over_http1(address).await).await });
    controller.stat(|stat| stat.waiting == 2).await;
    controller.list("web", &[("web-1", echoing_app().await, 0)]);
    for opened in [opening, alone] {
        tokio::time::timeout(PATIENCE, opened).await.expect("it is opened").unwrap();
    }
    close_whole(running).await;
}

#[tokio::test]
async fn a_drain_and_the_end_of_a_life_close_them_in_order() {
    let app = echoing_app().await;
    let mut settings = config(None);
    settings.endpoints = vec![(web(), endpoint(app, 0))];
    let (running, address) = open(settings.clone());
    let mut requests = connection(address).await;
    let (mut on_stream, mut alone) = (over_http2(&mut requests).await, over_http1(address).await);
    echo(&mut on_stream).await;
    echo(&mut alone).await;
    let draining = tokio::spawn(close_at_once(running));
    assert_eq!(close_code(&mut on_stream).await, 1001);
    assert_eq!(close_code(&mut alone).await, 1001);
    drop((on_stream, alone, requests));
    draining.await.unwrap();

    settings.limits.stream.lifetime = Some(Duration::from_millis(200));
    let (running, address) = open(settings);
    let mut requests = connection(address).await;
    let (mut on_stream, mut alone) = (over_http2(&mut requests).await, over_http1(address).await);
    echo(&mut on_stream).await;
    assert_eq!(close_code(&mut on_stream).await, 1001);
    assert_eq!(close_code(&mut alone).await, 1001);
    drop((on_stream, alone, requests));
    close_whole(running).await;
}

async fn close_at_once(running: tidegate_activator::Running) {
    assert_eq!(running.drain(PATIENCE).await, tidegate_activator::Drained::Whole);
}
