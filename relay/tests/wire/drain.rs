//! Leaving: said early, to everyone, and nothing in flight is cut.

use tidegate_relay::Phase;

use crate::http2;
use crate::stage::{App, HELLO, Proxy, field};

#[tokio::test]
async fn answers_say_close_from_the_start_of_the_drain() {
    let (app, _) = App::answering(HELLO).await;
    let proxy = Proxy::before(&app).await;
    let mut client = proxy.client().await;
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert_eq!(field(&client.answer().await.0, "connection"), None);
    proxy.drain.set_phase(Phase::Draining);
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    let (head, body) = client.answer().await;
    assert_eq!(field(&head, "connection"), Some("close"));
    assert_eq!(body, "hello");
    assert_eq!(client.rest().await, "", "and then closes");
    let answer = proxy.get("/").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "new connections are still served: {answer}");
}

/// The story: Go's sidecar never sends GOAWAY on connections without TLS, so clients keep
/// opening streams on a proxy that is about to go.
#[tokio::test]
async fn http2_connections_get_their_goaway_at_once_and_finish_their_streams() {
    let (go, gone) = tokio::sync::oneshot::channel::<()>();
    let (app, _) = App::once(|mut wire| async move {
        // The first connection carries the preface of HTTP/2.
        wire.head().await;
        drop(wire);
        let _ = gone.await;
    })
    .await;
    drop(app);
    let app = App::playing(|mut wire, earlier| async move {
        let head = wire.head().await;
        if earlier == 0 && head.starts_with("PRI") {
            return;
        }
        wire.send("HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nTransfer-Encoding: chunked\r\n\r\n")
            .await;
        wire.until("more").await;
        wire.send("2\r\nok\r\n0\r\n\r\n").await;
    })
    .await;
    drop(go);
    let proxy = Proxy::before(&app).await;
    let mut requests = http2::client(&proxy).await;
    let request = http::Request::builder().uri("http://h/").method("POST").body(());
    let (answer, mut sending) =
        requests.send_request(request.expect("a request"), false).expect("it is sent");
    let answer = answer.await.expect("an answer");
    proxy.drain.set_phase(Phase::Draining);
    // A graceful goodbye: the client learns that no new stream will be taken ...
    let refused = async {
        loop {
            let request = http::Request::builder().uri("http://h/").body(()).expect("a request");
            match requests.clone().ready().await {
                Err(error) => return error,
                Ok(mut ready) => {
                    if let Err(error) = ready.send_request(request, true) {
                        return error;
                    }
                }
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    let refused = tokio::time::timeout(std::time::Duration::from_secs(10), refused).await;
    assert!(refused.expect("GOAWAY comes").is_go_away());
    // ... and the one in flight runs to its end.
    sending.send_data(bytes::Bytes::from_static(b"more"), true).expect("it is sent");
    let mut body = answer.into_body();
    assert_eq!(body.data().await.expect("a body").expect("a sound one"), "ok");
}

#[tokio::test]
async fn closing_ends_idle_connections_and_waits_for_busy_ones() {
    let app = App::playing(|mut wire, _| async move {
        while !wire.head().await.is_empty() {
            wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
            wire.until("go").await;
            wire.send("0\r\n\r\n").await;
        }
    })
    .await;
    let proxy = Proxy::before(&app).await;
    let mut idle = proxy.client().await;
    idle.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\ngo").await;
    idle.until("0\r\n\r\n").await;
    let mut busy = proxy.client().await;
    busy.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n").await;
    busy.head().await;
    assert_eq!(proxy.drain.connections(), 3, "two clients and the listener");
    proxy.drain.set_phase(Phase::Closing);
    assert_eq!(idle.rest().await, "");
    busy.send("go").await;
    assert_eq!(busy.until("0\r\n\r\n").await, "0\r\n\r\n");
    assert_eq!(busy.rest().await, "");
    proxy.drain.until_empty().await;
    let again = tokio::net::TcpStream::connect(proxy.address).await;
    assert!(again.is_err(), "nobody listens any more");
}

/// The story: Go's sidecar cuts WebSockets without a close frame when it goes.
#[tokio::test]
async fn a_websocket_gets_its_close_between_two_frames() {
    let (app, heard) = App::once(|mut wire| async move {
        wire.head().await;
        wire.send(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        )
        .await;
        // A frame of four bytes, of which the second half comes after the goodbye.
        wire.send(b"\x82\x04ab").await;
        let goodbye = wire.raw(8).await;
        wire.send(b"cd\x82\x01!").await;
        goodbye
    })
    .await;
    let proxy = Proxy::before(&app).await;
    let mut client = proxy.client().await;
    client
        .send("GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n")
        .await;
    client.head().await;
    assert_eq!(client.raw(4).await, b"\x82\x04ab");
    proxy.drain.set_phase(Phase::Closing);
    let heard = heard.await.expect("the app heard it");
    assert_eq!(heard, b"\x88\x82\0\0\0\0\x03\xE9");
    assert_eq!(client.raw(100).await, b"cd\x88\x02\x03\xE9", "the frame first, then the close");
    drop(client);
    proxy.drain.until_empty().await;
}
