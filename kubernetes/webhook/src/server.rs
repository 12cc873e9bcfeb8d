//! Serves API servers over TLS, within bounds.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tidegate_kubernetes_inject::Settings;
use tidegate_kubernetes_inject::review::{Outcome, Review, review};
use tidegate_kubernetes_listener::{Accepted, Callers, Failure, HEAD_TIMEOUT, accept};
use tokio::net::TcpListener;

/// Most connections at a time, whatever they do: a cluster has a handful of API servers, and each
/// keeps a few. Together with [`BODY_BYTES_MAX`] it bounds what they can make us hold.
pub const CONNECTIONS_MAX: usize = 32;

/// Longest request: what an API server takes from its own clients.
pub const BODY_BYTES_MAX: usize = 3 << 20;

/// Time of one request. An API server waits ten seconds by default.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest head with its first line; an API server's has some five hundred bytes.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// What every connection shares.
struct Injector<F> {
    settings: Settings,
    reviewed: F,
}

/// Serves `POST /inject`, and `GET /healthz` for the kubelet, for as long as it is polled. `config`
/// gives TLS for each new connection, and `reviewed`, which must not block, is called with every
/// response before it is sent.
///
/// Cancel safe: connections that are open then end with the runtime.
pub async fn serve(
    listener: TcpListener,
    config: impl Fn() -> Arc<ServerConfig>,
    settings: Settings,
    reviewed: impl Fn(&Review) + Send + Sync + 'static,
) {
    let injector = Arc::new(Injector { settings, reviewed });
    let callers = Callers { what: "the webhook", connections_max: CONNECTIONS_MAX };
    accept(listener, callers, move || {
        let injector = Arc::clone(&injector);
        (Some(config()), move |accepted| connection(accepted, injector))
    })
    .await;
}

async fn connection(
    accepted: Accepted,
    injector: Arc<Injector<impl Fn(&Review) + Send + Sync + 'static>>,
) -> Result<(), Failure> {
    let service = service_fn(move |request| {
        let injector = Arc::clone(&injector);
        async move { Ok::<_, Infallible>(response(request, &injector).await) }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(accepted.stream), service)
        .await?;
    Ok(())
}

async fn response(
    request: Request<Incoming>,
    injector: &Injector<impl Fn(&Review)>,
) -> Response<Full<Bytes>> {
    match (request.method(), request.uri().path()) {
        (&Method::POST, "/inject") => {}
        (&Method::GET, "/healthz") => return text(StatusCode::OK, "ok\n"),
        (_, "/inject" | "/healthz") => {
            return text(StatusCode::METHOD_NOT_ALLOWED, "expected POST /inject\n");
        }
        _ => return text(StatusCode::NOT_FOUND, "expected POST /inject\n"),
    }
    let body = Limited::new(request.into_body(), BODY_BYTES_MAX).collect();
    let body = match tokio::time::timeout(REQUEST_TIMEOUT, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) => {
            let problem = format!("cannot take the request: {error}\n");
            return text(StatusCode::PAYLOAD_TOO_LARGE, &problem);
        }
        Err(_) => return text(StatusCode::REQUEST_TIMEOUT, "the request came too slowly\n"),
    };
    match review(&body, &injector.settings) {
        Ok(review) => {
            let pod = &review.pod;
            match &review.outcome {
                Outcome::Injected => tracing::info!("{pod}: injected"),
                Outcome::Refused(reason) => tracing::warn!("{pod}: no sidecar: {reason}"),
                Outcome::Unchanged | Outcome::Skipped => tracing::debug!("{pod}: skipped"),
            }
            (injector.reviewed)(&review);
            let mut response = Response::new(Full::new(review.body.into()));
            let json = HeaderValue::from_static("application/json");
            response.headers_mut().insert(CONTENT_TYPE, json);
            response
        }
        Err(error) => text(StatusCode::BAD_REQUEST, &format!("{error}\n")),
    }
}

fn text(status: StatusCode, line: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::copy_from_slice(line.as_bytes())));
    *response.status_mut() = status;
    response
}
