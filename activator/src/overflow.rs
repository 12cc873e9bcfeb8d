//! What becomes of requests that no instance takes: a status, a page for people, or somebody else.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tidegate_relay::http::StatusCode;
use tidegate_relay::http::header::HeaderName;
use tidegate_relay::{
    Address, ConnectPatience, Exchange, Forward, ForwardError, Guard, TimeLimits, Upstream,
    UpstreamSettings,
};
use tidegate_reporter::RevisionName;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::placeholder::Placeholder;

/// Who answered in an instance's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Substitute {
    /// The page.
    Placeholder,
    /// The revision's fallback.
    Fallback,
}

/// Requests at one fallback at a time. It is there for what is too much; beyond this it would be
/// too much for it as well, and the rest is refused.
pub const FALLBACK_REQUESTS_MAX: usize = 1_000;

/// How long a fallback may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Idle connections kept to a fallback, as many as to an instance without a limit.
const FALLBACK_IDLE_MAX: usize = 100;

/// What becomes of requests that are refused.
#[derive(Debug, Clone)]
pub struct Overflow {
    /// The status: 503, or 429 where clients are to slow down.
    pub status: StatusCode,
    /// The page that people see.
    pub placeholder: Option<Placeholder>,
    /// Who answers in an instance's place, by revision.
    pub fallbacks: BTreeMap<RevisionName, SocketAddr>,
}

impl Default for Overflow {
    fn default() -> Self {
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            placeholder: None,
            fallbacks: BTreeMap::new(),
        }
    }
}

/// The fallbacks, with the connections to them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fallbacks(Arc<BTreeMap<RevisionName, Fallback>>);

#[derive(Debug)]
struct Fallback {
    upstream: Upstream,
    places: Arc<Semaphore>,
}

impl Fallbacks {
    pub(crate) fn new(addresses: &BTreeMap<RevisionName, SocketAddr>) -> Self {
        let fallback = |address: &SocketAddr| {
            let settings =
                UpstreamSettings { idle_max: FALLBACK_IDLE_MAX, ..UpstreamSettings::default() };
            Fallback {
                upstream: Upstream::new(Address::Tcp(*address), settings),
                places: Arc::new(Semaphore::new(FALLBACK_REQUESTS_MAX)),
            }
        };
        let known =
            addresses.iter().map(|(revision, address)| (revision.clone(), fallback(address)));
        Self(Arc::new(known.collect()))
    }

    /// Closes connections that have been idle for too long.
    pub(crate) fn close_expired(&self) {
        self.0.values().for_each(|fallback| fallback.upstream.close_expired());
    }

    /// Sends a request of which nothing was sent yet to the revision's fallback. `None` if there
    /// is none, or it has too many.
    ///
    /// `private` are headers that only instances may see.
    pub(crate) async fn forward(
        &self,
        exchange: &mut Exchange,
        revision: &RevisionName,
        (limits, private): (TimeLimits, &[HeaderName]),
    ) -> Option<Result<(), ForwardError>> {
        let fallback = self.0.get(revision)?;
        let place = Arc::clone(&fallback.places).try_acquire_owned().ok()?;
        for name in private {
            exchange.head_mut().headers.remove(name);
        }
        let guard = FallbackPlace { _place: place };
        let connect = ConnectPatience::Once(CONNECT_TIMEOUT);
        Some(exchange.forward(&fallback.upstream, Forward { limits, connect, guard }).await)
    }
}

/// A request's place at a fallback.
struct FallbackPlace {
    _place: OwnedSemaphorePermit,
}

impl Guard for FallbackPlace {}
