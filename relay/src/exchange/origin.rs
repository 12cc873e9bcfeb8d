//! The upstream's side of an exchange, over HTTP/1 or HTTP/2.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use h2::client::ResponseFuture;
use http::header::{CONTENT_LENGTH, HeaderValue, TRAILER};
use http::{HeaderMap, Method, Response};

use crate::buffers;
use crate::error::ForwardError;
use crate::h1::connection::{BodyError, HeadError};
use crate::h1::fields::Writer;
use crate::h1::{self, encoder, response};
use crate::h2gate::StreamEntry;
use crate::h2gate::frame::SETTINGS;
use crate::h2io::{Incoming, Outgoing, take_length};
use crate::head::{BodyLength, RequestHead, ResponseHead};
use crate::memory::{self, Charge, OverBudget};
use crate::target;
use crate::trailers;

/// The longest response head, in bytes (Go's limit).
const HEAD_MAX: usize = 10 << 20;

pub(crate) enum Origin {
    H1(Box<H1Origin>),
    H2(Box<H2Origin>),
}

/// An HTTP/1 connection with one request on it.
pub(crate) struct H1Origin {
    pub(crate) connection: h1::Connection,
    method: Method,
    /// How many requests the connection has carried before this one.
    earlier: u64,
    /// Another request may follow, by the response's head.
    persistent: bool,
    /// A part of a response has arrived.
    responded: bool,
    /// The length of the response's last head, in bytes as received.
    head_bytes: usize,
}

/// One HTTP/2 stream.
pub(crate) struct H2Origin {
    sending: Outgoing,
    response: ResponseFuture,
    body: Option<Incoming>,
    _held: Held,
}

/// What a stream holds of its connection until it ends.
pub(crate) struct Held {
    pub(crate) _charge: Charge,
    pub(crate) _entry: StreamEntry,
    /// Counts this stream among those of its connection.
    pub(crate) _counted: Arc<()>,
}

impl H1Origin {
    /// A connection that has carried nothing yet.
    pub(crate) fn new(connection: h1::Connection) -> H1Origin {
        H1Origin {
            connection,
            method: Method::GET,
            earlier: 0,
            persistent: false,
            responded: false,
            head_bytes: 0,
        }
    }

    /// Puts a request's head into the write buffer. `address` is the host where the client named
    /// none.
    pub(crate) fn begin(&mut self, head: &RequestHead, address: &HeaderValue) {
        self.connection.touched = false;
        let host = head.host.as_ref().unwrap_or(address);
        self.connection.encoder = encoder::request(self.connection.output(), head, host);
        self.method.clone_from(&head.method);
        self.persistent = false;
        self.responded = false;
    }

    /// Writes the request, which has no body, and is ready when the first bytes of a response are
    /// there.
    pub(crate) fn poll_answered(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ForwardError>> {
        if self.connection.has_output() {
            // A response may come although the request was not read: what is read decides.
            let _ = self.connection.poll_flush(cx);
        }
        if !self.connection.input().is_empty() {
            return Poll::Ready(Ok(()));
        }
        match ready!(self.connection.poll_fill(cx)) {
            Ok(0) => Poll::Ready(Err(ForwardError::Closed)),
            Ok(_) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(ForwardError::Io(error))),
        }
    }

    /// Whether a failure may be that of a connection which went stale while it was idle: it was
    /// used before, and no byte of a response arrived.
    pub(crate) fn is_stale(&self) -> bool {
        self.earlier > 0 && !self.responded
    }

    /// Prepares the connection to wait for another request.
    pub(crate) fn rest(&mut self) {
        self.earlier += 1;
        self.connection.release_buffers();
    }

    /// Nothing of this exchange is left on the connection, so it may serve another.
    pub(crate) fn is_reusable(&self) -> bool {
        self.persistent
            && self.connection.decoder.is_done()
            && !self.connection.has_output()
            && !self.connection.has_ended()
            && self.connection.input().is_empty()
    }
}

impl H2Origin {
    pub(crate) fn new(sending: Outgoing, response: ResponseFuture, held: Held) -> H2Origin {
        H2Origin { sending, response, body: None, _held: held }
    }
}

impl Origin {
    /// Ready with the next head: any number of informational ones, then the final one.
    pub(crate) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<ResponseHead, ForwardError>> {
        match self {
            Origin::H1(origin) => origin.poll_head(cx),
            Origin::H2(origin) => origin.poll_head(cx),
        }
    }

    /// Bytes that the head which was taken last holds, beside the buffers that it came in.
    pub(crate) fn head_bytes(&self, head: &ResponseHead) -> usize {
        match self {
            Origin::H1(origin) => memory::head_bytes(head.headers.len(), origin.head_bytes),
            Origin::H2(_) => memory::fields_bytes(&head.headers),
        }
    }

    /// Ready with true when [`Origin::data`] has something, with false at the end of the body.
    pub(crate) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, ForwardError>> {
        match self {
            Origin::H1(origin) => origin.connection.poll_data(cx).map_err(body_error),
            Origin::H2(origin) => match &mut origin.body {
                Some(body) => body.poll_data(cx).map_err(http2_error),
                None => Poll::Ready(Ok(false)),
            },
        }
    }

    pub(crate) fn data(&mut self) -> &[u8] {
        match self {
            Origin::H1(origin) => origin.connection.data(),
            Origin::H2(origin) => origin.body.as_ref().map(Incoming::data).unwrap_or_default(),
        }
    }

    pub(crate) fn consume(&mut self, count: usize) {
        match self {
            Origin::H1(origin) => origin.connection.consume(count),
            Origin::H2(origin) => {
                if let Some(body) = &mut origin.body {
                    body.consume(count);
                }
            }
        }
    }

    /// The trailers of a response that has ended.
    pub(crate) fn take_trailers(&mut self) -> Option<HeaderMap> {
        match self {
            Origin::H1(origin) => origin.connection.trailers.take(),
            Origin::H2(origin) => origin.body.as_mut().and_then(|body| body.trailers.take()),
        }
    }

    /// Accepts some of `data` as the request's body.
    pub(crate) fn poll_write_data(
        &mut self,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<Result<usize, ForwardError>> {
        match self {
            Origin::H1(origin) => {
                origin.connection.poll_write_data(cx, data).map_err(ForwardError::Io)
            }
            Origin::H2(origin) => origin.sending.poll_write_data(cx, data).map_err(http2_error),
        }
    }

    /// Ends the request.
    pub(crate) fn finish(&mut self, trailers: Option<HeaderMap>) -> Result<(), ForwardError> {
        match self {
            Origin::H1(origin) => {
                origin.connection.finish(trailers.as_ref()).map_err(ForwardError::Io)
            }
            Origin::H2(origin) => origin.sending.finish(trailers).map_err(http2_error),
        }
    }

    /// Writes the buffered output. HTTP/2 streams are written by their connection.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ForwardError>> {
        match self {
            Origin::H1(origin) if origin.connection.has_output() => {
                origin.connection.poll_flush(cx).map_err(ForwardError::Io)
            }
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Whether this attempt may have failed because its connection went stale.
    pub(crate) fn may_be_stale(&self) -> bool {
        match self {
            Origin::H1(origin) => origin.is_stale(),
            Origin::H2(_) => false,
        }
    }

    /// Whether any byte of the request was written.
    pub(crate) fn is_touched(&self) -> bool {
        match self {
            Origin::H1(origin) => origin.connection.touched,
            Origin::H2(_) => true,
        }
    }

    /// The response so far looks like the first frame of an HTTP/2 server.
    pub(crate) fn looks_like_http2(&self) -> bool {
        match self {
            Origin::H1(origin) if !origin.responded => {
                matches!(origin.connection.input(), [0, 0, _, SETTINGS, 0, 0, 0, 0, 0, ..])
            }
            Origin::H1(_) | Origin::H2(_) => false,
        }
    }
}

impl H1Origin {
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<ResponseHead, ForwardError>> {
        // An HTTP/2 frame has no line ends: without this check its end would be awaited for ever.
        if self.connection.input().first() == Some(&0) {
            return Poll::Ready(Err(malformed(self.connection.input())));
        }
        let block = match ready!(self.connection.poll_head(cx, HEAD_MAX)) {
            Ok(Some(block)) => block,
            Ok(None) => return Poll::Ready(Err(ForwardError::Closed)),
            Err(HeadError::Truncated(rest)) => {
                self.responded = true;
                let cut = rest.starts_with(b"HTTP/1.");
                return Poll::Ready(Err(match cut {
                    true => ForwardError::Malformed("unexpected EOF".into()),
                    false => malformed(&rest),
                }));
            }
            Err(HeadError::TooLarge) => return Poll::Ready(Err(too_large())),
            Err(HeadError::OverBudget) => {
                return Poll::Ready(Err(ForwardError::refused(OverBudget)));
            }
            Err(HeadError::Io(error)) => return Poll::Ready(Err(ForwardError::Io(error))),
        };
        self.responded = true;
        self.head_bytes = block.len();
        let parsed = response::parse(&block, &self.method, buffers::take_map())
            .map_err(ForwardError::Malformed)?;
        self.connection.decoder = parsed.decoder;
        self.persistent = parsed.persistent;
        Poll::Ready(Ok(parsed.head))
    }
}

impl H2Origin {
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<ResponseHead, ForwardError>> {
        if let Poll::Ready(Some(early)) = self.response.poll_informational(cx) {
            let early = early.map_err(http2_error)?;
            return Poll::Ready(Ok(head(early, BodyLength::Empty)));
        }
        let response = ready!(std::pin::pin!(&mut self.response).poll(cx)).map_err(http2_error)?;
        let (parts, stream) = response.into_parts();
        let body = Incoming::new(stream, Writer::App);
        let length = match body.is_ended() {
            true => BodyLength::Empty,
            false => BodyLength::Unknown,
        };
        self.body = Some(body);
        Poll::Ready(Ok(head(Response::from_parts(parts, ()), length)))
    }
}

fn head(response: Response<()>, length: BodyLength) -> ResponseHead {
    let (parts, ()) = response.into_parts();
    let mut headers = parts.headers;
    // HTTP/2 frames bodies itself, so a malformed length is merely dropped.
    let declared_length = take_length(&mut headers).unwrap_or_default();
    headers.remove(CONTENT_LENGTH);
    let trailer = headers.remove(TRAILER);
    trailers::drop_hop_by_hop(&mut headers);
    let body = match (length, declared_length) {
        (BodyLength::Unknown, Some(length)) => BodyLength::Known(length),
        _ => length,
    };
    ResponseHead {
        status: parts.status,
        headers,
        odd: Vec::new(),
        body,
        declared_length,
        upgrade: None,
        trailer,
    }
}

fn malformed(bytes: &[u8]) -> ForwardError {
    ForwardError::Malformed(response::malformed(bytes))
}

fn too_large() -> ForwardError {
    ForwardError::Malformed(format!(
        "net/http: server response headers exceeded {HEAD_MAX} bytes; aborted"
    ))
}

fn body_error(error: BodyError) -> ForwardError {
    match error {
        BodyError::Truncated => ForwardError::Truncated,
        BodyError::Framing(framing) => ForwardError::ResponseBody(framing.0),
        BodyError::OverBudget => ForwardError::refused(OverBudget),
        BodyError::Io(error) => ForwardError::Io(error),
    }
}

fn http2_error(error: h2::Error) -> ForwardError {
    ForwardError::Http2(error.into())
}

/// A request for the HTTP/2 library, which takes a URI where HTTP/1 has a target. `address` is the
/// host where the client named none.
pub(crate) fn http2_request(
    head: &RequestHead,
    address: &HeaderValue,
) -> Result<http::Request<()>, ForwardError> {
    let invalid = || ForwardError::Http2("request target cannot be sent over HTTP/2".into());
    let authority = head.host.as_ref().unwrap_or(address);
    let uri = match head.method {
        Method::CONNECT => {
            http::Uri::from_maybe_shared(head.target.clone()).map_err(|_| invalid())?
        }
        _ => http::Uri::builder()
            .scheme(head.scheme.as_str())
            .authority(authority.as_bytes())
            .path_and_query(&target::for_http2(&head.target)[..])
            .build()
            .map_err(|_| invalid())?,
    };
    let mut request = http::Request::new(());
    *request.method_mut() = head.method.clone();
    *request.uri_mut() = uri;
    *request.version_mut() = http::Version::HTTP_2;
    *request.headers_mut() = head.headers.clone();
    let headers = request.headers_mut();
    if head.te_trailers {
        headers.insert(http::header::TE, HeaderValue::from_static("trailers"));
    }
    if head.expect_continue {
        headers.insert(http::header::EXPECT, HeaderValue::from_static("100-continue"));
    }
    if let BodyLength::Known(length) = head.body {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    if let Some(trailer) = &head.trailer {
        headers.insert(TRAILER, trailer.clone());
    }
    Ok(request)
}
