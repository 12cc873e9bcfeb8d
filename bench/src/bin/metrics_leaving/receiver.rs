//! A receiver of pushes over HTTP/1.1 and HTTP/2 that counts what its sockets carry.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

#[derive(Debug, Default)]
struct Counted {
    bytes: AtomicU64,
    messages: AtomicU64,
    /// Bytes that had been carried when the first message was there.
    first: AtomicU64,
}

/// Listens for as long as the program runs.
pub(crate) struct Receiver {
    address: SocketAddr,
    counted: Arc<Counted>,
}

impl Receiver {
    pub(crate) async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, counted) = (listener.local_addr()?, Arc::new(Counted::default()));
        let counting = Arc::clone(&counted);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&counting)));
            }
        });
        Ok(Self { address, counted })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Bytes in both directions, and messages.
    pub(crate) fn carried(&self) -> (u64, u64) {
        let counted = &self.counted;
        (counted.bytes.load(Ordering::Relaxed), counted.messages.load(Ordering::Relaxed))
    }

    /// What the first message weighed, with its connection.
    pub(crate) fn first(&self) -> u64 {
        self.counted.first.load(Ordering::Relaxed)
    }
}

async fn serve(stream: TcpStream, counted: Arc<Counted>) {
    let service = hyper::service::service_fn(|request: Request<Incoming>| {
        let counted = Arc::clone(&counted);
        async move {
            let is_grpc = request.headers().contains_key("te");
            // A message that was cut short is none.
            if request.into_body().collect().await.is_ok() {
                let messages = counted.messages.fetch_add(1, Ordering::Relaxed);
                if messages == 0 {
                    let bytes = counted.bytes.load(Ordering::Relaxed);
                    counted.first.store(bytes, Ordering::Relaxed);
                }
            }
            let response = Response::builder();
            let response = match is_grpc {
                true => {
                    response.header("content-type", "application/grpc").header("grpc-status", "0")
                }
                false => response,
            };
            Ok::<_, Infallible>(response.body(Empty::<Bytes>::new()).unwrap_or_default())
        }
    });
    let stream = TokioIo::new(CountedStream { stream, counted: Arc::clone(&counted) });
    // A connection that breaks has carried what it has.
    let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(stream, service).await;
}

struct CountedStream {
    stream: TcpStream,
    counted: Arc<Counted>,
}

impl AsyncRead for CountedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let bytes = buffer.filled().len() - before;
        self.counted.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        read
    }
}

impl AsyncWrite for CountedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, buffer);
        if let Poll::Ready(Ok(bytes)) = written {
            self.counted.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        }
        written
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
