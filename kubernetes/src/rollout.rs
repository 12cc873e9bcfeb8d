//! Rollouts: the weights of routes, led by the rollout library.
//!
//! A `TrafficRollout` names a route, and the Services of a stable and of a new revision; the
//! decision library knows what becomes of the requests of both. Only the weights of these two
//! backends are ever written, both in one patch of the version that was seen, so that their sum is
//! the same at every moment.
//!
//! What was written to a route comes first and what is said about it second. So whoever takes over
//! finds in the status what the route had, or less: a revision that was returned is never tried
//! again because its controller ended between the two.
//!
//! Modules in reading order: [`object`] is a rollout as an object, [`route`] where its two backends
//! are in a route, [`obstacle`] what is in its way, [`memory`] how it goes on, `patch` what is
//! written to a route, [`mod@status`] what is said.

pub mod memory;
pub mod object;
pub mod obstacle;
mod patch;
pub mod route;
pub mod status;

use std::collections::{BTreeMap, BTreeSet};

use tidegate_autoscaler::Timestamp;
use tidegate_rollout::{Change, Outcomes};

use crate::plan::{Action, Plan, Step};
use crate::request::ApiRequest;
use crate::rollout::memory::Memory;
use crate::rollout::object::RolloutObject;
use crate::rollout::obstacle::Obstacle;
use crate::rollout::route::{Place, Route};
use crate::rollout::status::Followed;
use crate::world::{ObjectKey, Store, World};

/// Time between two looks at what became of requests: a reporter reports each second.
pub const OBSERVE_EVERY_MS: u64 = 1_000;

/// What is known of rollouts and routes.
#[derive(Debug, Clone, Default)]
pub struct Rollouts {
    /// The objects that say what is rolled out.
    pub objects: Store<ObjectKey, RolloutObject>,
    /// The routes.
    pub routes: Store<ObjectKey, Route>,
    /// What is remembered of each rollout.
    pub memory: BTreeMap<ObjectKey, Memory>,
    /// When to look at what became of requests again.
    observe_at: Option<Timestamp>,
}

/// One rollout with everything that is known about it.
pub struct RolloutView<'a> {
    /// Its name.
    pub key: &'a ObjectKey,
    /// Itself.
    pub object: &'a RolloutObject,
    /// Its route, and where its backends are in it; or what is in the way.
    pub places: Result<(&'a Route, Vec<Place>), Obstacle>,
    /// The revisions of both Services, as reporters name them; the stable one first.
    pub revisions: [ObjectKey; 2],
}

impl Rollouts {
    /// Whether enough was seen to act: what is missing is then not there.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.objects.is_complete() && self.routes.is_complete()
    }

    /// Forgets rollouts that are gone.
    fn tidy(&mut self) {
        let objects = &self.objects;
        self.memory.retain(|key, _| objects.get(key).is_some());
    }
}

/// The views of all rollouts, the oldest of each pair of Services first.
fn views<'a>(world: &'a World, rollouts: &'a Rollouts) -> Vec<RolloutView<'a>> {
    let mut oldest_first: Vec<_> = rollouts.objects.iter().collect();
    oldest_first.sort_by_key(|(_, object)| (object.created, &object.uid));
    let mut claimed = BTreeMap::new();
    let find = |(key, object): (&ObjectKey, &RolloutObject)| {
        let found = obstacle::places(world, &rollouts.routes, (key, object), &mut claimed);
        (key.clone(), found)
    };
    let found: BTreeMap<ObjectKey, _> = oldest_first.into_iter().map(find).collect();
    let objects = rollouts.objects.iter();
    objects
        .zip(found.into_values())
        .map(|((key, object), found)| {
            let (places, revisions) = match found {
                Ok((route, places, revisions)) => (Ok((route, places)), revisions),
                Err(obstacle) => (Err(obstacle), [key.clone(), key.clone()]),
            };
            RolloutView { key, object, places, revisions }
        })
        .collect()
}

/// Lets time pass for every rollout, and has it follow what its object says. Returns what changed
/// by that.
pub fn advance(world: &World, rollouts: &mut Rollouts, now: Timestamp) -> Vec<(ObjectKey, Change)> {
    if !world.is_complete() || !rollouts.is_complete() {
        return Vec::new();
    }
    rollouts.tidy();
    let mut memory = std::mem::take(&mut rollouts.memory);
    let mut changes = Vec::new();
    for view in views(world, rollouts) {
        // While something is in the way, the route is left as it is and nothing goes on.
        let (Ok((route, places)), Ok(settings)) = (&view.places, &view.object.settings) else {
            if let Some(known) = memory.get_mut(view.key) {
                known.rollout.stand_still(now.as_millis());
            }
            continue;
        };
        let (known, changed) = match memory.remove(view.key) {
            Some(known) => known.follow(view.object, settings, now),
            None => {
                let has = route::new_permille(route, places);
                Memory::take_up(view.object, settings, has, now)
            }
        };
        changes.extend(changed.into_iter().map(|change| (view.key.clone(), change)));
        memory.insert(view.key.clone(), known);
    }
    rollouts.memory = memory;
    changes
}

/// Which revisions are to be asked now what became of their requests; and when to ask again.
pub fn to_observe(world: &World, rollouts: &mut Rollouts, now: Timestamp) -> BTreeSet<ObjectKey> {
    let is_due = rollouts.observe_at.is_none_or(|at| at <= now);
    let is_open = |memory: &Memory| memory.rollout.phase().is_open();
    if !rollouts.memory.values().any(is_open) {
        rollouts.observe_at = None;
        return BTreeSet::new();
    }
    if !is_due {
        return BTreeSet::new();
    }
    rollouts.observe_at = Some(now.plus_millis(OBSERVE_EVERY_MS));
    let views = views(world, rollouts)
        .into_iter()
        .filter(|view| view.places.is_ok() && rollouts.memory.get(view.key).is_some_and(is_open));
    views.flat_map(|view| view.revisions).collect()
}

/// Takes in what became of the requests of revisions. Returns what changed by that.
pub fn observe(
    world: &World,
    rollouts: &mut Rollouts,
    now: Timestamp,
    outcomes: &BTreeMap<ObjectKey, Outcomes>,
) -> Vec<(ObjectKey, Change)> {
    let mut memory = std::mem::take(&mut rollouts.memory);
    let mut changes = Vec::new();
    for view in views(world, rollouts) {
        let [stable, new] = view.revisions.each_ref().map(|revision| outcomes.get(revision));
        let known = memory.get_mut(view.key).filter(|_| view.places.is_ok());
        if let (Some(known), Some(stable), Some(new)) = (known, stable, new)
            && let Some(change) = known.observe(now, stable, new)
        {
            changes.push((view.key.clone(), change));
        }
    }
    rollouts.memory = memory;
    changes
}

/// Adds to `plan` what is to be done for rollouts at `now`.
pub fn plan(world: &World, rollouts: &Rollouts, now: Timestamp, plan: &mut Plan) {
    if !world.is_complete() || !rollouts.is_complete() {
        return;
    }
    for view in views(world, rollouts) {
        let known = rollouts.memory.get(view.key);
        let mut followed = Followed::NotYet;
        if let (Some(known), Ok((route, places))) = (known, &view.places) {
            let split = known.rollout.split();
            if route::has(route, places, split) {
                followed = Followed::ByTheRoute;
            } else {
                let permille = split.new_revision().permille();
                let route_key = ObjectKey::new(&view.key.namespace, &view.object.spec.route.name);
                plan.actions.push(Action {
                    scaler: view.key.clone(),
                    step: Step::Weights { permille },
                    request: patch::weights(&route_key, route, places, split),
                });
            }
            plan.wake(known.due(now));
        }
        let status = status::status(&view, known, followed, now);
        if !status::says_the_same(&view.object.status, &status) {
            let request = ApiRequest::apply_rollout_status(view.key, &status);
            let scaler = view.key.clone();
            plan.actions.push(Action { scaler, step: Step::RolloutStatus, request });
        }
    }
    plan.wake(rollouts.observe_at);
    plan.actions.sort_by_key(|action| action.step.urgency());
}
