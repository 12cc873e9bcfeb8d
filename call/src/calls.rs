//! The end that listens: takes the calls of sites that it expects, and hands each over to whoever
//! asks over it.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONNECTION, HeaderName, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::Upgraded;
use hyper_util::rt::{TokioIo, TokioTimer};
use tidegate_trust::parting::close_after;
use tidegate_trust::renewed::RENEW_EVERY;
use tidegate_trust::{RefusalLog, Secret, SecretError, ServerTls, SharedSecret};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::greeting::{ALPN, HEAD_BYTES_MAX, PATH, PROCESS, PROCESS_BYTES, PROTOCOL, SITE};
use crate::place::{Held, Place};
use crate::site::SiteName;

/// Connections that have not said yet who they are; one more is closed at once. Each holds its
/// head, so that strangers hold 4 MiB together.
pub const GREETINGS_MAX: usize = 256;

/// How long a connection may take until its call is taken: TLS, and the request.
const GREETING_TIMEOUT: Duration = Duration::from_secs(10);

/// For how many bytes a caller is still read whose handshake failed.
const REFUSED_BYTES_MAX: u64 = 32 * 1024;

/// Fields of a request that are read: the six of a call, and what proxies add.
const HEADERS_MAX: usize = 48;

/// How long accepting pauses when the system has no descriptors left.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// A site that may call.
#[derive(Debug, Clone)]
pub struct Expected {
    /// Its name.
    pub site: SiteName,
    /// What proves that it is this site.
    pub secret: SharedSecret,
}

/// A call that was taken. Dropping it ends the call and gives the site's place back.
#[derive(Debug)]
pub struct Call {
    io: TokioIo<Upgraded>,
    _held: Held,
}

/// Calls of one site, one after the other: a later one stands for the earlier.
#[derive(Debug)]
pub struct CallsOf {
    calls: mpsc::Receiver<Call>,
}

impl CallsOf {
    /// The next call; `None` when nobody listens any more. Cancel safe.
    pub async fn next(&mut self) -> Option<Call> {
        self.calls.recv().await
    }
}

/// One line for each site that may call.
#[derive(Debug)]
struct Line {
    secret: SharedSecret,
    place: Place,
    calls: mpsc::Sender<Call>,
}

/// Takes calls. Clones share everything.
#[derive(Debug, Clone)]
pub struct Calls {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    lines: BTreeMap<SiteName, Line>,
    /// Compared with what a stranger shows, so that a name that is not expected takes as long to
    /// refuse as a wrong secret.
    decoy: SharedSecret,
    refusals: RefusalLog,
    refused: AtomicU64,
    greetings: Arc<Semaphore>,
}

/// Why a call is refused, as its caller is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Refusal {
    #[error("this address takes calls of sites, and nothing else")]
    NoCall,
    #[error(
        "no site of this name and secret may call: expected a [site] with `calls = true` and this \
         secret in the view's file of sites"
    )]
    Stranger,
    #[error("another process calls as this site: give each a name of its own, or stop the other")]
    InUse,
}

impl Refusal {
    fn status(self) -> StatusCode {
        match self {
            Self::NoCall => StatusCode::NOT_FOUND,
            Self::Stranger => StatusCode::FORBIDDEN,
            Self::InUse => StatusCode::CONFLICT,
        }
    }
}

impl Calls {
    /// Expects calls of these sites, and returns where each site's calls arrive. Of two of one name
    /// the latter counts.
    ///
    /// # Errors
    ///
    /// When the system has no randomness.
    pub fn new(
        expected: Vec<Expected>,
    ) -> Result<(Self, BTreeMap<SiteName, CallsOf>), SecretError> {
        let (mut lines, mut arriving) = (BTreeMap::new(), BTreeMap::new());
        for Expected { site, secret } in expected {
            let (sender, calls) = mpsc::channel(1);
            lines.insert(site.clone(), Line { secret, place: Place::default(), calls: sender });
            arriving.insert(site, CallsOf { calls });
        }
        let shared = Shared {
            lines,
            decoy: Secret::random()?.into(),
            refusals: RefusalLog::default(),
            refused: AtomicU64::new(0),
            greetings: Arc::new(Semaphore::new(GREETINGS_MAX)),
        };
        Ok((Self { shared: Arc::new(shared) }, arriving))
    }

    /// Calls that were refused so far.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.shared.refused.load(Ordering::Relaxed)
    }

    /// Takes calls on `listener`, over TLS where there is one, for ever. Secrets and certificates
    /// in files are read anew when they change. Cancel safe: dropping the future frees the port;
    /// calls that were taken go on.
    pub async fn serve(self, listener: TcpListener, tls: Option<Arc<ServerTls>>) {
        let mut renewing = JoinSet::new();
        for line in self.shared.lines.values() {
            renewing.spawn(line.secret.clone().watch(RENEW_EVERY));
        }
        if let Some(renewals) = tls.as_ref().map(|tls| tls.renewals()) {
            renewing.spawn(async move { renewals.watch(RENEW_EVERY).await });
        }
        loop {
            let (stream, peer) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
                    continue;
                }
            };
            let Ok(permit) = Arc::clone(&self.shared.greetings).try_acquire_owned() else {
                self.refuse(peer, format_args!("{GREETINGS_MAX} connections say nothing already"));
                continue;
            };
            tokio::spawn(self.clone().greet(stream, peer, tls.clone(), permit));
        }
    }

    /// Reads the request of one connection, and hands it over if it is a call that is taken.
    async fn greet(
        self,
        stream: TcpStream,
        peer: SocketAddr,
        tls: Option<Arc<ServerTls>>,
        permit: OwnedSemaphorePermit,
    ) {
        // A failure costs latency, not correctness.
        let _ = stream.set_nodelay(true);
        let greeting = async {
            match tls {
                None => self.request(TokioIo::new(stream), peer).await,
                Some(tls) => {
                    let mut config = (*tls.current()).clone();
                    config.alpn_protocols = vec![ALPN.to_vec()];
                    let accepting = TlsAcceptor::from(Arc::new(config)).accept(stream);
                    match accepting.into_fallible().await {
                        Ok(stream) => self.request(TokioIo::new(stream), peer).await,
                        Err((error, stream)) => {
                            match tls.mismatch(&error) {
                                Some(mismatch) => self.refuse(peer, mismatch),
                                None => tracing::debug!(%peer, %error, "a handshake broke off"),
                            }
                            // The alert that says why was sent by the library.
                            close_after(stream, b"", REFUSED_BYTES_MAX).await;
                        }
                    }
                }
            }
        };
        if tokio::time::timeout(GREETING_TIMEOUT, greeting).await.is_err() {
            tracing::debug!(%peer, "a connection that did not begin in time was closed");
        }
        drop(permit);
    }

    async fn request<S>(&self, stream: TokioIo<S>, peer: SocketAddr)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        // What the response promised is kept by whoever waits here for it.
        let (promise, promised) = oneshot::channel();
        let promise = parking_lot::Mutex::new(Some(promise));
        let service = service_fn(|request| {
            let (response, taken) = self.respond(request, peer);
            if let Some(taken) = taken
                && let Some(promise) = promise.lock().take()
            {
                // The one who waits is below.
                let _ = promise.send(taken);
            }
            std::future::ready(Ok::<_, Infallible>(response))
        });
        let serving = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(GREETING_TIMEOUT)
            .max_buf_size(HEAD_BYTES_MAX)
            .max_headers(HEADERS_MAX)
            .keep_alive(false)
            .serve_connection(stream, service)
            .with_upgrades();
        if let Err(error) = serving.await {
            tracing::debug!(%peer, %error, "a connection broke off before its call was taken");
        }
        let mut promised = promised;
        let Ok(Taken { upgrade, held, site }) = promised.try_recv() else { return };
        match upgrade.await {
            Ok(upgraded) => {
                tracing::info!(%site, %peer, "a site calls");
                let call = Call { io: TokioIo::new(upgraded), _held: held };
                if let Some(line) = self.shared.lines.get(&site) {
                    // Nobody may ask over it any more; the call is then over.
                    let _ = line.calls.send(call).await;
                }
            }
            Err(error) => tracing::debug!(%site, %peer, %error, "a call broke off"),
        }
    }

    /// The response to a request, and what it promises.
    fn respond(
        &self,
        mut request: Request<Incoming>,
        peer: SocketAddr,
    ) -> (Response<Full<Bytes>>, Option<Taken>) {
        match self.examine(&request) {
            Ok((site, held)) => {
                let mut response = Response::new(Full::default());
                *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
                let headers = response.headers_mut();
                headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
                headers.insert(UPGRADE, HeaderValue::from_static(PROTOCOL));
                let upgrade = hyper::upgrade::on(&mut request);
                (response, Some(Taken { upgrade, held, site }))
            }
            Err(refusal) => {
                let named = request.headers().get(SITE).and_then(|name| name.to_str().ok());
                let named = named.and_then(|name| name.parse::<SiteName>().ok());
                let named = named.map_or("no site".to_owned(), |site| format!("the site {site}"));
                self.refuse(peer, format_args!("it calls as {named}: {refusal}"));
                let mut response = Response::new(Full::from(refusal.to_string()));
                *response.status_mut() = refusal.status();
                // By this a caller knows a view.
                response.headers_mut().insert(SITE, HeaderValue::from_static("refused"));
                (response, None)
            }
        }
    }

    /// Whose call it is, if it is one that is taken.
    fn examine(&self, request: &Request<Incoming>) -> Result<(SiteName, Held), Refusal> {
        let headers = request.headers();
        let is_call = request.method() == Method::GET
            && request.uri().path() == PATH
            && only(headers, &UPGRADE) == Some(PROTOCOL.as_bytes());
        if !is_call {
            return Err(Refusal::NoCall);
        }
        let named = only(headers, &SITE).and_then(|name| std::str::from_utf8(name).ok());
        let site = named.and_then(|name| name.parse::<SiteName>().ok());
        let line = site.as_ref().and_then(|site| self.shared.lines.get(site));
        let secret = line.map_or(&self.shared.decoy, |line| &line.secret);
        let shown = only(headers, &AUTHORIZATION).unwrap_or_default();
        let is_known = secret.is_shown_by(shown, Instant::now());
        let process = only(headers, &PROCESS)
            .filter(|process| process.len() == PROCESS_BYTES)
            .and_then(|process| std::str::from_utf8(process).ok());
        match (site, line, process) {
            (Some(site), Some(line), Some(process)) if is_known => {
                line.place.take(process).map(|held| (site, held)).ok_or(Refusal::InUse)
            }
            _ => Err(Refusal::Stranger),
        }
    }

    /// Counts a refusal, and logs it unless one was logged just now.
    fn refuse(&self, peer: SocketAddr, reason: impl std::fmt::Display) {
        self.shared.refused.fetch_add(1, Ordering::Relaxed);
        if let Some(others) = self.shared.refusals.count(Instant::now()) {
            tracing::warn!(%peer, others, %reason, "a call was refused");
        }
    }
}

/// A call that was promised.
struct Taken {
    upgrade: hyper::upgrade::OnUpgrade,
    held: Held,
    site: SiteName,
}

/// The value of a field that is there once: which of two counts must not be a guess.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let mut all = headers.get_all(name).iter();
    let first = all.next()?;
    all.next().is_none().then_some(first.as_bytes())
}

impl AsyncRead for Call {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl AsyncWrite for Call {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}
