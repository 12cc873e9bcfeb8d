//! HTTP probes, as the kubelet sends and judges them.

use std::time::Duration;

use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::Response;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tidegate_logging::secrets::QueryRule;
use tokio::io::{AsyncRead, AsyncWrite};

use super::dial::connect;
use super::failure::quoted;
use super::location::{Redirect, Scheme, Target};
use super::spec::HttpGet;
use super::{ProbeFailure, within};
use crate::tls;

/// Requests that one attempt may send, redirects included, as with Go's client.
const MOST_REQUESTS: usize = 10;
/// What Knative's sidecar sends.
pub(super) const USER_AGENT: &str = tidegate_knative::probe::SIDECAR_AGENT;
/// The longest head of a response that is read: 64 KiB are more than any server sends.
const LONGEST_HEAD: usize = 64 << 10;
/// The same for HTTP/2, and what an app may send before it is read.
pub(super) const WINDOW: u32 = 64 << 10;
/// Bytes of a failed response's body that are read, to quote its beginning. No other body is read.
const LONGEST_BEGINNING: usize = 256;
/// Time that these bytes have after the head.
const BEGINNING_TIMEOUT: Duration = Duration::from_millis(20);

/// The protocols of a probe's request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Http1,
    Http2,
}

/// What came back.
#[derive(Debug)]
struct ProbeResponse {
    status: StatusCode,
    location: Option<Vec<u8>>,
    /// How the body of a refusal begins.
    beginning: Vec<u8>,
}

/// Requests the page. Passes on 200 to 399.
pub(super) async fn probe(get: &HttpGet, limit: Duration) -> Result<(), ProbeFailure> {
    if get.http2.is_on() && get.scheme == Scheme::Http {
        let bare = HttpGet { headers: Vec::new(), ..get.clone() };
        if within(limit, follow(&bare, Protocol::Http2)).await.is_ok() {
            return within(limit, follow(get, Protocol::Http2)).await;
        }
    }
    within(limit, follow(get, Protocol::Http1)).await
}

/// Requests the page and what it redirects to, as long as that is on the same host.
async fn follow(get: &HttpGet, protocol: Protocol) -> Result<(), ProbeFailure> {
    let mut target = Target {
        scheme: get.scheme,
        host: get.host.name().to_owned(),
        port: get.port,
        path: get.path.clone(),
    };
    // The first one counts, as in Go; an empty one is none.
    let own_host = get.header(header::HOST.as_str()).filter(|host| !host.is_empty());
    let mut host = own_host.map_or_else(|| target.authority(), str::to_owned);
    let mut led_to = Vec::new();
    for _ in 0..MOST_REQUESTS {
        let response = exchange(get, protocol, &target, &host).await?;
        let redirects = matches!(response.status.as_u16(), 301 | 302 | 303 | 307 | 308);
        let location = response.location.filter(|location| redirects && !location.is_empty());
        let Some(location) = location else { return judge(response.status, response.beginning) };
        match target.redirect(&String::from_utf8_lossy(&location)) {
            Redirect::Elsewhere => return Ok(()),
            Redirect::Unusable => return Err(ProbeFailure::Location(shown(&location))),
            Redirect::FollowRelative(next) => target = next,
            Redirect::Follow(next) => {
                host = next.authority();
                target = next;
            }
        }
        led_to = location;
    }
    Err(ProbeFailure::Redirects { requests: MOST_REQUESTS, to: shown(&led_to) })
}

/// A redirect's target, for people.
fn shown(location: &[u8]) -> String {
    quoted(QueryRule::default().url(&String::from_utf8_lossy(location)).as_bytes())
}

async fn exchange(
    get: &HttpGet,
    protocol: Protocol,
    target: &Target,
    host: &str,
) -> Result<ProbeResponse, ProbeFailure> {
    // Redirects to other hosts are not followed.
    let stream = connect(&get.host, target.port).await?;
    match (target.scheme, protocol) {
        (Scheme::Http, Protocol::Http1) => http1_get(stream, request(get, target, host)?).await,
        (Scheme::Http, Protocol::Http2) => {
            let stream = TokioIo::new(stream);
            let mut request = request(get, target, host)?;
            // HTTP/2 has `:authority` instead of `Host`, and no `Connection` field.
            *request.uri_mut() =
                format!("http://{host}{}", target.path).parse().map_err(ProbeFailure::request)?;
            request.headers_mut().remove(header::HOST);
            request.headers_mut().remove(header::CONNECTION);
            let (mut sender, connection) = http2::Builder::new(TokioExecutor::new())
                .initial_stream_window_size(WINDOW)
                .initial_connection_window_size(WINDOW)
                .max_header_list_size(WINDOW)
                .handshake(stream)
                .await
                .map_err(ProbeFailure::protocol)?;
            drive(async { read(sender.send_request(request).await).await }, connection).await
        }
        (Scheme::Https, _) => {
            let request = request(get, target, host)?;
            let stream =
                tls::connect_unverified(stream, &target.host).await.map_err(ProbeFailure::Tls)?;
            http1_get(stream, request).await
        }
    }
}

async fn http1_get(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Empty<Bytes>>,
) -> Result<ProbeResponse, ProbeFailure> {
    let (mut sender, connection) = http1::Builder::new()
        .title_case_headers(true)
        .max_buf_size(LONGEST_HEAD)
        // As forgiving to apps as the kubelet's own client.
        .allow_obsolete_multiline_headers_in_responses(true)
        .allow_spaces_after_header_name_in_responses(true)
        .ignore_invalid_headers_in_responses(true)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(ProbeFailure::protocol)?;
    drive(async { read(sender.send_request(request).await).await }, connection).await
}

/// The request as the kubelet makes it: the probe's own headers in order, with ours where it names
/// none. What speaks of the message or the connection stays ours.
fn request(
    get: &HttpGet,
    target: &Target,
    host: &str,
) -> Result<Request<Empty<Bytes>>, ProbeFailure> {
    let mut headers = HeaderMap::new();
    headers.insert(header::HOST, HeaderValue::from_str(host).map_err(ProbeFailure::request)?);
    let one = |name: HeaderName, default: &'static str| match get.header(name.as_str()) {
        Some(value) => HeaderValue::from_str(value),
        None => Ok(HeaderValue::from_static(default)),
    };
    for (name, default) in [(header::USER_AGENT, USER_AGENT), (header::ACCEPT, "*/*")] {
        let value = one(name.clone(), default).map_err(ProbeFailure::request)?;
        // Naming it without a value takes it away.
        if !value.is_empty() {
            headers.insert(name, value);
        }
    }
    for (name, value) in &get.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(ProbeFailure::request)?;
        if !is_ours(&name) {
            headers.append(name, HeaderValue::from_str(value).map_err(ProbeFailure::request)?);
        }
    }
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    let mut request =
        Request::get(&target.path).body(Empty::new()).map_err(ProbeFailure::request)?;
    *request.headers_mut() = headers;
    Ok(request)
}

/// Fields that were set before, or that no probe may set.
fn is_ours(name: &HeaderName) -> bool {
    [
        header::HOST,
        header::USER_AGENT,
        header::ACCEPT,
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
        header::TRAILER,
    ]
    .contains(name)
}

async fn read(response: hyper::Result<Response<Incoming>>) -> Result<ProbeResponse, ProbeFailure> {
    let response = response.map_err(ProbeFailure::protocol)?;
    let status = response.status();
    let location = response.headers().get(header::LOCATION);
    let location = location.map(|value| value.as_bytes().to_vec());
    let mut beginning = Vec::new();
    if judge(status, Vec::new()).is_err() {
        let mut body = response.into_body();
        let gather = async {
            while beginning.len() < LONGEST_BEGINNING {
                let Some(Ok(frame)) = body.frame().await else { return };
                let data = frame.into_data().unwrap_or_default();
                let room = LONGEST_BEGINNING - beginning.len();
                beginning.extend_from_slice(&data[..data.len().min(room)]);
            }
        };
        // What is not there by now is left out.
        let _ = tokio::time::timeout(BEGINNING_TIMEOUT, gather).await;
    }
    Ok(ProbeResponse { status, location, beginning })
}

/// Waits for the response while driving the connection it comes on.
///
/// The connection is polled here rather than spawned, so that it goes when the probe is given up.
/// An app may close right after its response: a connection that has ended has already handed over
/// the response it read, so the end alone decides nothing.
async fn drive(
    response: impl Future<Output = Result<ProbeResponse, ProbeFailure>>,
    connection: impl Future<Output = Result<(), hyper::Error>>,
) -> Result<ProbeResponse, ProbeFailure> {
    let mut response = std::pin::pin!(response);
    tokio::select! {
        biased;
        response = &mut response => response,
        ended = connection => match (response.await, ended) {
            (Ok(response), _) => Ok(response),
            (Err(_), Err(error)) => Err(ProbeFailure::protocol(error)),
            (Err(_), Ok(())) => Err(ProbeFailure::Closed),
        },
    }
}

fn judge(status: StatusCode, beginning: Vec<u8>) -> Result<(), ProbeFailure> {
    match status.as_u16() {
        200..400 => Ok(()),
        status => Err(ProbeFailure::Status { status, beginning }),
    }
}
