//! One HTTP/2 connection to the controller, as small as a sidecar needs it: no pool, no balancer,
//! no buffer task.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::AUTHORIZATION;
use http::uri::Scheme;
use http::{HeaderValue, Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::ServerName;
use tidegate_dial::{Host, Pending};
use tidegate_proto::{PING_INTERVAL, PING_TIMEOUT};
use tidegate_trust::{ClientTls, Credentials, SharedSecret, TlsMismatch};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;
use tonic::body::Body;
use tonic::codegen::Service;

use crate::ConfigError;
use crate::first_byte::{FirstByte, Peeked};

/// Enough for the responses of a controller; the default of 2 MB would be most of a sidecar.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;

/// Where a controller listens, and the credentials to present to it.
#[derive(Debug, Clone)]
pub struct Target {
    authority: String,
    host: Host,
    port: u16,
    origin: Uri,
    secret: Option<SharedSecret>,
    tls: Option<(Arc<ClientTls>, ServerName<'static>)>,
}

/// Most addresses of controllers: one decides, and few wait to take its place.
pub const TARGETS_MAX: usize = 8;

impl Target {
    /// Reads one address, or several with commas between: where a controller may be, of which one
    /// at a time listens. Never empty.
    ///
    /// # Errors
    ///
    /// As [`Self::new`], for any of them; and when there are more than [`TARGETS_MAX`].
    pub fn all(given: &str, credentials: &Credentials) -> Result<Vec<Self>, ConfigError> {
        if given.split(',').count() > TARGETS_MAX {
            let problem = "there are more than 8 addresses";
            return Err(ConfigError::Address { given: given.to_owned(), problem });
        }
        given.split(',').map(|one| Self::new(one, credentials)).collect()
    }

    /// Reads `host:port`, `http://host:port` or `https://host:port`. TLS is spoken in the last
    /// case, and whenever there are certificates.
    ///
    /// # Errors
    ///
    /// When there is no port, this is no address, or certificates cannot be used.
    pub fn new(given: &str, credentials: &Credentials) -> Result<Self, ConfigError> {
        let refuse = |problem| ConfigError::Address { given: given.to_owned(), problem };
        let bare = given.trim().trim_end_matches('/');
        let (secure, bare) = match bare.strip_prefix("https://") {
            Some(rest) => (true, rest),
            None => (false, bare.strip_prefix("http://").unwrap_or(bare)),
        };
        if given.trim().starts_with("http://") && credentials.certificates.is_some() {
            return Err(refuse("there are certificates for TLS, and http:// goes without it"));
        }
        let secure = secure || credentials.certificates.is_some();
        let scheme = if secure { Scheme::HTTPS } else { Scheme::HTTP };
        let origin: Uri =
            format!("{scheme}://{bare}").parse().map_err(|_| refuse("it is no network address"))?;
        if origin.path() != "/" || origin.query().is_some() {
            return Err(refuse("it has a path"));
        }
        let host = origin.host().unwrap_or_default();
        if host.is_empty() {
            return Err(refuse("it has no host"));
        }
        let port = match origin.port_u16() {
            None => return Err(refuse("it has no port")),
            Some(0) => return Err(refuse("port 0 cannot be connected to")),
            Some(port) => port,
        };
        let tls = match secure {
            false => None,
            true => {
                let name = host.trim_start_matches('[').trim_end_matches(']').to_owned();
                let name = ServerName::try_from(name)
                    .map_err(|_| refuse("no certificate can be for its host"))?;
                let certificates = credentials.certificates.clone().unwrap_or_default();
                Some((Arc::new(certificates.load()?), name))
            }
        };
        let secret = credentials.secret.clone();
        let host = Host::new(host);
        Ok(Self { authority: bare.to_owned(), host, port, origin, secret, tls })
    }

    /// The lookup of its name that has not ended yet, if any: why a connection takes long.
    #[must_use]
    pub fn looking_up(&self) -> Option<Pending> {
        self.host.pending()
    }

    /// Where it listens, `host:port`, as messages name it.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Whether what is said to it can be read by nobody else: over TLS, or within this machine.
    #[must_use]
    pub fn is_private(&self) -> bool {
        let is_ours = |ip: std::net::IpAddr| ip.to_canonical().is_loopback();
        self.tls.is_some() || self.host.name().parse().is_ok_and(is_ours)
    }

    /// Why TLS with it failed; `None` when the connection did.
    #[must_use]
    pub fn mismatch(&self, error: &io::Error) -> Option<TlsMismatch> {
        self.tls.as_ref().and_then(|(tls, _)| tls.mismatch(error))
    }

    /// The origin that requests name.
    #[must_use]
    pub fn origin(&self) -> Uri {
        self.origin.clone()
    }
}

/// Why a connection could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// There is no TCP connection, or none any more.
    #[error("cannot connect: {0}")]
    Io(#[from] io::Error),
    /// The peer closed the connection before it sent a byte.
    #[error("it hung up at once")]
    HungUp,
    /// The two ends do not trust each other, or only one of them speaks TLS.
    #[error(transparent)]
    Tls(#[from] TlsMismatch),
    /// The peer speaks another protocol than HTTP/2.
    #[error("what answers there does not speak HTTP/2, as a controller does")]
    NotHttp2,
    /// The HTTP/2 handshake failed.
    #[error("cannot begin HTTP/2: {0}")]
    Http(#[from] hyper::Error),
}

impl ConnectError {
    /// Whether there is a peer that does not fit, so that an early retry is of no use.
    #[must_use]
    pub fn is_mismatch(&self) -> bool {
        matches!(self, Self::Tls(_) | Self::NotHttp2)
    }
}

/// One fresh connection to a controller, on which the peer has sent its first byte. Dropping every
/// clone of it closes it.
///
/// # Errors
///
/// When the connection cannot be made, or the two ends do not fit. Cancel safe: dropping the future
/// drops the connection.
pub async fn connect(target: &Target) -> Result<Connection, ConnectError> {
    let tcp = target.host.connect(target.port).await?;
    // Reports are small and a wake-up must not wait for an acknowledgement of the one before.
    tcp.set_nodelay(true)?;
    connect_over(target, tcp).await
}

/// A stream of bytes to a peer.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// One fresh connection, on which nothing but TLS was spoken yet, for another protocol than a
/// controller's: `protocol` is what is negotiated (RFC 7301).
///
/// # Errors
///
/// When the connection cannot be made, or the two ends do not fit. Cancel safe.
pub async fn open(target: &Target, protocol: &[u8]) -> Result<Box<dyn Stream>, ConnectError> {
    let tcp = target.host.connect(target.port).await?;
    tcp.set_nodelay(true)?;
    let Some((tls, name)) = &target.tls else { return Ok(Box::new(tcp)) };
    let mut config = (*tls.renewed().await).clone();
    config.alpn_protocols = vec![protocol.to_vec()];
    match TlsConnector::from(Arc::new(config)).connect(name.clone(), tcp).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => Err(match tls.mismatch(&error) {
            Some(mismatch) => mismatch.into(),
            None => error.into(),
        }),
    }
}

/// As [`connect`], over a stream that leads to the controller.
///
/// # Errors
///
/// When the two ends do not fit.
pub async fn connect_over<T>(target: &Target, stream: T) -> Result<Connection, ConnectError>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let sender = match &target.tls {
        None => handshake(stream).await?,
        Some((tls, name)) => {
            let failed = |error: io::Error| match tls.mismatch(&error) {
                Some(mismatch) => mismatch.into(),
                None => ConnectError::from(error),
            };
            let connector = TlsConnector::from(tls.renewed().await);
            let stream = connector.connect(name.clone(), stream).await.map_err(failed)?;
            // With TLS 1.3 a controller refuses a certificate after the client's handshake is done.
            match handshake(stream).await {
                Err(ConnectError::Io(error)) => return Err(failed(error)),
                other => other?,
            }
        }
    };
    let bearer = match &target.secret {
        Some(secret) => Some(secret.renewed().await.bearer().clone()),
        None => None,
    };
    Ok(Connection { sender, bearer })
}

/// Speaks HTTP/2 over a stream that leads to a peer which asks for no credentials, such as a socket
/// of this machine that only its user can reach.
///
/// # Errors
///
/// When the peer does not speak it.
pub async fn speak_over<T>(stream: T) -> Result<Connection, ConnectError>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    Ok(Connection { sender: handshake(stream).await?, bearer: None })
}

/// Begins HTTP/2 and waits for the first byte of the peer, so that a peer that is no controller, or
/// refuses our certificate, is reported as that.
async fn handshake<T>(stream: T) -> Result<http2::SendRequest<Body>, ConnectError>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (observer, first_byte) = oneshot::channel();
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(STREAM_WINDOW_BYTES)
        .handshake(TokioIo::new(Peeked::new(stream, observer)))
        .await?;
    // The stream over the connection sees the same error, so this one is redundant.
    tokio::spawn(async move { drop(connection.await) });
    match first_byte.await {
        Ok(FirstByte::Http2) => Ok(sender),
        Ok(FirstByte::Tls) => Err(TlsMismatch::controller_speaks_tls().into()),
        Ok(FirstByte::Other) => Err(ConnectError::NotHttp2),
        Ok(FirstByte::Error(error)) => Err(error.into()),
        // Nothing was read before the connection was given up.
        Ok(FirstByte::None) | Err(_) => Err(ConnectError::HungUp),
    }
}

/// Sends gRPC requests over one connection, each with the secret.
#[derive(Debug, Clone)]
pub struct Connection {
    sender: http2::SendRequest<Body>,
    bearer: Option<HeaderValue>,
}

impl Service<Request<Body>> for Connection {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.sender.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        if let Some(bearer) = &self.bearer {
            request.headers_mut().insert(AUTHORIZATION, bearer.clone());
        }
        Box::pin(self.sender.send_request(request))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_hosts_with_ports() {
        let none = Credentials::default();
        for good in ["127.0.0.1:9400", "http://controller.tidegate:80/", "[::1]:1", " a:1 "] {
            assert!(Target::new(good, &none).is_ok(), "{good}");
        }
        for bad in ["", "host", "host:", "host:x", ":80", "host:0", "h:1/path", "h:99999"] {
            let error = Target::new(bad, &none).expect_err(bad);
            assert!(error.to_string().contains("expected host:port"), "{error}");
        }
    }

    #[test]
    fn several_addresses_have_commas_between() {
        let none = Credentials::default();
        let all = Target::all("a:1, https://b:2,[::1]:3", &none).expect("good ones");
        let names: Vec<&str> = all.iter().map(Target::authority).collect();
        assert_eq!(names, ["a:1", "b:2", "[::1]:3"]);
        for bad in ["", "a:1,", ",a:1", "a:1,b", "a:1,,b:2"] {
            assert!(Target::all(bad, &none).is_err(), "{bad}");
        }
        assert!(Target::all(&["a:1"; 8].join(","), &none).is_ok());
        assert!(Target::all(&["a:1"; 9].join(","), &none).is_err());
    }

    #[test]
    fn certificates_are_never_left_unused() {
        let certificates = Some(tidegate_trust::ClientCertificates::default());
        let some = Credentials { certificates, ..Credentials::default() };
        let error = Target::new("http://host:1", &some).expect_err("it would go without");
        assert!(error.to_string().contains("without it"), "{error}");
    }
}
