//! Connections whose bytes are passed on as they are, whatever they carry.
//!
//! Nothing is read of a client before its upstream is there to take it, and no more than
//! [`CHUNK_BYTES`] a direction are held at a time, which is charged to the memory budget; a
//! connection on which nothing moves holds none.
//! The end of one direction is passed on and leaves the other open; a reset ends both, as a reset.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::io::{Breakage, Io};
use crate::memory::{self, Charge};
use crate::timer::{Deadlines, LazyTimer, StreamLimits};
use crate::upstream::{Stream, liveness};

/// Most bytes that one direction holds: what one read of a busy socket gives.
pub const CHUNK_BYTES: usize = 16 << 10;

/// What one direction holds where half of the memory budget is used: enough to go on, and little
/// enough for as many connections as a process has descriptors.
pub const SHORT_CHUNK_BYTES: usize = 2 << 10;

/// What became of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spliced {
    /// Bytes that the client sent.
    pub request_bytes: u64,
    /// Bytes that it was sent.
    pub response_bytes: u64,
}

/// How bytes are passed on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Terms {
    /// What the upstream gets before the client's first byte: a header that says whose they are.
    pub preface: Vec<u8>,
    /// How long it may go on. What exceeds it is reset.
    pub limits: StreamLimits,
}

/// Passes bytes between a client and an upstream until both have ended, one is broken, or its time
/// is over.
///
/// Cancelling it resets both connections, since neither has got all that it was sent.
pub async fn splice(client: TcpStream, upstream: Stream, terms: Terms) -> Spliced {
    // A failure costs latency, or notice of a client that has vanished, and no byte.
    let _ = client.set_nodelay(true);
    if let Ok(peer) = client.peer_addr() {
        let _ = liveness::watch(&client, &peer);
    }
    let (client, upstream) = (Side::new(Box::new(client)), Side::new(upstream.0));
    let preface_bytes = terms.preface.len() as u64;
    let up = Direction { chunk: terms.preface, ..Direction::default() };
    let deadlines = Deadlines::of_stream(terms.limits);
    let (down, timer) = (Direction::default(), LazyTimer::default());
    let mut splice = Splice { client, upstream, up, down, deadlines, timer };
    if std::future::poll_fn(|cx| splice.poll(cx)).await.is_ok() {
        splice.client.ended_well = true;
        splice.upstream.ended_well = true;
    }
    let request_bytes = splice.up.moved.saturating_sub(preface_bytes);
    Spliced { request_bytes, response_bytes: splice.down.moved }
}

/// How long a client that has sent nothing is looked at before it counts. Load balancers, and those
/// who probe instances, connect and close at once to see whether a port is open: that must wake
/// nothing, and reach no app. A client that speaks first does not wait.
const PROBE_GRACE: Duration = Duration::from_millis(20);

/// Whether a client has left within a moment without a byte, as one that only looks whether the
/// port is open.
///
/// Cancel safe.
pub async fn is_probe(client: &TcpStream) -> bool {
    matches!(timeout(PROBE_GRACE, client.peek(&mut [0])).await, Ok(Ok(0) | Err(_)))
}

/// Resolves when a client whose bytes are not read yet has left: it has broken the connection, or
/// has ended it before it sent anything. One that has sent something and ends its own direction
/// may still wait for what comes back.
///
/// Cancel safe.
pub async fn left(client: &TcpStream) {
    if let Ok(1..) = client.peek(&mut [0]).await {
        // Its bytes stay where they are, so only a break of the connection is news from now on.
        match Io::breakage(client) {
            Some(broken) => broken.await,
            None => drop(client.ready(Interest::ERROR).await),
        }
    }
}

/// Closes a connection as a reset, so that its client does not take the end for one in order.
pub fn reset(client: TcpStream) {
    client.reset_on_close();
}

/// One of the two connections. Dropped before its end it is reset.
struct Side {
    io: Box<dyn Io>,
    ended_well: bool,
}

impl Side {
    fn new(io: Box<dyn Io>) -> Side {
        Side { io, ended_well: false }
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        if !self.ended_well {
            self.io.reset_on_close();
        }
    }
}

struct Splice {
    client: Side,
    upstream: Side,
    up: Direction,
    down: Direction,
    deadlines: Deadlines,
    timer: LazyTimer,
}

#[derive(Default)]
struct Direction {
    state: State,
    /// What was read; empty while there is nothing.
    chunk: Vec<u8>,
    /// How much of it was written.
    written: usize,
    /// What the chunk takes of the memory budget.
    charge: Charge,
    moved: u64,
    /// Once the sender has ended its direction, no read tells that its connection breaks.
    breakage: Option<Breakage>,
}

#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Open,
    Closing,
    Closed,
}

impl Splice {
    /// Ready when both directions have ended, with an error when one of the connections is broken
    /// or their time is over.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Splice { client, upstream, up, down, deadlines, timer } = self;
        let before = (up.moved, down.moved);
        let sent = up.poll(cx, &mut *client.io, &mut *upstream.io)?;
        let received = down.poll(cx, &mut *upstream.io, &mut *client.io)?;
        if sent.is_ready() && received.is_ready() {
            return Poll::Ready(Ok(()));
        }
        if before != (up.moved, down.moved) {
            deadlines.touch();
        }
        timer.poll_deadlines(cx, deadlines).map(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl Direction {
    /// Moves bytes until there are none to move. Ready when this direction has ended.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut dyn Io,
        to: &mut dyn Io,
    ) -> Poll<io::Result<()>> {
        loop {
            match self.state {
                State::Open => match ready!(self.poll_move(cx, from, to))? {
                    0 => self.state = State::Closing,
                    count => self.moved += count as u64,
                },
                State::Closing => {
                    ready!(Pin::new(&mut *to).poll_shutdown(cx))?;
                    self.state = State::Closed;
                    self.breakage = from.breakage();
                }
                State::Closed => {
                    if let Some(breakage) = &mut self.breakage
                        && breakage.as_mut().poll(cx).is_ready()
                    {
                        return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
                    }
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }

    /// Reads if there is nothing to write, and writes. Gives how much was written; 0 at the end.
    fn poll_move(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut dyn Io,
        to: &mut dyn Io,
    ) -> Poll<io::Result<usize>> {
        if self.chunk.is_empty() {
            ready!(from.poll_readable(cx))?;
            let mut chunk = vec![0; self.chunk_bytes()];
            let mut buffer = ReadBuf::new(&mut chunk);
            let read = Pin::new(from).poll_read(cx, &mut buffer);
            let count = buffer.filled().len();
            self.charge.lower_to(count);
            ready!(read)?;
            if count == 0 {
                return Poll::Ready(Ok(0));
            }
            chunk.truncate(count);
            chunk.shrink_to_fit();
            (self.chunk, self.written) = (chunk, 0);
        }
        let count = ready!(Pin::new(to).poll_write(cx, &self.chunk[self.written..]))?;
        if count == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.written += count;
        if self.written == self.chunk.len() {
            self.chunk = Vec::new();
            self.charge.lower_to(0);
        }
        Poll::Ready(Ok(count))
    }

    /// How long the next chunk may be.
    fn chunk_bytes(&mut self) -> usize {
        match memory::is_ample() && self.charge.raise_to(CHUNK_BYTES).is_ok() {
            true => CHUNK_BYTES,
            false => SHORT_CHUNK_BYTES,
        }
    }
}
