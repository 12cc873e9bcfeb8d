//! Apps of one protocol each, which tell what came behind a body.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use bytes::Bytes;
use h2::server;
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use tidegate_relay::http;

use crate::clients::{Fields, fields_of, lines_of};

/// A listening app. Its threads end with the test process.
pub(crate) struct App {
    pub(crate) port: u16,
    /// The trailers of each whole request.
    pub(crate) seen: Receiver<Fields>,
}

/// HTTP/1.1 only: responds with `response`, byte for byte, to each whole request with chunks.
pub(crate) fn http1(response: String) -> App {
    start(move |mut stream, seen| {
        let (mut unread, mut piece) = (Vec::new(), [0; 16 << 10]);
        loop {
            let text = String::from_utf8_lossy(&unread).into_owned();
            if text.starts_with("PRI ") {
                let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
                return;
            }
            if let Some((_, trailers)) = text.split_once("\r\n0\r\n")
                && (trailers == "\r\n" || trailers.ends_with("\r\n\r\n"))
            {
                let _ = seen.send(lines_of(trailers));
                unread.clear();
                let _ = stream.write_all(response.as_bytes());
            }
            match stream.read(&mut piece) {
                Ok(count @ 1..) => unread.extend_from_slice(&piece[..count]),
                _ => return,
            }
        }
    })
}

/// HTTP/2 only: responds with these trailers.
pub(crate) fn http2(trailers: Vec<(String, String)>) -> App {
    start(move |stream, seen| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        stream.set_nonblocking(true).unwrap();
        // Either side may end the connection at any time.
        let _ = runtime.block_on(serve_http2(stream, &trailers, &seen));
    })
}

async fn serve_http2(
    stream: TcpStream,
    trailers: &[(String, String)],
    seen: &Sender<Fields>,
) -> Result<(), h2::Error> {
    let stream = tokio::net::TcpStream::from_std(stream).unwrap();
    let mut connection = server::handshake(stream).await?;
    while let Some(request) = connection.accept().await {
        let (request, mut respond) = request?;
        let (trailers, seen) = (trailers.to_vec(), seen.clone());
        tokio::spawn(async move {
            let mut body = request.into_body();
            while let Some(piece) = body.data().await {
                let length = piece?.len();
                body.flow_control().release_capacity(length)?;
            }
            let _ = seen.send(fields_of(body.trailers().await?));
            let head = Response::builder().header("content-type", "a/b").body(()).unwrap();
            let mut sending = respond.send_response(head, false)?;
            sending.send_data(Bytes::from_static(b"ok"), false)?;
            sending.send_trailers(map(&trailers))
        });
    }
    Ok(())
}

/// A header map of these fields.
pub(crate) fn map(fields: &[(String, String)]) -> HeaderMap {
    let field = |(name, value): &(String, String)| {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        (name, HeaderValue::from_str(value).unwrap())
    };
    fields.iter().map(field).collect()
}

/// An app whose every connection is given to `serve`.
pub(crate) fn start(serve: impl Fn(TcpStream, Sender<Fields>) + Clone + Send + 'static) -> App {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, seen) = channel();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let (serve, sender) = (serve.clone(), sender.clone());
            thread::spawn(move || serve(stream, sender));
        }
    });
    App { port, seen }
}
