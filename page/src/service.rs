//! The page as a handler of requests: who may ask, and what is answered.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::{Value, json};
use tidegate_controller::overview::DetailQuery;
use tidegate_relay::http::header::{ALLOW, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use tidegate_relay::http::{Method, StatusCode};
use tidegate_relay::{Drain, Exchange, Handler, Phase, Reply, RequestHead, Server, ServerSettings};
use tidegate_trust::{Secret, SecretError};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::AbortHandle;

use crate::access::{Access, Gate};
use crate::assets::{self, guarded};
use crate::fleet::Snapshot;
use crate::origin::{Hosts, check_origin, check_site};
use crate::query::{View, order, what_if};
use crate::sampler::{Trails, sample};
use crate::source::Source;
use crate::stream::{self, End};
use crate::viewer::Viewer;
use crate::what_if::{Past, WhatIf};

/// Browsers that watch at a time. One more is refused: those that are there keep their pictures.
pub const VIEWERS_MAX: usize = 32;

/// The longest head of a request to a page on an address of its own.
const REQUEST_BYTES_MAX: usize = 32 << 10;

/// Time in which it must arrive.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(8);

/// Shown with each order. Only a page that has read it can send it.
const ORDERS_TOKEN: HeaderName = HeaderName::from_static("x-tidegate-orders");

/// What only this page itself may ask for.
const ACTIONS: [&[u8]; 4] = [b"/page/sign-in", b"/page/link", b"/page/orders", b"/page/what-if"];

/// Whether the page can change anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Orders {
    /// It shows.
    #[default]
    Refused,
    /// It can also order about rollouts.
    Taken,
}

/// How a page is served.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Who may look.
    pub access: Access,
    /// Whether it can change anything.
    pub orders: Orders,
    /// Names of this host that browsers may ask under, beside those of loopback.
    pub hosts: Vec<String>,
    /// The address that is listened on.
    pub listen: Option<IpAddr>,
    /// What is looked at, for people.
    pub title: String,
    /// Who says what other settings would have done; without it nobody is asked.
    pub what_if: Option<Arc<dyn WhatIf>>,
}

/// A page about a running controller. It is served by whoever has it handle requests below
/// `/page`; clones are the same page. It looks at the controller until the last one is dropped.
#[derive(Clone)]
pub struct Page {
    shared: Arc<Shared>,
}

/// What all requests share.
struct Shared {
    source: Arc<dyn Source>,
    gate: Gate,
    hosts: Hosts,
    orders: Orders,
    orders_token: Secret,
    title: String,
    what_if: Option<Arc<dyn WhatIf>>,
    /// Whether one is being asked: it may take a processor for seconds.
    asked: Semaphore,
    trails: Arc<Mutex<Trails>>,
    looks: watch::Receiver<Arc<Snapshot>>,
    viewers: Arc<Semaphore>,
    slow: AtomicU64,
    sampler: AbortHandle,
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Page").field("title", &self.shared.title).finish_non_exhaustive()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.sampler.abort();
    }
}

impl Page {
    /// Looks at what `source` shows from now on, such as the handle of a controller, in a task of
    /// the current runtime.
    ///
    /// # Errors
    ///
    /// When the system has no randomness.
    pub fn start(source: impl Source, settings: Settings) -> Result<Self, SecretError> {
        let Settings { access, orders, hosts, listen, title, what_if } = settings;
        let orders_token = Secret::random()?;
        let trails = Arc::default();
        let (told, looks) = watch::channel(Arc::default());
        let source: Arc<dyn Source> = Arc::new(source);
        let sampler = tokio::spawn(sample(Arc::clone(&source), Arc::clone(&trails), told));
        Ok(Self {
            shared: Arc::new(Shared {
                source,
                gate: Gate::new(access),
                hosts: Hosts::new(hosts, listen),
                orders,
                orders_token,
                title,
                what_if,
                asked: Semaphore::new(1),
                trails,
                looks,
                viewers: Arc::new(Semaphore::new(VIEWERS_MAX)),
                slow: AtomicU64::new(0),
                sampler: sampler.abort_handle(),
            }),
        })
    }

    /// The path and fragment of a link that signs in the first browser that follows it, within ten
    /// minutes. A fragment is not sent to any server, so that no log has it.
    ///
    /// # Errors
    ///
    /// When the system has no randomness.
    pub fn link(&self) -> Result<String, SecretError> {
        match self.shared.gate.is_open() {
            true => Ok("/page".to_owned()),
            false => Ok(format!("/page#link={}", self.shared.gate.link(Instant::now())?)),
        }
    }

    /// Browsers that watch now.
    #[must_use]
    pub fn viewers(&self) -> usize {
        VIEWERS_MAX - self.shared.viewers.available_permits()
    }

    /// Browsers that were cut off because they took too long to take what they were told.
    #[must_use]
    pub fn slow_viewers(&self) -> u64 {
        self.shared.slow.load(Ordering::Relaxed)
    }
}

/// A page on an address of its own. Dropping it ends what is open.
pub struct Serving {
    address: SocketAddr,
    drain: Drain,
    page: Page,
}

impl fmt::Debug for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serving").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Serving {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.drain.set_phase(Phase::Closing);
        // Who watches is told the end of it.
        self.page.shared.sampler.abort();
    }
}

impl Page {
    /// Serves it on `listener`, and nothing else, in tasks of the current runtime.
    ///
    /// # Errors
    ///
    /// When the listener has no address any more.
    pub fn serve(self, listener: TcpListener) -> io::Result<Serving> {
        let address = listener.local_addr()?;
        let drain = Drain::new();
        let settings = ServerSettings {
            head_bytes_max: REQUEST_BYTES_MAX,
            head_timeout: REQUEST_TIMEOUT,
            ..ServerSettings::default()
        };
        let server = Server::new(self.clone(), settings, drain.clone());
        tokio::spawn(async move { server.serve_listener(listener).await });
        Ok(Serving { address, drain, page: self })
    }
}

/// What is done about a request.
enum Response {
    Whole(Reply),
    Stream(Box<Viewer>, OwnedSemaphorePermit),
}

impl Handler for Page {
    async fn handle(&self, exchange: &mut Exchange) {
        let reply = match self.shared.respond(exchange.head()).await {
            Response::Whole(reply) => guarded(reply),
            Response::Stream(viewer, _place) => {
                let end = stream::tell(self.shared.looks.clone(), exchange, *viewer).await;
                if end == End::Slow {
                    self.shared.slow.fetch_add(1, Ordering::Relaxed);
                }
                return;
            }
        };
        // This fails only when the client has gone.
        let _ = exchange.respond(reply).await;
    }
}

impl Shared {
    async fn respond(&self, head: &RequestHead) -> Response {
        let is_page = head.path() == b"/page" || head.path().starts_with(b"/page/");
        if !is_page {
            return Response::Whole(not_found());
        }
        if let Err(stranger) = self.hosts.check_host(head.host.as_ref()) {
            return refused(StatusCode::MISDIRECTED_REQUEST, &stranger);
        }
        match (head.path(), &head.method) {
            (b"/page/events", &Method::GET) => self.watch(head),
            (b"/page/about", &Method::GET) => self.about(head),
            (path, method) if ACTIONS.contains(&path) => {
                match check_origin(&head.headers, head.host.as_ref()) {
                    _ if *method != Method::POST => not_allowed("POST"),
                    Ok(()) => self.post(head).await,
                    Err(stranger) => refused(StatusCode::FORBIDDEN, &stranger),
                }
            }
            (path, &Method::GET | &Method::HEAD) => match assets::file(path) {
                Some(file) => Response::Whole(file),
                None => Response::Whole(not_found()),
            },
            _ => not_allowed("GET, HEAD"),
        }
    }

    fn is_admitted(&self, head: &RequestHead) -> bool {
        self.gate.admits(authorization(head), Instant::now())
    }

    fn watch(&self, head: &RequestHead) -> Response {
        if let Err(stranger) = check_site(&head.headers) {
            return refused(StatusCode::FORBIDDEN, &stranger);
        }
        if !self.is_admitted(head) {
            return unknown();
        }
        let view = match View::of_target(&head.target) {
            Ok(view) => view,
            Err(error) => return refused(StatusCode::BAD_REQUEST, &error),
        };
        match Arc::clone(&self.viewers).try_acquire_owned() {
            Ok(place) => {
                let viewer = Viewer::new(Arc::clone(&self.source), Arc::clone(&self.trails), view);
                Response::Stream(Box::new(viewer), place)
            }
            Err(_) => {
                let full = format!("{VIEWERS_MAX} browsers watch already: close one of them");
                refused(StatusCode::SERVICE_UNAVAILABLE, &full)
            }
        }
    }

    /// Whether the browser is signed in, and what the page can do.
    fn about(&self, head: &RequestHead) -> Response {
        if !self.is_admitted(head) {
            return whole(StatusCode::OK, &json!({ "signed_in": false }));
        }
        let orders = match self.orders {
            Orders::Taken => Some(self.orders_token.reveal()),
            Orders::Refused => None,
        };
        let (title, asks) = (&self.title, !self.gate.is_open());
        let about = json!({
            "signed_in": true, "asks": asks, "title": title, "orders": orders,
            "what_if": self.what_if.is_some(), "routes": self.source.controller().is_some(),
        });
        whole(StatusCode::OK, &about)
    }

    async fn post(&self, head: &RequestHead) -> Response {
        if head.path() == b"/page/sign-in" {
            return match self.gate.sign_in(authorization(head), Instant::now()) {
                Ok(Some(session)) => whole(StatusCode::OK, &json!({ "session": session })),
                Ok(None) => unknown(),
                Err(error) => refused(StatusCode::INTERNAL_SERVER_ERROR, &error),
            };
        }
        if !self.is_admitted(head) {
            return unknown();
        }
        if head.path() == b"/page/link" {
            return match self.gate.link(Instant::now()) {
                Ok(link) => whole(StatusCode::OK, &json!({ "link": link })),
                Err(error) => refused(StatusCode::INTERNAL_SERVER_ERROR, &error),
            };
        }
        match head.path() {
            b"/page/what-if" => self.what_if(head).await,
            _ => self.order(head).await,
        }
    }

    async fn what_if(&self, head: &RequestHead) -> Response {
        let (Some(who), Some(controller)) = (self.what_if.clone(), self.source.controller()) else {
            return refused(StatusCode::NOT_FOUND, &"nobody here can say what would have been");
        };
        let (id, settings) = match what_if(&head.target) {
            Ok(question) => question,
            Err(error) => return refused(StatusCode::BAD_REQUEST, &error),
        };
        let Ok(_asked) = self.asked.try_acquire() else {
            let busy = "another question is being answered: ask again in a moment";
            return refused(StatusCode::SERVICE_UNAVAILABLE, &busy);
        };
        let query = DetailQuery { after: u64::MAX, decisions_max: 0, instances_max: 0 };
        let detail = match controller.detail(id.revision.clone(), query).await {
            Ok(detail) => detail,
            Err(ended) => return refused(StatusCode::SERVICE_UNAVAILABLE, &ended),
        };
        let until_ms = self.looks.borrow().at_ms;
        let past = {
            let trails = self.trails.lock();
            detail.zip(trails.of(&id)).map(|(detail, trail)| {
                Past::new(detail.declaration, trail, until_ms, detail.cold_starts)
            })
        };
        let Some(past) = past else {
            return refused(StatusCode::NOT_FOUND, &"the controller knows no such revision");
        };
        match tokio::task::spawn_blocking(move || who.replay(&past, &settings)).await {
            Ok(Ok(replay)) => whole(StatusCode::OK, &json!(replay)),
            Ok(Err(why)) => refused(StatusCode::UNPROCESSABLE_ENTITY, &why),
            Err(_) => refused(StatusCode::INTERNAL_SERVER_ERROR, &"the simulation failed"),
        }
    }

    async fn order(&self, head: &RequestHead) -> Response {
        if self.orders == Orders::Refused {
            let told = "this page changes nothing: that takes --page-orders";
            return refused(StatusCode::FORBIDDEN, &told);
        }
        let shown = head.headers.get(ORDERS_TOKEN).map(HeaderValue::as_bytes);
        let bearer = [b"Bearer ", shown.unwrap_or_default()].concat();
        if !self.orders_token.is_shown_by(&bearer) {
            return refused(StatusCode::FORBIDDEN, &"the order carries no token of this page");
        }
        let (route, order) = match order(&head.target) {
            Ok(order) => order,
            Err(error) => return refused(StatusCode::BAD_REQUEST, &error),
        };
        let Some(controller) = self.source.controller() else {
            return refused(StatusCode::FORBIDDEN, &"a view of several sites takes no orders");
        };
        match controller.order_rollout(route.clone(), order).await {
            Ok(Ok(())) => {
                tracing::info!(route, ?order, "ordered from the page");
                whole(StatusCode::OK, &json!({}))
            }
            Ok(Err(error)) => refused(StatusCode::CONFLICT, &error),
            Err(ended) => refused(StatusCode::SERVICE_UNAVAILABLE, &ended),
        }
    }
}

fn authorization(head: &RequestHead) -> Option<&[u8]> {
    head.headers.get(AUTHORIZATION).map(HeaderValue::as_bytes)
}

fn whole(status: StatusCode, value: &Value) -> Response {
    let mut reply = Reply::text(status, value.to_string());
    reply.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Response::Whole(reply)
}

fn refused(status: StatusCode, why: &impl ToString) -> Response {
    whole(status, &json!({ "error": why.to_string() }))
}

fn unknown() -> Response {
    refused(StatusCode::UNAUTHORIZED, &"not signed in: show the controller's secret or a new link")
}

fn not_allowed(allowed: &'static str) -> Response {
    let reply = Reply::error(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
    Response::Whole(reply.with_header(ALLOW, HeaderValue::from_static(allowed)))
}

fn not_found() -> Reply {
    Reply::error(StatusCode::NOT_FOUND, "404 page not found")
}
