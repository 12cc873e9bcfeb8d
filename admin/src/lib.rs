//! The admin pages of a role: `/metrics`, `/healthz` and `/readyz` on an address of their own.
//!
//! The address is separate from the one that serves, so that clients cannot see the state of the
//! role, and so that a role at its limit still responds to its probes. The pages carry numbers and
//! one reason; no address, no name of a client, no secret.
//!
//! It must never decide whether a role is ready: the role does, as a [`Subject`]. It requires no
//! credentials but those of TLS: access is controlled by the address that it listens on, and by
//! client certificates where those are asked for.
//!
//! One module, in reading order: [`Subject`] and [`Readiness`] are what a role provides,
//! [`Listening`] is where, [`Admin`] serves the pages, alone or beside others, [`metrics_reply`]
//! and [`close`] are for roles that serve pages elsewhere.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tidegate_relay::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use tidegate_relay::http::{Method, StatusCode};
use tidegate_relay::{
    Callers, Drain, Exchange, Handler, Phase, Reply, Scheme, Server, ServerSettings,
};
use tidegate_telemetry::{Family, page};
use tidegate_tls::Acceptor;
use tidegate_trust::ServerTls;
use tidegate_trust::renewed::RENEW_EVERY;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

/// The longest head of a request; those of probes and scrapes have some hundred bytes.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Time in which the head of a request must arrive.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the last responses may take to be written.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// A role with admin pages.
pub trait Subject: Send + Sync + 'static {
    /// Its metrics as they are now.
    fn gather(&self) -> impl Future<Output = Vec<Family>> + Send;

    /// Whether it can do its work.
    fn readiness(&self) -> impl Future<Output = Readiness> + Send;
}

impl<S: Subject> Subject for Arc<S> {
    async fn gather(&self) -> Vec<Family> {
        S::gather(self).await
    }

    async fn readiness(&self) -> Readiness {
        S::readiness(self).await
    }
}

/// Whether a role can do its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// It can.
    Ready,
    /// It cannot, for this reason.
    NotReady(String),
}

impl Readiness {
    /// Not ready, for this reason.
    pub fn not_ready(reason: impl fmt::Display) -> Self {
        Self::NotReady(reason.to_string())
    }
}

/// An address that is listened on, and what is spoken there.
#[derive(Debug)]
pub struct Listening {
    listener: TcpListener,
    tls: Option<Arc<ServerTls>>,
}

impl Listening {
    /// HTTP inside TLS and nothing else, on `listener`.
    #[must_use]
    pub fn over_tls(listener: TcpListener, tls: Arc<ServerTls>) -> Self {
        Self { listener, tls: Some(tls) }
    }

    /// Where it is.
    ///
    /// # Errors
    ///
    /// When it has no address any more.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// What its addresses begin with.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        if self.tls.is_some() { Scheme::Https } else { Scheme::Http }
    }
}

/// Plain HTTP.
impl From<TcpListener> for Listening {
    fn from(listener: TcpListener) -> Self {
        Self { listener, tls: None }
    }
}

/// An admin address that is served. Dropping it stops accepting; [`Admin::close`] waits as well.
pub struct Admin {
    address: SocketAddr,
    scheme: Scheme,
    drain: Drain,
    /// Looks at certificates.
    renewing: Option<AbortHandle>,
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Admin {
    /// Serves `subject` where it is listened, in tasks of the current runtime. Certificates are
    /// read anew when their files change.
    ///
    /// # Errors
    ///
    /// When the listener has no address any more.
    pub fn serve(listening: impl Into<Listening>, subject: impl Subject) -> std::io::Result<Self> {
        Self::serve_beside(listening, subject, NoOthers)
    }

    /// As [`Admin::serve`], and has `others` respond to requests for every other path.
    ///
    /// # Errors
    ///
    /// When the listener has no address any more.
    pub fn serve_beside(
        listening: impl Into<Listening>,
        subject: impl Subject,
        others: impl Handler,
    ) -> std::io::Result<Self> {
        let listening: Listening = listening.into();
        let (address, scheme) = (listening.local_addr()?, listening.scheme());
        let Listening { listener, tls } = listening;
        let drain = Drain::new();
        let settings = ServerSettings {
            head_bytes_max: HEAD_BYTES_MAX,
            head_timeout: HEAD_TIMEOUT,
            callers: Callers::Operators,
            scheme,
            ..ServerSettings::default()
        };
        let server = Server::new(Pages { subject, others }, settings, drain.clone());
        let renewing = tls.as_ref().map(|tls| {
            let renewals = tls.renewals();
            tokio::spawn(async move { renewals.watch(RENEW_EVERY).await }).abort_handle()
        });
        tokio::spawn(accept(server, listener, tls));
        Ok(Self { address, scheme, drain, renewing })
    }

    /// What is spoken there.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops accepting, and waits until the last responses are written, for a second at most.
    pub async fn close(self) {
        close(&self.drain).await;
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.drain.set_phase(Phase::Closing);
        if let Some(renewing) = &self.renewing {
            renewing.abort();
        }
    }
}

async fn accept<H: Handler>(server: Server<H>, listener: TcpListener, tls: Option<Arc<ServerTls>>) {
    let Some(tls) = tls else { return server.serve_listener(listener).await };
    let serve = move |server: Server<H>, stream, peer| {
        // That in force now: a connection keeps what it began with.
        let acceptor = Acceptor::new(tls.current(), HEAD_TIMEOUT);
        async move { acceptor.serve(&server, stream, peer).await }
    };
    server.accept(listener, serve).await;
}

/// Ends servers of such pages that share `drain`: stops accepting, and waits until the last
/// responses are written, for a second at most.
pub async fn close(drain: &Drain) {
    drain.set_phase(Phase::Closing);
    // A client that is slower than that is disconnected.
    let _ = tokio::time::timeout(CLOSE_TIMEOUT, drain.until_empty()).await;
}

/// The response to a request for metrics: the page of `families`, or an error.
#[must_use]
pub fn metrics_reply(method: &Method, families: &[Family]) -> Reply {
    if !is_read(method) {
        return not_allowed();
    }
    let mut reply = Reply::empty(StatusCode::OK)
        .with_header(CONTENT_TYPE, HeaderValue::from_static(page::CONTENT_TYPE));
    reply.body = page::render(families).into();
    reply
}

/// The response for a path without a page.
#[must_use]
pub fn not_found() -> Reply {
    Reply::error(StatusCode::NOT_FOUND, "404 page not found")
}

fn not_allowed() -> Reply {
    Reply::error(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
        .with_header(ALLOW, HeaderValue::from_static("GET, HEAD"))
}

fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// Nothing else is on the address.
struct NoOthers;

impl Handler for NoOthers {
    async fn handle(&self, exchange: &mut Exchange) {
        // This fails only when the client has gone.
        let _ = exchange.respond(not_found()).await;
    }
}

struct Pages<S, O> {
    subject: S,
    others: O,
}

impl<S: Subject, O: Handler> Handler for Pages<S, O> {
    async fn handle(&self, exchange: &mut Exchange) {
        let head = exchange.head();
        let reply = match head.path() {
            b"/metrics" => metrics_reply(&head.method, &self.subject.gather().await),
            b"/healthz" | b"/readyz" if !is_read(&head.method) => not_allowed(),
            // A process that responds is alive.
            b"/healthz" => text(StatusCode::OK, "ok".to_owned()),
            b"/readyz" => match self.subject.readiness().await {
                Readiness::Ready => text(StatusCode::OK, "ready".to_owned()),
                Readiness::NotReady(reason) => text(StatusCode::SERVICE_UNAVAILABLE, reason),
            },
            _ => return self.others.handle(exchange).await,
        };
        // This fails only when the client has gone.
        let _ = exchange.respond(reply).await;
    }
}

/// One line that no proxy may cache: it holds for a moment.
fn text(status: StatusCode, line: String) -> Reply {
    Reply::text(status, line + "\n")
        .with_header(CACHE_CONTROL, HeaderValue::from_static("no-store"))
}
