//! The end that dials: calls a view, says which site this is, and calls again when the call ends.

use std::error::Error as _;
use std::io;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONNECTION, HOST, UPGRADE};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tidegate_reporter::transport::{self, ConnectError, Target};
use tidegate_reporter::{Backoff, ConfigError};
use tidegate_trust::secret::{hexadecimal, random_bytes};
use tidegate_trust::{ClientCertificates, Credentials, SharedSecret, TlsMismatch};
use tidegate_words::shorten;

use crate::greeting::{
    ALPN, HEAD_BYTES_MAX, PATH, PROCESS, PROCESS_BYTES, PROTOCOL, REASON_BYTES_MAX, SITE,
};
use crate::noted::Noted;
use crate::site::SiteName;

/// How long a call may take to begin: to connect, TLS, and the view's response.
const BEGIN_TIMEOUT: Duration = Duration::from_secs(10);

/// A call that lasted this long was a good one: the wait before the next begins anew.
const GOOD_AFTER: Duration = Duration::from_secs(10);

/// The same failure is logged again after this time.
const REPEAT_LOG_EVERY: Duration = Duration::from_secs(300);

/// What is called, and as whom.
#[derive(Debug, Clone)]
pub struct Caller {
    view: Target,
    site: SiteName,
    secret: SharedSecret,
    process: HeaderValue,
    backoff: Backoff,
}

/// Why a call did not begin.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// There is no connection.
    #[error(transparent)]
    Connect(ConnectError),
    /// The two ends do not trust each other, or only one of them speaks TLS.
    #[error("{fault}; {remedy}")]
    Tls {
        /// What does not fit.
        fault: String,
        /// What to do.
        remedy: String,
    },
    /// What answers speaks another protocol.
    #[error(
        "what answers there takes no calls ({0}): expected the address that `tidegate view` was \
         given with --calls; name it with https:// where it speaks TLS"
    )]
    NoView(String),
    /// The view refuses.
    #[error("the view refuses the call: {0}")]
    Refused(String),
    /// Nothing was said in time.
    #[error("no answer within {BEGIN_TIMEOUT:?}")]
    Silent,
}

impl CallError {
    /// Whether an early retry is of no use.
    fn is_refusal(&self) -> bool {
        match self {
            Self::Connect(error) => error.is_mismatch(),
            Self::Tls { .. } | Self::NoView(_) | Self::Refused(_) => true,
            Self::Silent => false,
        }
    }
}

impl Caller {
    /// Calls the view at `host:port`, `http://host:port` or `https://host:port` as `site`, which
    /// `secret` proves. TLS is spoken with https, and whenever there are certificates.
    ///
    /// # Errors
    ///
    /// When the address cannot be used, a certificate cannot, or there is no randomness.
    pub fn new(
        view: &str,
        site: SiteName,
        secret: SharedSecret,
        certificates: Option<ClientCertificates>,
    ) -> Result<Self, ConfigError> {
        let view = Target::new(view, &Credentials { secret: None, certificates })?;
        let process = hexadecimal(&random_bytes::<{ PROCESS_BYTES / 2 }>()?);
        // Digits and letters can be sent.
        let process = HeaderValue::try_from(process).unwrap_or(HeaderValue::from_static(""));
        Ok(Self { view, site, secret, process, backoff: Backoff::default() })
    }

    /// Where the view is, `host:port`.
    #[must_use]
    pub fn view(&self) -> &str {
        self.view.authority()
    }

    /// As which site.
    #[must_use]
    pub fn site(&self) -> &SiteName {
        &self.site
    }

    /// Calls, and has `answer` serve each call until it ends; for ever. Cancel safe: dropping the
    /// future ends the call.
    pub async fn run<F>(self, answer: impl Fn(TokioIo<Upgraded>) -> F)
    where
        F: Future<Output = ()>,
    {
        let (view, site) = (self.view.authority().to_owned(), self.site.clone());
        if !self.view.is_private() {
            let remedy = "name it with https://, or give --call-ca";
            tracing::warn!(view, remedy, "the view is called without TLS: secrets can be read");
        }
        let (mut failures, mut refusals) = (0_u32, 0_u32);
        let mut told: Option<(String, Instant)> = None;
        loop {
            match self.begin().await {
                Ok(stream) => {
                    tracing::info!(view, %site, "the view takes our call");
                    told = None;
                    let began = Instant::now();
                    answer(stream).await;
                    tracing::warn!(view, %site, "the call to the view has ended, calling again");
                    if began.elapsed() >= GOOD_AFTER {
                        (failures, refusals) = (0, 0);
                    }
                }
                Err(error) => {
                    refusals = if error.is_refusal() { refusals.saturating_add(1) } else { 0 };
                    let text = error.to_string();
                    let is_news = told.as_ref().is_none_or(|(before, at)| {
                        *before != text || at.elapsed() >= REPEAT_LOG_EVERY
                    });
                    if is_news {
                        tracing::warn!(view, %site, error = text, "the view cannot be called");
                        told = Some((text, Instant::now()));
                    }
                }
            }
            let random = Backoff::random();
            let wait = match refusals {
                0 => self.backoff.wait(failures, random),
                some => self.backoff.wait_refused(some, random),
            };
            failures = failures.saturating_add(1);
            tokio::time::sleep(wait).await;
        }
    }

    async fn begin(&self) -> Result<TokioIo<Upgraded>, CallError> {
        let called = tokio::time::timeout(BEGIN_TIMEOUT, self.call());
        called.await.map_err(|_| CallError::Silent)?
    }

    /// One call, from the connection to the protocol that is switched to.
    async fn call(&self) -> Result<TokioIo<Upgraded>, CallError> {
        let stream = transport::open(&self.view, ALPN).await.map_err(|error| match error {
            ConnectError::Tls(mismatch) => in_terms_of_a_view(&mismatch),
            other => CallError::Connect(other),
        })?;
        let (stream, note) = Noted::new(stream, self.view.clone());
        let failed = |error: hyper::Error| match note.lock().take() {
            Some(mismatch) => in_terms_of_a_view(&mismatch),
            None => failed(&error),
        };
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(HEAD_BYTES_MAX)
            .handshake::<_, Empty<Bytes>>(TokioIo::new(stream))
            .await
            .map_err(failed)?;
        // It ends with the exchange, or hands the stream to whoever waits for the upgrade.
        let exchange = tokio::spawn(connection.with_upgrades());
        let response = match sender.send_request(self.request().await).await {
            Ok(response) => response,
            // With TLS 1.3 a view refuses a certificate after the handshake is done for us. The
            // connection reads why, if it is let come to its end.
            Err(error) => {
                drop(exchange.await);
                return Err(failed(error));
            }
        };
        match response.status() {
            StatusCode::SWITCHING_PROTOCOLS => {
                let upgraded = hyper::upgrade::on(response).await.map_err(failed)?;
                Ok(TokioIo::new(upgraded))
            }
            status if response.headers().contains_key(SITE) => {
                let why = reason(response).await.unwrap_or_else(|| status.to_string());
                Err(CallError::Refused(why))
            }
            status => Err(CallError::NoView(status.to_string())),
        }
    }

    async fn request(&self) -> Request<Empty<Bytes>> {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = http::Uri::from_static(PATH);
        let headers = request.headers_mut();
        // An authority that was parsed, and the name of a site, can be sent.
        let text = |text: &str| HeaderValue::from_str(text).ok();
        headers.extend(text(self.view.authority()).map(|value| (HOST, value)));
        headers.extend(text(self.site.as_str()).map(|value| (SITE, value)));
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static(PROTOCOL));
        headers.insert(PROCESS, self.process.clone());
        headers.insert(AUTHORIZATION, self.secret.renewed().await.bearer().clone());
        request
    }
}

/// Why an exchange broke off.
fn failed(error: &hyper::Error) -> CallError {
    let mut cause = error.source();
    while let Some(other) = cause.filter(|cause| !cause.is::<io::Error>()) {
        cause = other.source();
    }
    match cause.and_then(|cause| cause.downcast_ref::<io::Error>()) {
        _ if error.is_parse() => CallError::NoView("it speaks no HTTP/1.1".to_owned()),
        Some(error) => CallError::Connect(io::Error::from(error.kind()).into()),
        None => CallError::Connect(ConnectError::HungUp),
    }
}

/// What does not fit, with the names that the two ends of a call have.
fn in_terms_of_a_view(mismatch: &TlsMismatch) -> CallError {
    let reworded = |text: &str| {
        text.replace("TIDEGATE_CONTROLLER_", "TIDEGATE_CALL_")
            .replace("--tls-client-ca", "--calls-client-ca")
            .replace("controller", "view")
    };
    CallError::Tls { fault: reworded(mismatch.fault()), remedy: reworded(mismatch.remedy()) }
}

/// Why the view refuses, in its words.
async fn reason(response: Response<Incoming>) -> Option<String> {
    let body = Limited::new(response.into_body(), REASON_BYTES_MAX).collect().await.ok()?;
    let text = String::from_utf8(body.to_bytes().to_vec()).ok()?;
    Some(shorten(text.trim()).into_owned()).filter(|text| !text.is_empty())
}
