//! The state of the leading controller, and the effects of each event.
//!
//! One task owns it. [`Reconciler::apply`] applies an event, [`Reconciler::reconcile`] plans the
//! actions that are due; both return effects, which are executed without a further choice.

mod changes;
mod checks;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde_json::Value;
use tidegate_autoscaler::Timestamp;
use tidegate_controller::{ActivatorPorts, Declaration};
use tidegate_kubernetes_adapters::published::Said;
use tidegate_kubernetes_objects::TrafficScalerSpec;
pub use tidegate_kubernetes_objects::store::Change;
use tidegate_rollout::{Change as Divided, Outcomes};

use self::checks::Checks;
use crate::dispatch::{self, Dispatcher, Outcome};
use crate::observe;
use crate::plan::{Action, Plan, Step};
use crate::planner::Planner;
use crate::recorder::{self, Identity, Told};
use crate::request::ApiRequest;
use crate::rollout::object::RolloutObject;
use crate::rollout::route::Route;
use crate::rollout::{self, Rollouts};
use crate::settings;
use crate::world::{
    DesiredScale, KindKey, ObjectKey, Rival, RivalKey, Scaler, Service, Slice, Target, TargetKey,
    World,
};

pub use self::checks::{CHECK_AGAIN_MS, CHECKS_MAX};

/// An event.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "at most 4,096 wait, which is 2 MiB")]
pub enum Event {
    /// A change of scalers.
    Scalers(Box<Change<ObjectKey, (Scaler, TrafficScalerSpec)>>),
    /// A change of targets of a kind.
    Targets(KindKey, Change<TargetKey, Target>),
    /// A change of Services.
    Services(Change<ObjectKey, Service>),
    /// A change of slices, of one namespace or of all.
    Slices(Option<String>, Change<ObjectKey, Slice>),
    /// A change of other autoscalers, of a kind.
    Rivals(&'static str, Change<RivalKey, Rival>),
    /// A kind can be scaled under this name in paths, or cannot.
    Kind(KindKey, Result<String, String>),
    /// The decision library's desired scales of targets of these names, changed or confirmed.
    Desired(Vec<(ObjectKey, DesiredScale)>),
    /// A connection to a port of an activator was tried.
    Checked((IpAddr, u16), bool),
    /// To rollouts.
    Rollouts(Change<ObjectKey, RolloutObject>),
    /// To routes.
    Routes(Change<ObjectKey, Route>),
    /// This became of the requests of revisions so far.
    Outcomes(BTreeMap<ObjectKey, Outcomes>),
    /// A request ended.
    Ended(Box<Ended>),
}

/// How a request ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// Its action.
    pub action: Action,
    /// Its response.
    pub response: Response,
    /// A random number from 0 to 1.
    pub chance: f64,
}

/// The response to a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Response {
    /// It succeeded, and this is the object now.
    Done(Value),
    /// Another writer had changed the object.
    Conflict,
    /// There is no such object.
    NotFound,
    /// It failed.
    Failed {
        /// The error's text.
        why: String,
        /// How long the server asks to wait, in milliseconds; 0 when it does not.
        wait_ms: u64,
    },
}

/// An effect, to be executed.
#[derive(Debug, Clone)]
pub enum Effect {
    /// Send a request, and report how it ended.
    Send(Action),
    /// Send a request whose outcome changes nothing.
    RecordEvent(ApiRequest),
    /// Try to connect.
    Check(IpAddr, u16),
    /// Scale a revision by these settings from now on.
    Declare(Box<Declaration>),
    /// Forget the revision of a target.
    Undeclare(ObjectKey),
    /// Watch the objects of a kind, once it is known how.
    Watch(KindKey),
    /// Tell other autoscalers what is said of a scaler from now on; nothing when it is gone.
    Publish(ObjectKey, Said),
    /// Ask what became of the requests of these revisions.
    Observe(BTreeSet<ObjectKey>),
}

/// The state.
#[derive(Debug, Default)]
pub struct Reconciler {
    /// The observed state.
    pub world: World,
    /// What is known of rollouts.
    pub rollouts: Rollouts,
    planner: Planner,
    dispatcher: Dispatcher,
    /// The settings and ports by which each scaler's revision is scaled.
    declared: BTreeMap<ObjectKey, (TrafficScalerSpec, ActivatorPorts)>,
    watched: BTreeSet<KindKey>,
    /// What other autoscalers are told of each scaler.
    published: BTreeMap<ObjectKey, Said>,
    told: Told,
    checks: Checks,
    /// The Service of the activators.
    activators: Option<ObjectKey>,
    identity: Identity,
}

impl Reconciler {
    /// A reconciler before its first event. Activators are the endpoints of `activators`.
    #[must_use]
    pub fn new(world: World, activators: ObjectKey, identity: Identity) -> Self {
        let planner = Planner::new(&world);
        Self { world, planner, activators: Some(activators), identity, ..Self::default() }
    }

    /// Applies an event at `now`.
    pub fn apply(&mut self, now: Timestamp, event: Event) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::Scalers(change) => self.scalers(*change, &mut effects),
            Event::Targets(kind, change) => self.targets(&kind, change),
            Event::Services(change) => self.services(change),
            Event::Slices(namespace, change) => self.slices(namespace.as_deref(), change),
            Event::Rivals(kind, change) => self.rivals(kind, change),
            Event::Kind(kind, response) => {
                if self.world.kinds.get(&kind) != Some(&response) {
                    self.world.kinds.insert(kind.clone(), response);
                    self.planner.kind(&self.world, &kind);
                }
            }
            Event::Desired(desired) => {
                for (object, after) in desired {
                    let before = self.world.desired.get(&object);
                    self.planner.desired(now, &object, (before, &after));
                    self.world.desire(object, after);
                }
            }
            Event::Checked(port, listens) => {
                self.checks.ended(now, port);
                let is_there = self.world.activators.as_ref().is_some_and(|a| a.contains(&port.0));
                if is_there && self.world.listening.insert(port, listens) != Some(listens) {
                    self.planner.port(port.1);
                }
            }
            Event::Rollouts(change) => {
                self.rollouts.objects.take_in(|_| true, change);
            }
            Event::Routes(change) => self.rollouts.routes.take_in(|_| true, change),
            Event::Outcomes(outcomes) => {
                let changes = rollout::observe(&self.world, &mut self.rollouts, now, &outcomes);
                self.announce(changes, &mut effects);
            }
            Event::Ended(ended) => match ended.action.step {
                Step::Weights { .. } | Step::RolloutStatus => {
                    self.rollout_ended(now, *ended, &mut effects);
                }
                _ => self.ended(now, *ended, &mut effects),
            },
        }
        effects
    }

    /// Says what rollouts have changed.
    fn announce(&self, changes: Vec<(ObjectKey, Divided)>, effects: &mut Vec<Effect>) {
        for (key, change) in changes {
            let object = self.rollouts.objects.get(&key);
            let uid = object.map(|object| object.uid.as_str()).unwrap_or_default();
            tracing::info!(rollout = %key, "{change}");
            let event = recorder::of_rollout(&self.identity, (&key, uid), &change);
            effects.push(Effect::RecordEvent(event));
        }
    }

    /// A request of a rollout's has ended.
    fn rollout_ended(&mut self, now: Timestamp, ended: Ended, effects: &mut Vec<Effect>) {
        let Ended { action, response, chance } = ended;
        self.dispatcher.ended(now, &action, outcome(&action, &response), chance);
        let key = &action.scaler;
        let rollouts = &mut self.rollouts;
        let Some(object) = rollouts.objects.get(key) else { return };
        match (&action.step, response) {
            (Step::Weights { .. }, Response::Done(route)) => {
                let route_key = ObjectKey::new(&key.namespace, &object.spec.route.name);
                rollouts.routes.upsert(route_key, observe::route(&route));
                if let Some(known) = rollouts.memory.get_mut(key) {
                    known.failure = None;
                }
            }
            (Step::Weights { .. }, Response::Failed { why, .. }) => {
                let event = recorder::of_weights(&self.identity, now, (key, &object.uid), &why);
                effects.push(Effect::RecordEvent(event));
                if let Some(known) = rollouts.memory.get_mut(key) {
                    known.failure = Some(why);
                }
            }
            (Step::RolloutStatus, Response::Done(seen)) => {
                let is_known = |seen: &RolloutObject| seen.uid == object.uid;
                if let Some(seen) = observe::rollout(&seen).ok().filter(is_known) {
                    rollouts.objects.upsert(key.clone(), seen);
                }
            }
            _ => {}
        }
    }

    /// The actions to begin at `now`, and when to reconcile again if no event comes before.
    pub fn reconcile(&mut self, now: Timestamp) -> (Vec<Effect>, Option<Timestamp>) {
        let mut effects = Vec::new();
        let changes = rollout::advance(&self.world, &mut self.rollouts, now);
        self.announce(changes, &mut effects);
        let revisions = rollout::to_observe(&self.world, &mut self.rollouts, now);
        if !revisions.is_empty() {
            effects.push(Effect::Observe(revisions));
        }
        let mut beside = Plan::default();
        rollout::plan(&self.world, &self.rollouts, now, &mut beside);
        let looked_at = self.planner.update(&mut self.world, now);
        let is_any = !looked_at.is_empty();
        for key in looked_at {
            self.declare_ports(&key, &mut effects);
            self.publish(key, &mut effects);
        }
        // Activators listen where they are told to before that is tried.
        if is_any || self.checks.due().is_some_and(|due| due <= now) {
            let begun = self.checks.begin(now, self.planner.checks());
            effects.extend(begun.into_iter().map(|(address, port)| Effect::Check(address, port)));
        }
        self.dispatcher.tidy(now);
        let actions = dispatch::in_order(beside.actions.iter(), self.planner.actions());
        let begun = self.dispatcher.begin(now, actions);
        for action in &begun {
            if let Step::Scale { to: 0, .. } = action.step {
                self.world.memory.entry(action.scaler.clone()).or_default().asked_for_zero = true;
                self.planner.one(&action.scaler);
            }
        }
        effects.extend(begun.into_iter().map(Effect::Send));
        let due = [self.planner.due(), beside.due, self.dispatcher.due(now), self.checks.due()];
        let due = due.into_iter().flatten().min();
        (effects, due)
    }

    /// What is to be done, as it was found by the last [`Reconciler::reconcile`].
    #[must_use]
    pub fn planner(&self) -> &Planner {
        &self.planner
    }

    /// Has other autoscalers told of a scaler, if that is something else than before.
    fn publish(&mut self, key: ObjectKey, effects: &mut Vec<Effect>) {
        let Some(said) = self.planner.recommendation(&key) else { return };
        if self.published.get(&key) != Some(&said) {
            self.published.insert(key.clone(), said.clone());
            effects.push(Effect::Publish(key, said));
        }
    }

    /// Has activators take a scaler's requests as they are to, if that is another way than before.
    fn declare_ports(&mut self, key: &ObjectKey, effects: &mut Vec<Effect>) {
        let (Some(scaler), Some(ports)) = (self.world.scalers.get(key), self.planner.ports(key))
        else {
            return;
        };
        let Some((spec, declared)) = self.declared.get_mut(key) else { return };
        if declared == ports {
            return;
        }
        declared.clone_from(ports);
        // Settings that cannot be followed were said when they came.
        if let Ok(declaration) = settings::declaration(&scaler.target.object, spec, ports.clone()) {
            effects.push(Effect::Declare(Box::new(declaration)));
        }
    }

    fn scalers(
        &mut self,
        change: Change<ObjectKey, (Scaler, TrafficScalerSpec)>,
        effects: &mut Vec<Effect>,
    ) {
        match change {
            Change::Listed(all) => {
                let all: Vec<(ObjectKey, Scaler)> = all
                    .into_iter()
                    .map(|(key, (scaler, spec))| {
                        let scaler = self.adopt(&key, scaler, spec, effects);
                        (key, scaler)
                    })
                    .collect();
                let gone = self.world.scalers_listed(all);
                self.planner.scalers_listed(&self.world);
                for (key, target) in gone {
                    self.forget(&key, target, effects);
                }
            }
            Change::Seen(key, (scaler, spec)) => self.scaler_seen(key, scaler, spec, effects),
            Change::Gone(key, version) => {
                let before = self.world.scalers.get(&key).cloned();
                if let Some(target) = self.world.scaler_gone(&key, &version) {
                    self.planner.scaler(&key, before.as_ref(), None);
                    self.forget(&key, target, effects);
                }
            }
        }
    }

    /// A scaler is gone, and so is its target's revision unless another scaler has claimed it.
    fn forget(&mut self, key: &ObjectKey, target: ObjectKey, effects: &mut Vec<Effect>) {
        self.declared.remove(key);
        self.told.forget(key);
        if self.published.remove(key).is_some() {
            effects.push(Effect::Publish(key.clone(), None));
        }
        if !self.planner.has_scaler_of(&target) {
            effects.push(Effect::Undeclare(target));
        }
    }

    fn scaler_seen(
        &mut self,
        key: ObjectKey,
        scaler: Scaler,
        spec: TrafficScalerSpec,
        effects: &mut Vec<Effect>,
    ) {
        let scaler = self.adopt(&key, scaler, spec, effects);
        let before = self.world.scalers.get(&key).cloned();
        self.world.scalers.upsert(key.clone(), scaler);
        self.planner.scaler(&key, before.as_ref(), self.world.scalers.get(&key));
    }

    /// Resolves the settings of a scaler, and applies them if they have changed. Invalid settings
    /// change nothing: the former ones stay in force.
    fn adopt(
        &mut self,
        key: &ObjectKey,
        mut scaler: Scaler,
        spec: TrafficScalerSpec,
        effects: &mut Vec<Effect>,
    ) -> Scaler {
        if scaler.settings.is_ok() && self.watched.insert(scaler.target.kind.clone()) {
            effects.push(Effect::Watch(scaler.target.kind.clone()));
        }
        let before = self.declared.remove(key);
        let is_new = before.as_ref().is_none_or(|(before, _)| *before != spec);
        let ports = before.map(|(_, ports)| ports).unwrap_or_default();
        let declaration = settings::declaration(&scaler.target.object, &spec, ports.clone());
        self.declared.insert(key.clone(), (spec, ports));
        match declaration {
            Ok(declaration) if is_new => effects.push(Effect::Declare(Box::new(declaration))),
            Ok(_) => {}
            Err(wrong) => scaler.settings = scaler.settings.and(Err(wrong)),
        }
        scaler
    }

    fn ended(&mut self, now: Timestamp, ended: Ended, effects: &mut Vec<Effect>) {
        let Ended { action, response, chance } = ended;
        self.dispatcher.ended(now, &action, outcome(&action, &response), chance);
        let before = self.world.scalers.get(&action.scaler);
        let desired = before.and_then(|scaler| self.world.desired.get(&scaler.target.object));
        let news = recorder::of(&action, &response, (before, desired));
        for news in news.into_iter().filter(|news| self.told.is_new(now, &action.scaler, news)) {
            let uid = before.map_or("", |scaler| scaler.uid.as_str());
            let request = recorder::scaler_event(&self.identity, now, (&action.scaler, uid), &news);
            effects.push(Effect::RecordEvent(request));
        }
        self.planner.one(&action.scaler);
        match (&action.step, &response) {
            (Step::Scale { target, .. }, Response::Done(object)) => {
                self.planner.target(&target.object);
                self.world.scaled(&action.scaler, target.clone(), observe::scale(object));
            }
            // It was certainly not executed; after a failure it may have been.
            (Step::Scale { to: 0, .. }, Response::Conflict | Response::NotFound) => {
                self.world.memory.entry(action.scaler).or_default().asked_for_zero = false;
            }
            // A pod that cannot be marked delays nothing: the ReplicaSet then chooses by itself.
            (Step::Mark { pod, cost }, _) => {
                if let Some(target) = before.map(|scaler| scaler.target.object.clone()) {
                    self.world.note_cost(&target, &pod.name, *cost);
                }
            }
            (Step::ApplySlice(key), Response::Done(object)) => {
                if let Some(slice) = observe::slice(object) {
                    self.take_in_slices(|_| false, Change::Seen(key.clone(), slice));
                }
            }
            (Step::DeleteSlice(key), Response::Done(_) | Response::NotFound) => {
                let version = self.world.slices.get(key).map(|slice| slice.version.clone());
                if let Some(version) = version {
                    self.take_in_slices(|_| false, Change::Gone(key.clone(), version));
                }
            }
            (Step::Status | Step::Protect | Step::Release, Response::Done(object)) => {
                let is_known = |seen: &Scaler| before.is_some_and(|b| b.uid == seen.uid);
                if let Ok((seen, spec)) = observe::scaler(object)
                    && is_known(&seen)
                {
                    self.scaler_seen(action.scaler, seen, spec, effects);
                }
            }
            _ => {}
        }
    }
}

fn outcome(action: &Action, response: &Response) -> Outcome {
    match response {
        Response::Done(_) => Outcome::Done,
        // A slice that does not exist is deleted.
        Response::NotFound if matches!(action.step, Step::DeleteSlice(_)) => Outcome::Done,
        Response::Conflict => Outcome::Outdated,
        Response::NotFound => Outcome::Failed { wait_ms: 0 },
        Response::Failed { wait_ms, .. } => Outcome::Failed { wait_ms: *wait_ms },
    }
}
