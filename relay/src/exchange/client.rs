//! The client's side of an exchange, over HTTP/1 or HTTP/2.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use h2::server::SendResponse;
use http::header::{CONTENT_LENGTH, DATE, HeaderValue, SEC_WEBSOCKET_ACCEPT, TRAILER};
use http::{HeaderMap, Method, Response, StatusCode, Version};
use tokio::time::{Instant, Sleep, sleep};

use crate::buffers;
use crate::date;
use crate::drain::{DrainToken, Phase, PhaseWatch};
use crate::error::ForwardError;
use crate::h1::connection::BodyError;
use crate::h1::encoder::{self, Persistence, Recipient};
use crate::h1::{self, decoder::Decoder};
use crate::h2gate::{StreamEntry, Watch};
use crate::h2io::{Ended, Incoming, Outgoing, Piece};
use crate::head::{BodyLength, READ_AHEAD_MAX, ResponseHead};
use crate::io::Breakage;
use crate::memory::{self, Account, Charge, OverBudget};

pub(crate) enum Client {
    H1(Box<H1Client>),
    H2(Box<H2Client>),
}

/// An HTTP/1 connection with one request on it.
pub(crate) struct H1Client {
    pub(crate) connection: h1::Connection,
    pub(crate) drain_token: DrainToken,
    pub(crate) version: Version,
    /// Another request may follow.
    pub(crate) persistent: bool,
    /// The request is a `HEAD`.
    pub(crate) head_only: bool,
    /// The head of its response is in the write buffer.
    pub(crate) responded: bool,
    /// Whether the client may have gone, once it has ended its own direction.
    pub(crate) presence: Presence,
}

/// Whether the client is still connected. A client that has ended its direction of the connection
/// may still wait for the response, or may have closed the connection altogether: both look the
/// same until something is written. So the beginning of the response, which is the same for all
/// responses, is sent ahead, byte by byte. A half-closed client waits for the rest; a closed one
/// replies with a reset.
#[derive(Default)]
pub(crate) enum Presence {
    /// The client's direction is open.
    #[default]
    Open,
    /// It has ended; a reset is awaited.
    HalfClosed(HalfClosed),
}

pub(crate) struct HalfClosed {
    breakage: Breakage,
    /// How many bytes of the response's head were sent before the head was known.
    sent_ahead: usize,
    /// When the next one is sent, while there is one to send.
    next: Option<Pin<Box<Sleep>>>,
    pause: Duration,
}

/// The time between the first two bytes that are sent ahead. Each pause is twice the last, so that
/// nine bytes last for four minutes, and a departure is detected within twice the time that the
/// client has been half-closed.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The beginning of every status line of a version.
fn status_line_prefix(version: Version) -> &'static [u8] {
    match version {
        Version::HTTP_10 => b"HTTP/1.0 ",
        _ => b"HTTP/1.1 ",
    }
}

impl HalfClosed {
    /// The byte that is to be sent ahead now, if any.
    fn due(&mut self, cx: &mut Context<'_>, version: Version) -> Option<u8> {
        let next = self.next.as_mut()?;
        let Poll::Ready(()) = next.as_mut().poll(cx) else { return None };
        let byte = status_line_prefix(version).get(self.sent_ahead).copied();
        match byte {
            Some(_) => {
                next.as_mut().reset(Instant::now() + self.pause);
                self.pause *= 2;
                self.sent_ahead += 1;
            }
            None => self.next = None,
        }
        byte
    }
}

/// One HTTP/2 stream.
pub(crate) struct H2Client {
    pub(super) body: Incoming,
    respond: SendResponse<Piece>,
    pub(super) sending: Option<Outgoing>,
    head_only: bool,
    incoming: IncomingUse,
    /// Follows the server's shutdown, of which a tunnel's peers are told in their own protocol;
    /// streams of requests are ended by their connection.
    drain: Option<PhaseWatch>,
    /// The charge for the heads of its response until they are written.
    heads: Charge,
    /// The charge for the stream until the last of its response is written.
    stream: Arc<Charge>,
    account: Account,
    _entry: StreamEntry,
}

/// What the data of a client's stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum IncomingUse {
    /// The request's body.
    Body,
    /// The bytes of a tunnel that may be opened: the request has no body, and nothing is read
    /// before the app has agreed.
    Withheld,
    /// The bytes of a tunnel.
    Tunnel,
}

impl H2Client {
    pub(crate) fn new(
        body: Incoming,
        respond: SendResponse<Piece>,
        method: &Method,
        stream: Charge,
        watch: &Watch,
    ) -> H2Client {
        let account = watch.account().clone();
        H2Client {
            _entry: watch.open(respond.stream_id().as_u32()),
            body,
            respond,
            sending: None,
            head_only: *method == Method::HEAD,
            incoming: IncomingUse::Body,
            drain: None,
            heads: Charge::on(&account),
            stream: Arc::new(stream),
            account,
        }
    }

    /// Its request asks for a tunnel, which follows the shutdown of the server.
    pub(crate) fn may_become_tunnel(&mut self, drain: PhaseWatch) {
        self.drain = Some(drain);
    }
}

impl Client {
    /// The request is about to be sent over HTTP/1, where a request for a tunnel has no body.
    pub(crate) fn withhold_tunnel(&mut self) {
        if let Client::H2(client) = self
            && client.drain.is_some()
        {
            client.incoming = IncomingUse::Withheld;
        }
    }

    /// The phase of the server's shutdown; the task of `cx` is woken when it changes.
    pub(crate) fn poll_phase(&mut self, cx: &Context<'_>) -> Phase {
        match self {
            Client::H1(client) => client.drain_token.poll_phase(cx),
            Client::H2(client) => {
                client.drain.as_mut().map_or(Phase::Serving, |drain| drain.poll_phase(cx))
            }
        }
    }

    /// Sends the head that opens a tunnel.
    pub(crate) fn send_tunnel_head(&mut self, head: ResponseHead) -> Result<(), ForwardError> {
        match self {
            Client::H1(client) => {
                client.send_tunnel_head(&head);
                Ok(())
            }
            Client::H2(client) => client.send_tunnel_head(head),
        }
    }

    /// Ready with true when [`Client::data`] has something, with false at the end of the body.
    pub(crate) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, ForwardError>> {
        match self {
            Client::H1(client) => client.connection.poll_data(cx).map_err(body_error),
            Client::H2(client) if client.incoming == IncomingUse::Withheld => {
                Poll::Ready(Ok(false))
            }
            Client::H2(client) => client.body.poll_data(cx).map_err(|_| ForwardError::ClientGone),
        }
    }

    pub(crate) fn data(&mut self) -> &[u8] {
        match self {
            Client::H1(client) => client.connection.data(),
            Client::H2(client) => client.body.data(),
        }
    }

    pub(crate) fn consume(&mut self, count: usize) {
        match self {
            Client::H1(client) => client.connection.consume(count),
            Client::H2(client) => client.body.consume(count),
        }
    }

    /// The trailers of a request body that has ended.
    pub(crate) fn take_trailers(&mut self) -> Option<HeaderMap> {
        match self {
            Client::H1(client) => client.connection.trailers.take(),
            Client::H2(client) => client.body.trailers.take(),
        }
    }

    /// Gives the read buffer back, if there is nothing in it.
    pub(crate) fn release_input(&mut self) {
        if let Client::H1(client) = self {
            client.connection.release_input();
        }
    }

    /// Whether the whole request has been read.
    pub(crate) fn request_is_read(&self) -> bool {
        match self {
            Client::H1(client) => client.connection.decoder.is_done(),
            Client::H2(client) => {
                client.incoming == IncomingUse::Withheld || client.body.is_ended()
            }
        }
    }

    /// Forwards an informational response, to clients that support them.
    pub(crate) fn send_informational(&mut self, head: ResponseHead) {
        match self {
            Client::H1(client) if client.version == Version::HTTP_11 => {
                client.send_informational(&head);
            }
            Client::H1(_) => {}
            Client::H2(client) => {
                // That the client has gone is detected when the stream is polled.
                let _ = client.respond.send_informational(response(head.status, head.headers));
            }
        }
    }

    /// Sends the final head.
    pub(crate) fn send_head(&mut self, mut head: ResponseHead) -> Result<(), ForwardError> {
        if !head.headers.contains_key(DATE) {
            head.headers.insert(DATE, date::now());
        }
        match self {
            Client::H1(client) => {
                client.send_head(&head);
                buffers::keep_map(head.headers);
            }
            Client::H2(client) => client.send_head(head)?,
        }
        Ok(())
    }

    /// Accepts some of `data` as the response's body.
    pub(crate) fn poll_write_data(
        &mut self,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<Result<usize, ForwardError>> {
        let written = match self {
            Client::H1(client) => {
                ready!(client.connection.poll_write_data(cx, data)).map_err(|_| ())
            }
            Client::H2(client) => match &mut client.sending {
                Some(sending) => ready!(sending.poll_write_data(cx, data)).map_err(|_| ()),
                None => Err(()),
            },
        };
        Poll::Ready(written.map_err(|()| ForwardError::ClientGone))
    }

    /// Ends the response.
    pub(crate) fn finish(&mut self, trailers: Option<HeaderMap>) -> Result<(), ForwardError> {
        let finished = match self {
            Client::H1(client) => client.connection.finish(trailers.as_ref()).map_err(|_| ()),
            Client::H2(client) => match &mut client.sending {
                Some(sending) => sending.finish(trailers).map_err(|_| ()),
                None => Err(()),
            },
        };
        finished.map_err(|()| ForwardError::ClientGone)
    }

    /// Writes the buffered output. HTTP/2 streams are written by their connection.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ForwardError>> {
        match self {
            Client::H1(client) if client.connection.has_output() => {
                client.connection.poll_flush(cx).map_err(|_| ForwardError::ClientGone)
            }
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Ready when the client has hung up, or has ended its direction before its request was whole.
    /// What it sends in the meantime is buffered, within bounds.
    pub(crate) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Client::H1(client) => client.poll_gone(cx),
            Client::H2(client) => match &mut client.sending {
                Some(sending) => sending.poll_reset(cx),
                None => client.respond.poll_reset(cx).map(|_| ()),
            },
        }
    }

    /// Cuts the response short in a way that the client cannot take for its end.
    pub(crate) fn abort(&mut self) {
        match self {
            Client::H1(client) => {
                client.persistent = false;
                if client.connection.encoder.ends_by_closing() {
                    client.connection.io().reset_on_close();
                }
            }
            Client::H2(client) => match &mut client.sending {
                Some(sending) => sending.reset(h2::Reason::INTERNAL_ERROR),
                None => client.respond.send_reset(h2::Reason::INTERNAL_ERROR),
            },
        }
    }

    /// The charge for the heads of the response, where they may outlive the exchange.
    pub(crate) fn heads(&mut self) -> Option<&mut Charge> {
        match self {
            Client::H1(_) => None,
            Client::H2(client) => Some(&mut client.heads),
        }
    }

    /// Nothing may follow this exchange on the connection.
    pub(crate) fn forbid_reuse(&mut self) {
        if let Client::H1(client) = self {
            client.persistent = false;
        }
    }
}

impl H1Client {
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Presence::HalfClosed(half_closed) = &mut self.presence {
                while let Some(byte) = half_closed.due(cx, self.version) {
                    self.connection.output().push(byte);
                }
                if self.connection.has_output()
                    && matches!(self.connection.poll_flush(cx), Poll::Ready(Err(_)))
                {
                    return Poll::Ready(());
                }
                return half_closed.breakage.as_mut().poll(cx);
            }
            if self.connection.input().len() >= READ_AHEAD_MAX {
                return Poll::Pending;
            }
            match ready!(self.connection.poll_fill(cx)) {
                Ok(0) if self.connection.holds_whole_message() => match self.half_close() {
                    Some(presence) => self.presence = presence,
                    None => return Poll::Ready(()),
                },
                Ok(0) | Err(_) => return Poll::Ready(()),
                Ok(_) => {}
            }
        }
    }

    /// Begins to wait for a reset, and to provoke one in case the client has gone. Does nothing on
    /// streams that cannot report a reset.
    fn half_close(&mut self) -> Option<Presence> {
        let breakage = self.connection.io().breakage()?;
        let next = (!self.responded).then(|| Box::pin(sleep(Duration::ZERO)));
        Some(Presence::HalfClosed(HalfClosed { breakage, sent_ahead: 0, next, pause: FIRST_PAUSE }))
    }

    /// Writes a head, except for the bytes that were sent ahead. Every head is written here.
    pub(crate) fn write_head<T>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let output = self.connection.output();
        let start = output.len();
        let written = write(output);
        if let Presence::HalfClosed(half_closed) = &mut self.presence {
            half_closed.next = None;
            output.drain(start..start + std::mem::take(&mut half_closed.sent_ahead));
        }
        written
    }

    /// Sends an informational head.
    fn send_informational(&mut self, head: &ResponseHead) {
        self.write_head(|output| encoder::informational(output, head));
    }

    /// Sends the head that opens a tunnel. No other follows it, so nothing is sent ahead any more.
    fn send_tunnel_head(&mut self, head: &ResponseHead) {
        self.responded = true;
        self.send_informational(head);
    }

    fn send_head(&mut self, head: &ResponseHead) {
        self.responded = true;
        let keeps_alive = self.persistent && self.drain_token.phase() == Phase::Serving;
        let recipient = Recipient {
            version: self.version,
            persistence: if keeps_alive { Persistence::KeepAlive } else { Persistence::Close },
            head_only: self.head_only,
        };
        let (encoder, persistence) =
            self.write_head(|output| encoder::response(output, head, recipient));
        self.connection.encoder = encoder;
        self.persistent = persistence == Persistence::KeepAlive;
    }

    /// Discards what is left of the request body, so that a refusal can be sent and the
    /// connection closed.
    pub(crate) fn drop_body(&mut self) {
        self.connection.decoder = Decoder::Done;
        self.persistent = false;
    }
}

impl H2Client {
    /// Sends the head that opens a tunnel: a switch is a 200 here (RFC 8441, section 5).
    fn send_tunnel_head(&mut self, mut head: ResponseHead) -> Result<(), ForwardError> {
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            head.status = StatusCode::OK;
            head.headers.remove(SEC_WEBSOCKET_ACCEPT);
        }
        (head.body, head.declared_length) = (BodyLength::Unknown, None);
        self.incoming = IncomingUse::Tunnel;
        self.send_head(head)
    }

    fn send_head(&mut self, mut head: ResponseHead) -> Result<(), ForwardError> {
        let bodiless = self.head_only
            || head.status == StatusCode::NO_CONTENT
            || head.status == StatusCode::NOT_MODIFIED;
        let ended = match head.body {
            BodyLength::Empty | BodyLength::Known(0) => Ended::Yes,
            _ if bodiless => Ended::Yes,
            BodyLength::Known(_) | BodyLength::Unknown => Ended::No,
        };
        let left = match head.body {
            BodyLength::Known(length) => Some(length),
            BodyLength::Empty | BodyLength::Unknown => None,
        };
        if let Some(length) = head.declared_length.or(left) {
            head.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        if let Some(trailer) = head.trailer {
            head.headers.insert(TRAILER, trailer);
        }
        let heads = std::mem::take(&mut self.heads);
        match ended {
            Ended::Yes => memory::attach(&mut head.headers, (heads, self.stream.clone())),
            Ended::No if heads.bytes() > 0 => memory::attach(&mut head.headers, heads),
            Ended::No => {}
        }
        let stream = self
            .respond
            .send_response(response(head.status, head.headers), ended == Ended::Yes)
            .map_err(|_| ForwardError::ClientGone)?;
        let of_stream = Some(self.stream.clone());
        let sending = Outgoing::new(stream, left, ended, self.account.clone(), of_stream);
        self.sending = Some(sending);
        Ok(())
    }
}

fn response(status: StatusCode, headers: HeaderMap) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

fn body_error(error: BodyError) -> ForwardError {
    match error {
        BodyError::Framing(framing) => ForwardError::RequestBody(framing.0),
        BodyError::OverBudget => ForwardError::refused(OverBudget),
        BodyError::Truncated | BodyError::Io(_) => ForwardError::ClientGone,
    }
}
