//! All revisions of our class: what is seen, and what follows from each thing that happens.
//!
//! One task owns it. [`Reconciler::apply`] takes in what happened, [`Reconciler::reconcile`] says
//! what is to be done now; others carry that out without making a choice.

use core::net::IpAddr;
use std::collections::BTreeMap;

use serde_json::Value;
use tidegate_autoscaler::Timestamp;
use tidegate_autoscaler::lifecycle::ActivatorProbe;
use tidegate_autoscaler::scrape::{ScrapeResponse, Scraped};
use tidegate_kubernetes_objects::store::{Change, ObjectKey, Store, Versioned};

use crate::agenda::Agenda;
use crate::effect::{Action, ActionStep, Effect, ListenOrder, ScrapeOrder};
use crate::names::CLASS;
use crate::object::{
    self, ConfigMap, Deletion, Deployment, Metric, Pod, PodAutoscaler, ServerlessService,
};
use crate::pods::Pods;
use crate::request;
use crate::revision::{Revision, View};
use crate::settings::{ClusterSettings, Settings};
use crate::statistics::{ActivatorReport, PodLoad};
use crate::wanted::{Wanted, foreign, not_owned, status_action};

/// Time between two looks at a revision at least, unless something happens.
const LOOK_INTERVAL_MIN_MS: u64 = 10;

/// Something happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// To ConfigMaps of Knative's.
    Configs(Change<ObjectKey, ConfigMap>),
    /// To PodAutoscalers, of whichever class.
    Autoscalers(Box<Change<ObjectKey, PodAutoscaler>>),
    /// To ServerlessServices.
    Services(Box<Change<ObjectKey, ServerlessService>>),
    /// To Metrics.
    Metrics(Box<Change<ObjectKey, Metric>>),
    /// To Deployments of revisions.
    Deployments(Change<ObjectKey, Deployment>),
    /// To pods of revisions.
    Pods(Change<ObjectKey, Pod>),
    /// An activator has reported.
    Reports(Vec<ActivatorReport>),
    /// A pod of a revision has said what is inside, or is not heard any more.
    Heard(ObjectKey, IpAddr, Option<PodLoad>),
    /// Pods of a revision were asked for their statistics.
    Scraped(ObjectKey, Vec<ScrapeResponse>),
    /// It was tried whether activators are in the path of a revision.
    Probed(ObjectKey, ActivatorProbe),
    /// A request was done, and this is how the object is now.
    Done(Box<Action>, Value),
    /// What was to be done for a revision could not begin or did not come to pass: look again.
    LookAgain(ObjectKey),
}

/// What a look at some revisions came to.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Looked {
    /// Those that were looked at. What was to be done for them before is no longer.
    pub revisions: Vec<ObjectKey>,
    /// What is to be done for them now.
    pub effects: Vec<Effect>,
    /// When to look again if nothing happens before.
    pub due: Option<Timestamp>,
}

/// The state.
#[derive(Debug)]
pub struct Reconciler {
    settings: ClusterSettings,
    configs: Store<ObjectKey, ConfigMap>,
    autoscalers: Store<ObjectKey, PodAutoscaler>,
    services: Store<ObjectKey, ServerlessService>,
    metrics: Store<ObjectKey, Metric>,
    deployments: Store<ObjectKey, Deployment>,
    pods: Pods,
    revisions: BTreeMap<ObjectKey, Revision>,
    agenda: Agenda,
    notes: BTreeMap<ObjectKey, String>,
}

impl Reconciler {
    /// One that knows nothing yet but how to decide.
    #[must_use]
    pub fn new(settings: ClusterSettings) -> Self {
        Self {
            settings,
            configs: Store::default(),
            autoscalers: Store::default(),
            services: Store::default(),
            metrics: Store::default(),
            deployments: Store::default(),
            pods: Pods::default(),
            revisions: BTreeMap::new(),
            agenda: Agenda::default(),
            notes: BTreeMap::new(),
        }
    }

    /// How many revisions are scaled here.
    #[must_use]
    pub fn revisions(&self) -> usize {
        self.revisions.len()
    }

    /// Takes in what happened at `now`.
    pub fn apply(&mut self, now: Timestamp, event: Event) -> Vec<Effect> {
        match event {
            Event::Configs(change) => return self.configs(now, change),
            Event::Autoscalers(change) => {
                let change = of_our_class(*change);
                self.mark(now, &change, |key, _| Some(key.clone()));
                self.autoscalers.take_in(|_| true, change);
            }
            Event::Services(change) => {
                self.mark(now, &change, |key, _| Some(key.clone()));
                self.services.take_in(|_| true, *change);
            }
            Event::Metrics(change) => {
                self.mark(now, &change, |key, _| Some(key.clone()));
                self.metrics.take_in(|_| true, *change);
            }
            Event::Deployments(change) => {
                self.mark(now, &change, |_, deployment| Some(deployment?.revision.clone()));
                self.deployments.take_in(|_| true, change);
            }
            Event::Pods(change) => {
                for revision in self.pods.take_in(change) {
                    self.agenda.look_at(&revision, now);
                }
            }
            Event::Reports(reports) => {
                for report in &reports {
                    let ready = self.pods.ready(&report.revision);
                    if let Some(revision) = self.revisions.get_mut(&report.revision) {
                        revision.hear(now, report, ready);
                        self.reschedule(&report.revision, ready);
                    }
                }
            }
            Event::Heard(key, pod, load) => {
                let ready = self.pods.ready(&key);
                if let Some(revision) = self.revisions.get_mut(&key) {
                    revision.hear_pod(now, (pod, load), ready);
                    self.reschedule(&key, ready);
                }
            }
            Event::Scraped(key, responses) => {
                let ready = self.pods.ready(&key);
                if let Some(revision) = self.revisions.get_mut(&key) {
                    let scraped = revision.scraped(now, &responses, ready);
                    self.reschedule(&key, ready);
                    return self.note_scrape(&key, scraped);
                }
            }
            Event::Probed(key, found) => {
                if let Some(revision) = self.revisions.get_mut(&key) {
                    revision.probed(now, found);
                    if found == ActivatorProbe::Confirmed {
                        self.agenda.look_at(&key, now);
                    } else {
                        let again = now.plus_millis(crate::revision::PROBE_INTERVAL_MS);
                        self.agenda.look_at(&key, again);
                    }
                }
            }
            Event::Done(action, object) => self.done(now, &action, &object),
            Event::LookAgain(key) => self.agenda.look_at(&key, now),
        }
        Vec::new()
    }

    /// Looks at the revisions that are to be looked at by `now`.
    pub fn reconcile(&mut self, now: Timestamp) -> Looked {
        let mut looked = Looked::default();
        if !self.is_informed() {
            return looked;
        }
        while let Some(key) = self.agenda.take_due(now) {
            self.look(now, &key, &mut looked.effects);
            looked.revisions.push(key);
        }
        looked.due = self.agenda.next();
        looked
    }

    /// Whether everything was seen that decisions depend on: before that, what is missing may well
    /// be there.
    #[must_use]
    pub fn is_informed(&self) -> bool {
        self.autoscalers.is_complete()
            && self.services.is_complete()
            && self.metrics.is_complete()
            && self.deployments.is_complete()
            && self.pods.is_complete()
            && self.configs.is_complete()
    }

    fn configs(&mut self, now: Timestamp, change: Change<ObjectKey, ConfigMap>) -> Vec<Effect> {
        self.configs.take_in(|_| true, change);
        for (key, _) in self.autoscalers.iter() {
            self.agenda.look_at(key, now);
        }
        let mut effects = Vec::new();
        for (key, config) in self.configs.iter() {
            if let Err(why) = self.settings.take_in(&key.name, &config.data) {
                let why = format!("{why}; what held before goes on to hold");
                effects.push(Effect::Note(key.clone(), why));
            }
        }
        effects
    }

    /// Has the revisions looked at that a change concerns.
    fn mark<V: Versioned>(
        &mut self,
        now: Timestamp,
        change: &Change<ObjectKey, V>,
        revision: impl Fn(&ObjectKey, Option<&V>) -> Option<ObjectKey>,
    ) {
        match change {
            Change::Listed(all) => {
                let gone: Vec<ObjectKey> = self.revisions.keys().cloned().collect();
                for key in gone {
                    self.agenda.look_at(&key, now);
                }
                for (key, value) in all {
                    if let Some(key) = revision(key, Some(value)) {
                        self.agenda.look_at(&key, now);
                    }
                }
            }
            Change::Seen(key, value) => {
                if let Some(key) = revision(key, Some(value)) {
                    self.agenda.look_at(&key, now);
                }
            }
            Change::Gone(key, _) => {
                if let Some(key) = revision(key, None) {
                    self.agenda.look_at(&key, now);
                }
            }
        }
    }

    fn reschedule(&mut self, key: &ObjectKey, ready: u32) {
        let Some(revision) = self.revisions.get(key) else { return };
        if let Some(at) = revision.next_look(ready, None) {
            self.agenda.look_at(key, at);
        }
    }

    /// A request was done: what it answers is an observation like any other.
    fn done(&mut self, now: Timestamp, action: &Action, object: &Value) {
        let key = action.revision.clone();
        match &action.step {
            ActionStep::Scale { deployment, .. } => {
                let (version, replicas) = object::scaled(object);
                let revision = key.clone();
                let seen = Deployment { version, replicas, revision };
                if self.deployments.get(deployment).is_some() {
                    self.deployments.upsert(deployment.clone(), seen);
                }
            }
            ActionStep::Service => {
                self.services.upsert(key.clone(), object::serverless_service(object));
            }
            ActionStep::Metric => _ = self.metrics.upsert(key.clone(), object::metric(object)),
            ActionStep::Status => {
                if self.autoscalers.get(&key).is_some() {
                    self.autoscalers.upsert(key.clone(), object::pod_autoscaler(object));
                }
            }
        }
        self.agenda.look_at(&key, now);
    }

    fn note_scrape(&mut self, key: &ObjectKey, scraped: Scraped) -> Vec<Effect> {
        match scraped {
            Scraped::Sample(_) | Scraped::Nobody => {
                self.notes.remove(key);
                Vec::new()
            }
            Scraped::TryService | Scraped::Failed(_) => self.note(
                key,
                "too few pods answered at port 9090 with their statistics; the last known load \
                 is held",
            ),
        }
    }

    /// Tells a person once, until there is something else to tell.
    fn note(&mut self, key: &ObjectKey, text: &str) -> Vec<Effect> {
        if self.notes.get(key).is_some_and(|told| told == text) {
            return Vec::new();
        }
        self.notes.insert(key.clone(), text.to_owned());
        vec![Effect::Note(key.clone(), text.to_owned())]
    }

    fn look(&mut self, now: Timestamp, key: &ObjectKey, effects: &mut Vec<Effect>) {
        let autoscaler = self.autoscalers.get(key).filter(|a| a.deletion == Deletion::None);
        let Some(autoscaler) = autoscaler.cloned() else {
            if self.revisions.remove(key).is_some() {
                let order = ListenOrder { revision: key.clone(), pods: Vec::new() };
                effects.push(Effect::Listen(order));
            }
            self.agenda.forget(key);
            self.notes.remove(key);
            return;
        };
        let target = match autoscaler.deployment(&key.namespace) {
            Ok(target) => target,
            Err(why) => return effects.extend(self.note(key, &why)),
        };
        // One that is not there yet is looked at when it comes.
        let Some(deployment) = self.deployments.get(&target) else { return };
        let service = self.services.get(key);
        if let Some(foreign) = foreign(&autoscaler, service, self.metrics.get(key)) {
            let status = not_owned(&autoscaler, key, foreign, now);
            return effects.extend(status_action(key, &autoscaler, &status).map(Effect::Send));
        }
        let replicas = deployment.replicas;
        let view = View { replicas, ready: self.pods.ready(key), service };
        let settings = Settings::new(&self.settings, &autoscaler);
        if !self.revisions.contains_key(key) {
            let made = Revision::new(now, settings.clone(), &autoscaler, &view);
            let Some(made) = made else {
                return effects.extend(self.note(key, "its windows are too long to be kept"));
            };
            self.revisions.insert(key.clone(), made);
        }
        let Some(revision) = self.revisions.get_mut(key) else { return };
        revision.adopt(now, settings);
        let looked = revision.look(now, &view);
        let Some(step) = looked.applied.step else { return };
        if revision.replicas() != replicas {
            let (from, to) = (replicas, revision.replicas());
            effects.push(Effect::Send(Action {
                revision: key.clone(),
                patch: request::scale(&target, to),
                step: ActionStep::Scale { deployment: target, from, to },
                reason: format!("{step}. {}", looked.why).trim_end_matches(['.', ' ']).to_owned(),
            }));
        }
        let wanted = Wanted { key, autoscaler: &autoscaler, step: &step };
        effects.extend(wanted.service(service).map(Effect::Send));
        if view.service.is_some_and(|service| !service.private_service_name.is_empty()) {
            let metric = wanted.metric(revision.settings(), self.metrics.get(key));
            effects.extend(metric.map(Effect::Send));
        }
        let status = wanted.status(service, now);
        effects.extend(status_action(key, &autoscaler, &status).map(Effect::Send));
        if let Some(service) = service.filter(|service| !service.service_name.is_empty())
            && revision.begin_probe(now, &step)
        {
            effects.push(Effect::Probe(wanted.probe(&service.service_name)));
        }
        effects.extend(questions(now, (key, revision), &self.pods));
        if let Some(at) = revision.next_look(view.ready, Some(&step)) {
            self.agenda.look_at(key, at.max(now.plus_millis(LOOK_INTERVAL_MIN_MS)));
        }
    }
}

/// Which pods of a revision are to be listened to and asked now.
fn questions(
    now: Timestamp,
    (key, revision): (&ObjectKey, &mut Revision),
    pods: &Pods,
) -> impl Iterator<Item = Effect> {
    let window = revision.settings().revision.metric.stable_window_ms;
    let (settled, young) = pods.addresses(key, now.minus_millis(window));
    let listened = revision.begin_to_listen(settled.iter().chain(&young));
    let listen = listened.map(|pods| Effect::Listen(ListenOrder { revision: key.clone(), pods }));
    let scrape = revision.begin_scrape(now, pods.ready(key)).map(|wanted| {
        let revision = key.clone();
        Effect::Scrape(ScrapeOrder { revision, settled, young, wanted })
    });
    listen.into_iter().chain(scrape)
}

/// A PodAutoscaler of another class is none of ours, even if it was before.
fn of_our_class(change: Change<ObjectKey, PodAutoscaler>) -> Change<ObjectKey, PodAutoscaler> {
    let is_ours = |autoscaler: &PodAutoscaler| autoscaler.class() == Some(CLASS);
    match change {
        Change::Listed(mut all) => {
            all.retain(|(_, autoscaler)| is_ours(autoscaler));
            Change::Listed(all)
        }
        Change::Seen(key, autoscaler) if !is_ours(&autoscaler) => {
            Change::Gone(key, autoscaler.version)
        }
        change => change,
    }
}
