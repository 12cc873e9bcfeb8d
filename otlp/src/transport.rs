//! How a message reaches its receiver: a POST over HTTP/1.1, or a unary gRPC call.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HOST, RETRY_AFTER, TE};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
pub use hyper::body::Bytes;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tidegate_dial::{Host, Pending};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

/// The longest time of one push, as in OpenTelemetry.
const PUSH_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest time that the body of an answer over HTTP may take: by then its head has said what
/// became of the push.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// The longest body of a response that is read; it is empty when all is well.
const LONGEST_RESPONSE: usize = 64 << 10;
/// The longest head of a response that is read, and what a collector may send before it is read.
const WINDOW: u32 = 64 << 10;
/// The longest part of a collector's error text that is repeated, in bytes.
const LONGEST_QUOTE: usize = 256;
/// Bytes before each message of gRPC: whether it is compressed, and its length.
const GRPC_PREFIX_BYTES: usize = 5;

/// Why a push failed.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The endpoint cannot be pushed to.
    #[error("cannot push to '{0}', expected http://host:port or https://host:port")]
    Endpoint(String),
    /// No connection.
    #[error("cannot connect to the collector: {0}")]
    Connect(#[from] std::io::Error),
    /// The collector does not speak the protocol, or hung up.
    #[error("cannot talk to the collector: {0}")]
    Protocol(#[source] Box<dyn Error + Send + Sync>),
    /// The collector refused the export.
    #[error("the collector answered {0}")]
    Refused(Refusal),
    /// The name of the collector's host is still being looked up.
    #[error("cannot connect to the collector: {0}")]
    LookingUp(Pending),
    /// The collector did not respond in time.
    #[error("the collector did not answer within {PUSH_TIMEOUT:?}")]
    TimedOut,
}

/// How a collector refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// By a status of HTTP.
    Http {
        /// The status.
        status: StatusCode,
        /// Its `Retry-After`.
        retry_after: Option<HeaderValue>,
    },
    /// By a status of gRPC.
    Grpc {
        /// `grpc-status`.
        code: String,
        /// `grpc-message`, shortened.
        message: String,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http { status, .. } => write!(f, "{status}"),
            Self::Grpc { code, message } => write!(f, "grpc-status {code} {message}"),
        }
    }
}

/// The two transports of OTLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// gRPC.
    Grpc,
    /// Protobuf over HTTP/1.1.
    Http,
}

/// What is pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Metrics.
    Metrics,
}

/// How the body of a message is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Not at all.
    Identity,
    /// By gzip.
    Gzip,
    /// By snappy's block format.
    Snappy,
}

impl Encoding {
    const fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
        }
    }
}

/// One message.
#[derive(Debug, Clone)]
pub struct Message {
    /// Protobuf, compressed or not.
    pub body: Bytes,
    /// How it is compressed.
    pub encoding: Encoding,
    /// Further headers. Those that are secrets are marked as sensitive.
    pub headers: HeaderMap,
}

impl Message {
    /// A message that is not compressed, without further headers.
    #[must_use]
    pub fn plain(body: Vec<u8>) -> Self {
        Self { body: body.into(), encoding: Encoding::Identity, headers: HeaderMap::new() }
    }
}

/// What a collector said that took a message.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// The type of the body.
    pub content_type: Option<HeaderValue>,
    /// What was read of its body in time, 64 KiB at most; of gRPC the message.
    pub body: Bytes,
}

/// Where pushes go. Each makes a connection of its own: they are seconds apart.
#[derive(Debug)]
pub struct Transport {
    protocol: Protocol,
    host: Host,
    port: u16,
    encrypted: bool,
    path: String,
}

/// The URL that somebody means by `text`: without a scheme an encrypted one, and without anything
/// the one on this machine, at the port that OpenTelemetry assigns to each transport.
#[must_use]
pub fn endpoint(protocol: Protocol, text: &str) -> String {
    match (protocol, text) {
        (Protocol::Grpc, "") => "http://localhost:4317".to_owned(),
        (Protocol::Http, "") => "http://localhost:4318".to_owned(),
        (_, text) if text.contains("://") => text.to_owned(),
        (_, text) => format!("https://{text}"),
    }
}

impl Transport {
    /// Pushes of a signal in OTLP. An endpoint without a path gets the one that OpenTelemetry
    /// assigns.
    ///
    /// # Errors
    ///
    /// [`TransportError::Endpoint`].
    pub fn otlp(
        protocol: Protocol,
        endpoint: &str,
        signal: Signal,
    ) -> Result<Self, TransportError> {
        let (name, service) = match signal {
            Signal::Traces => ("traces", "trace.v1.TraceService"),
            Signal::Metrics => ("metrics", "metrics.v1.MetricsService"),
        };
        let mut transport = Self::post(endpoint)?;
        transport.protocol = protocol;
        match protocol {
            Protocol::Grpc => {
                transport.path = format!("/opentelemetry.proto.collector.{service}/Export");
            }
            Protocol::Http if transport.path == "/" => transport.path = format!("/v1/{name}"),
            Protocol::Http => {}
        }
        Ok(transport)
    }

    /// Pushes by POST to the endpoint as it is.
    ///
    /// # Errors
    ///
    /// [`TransportError::Endpoint`].
    pub fn post(endpoint: &str) -> Result<Self, TransportError> {
        let invalid = || TransportError::Endpoint(endpoint.to_owned());
        let uri: Uri = endpoint.parse().map_err(|_| invalid())?;
        let encrypted = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(invalid()),
        };
        let host = Host::new(uri.host().ok_or_else(invalid)?);
        let port = uri.port_u16().unwrap_or(if encrypted { 443 } else { 80 });
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Ok(Self { protocol: Protocol::Http, host, port, encrypted, path })
    }

    /// What is agreed on in the handshake of TLS; `None` where there is none.
    #[must_use]
    pub fn alpn(&self) -> Option<&'static [u8]> {
        self.encrypted.then_some(match self.protocol {
            Protocol::Grpc => b"h2",
            Protocol::Http => b"http/1.1",
        })
    }

    /// Sends one message and waits for the response, ten seconds at most. `tls` is how an
    /// encrypted connection is made, with [`Self::alpn`].
    ///
    /// # Errors
    ///
    /// When the message was not taken, or may not have been.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection; whether the message was taken is then not known.
    pub async fn push(
        &self,
        message: Message,
        tls: Option<Arc<ClientConfig>>,
    ) -> Result<Answer, TransportError> {
        let push = async {
            let stream = self.host.connect(self.port).await?;
            match tls {
                Some(tls) => {
                    let name = ServerName::try_from(self.host.name().to_owned());
                    let name = name.map_err(std::io::Error::other)?;
                    self.exchange(TlsConnector::from(tls).connect(name, stream).await?, message)
                        .await
                }
                // What is to be encrypted never leaves as it is.
                None if self.encrypted => {
                    Err(TransportError::Protocol("no certificates are trusted".into()))
                }
                None => self.exchange(stream, message).await,
            }
        };
        let late = || match self.host.pending() {
            Some(pending) => TransportError::LookingUp(pending),
            None => TransportError::TimedOut,
        };
        tokio::time::timeout(PUSH_TIMEOUT, push).await.unwrap_or_else(|_| Err(late()))
    }

    /// Whom a request is for.
    fn authority(&self) -> String {
        match (self.host.name(), self.port) {
            (host, port) if host.contains(':') => format!("[{host}]:{port}"),
            (host, port) => format!("{host}:{port}"),
        }
    }

    async fn exchange(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        message: Message,
    ) -> Result<Answer, TransportError> {
        match self.protocol {
            Protocol::Http => self.send(TokioIo::new(stream), message).await,
            Protocol::Grpc => self.call(TokioIo::new(stream), message).await,
        }
    }

    async fn send(
        &self,
        io: impl hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
        message: Message,
    ) -> Result<Answer, TransportError> {
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(WINDOW as usize)
            .handshake(io)
            .await
            .map_err(protocol)?;
        let request = Request::post(&self.path).header(HOST, self.authority());
        let request = request.body(Full::new(message.body)).map_err(own)?;
        let request = with_headers(
            request,
            message.headers,
            "application/x-protobuf",
            (CONTENT_ENCODING, message.encoding),
        );
        let response = async {
            let response = sender.send_request(request).await.map_err(protocol)?;
            let status = response.status();
            if !status.is_success() {
                let retry_after = response.headers().get(RETRY_AFTER).cloned();
                return Err(TransportError::Refused(Refusal::Http { status, retry_after }));
            }
            let content_type = response.headers().get(CONTENT_TYPE).cloned();
            let body = Limited::new(response.into_body(), LONGEST_RESPONSE).collect();
            // It was taken; a body that does not end, or is too long, says nothing against that.
            let body = match tokio::time::timeout(ANSWER_TIMEOUT, body).await {
                Ok(Ok(body)) => body.to_bytes(),
                Ok(Err(_)) | Err(_) => Bytes::new(),
            };
            Ok(Answer { content_type, body })
        };
        beside(connection, response).await
    }

    async fn call(
        &self,
        io: impl hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
        message: Message,
    ) -> Result<Answer, TransportError> {
        let (mut sender, connection) = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .max_header_list_size(WINDOW)
            .handshake(io)
            .await
            .map_err(protocol)?;
        let length = u32::try_from(message.body.len()).unwrap_or(u32::MAX);
        let mut body = Vec::with_capacity(message.body.len() + GRPC_PREFIX_BYTES);
        body.push(u8::from(message.encoding != Encoding::Identity));
        body.extend_from_slice(&length.to_be_bytes());
        body.extend_from_slice(&message.body);
        let scheme = if self.encrypted { "https" } else { "http" };
        let uri = format!("{scheme}://{}{}", self.authority(), self.path);
        let request = Request::post(uri).header(TE, HeaderValue::from_static("trailers"));
        let request = request.body(Full::new(Bytes::from(body))).map_err(own)?;
        let encoding = (HeaderName::from_static("grpc-encoding"), message.encoding);
        let request = with_headers(request, message.headers, "application/grpc", encoding);
        let response = async {
            let response = sender.send_request(request).await.map_err(protocol)?;
            grpc_answer(response).await
        };
        beside(connection, response).await
    }
}

/// The request with its headers: those that were asked for, and then ours, which nobody replaces.
fn with_headers(
    mut request: Request<Full<Bytes>>,
    further: HeaderMap,
    content_type: &'static str,
    (encoding_name, encoding): (HeaderName, Encoding),
) -> Request<Full<Bytes>> {
    let headers = request.headers_mut();
    for (name, value) in &further {
        headers.insert(name, value.clone());
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    if encoding != Encoding::Identity {
        headers.insert(encoding_name, HeaderValue::from_static(encoding.name()));
    }
    request
}

async fn grpc_answer(response: Response<Incoming>) -> Result<Answer, TransportError> {
    let early = read_status(response.headers());
    let content_type = response.headers().get(CONTENT_TYPE).cloned();
    let body = Limited::new(response.into_body(), LONGEST_RESPONSE).collect().await;
    let body = body.map_err(TransportError::Protocol)?;
    let late = body.trailers().and_then(read_status);
    let status = late.or(early);
    let (code, message) =
        status.ok_or_else(|| TransportError::Protocol("no grpc-status".into()))?;
    if code != "0" {
        return Err(TransportError::Refused(Refusal::Grpc { code, message }));
    }
    let mut body = body.to_bytes();
    let body = body.split_off(GRPC_PREFIX_BYTES.min(body.len()));
    Ok(Answer { content_type, body })
}

fn read_status(headers: &HeaderMap) -> Option<(String, String)> {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let cut = |text: &str| text[..text.floor_char_boundary(LONGEST_QUOTE)].to_owned();
    Some((cut(text("grpc-status")?), cut(text("grpc-message").unwrap_or_default())))
}

/// Awaits a response while its connection runs beside it. A connection that ends has handed the
/// response over before; if it has not, the response is an error.
async fn beside<T>(
    connection: impl Future<Output = Result<(), hyper::Error>>,
    response: impl Future<Output = T>,
) -> T {
    let mut response = std::pin::pin!(response);
    tokio::select! {
        biased;
        response = &mut response => response,
        _ended = connection => response.await,
    }
}

fn protocol(error: hyper::Error) -> TransportError {
    TransportError::Protocol(error.into())
}

fn own(error: http::Error) -> TransportError {
    TransportError::Protocol(error.into())
}

#[cfg(test)]
mod tests;
