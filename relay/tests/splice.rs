//! Connections whose bytes are passed on as they are, over real sockets.

#![allow(clippy::unwrap_used, reason = "a helper of a test may fail like the test itself")]

use std::net::Ipv4Addr;
use std::time::Duration;

use tidegate_relay::splice::{Spliced, Terms, left, splice};
use tidegate_relay::{Address, StreamLimits, Upstream, UpstreamSettings};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Longer than anything here takes, shorter than a test that hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// A client, an app, and what is between them.
async fn between() -> (TcpStream, TcpStream, JoinHandle<Spliced>) {
    between_on(Terms::default()).await
}

/// The same, on these terms.
async fn between_on(terms: Terms) -> (TcpStream, TcpStream, JoinHandle<Spliced>) {
    let front = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let back = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let client = TcpStream::connect(front.local_addr().unwrap()).await.unwrap();
    let accepted = front.accept().await.unwrap().0;
    let address = Address::Tcp(back.local_addr().unwrap());
    let upstream = Upstream::new(address, UpstreamSettings::default());
    let (stream, _) = upstream.open(PATIENCE).await.unwrap();
    let app = back.accept().await.unwrap().0;
    (client, app, tokio::spawn(splice(accepted, stream, terms)))
}

#[tokio::test]
async fn the_end_of_one_direction_leaves_the_other_open() {
    let (mut client, mut app, splicing) = between().await;
    client.write_all(b"stats").await.unwrap();
    client.shutdown().await.unwrap();
    let mut got = Vec::new();
    app.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, b"stats");
    let much = vec![7; 3_000_000];
    let sending = async {
        app.write_all(&much).await.unwrap();
        drop(app);
    };
    let mut response = Vec::new();
    let (_, read) = tokio::join!(sending, client.read_to_end(&mut response));
    read.unwrap();
    assert!(response == much, "{} bytes", response.len());
    let report = tokio::time::timeout(PATIENCE, splicing).await.unwrap().unwrap();
    assert_eq!(report, Spliced { request_bytes: 5, response_bytes: 3_000_000 });
}

#[tokio::test]
async fn an_app_may_speak_first() {
    let (mut client, mut app, _splicing) = between().await;
    app.write_all(b"220 ready").await.unwrap();
    let mut greeting = [0; 9];
    client.read_exact(&mut greeting).await.unwrap();
    assert_eq!(&greeting, b"220 ready");
}

#[tokio::test]
async fn a_reset_is_passed_on_as_one_also_after_a_half_close() {
    for half_closed in [false, true] {
        let (mut client, mut app, splicing) = between().await;
        if half_closed {
            client.shutdown().await.unwrap();
            assert_eq!(app.read(&mut [0]).await.unwrap(), 0);
        }
        client.set_zero_linger().unwrap();
        drop(client);
        tokio::time::timeout(PATIENCE, splicing).await.unwrap().unwrap();
        let broken = tokio::time::timeout(PATIENCE, app.ready(Interest::ERROR)).await;
        broken.expect("it is reset").unwrap();
        let error = app.take_error().unwrap();
        assert!(error.is_some(), "half closed: {half_closed}");
    }
}

#[tokio::test]
async fn who_has_left_is_noticed_and_who_only_waits_is_not() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let pair = async || {
        let client = TcpStream::connect(address).await.unwrap();
        (client, listener.accept().await.unwrap().0)
    };
    // Nothing sent, and ended.
    let (client, accepted) = pair().await;
    drop(client);
    tokio::time::timeout(PATIENCE, left(&accepted)).await.expect("it has left");
    // Something sent, and its direction ended: it waits for what comes back.
    let (mut client, accepted) = pair().await;
    client.write_all(b"stats").await.unwrap();
    client.shutdown().await.unwrap();
    accepted.readable().await.unwrap();
    let mut leaving = Box::pin(left(&accepted));
    let waits = tokio::time::timeout(Duration::from_millis(20), &mut leaving).await;
    assert!(waits.is_err(), "it waits");
    // And then broken.
    client.set_zero_linger().unwrap();
    drop(client);
    tokio::time::timeout(PATIENCE, leaving).await.expect("it has left");
}

#[tokio::test]
async fn what_the_upstream_is_told_first_comes_before_the_clients_first_byte() {
    let terms = Terms { preface: b"from 10.0.0.1 ".to_vec(), ..Terms::default() };
    let (mut client, mut app, splicing) = between_on(terms).await;
    let mut got = [0; 14];
    app.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"from 10.0.0.1 ", "whether or not the client has spoken");
    client.write_all(b"hello").await.unwrap();
    client.shutdown().await.unwrap();
    let mut rest = Vec::new();
    app.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"hello");
    drop(app);
    let report = tokio::time::timeout(PATIENCE, splicing).await.unwrap().unwrap();
    assert_eq!(report.request_bytes, 5, "the client sent no more");
}

#[tokio::test]
async fn silence_and_age_have_their_limits() {
    const SHORT: Duration = Duration::from_millis(100);
    for (idle, lifetime) in [(Some(SHORT), None), (None, Some(SHORT))] {
        let limits = StreamLimits { idle, lifetime };
        let (mut client, mut app, splicing) =
            between_on(Terms { limits, ..Terms::default() }).await;
        app.write_all(b"220").await.unwrap();
        client.read_exact(&mut [0; 3]).await.unwrap();
        tokio::time::timeout(PATIENCE, splicing).await.unwrap().unwrap();
        assert!(client.read(&mut [0]).await.is_err(), "it is reset");
        assert!(app.read(&mut [0]).await.is_err(), "on both sides");
    }
}
