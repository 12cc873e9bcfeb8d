//! Requests that nobody waits for any more, while the upstream still works at them.
//!
//! A client hangs up, or its time is up, and its exchange is over at once. The upstream knows
//! nothing of that, or does not look: most programs finish what they have begun. So the connection
//! and the guard of the exchange may be handed on to a task that does nothing but wait for the
//! upstream to be done, which is its whole answer or the end of its connection. What it sends is
//! thrown away.
//!
//! The connection is left open meanwhile, because closing it would end our knowledge and not the
//! upstream's work. There is one exception: an upstream that waits for the rest of a request is
//! told over HTTP/1 that there is none, by a half-close that leaves the answer's direction open.
//! HTTP/2 has no such thing: there the stream is reset, and nothing is waited for.

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

/// How long an answer that has begun is read on. Work that ends does so sooner; what goes on is a
/// stream made for a client that watches it, and would hold its place for nobody.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);

/// The most of an answer that is thrown away. A program that sends so much notices at its next
/// write that nobody is there.
const DISCARDED_MAX: usize = 64 << 20;

/// An exchange whose upstream is not done, and nobody else is left of it.
pub(crate) struct Abandoned {
    origin: Origin,
    request: Remains,
    response: ResponseRest,
    discarded: usize,
    /// What the heads of its exchange hold, of which a part may be yet to be written.
    _charge: Charge,
}

/// What is left of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Remains {
    /// What has been gathered is yet to be written.
    Gathered,
    /// As before, and then the upstream has to learn that nothing more will come.
    Missing,
    Nothing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ResponseRest {
    Head,
    Body,
}

impl Abandoned {
    /// What is left of an exchange that came this far.
    pub(crate) fn new(origin: Origin, progress: Progress, charge: Charge) -> Abandoned {
        let request = match progress.upload {
            Upload::Sending => Remains::Missing,
            Upload::Flushing => Remains::Gathered,
            Upload::Done | Upload::Refused => Remains::Nothing,
        };
        let answer = if progress.response_begun { ResponseRest::Body } else { ResponseRest::Head };
        Abandoned { origin, request, response: answer, discarded: 0, _charge: charge }
    }

    /// What is left of a tunnel: the upstream learns in the tunnel's own way that the other side
    /// has closed, and may say what it still has to say.
    pub(crate) fn tunnel(connection: Connection) -> Abandoned {
        let origin = Origin::H1(Box::new(H1Origin::new(connection)));
        Abandoned {
            origin,
            request: Remains::Missing,
            response: ResponseRest::Body,
            discarded: 0,
            _charge: Charge::default(),
        }
    }

    /// Waits in a task of its own, if the guard is to be held, and drops it then.
    pub(crate) fn leave_to(mut self, guard: &mut (dyn Release + Send)) {
        if !self.origin.is_touched() {
            // Nothing of the request has left this process.
            return;
        }
        let Some((longest, guard)) = guard.hold() else { return };
        if self.request == Remains::Missing && matches!(self.origin, Origin::H2(_)) {
            return;
        }
        tokio::spawn(async move {
            self.wait(Instant::now() + longest).await;
            // The upstream learns that nobody is there before anybody takes the place.
            drop(self);
            drop(guard);
        });
    }

    /// Returns when the upstream is done or the time is up.
    async fn wait(&mut self, by: Instant) {
        if self.response == ResponseRest::Head {
            // Running out of time and giving up are the same here: the answer has not begun.
            let _ = timeout_at(by, poll_fn(|cx| self.poll_head(cx))).await;
        }
        if self.response == ResponseRest::Body {
            let by = by.min(Instant::now() + ANSWER_PATIENCE);
            let _ = timeout_at(by, poll_fn(|cx| self.poll_body(cx))).await;
        }
    }

    /// Ready when the answer has begun, or never will.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            self.poll_request(cx);
            let Ok(head) = ready!(self.origin.poll_head(cx)) else { return Poll::Ready(()) };
            if head.status == StatusCode::SWITCHING_PROTOCOLS {
                if let Origin::H1(origin) = &mut self.origin {
                    origin.connection.become_tunnel();
                    self.request = Remains::Missing;
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
            (Remains::Nothing, _) => return,
            (Remains::Missing, Origin::H1(origin)) => origin.connection.poll_shutdown(cx).map(drop),
            (_, origin) => origin.poll_flush(cx).map(drop),
        };
        if written.is_ready() {
            self.request = Remains::Nothing;
        }
    }
}
