//! What an operator asks a role: `/metrics`, `/healthz` and `/readyz` on an address of their own.
//!
//! The address is apart from the one that serves, so that whoever may send requests need not see
//! how the role is, and so that a role that is full still answers its probes. The pages carry
//! numbers and one reason; no address, no name of a client, no secret.
//!
//! It must never decide whether a role is ready: the role says so, as a [`Subject`]. It asks for no
//! credentials: who may reach it is a matter of where it listens.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use tidegate_relay::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use tidegate_relay::http::{Method, StatusCode};
use tidegate_relay::{Drain, Exchange, Handler, Phase, Reply, Server, ServerSettings};
use tidegate_telemetry::{Family, page};
use tokio::net::TcpListener;

/// The longest head of a request; those of probes and scrapes have some hundred bytes.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Time in which the head of a request must arrive.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Time that the last answers have to leave the process.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// A role that is asked.
pub trait Subject: Send + Sync + 'static {
    /// Its metrics as they are now.
    fn gather(&self) -> impl Future<Output = Vec<Family>> + Send;

    /// Whether it can do its work.
    fn readiness(&self) -> impl Future<Output = Readiness> + Send;
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

/// An admin address that is served. Dropping it stops accepting; [`Admin::close`] waits as well.
pub struct Admin {
    address: SocketAddr,
    drain: Drain,
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Admin {
    /// Serves `subject` on `listener`, in tasks of the current runtime.
    ///
    /// # Errors
    ///
    /// When the listener has no address any more.
    pub fn serve(listener: TcpListener, subject: impl Subject) -> std::io::Result<Self> {
        let address = listener.local_addr()?;
        let drain = Drain::new();
        let settings = ServerSettings {
            head_bytes_max: HEAD_BYTES_MAX,
            head_timeout: HEAD_TIMEOUT,
            ..ServerSettings::default()
        };
        let server = Server::new(Pages { subject }, settings, drain.clone());
        tokio::spawn(async move { server.serve_listener(listener).await });
        Ok(Self { address, drain })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts no more, and lets the last answers out, within a second.
    pub async fn close(self) {
        self.drain.set_phase(Phase::Closing);
        // Whoever still reads after that has had its time.
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, self.drain.until_empty()).await;
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.drain.set_phase(Phase::Closing);
    }
}

/// The answer to a question for metrics: the page that `families` make, or why not.
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

/// The answer to what is no page here.
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

struct Pages<S> {
    subject: S,
}

impl<S: Subject> Handler for Pages<S> {
    async fn handle(&self, exchange: &mut Exchange) {
        let head = exchange.head();
        let reply = match head.path() {
            b"/metrics" => metrics_reply(&head.method, &self.subject.gather().await),
            b"/healthz" | b"/readyz" if !is_read(&head.method) => not_allowed(),
            // That this is answered is the answer.
            b"/healthz" => text(StatusCode::OK, "ok".to_owned()),
            b"/readyz" => match self.subject.readiness().await {
                Readiness::Ready => text(StatusCode::OK, "ready".to_owned()),
                Readiness::NotReady(reason) => text(StatusCode::SERVICE_UNAVAILABLE, reason),
            },
            _ => not_found(),
        };
        // An error says that nobody reads any more.
        let _ = exchange.respond(reply).await;
    }
}

/// One line that no proxy may keep: it was true for a moment.
fn text(status: StatusCode, line: String) -> Reply {
    Reply::text(status, line + "\n")
        .with_header(CACHE_CONTROL, HeaderValue::from_static("no-store"))
}
