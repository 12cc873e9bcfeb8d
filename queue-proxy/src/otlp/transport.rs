//! How a push reaches the collector: a POST over HTTP/1.1, or a unary gRPC call.

use std::error::Error;
use std::time::Duration;

use http::header::{CONTENT_TYPE, HOST, TE};
use http::{HeaderMap, HeaderValue, Request, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tidegate_dial::{Host, Pending};
use tokio::io::{AsyncRead, AsyncWrite};

use super::push::{Otlp, OtlpProtocol};
use crate::tls;

/// The longest time of one push, as in OpenTelemetry.
const PUSH_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest body of a response that is read; it is empty when all is well.
const LONGEST_RESPONSE: usize = 64 << 10;
/// The longest head of a response that is read, and what a collector may send before it is read.
const WINDOW: u32 = 64 << 10;
/// The longest part of a collector's error text that is repeated, in bytes.
const LONGEST_QUOTE: usize = 256;

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
    Refused(String),
    /// The name of the collector's host is still being looked up.
    #[error("cannot connect to the collector: {0}")]
    LookingUp(Pending),
    /// The collector did not respond in time.
    #[error("the collector did not answer within {PUSH_TIMEOUT:?}")]
    TimedOut,
}

/// What is pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signal {
    Traces,
    Metrics,
}

/// Where pushes go. Each makes a connection of its own: they are seconds apart.
#[derive(Debug)]
pub(super) struct Transport {
    protocol: OtlpProtocol,
    host: Host,
    port: u16,
    encrypted: bool,
    path: String,
}

impl Transport {
    pub(super) fn new(settings: &Otlp, signal: Signal) -> Result<Self, TransportError> {
        let invalid = || TransportError::Endpoint(settings.endpoint.clone());
        let uri: Uri = settings.endpoint.parse().map_err(|_| invalid())?;
        let encrypted = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(invalid()),
        };
        let host = Host::new(uri.host().ok_or_else(invalid)?);
        let default_port = if encrypted { 443 } else { 80 };
        let (name, service) = match signal {
            Signal::Traces => ("traces", "trace.v1.TraceService"),
            Signal::Metrics => ("metrics", "metrics.v1.MetricsService"),
        };
        let path = match (settings.protocol, uri.path()) {
            (OtlpProtocol::Grpc, _) => {
                format!("/opentelemetry.proto.collector.{service}/Export")
            }
            (OtlpProtocol::Http, "" | "/") => format!("/v1/{name}"),
            (OtlpProtocol::Http, path) => path.to_owned(),
        };
        let port = uri.port_u16().unwrap_or(default_port);
        Ok(Self { protocol: settings.protocol, host, port, encrypted, path })
    }

    /// Sends one message and waits for the response.
    pub(super) async fn push(&self, message: Vec<u8>) -> Result<(), TransportError> {
        let push = async {
            let stream = self.host.connect(self.port).await?;
            if self.encrypted {
                let alpn = match self.protocol {
                    OtlpProtocol::Grpc => &b"h2"[..],
                    OtlpProtocol::Http => b"http/1.1",
                };
                self.exchange(tls::connect(stream, self.host.name(), alpn).await?, message).await
            } else {
                self.exchange(stream, message).await
            }
        };
        let late = || match self.host.pending() {
            Some(pending) => TransportError::LookingUp(pending),
            None => TransportError::TimedOut,
        };
        tokio::time::timeout(PUSH_TIMEOUT, push).await.unwrap_or_else(|_| Err(late()))
    }

    async fn exchange(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        message: Vec<u8>,
    ) -> Result<(), TransportError> {
        match self.protocol {
            OtlpProtocol::Http => self.post(TokioIo::new(stream), message).await,
            OtlpProtocol::Grpc => self.call(TokioIo::new(stream), message).await,
        }
    }

    async fn post(
        &self,
        io: impl hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
        message: Vec<u8>,
    ) -> Result<(), TransportError> {
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(WINDOW as usize)
            .handshake(io)
            .await
            .map_err(protocol)?;
        let request = Request::post(&self.path)
            .header(HOST, format!("{}:{}", self.host.name(), self.port))
            .header(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"))
            .body(Full::new(Bytes::from(message)))
            .map_err(|error| TransportError::Protocol(error.into()))?;
        let response = beside(connection, sender.send_request(request)).await.map_err(protocol)?;
        if response.status().is_success() {
            Ok(())
        } else {
            Err(TransportError::Refused(response.status().to_string()))
        }
    }

    async fn call(
        &self,
        io: impl hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
        message: Vec<u8>,
    ) -> Result<(), TransportError> {
        let (mut sender, connection) = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .max_header_list_size(WINDOW)
            .handshake(io)
            .await
            .map_err(protocol)?;
        let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
        let mut body = Vec::with_capacity(message.len() + 5);
        body.push(0);
        body.extend_from_slice(&length.to_be_bytes());
        body.extend_from_slice(&message);
        let scheme = if self.encrypted { "https" } else { "http" };
        let uri = format!("{scheme}://{}:{}{}", self.host.name(), self.port, self.path);
        let request = Request::post(uri)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/grpc"))
            .header(TE, HeaderValue::from_static("trailers"))
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| TransportError::Protocol(error.into()))?;
        let response = async {
            let response = sender.send_request(request).await.map_err(protocol)?;
            grpc_status(response).await
        };
        let (code, message) = beside(connection, response).await?;
        if code == "0" {
            Ok(())
        } else {
            Err(TransportError::Refused(format!("grpc-status {code} {message}")))
        }
    }
}

async fn grpc_status(
    response: http::Response<Incoming>,
) -> Result<(String, String), TransportError> {
    let early = read_status(response.headers());
    let body = Limited::new(response.into_body(), LONGEST_RESPONSE).collect().await;
    let body = body.map_err(TransportError::Protocol)?;
    let late = body.trailers().and_then(read_status);
    late.or(early).ok_or_else(|| TransportError::Protocol("no grpc-status".into()))
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
