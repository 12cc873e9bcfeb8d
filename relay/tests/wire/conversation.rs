//! A handler that is the other end itself: both directions go on side by side.

use std::future::poll_fn;
use std::task::Poll;

use tidegate_relay::http::{HeaderMap, HeaderValue, StatusCode};
use tidegate_relay::{Drain, Exchange, Handler, Reply, Server, ServerSettings};
use tokio::net::TcpListener;

use crate::harness::Wire;

/// Sends back what it gets, in capitals, until the client ends its message.
struct Capitals;

impl Handler for Capitals {
    async fn handle(&self, exchange: &mut Exchange) {
        let mut conversation =
            exchange.converse(Reply::empty(StatusCode::OK)).expect("it has a body");
        let mut output = Vec::new();
        loop {
            let mut input = Vec::new();
            let more = poll_fn(|cx| match conversation.poll_send(cx, &mut output) {
                Poll::Ready(Ok(())) => conversation.poll_receive(cx, &mut input),
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                Poll::Pending => Poll::Pending,
            })
            .await;
            output.extend(input.to_ascii_uppercase());
            match more {
                Ok(true) => {}
                Ok(false) => break,
                // Dropped without an end: cut short.
                Err(_) => return,
            }
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("x-end", HeaderValue::from_static("orderly"));
        let _ = conversation.end(Some(trailers)).await;
    }
}

async fn connect() -> Wire {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let server = Server::new(Capitals, ServerSettings::default(), Drain::new());
    tokio::spawn(async move { server.serve_listener(listener).await });
    Wire::new(tokio::net::TcpStream::connect(address).await.expect("it listens"))
}

#[tokio::test]
async fn each_side_hears_the_other_before_it_has_ended() {
    let mut client = connect().await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    assert!(client.head().await.starts_with("HTTP/1.1 200 OK"));
    for word in ["one", "two"] {
        client.send(format!("3\r\n{word}\r\n")).await;
        assert_eq!(client.exactly(8).await, format!("3\r\n{}\r\n", word.to_ascii_uppercase()));
    }
    client.send("0\r\n\r\n").await;
    assert!(client.until("0\r\n").await.ends_with("0\r\n"));
}

#[tokio::test]
async fn a_client_that_leaves_ends_it() {
    let mut client = connect().await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        .await;
    assert!(client.head().await.starts_with("HTTP/1.1 200 OK"));
    assert_eq!(client.exactly(8).await, "3\r\nONE\r\n");
}
