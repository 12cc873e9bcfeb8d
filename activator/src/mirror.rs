//! Copies of requests that go to another revision as well, whose answers nobody gets.
//!
//! A copy is a request of its own, over a connection within this process: it wakes its revision,
//! waits and is balanced like any other. The request that it was made of never waits for it. Only
//! so many are under way; what comes beyond is not copied.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tidegate_relay::http::Method;
use tidegate_relay::http::header::HeaderName;
use tidegate_relay::memory::Reservation;
use tidegate_relay::{
    BodyLength, BodyTap, Drain, Exchange, Handler, RequestHead, Server, ServerSettings,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::metrics::Metrics;
use crate::mirror_outcome::MirrorOutcome;

/// Marks a copy for its app. From clients it is removed wherever a route is followed.
pub(crate) const MIRRORED: HeaderName = HeaderName::from_static("tidegate-mirrored");

/// Copies under way at a time: each holds a connection's buffers, and none may crowd out requests.
const COPIES_MAX: usize = 256;

/// How long one may take: an answer without an end is not read for ever.
const COPY_TIME_MAX: Duration = Duration::from_secs(60);

/// What is on its way between both ends of a copy's connection.
const PIPE_BYTES: usize = 16 * 1024;

/// What a copy's connection holds: both directions, and what is read of the answer.
const PIPES_BYTES: usize = 3 * PIPE_BYTES;

/// Longest head that is copied. It is held as written, as read and parsed, and as written again, so
/// that 256 copies with longer ones would take the memory that requests need.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Longest body that is copied. With [`COPIES_MAX`] it bounds what all copies keep: 16 MiB.
const COPIED_BODY_BYTES_MAX: usize = 64 * 1024;

/// Makes the copies.
#[derive(Debug, Clone)]
pub(crate) struct Mirrors {
    places: Arc<Semaphore>,
    settings: ServerSettings,
    metrics: Metrics,
}

impl Mirrors {
    pub(crate) fn new(settings: ServerSettings, metrics: Metrics) -> Self {
        Self { places: Arc::new(Semaphore::new(COPIES_MAX)), settings, metrics }
    }

    /// Sends a copy of a request through the handler that `handler` makes, which knows its
    /// revision. Never waits: a copy with a body is sent when all of the body has passed.
    pub(crate) fn copy<H: Handler>(&self, exchange: &mut Exchange, handler: impl FnOnce() -> H) {
        let Some((head, body)) = written(exchange.head()) else {
            return self.metrics.mirrored(MirrorOutcome::Unsuited);
        };
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            return self.metrics.mirrored(MirrorOutcome::Dropped);
        };
        // A copy is for nobody who waits: it takes no memory that requests may need.
        let body_bytes = if body == Body::Some { COPIED_BODY_BYTES_MAX } else { 0 };
        let Some(memory) = Reservation::take(PIPES_BYTES + head.len() + body_bytes) else {
            return self.metrics.mirrored(MirrorOutcome::Dropped);
        };
        let server = Server::new(handler(), self.settings, Drain::new());
        let (peer, metrics) = (exchange.peer(), self.metrics.clone());
        let copy = Copy { server, peer, held: (place, memory), metrics };
        match body {
            Body::None => copy.send(head),
            Body::Some => {
                let body = BodyCopy { copy: Some(copy), head, body: Vec::new() };
                exchange.tap_body(Box::new(body));
            }
        }
    }
}

/// A copy that is to be sent.
struct Copy<H> {
    server: Server<H>,
    peer: Option<SocketAddr>,
    /// Its place among the copies, and its memory.
    held: (OwnedSemaphorePermit, Reservation),
    metrics: Metrics,
}

impl<H: Handler> Copy<H> {
    fn send(self, written: Vec<u8>) {
        let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
        tokio::spawn(serve(self.server, theirs, self.peer));
        tokio::spawn(send(written, ours, self.held, self.metrics));
    }
}

/// The body of a copy while that of its request passes.
struct BodyCopy<H> {
    /// `None` once it was sent, or is too long.
    copy: Option<Copy<H>>,
    head: Vec<u8>,
    body: Vec<u8>,
}

impl<H: Handler> BodyTap for BodyCopy<H> {
    fn passed(&mut self, bytes: &[u8]) {
        if self.body.len() + bytes.len() <= COPIED_BODY_BYTES_MAX {
            self.body.extend_from_slice(bytes);
        } else if let Some(copy) = self.copy.take() {
            copy.metrics.mirrored(MirrorOutcome::Unsuited);
            self.body = Vec::new();
        }
    }

    fn ended(mut self: Box<Self>) {
        let Some(copy) = self.copy.take() else { return };
        let mut written = std::mem::take(&mut self.head);
        let framing = format!("content-length: {}\r\n\r\n", self.body.len());
        written.extend_from_slice(framing.as_bytes());
        written.append(&mut self.body);
        copy.send(written);
    }
}

impl<H> Drop for BodyCopy<H> {
    fn drop(&mut self) {
        if let Some(copy) = self.copy.take() {
            // Its body was not forwarded as a whole.
            copy.metrics.mirrored(MirrorOutcome::Dropped);
        }
    }
}

async fn serve<H: Handler>(server: Server<H>, stream: DuplexStream, peer: Option<SocketAddr>) {
    server.serve_stream(stream, peer).await;
}

/// Sends a copy and reads its answer to the end, only to know how it begins.
async fn send(
    head: Vec<u8>,
    mut stream: DuplexStream,
    held: (OwnedSemaphorePermit, Reservation),
    metrics: Metrics,
) {
    let exchange = async {
        stream.write_all(&head).await?;
        drop(head);
        let mut begin = Vec::new();
        let mut buffer = vec![0; PIPE_BYTES];
        loop {
            let count = stream.read(&mut buffer).await?;
            if count == 0 {
                return std::io::Result::Ok(begin);
            }
            let room = STATUS_LINE.saturating_sub(begin.len()).min(count);
            begin.extend_from_slice(&buffer[..room]);
        }
    };
    let answer = tokio::time::timeout(COPY_TIME_MAX, exchange).await;
    let is_answered = matches!(answer, Ok(Ok(begin)) if is_success(&begin));
    metrics.mirrored(match is_answered {
        true => MirrorOutcome::Answered,
        false => MirrorOutcome::Failed,
    });
    drop(held);
}

/// The length of `HTTP/1.1 200`.
const STATUS_LINE: usize = 12;

/// Whether an answer is none of a server's error.
fn is_success(begin: &[u8]) -> bool {
    begin.len() == STATUS_LINE && begin.starts_with(b"HTTP/1.1 ") && begin[9] < b'5'
}

/// Whether a copy has a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Body {
    None,
    Some,
}

/// The head of a copy as HTTP/1.1, without its end where a body follows; `None` for a connection
/// that changes its protocol, for a request without a host, and where it is too long.
fn written(head: &RequestHead) -> Option<(Vec<u8>, Body)> {
    let body = match head.body {
        BodyLength::Empty | BodyLength::Known(0) => Body::None,
        BodyLength::Known(length) if length > COPIED_BODY_BYTES_MAX as u64 => return None,
        BodyLength::Known(_) | BodyLength::Unknown => Body::Some,
    };
    let is_suited = head.upgrade.is_none() && head.method != Method::CONNECT;
    let host = head.host.as_ref().filter(|_| is_suited)?;
    let mut written = Vec::with_capacity(1_024);
    let mut line = |parts: &[&[u8]]| {
        parts.iter().for_each(|part| written.extend_from_slice(part));
        written.extend_from_slice(b"\r\n");
        written.len() <= HEAD_BYTES_MAX
    };
    line(&[head.method.as_str().as_bytes(), b" ", &head.target, b" HTTP/1.1"]);
    line(&[b"host: ", host.as_bytes()]);
    line(&[b"connection: close"]);
    line(&[MIRRORED.as_str().as_bytes(), b": true"]);
    if head.body == BodyLength::Known(0) {
        line(&[b"content-length: 0"]);
    }
    for (name, value) in &head.headers {
        if !line(&[name.as_str().as_bytes(), b": ", value.as_bytes()]) {
            return None;
        }
    }
    if body == Body::None {
        line(&[]);
    }
    Some((written, body))
}
