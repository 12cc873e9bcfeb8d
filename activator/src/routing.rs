//! Where a request on the activator's own port goes: by the routes, where one is for it; else by
//! what it names itself.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;
use tidegate_knative::headers;
use tidegate_proto::stats::v1 as wire;
use tidegate_relay::http::HeaderMap;
use tidegate_relay::http::header::{HeaderName, HeaderValue, LOCATION, SET_COOKIE};
use tidegate_relay::{Exchange, Reply, RequestHead, Scheme, host};
use tidegate_reporter::{RevisionName, RoutesMessage};
use tidegate_routes::visitor::{Transport, mix};
use tidegate_routes::{Answer, Outcome, Request, Revision, Share, ShareError, Table, Tag};
use tokio::sync::watch;

use crate::error::Failure;
use crate::mirror::MIRRORED;
use crate::revision_throttler::RevisionThrottler;
use crate::route::{self, RouteKey};
use crate::throttler::Throttler;

/// The routes of an activator. They change as a whole: a request that has been sent on is not
/// affected, and no request sees a part of one table and a part of another.
#[derive(Debug)]
pub struct Routes {
    live: RwLock<Option<Arc<LiveTable>>>,
    /// Counts draws, from a random beginning.
    drawn: AtomicU64,
}

/// A table with the names of its revisions as the throttlers know them.
#[derive(Debug)]
struct LiveTable {
    table: Table,
    names: Vec<RevisionName>,
}

/// Where a request goes.
pub(crate) enum Destination {
    /// To an instance of a revision; perhaps also to one of another, whose answer nobody gets.
    Revision(Arc<RevisionThrottler>, Option<RevisionName>),
    /// Back, with this.
    Back(Reply),
}

impl Default for Routes {
    fn default() -> Self {
        Self { live: RwLock::default(), drawn: AtomicU64::new(RandomState::new().hash_one(0)) }
    }
}

/// What SplitMix64 counts by: its multiples reach every number, those near each other far apart.
const DRAW_STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl Routes {
    /// Follows this table, if there is one yet.
    pub(crate) fn of(table: Option<Table>) -> Self {
        let routes = Self::default();
        table.into_iter().for_each(|table| routes.set(table));
        routes
    }

    /// Follows this table from now on.
    pub fn set(&self, table: Table) {
        let name =
            |of: &Revision| RevisionName { namespace: of.namespace.clone(), name: of.name.clone() };
        let names = table.revisions().iter().map(name).collect();
        *self.live.write() = Some(Arc::new(LiveTable { table, names }));
    }

    /// The table that is followed.
    pub fn table(&self) -> Option<Table> {
        self.live.read().as_ref().map(|live| live.table.clone())
    }

    /// Follows what the controller says, until it is cancelled. What cannot be followed changes
    /// nothing.
    pub(crate) async fn follow(self: Arc<Self>, mut news: watch::Receiver<RoutesMessage>) {
        let mut known: Option<(Arc<wire::Routes>, Table)> = None;
        while news.changed().await.is_ok() {
            let Some(message) = news.borrow_and_update().clone() else { continue };
            let base = match &known {
                Some((before, base)) if before.table == message.table => Ok(base.clone()),
                _ => Table::parse(&message.table).map_err(|error| error.to_string()),
            };
            let led = base.and_then(|base| Ok((led(&base, &message.led)?, base)));
            match led {
                Ok((table, base)) => {
                    self.set(table);
                    known = Some((message, base));
                }
                Err(error) => {
                    tracing::warn!(%error, "the controller's routes cannot be followed");
                }
            }
        }
        // The controller's side is gone: the last table holds.
        std::future::pending::<()>().await;
    }

    fn draw(&self) -> u64 {
        mix(self.drawn.fetch_add(DRAW_STEP, Ordering::Relaxed))
    }

    /// The revision of a connection that says nothing, where `route` leads to one.
    pub(crate) fn revision_of(
        &self,
        route: &str,
        throttler: &Throttler,
    ) -> Option<Arc<RevisionThrottler>> {
        let live = self.live.read().clone()?;
        let headers = HeaderMap::new();
        let request = Request { host: None, target: b"/", headers: &headers, draw: self.draw() };
        match live.table.find_in(route, &request) {
            Outcome::Forward(forward) => throttler.of(&live.names[forward.revision]),
            _ => None,
        }
    }

    /// Where a request goes: by `taken`, the route that its listener is for, or by what it names.
    pub(crate) fn destination(
        &self,
        exchange: &mut Exchange,
        throttler: &Throttler,
        taken: Option<&str>,
    ) -> Result<Destination, Failure> {
        let live = self.live.read().clone();
        let key = route_key(exchange.head())?;
        let unrouted = || {
            let found = throttler.find(&key).filter(|_| taken.is_none());
            Ok(Destination::Revision(found.ok_or(Failure::UnknownRevision)?, None))
        };
        let Some(live) = live else { return unrouted() };
        let head = exchange.head();
        let request = Request {
            host: key.host,
            target: &head.target,
            headers: &head.headers,
            draw: self.draw(),
        };
        let found = match taken {
            Some(route) => live.table.find_in(route, &request),
            None => live.table.find(&request),
        };
        let forward = match found {
            Outcome::Ambiguous => return Err(Failure::AmbiguousPath),
            Outcome::Unrouted => return unrouted(),
            Outcome::Answer { answer, .. } => return Ok(Destination::Back(reply(answer))),
            Outcome::Redirect { status, location, .. } => {
                let reply = Reply::empty(status).with_header(LOCATION, location);
                return Ok(Destination::Back(reply));
            }
            Outcome::Forward(forward) => forward,
        };
        let scheme = head.scheme;
        let headers = &mut exchange.head_mut().headers;
        headers.remove(MIRRORED);
        say_tag(headers, forward.tag);
        if let Some(visitor) = forward.visitor {
            let transport = match scheme {
                Scheme::Https => Transport::Encrypted,
                Scheme::Http => Transport::Plain,
            };
            exchange.add_to_response(SET_COOKIE, visitor.set_cookie(transport));
        }
        let name = &live.names[forward.revision];
        let found = throttler.of(name).ok_or(Failure::UnknownRevision)?;
        let mirror = forward.mirror.map(|mirror| live.names[mirror].clone());
        Ok(Destination::Revision(found, mirror))
    }
}

/// Tells the sidecar by which tag a request came, as Knative's ingresses do: by the same header
/// whether it was its host or the header itself, and otherwise that none decided.
fn say_tag(fields: &mut HeaderMap, tag: Tag<'_>) {
    match tag {
        // Whatever the request says is about somebody else's routes.
        Tag::None => {}
        Tag::OfHost(name) => {
            fields.insert(headers::SERVING_TAG, name.clone());
            fields.remove(headers::SERVING_DEFAULT_ROUTE);
        }
        Tag::OfHeader => drop(fields.remove(headers::SERVING_DEFAULT_ROUTE)),
        Tag::Undecided => {
            let decided = HeaderValue::from_static("true");
            fields.insert(headers::SERVING_DEFAULT_ROUTE, decided);
        }
    }
}

/// The table with the shares to which some of its routes were led.
fn led(base: &Table, all: &[wire::RouteShares]) -> Result<Table, String> {
    let mut table = base.clone();
    for wire::RouteShares { route, shares } in all {
        let share = |given: &wire::RevisionShare| {
            let RevisionName { namespace, name } =
                given.revision.clone().unwrap_or_default().into();
            let share = Share::from_millionths(given.millionths.into())?;
            Ok((Revision { namespace, name }, share))
        };
        let shares: Result<Vec<_>, ShareError> = shares.iter().map(share).collect();
        let changed = shares.and_then(|shares| table.with_shares(route, &shares));
        table = changed.map_err(|error| format!("route \"{}\": {error}", route.escape_debug()))?;
    }
    Ok(table)
}

fn reply(answer: &Answer) -> Reply {
    Reply { status: answer.status, headers: answer.headers.clone(), body: answer.body.clone() }
}

/// What the request states about its revision.
fn route_key(head: &RequestHead) -> Result<RouteKey<'_>, Failure> {
    host::in_field(&head.headers, headers::ORIGINAL_HOST)?;
    Ok(RouteKey {
        revision: routing_name(&head.headers, headers::SERVING_REVISION)?,
        namespace: routing_name(&head.headers, headers::SERVING_NAMESPACE)?,
        host: head.host.as_ref().and_then(|host| host.to_str().ok()),
    })
}

/// The one value of a routing header. One that is repeated or no name must not fall back to the
/// host: two parsers could then find two revisions.
fn routing_name(headers: &HeaderMap, name: HeaderName) -> Result<Option<&str>, Failure> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => {
            let value = value.to_str().map_err(|_| Failure::MalformedRoute)?;
            let name = route::is_name(value) || value.is_empty();
            name.then_some(Some(value)).ok_or(Failure::MalformedRoute)
        }
        (Some(_), Some(_)) => Err(Failure::MalformedRoute),
    }
}
