//! Listens, within bounds, for both kinds of askers.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use crate::external_metrics::{Reply, reply};
use crate::external_scaler::{MESSAGE_BYTES_MAX, Scaler};
use crate::front_proxy::FrontProxy;
use crate::published::Published;

/// Most connections at a time: a cluster has a handful of API servers and KEDA operators, and each
/// keeps a few.
pub const CONNECTIONS_MAX: usize = 64;

/// Streams of one connection: KEDA keeps one for every ScaledObject, all on one connection, and a
/// cluster of five thousand of them is a large one.
pub const STREAMS_MAX: u32 = 8_192;

/// Time in which TLS must be agreed on, and the head of a request must arrive.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest head of a request; an API server's has some thousand bytes, its headers about who asked
/// included.
const HEAD_BYTES_MAX: usize = 32 << 10;

/// A connection that acknowledges no HTTP/2 ping for this long is closed, even if its TCP
/// connection is alive.
const PING_EVERY: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// What a connection, or a stream of it, may send that has not been read yet.
const WINDOW_BYTES: u32 = 64 << 10;

/// Pause after an accept that failed, for example for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// TLS of the external metrics, and who may ask.
#[derive(Debug, Clone)]
pub struct Guarded {
    /// TLS.
    pub config: Arc<ServerConfig>,
    /// Who may ask.
    pub front_proxy: Arc<FrontProxy>,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection, and the certificate of whoever opened it.
type Accepted = (Box<dyn Stream>, Option<CertificateDer<'static>>);

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Serves external metrics to the API server, for as long as it is polled.
///
/// Cancel safe: connections that are open then end with the runtime.
pub async fn serve_external_metrics(
    listener: TcpListener,
    guarded: watch::Receiver<Guarded>,
    published: Arc<Published>,
) {
    let now = move || guarded.borrow().clone();
    accept(listener, "external metrics", move || {
        let (Guarded { config, front_proxy }, published) = (now(), Arc::clone(&published));
        (Some(config), move |accepted: Accepted| api_server(accepted, front_proxy, published))
    })
    .await;
}

/// Serves KEDA, for as long as it is polled; over TLS where `tls` gives a configuration.
///
/// Cancel safe: connections that are open then end with the runtime.
pub async fn serve_external_scaler(
    listener: TcpListener,
    tls: impl Fn() -> Option<Arc<ServerConfig>> + Send + 'static,
    published: Arc<Published>,
) {
    let scaler = Scaler::new(published);
    accept(listener, "KEDA's calls", move || {
        let scaler = scaler.clone();
        (tls(), move |accepted: Accepted| keda(accepted, scaler))
    })
    .await;
}

/// Accepts connections, of which each is served by what `prepare` gives.
async fn accept<Serve, Served>(
    listener: TcpListener,
    what: &'static str,
    prepare: impl Fn() -> (Option<Arc<ServerConfig>>, Serve),
) where
    Serve: FnOnce(Accepted) -> Served + Send + 'static,
    Served: Future<Output = Result<(), Failure>> + Send + 'static,
{
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(permit) = Arc::clone(&connections).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(what, %error, "a connection cannot be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (tls, serve) = prepare();
        tokio::spawn(async move {
            let served = async {
                let accepted: Accepted = match tls {
                    None => (Box::new(stream), None),
                    Some(tls) => {
                        let handshake = TlsAcceptor::from(tls).accept(stream);
                        let stream = tokio::time::timeout(HEAD_TIMEOUT, handshake).await??;
                        let shown = stream.get_ref().1.peer_certificates();
                        let shown = shown.and_then(|chain| chain.first().cloned());
                        (Box::new(stream), shown.map(CertificateDer::into_owned))
                    }
                };
                serve(accepted).await
            };
            if let Err(error) = served.await {
                tracing::debug!(what, %error, "a connection failed");
            }
            drop(permit);
        });
    }
}

async fn api_server(
    (stream, certificate): Accepted,
    front_proxy: Arc<FrontProxy>,
    published: Arc<Published>,
) -> Result<(), Failure> {
    let is_admitted = certificate.is_some_and(|certificate| front_proxy.admits(&certificate));
    let caller = if is_admitted { Caller::ApiServer } else { Caller::Stranger };
    let service = service_fn(move |request: Request<Incoming>| {
        let published = Arc::clone(&published);
        async move { Ok::<_, Infallible>(response(&request, &published, caller)) }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .await?;
    Ok(())
}

/// Who asks, by the certificate that was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Caller {
    /// The API server, as a proxy for its own callers.
    ApiServer,
    /// Anybody else.
    Stranger,
}

fn response(
    request: &Request<Incoming>,
    published: &Published,
    caller: Caller,
) -> Response<Full<Bytes>> {
    let reply = match request.method() {
        _ if caller == Caller::Stranger => {
            let message = "only the API server may ask, with its certificate as a proxy";
            Reply::failure(403, "Forbidden", message)
        }
        &Method::GET => {
            let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
            reply(published, path, query, jiff::Timestamp::now())
        }
        _ => Reply::failure(405, "MethodNotAllowed", "metrics can only be read: use GET"),
    };
    let mut response = Response::new(Full::new(reply.body.to_string().into()));
    *response.status_mut() =
        StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if reply.status == 405 {
        headers.insert(ALLOW, HeaderValue::from_static("GET"));
    }
    response
}

async fn keda((stream, _): Accepted, scaler: Scaler) -> Result<(), Failure> {
    let service = tidegate_proto::keda::external_scaler_server::ExternalScalerServer::new(scaler)
        .max_decoding_message_size(MESSAGE_BYTES_MAX);
    http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIMEOUT)
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service))
        .await?;
    Ok(())
}
