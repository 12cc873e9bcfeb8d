//! WebSockets as libraries speak them: an app that echoes, and a client on a stream of HTTP/2.

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use h2::client::SendRequest;
use h2::ext::Protocol;
use http::{Request, Response, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::harness::{App, Proxy, Wire};

/// What lies between the library and a stream.
const PIPE_BYTES: usize = 16 * 1024;

/// An app that echoes every message, until its client closes.
pub(crate) async fn echoing() -> App {
    App::scripted(|wire: Wire, _| async move {
        let Ok(mut socket) = tokio_tungstenite::accept_async(wire.stream).await else { return };
        while let Some(Ok(message)) = socket.next().await {
            // Its library answers a close frame by itself.
            if (message.is_text() || message.is_binary()) && socket.send(message).await.is_err() {
                return;
            }
        }
    })
    .await
}

/// Opens an HTTP/2 connection to the proxy on which a WebSocket may be asked for.
pub(crate) async fn connect(proxy: &Proxy) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(proxy.address).await.expect("the proxy listens");
    let (requests, connection) = h2::client::handshake(stream).await.expect("it supports HTTP/2");
    tokio::spawn(async move {
        let _ = connection.await;
    });
    let mut requests = requests.ready().await.expect("there is room for a stream");
    while !requests.is_extended_connect_protocol_enabled() {
        // The settings come with the first bytes.
        tokio::task::yield_now().await;
        requests = requests.ready().await.expect("the connection is open");
    }
    requests
}

/// A request for a stream that becomes this protocol.
pub(crate) fn asking(protocol: &'static str) -> Request<()> {
    let request = Request::connect("http://h.example/chat?room=1").version(Version::HTTP_2);
    request.extension(Protocol::from_static(protocol)).body(()).expect("a request")
}

/// A stream of HTTP/2 as something to read and write. A reset ends it.
pub(crate) fn as_pipe(
    response: Response<h2::RecvStream>,
    mut sending: h2::SendStream<Bytes>,
) -> DuplexStream {
    let mut body = response.into_body();
    let (near, far) = tokio::io::duplex(PIPE_BYTES);
    let (mut read, mut write) = tokio::io::split(far);
    tokio::spawn(async move {
        while let Some(Ok(piece)) = body.data().await {
            let _ = body.flow_control().release_capacity(piece.len());
            if write.write_all(&piece).await.is_err() {
                return;
            }
        }
        let _ = write.shutdown().await;
    });
    tokio::spawn(async move {
        let mut buffer = vec![0; PIPE_BYTES];
        while let Ok(count @ 1..) = read.read(&mut buffer).await {
            let piece = Bytes::copy_from_slice(&buffer[..count]);
            if sending.send_data(piece, false).is_err() {
                return;
            }
        }
        let _ = sending.send_data(Bytes::new(), true);
    });
    near
}

/// Opens a WebSocket over HTTP/2.
pub(crate) async fn open(requests: &mut SendRequest<Bytes>) -> WebSocketStream<DuplexStream> {
    let (response, sending) =
        requests.send_request(asking("websocket"), false).expect("it is sent");
    let response = response.await.expect("a response");
    assert_eq!(response.status(), 200);
    assert!(!response.headers().contains_key("sec-websocket-accept"), "{response:?}");
    WebSocketStream::from_raw_socket(as_pipe(response, sending), Role::Client, None).await
}

/// Sends a message and waits for its echo.
pub(crate) async fn echo<S>(socket: &mut WebSocketStream<S>, message: Message)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    socket.send(message.clone()).await.expect("the socket is open");
    assert_eq!(socket.next().await.expect("an echo").expect("a message"), message);
}

/// The code of the close frame with which the socket ends.
pub(crate) async fn close_code<S>(socket: &mut WebSocketStream<S>) -> u16
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    match socket.next().await {
        Some(Ok(Message::Close(Some(frame)))) => frame.code.into(),
        other => panic!("expected a close frame, got {other:?}"),
    }
}
