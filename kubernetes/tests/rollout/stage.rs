//! A route, two revisions behind it, and a reconciler that is told a second at a time what happens.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::FutureExt;
use http::{Method, Request};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tidegate_autoscaler::Timestamp;
use tidegate_kubernetes::observe;
use tidegate_kubernetes::plan::Step;
use tidegate_kubernetes::reconciler::{Change, Effect, Ended, Event, Reconciler, Response};
use tidegate_kubernetes::recorder::Identity;
use tidegate_kubernetes::request::{self, ApiRequest};
use tidegate_kubernetes::world::{ObjectKey, World};
use tidegate_kubernetes_fake::{FakeCluster, Kind};
use tidegate_rollout::Outcomes;

pub(crate) const SCALERS: &str = "/apis/tidegate.dev/v1alpha1/namespaces/shop/trafficscalers";
const ROLLOUTS: &str = "/apis/tidegate.dev/v1alpha1/namespaces/shop/trafficrollouts";
pub(crate) const ROUTES: &str = "/apis/gateway.networking.k8s.io/v1/namespaces/shop/httproutes";
const SERVICES: &str = "/api/v1/namespaces/shop/services";
const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/tidegate-system/endpointslices";
const HPAS: &str = "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers";

pub(crate) const KINDS: [Kind; 3] = [
    Kind::custom("tidegate.dev", "v1alpha1", "trafficscalers", "TrafficScaler"),
    Kind::custom("tidegate.dev", "v1alpha1", "trafficrollouts", "TrafficRollout"),
    Kind::custom("gateway.networking.k8s.io", "v1", "httproutes", "HTTPRoute"),
];

/// Requests to the route in a second.
const REQUESTS_PER_SECOND: u64 = 100;

pub(crate) struct Stage {
    pub(crate) cluster: FakeCluster,
    reconciler: Reconciler,
    now: Timestamp,
    /// Of the stable and of the new revision.
    outcomes: [Outcomes; 2],
    /// Every how many requests of the new revision one fails; 0 is none.
    pub(crate) fails_every: u64,
    /// The weights that were ever written, in the order in which they were.
    pub(crate) weights: Vec<(i64, i64)>,
    /// Reasons of the Events about rollouts, and their notes.
    pub(crate) told: Vec<(String, String)>,
}

/// A route with three rules: one for both revisions, one for the stable one, and one for both in
/// the other order.
pub(crate) fn route() -> Value {
    let backend = |name: &str, more: Value| {
        let mut backend = json!({"name": name, "port": 80, "filters": [{"type": "Something"}]});
        let fields = backend.as_object_mut().expect("an object");
        fields.extend(more.as_object().expect("an object").clone());
        backend
    };
    json!({
        "metadata": {"name": "web", "labels": {"team": "till"}},
        "spec": {
            "hostnames": ["web.example"],
            "rules": [
                {"backendRefs": [
                    backend("web-v1", json!({})),
                    backend("web-v2", json!({"weight": 0})),
                ]},
                {"backendRefs": [backend("web-v1", json!({"weight": 3}))]},
                {"backendRefs": [
                    backend("web-v2", json!({"weight": 0})),
                    backend("web-v1", json!({"weight": 7})),
                ]},
            ],
        },
    })
}

pub(crate) fn scaler(name: &str) -> Value {
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": name});
    json!({
        "metadata": {"name": name},
        "spec": {"targetRef": target, "service": {"name": name}},
    })
}

pub(crate) fn rollout(more: &Value) -> Value {
    let mut spec = json!({
        "route": {"name": "web"},
        "stable": {"name": "web-v1"},
        "new": {"name": "web-v2"},
        "strategy": {"steps": [
            {"permille": 100, "holdSeconds": 30},
            {"permille": 500, "holdSeconds": 30},
        ]},
    });
    let fields = spec.as_object_mut().expect("an object");
    fields.extend(more.as_object().expect("an object").clone());
    json!({"metadata": {"name": "web"}, "spec": spec})
}

impl Stage {
    /// A route, a rollout with `more` in its spec, and both revisions with their scalers.
    pub(crate) fn new(more: &Value) -> Self {
        let stage = Self::without_rollout();
        stage.create(ROLLOUTS, rollout(more));
        stage
    }

    pub(crate) fn without_rollout() -> Self {
        let stage = Self {
            cluster: FakeCluster::new(&KINDS),
            reconciler: reconciler(),
            now: Timestamp::from_secs(1_800_000_000),
            outcomes: Default::default(),
            fails_every: 0,
            weights: Vec::new(),
            told: Vec::new(),
        };
        for name in ["web-v1", "web-v2"] {
            stage.create(SCALERS, scaler(name));
        }
        stage.create(ROUTES, route());
        stage
    }

    pub(crate) fn create(&self, path: &str, object: Value) {
        let request = ApiRequest::create(path.to_owned(), object);
        let (status, response) = self.ask(&request);
        assert_eq!(status, 201, "{response}");
    }

    pub(crate) fn delete(&self, path: &str) {
        let gone =
            ApiRequest { method: request::Method::Delete, ..ApiRequest::get(path.to_owned()) };
        assert_eq!(self.ask(&gone).0, 200);
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        self.ask(&ApiRequest::get(path.to_owned())).1
    }

    /// A person changes an object.
    pub(crate) fn change(&self, path: &str, change: Value) {
        let change = ApiRequest {
            method: request::Method::Patch,
            path: path.to_owned(),
            content_type: Some(request::MERGE_PATCH),
            body: change,
        };
        let (status, response) = self.ask(&change);
        assert_eq!(status, 200, "{response}");
    }

    /// A person changes the rollout's spec.
    pub(crate) fn order(&self, spec: &Value) {
        self.change(&format!("{ROLLOUTS}/web"), json!({"spec": spec}));
    }

    pub(crate) fn route(&self) -> Value {
        self.get(&format!("{ROUTES}/web"))
    }

    pub(crate) fn status(&self) -> Value {
        self.get(&format!("{ROLLOUTS}/web"))["status"].clone()
    }

    pub(crate) fn phase(&self) -> String {
        self.status()["phase"].as_str().unwrap_or_default().to_owned()
    }

    /// The reason of a condition, if it is false.
    pub(crate) fn not(&self, about: &str) -> Option<String> {
        let status = self.status();
        let condition = status["conditions"].as_array()?.iter().find(|c| c["type"] == about)?;
        (condition["status"] == "False")
            .then(|| condition["reason"].as_str().unwrap_or_default().to_owned())
    }

    fn ask(&self, asked: &ApiRequest) -> (u16, Value) {
        let method = match asked.method {
            request::Method::Get => Method::GET,
            request::Method::Post => Method::POST,
            request::Method::Put => Method::PUT,
            request::Method::Patch => Method::PATCH,
            request::Method::Delete => Method::DELETE,
        };
        let builder = Request::builder().method(method).uri(&asked.path);
        let builder = builder.header("content-type", asked.content_type.unwrap_or_default());
        let request = builder.body(Bytes::from(asked.body.to_string())).expect("it can be sent");
        let (head, body) = self.cluster.respond(request).into_parts();
        let body = body.collect().now_or_never().expect("it is answered at once");
        let bytes = body.expect("it is whole").to_bytes();
        (head.status.as_u16(), serde_json::from_slice(&bytes).unwrap_or_default())
    }

    /// Another controller takes over, which knows nothing but what the objects say.
    pub(crate) fn take_over(&mut self) {
        self.reconciler = reconciler();
        self.outcomes = Default::default();
    }

    /// So many seconds pass, with requests in each of them.
    pub(crate) fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.now = self.now.plus_millis(1_000);
            self.send_requests();
            self.see_all();
            self.reconcile();
        }
    }

    /// A second's requests, divided as the first rule of the route says.
    fn send_requests(&mut self) {
        let route = self.route();
        let weight = |index: usize| {
            let at = format!("/spec/rules/0/backendRefs/{index}/weight");
            route.pointer(&at).map_or(1, |weight| weight.as_u64().expect("a weight"))
        };
        let all = (weight(0) + weight(1)).max(1);
        let new = REQUESTS_PER_SECOND * weight(1) / all;
        let before = self.outcomes[1].finished();
        let failures = |requests: u64| requests.checked_div(self.fails_every).unwrap_or(0);
        let failed = failures(before + new) - failures(before);
        self.outcomes[0].count(REQUESTS_PER_SECOND - new, 0);
        self.outcomes[1].count(new, failed);
    }

    fn items(&self, path: &str) -> Vec<Value> {
        self.get(path)["items"].as_array().cloned().unwrap_or_default()
    }

    /// Everything that there is, as lists of watches would tell it.
    fn see_all(&mut self) {
        fn listed<T>(
            items: Vec<Value>,
            read: impl Fn(&Value) -> Option<T>,
        ) -> Change<ObjectKey, T> {
            let item = |object: &Value| Some((observe::key(object)?, read(object)?));
            Change::Listed(items.iter().filter_map(item).collect())
        }
        let scalers = listed(self.items(SCALERS), |object| observe::scaler(object).ok());
        let services = listed(self.items(SERVICES), |object| Some(observe::service(object)));
        let slices = listed(self.items(SLICES), observe::slice);
        let rollouts = listed(self.items(ROLLOUTS), |object| observe::rollout(object).ok());
        let routes = listed(self.items(ROUTES), |object| Some(observe::route(object)));
        assert!(self.items(HPAS).is_empty());
        let all = [
            Event::Scalers(Box::new(scalers)),
            Event::Services(services),
            Event::Slices(None, slices),
            Event::Rivals("HorizontalPodAutoscaler", Change::Listed(Vec::new())),
            Event::Rollouts(rollouts),
            Event::Routes(routes),
        ];
        for event in all {
            let effects = self.reconciler.apply(self.now, event);
            self.carry_out(effects);
        }
    }

    /// Reconciles until there is nothing left to do.
    fn reconcile(&mut self) {
        for _ in 0..10 {
            let (effects, _) = self.reconciler.reconcile(self.now);
            if effects.is_empty() {
                return;
            }
            self.carry_out(effects);
        }
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            let event = match effect {
                Effect::Send(action) => {
                    let (status, object) = self.ask(&action.request);
                    if let (Step::Weights { .. }, 200) = (&action.step, status) {
                        self.note_weights(&object);
                    }
                    let response = match status {
                        200..300 => Response::Done(object),
                        404 => Response::NotFound,
                        409 => Response::Conflict,
                        _ => Response::Failed { why: object["message"].to_string(), wait_ms: 0 },
                    };
                    Event::Ended(Box::new(Ended { action, response, chance: 0.5 }))
                }
                Effect::Observe(revisions) => {
                    let [stable, new] = self.outcomes.clone();
                    let names = ["web-v1", "web-v2"].map(|name| ObjectKey::new("shop", name));
                    let all: BTreeMap<ObjectKey, Outcomes> =
                        names.into_iter().zip([stable, new]).collect();
                    Event::Outcomes(
                        all.into_iter().filter(|(key, _)| revisions.contains(key)).collect(),
                    )
                }
                Effect::RecordEvent(event)
                    if event.body["regarding"]["kind"] == "TrafficRollout" =>
                {
                    let text = |field: &str| event.body[field].as_str().expect("a text").to_owned();
                    self.told.push((text("reason"), text("note")));
                    continue;
                }
                _ => continue,
            };
            let effects = self.reconciler.apply(self.now, event);
            self.carry_out(effects);
        }
    }

    fn note_weights(&mut self, route: &Value) {
        let weight = |path: &str| route.pointer(path).and_then(Value::as_i64).expect("a weight");
        let new = weight("/spec/rules/0/backendRefs/1/weight");
        let stable = weight("/spec/rules/0/backendRefs/0/weight");
        assert_eq!(weight("/spec/rules/2/backendRefs/0/weight"), new);
        assert_eq!(weight("/spec/rules/2/backendRefs/1/weight"), stable);
        assert_eq!(stable + new, 1_000, "shares are the whole");
        self.weights.push((stable, new));
    }

    /// What was told last.
    pub(crate) fn last_told(&self) -> (&str, &str) {
        self.told.last().map(|(reason, note)| (reason.as_str(), note.as_str())).unwrap_or_default()
    }
}

fn reconciler() -> Reconciler {
    let activators = ObjectKey::new("tidegate-system", "tidegate-activator");
    Reconciler::new(World::default(), activators, Identity::default())
}
