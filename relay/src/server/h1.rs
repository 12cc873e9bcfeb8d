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
use super::{Handler, Shared};
use crate::buffers;
use crate::drain::{DrainToken, Phase};
use crate::exchange::Exchange;
use crate::exchange::client::{Client, H1Client, Presence};
use crate::exchange::reply::LEFTOVER_MAX;
use crate::h1::Connection;
use crate::h1::connection::HeadError;
use crate::h1::reason;
use crate::h1::request::{self, ParsedRequest, Refusal, RefusalShape};
use crate::head::Reply;
use crate::io::Io;
use crate::memory::{self, Charge, OverBudget};
use crate::metrics::Rejection;
use crate::timer::LazyTimer;

/// What an HTTP/2 client opens with.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How long a connection that is closed early still listens, so that the client reads its
/// answer before it learns that nobody reads the rest of its request.
const LINGER: Duration = Duration::from_millis(500);

/// What a client is told that came when memory was short: others end all the time.
const RETRY_AFTER: &str = "Retry-After: 1\r\n";

/// A connection that goes on in HTTP/2.
pub(crate) struct Handover {
    pub(crate) io: Box<dyn Io>,
    /// What has been read from it and belongs to HTTP/2.
    pub(crate) front: BytesMut,
    /// What `front` holds beyond an ordinary buffer.
    pub(crate) charge: Charge,
    pub(crate) membership: DrainToken,
    /// When the first head has to be complete.
    pub(crate) head_by: Instant,
}

/// Serves the connection until it closes, or gives it back when the client speaks HTTP/2.
pub(crate) async fn serve<H: Handler>(
    shared: &Shared<H>,
    connection: Connection,
    peer: Option<SocketAddr>,
) -> Option<Handover> {
    let mut client = Box::new(H1Client {
        connection,
        membership: shared.drain.enter(),
        version: http::Version::HTTP_11,
        persistent: true,
        head_only: false,
        responded: false,
        presence: Presence::default(),
    });
    let mut alarm = LazyTimer::default();
    let first_head_by = Instant::now() + shared.settings.head_timeout;
    let mut head_by = Some(first_head_by);
    loop {
        let next = poll_fn(|cx| poll_next(cx, shared, &mut client, &mut alarm, &mut head_by)).await;
        let (parsed, charge) = match next {
            Next::Request(parsed, charge) => (parsed, charge),
            Next::Http2 => {
                let H1Client { connection, membership, .. } = *client;
                let (io, front) = connection.into_parts();
                let (charge, head_by) = (Charge::default(), first_head_by);
                return Some(Handover { io, front, charge, membership, head_by });
            }
            Next::Refused(refusal) => {
                if let Some(rejection) = Rejection::of_status(refusal.status) {
                    rejection.count();
                }
                Box::pin(refuse(&mut client, refusal)).await;
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
                    let H1Client { connection, membership, .. } = *client;
                    let (io, _) = connection.into_parts();
                    let head_by = Instant::now() + shared.settings.head_timeout;
                    return Some(Handover { io, front, charge, membership, head_by });
                }
            }
        }
        let platform = shared.settings.platform_fields;
        let client_side = Client::H1(client);
        let mut exchange = Exchange::new(parsed.head, peer, client_side, alarm, charge, platform);
        if expectation {
            Rejection::Unsupported.count();
            let reply = Reply::empty(StatusCode::EXPECTATION_FAILED);
            exchange.forbid_reuse();
            let _ = Box::pin(exchange.respond(reply)).await;
        } else if parsed.asterisk {
            let _ = Box::pin(exchange.respond(Reply::empty(StatusCode::OK))).await;
        } else {
            shared.handler.handle(&mut exchange).await;
        }
        (client, alarm) = finish(exchange).await?;
    }
}

#[expect(clippy::large_enum_variant, reason = "moving a head costs less than allocating for it")]
enum Next {
    Request(ParsedRequest, Charge),
    Http2,
    Refused(Refusal),
    Closed,
}

/// Waits for a request head. An idle connection waits for as long as it likes, unless the
/// server is closing; a head that has begun has to be finished in time.
fn poll_next<H>(
    cx: &mut Context<'_>,
    shared: &Shared<H>,
    client: &mut H1Client,
    alarm: &mut LazyTimer,
    head_by: &mut Option<Instant>,
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
                return Poll::Ready(Next::Refused(Refusal::new(status, "")));
            }
            Poll::Ready(Err(HeadError::OverBudget)) => return Poll::Ready(over_budget()),
            Poll::Pending => break,
        }
    }
    let idle = connection.input().is_empty();
    if idle {
        connection.release_buffers();
        if client.membership.poll_phase(cx) == Phase::Closing {
            return Poll::Ready(Next::Closed);
        }
    } else if head_by.is_none() {
        *head_by = Some(Instant::now() + settings.head_timeout);
    }
    if let Some(by) = *head_by
        && alarm.poll_until(cx, by).is_ready()
    {
        // A client that never said anything was only a connection.
        if !idle {
            Rejection::HeadTimeout.count();
        }
        return Poll::Ready(Next::Closed);
    }
    Poll::Pending
}

/// Charges a head of so many bytes, or refuses the request.
fn admit(parsed: ParsedRequest, block_bytes: usize) -> Next {
    let mut charge = Charge::default();
    match charge.admit_head(memory::head_bytes(parsed.head.headers.len(), block_bytes)) {
        Ok(()) => Next::Request(parsed, charge),
        Err(OverBudget) => over_budget(),
    }
}

/// There is no memory for another request now; there may be soon.
fn over_budget() -> Next {
    memory::count_refusal();
    Next::Refused(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "memory budget is used up"))
}

/// Whether the input may still become an HTTP/2 preface. Nothing at all may.
fn is_preface(input: &[u8]) -> bool {
    let seen = input.len().min(PREFACE.len());
    input[..seen] == PREFACE[..seen]
}

/// Answers a request that never became one, in Go's words, and closes.
async fn refuse(client: &mut H1Client, refusal: Refusal) {
    let status = refusal.status;
    let phrase = reason::known(status).unwrap_or_default();
    let line = match (refusal.shape, refusal.detail) {
        (_, "") | (RefusalShape::BodyOnly, _) => format!("{} {phrase}", status.as_u16()),
        (_, detail) => format!("{} {phrase}: {detail}", status.as_u16()),
    };
    let body = match refusal.shape {
        RefusalShape::Detailed => &line[..],
        RefusalShape::BodyOnly => refusal.detail,
    };
    let retry = match status {
        StatusCode::SERVICE_UNAVAILABLE => RETRY_AFTER,
        _ => "",
    };
    client
        .write_head(|output| {
            write!(
                output,
                "HTTP/1.1 {line}\r\nContent-Type: text/plain; charset=utf-8\r\n{retry}\
                 Connection: close\r\n\r\n{body}"
            )
        })
        .expect("writing into memory does not fail");
    client.drop_body();
    linger(&mut client.connection).await;
}

/// Ends an exchange: answers what the handler left unanswered, and decides whether the
/// connection can carry another request.
async fn finish(mut exchange: Exchange) -> Option<(Box<H1Client>, LazyTimer)> {
    if !exchange.has_responded() && !exchange.is_abandoned() {
        let reply = Reply::empty(StatusCode::INTERNAL_SERVER_ERROR);
        let _ = Box::pin(exchange.respond(reply)).await;
    }
    let (client, alarm, complete) = exchange.into_client();
    let Client::H1(mut client) = client else { return None };
    if !complete {
        // Whatever has been gathered still goes out, as far as it goes without waiting.
        poll_fn(|cx| {
            let _ = client.connection.poll_flush(cx);
            Poll::Ready(())
        })
        .await;
        return None;
    }
    if !client.persistent
        || !(has_whole_request(&client) || Box::pin(swallow_body(&mut client)).await)
    {
        Box::pin(linger(&mut client.connection)).await;
        return None;
    }
    client.connection.trailers = None;
    Some((client, alarm))
}

fn has_whole_request(client: &H1Client) -> bool {
    client.connection.decoder.is_done()
}

/// Reads what is left of a request body, within bounds. False when too much is left.
async fn swallow_body(client: &mut H1Client) -> bool {
    let mut left = LEFTOVER_MAX;
    let swallowed = async {
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
    tokio::time::timeout(LINGER, swallowed).await.unwrap_or(false)
}

/// Closes in order: our direction first, then theirs, so that an answer the client has not read
/// yet is not destroyed by a reset.
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
    // Either the client is done by then or it is not worth waiting for.
    let _ = tokio::time::timeout(LINGER, closing).await;
}
