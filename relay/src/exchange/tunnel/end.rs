//! The two kinds of ends that a tunnel can have: an HTTP/1 connection, and a stream of HTTP/2.

use std::io;
use std::task::{Context, Poll};

use crate::exchange::client::{Client, H2Client};
use crate::h1::Connection;

/// One end of a tunnel. All methods are polled by one task.
pub(super) trait End {
    /// Ready with true when [`End::data`] has something, with false once the peer has ended its
    /// direction.
    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>>;

    /// What has arrived and was not consumed.
    fn data(&mut self) -> &[u8];

    /// Takes `count` bytes away.
    fn consume(&mut self, count: usize);

    /// Accepts some of `data`.
    fn poll_write(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>>;

    /// Writes what was accepted.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Ends the direction to the peer, behind what was accepted.
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Holds nothing for reading while nothing arrives.
    fn rest_reading(&mut self) {}

    /// Holds nothing for writing while there is nothing to write.
    fn rest_writing(&mut self) {}
}

impl End for Connection {
    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        Connection::poll_data(self, cx).map_err(|_| io::ErrorKind::ConnectionReset.into())
    }

    fn data(&mut self) -> &[u8] {
        Connection::data(self)
    }

    fn consume(&mut self, count: usize) {
        Connection::consume(self, count);
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_data(cx, data)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Connection::poll_flush(self, cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Connection::poll_shutdown(self, cx)
    }

    fn rest_reading(&mut self) {
        self.release_input();
    }

    fn rest_writing(&mut self) {
        self.release_output();
    }
}

/// The connection writes what a stream accepted.
impl End for H2Client {
    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        self.body.poll_data(cx).map_err(io::Error::other)
    }

    fn data(&mut self) -> &[u8] {
        self.body.data()
    }

    fn consume(&mut self, count: usize) {
        self.body.consume(count);
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.sending {
            Some(sending) => sending.poll_write_data(cx, data).map_err(io::Error::other),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let finished = self.sending.as_mut().map(|sending| sending.finish(None));
        Poll::Ready(finished.transpose().map(drop).map_err(io::Error::other))
    }
}

impl Client {
    /// The client as the end of a tunnel.
    pub(super) fn end(&mut self) -> &mut dyn End {
        match self {
            Client::H1(client) => &mut client.connection,
            Client::H2(client) => &mut **client,
        }
    }

    /// Ready when a stream was reset, which no read tells once its client has ended its direction.
    /// Of a connection the next write tells.
    pub(super) fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Client::H1(_) => Poll::Pending,
            Client::H2(_) => self.poll_gone(cx),
        }
    }
}
