//! Clients that send what no client should.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::app::App;
use crate::client::{Response, exchange, get};
use crate::stage::{close_whole, fixed, open};

/// The pause between two bytes of a client that never ends its head.
const SLOW_SENDER_PAUSE: Duration = Duration::from_millis(20);

/// Short enough to wait for, long enough for a busy machine.
const HEAD_TIMEOUT: Duration = Duration::from_millis(300);

/// A small generator, so that each run sends the same bytes.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    let byte = |state: &mut u64| {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (*state >> 56) as u8
    };
    (0..length).map(|_| byte(&mut state)).collect()
}

#[tokio::test]
async fn malformed_requests_get_a_4xx_or_a_close_and_affect_no_other_client() {
    let app = App::start(Duration::ZERO).await;
    let mut config = fixed(&[(&app, 1)]);
    config.server.head_timeout = HEAD_TIMEOUT;
    let (running, address) = open(config);
    let mut corpus: Vec<Vec<u8>> = (1..60).map(|seed| noise(seed, seed as usize * 37)).collect();
    corpus.extend((1..20).map(|seed| {
        let mut bytes = b"GET / HTTP/1.1\r\nHost: a\r\nX: ".to_vec();
        bytes.extend(noise(seed, 200));
        bytes
    }));
    for text in [
        "GET / HTTP/1.1\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "GET / HTTP/9.9\r\nHost: a\r\n\r\n",
        "G\u{e9}T / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
        "\0\0\0\0\0\0\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nnot a frame at all, but long enough to be one",
    ] {
        corpus.push(text.as_bytes().to_vec());
    }
    let sent: Vec<_> = corpus
        .into_iter()
        .map(|bytes| tokio::spawn(async move { (exchange(address, &bytes).await, bytes) }))
        .collect();
    for sent in sent {
        let (bytes, request) = sent.await.unwrap();
        if let Some(response) = Response::parse(&bytes) {
            let shown = String::from_utf8_lossy(&request[..request.len().min(60)]).into_owned();
            let refused = (400..500).contains(&response.status) || response.status == 501;
            assert!(refused || response.status == 505, "{} to {shown:?}", response.status);
        }
    }
    assert_eq!(app.served(), 0);
    assert_eq!(get(address, "/", &[]).await.unwrap().status, 200);
    close_whole(running).await;
}

#[tokio::test]
async fn two_megabytes_of_headers_are_too_many() {
    let app = App::start(Duration::ZERO).await;
    let (running, address) = open(fixed(&[(&app, 1)]));
    let mut request = b"GET / HTTP/1.1\r\nHost: a\r\n".to_vec();
    for nth in 0..2_000 {
        request.extend(format!("X-{nth}: {}\r\n", "x".repeat(1_000)).into_bytes());
    }
    request.extend(b"\r\n");
    let response = Response::parse(&exchange(address, &request).await).unwrap();
    assert_eq!(response.status, 431);
    assert_eq!(app.served(), 0);
    close_whole(running).await;
}

#[tokio::test]
async fn clients_that_send_headers_slowly_are_disconnected() {
    let app = App::start(Duration::ZERO).await;
    let mut config = fixed(&[(&app, 1)]);
    config.server.head_timeout = HEAD_TIMEOUT;
    let (running, address) = open(config);
    let slow: Vec<_> = (0..20)
        .map(|_| {
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(address).await.unwrap();
                // One byte at a time, for ever: a write fails once the other side has closed.
                let (mut read, mut write) = stream.split();
                let writing = async {
                    for byte in b"GET / HTTP/1.1\r\nX: ".iter().chain(std::iter::repeat(&b'x')) {
                        if write.write_all(&[*byte]).await.is_err() {
                            return;
                        }
                        tokio::time::sleep(SLOW_SENDER_PAUSE).await;
                    }
                };
                let reading = async { while let Ok(1..) = read.read(&mut [0; 512]).await {} };
                tokio::select! { () = writing => {}, () = reading => {} }
            })
        })
        .collect();
    assert_eq!(get(address, "/", &[]).await.unwrap().status, 200, "others are served meanwhile");
    for slow in slow {
        slow.await.unwrap();
    }
    assert_eq!(app.served(), 1);
    close_whole(running).await;
}
