//! One request from the client to an instance and back.

use std::sync::Arc;
use std::time::Duration;

use tidegate_admission::Abandoned;
use tidegate_relay::http::HeaderMap;
use tidegate_relay::http::header::{HeaderName, HeaderValue};
use tidegate_relay::{
    ConnectPatience, Drain, Exchange, Forward, Guard, Handler, Interrupted, RequestHead,
    TimeLimits, forwarded, host,
};

use crate::answers::Failure;
use crate::door::{Passage, Unreachable, Visit};
use crate::doors::Doors;
use crate::identity::{self, Claim, NAMESPACE_HEADER, REVISION_HEADER};
use crate::probe;

/// Tells the sidecar that an activator has counted the request as well.
const PROXIED_BY: HeaderName = HeaderName::from_static("k-proxy-request");
/// The host that the sidecar will put into `Host`.
const ORIGINAL_HOST: HeaderName = HeaderName::from_static("k-original-host");
const ACTIVATOR: HeaderValue = HeaderValue::from_static("activator");

/// A request is offered to this many instances at most. Each that cannot be reached is left alone
/// for a while, so more than this many dead ones in a row are no coincidence.
const ATTEMPTS_MAX: u32 = 64;

/// Handles every request of the listener.
#[derive(Clone)]
pub(crate) struct Passing {
    pub(crate) doors: Arc<Doors>,
    pub(crate) limits: TimeLimits,
    pub(crate) abandoned: Abandoned,
    pub(crate) drain: Drain,
}

/// Holds the room at an instance while the instance is at work.
struct Sent {
    passage: Passage,
    abandoned: Abandoned,
}

impl Guard for Sent {
    fn abandoned(&mut self) -> Option<Duration> {
        self.passage.abandon(self.abandoned)
    }
}

impl Handler for Passing {
    async fn handle(&self, exchange: &mut Exchange) {
        if let Some(reply) = probe::answer(exchange.head(), self.drain.phase()) {
            // An error says that the client has gone; then nobody is left to be told.
            let _ = exchange.respond(reply).await;
            return;
        }
        let door = claim(exchange.head())
            .and_then(|claim| self.doors.find(&claim).ok_or(Failure::UnknownRevision));
        let door = match door {
            Ok(door) => door,
            Err(failure) => {
                fail(exchange, &failure).await;
                return;
            }
        };
        let mut visit = door.visit();
        if let Err(failure) = self.pass(exchange, &mut visit).await {
            if failure.is_instances() {
                visit.mark_failed();
            }
            tracing::debug!(revision = ?door.revision(), %failure, "request failed");
            fail(exchange, &failure).await;
        }
    }
}

impl Passing {
    /// Waits for an instance, sends the request, and asks for another one as long as nothing of it
    /// was sent.
    async fn pass(&self, exchange: &mut Exchange, visit: &mut Visit) -> Result<(), Failure> {
        let peer = exchange.peer().map(|peer| peer.ip());
        rewrite(exchange.head_mut(), peer);
        for _ in 0..ATTEMPTS_MAX {
            let passage = exchange.hold(self.limits, visit.passage()).await??;
            let instance = passage.instance().clone();
            let forward = Forward {
                limits: self.limits,
                connect: ConnectPatience::Once(passage.connect_budget()),
                guard: Sent { passage, abandoned: self.abandoned },
            };
            let outcome = exchange.forward(instance.upstream(), forward).await;
            if let Some(took) = exchange.report().connect {
                instance.connected(took);
            }
            let Err(error) = outcome else { return Ok(()) };
            if let Some(how) = Unreachable::of(&error) {
                tracing::info!(instance = instance.name(), %error, "an instance is unreachable");
                instance.unreachable(how);
            }
            if !error.is_unsent() || exchange.has_responded() {
                return Err(error.into());
            }
        }
        Err(Failure::Unreachable { attempts: ATTEMPTS_MAX })
    }
}

/// Answers with the failure, unless the client has gone or has had the beginning of an answer.
async fn fail(exchange: &mut Exchange, failure: &Failure) {
    if matches!(failure, Failure::Interrupted(Interrupted::ClientGone)) {
        return;
    }
    if !exchange.has_responded() {
        let reply = failure.reply(exchange.head());
        let _ = exchange.respond(reply).await;
    }
}

/// What the request says about its revision.
fn claim(head: &RequestHead) -> Result<Claim<'_>, Failure> {
    host::in_field(&head.headers, ORIGINAL_HOST).map_err(|_| Failure::MalformedRoute)?;
    Ok(Claim {
        revision: route(&head.headers, REVISION_HEADER)?,
        namespace: route(&head.headers, NAMESPACE_HEADER)?,
        host: head.host.as_ref().and_then(|host| host.to_str().ok()),
    })
}

/// The one value of a routing header. What is repeated or no name must not fall back to the host:
/// two readers would find two revisions.
fn route<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Failure> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => {
            let value = value.to_str().map_err(|_| Failure::MalformedRoute)?;
            let name = identity::is_name(value) || value.is_empty();
            name.then_some(Some(value)).ok_or(Failure::MalformedRoute)
        }
        (Some(_), Some(_)) => Err(Failure::MalformedRoute),
    }
}

/// What the instance's sidecar must and must not see.
fn rewrite(head: &mut RequestHead, peer: Option<std::net::IpAddr>) {
    head.headers.remove(REVISION_HEADER);
    head.headers.remove(NAMESPACE_HEADER);
    head.headers.insert(PROXIED_BY, ACTIVATOR);
    if let Some(peer) = peer {
        forwarded::append_forwarded_for(&mut head.headers, peer);
    }
}
