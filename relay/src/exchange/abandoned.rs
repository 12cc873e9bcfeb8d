//! Requests whose clients have gone while the upstream still works on them.
//!
//! A client hangs up, or its time is up, and its exchange is over at once. The upstream does not
//! learn of that, or does not check: most programs finish what they have begun. So the connection
//! and the guard of the exchange may be passed to a task that only waits for the upstream to be
//! done, which is its whole response or the end of its connection. What it sends is discarded.
//!
//! The connection stays open meanwhile: closing it would hide when the work ends, and not end it.
//! There is one exception: an upstream that waits for the rest of a request gets a half-close over
//! HTTP/1, which ends the request and leaves the response's direction open. HTTP/2 has no
//! equivalent: there the stream is reset, and nothing is awaited.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::StatusCode;
use tokio::time::{Instant, timeout_at};

use super::guard::Release;
use super::origin::{H1Origin, Origin};
use super::pump::{Progress, Upload};
use crate::h1::Connection;
use crate::memory::Charge;

/// How long a response that has begun is still read. Ordinary work ends sooner; what continues is a
/// stream for a client that has gone, and would hold its slot without use.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);

/// The most bytes of a response that are discarded. A program that sends more gets an error on its
/// next write, because the connection is closed then.
const DISCARDED_MAX: usize = 64 << 20;

/// What is left of an exchange whose upstream is not done.
pub(crate) struct Abandoned {
    origin: Origin,
    request: RequestRest,
    response: ResponseRest,
    discarded: usize,
    /// The charge for the heads of its exchange, a part of which may be unwritten.
    _charge: Charge,
}

/// What is left of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RequestRest {
    /// The write buffer is not empty.
    Buffered,
    /// As before, and then a half-close has to end the request.
    Missing,
    Nothing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ResponseRest {
    Head,
    Body,
}

impl Abandoned {
    /// What is left of an exchange after this progress.
    pub(crate) fn new(origin: Origin, progress: Progress, charge: Charge) -> Abandoned {
        let request = match progress.upload {
            Upload::Sending => RequestRest::Missing,
            Upload::Flushing => RequestRest::Buffered,
            Upload::Done | Upload::Refused => RequestRest::Nothing,
        };
        let response =
            if progress.response_begun { ResponseRest::Body } else { ResponseRest::Head };
        Abandoned { origin, request, response, discarded: 0, _charge: charge }
    }

    /// What is left of a tunnel: a half-close tells the upstream that the other side has closed,
    /// and it may send what it still has to send.
    pub(crate) fn tunnel(connection: Connection) -> Abandoned {
        let origin = Origin::H1(Box::new(H1Origin::new(connection)));
        Abandoned {
            origin,
            request: RequestRest::Missing,
            response: ResponseRest::Body,
            discarded: 0,
            _charge: Charge::default(),
        }
    }

    /// Waits for the upstream in a task of its own, if the guard is to be held, and then drops the
    /// guard.
    pub(crate) fn spawn_holding(mut self, guard: &mut (dyn Release + Send)) {
        if !self.origin.is_touched() {
            // No byte of the request was written, so there is no work to wait for.
            return;
        }
        let Some((longest, guard)) = guard.hold() else { return };
        if self.request == RequestRest::Missing && matches!(self.origin, Origin::H2(_)) {
            return;
        }
        tokio::spawn(async move {
            self.wait(Instant::now() + longest).await;
            // The connection is closed first, so that the upstream never has more connections than
            // slots.
            drop(self);
            drop(guard);
        });
    }

    /// Returns when the upstream is done or the time is up.
    async fn wait(&mut self, by: Instant) {
        if self.response == ResponseRest::Head {
            // A timeout and a failure are the same here: the response has not begun.
            let _ = timeout_at(by, poll_fn(|cx| self.poll_head(cx))).await;
        }
        if self.response == ResponseRest::Body {
            let by = by.min(Instant::now() + RESPONSE_TIMEOUT);
            let _ = timeout_at(by, poll_fn(|cx| self.poll_body(cx))).await;
        }
    }

    /// Ready when the response has begun, or never will.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            self.poll_request(cx);
            let Ok(head) = ready!(self.origin.poll_head(cx)) else { return Poll::Ready(()) };
            if head.status == StatusCode::SWITCHING_PROTOCOLS {
                if let Origin::H1(origin) = &mut self.origin {
                    origin.connection.become_tunnel();
                    self.request = RequestRest::Missing;
                }
            } else if head.status.is_informational() {
                continue;
            }
            self.response = ResponseRest::Body;
            return Poll::Ready(());
        }
    }

    /// Ready when the upstream is done, or has sent enough.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_request(cx);
        while self.discarded < DISCARDED_MAX
            && matches!(ready!(self.origin.poll_data(cx)), Ok(true))
        {
            let count = self.origin.data().len();
            self.origin.consume(count);
            self.discarded += count;
        }
        Poll::Ready(())
    }

    /// Writes what is left of the request. Whether the upstream reads it changes nothing.
    fn poll_request(&mut self, cx: &mut Context<'_>) {
        let written = match (self.request, &mut self.origin) {
            (RequestRest::Nothing, _) => return,
            (RequestRest::Missing, Origin::H1(origin)) => {
                origin.connection.poll_shutdown(cx).map(drop)
            }
            (_, origin) => origin.poll_flush(cx).map(drop),
        };
        if written.is_ready() {
            self.request = RequestRest::Nothing;
        }
    }
}
