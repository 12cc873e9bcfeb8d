//! Questions over a connection that this end dialled: of a view, which no connection reaches us
//! from.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tidegate_proto::scale::v1::scale_service_server::{ScaleService, ScaleServiceServer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

use super::{scale, server};
use crate::task::Handle;

/// Answers questions about decisions over `stream`, whose other end this process has chosen and
/// knows, until that end closes it or stops to acknowledge pings. Nothing else is served: over it
/// nobody reports, and nobody orders anything.
///
/// # Errors
///
/// When the stream fails. Cancel safe: dropping the future closes the stream.
pub async fn answer(
    handle: Handle,
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
) -> Result<(), tonic::transport::Error> {
    answer_by(scale::Scale::new(handle), stream).await
}

/// As [`answer`], by what answers in place of a controller.
///
/// # Errors
///
/// When the stream fails. Cancel safe: dropping the future closes the stream.
pub async fn answer_by(
    scale: impl ScaleService,
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
) -> Result<(), tonic::transport::Error> {
    // The server holds this sender's other end with the connection, and tells by its end that the
    // connection has ended: a server itself goes on, and would wait for the next one.
    let (open, mut closed) = mpsc::channel::<()>(1);
    let (sender, incoming) = mpsc::channel(1);
    let dialled = Dialled { stream, _open: open };
    // There is room for one.
    let _ = sender.try_send(Ok::<_, io::Error>(dialled));
    let serving = server()
        .add_service(ScaleServiceServer::new(scale))
        .serve_with_incoming_shutdown(ReceiverStream::new(incoming), async move {
            closed.recv().await;
        });
    // As long as it is held the server does not take the first connection for the last.
    let served = serving.await;
    drop(sender);
    served
}

/// A stream that was dialled.
struct Dialled<S> {
    stream: S,
    _open: mpsc::Sender<()>,
}

impl<S> Connected for Dialled<S> {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl<S: AsyncRead + Unpin> AsyncRead for Dialled<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Dialled<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
