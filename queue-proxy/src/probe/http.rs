//! HTTP probes, as Knative's sidecar sends them.

use std::time::Duration;

use http::header::{HeaderName, HeaderValue};
use http::{Request, StatusCode, Uri, header};
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::ProbeFailure;
use super::spec::{HttpGet, Scheme};
use crate::tls;

/// Redirects that are followed, as in Go's client.
const MOST_REDIRECTS: usize = 10;
/// What Knative's sidecar sends: it never fills in the version.
pub(super) const USER_AGENT: &str = "kube-probe//";

/// Requests the page. Passes on 200 to 399.
pub(super) async fn probe(get: &HttpGet, limit: Duration) -> Result<(), ProbeFailure> {
    if get.http2.is_on() && get.scheme == Scheme::Http {
        let bare = HttpGet { headers: Vec::new(), ..get.clone() };
        if within(limit, http2_get(&bare)).await.is_ok() {
            return within(limit, http2_get(get)).await;
        }
    }
    within(limit, http1_get(get)).await
}

/// Bounds one attempt in time.
pub(super) async fn within<T>(
    limit: Duration,
    attempt: impl Future<Output = Result<T, ProbeFailure>>,
) -> Result<T, ProbeFailure> {
    tokio::time::timeout(limit, attempt).await.unwrap_or(Err(ProbeFailure::TimedOut(limit)))
}

/// A place to ask: where, and what for.
struct Target {
    scheme: Scheme,
    host: String,
    port: u16,
    path: String,
}

// === impl Target ===

impl Target {
    fn authority(&self) -> String {
        let host = if self.host.contains(':') && !self.host.starts_with('[') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        format!("{host}:{}", self.port)
    }

    /// Where a redirect leads: an absolute URL, or a path on the same host.
    fn redirected(&self, location: &str) -> Option<Self> {
        if let Some(path) = location.strip_prefix('/').filter(|path| !path.starts_with('/')) {
            return Some(Self { host: self.host.clone(), path: format!("/{path}"), ..*self });
        }
        let location = match location.strip_prefix("//") {
            Some(rest) => format!("http://{rest}"),
            None => location.to_owned(),
        };
        if !location.contains("://") {
            let directory = self.path.rsplit_once('/').map_or("", |(directory, _)| directory);
            let path = format!("{directory}/{location}");
            return Some(Self { host: self.host.clone(), path, ..*self });
        }
        let uri: Uri = location.parse().ok()?;
        let scheme = match uri.scheme_str()? {
            "https" => Scheme::Https,
            "http" => Scheme::Http,
            _ => return None,
        };
        let default_port = if scheme == Scheme::Https { 443 } else { 80 };
        Some(Self {
            scheme,
            host: uri.host()?.trim_matches(['[', ']']).to_owned(),
            port: uri.port_u16().unwrap_or(default_port),
            path: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
        })
    }
}

async fn http1_get(get: &HttpGet) -> Result<(), ProbeFailure> {
    let mut target = Target {
        scheme: get.scheme,
        host: get.host.clone(),
        port: get.port,
        path: get.path.clone(),
    };
    for _ in 0..=MOST_REDIRECTS {
        let stream = connect(&target.host, target.port).await?;
        let request = request(get, &target.path, &target.authority())?;
        let (status, location) = match target.scheme {
            Scheme::Http => exchange(stream, request).await?,
            Scheme::Https => {
                let stream = tls::connect_unverified(stream, &target.host)
                    .await
                    .map_err(ProbeFailure::Connect)?;
                exchange(stream, request).await?
            }
        };
        let followed = matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308);
        let next = location.filter(|_| followed).and_then(|path| target.redirected(&path));
        match next {
            Some(next) => target = next,
            None => return judge(status),
        }
    }
    Err(ProbeFailure::Redirects(MOST_REDIRECTS))
}

/// Connects to a host that may be a name.
pub(super) async fn connect(host: &str, port: u16) -> Result<TcpStream, ProbeFailure> {
    let host = host.trim_matches(['[', ']']);
    let stream = TcpStream::connect((host, port)).await.map_err(ProbeFailure::Connect)?;
    stream.set_nodelay(true).ok();
    Ok(stream)
}

fn request(
    get: &HttpGet,
    path: &str,
    authority: &str,
) -> Result<Request<Empty<Bytes>>, ProbeFailure> {
    let invalid = |_| ProbeFailure::Protocol("the probe's request cannot be built".to_owned());
    let mut builder = Request::get(path).header(header::HOST, authority);
    if let Some(headers) = builder.headers_mut() {
        for (name, value) in &get.headers {
            let name = HeaderName::try_from(name.as_str());
            let value = HeaderValue::try_from(value.as_str());
            if let (Ok(name), Ok(value)) = (name, value)
                && name != header::HOST
                && name != header::USER_AGENT
            {
                headers.append(name, value);
            }
        }
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        headers.entry(header::ACCEPT_ENCODING).or_insert(HeaderValue::from_static("gzip"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    builder.body(Empty::new()).map_err(invalid)
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Empty<Bytes>>,
) -> Result<(StatusCode, Option<String>), ProbeFailure> {
    let (mut sender, connection) = http1::Builder::new()
        .title_case_headers(true)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(protocol)?;
    let response = answer(sender.send_request(request), connection).await?;
    let location = response.headers().get(header::LOCATION);
    let location = location.and_then(|value| value.to_str().ok()).map(str::to_owned);
    Ok((response.status(), location))
}

async fn http2_get(get: &HttpGet) -> Result<(), ProbeFailure> {
    let stream = connect(&get.host, get.port).await?;
    let authority = format!("{}:{}", get.host, get.port);
    let mut request = request(get, &format!("http://{authority}{}", get.path), &authority)?;
    request.headers_mut().remove(header::HOST);
    request.headers_mut().remove(header::CONNECTION);
    let (mut sender, connection) = http2::Builder::new(TokioExecutor::new())
        .handshake(TokioIo::new(stream))
        .await
        .map_err(protocol)?;
    let response = answer(sender.send_request(request), connection).await?;
    judge(response.status())
}

/// Waits for the answer while driving the connection it comes on.
///
/// The connection is polled here rather than spawned, so that it goes when the probe is given up.
/// An app may answer and close in one breath: a connection that has ended has already handed over
/// the answer it read, so the end alone is never the verdict.
async fn answer<T>(
    answer: impl Future<Output = Result<T, hyper::Error>>,
    connection: impl Future<Output = Result<(), hyper::Error>>,
) -> Result<T, ProbeFailure> {
    let mut answer = std::pin::pin!(answer);
    tokio::select! {
        biased;
        response = &mut answer => response.map_err(protocol),
        ended = connection => match (answer.await, ended) {
            (Ok(response), _) => Ok(response),
            (Err(_), Err(error)) => Err(protocol(error)),
            (Err(_), Ok(())) => Err(ProbeFailure::Protocol("EOF".to_owned())),
        },
    }
}

pub(super) fn protocol(error: hyper::Error) -> ProbeFailure {
    ProbeFailure::Protocol(error.to_string())
}

fn judge(status: StatusCode) -> Result<(), ProbeFailure> {
    match status.as_u16() {
        200..400 => Ok(()),
        other => Err(ProbeFailure::Status(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_lead_where_they_say() {
        let target = Target {
            scheme: Scheme::Http,
            host: "127.0.0.1".to_owned(),
            port: 8080,
            path: "/a/b".to_owned(),
        };
        for (location, expected) in [
            ("/target", "127.0.0.1:8080/target"),
            ("next", "127.0.0.1:8080/a/next"),
            ("http://other:81/x?y", "other:81/x?y"),
            ("https://other/", "other:443/"),
            ("//other/z", "other:80/z"),
            ("http://[::1]:9/", "[::1]:9/"),
        ] {
            let next = target.redirected(location).unwrap();
            assert_eq!(format!("{}{}", next.authority(), next.path), expected, "{location}");
        }
        assert!(target.redirected("ftp://x/").is_none());
    }
}
