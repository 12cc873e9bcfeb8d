//! One HTTP/2 connection: streams, each an exchange of its own.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use h2::server::{Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::header::{
    CONTENT_LENGTH, COOKIE, EXPECT, HOST, HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE,
    TRAILER,
};
use http::{HeaderMap, Method, Request, StatusCode};
use tokio::time::Instant;

use super::h1::Handover;
use super::rewind::Rewind;
use super::{Handler, Shared};
use crate::drain::Phase;
use crate::exchange::Exchange;
use crate::exchange::client::{Client, H2Client};
use crate::h1::fields::lists;
use crate::head::{BodyLength, Reply, RequestHead, Scheme};
use crate::timer::Alarm;

/// What a client may have in flight towards us, per stream and per connection.
const WINDOW: u32 = 1 << 20;
/// The largest frame we accept.
const FRAME_MAX: u32 = 1 << 20;
/// The largest field block we accept, by HTTP/2's way of counting.
const HEADER_LIST_MAX: u32 = 1_048_896;
/// Bytes gathered for a client that reads slowly, per stream.
const SEND_BUFFER_MAX: usize = 64 * 1024;
/// Streams a client may open and reset faster than we look, before it is shown the door
/// (the rapid reset attack).
const RESETS_MAX: usize = 50;
/// How long the preface's SETTINGS may take.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(10);

/// How long a client whose requests are all answered may take to hang up once the server closes.
const GOODBYE_PATIENCE: Duration = Duration::from_secs(1);

/// Serves the connection until it closes.
pub(crate) async fn serve<H: Handler>(
    shared: &Arc<Shared<H>>,
    handover: Handover,
    peer: Option<SocketAddr>,
) {
    let mut membership = handover.membership;
    let io = Rewind::new(handover.io, handover.front);
    let handshake = h2::server::Builder::new()
        .max_concurrent_streams(shared.settings.streams_max)
        .initial_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_frame_size(FRAME_MAX)
        .max_header_list_size(HEADER_LIST_MAX)
        .max_pending_accept_reset_streams(RESETS_MAX)
        .max_send_buffer_size(SEND_BUFFER_MAX)
        .handshake::<_, Bytes>(io);
    let Ok(Ok(mut connection)) = tokio::time::timeout(HANDSHAKE_PATIENCE, handshake).await else {
        return;
    };
    let mut goodbye = Goodbye::default();
    loop {
        let accepted = poll_fn(|cx| {
            goodbye.say(cx, membership.poll_phase(cx), &mut connection);
            poll_accept(&mut connection, cx)
        })
        .await;
        match accepted {
            Some(Ok((request, respond))) => {
                goodbye.used = true;
                let running = goodbye.running.clone();
                let exchange = exchange(shared.clone(), request, respond, peer);
                tokio::spawn(async move {
                    exchange.await;
                    drop(running);
                });
            }
            Some(Err(error)) => {
                tracing::debug!(%error, "connection ended");
                return;
            }
            None => return,
        }
    }
}

/// Taking leave of a client.
#[derive(Default)]
struct Goodbye {
    /// The client has had a request accepted. One that connects during a drain gets that much
    /// before it is sent away, or it would never be served anywhere.
    used: bool,
    /// GOAWAY has been sent.
    said: bool,
    /// Each exchange in flight holds a clone.
    running: Arc<()>,
    alarm: Alarm,
    next_look: Option<Instant>,
}

impl Goodbye {
    fn say(
        &mut self,
        cx: &mut std::task::Context<'_>,
        phase: Phase,
        connection: &mut Connection<Rewind, Bytes>,
    ) {
        let due = phase == Phase::Closing || phase == Phase::Draining && self.used;
        if due && !self.said {
            self.said = true;
            connection.graceful_shutdown();
        }
        if phase != Phase::Closing {
            return;
        }
        // The library closes once the client has answered a ping; not all of them do.
        let look = *self.next_look.get_or_insert_with(|| Instant::now() + GOODBYE_PATIENCE);
        if self.alarm.poll_until(cx, look).is_ready() {
            if Arc::strong_count(&self.running) == 1 {
                connection.abrupt_shutdown(Reason::NO_ERROR);
            }
            let again = Instant::now() + GOODBYE_PATIENCE;
            self.next_look = Some(again);
            // Armed for the next look; it cannot have passed yet.
            let _ = self.alarm.poll_until(cx, again);
        }
    }
}

type Accepted = Option<Result<(Request<RecvStream>, SendResponse<Bytes>), h2::Error>>;

fn poll_accept(
    connection: &mut Connection<Rewind, Bytes>,
    cx: &mut std::task::Context<'_>,
) -> Poll<Accepted> {
    connection.poll_accept(cx)
}

async fn exchange<H: Handler>(
    shared: Arc<Shared<H>>,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    peer: Option<SocketAddr>,
) {
    let (parts, body) = request.into_parts();
    let length = match body.is_end_stream() {
        true => BodyLength::Empty,
        false => BodyLength::Unknown,
    };
    let Some(head) = head(parts, length, shared.settings.scheme) else {
        respond.send_reset(Reason::PROTOCOL_ERROR);
        return;
    };
    let head_only = head.method == Method::HEAD;
    let client = H2Client::new(crate::h2io::Incoming::new(body), respond, head_only);
    let mut exchange = Exchange::new(head, peer, Client::H2(Box::new(client)), Alarm::default());
    shared.handler.handle(&mut exchange).await;
    if !exchange.has_responded() && !exchange.is_abandoned() {
        let _ = exchange.respond(Reply::empty(StatusCode::INTERNAL_SERVER_ERROR)).await;
    }
}

/// The request as a handler sees it. Nothing when it is malformed.
fn head(parts: http::request::Parts, length: BodyLength, listener: Scheme) -> Option<RequestHead> {
    let mut headers = parts.headers;
    let authority = parts.uri.authority().map(|authority| authority.as_str());
    let named = headers.remove(HOST);
    let host = match authority {
        Some(authority) => Some(HeaderValue::from_str(authority).ok()?),
        None => named,
    };
    let target = match (&parts.method, parts.uri.path_and_query(), authority) {
        (&Method::CONNECT, _, Some(authority)) => Bytes::copy_from_slice(authority.as_bytes()),
        (_, Some(path), _) => Bytes::copy_from_slice(path.as_str().as_bytes()),
        (_, None, _) => Bytes::from_static(b"/"),
    };
    let declared = headers.remove(CONTENT_LENGTH);
    let body = match (length, declared) {
        (BodyLength::Unknown, Some(value)) => BodyLength::Known(value.to_str().ok()?.parse().ok()?),
        (BodyLength::Empty, Some(_)) => BodyLength::Known(0),
        (length, _) => length,
    };
    join_cookies(&mut headers);
    headers.remove(PROXY_AUTHENTICATE);
    headers.remove(PROXY_AUTHORIZATION);
    let te_trailers = headers.remove(TE).is_some_and(|value| lists(value.as_bytes(), "trailers"));
    let expect_continue = headers
        .remove(EXPECT)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    let trailer = headers.remove(TRAILER);
    Some(RequestHead {
        method: parts.method,
        target,
        version: http::Version::HTTP_2,
        host,
        scheme: listener,
        headers,
        upgrade: None,
        body,
        te_trailers,
        expect_continue,
        trailer,
    })
}

/// HTTP/2 clients may send one cookie a field, to compress them better. Apps expect one field
/// (RFC 9113, section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut crumbs = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes);
    let (Some(first), Some(second)) = (crumbs.next(), crumbs.next()) else { return };
    let mut joined = [first, b"; ", second].concat();
    for crumb in crumbs {
        joined.extend_from_slice(b"; ");
        joined.extend_from_slice(crumb);
    }
    if let Ok(joined) = HeaderValue::from_maybe_shared(Bytes::from(joined)) {
        headers.insert(COOKIE, joined);
    }
}
