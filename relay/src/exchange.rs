//! One exchange: a request whose head has arrived, and its response.
//!
//! A handler reads and rewrites the head, may [`hold`](Exchange::hold) the client while it
//! decides, and then either [`respond`](Exchange::respond)s itself or
//! [`forward`](Exchange::forward)s to an [`Upstream`](crate::Upstream). A service of the proxy's
//! own may also [`converse`](Exchange::converse).

mod abandoned;
pub(crate) mod client;
pub(crate) mod conversation;
pub(crate) mod forward;
pub(crate) mod guard;
pub(crate) mod hedged;
pub(crate) mod origin;
mod pump;
pub(crate) mod reply;
mod sniff;
mod tunnel;
pub(crate) mod websocket;

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use tokio::time::Instant;

use crate::buffers;
use crate::error::Interrupted;
use crate::head::RequestHead;
use crate::memory::Charge;
use crate::timer::{Deadlines, LazyTimer, TimeLimits};
use crate::trailers::PlatformFields;
use client::Client;

/// Is given the fields of an upstream's final response at the moment when its head is there, before
/// it is sent to the client. It must not wait for anything.
pub type ResponseHook = Box<dyn FnOnce(&mut HeaderMap) + Send + Sync>;

/// Sees the body of a request as it is passed on. It must not wait for anything.
pub trait BodyTap: Send + Sync {
    /// These bytes of it were passed on.
    fn passed(&mut self, bytes: &[u8]);

    /// All of it was.
    fn ended(self: Box<Self>);
}

/// A request and everything needed to respond to it.
pub struct Exchange {
    head: RequestHead,
    peer: Option<SocketAddr>,
    started: Instant,
    client: Client,
    timer: LazyTimer,
    report: ExchangeReport,
    response: ResponseState,
    /// The charge for the memory of its heads.
    charge: Charge,
    /// A response with this header is a proxy's own error and not forwarded.
    declined: Option<HeaderName>,
    /// What a response that is forwarded gets beside the upstream's own fields.
    added: Option<Box<(HeaderName, HeaderValue)>>,
    /// Is called with the upstream's final response.
    hook: Option<ResponseHook>,
    /// Sees the request's body.
    tap: Option<Box<dyn BodyTap>>,
    platform_fields: PlatformFields,
}

/// The state and counts of the response so far. Complete once [`Exchange::forward`] or
/// [`Exchange::respond`] has returned.
#[derive(Debug, Clone, Copy, Default)]
pub struct ExchangeReport {
    /// The status that was sent to the client, if one was. Where it opened a WebSocket over
    /// HTTP/2, whose clients get a 200, it is the app's 101.
    pub status: Option<StatusCode>,
    /// Bytes of the request's body that were forwarded.
    pub request_bytes: u64,
    /// Bytes of the response's body that were forwarded. After an upgrade, bytes of the tunnel.
    pub response_bytes: u64,
    /// How long the connection to the upstream took to make, where one was made.
    pub connect: Option<Duration>,
}

/// What waits for longer than this waits for an instance to start, or among many others: its head
/// is worth being copied.
const SHORT_STAY: Duration = Duration::from_millis(100);

/// How long a request has waited.
enum Stay {
    /// Not for long, and until when; `None` before the first wait.
    Short(Option<Instant>),
    Long,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ResponseState {
    /// Nothing final has been sent.
    NotBegun,
    /// The head is written, the body is not.
    Begun,
    /// All of it is written, or in the write buffer.
    Complete,
    /// It was cut short, in a way that the client can detect.
    Aborted,
    /// Nothing was sent, and the client has gone.
    ClientGone,
}

impl Exchange {
    pub(crate) fn new(
        head: RequestHead,
        peer: Option<SocketAddr>,
        client: Client,
        timer: LazyTimer,
        charge: Charge,
        platform_fields: PlatformFields,
    ) -> Exchange {
        Exchange {
            head,
            peer,
            started: Instant::now(),
            client,
            timer,
            report: ExchangeReport::default(),
            response: ResponseState::NotBegun,
            charge,
            declined: None,
            added: None,
            hook: None,
            tap: None,
            platform_fields,
        }
    }

    /// The request's head.
    pub fn head(&self) -> &RequestHead {
        &self.head
    }

    /// The request's head, to be rewritten before it is forwarded.
    pub fn head_mut(&mut self) -> &mut RequestHead {
        &mut self.head
    }

    /// Declines errors that a proxy upstream creates itself and tags with this header: they are not
    /// forwarded; [`Exchange::forward`] fails with [`ForwardError::Declined`], and the caller
    /// reports and counts them. Only responses of 4xx and 5xx are inspected.
    ///
    /// [`ForwardError::Declined`]: crate::ForwardError::Declined
    pub fn decline_marked(&mut self, marker: HeaderName) {
        self.declined = Some(marker);
    }

    /// Adds a field to the response that is forwarded, beside those of the upstream; in place of
    /// one that was to be added before. It does not apply to tunnels, nor to
    /// [`Exchange::respond`].
    pub fn add_to_response(&mut self, name: HeaderName, value: HeaderValue) {
        self.added = Some(Box::new((name, value)));
    }

    /// Calls `hook` when the head of an upstream's final response is there, in place of one that
    /// was set before. It is not called for a response that is declined, nor for
    /// [`Exchange::respond`].
    pub fn on_response(&mut self, hook: ResponseHook) {
        self.hook = Some(hook);
    }

    /// Has `tap` see the request's body while it is forwarded, in place of one that was to before.
    /// It is dropped where the body is not forwarded as a whole.
    pub fn tap_body(&mut self, tap: Box<dyn BodyTap>) {
        self.tap = Some(tap);
    }

    /// The client's address, where the connection has one.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// When the head was complete. Time limits run from here.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// The state and counts of the response so far.
    pub fn report(&self) -> &ExchangeReport {
        &self.report
    }

    /// Whether a final status has been sent, so that nothing else can be.
    pub fn has_responded(&self) -> bool {
        !matches!(self.response, ResponseState::NotBegun | ResponseState::ClientGone)
    }

    /// Runs `future` for as long as the client is connected and the limits allow: this is how a
    /// request waits in a queue.
    ///
    /// # Errors
    ///
    /// When the client hangs up or a limit runs out first; `future` is dropped then.
    ///
    /// Cancel safe if `future` is.
    pub fn hold<F: Future>(
        &mut self,
        limits: TimeLimits,
        future: F,
    ) -> impl Future<Output = Result<F::Output, Interrupted>> {
        // Nothing moves while it waits, so its deadlines do not either: one is enough to keep.
        let due = Deadlines::new(self.started, limits).next();
        let mut stay = Stay::Short(None);
        async move {
            let mut future = pin!(future);
            poll_fn(|cx| {
                if let Poll::Ready(output) = future.as_mut().poll(cx) {
                    return Poll::Ready(Ok(output));
                }
                if let Stay::Short(until) = &mut stay {
                    let until = *until.get_or_insert_with(|| Instant::now() + SHORT_STAY);
                    if self.timer.poll_until(cx, until).is_ready() {
                        stay = Stay::Long;
                        self.leave_buffers();
                    }
                }
                if self.client.poll_gone(cx).is_ready() {
                    self.response = ResponseState::ClientGone;
                    return Poll::Ready(Err(Interrupted::ClientGone));
                }
                let Some((when, timeout)) = due else { return Poll::Pending };
                self.timer.poll_until(cx, when).map(|()| Err(Interrupted::TimedOut(timeout)))
            })
            .await
        }
    }

    /// It waits for long: what it has of its client leaves the buffers that it came in, so that a
    /// head takes its own length and no whole buffer.
    fn leave_buffers(&mut self) {
        self.head.leave_buffer();
        self.client.release_input();
    }

    /// The client has gone or its response was cut short: nothing more can be sent.
    pub(crate) fn is_abandoned(&self) -> bool {
        matches!(self.response, ResponseState::Aborted | ResponseState::ClientGone)
    }

    /// No other request may follow on this connection.
    pub(crate) fn forbid_reuse(&mut self) {
        self.client.forbid_reuse();
    }

    /// Takes the exchange apart when its handler has returned.
    pub(crate) fn into_client(self) -> (Client, LazyTimer, bool) {
        buffers::keep_map(self.head.headers);
        (self.client, self.timer, self.response == ResponseState::Complete)
    }
}
