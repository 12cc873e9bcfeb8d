//! One HTTP/1 connection: a request, its exchange, the next.

use std::future::poll_fn;
use std::io::Write as _;
use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use http::StatusCode;
use tokio::time::Instant;

use super::upgrade::{self, Upgrade};
use super::{Handler, ServerState};
use crate::buffers;
use crate::cause::{CAUSE_HEADER, Cause, CauseHeader};
use crate::drain::{DrainToken, Phase};
use crate::exchange::Exchange;
use crate::exchange::client::{Client, H1Client, Presence};
use crate::exchange::reply::LEFTOVER_MAX;
use crate::h1::Connection;
use crate::h1::connection::HeadError;
use crate::h1::reason;
use crate::h1::request::{self, HeadRefusal, ParsedRequest, RefusalShape};
use crate::h2gate::frame::PREFACE;
use crate::head::Reply;
use crate::io::Io;
use crate::memory::{self, Charge, OverBudget};
use crate::metrics::Rejection;
use crate::timer::LazyTimer;

/// How long a connection that is closed early is still read, so that the client reads its response
/// before it gets a reset for the rest of its request.
const LINGER: Duration = Duration::from_millis(500);

/// How long a connection that was made just before the server closed has for its first request,
/// which may be on its way: without it whoever sent it would find an end instead of a response.
const FIRST_REQUEST_GRACE: Duration = Duration::from_millis(200);

/// `Retry-After` in seconds when memory is short, which it is only while other requests are in
/// flight.
const RETRY_AFTER: &str = "Retry-After: 1\r\n";

/// A connection that switches to HTTP/2.
pub(crate) struct Handover {
    pub(crate) io: Box<dyn Io>,
    /// Bytes that were read from it and belong to HTTP/2.
    pub(crate) front: BytesMut,
    /// The charge for `front` beyond an ordinary buffer.
    pub(crate) charge: Charge,
    pub(crate) drain_token: DrainToken,
    /// When the first head has to be complete.
    pub(crate) head_by: Instant,
}

/// Serves the connection until it closes, or gives it back when the client uses HTTP/2.
pub(crate) async fn serve<H: Handler>(
    shared: &ServerState<H>,
    connection: Connection,
    peer: Option<SocketAddr>,
) -> Option<Handover> {
    let mut client = Box::new(H1Client {
        connection,
        drain_token: shared.drain.enter(),
        version: http::Version::HTTP_11,
        persistent: true,
        head_only: false,
        responded: false,
        presence: Presence::default(),
    });
    let mut timer = LazyTimer::default();
    let first_head_by = Instant::now() + shared.settings.head_timeout;
    let mut head_by = Some(first_head_by);
    let fresh_until = Instant::now() + FIRST_REQUEST_GRACE;
    loop {
        let by = (&mut head_by, fresh_until);
        let (parsed, charge) = match next(shared, &mut client, &mut timer, by).await {
            Next::Request(parsed, charge) => (parsed, charge),
            Next::Http2 => {
                let H1Client { connection, drain_token, .. } = *client;
                let (io, front) = connection.into_parts();
                let (charge, head_by) = (Charge::default(), first_head_by);
                return Some(Handover { io, front, charge, drain_token, head_by });
            }
            Next::Refused(refusal) => {
                if let Some(rejection) = Rejection::of_status(refusal.status) {
                    rejection.count();
                }
                Box::pin(refuse(&mut client, refusal, shared.settings.cause_header)).await;
                return None;
            }
            Next::Closed => return None,
        };
        head_by = None;
        client.connection.decoder = parsed.decoder;
        client.version = parsed.head.version;
        client.persistent = parsed.persistent;
        client.responded = false;
        client.head_only = parsed.head.method == http::Method::HEAD;
        let expectation = parsed.unknown_expectation;
        if let Some(settings) = &parsed.http2_settings {
            match Box::pin(upgrade::accept(&mut client, &parsed.head, settings)).await {
                Upgrade::Declined => {}
                Upgrade::Broken => return None,
                Upgrade::Switched { front, charge } => {
                    let H1Client { connection, drain_token, .. } = *client;
                    let (io, _) = connection.into_parts();
                    let head_by = Instant::now() + shared.settings.head_timeout;
                    return Some(Handover { io, front, charge, drain_token, head_by });
                }
            }
        }
        let platform = shared.settings.platform_fields;
        let side = Client::H1(client);
        let mut exchange = Exchange::new(parsed.head, peer, side, timer, charge, platform);
        if expectation {
            Rejection::Unsupported.count();
            let reply = Reply::empty(StatusCode::EXPECTATION_FAILED);
            let reply = shared.settings.cause_header.mark(reply, Cause::MalformedRequest);
            exchange.forbid_reuse();
            let _ = Box::pin(exchange.respond(reply)).await;
        } else if parsed.asterisk {
            let _ = Box::pin(exchange.respond(Reply::empty(StatusCode::OK))).await;
        } else {
            shared.handler.handle(&mut exchange).await;
        }
        (client, timer) = finish(exchange).await?;
    }
}

#[expect(clippy::large_enum_variant, reason = "moving a head costs less than allocating for it")]
enum Next {
    Request(ParsedRequest, Charge),
    Http2,
    Refused(HeadRefusal),
    Closed,
}

/// Resolves with [`poll_next`].
async fn next<H>(
    shared: &ServerState<H>,
    client: &mut H1Client,
    timer: &mut LazyTimer,
    (head_by, fresh_until): (&mut Option<Instant>, Instant),
) -> Next {
    poll_fn(|cx| poll_next(cx, shared, client, timer, (head_by, fresh_until))).await
}

/// Waits for a request head. An idle connection may wait for ever, unless the server is closing; a
/// head that has begun has to be finished in time.
fn poll_next<H>(
    cx: &mut Context<'_>,
    shared: &ServerState<H>,
    client: &mut H1Client,
    timer: &mut LazyTimer,
    (head_by, fresh_until): (&mut Option<Instant>, Instant),
) -> Poll<Next> {
    let settings = &shared.settings;
    let connection = &mut client.connection;
    loop {
        if is_preface(connection.input()) {
            if connection.input().len() >= PREFACE.len() {
                return Poll::Ready(Next::Http2);
            }
            match connection.poll_fill(cx) {
                Poll::Ready(Ok(1..)) => continue,
                Poll::Ready(_) => return Poll::Ready(Next::Closed),
                Poll::Pending => break,
            }
        }
        match connection.poll_head(cx, settings.head_bytes_max) {
            Poll::Ready(Ok(Some(block))) => {
                let parsed = request::parse(&block, settings.scheme, buffers::take_map());
                return Poll::Ready(match parsed {
                    Ok(parsed) => admit(parsed, block.len()),
                    Err(refusal) => Next::Refused(refusal),
                });
            }
            Poll::Ready(Ok(None)) | Poll::Ready(Err(HeadError::Io(_))) => {
                return Poll::Ready(Next::Closed);
            }
            Poll::Ready(Err(HeadError::Truncated(_))) => return Poll::Ready(Next::Closed),
            Poll::Ready(Err(HeadError::TooLarge)) => {
                let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
                return Poll::Ready(Next::Refused(HeadRefusal::new(status, "")));
            }
            Poll::Ready(Err(HeadError::OverBudget)) => return Poll::Ready(over_budget()),
            Poll::Pending => break,
        }
    }
    let idle = connection.input().is_empty();
    if idle {
        connection.release_buffers();
        if client.drain_token.poll_phase(cx) == Phase::Closing {
            // Only one that has carried no request has a time for its first.
            match head_by {
                Some(by) if Instant::now() < fresh_until => *by = fresh_until.min(*by),
                _ => return Poll::Ready(Next::Closed),
            }
        }
    } else if head_by.is_none() {
        *head_by = Some(Instant::now() + settings.head_timeout);
    }
    if let Some(by) = *head_by
        && timer.poll_until(cx, by).is_ready()
    {
        // A client that has sent nothing gets no response.
        if !idle {
            Rejection::HeadTimeout.count();
        }
        return Poll::Ready(Next::Closed);
    }
    Poll::Pending
}

/// Charges a head of `block_bytes`, or refuses the request.
fn admit(parsed: ParsedRequest, block_bytes: usize) -> Next {
    let mut charge = Charge::default();
    match charge.admit_head(memory::head_bytes(parsed.head.headers.len(), block_bytes)) {
        Ok(()) => Next::Request(parsed, charge),
        Err(OverBudget) => over_budget(),
    }
}

/// The refusal for lack of memory, which may be free again soon.
fn over_budget() -> Next {
    memory::count_refusal();
    Next::Refused(HeadRefusal::new(StatusCode::SERVICE_UNAVAILABLE, "memory budget is used up"))
}

/// Whether the input may still become an HTTP/2 preface. Empty input may.
fn is_preface(input: &[u8]) -> bool {
    let seen = input.len().min(PREFACE.len());
    input[..seen] == PREFACE[..seen]
}

/// Refuses a malformed request, with Go's texts, and closes.
async fn refuse(client: &mut H1Client, refusal: HeadRefusal, header: CauseHeader) {
    let status = refusal.status;
    let phrase = reason::phrase(status).unwrap_or_default();
    let line = match (refusal.shape, refusal.detail) {
        (_, "") | (RefusalShape::BodyOnly, _) => format!("{} {phrase}", status.as_u16()),
        (_, detail) => format!("{} {phrase}: {detail}", status.as_u16()),
    };
    let body = match refusal.shape {
        RefusalShape::Detailed => &line[..],
        RefusalShape::BodyOnly => refusal.detail,
    };
    let (retry, cause) = match status {
        StatusCode::SERVICE_UNAVAILABLE => (RETRY_AFTER, Cause::OverBudget),
        _ => ("", Cause::MalformedRequest),
    };
    tracing::debug!(cause = cause.label(), status = status.as_u16(), "a request head was refused");
    let told = match header {
        CauseHeader::Hidden => String::new(),
        CauseHeader::Shown => format!("{CAUSE_HEADER}: {}\r\n", cause.label()),
    };
    client
        .write_head(|output| {
            write!(
                output,
                "HTTP/1.1 {line}\r\nContent-Type: text/plain; charset=utf-8\r\n{retry}{told}\
                 Connection: close\r\n\r\n{body}"
            )
        })
        .expect("writing into memory does not fail");
    client.drop_body();
    linger(&mut client.connection).await;
}

/// Ends an exchange: responds with 500 if the handler did not, and decides whether the connection
/// can carry another request.
async fn finish(mut exchange: Exchange) -> Option<(Box<H1Client>, LazyTimer)> {
    if !exchange.has_responded() && !exchange.is_abandoned() {
        let reply = Reply::empty(StatusCode::INTERNAL_SERVER_ERROR);
        let _ = Box::pin(exchange.respond(reply)).await;
    }
    let (client, timer, complete) = exchange.into_client();
    let Client::H1(mut client) = client else { return None };
    if !complete {
        // What is in the write buffer is still sent, as far as that takes no waiting.
        poll_fn(|cx| {
            let _ = client.connection.poll_flush(cx);
            Poll::Ready(())
        })
        .await;
        return None;
    }
    if !client.persistent
        || !(has_whole_request(&client) || Box::pin(discard_body(&mut client)).await)
    {
        Box::pin(linger(&mut client.connection)).await;
        return None;
    }
    client.connection.trailers = None;
    Some((client, timer))
}

fn has_whole_request(client: &H1Client) -> bool {
    client.connection.decoder.is_done()
}

/// Reads and discards the rest of a request body, within bounds. False when too much is left.
async fn discard_body(client: &mut H1Client) -> bool {
    let mut left = LEFTOVER_MAX;
    let discarded = async {
        loop {
            match poll_fn(|cx| client.connection.poll_data(cx)).await {
                Ok(true) => {
                    let count = client.connection.data().len();
                    client.connection.consume(count);
                    match left.checked_sub(count as u64) {
                        Some(rest) => left = rest,
                        None => return false,
                    }
                }
                Ok(false) => return true,
                Err(_) => return false,
            }
        }
    };
    tokio::time::timeout(LINGER, discarded).await.unwrap_or(false)
}

/// Closes the sending direction first, then waits for the client's, so that a reset does not
/// destroy a response that the client has not read yet.
async fn linger(connection: &mut Connection) {
    let closing = async {
        if poll_fn(|cx| connection.poll_shutdown(cx)).await.is_err() {
            return;
        }
        loop {
            connection.discard_input();
            match poll_fn(|cx| connection.poll_fill(cx)).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => return,
            }
        }
    };
    // A client that has not closed by then loses the rest.
    let _ = tokio::time::timeout(LINGER, closing).await;
}
