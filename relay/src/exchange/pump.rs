//! Both directions of one exchange, moved by one task.
//!
//! Nothing is read before there is room to write it, so a slow reader on one side slows the
//! writer on the other, and no more than one buffer is held in between.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method, StatusCode};
use tokio::time::Instant;

use super::client::Client;
use super::guard::Release;
use super::origin::Origin;
use super::{BodyTap, Exchange, ExchangeReport, ResponseHook, ResponseState, sniff, websocket};
use crate::cause::Cause;
use crate::error::ForwardError;
use crate::h1::decoder::Decoder;
use crate::head::{BodyLength, RequestHead, ResponseHead};
use crate::memory::Charge;
use crate::timer::{Deadlines, LazyTimer};
use crate::trailers::{self, PlatformFields};

/// How long the upstream may take to send `100 Continue` (or a final response) before the client,
/// which waits for it, gets one from the relay. Many apps never send it.
const CONTINUE_TIMEOUT: Duration = Duration::from_millis(300);

/// How long an upload may stall after its response is complete. What the upstream has not read by
/// then it will not read.
const UPLOAD_STALL_TIMEOUT: Duration = Duration::from_secs(5);

/// The most informational responses of one exchange: an hour of progress reports, one a second.
const INFORMATIONAL_MAX: u32 = 3600;

/// Response heads that take fewer bytes than this are covered by the buffers of their connection.
const FREE_HEAD_BYTES: usize = 16 * 1024;

/// Bytes that the HTTP/2 library takes for each informational response that it queues, beside the
/// fields.
const QUEUED_HEAD_BYTES: usize = 1024;

/// How an exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PumpEnd {
    /// Both messages have ended.
    Complete,
    /// The upstream switched protocols.
    Tunnel,
}

pub(crate) struct Pump<'a> {
    client: &'a mut Client,
    origin: &'a mut Origin,
    head: &'a RequestHead,
    report: &'a mut ExchangeReport,
    response: &'a mut ResponseState,
    declined: Option<&'a HeaderName>,
    added: Option<&'a (HeaderName, HeaderValue)>,
    hook: &'a mut Option<ResponseHook>,
    tap: &'a mut Option<Box<dyn BodyTap>>,
    timer: &'a mut LazyTimer,
    deadlines: &'a mut Deadlines,
    guard: &'a mut (dyn Release + Send),
    charge: &'a mut Charge,
    /// The charge for an informational head until it is written, where the next one waits for that.
    passing: Charge,
    platform_fields: PlatformFields,
    informational: u32,
    upload: Upload,
    download: Download,
    /// When to stop waiting for the upstream's `100 Continue`.
    continue_by: Option<Instant>,
    /// Whether the client has got its `100 Continue`.
    continue_state: ContinueState,
    /// When to abort an upload whose response is complete.
    upload_by: Option<Instant>,
}

/// A client gets `100 Continue` once, from the upstream or, when that takes too long, from the
/// relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ContinueState {
    NotSent,
    Sent,
}

/// The progress of an exchange.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Progress {
    pub(crate) upload: Upload,
    /// The upstream's final head has arrived.
    pub(crate) response_begun: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Upload {
    Sending,
    Flushing,
    Done,
    /// The upstream takes no more, but may still respond.
    Refused,
}

enum Download {
    Head,
    /// The head is kept until the first bytes of the body arrive, from which its type is sniffed.
    Sniffing(Box<ResponseHead>),
    Body,
    Flushing,
    Done,
    Tunnel,
}

impl<'a> Pump<'a> {
    pub(crate) fn new(
        exchange: &'a mut Exchange,
        origin: &'a mut Origin,
        deadlines: &'a mut Deadlines,
        guard: &'a mut (dyn Release + Send),
    ) -> Pump<'a> {
        let continue_by = exchange.head.expect_continue.then(|| Instant::now() + CONTINUE_TIMEOUT);
        if matches!(&*origin, Origin::H1(_)) {
            exchange.client.withhold_tunnel();
        }
        Pump {
            client: &mut exchange.client,
            origin,
            head: &exchange.head,
            report: &mut exchange.report,
            response: &mut exchange.response,
            declined: exchange.declined.as_ref(),
            added: exchange.added.as_deref(),
            hook: &mut exchange.hook,
            tap: &mut exchange.tap,
            timer: &mut exchange.timer,
            deadlines,
            guard,
            charge: &mut exchange.charge,
            passing: Charge::default(),
            platform_fields: exchange.platform_fields,
            informational: 0,
            upload: Upload::Sending,
            download: Download::Head,
            continue_by,
            continue_state: ContinueState::NotSent,
            upload_by: None,
        }
    }

    pub(crate) fn progress(&self) -> Progress {
        Progress { upload: self.upload, response_begun: !matches!(self.download, Download::Head) }
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<PumpEnd, ForwardError>> {
        // The request goes first: a response usually needs all of it, and both get their turn in
        // every poll, so that neither direction waits for the other.
        let uploaded = self.poll_upload(cx)?;
        if let Poll::Ready(ending) = self.poll_download(cx)? {
            // A response may end before its request. Then the upload runs on until it is done or
            // stalls (see `poll_limits`), so that an app that responds early loses no byte.
            if ending == PumpEnd::Tunnel || matches!(self.upload, Upload::Done) {
                return Poll::Ready(Ok(ending));
            }
            if self.upload == Upload::Refused {
                self.client.forbid_reuse();
                return Poll::Ready(Ok(ending));
            }
        }
        // While the request is being read, the read itself reports a client that has gone.
        if uploaded.is_ready() && self.client.poll_gone(cx).is_ready() {
            return Poll::Ready(Err(ForwardError::ClientGone));
        }
        self.poll_limits(cx)
    }

    /// Moves the request. Ready when there is nothing more to move.
    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ForwardError>> {
        loop {
            match self.upload {
                Upload::Done | Upload::Refused => return Poll::Ready(Ok(())),
                Upload::Flushing => match ready!(self.origin.poll_flush(cx)) {
                    Ok(()) => self.upload = Upload::Done,
                    Err(_) => self.upload = Upload::Refused,
                },
                Upload::Sending => match self.client.poll_data(cx) {
                    Poll::Ready(Ok(true)) => ready!(self.poll_pass_up(cx)),
                    Poll::Ready(Ok(false)) => {
                        let trailers = self.client.take_trailers();
                        let trailers = self.filtered(trailers);
                        self.upload = match self.origin.finish(trailers) {
                            Ok(()) => Upload::Flushing,
                            Err(_) => Upload::Refused,
                        };
                        self.tap.take().into_iter().for_each(BodyTap::ended);
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => {
                        if let Poll::Ready(Err(_)) = self.origin.poll_flush(cx) {
                            self.upload = Upload::Refused;
                            continue;
                        }
                        return Poll::Pending;
                    }
                },
            }
        }
    }

    /// Which fields may follow a body, in either direction.
    fn filtered(&self, trailers: Option<HeaderMap>) -> Option<HeaderMap> {
        trailers.map(|trailers| trailers::filter(trailers, self.platform_fields))
    }

    /// Forwards what the client's buffer holds.
    fn poll_pass_up(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.continue_by = None;
        match ready!(self.origin.poll_write_data(cx, self.client.data())) {
            Ok(count) => {
                if let Some(tap) = self.tap {
                    tap.passed(&self.client.data()[..count]);
                }
                self.client.consume(count);
                self.report.request_bytes += count as u64;
                self.deadlines.touch();
                if self.upload_by.is_some() {
                    self.upload_by = Some(Instant::now() + UPLOAD_STALL_TIMEOUT);
                }
            }
            Err(_) => self.upload = Upload::Refused,
        }
        Poll::Ready(())
    }

    /// Moves the response. Ready when all of it is written to the client.
    fn poll_download(&mut self, cx: &mut Context<'_>) -> Poll<Result<PumpEnd, ForwardError>> {
        loop {
            match &mut self.download {
                Download::Done => return Poll::Ready(Ok(PumpEnd::Complete)),
                Download::Tunnel => {
                    ready!(self.client.poll_flush(cx))?;
                    return Poll::Ready(Ok(PumpEnd::Tunnel));
                }
                Download::Head => match self.poll_head(cx) {
                    Poll::Ready(head) => self.take_head(head?)?,
                    Poll::Pending => {
                        let _ = self.client.poll_flush(cx)?;
                        return Poll::Pending;
                    }
                },
                Download::Sniffing(head) => {
                    let known = matches!(head.body, BodyLength::Known(_));
                    let data = self.origin.poll_data(cx)?;
                    if data.is_pending() && known {
                        return Poll::Pending;
                    }
                    if data == Poll::Ready(true) {
                        let sniffed = sniff::content_type(self.origin.data());
                        head.headers.insert(CONTENT_TYPE, sniffed);
                    }
                    let Download::Sniffing(head) =
                        std::mem::replace(&mut self.download, Download::Body)
                    else {
                        continue;
                    };
                    self.begin_response(*head)?;
                }
                Download::Body => match self.origin.poll_data(cx)? {
                    Poll::Ready(true) => ready!(self.poll_pass_down(cx))?,
                    Poll::Ready(false) => self.end_body()?,
                    Poll::Pending => {
                        let _ = self.client.poll_flush(cx)?;
                        return Poll::Pending;
                    }
                },
                Download::Flushing => {
                    ready!(self.client.poll_flush(cx))?;
                    self.download = Download::Done;
                }
            }
        }
    }

    /// Takes the next head, unless earlier ones are still to be written to the client. The heads of
    /// an HTTP/2 stream are taken all the same, because nothing else holds them back; they are
    /// bounded in number and charged.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<ResponseHead, ForwardError>> {
        if self.informational > 0 && matches!(&*self.origin, Origin::H1(_)) {
            ready!(self.client.poll_flush(cx))?;
            self.passing.lower_to(0);
        }
        // The library queues informational heads on a connection that has ended as well, and frees
        // them only with the last stream of it: nothing is given to it once the client has gone.
        if self.informational > 0
            && matches!(self.client, Client::H2(_))
            && self.client.poll_gone(cx).is_ready()
        {
            return Poll::Ready(Err(ForwardError::ClientGone));
        }
        let head = ready!(self.origin.poll_head(cx))?;
        let bytes = self.origin.head_bytes(&head);
        // The HTTP/2 library does not report when an informational response is written.
        let http2 = matches!(self.client, Client::H2(_)) || matches!(&*self.origin, Origin::H2(_));
        let cost = match head.status.is_informational() && http2 {
            true => bytes + QUEUED_HEAD_BYTES,
            false if bytes > FREE_HEAD_BYTES => bytes,
            false => 0,
        };
        if cost > 0 {
            let passes = head.status.is_informational() && !http2;
            let charge = match self.client.heads() {
                Some(heads) => heads,
                None if passes => &mut self.passing,
                None => &mut *self.charge,
            };
            charge.add(cost).map_err(ForwardError::refused)?;
        }
        Poll::Ready(Ok(head))
    }

    fn poll_pass_down(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ForwardError>> {
        let count = ready!(self.client.poll_write_data(cx, self.origin.data()))?;
        self.origin.consume(count);
        self.report.response_bytes += count as u64;
        self.deadlines.touch();
        Poll::Ready(Ok(()))
    }

    fn end_body(&mut self) -> Result<(), ForwardError> {
        let trailers = self.origin.take_trailers();
        let trailers = self.filtered(trailers);
        self.client.finish(trailers)?;
        *self.response = ResponseState::Complete;
        self.download = Download::Flushing;
        if matches!(self.upload, Upload::Done | Upload::Refused) {
            // The upstream is done, so the slot is given back: only the relay's buffer is still to
            // be written to the client, which the next request need not wait for.
            self.guard.release();
        } else {
            self.upload_by = Some(Instant::now() + UPLOAD_STALL_TIMEOUT);
        }
        Ok(())
    }

    fn take_head(&mut self, mut head: ResponseHead) -> Result<(), ForwardError> {
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            self.deadlines.touch();
            self.call_hook(&mut head);
            return self.switch(head);
        }
        if head.status.is_informational() {
            // They do not count as activity: a response may never follow them.
            self.informational += 1;
            if self.informational > INFORMATIONAL_MAX {
                return Err(ForwardError::TooManyInformational);
            }
            if head.status == StatusCode::CONTINUE && self.head.expect_continue {
                self.continue_by = None;
                // A client that did not wait for it gets it all the same, as the upstream sent it.
                if std::mem::replace(&mut self.continue_state, ContinueState::Sent)
                    == ContinueState::Sent
                {
                    return Ok(());
                }
            }
            self.client.send_informational(head);
            return Ok(());
        }
        self.deadlines.touch();
        self.deadlines.response_started();
        if let Some(cause) = self.declined(&head) {
            return Err(ForwardError::Declined { status: head.status, cause });
        }
        if self.feigns_switch(&head) {
            return Err(ForwardError::NoWebSocket("it is a success without a switch"));
        }
        self.call_hook(&mut head);
        if self.is_tunnel(&head) {
            return self.open_tunnel(head);
        }
        if self.continue_by.take().is_some() && self.upload == Upload::Sending {
            // The client may or may not send its body now, so the next bytes on this connection
            // could be a body or a request.
            self.client.forbid_reuse();
        }
        if self.wants_type(&head) {
            self.download = Download::Sniffing(Box::new(head));
            return Ok(());
        }
        self.download = Download::Body;
        self.begin_response(head)
    }

    fn call_hook(&mut self, head: &mut ResponseHead) {
        if let Some(hook) = self.hook.take() {
            hook(&mut head.headers);
        }
    }

    /// Sends the client the final head. Until then it may get an error response instead.
    fn begin_response(&mut self, mut head: ResponseHead) -> Result<(), ForwardError> {
        if let Some((name, value)) = self.added {
            head.headers.append(name, value.clone());
        }
        *self.response = ResponseState::Begun;
        self.report.status = Some(head.status);
        self.client.send_head(head)
    }

    /// The cause in an upstream proxy's own error, where such errors are not forwarded.
    fn declined(&self, head: &ResponseHead) -> Option<Cause> {
        let marker = self.declined?;
        let is_error = head.status.is_client_error() || head.status.is_server_error();
        let reason = is_error.then(|| head.headers.get(marker)).flatten()?;
        Some(Cause::with_label(reason.as_bytes()).unwrap_or(Cause::MalformedResponse))
    }

    fn wants_type(&self, head: &ResponseHead) -> bool {
        !matches!(head.body, BodyLength::Empty | BodyLength::Known(0))
            && !head.headers.contains_key(CONTENT_TYPE)
            && !head.headers.contains_key(CONTENT_ENCODING)
    }

    /// A 2xx response to `CONNECT` opens a tunnel, unless the upstream framed a body.
    fn is_tunnel(&self, head: &ResponseHead) -> bool {
        self.head.method == Method::CONNECT
            && head.status.is_success()
            && head.body == BodyLength::Unknown
            && matches!(&*self.origin, Origin::H1(origin)
                if matches!(origin.connection.decoder, Decoder::UntilClose))
    }

    /// `101 Switching Protocols`: only to the protocol that the client requested.
    fn switch(&mut self, head: ResponseHead) -> Result<(), ForwardError> {
        let text = |value: Option<&HeaderValue>| {
            value.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let wanted = text(self.head.upgrade.as_ref()).unwrap_or_default();
        let got = text(head.upgrade.as_ref()).unwrap_or_default();
        if wanted.is_empty() || !wanted.eq_ignore_ascii_case(&got) {
            return Err(ForwardError::SwitchedProtocol { got, wanted });
        }
        // An HTTP/1 client checks the answer to its key itself; over HTTP/2 the key is the relay's.
        if matches!(self.client, Client::H2(_))
            && !websocket::is_accepted(&self.head.headers, &head.headers)
        {
            return Err(ForwardError::NoWebSocket("it does not answer the key"));
        }
        self.deadlines.response_started();
        self.open_tunnel(head)
    }

    fn open_tunnel(&mut self, head: ResponseHead) -> Result<(), ForwardError> {
        *self.response = ResponseState::Begun;
        self.report.status = Some(head.status);
        self.download = Download::Tunnel;
        self.client.send_tunnel_head(head)
    }

    /// Whether a client of HTTP/2 would take a response for the begin of a WebSocket that it does
    /// not open.
    fn feigns_switch(&self, head: &ResponseHead) -> bool {
        head.status.is_success()
            && self.head.upgrade.is_some()
            && matches!(self.client, Client::H2(_))
    }

    /// Checks every limit on waiting.
    fn poll_limits(&mut self, cx: &mut Context<'_>) -> Poll<Result<PumpEnd, ForwardError>> {
        if let Some(by) = self.continue_by
            && self.timer.poll_until(cx, by).is_ready()
        {
            self.continue_by = None;
            self.continue_state = ContinueState::Sent;
            self.client.send_informational(ResponseHead::go_on());
            let _ = self.client.poll_flush(cx)?;
        }
        if let Some(by) = self.upload_by
            && self.timer.poll_until(cx, by).is_ready()
            && matches!(self.download, Download::Done)
        {
            self.client.forbid_reuse();
            return Poll::Ready(Ok(PumpEnd::Complete));
        }
        let expired = self.timer.poll_deadlines(cx, self.deadlines);
        expired.map(|timeout| Err(ForwardError::TimedOut(timeout)))
    }
}
