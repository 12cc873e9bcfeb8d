//! One HTTP/2 connection: streams, each an exchange of its own.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::server::{Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::header::{COOKIE, EXPECT, HOST, HeaderValue, TE, TRAILER};
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use tokio::time::Instant;

use super::extended_connect::{self, Asked};
use super::h1::Handover;
use super::{Handler, ServerState};
use crate::cause::Cause;
use crate::drain::Phase;
use crate::exchange::Exchange;
use crate::exchange::client::{Client, H2Client};
use crate::h1::fields::{Writer, lists};
use crate::h2gate::pace::{self, FIRST_WINDOW, HeadClock, Window};
use crate::h2gate::{FrameGate, Limits, Peer, Watch};
use crate::h2io::{Incoming, Piece, SEND_BUFFER_MAX, STREAM_BYTES, has_outer_blanks, take_length};
use crate::head::{BodyLength, Reply, RequestHead, Scheme};
use crate::host;
use crate::memory::{self, Charge, OverBudget};
use crate::metrics::Rejection;
use crate::target;
use crate::timer::LazyTimer;
use crate::trailers;

/// Bytes that a client may have in flight, per stream; and per connection once it has shown that it
/// needs them, and memory allows.
const WINDOW: u32 = 1 << 20;
/// The largest frame that is accepted, in bytes.
const FRAME_MAX: u32 = 1 << 20;
/// The largest field block that is accepted, as SETTINGS_MAX_HEADER_LIST_SIZE counts it.
const HEADER_LIST_MAX: u32 = 1_048_896;
/// The longest encoded one, in bytes: literals are not much shorter than the fields they encode.
const BLOCK_MAX: usize = 2 << 20;
/// Trailers up to this length, in bytes and encoded, cannot expand to much.
const FREE_TRAILERS: usize = 64;

/// How long a client without open requests may take to hang up once the server closes, or once it
/// got a GOAWAY.
const GOAWAY_TIMEOUT: Duration = Duration::from_secs(1);

/// One connection, as its streams see it.
struct Streams<H> {
    shared: Arc<ServerState<H>>,
    peer: Option<SocketAddr>,
    watch: Watch,
    /// Held by those streams that have a body.
    uploads: Weak<Charge>,
}

/// What happens next on a connection.
#[expect(clippy::large_enum_variant, reason = "moved once a stream, and never kept")]
enum Event {
    Accepted(Accepted),
    /// It has to end.
    Over(Reason),
}

/// Serves the connection until it closes.
pub(crate) async fn serve<H: Handler>(
    shared: &Arc<ServerState<H>>,
    handover: Handover,
    peer: Option<SocketAddr>,
) {
    let mut drain_token = handover.drain_token;
    let mut front = handover.charge;
    let limits = Limits {
        peer: Peer::Client,
        frame_max: FRAME_MAX as usize,
        block_max: BLOCK_MAX,
        list_max: HEADER_LIST_MAX as usize,
        free_trailers: FREE_TRAILERS,
    };
    let (gate, watch) = FrameGate::new(handover.io, handover.front, limits);
    let handshake = h2::server::Builder::new()
        .max_concurrent_streams(shared.settings.streams_max)
        .initial_window_size(WINDOW)
        .initial_connection_window_size(FIRST_WINDOW)
        .max_frame_size(FRAME_MAX)
        .max_header_list_size(HEADER_LIST_MAX)
        .max_send_buffer_size(SEND_BUFFER_MAX)
        .enable_connect_protocol()
        .handshake::<_, Piece>(gate);
    let handshake = tokio::time::timeout_at(handover.head_by, handshake).await;
    let Ok(Ok(mut connection)) = handshake else {
        return;
    };
    let mut shutdown = GracefulShutdown::default();
    let mut window = Window::new(&watch, WINDOW);
    let mut clock = HeadClock::new(shared.settings.head_timeout, handover.head_by);
    let mut streams = Streams { shared: shared.clone(), peer, watch, uploads: Weak::new() };
    loop {
        let event = poll_fn(|cx| {
            let phase = drain_token.poll_phase(cx);
            let retires = phase == Phase::Serving && streams.watch.is_retired();
            let phase = if retires { Phase::Draining } else { phase };
            shutdown.send_goaway(cx, phase, &mut connection);
            let event = poll_event(cx, &mut connection, &streams.watch);
            if let Some(size) = window.widen(&streams.watch) {
                connection.set_target_window_size(size);
            }
            match event {
                Poll::Pending => {
                    clock.poll_late(cx, &streams.watch, shutdown.streams()).map(|()| LATE)
                }
                ready => ready,
            }
        })
        .await;
        match event {
            Event::Accepted(Some(Ok((request, respond)))) => {
                shutdown.used = true;
                // From here on the streams are charged for the bytes that they received.
                front.lower_to(0);
                clock.first_head_arrived();
                streams.begin(request, respond, shutdown.running.clone());
            }
            Event::Accepted(Some(Err(error))) => {
                tracing::debug!(%error, "connection ended");
                return;
            }
            Event::Accepted(None) => return,
            Event::Over(reason) => {
                if let Some(rejection) = rejection(reason) {
                    rejection.count();
                }
                return end_connection(connection, reason).await;
            }
        }
    }
}

/// The client violated no rule but the time limit.
const LATE: Event = Event::Over(Reason::NO_ERROR);

/// What a connection that has to end is counted as; lack of memory is counted where it is detected.
fn rejection(reason: Reason) -> Option<Rejection> {
    match reason {
        Reason::NO_ERROR => Some(Rejection::HeadTimeout),
        Reason::ENHANCE_YOUR_CALM => None,
        _ => Some(Rejection::Malformed),
    }
}

/// Polls the library until it has taken all that the gate lets it read.
fn poll_event(
    cx: &mut Context<'_>,
    connection: &mut Connection<FrameGate, Piece>,
    watch: &Watch,
) -> Poll<Event> {
    loop {
        if let Poll::Ready(accepted) = connection.poll_accept(cx) {
            return Poll::Ready(Event::Accepted(accepted));
        }
        if let Some(reason) = watch.stopped() {
            return Poll::Ready(Event::Over(reason));
        }
        if !watch.next_turn() {
            return Poll::Pending;
        }
    }
}

/// Sends GOAWAY, and closes.
async fn end_connection(mut connection: Connection<FrameGate, Piece>, reason: Reason) {
    tracing::debug!(%reason, "connection ended with GOAWAY");
    connection.abrupt_shutdown(reason);
    let closed = poll_fn(|cx| match connection.poll_accept(cx) {
        Poll::Ready(Some(Ok(_))) | Poll::Pending => Poll::Pending,
        Poll::Ready(None | Some(Err(_))) => Poll::Ready(()),
    });
    // A client that does not read it is disconnected.
    let _ = tokio::time::timeout(GOAWAY_TIMEOUT, closed).await;
}

impl<H: Handler> Streams<H> {
    /// Serves one stream in a task of its own, if there is memory for it.
    fn begin(
        &mut self,
        request: Request<RecvStream>,
        mut respond: SendResponse<Piece>,
        running: Arc<()>,
    ) {
        let mut head_charge = Charge::on(self.watch.account());
        let mut stream_charge = Charge::on(self.watch.account());
        let fields_bytes = memory::fields_bytes(request.headers());
        let upload = match request.body().is_end_stream() {
            true => Ok(None),
            false => self.upload(),
        };
        let charged = head_charge.add(fields_bytes).and(stream_charge.add(STREAM_BYTES));
        let (Ok(()), Ok(upload)) = (charged, upload) else {
            memory::count_refusal();
            respond.send_reset(Reason::ENHANCE_YOUR_CALM);
            return;
        };
        let Some(mut exchange) = self.exchange(request, respond, (head_charge, stream_charge))
        else {
            return;
        };
        let held = Held { _upload: upload, _running: running };
        let shared = self.shared.clone();
        // The task holds the exchange once, and not in parts as well: thousands of them may wait.
        tokio::spawn(async move {
            let _held = &held;
            if let Some(reply) = own_reply(exchange.head(), &shared) {
                let _ = Box::pin(exchange.respond(reply)).await;
            } else {
                shared.handler.handle(&mut exchange).await;
            }
            if !exchange.has_responded() && !exchange.is_abandoned() {
                let reply = Reply::empty(StatusCode::INTERNAL_SERVER_ERROR);
                let _ = Box::pin(exchange.respond(reply)).await;
            }
        });
    }

    /// The exchange of a request; `None` if it is malformed.
    fn exchange(
        &self,
        request: Request<RecvStream>,
        mut respond: SendResponse<Piece>,
        (head_charge, stream_charge): (Charge, Charge),
    ) -> Option<Exchange> {
        let (parts, body) = request.into_parts();
        let length = match body.is_end_stream() {
            true => BodyLength::Empty,
            false => BodyLength::Unknown,
        };
        let Some(head) = head(parts, length, self.shared.settings.scheme) else {
            Rejection::Malformed.count();
            respond.send_reset(Reason::PROTOCOL_ERROR);
            return None;
        };
        let incoming = Incoming::new(body, Writer::Client);
        let (method, watch) = (&head.method, &self.watch);
        let mut client = H2Client::new(incoming, respond, method, stream_charge, watch);
        if head.upgrade.is_some() || head.method == Method::CONNECT {
            client.may_become_tunnel(self.shared.drain.watch());
        }
        let client = Client::H2(Box::new(client));
        let (timer, platform) = (LazyTimer::default(), self.shared.settings.platform_fields);
        Some(Exchange::new(head, self.peer, client, timer, head_charge, platform))
    }

    /// The first window of the connection, which all of its uploads share.
    fn upload(&mut self) -> Result<Option<Arc<Charge>>, OverBudget> {
        if let Some(shared) = self.uploads.upgrade() {
            return Ok(Some(shared));
        }
        let mut charge = Charge::on(self.watch.account());
        charge.add(FIRST_WINDOW as usize)?;
        let charge = Arc::new(charge);
        self.uploads = Arc::downgrade(&charge);
        Ok(Some(charge))
    }
}

/// The graceful end of a client's connection.
#[derive(Default)]
struct GracefulShutdown {
    /// The client has had a request accepted. One that connects during a drain gets that much
    /// before its GOAWAY, or it might never be served anywhere.
    used: bool,
    /// GOAWAY has been sent.
    sent: bool,
    /// Each exchange in flight holds a clone.
    running: Arc<()>,
    timer: LazyTimer,
    next_check: Option<Instant>,
}

impl GracefulShutdown {
    fn streams(&self) -> pace::Streams {
        match Arc::strong_count(&self.running) {
            1 => pace::Streams::None,
            _ => pace::Streams::Alive,
        }
    }

    fn send_goaway(
        &mut self,
        cx: &mut Context<'_>,
        phase: Phase,
        connection: &mut Connection<FrameGate, Piece>,
    ) {
        let due = phase == Phase::Closing || phase == Phase::Draining && self.used;
        if due && !self.sent {
            self.sent = true;
            connection.graceful_shutdown();
        }
        if phase != Phase::Closing {
            return;
        }
        // The library closes once the client has acknowledged a ping, which not every client does.
        let check_at = *self.next_check.get_or_insert_with(|| Instant::now() + GOAWAY_TIMEOUT);
        if self.timer.poll_until(cx, check_at).is_ready() {
            if Arc::strong_count(&self.running) == 1 {
                connection.abrupt_shutdown(Reason::NO_ERROR);
            }
            let again = Instant::now() + GOAWAY_TIMEOUT;
            self.next_check = Some(again);
            // Only arms the timer; it cannot have passed yet.
            let _ = self.timer.poll_until(cx, again);
        }
    }
}

/// What a stream holds until its end.
struct Held {
    /// The first window, which it shares with the other uploads.
    _upload: Option<Arc<Charge>>,
    /// Counts it among the connection's streams.
    _running: Arc<()>,
}

type Accepted = Option<Result<(Request<RecvStream>, SendResponse<Piece>), h2::Error>>;

/// What a request is answered with that no handler sees.
fn own_reply<H>(head: &RequestHead, shared: &ServerState<H>) -> Option<Reply> {
    if target::is_asterisk(&head.target) {
        return Some(Reply::empty(StatusCode::OK));
    }
    extended_connect::is_unsupported(head).then(|| {
        Rejection::Unsupported.count();
        let reply = Reply::error(StatusCode::NOT_IMPLEMENTED, "unsupported :protocol");
        shared.settings.cause_header.mark(reply, Cause::MalformedRequest)
    })
}

/// The request as a handler sees it. `None` when it is malformed (RFC 9113, section 8.1.1): what is
/// a 400 in HTTP/1 is a stream error here.
fn head(parts: http::request::Parts, length: BodyLength, listener: Scheme) -> Option<RequestHead> {
    let mut headers = parts.headers;
    if has_outer_blanks(&headers) {
        return None;
    }
    let asked = match parts.extensions.get() {
        Some(protocol) => Some(Asked::read(protocol)?),
        None => None,
    };
    let method = extended_connect::method(asked.as_ref(), parts.method);
    let host = take_host(&parts.uri, &mut headers)?;
    let target = match method {
        Method::CONNECT => Bytes::copy_from_slice(host.as_bytes()),
        _ => Bytes::copy_from_slice(parts.uri.path_and_query()?.as_str().as_bytes()),
    };
    // The host is in `:authority`: a form that names one is malformed in `:path`.
    let target = target::read(target, &method)
        .filter(|target| target.authority.is_none() || method == Method::CONNECT)?;
    // What follows the head is no body then.
    let length = if asked.is_some() { BodyLength::Empty } else { length };
    let upgrade = match asked {
        Some(asked) => Some(asked.into_upgrade(&mut headers)?),
        None => None,
    };
    let body = match (length, take_length(&mut headers).ok()?) {
        (BodyLength::Empty, Some(1..)) => return None,
        (BodyLength::Empty, Some(0)) => BodyLength::Known(0),
        (BodyLength::Unknown, Some(length)) => BodyLength::Known(length),
        (length, _) => length,
    };
    join_cookies(&mut headers);
    let te_trailers = headers.remove(TE).is_some_and(|value| lists(value.as_bytes(), "trailers"));
    let expect_continue = headers
        .remove(EXPECT)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    let trailer = headers.remove(TRAILER);
    trailers::drop_hop_by_hop(&mut headers);
    Some(RequestHead {
        method,
        target: target.for_app,
        version: http::Version::HTTP_2,
        host: Some(host),
        scheme: listener,
        headers,
        upgrade,
        body,
        te_trailers,
        expect_continue,
        trailer,
    })
}

/// The one host that `:authority` and `Host` name. `None` when there is none, when there are two,
/// or when it is malformed (RFC 9113, section 8.3.1).
fn take_host(uri: &Uri, headers: &mut HeaderMap) -> Option<HeaderValue> {
    let default_port = if uri.scheme_str() == Some("https") { 443 } else { 80 };
    let authority = match uri.authority() {
        Some(authority) => Some(HeaderValue::from_str(authority.as_str()).ok()?),
        None => None,
    };
    let mut fields = headers.get_all(HOST).iter();
    let (field, second) = (fields.next().cloned(), fields.next());
    let is_valid = |value: &HeaderValue| host::is_valid(value.as_bytes());
    if second.is_some() || ![&authority, &field].into_iter().flatten().all(is_valid) {
        return None;
    }
    if field.is_some() {
        headers.remove(HOST);
    }
    match (authority, field) {
        (Some(one), Some(other))
            if !host::are_same(one.as_bytes(), other.as_bytes(), default_port) =>
        {
            None
        }
        (authority, field) => authority.or(field),
    }
}

/// HTTP/2 clients may send one cookie a field, to compress them better. Apps expect one field
/// (RFC 9113, section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut pairs = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes);
    let (Some(first), Some(second)) = (pairs.next(), pairs.next()) else { return };
    let mut joined = [first, b"; ", second].concat();
    for pair in pairs {
        joined.extend_from_slice(b"; ");
        joined.extend_from_slice(pair);
    }
    if let Ok(joined) = HeaderValue::from_maybe_shared(Bytes::from(joined)) {
        headers.insert(COOKIE, joined);
    }
}
