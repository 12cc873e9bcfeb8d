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
use tidegate_kubernetes_listener::{Accepted, Callers, Failure, HEAD_TIMEOUT, accept};
use tokio::net::TcpListener;
use tokio::sync::watch;

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

/// Longest head of a request; an API server's has some thousand bytes, its headers about who asked
/// included.
const HEAD_BYTES_MAX: usize = 32 << 10;

/// A connection that acknowledges no HTTP/2 ping for this long is closed, even if its TCP
/// connection is alive.
const PING_EVERY: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// What a connection, or a stream of it, may send that has not been read yet.
const WINDOW_BYTES: u32 = 64 << 10;

/// TLS of the external metrics, and who may ask.
#[derive(Debug, Clone)]
pub struct Guarded {
    /// TLS.
    pub config: Arc<ServerConfig>,
    /// Who may ask.
    pub front_proxy: Arc<FrontProxy>,
}

/// Serves external metrics to the API server, for as long as it is polled.
///
/// Cancel safe: connections that are open then end with the runtime.
pub async fn serve_external_metrics(
    listener: TcpListener,
    guarded: watch::Receiver<Guarded>,
    published: Arc<Published>,
) {
    let now = move || guarded.borrow().clone();
    let callers = Callers { what: "external metrics", connections_max: CONNECTIONS_MAX };
    accept(listener, callers, move || {
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
    let callers = Callers { what: "KEDA's calls", connections_max: CONNECTIONS_MAX };
    accept(listener, callers, move || {
        let scaler = scaler.clone();
        (tls(), move |accepted: Accepted| keda(accepted, scaler))
    })
    .await;
}

async fn api_server(
    Accepted { stream, certificate }: Accepted,
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

async fn keda(Accepted { stream, .. }: Accepted, scaler: Scaler) -> Result<(), Failure> {
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
