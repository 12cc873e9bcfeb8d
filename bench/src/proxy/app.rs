//! An app that speaks HTTP/1 and HTTP/2, echoes WebSockets and serves and swallows long bodies.
//!
//! It runs in the harness, on the load's processor, so none of its cost is the proxy's.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, UPGRADE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// One piece of a long body.
const PIECE: usize = 64 * 1024;

/// Serves on a free port of this machine for as long as the runtime lives.
///
/// # Errors
/// When no port is free.
pub async fn serve() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            tokio::spawn(async move {
                let mut builder = Builder::new(TokioExecutor::new());
                builder.http2().max_concurrent_streams(1000);
                let service = hyper::service::service_fn(answer);
                let serving = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
                // A client that breaks off is none of the app's business.
                let _ = serving.await;
            });
        }
    });
    Ok(address)
}

async fn answer(mut request: Request<Incoming>) -> Result<Response<Long>, Infallible> {
    if request.headers().contains_key(UPGRADE) {
        let upgraded = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            if let Ok(upgraded) = upgraded.await {
                let _ = echo(TokioIo::new(upgraded)).await;
            }
        });
        let mut response = Response::new(Long::default());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
        return Ok(response);
    }
    if let Some(size) = request.uri().path().strip_prefix("/bytes/") {
        let left = size.parse().unwrap_or(0);
        let mut response = Response::new(Long { left, trailers: None });
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(left));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("a/b"));
        return Ok(response);
    }
    let grpc = request
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
    let mut body = request.into_body();
    while let Some(Ok(_)) = body.frame().await {}
    let trailers = grpc.then(|| {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        trailers
    });
    let mut response = Response::new(Long { left: 64, trailers });
    let content_type = if grpc { "application/grpc" } else { "text/plain" };
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    Ok(response)
}

async fn echo(mut io: TokioIo<hyper::upgrade::Upgraded>) -> std::io::Result<()> {
    let mut buffer = vec![0; PIECE];
    loop {
        let count = io.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        io.write_all(&buffer[..count]).await?;
    }
}

/// So many bytes, and perhaps trailers.
#[derive(Default)]
struct Long {
    left: u64,
    trailers: Option<HeaderMap>,
}

impl Body for Long {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        static BYTES: [u8; PIECE] = [b'x'; PIECE];
        if self.left > 0 {
            let count = self.left.min(PIECE as u64);
            self.left -= count;
            let piece = Bytes::from_static(&BYTES[..count as usize]);
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0 && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match self.trailers {
            Some(_) => SizeHint::default(),
            None => SizeHint::with_exact(self.left),
        }
    }
}
