//! What others see of the services: how each stands, also while they drain.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::RwLock;
use tidegate_activator::throttler::Throttler;
use tidegate_activator::{OutcomeCounter, Outcomes};
use tidegate_controller::status::RevisionStatus;
use tidegate_controller::{Ended, Handle, RevisionId};
use tidegate_services::NAMESPACE;

use super::standing::{Place, Stage};
use crate::engine::Engine;
use crate::names::service_of;
use crate::operate::Roster;
use crate::view::View;

/// How one service stands.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceStatus {
    /// Its name.
    pub name: String,
    /// The revision that its requests go to.
    pub revision: Option<String>,
    /// The revision that is to take its place, and how far it is.
    pub next: Option<(String, Stage)>,
    /// Why there is no revision.
    pub failure: Option<String>,
    /// Its revisions as the controller has them, those that drain included; up to a second old.
    pub revisions: Vec<RevisionStatus>,
    /// The same as the activator has them, as one.
    pub activator: tidegate_activator::Status,
    /// An address of its own.
    pub address: Option<SocketAddr>,
}

impl ServiceStatus {
    /// Instances that are wanted of the revision that takes its requests, and of the one that is
    /// to take its place.
    #[must_use]
    pub fn wanted(&self) -> u32 {
        let next = self.next.as_ref().map(|(next, _)| next);
        let kept: Vec<&String> = self.revision.iter().chain(next).collect();
        let is_kept = |name: &str| kept.iter().any(|kept| kept.as_str() == name);
        let wanted = self.revisions.iter().filter(|status| is_kept(status.revision.name()));
        wanted.map(|status| u32::try_from(status.desired).unwrap_or(0)).sum()
    }

    /// The sum of a figure over its revisions.
    pub fn sum(&self, figure: impl Fn(&RevisionStatus) -> u32) -> u32 {
        self.revisions.iter().map(figure).sum()
    }
}

/// Reads how the services stand. Cheap to clone; outlives them.
#[derive(Clone)]
pub struct PlatformView {
    handle: Handle,
    throttlers: Arc<Throttler>,
    outcomes: Arc<OutcomeCounter>,
    places: Arc<RwLock<BTreeMap<String, Place>>>,
    doors: Arc<RwLock<BTreeMap<String, SocketAddr>>>,
}

/// What the owner of the services keeps up to date for those who look.
pub(super) struct Shared(PlatformView);

impl Shared {
    pub(super) fn new(engine: &Engine) -> Self {
        Self(PlatformView {
            handle: engine.handle.clone(),
            throttlers: Arc::clone(&engine.throttlers),
            outcomes: Arc::clone(&engine.outcomes),
            places: Arc::default(),
            doors: Arc::default(),
        })
    }

    pub(super) fn view(&self) -> PlatformView {
        self.0.clone()
    }

    pub(super) fn set_places(&self, places: BTreeMap<String, Place>) {
        *self.0.places.write() = places;
    }

    pub(super) fn set_doors(&self, doors: BTreeMap<String, SocketAddr>) {
        *self.0.doors.write() = doors;
    }
}

impl PlatformView {
    /// How every service stands, by their names.
    ///
    /// # Errors
    ///
    /// When the controller has ended.
    pub async fn statuses(&self) -> Result<Vec<ServiceStatus>, Ended> {
        let statuses = self.handle.statuses().await?;
        let places = self.places.read().clone();
        let doors = self.doors.read().clone();
        let throttlers = self.throttlers.all();
        let status = |(name, place): (String, Place)| {
            let is_its = |revision: &str| service_of(revision) == Some(&name);
            let revisions = statuses.iter().filter(|status| is_its(status.revision.name()));
            let mut activator = tidegate_activator::Status::default();
            for throttler in throttlers.iter().filter(|of| is_its(&of.revision().name)) {
                add(&mut activator, &throttler.status());
            }
            ServiceStatus {
                revision: place.current,
                next: place.next,
                failure: place.failure,
                revisions: revisions.cloned().collect(),
                activator,
                address: doors.get(&name).copied(),
                name,
            }
        };
        Ok(places.into_iter().map(status).collect())
    }

    /// How one service stands; `None` when there is none of this name.
    ///
    /// # Errors
    ///
    /// When the controller has ended.
    pub async fn status(&self, name: &str) -> Result<Option<ServiceStatus>, Ended> {
        Ok(self.statuses().await?.into_iter().find(|status| status.name == name))
    }

    /// What became of the requests of all services.
    #[must_use]
    pub fn outcomes(&self) -> Outcomes {
        self.outcomes.snapshot()
    }

    /// The totals of revisions that are gone, of all services.
    #[must_use]
    pub fn forgotten(&self) -> tidegate_activator::Status {
        self.throttlers.forgotten()
    }

    /// The controller: the status of every revision, its decisions, routes and orders.
    #[must_use]
    pub fn controller(&self) -> &Handle {
        &self.handle
    }
}

fn add(sum: &mut tidegate_activator::Status, more: &tidegate_activator::Status) {
    sum.ready += more.ready;
    sum.in_flight += more.in_flight;
    sum.waiting += more.waiting;
    sum.requests += more.requests;
    sum.cold_starts += more.cold_starts;
    sum.refused += more.refused;
    sum.failed += more.failed;
    sum.abandoned += more.abandoned;
}

/// Enters the services for this user's commands, each by the revision that its requests go to, and
/// takes out those that are gone.
pub(super) fn enter(
    roster: &Roster,
    places: &BTreeMap<String, Place>,
    view: impl Fn(RevisionId) -> View,
    address: impl Fn(&str) -> SocketAddr,
) {
    for gone in roster.names().into_iter().filter(|name| !places.contains_key(name)) {
        roster.leave(&gone);
    }
    for (name, place) in places {
        let newest = place.next.as_ref().map(|(next, _)| next);
        let revision = place.current.as_ref().or(newest);
        let Some(id) = revision.and_then(|revision| id(revision)) else { continue };
        if roster.get(name).is_none_or(|entry| *entry.view.revision() != id) {
            roster.enter(name.clone(), view(id), address(name));
        }
    }
}

/// A revision as the controller calls it. Names of services are names of revisions.
pub(super) fn id(revision: &str) -> Option<RevisionId> {
    RevisionId::new(NAMESPACE, revision).ok()
}
