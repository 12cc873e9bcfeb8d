//! Other protocols than plain requests.

use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http2;
use hyper::{Request, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::app::App;
use crate::client::get;
use crate::stage::{close_whole, fixed, open, until};

const UPGRADE: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";

#[tokio::test]
async fn an_upgraded_connection_holds_its_slot_for_its_life() {
    let app = App::start(Duration::ZERO).await;
    let (running, address) = open(fixed(&[(&app, 1)]));
    let mut tunnel = TcpStream::connect(address).await.unwrap();
    tunnel.write_all(UPGRADE).await.unwrap();
    let mut buffer = vec![0; 4096];
    let count = tunnel.read(&mut buffer).await.unwrap();
    assert!(buffer[..count].starts_with(b"HTTP/1.1 101 "));
    tunnel.write_all(b"ping").await.unwrap();
    tunnel.read_exact(&mut buffer[..4]).await.unwrap();
    assert_eq!(&buffer[..4], b"ping");
    let waiting = tokio::spawn(get(address, "/", &[]));
    until(&running, |status| status.waiting == 1 && status.in_flight == 1).await;
    drop(tunnel);
    assert_eq!(waiting.await.unwrap().unwrap().status, 200);
    assert_eq!(app.most_in_flight(), 1);
    close_whole(running).await;
}

#[tokio::test]
async fn http2_without_tls_is_served_on_the_same_port() {
    let app = App::start(Duration::from_millis(1)).await;
    let (running, address) = open(fixed(&[(&app, 2)]));
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let requests: Vec<_> = (0..50)
        .map(|_| {
            let mut sender = sender.clone();
            tokio::spawn(async move {
                let request = Request::get("http://app.example/").body(Empty::<Bytes>::new());
                let response = sender.send_request(request.unwrap()).await.unwrap();
                assert_eq!(
                    (response.status(), response.version()),
                    (200.try_into().unwrap(), Version::HTTP_2)
                );
                response.into_body().collect().await.unwrap().to_bytes()
            })
        })
        .collect();
    for request in requests {
        assert_eq!(request.await.unwrap(), "hello");
    }
    assert!(app.most_in_flight() <= 2, "streams are limited like connections");
    drop(sender);
    connection.await.unwrap().unwrap();
    close_whole(running).await;
}
