//! Watches of the cluster's objects, as events for the reconciler.

use std::pin::pin;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::Value;
use tidegate_kubernetes_objects::names::{
    API_VERSION, KIND, PLURAL, ROLLOUT_KIND, ROLLOUT_PLURAL, ROUTE_API_VERSION, ROUTE_KIND,
    ROUTE_PLURAL, SERVICE_NAME_LABEL,
};
use tokio::sync::mpsc;

use crate::cluster::Cluster;
use crate::observe;
use crate::reconciler::{Change, Event, Response};
use crate::request::{ApiRequest, api};
use crate::rival::{HPA_KIND, SCALED_OBJECT_KIND};
use crate::world::{KindKey, ObjectKey, RivalKey, TargetKey, Versioned};

/// How long one watch lasts. A dead connection is noticed five seconds later.
const WATCH_SECONDS: u32 = 60;

/// Time between two checks whether a missing kind exists now.
const KIND_AGAIN: Duration = Duration::from_secs(30);

/// Time between two looks when the first could not be answered.
const RETRY_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Which namespaces are watched.
#[derive(Debug, Clone)]
pub(crate) enum Scope {
    All,
    One(String),
}

/// The state that all watches share.
#[derive(Clone)]
pub(crate) struct Watches {
    pub(crate) cluster: Cluster,
    pub(crate) scope: Scope,
    pub(crate) events: mpsc::Sender<Event>,
}

/// A kind as its group serves it.
pub(crate) fn resource(api_version: &str, kind: &str, plural: &str) -> ApiResource {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let gvk = GroupVersionKind::gvk(group, version, kind);
    ApiResource::from_gvk_with_plural(&gvk, plural)
}

impl Watches {
    /// Starts all watches that need no further knowledge. Activators outside of the watched
    /// namespace have a watch of their own.
    pub(crate) fn all(&self, activators: &ObjectKey) -> Vec<BoxFuture<'static, ()>> {
        let beside = match &self.scope {
            Scope::One(namespace) if *namespace != activators.namespace => {
                Some(Self { scope: Scope::One(activators.namespace.clone()), ..self.clone() })
            }
            _ => None,
        };
        let mut all = vec![
            self.clone().scalers().boxed(),
            self.clone().services().boxed(),
            self.clone().slices().boxed(),
            self.clone().autoscalers().boxed(),
            self.clone().scaled_objects().boxed(),
            self.clone().rollouts().boxed(),
            self.clone().routes().boxed(),
        ];
        all.extend(beside.map(|beside| beside.slices().boxed()));
        all
    }

    fn api(&self, resource: &ApiResource) -> Api<DynamicObject> {
        let client = self.cluster.client.clone();
        match &self.scope {
            Scope::All => Api::all_with(client, resource),
            Scope::One(namespace) => Api::namespaced_with(client, namespace, resource),
        }
    }

    /// `TrafficScaler`s.
    pub(crate) async fn scalers(self) {
        let resource = resource(API_VERSION, KIND, PLURAL);
        let read = |object: &Value| {
            let key = observe::key(object)?;
            let read = observe::scaler(object);
            let unread = |why: &String| tracing::warn!(scaler = %key, why, "it cannot be read");
            Some((key.clone(), read.inspect_err(unread).ok()?))
        };
        let api = self.api(&resource);
        let to_event = |change| Event::Scalers(Box::new(change));
        follow(api, None, read, &self.events, to_event, |_| None).await;
    }

    /// Services.
    pub(crate) async fn services(self) {
        let api = self.api(&resource("v1", "Service", "services"));
        let read = |object: &Value| Some((observe::key(object)?, observe::service(object)));
        follow(api, None, read, &self.events, Event::Services, |_| None).await;
    }

    /// EndpointSlices, those of Services only.
    pub(crate) async fn slices(self) {
        let api = self.api(&resource("discovery.k8s.io/v1", "EndpointSlice", "endpointslices"));
        let read = |object: &Value| Some((observe::key(object)?, observe::slice(object)?));
        let namespace = match &self.scope {
            Scope::All => None,
            Scope::One(namespace) => Some(namespace.clone()),
        };
        let to_event = |change| Event::Slices(namespace.clone(), change);
        follow(api, Some(SERVICE_NAME_LABEL), read, &self.events, to_event, |_| None).await;
    }

    /// HPAs.
    pub(crate) async fn autoscalers(self) {
        let resource = resource("autoscaling/v2", HPA_KIND, "horizontalpodautoscalers");
        self.rivals(HPA_KIND, &resource).await;
    }

    /// KEDA's ScaledObjects, once the cluster has them.
    pub(crate) async fn scaled_objects(self) {
        let resource = resource("keda.sh/v1alpha1", SCALED_OBJECT_KIND, "scaledobjects");
        self.wait_for(&resource).await;
        self.rivals(SCALED_OBJECT_KIND, &resource).await;
    }

    /// `TrafficRollout`s, once the cluster has them: an older installation had not.
    pub(crate) async fn rollouts(self) {
        let resource = resource(API_VERSION, ROLLOUT_KIND, ROLLOUT_PLURAL);
        self.wait_for(&resource).await;
        let read = |object: &Value| {
            let key = observe::key(object)?;
            let read = observe::rollout(object);
            let unread = |why: &String| tracing::warn!(rollout = %key, why, "it cannot be read");
            Some((key.clone(), read.inspect_err(unread).ok()?))
        };
        follow(self.api(&resource), None, read, &self.events, Event::Rollouts, |_| None).await;
    }

    /// Routes of the Gateway API, once the cluster has them. Until then there is none.
    pub(crate) async fn routes(self) {
        let resource = resource(ROUTE_API_VERSION, ROUTE_KIND, ROUTE_PLURAL);
        if self.serves(&resource).await == Some(false) {
            let none = Event::Routes(Change::Listed(Vec::new()));
            if self.events.send(none).await.is_err() {
                return;
            }
        }
        self.wait_for(&resource).await;
        let read = |object: &Value| Some((observe::key(object)?, observe::route(object)));
        follow(self.api(&resource), None, read, &self.events, Event::Routes, |_| None).await;
    }

    /// Whether the cluster has a kind; `None` when that could not be learned.
    async fn serves(&self, resource: &ApiResource) -> Option<bool> {
        let list = ApiRequest::get(api(&resource.api_version));
        match self.cluster.send(&list).await {
            Response::Done(resources) => Some(observe::has_kind(&resources, &resource.kind)),
            Response::NotFound => Some(false),
            Response::Conflict | Response::Failed { .. } => None,
        }
    }

    /// Waits until the cluster has a kind.
    async fn wait_for(&self, resource: &ApiResource) {
        loop {
            let again = match self.serves(resource).await {
                Some(true) => return,
                Some(false) => KIND_AGAIN,
                None => RETRY_AFTER_FAILURE,
            };
            tokio::time::sleep(again).await;
        }
    }

    async fn rivals(&self, kind: &'static str, resource: &ApiResource) {
        let read = |object: &Value| {
            let key = RivalKey { kind, object: observe::key(object)? };
            Some((key, observe::rival(kind, object)?))
        };
        let to_event = |change| Event::Rivals(kind, change);
        follow(self.api(resource), None, read, &self.events, to_event, |_| None).await;
    }

    /// Workloads of a kind, once the cluster has it.
    pub(crate) async fn targets(self, kind: KindKey) {
        let plural = loop {
            let why = match self.cluster.send(&ApiRequest::get(api(&kind.api_version))).await {
                Response::Done(resources) => match observe::plural(&resources, &kind) {
                    Ok(plural) => break plural,
                    Err(why) => why,
                },
                Response::Failed { why, .. } => why,
                Response::NotFound | Response::Conflict => {
                    format!("the cluster has no group {}", kind.api_version)
                }
            };
            if self.events.send(Event::Kind(kind.clone(), Err(why))).await.is_err() {
                return;
            }
            tokio::time::sleep(KIND_AGAIN).await;
        };
        let resource = resource(&kind.api_version, &kind.kind, &plural);
        let read = |object: &Value| {
            let key = TargetKey { kind: kind.clone(), object: observe::key(object)? };
            Some((key, observe::target(object)))
        };
        // A kind counts as known once all of its objects have been listed, and as unknown while
        // they cannot be.
        let known = |listed: Result<(), String>| {
            Some(Event::Kind(kind.clone(), listed.map(|()| plural.clone())))
        };
        let to_event = |change| Event::Targets(kind.clone(), change);
        follow(self.api(&resource), None, read, &self.events, to_event, known).await;
    }
}

/// Watches the objects of a kind until the receiver is gone. `also` makes a further event after
/// each list, and when listing is impossible.
pub(crate) async fn follow<K, V: Versioned, E>(
    api: Api<DynamicObject>,
    labels: Option<&str>,
    read: impl Fn(&Value) -> Option<(K, V)>,
    events: &mpsc::Sender<E>,
    to_event: impl Fn(Change<K, V>) -> E,
    also: impl Fn(Result<(), String>) -> Option<E>,
) {
    let mut config = watcher::Config::default().timeout(WATCH_SECONDS);
    if let Some(labels) = labels {
        config = config.labels(labels);
    }
    let mut stream = pin!(watcher(api, config).default_backoff());
    let mut listed = Vec::new();
    while let Some(event) = stream.next().await {
        let mut changes = Vec::new();
        match event {
            Ok(watcher::Event::Init) => listed.clear(),
            Ok(watcher::Event::InitApply(object)) => {
                listed.extend(value(object).and_then(|object| read(&object)));
            }
            Ok(watcher::Event::InitDone) => {
                changes.push(to_event(Change::Listed(std::mem::take(&mut listed))));
                changes.extend(also(Ok(())));
            }
            Ok(watcher::Event::Apply(object)) => {
                let seen = value(object).and_then(|object| read(&object));
                changes.extend(seen.map(|(key, value)| to_event(Change::Seen(key, value))));
            }
            Ok(watcher::Event::Delete(object)) => {
                let gone = value(object).and_then(|object| read(&object));
                changes.extend(
                    gone.map(|(key, value)| to_event(Change::Gone(key, value.version().clone()))),
                );
            }
            Err(error) => {
                tracing::warn!(%error, "a watch failed");
                if matches!(error, watcher::Error::InitialListFailed(_)) {
                    changes.extend(also(Err(error.to_string())));
                }
            }
        }
        for event in changes {
            if events.send(event).await.is_err() {
                return;
            }
        }
    }
}

/// An object as JSON.
fn value(object: DynamicObject) -> Option<Value> {
    serde_json::to_value(object).ok()
}
