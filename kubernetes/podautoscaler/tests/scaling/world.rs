//! A cluster with Knative in miniature: what it makes of the requests that are sent to it, and
//! what it then reports.

use std::net::IpAddr;

use serde_json::{Value, json};
use tidegate_autoscaler::lifecycle::ActivatorProbe;
use tidegate_autoscaler::scrape::ScrapeResponse;
use tidegate_autoscaler::{Improvements, Sample, Timestamp};
use tidegate_kubernetes_objects::store::{Change, ObjectKey};
use tidegate_kubernetes_podautoscaler::effect::{Action, ActionStep, Effect};
use tidegate_kubernetes_podautoscaler::object;
use tidegate_kubernetes_podautoscaler::reconciler::{Event, Looked, Reconciler};
use tidegate_kubernetes_podautoscaler::settings::ClusterSettings;
use tidegate_kubernetes_podautoscaler::statistics::{ActivatorReport, PodLoad};

pub(crate) const START: Timestamp = Timestamp::from_secs(1_800_000_000);

/// How often what is due is looked for.
const STEP_MS: u64 = 100;

pub(crate) struct World {
    pub(crate) reconciler: Reconciler,
    pub(crate) now: Timestamp,
    pub(crate) autoscaler: Value,
    pub(crate) service: Option<Value>,
    pub(crate) metric: Option<Value>,
    pub(crate) replicas: i32,
    /// Pods that are ready.
    pub(crate) pods: usize,
    /// Requests that activators hold or carry.
    pub(crate) held: f64,
    /// Whether requests through the public Service reach an activator.
    pub(crate) activator_answers: bool,
    /// Whether a ServerlessService gets its Services.
    pub(crate) plumbs: bool,
    /// Whether pods answer when they are scraped.
    pub(crate) pods_answer: bool,
    /// Replicas that were asked for, with the time since the start in seconds.
    pub(crate) scaled: Vec<(f64, i32)>,
    pub(crate) probes: usize,
    pub(crate) scrapes: usize,
    /// Pods that are listened to.
    pub(crate) listened: Vec<IpAddr>,
    pub(crate) notes: Vec<String>,
    /// Why replicas were asked for.
    pub(crate) reasons: Vec<String>,
    version: u64,
}

pub(crate) fn key() -> ObjectKey {
    ObjectKey::new("shop", "till-00001")
}

fn pod_autoscaler(annotations: &Value) -> Value {
    let mut all = json!({"autoscaling.knative.dev/class": "tidegate.tidegate.dev"});
    for (name, value) in annotations.as_object().into_iter().flatten() {
        all[format!("autoscaling.knative.dev/{name}")] = value.clone();
    }
    json!({
        "metadata": {
            "name": "till-00001",
            "namespace": "shop",
            "uid": "7",
            "generation": 1,
            "resourceVersion": "1",
            "annotations": all,
            "labels": {"serving.knative.dev/revision": "till-00001"},
        },
        "spec": {
            "containerConcurrency": 10,
            "reachability": "Reachable",
            "protocolType": "http1",
            "scaleTargetRef": {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "name": "till-00001-deployment",
            },
        },
    })
}

impl World {
    /// A revision with these annotations and one replica asked for, seen by a controller that has
    /// just begun.
    pub(crate) fn new(annotations: &Value) -> Self {
        let mut world = Self {
            reconciler: Reconciler::new(ClusterSettings::shipped(Improvements::all())),
            now: START,
            autoscaler: pod_autoscaler(annotations),
            service: None,
            metric: None,
            replicas: 1,
            pods: 0,
            held: 0.0,
            activator_answers: true,
            pods_answer: true,
            plumbs: true,
            scaled: Vec::new(),
            probes: 0,
            scrapes: 0,
            listened: Vec::new(),
            notes: Vec::new(),
            reasons: Vec::new(),
            version: 1,
        };
        world.introduce();
        world
    }

    /// A controller that has just begun sees everything there is.
    pub(crate) fn introduce(&mut self) {
        self.reconciler = Reconciler::new(ClusterSettings::shipped(Improvements::all()));
        let config = ObjectKey::new("knative-serving", "config-autoscaler");
        let data = json!({"data": {}});
        let listed = |object: &Option<Value>| object.clone().map(|object| (key(), object));
        let events = [
            Event::Configs(Change::Listed(vec![(config, object::config_map(&data))])),
            Event::Autoscalers(Box::new(Change::Listed(vec![(
                key(),
                object::pod_autoscaler(&self.autoscaler),
            )]))),
            Event::Services(Box::new(Change::Listed(
                listed(&self.service)
                    .map(|(key, object)| (key, object::serverless_service(&object)))
                    .into_iter()
                    .collect(),
            ))),
            Event::Metrics(Box::new(Change::Listed(
                listed(&self.metric)
                    .map(|(key, o)| (key, object::metric(&o)))
                    .into_iter()
                    .collect(),
            ))),
            Event::Deployments(Change::Listed(vec![self.deployment()])),
            Event::Pods(Change::Listed(Vec::new())),
        ];
        for event in events {
            self.apply(event);
        }
        for at in 0..self.pods {
            self.apply(self.pod(at));
        }
    }

    fn deployment(&self) -> (ObjectKey, object::Deployment) {
        let deployment = object::deployment(&json!({
            "metadata": {
                "namespace": "shop",
                "name": "till-00001-deployment",
                "resourceVersion": self.version.to_string(),
                "labels": {"serving.knative.dev/revision": "till-00001"},
            },
            "spec": {"replicas": self.replicas},
        }));
        let key = ObjectKey::new("shop", "till-00001-deployment");
        (key, deployment.expect("it is a revision's"))
    }

    fn pod(&self, at: usize) -> Event {
        let name = format!("till-00001-{at}");
        let pod = object::pod(&json!({
            "metadata": {
                "namespace": "shop",
                "name": name,
                "resourceVersion": self.version.to_string(),
                "labels": {"serving.knative.dev/revision": "till-00001"},
            },
            "status": {
                "phase": "Running",
                "podIP": format!("10.0.0.{}", at + 1),
                "startTime": "2027-01-15T07:59:00Z",
                "conditions": [{"type": "Ready", "status": "True"}],
            },
        }));
        Event::Pods(Change::Seen(ObjectKey::new("shop", &name), pod.expect("it is a revision's")))
    }

    pub(crate) fn apply(&mut self, event: Event) {
        for effect in self.reconciler.apply(self.now, event) {
            self.carry_out(effect);
        }
    }

    /// Looks at what is due now, until nothing more follows at once.
    pub(crate) fn settle(&mut self) {
        for _ in 0..50 {
            let Looked { effects, .. } = self.reconciler.reconcile(self.now);
            if effects.is_empty() {
                return;
            }
            for effect in effects {
                self.carry_out(effect);
            }
        }
        panic!("something is to be done again and again: {:?}", self.autoscaler);
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Send(action) => {
                let object = self.patched(&action);
                self.apply(Event::Done(Box::new(action), object));
            }
            Effect::Scrape(order) => {
                self.scrapes += 1;
                let asked = order.settled.len() + order.young.len();
                assert!(order.wanted as usize <= asked, "{order:?}");
                let each = self.held / self.pods.max(1) as f64;
                let sample = Sample::new(each, each, 0.0, 0.0).expect("figures");
                let response = match self.pods_answer {
                    true => ScrapeResponse::Sample(sample),
                    false => ScrapeResponse::Failure,
                };
                let responses = vec![response; order.wanted as usize];
                self.apply(Event::Scraped(order.revision, responses));
            }
            Effect::Probe(order) => {
                self.probes += 1;
                assert_eq!((order.service, order.port), (key(), 80));
                let found = match self.activator_answers {
                    true => ActivatorProbe::Confirmed,
                    false => ActivatorProbe::Denied,
                };
                self.apply(Event::Probed(order.revision, found));
            }
            Effect::Listen(order) => self.listened = order.pods,
            Effect::Note(_, what) => self.notes.push(what),
        }
    }

    /// What the API server makes of a request, and Knative's controllers of that.
    fn patched(&mut self, action: &Action) -> Value {
        self.version += 1;
        let version = json!(self.version.to_string());
        let body = &action.patch.body;
        match &action.step {
            ActionStep::Scale { to, from, .. } => {
                assert_eq!(*from, self.replicas);
                self.replicas = *to;
                let seconds = self.now.millis_since(START) as f64 / 1_000.0;
                self.scaled.push((seconds, *to));
                self.reasons.push(action.reason.clone());
                let spec = if *to == 0 { json!({}) } else { json!({"replicas": to}) };
                json!({"metadata": {"resourceVersion": version}, "spec": spec})
            }
            ActionStep::Service => {
                let mut service = body.clone();
                service["metadata"]["resourceVersion"] = version;
                service["status"] = self.service_status(&service);
                self.service = Some(service.clone());
                service
            }
            ActionStep::Metric => {
                let mut metric = body.clone();
                metric["metadata"]["resourceVersion"] = version;
                self.metric = Some(metric.clone());
                metric
            }
            ActionStep::Status => {
                self.autoscaler["metadata"]["resourceVersion"] = version;
                self.autoscaler["status"] = body["status"].clone();
                self.autoscaler.clone()
            }
        }
    }

    fn service_status(&self, service: &Value) -> Value {
        if !self.plumbs {
            return json!({});
        }
        let proxied = service["spec"]["mode"] == "Proxy";
        let before = self.service.as_ref().map(|service| &service["status"]["conditions"][1]);
        let status = if proxied { "True" } else { "False" };
        let since = match before {
            Some(before) if before["status"] == status => before["lastTransitionTime"].clone(),
            _ => json!(time(self.now)),
        };
        json!({
            "serviceName": "till-00001",
            "privateServiceName": "till-00001-private",
            "conditions": [
                {"type": "Ready", "status": "True"},
                {
                    "type": "ActivatorEndpointsPopulated",
                    "status": status,
                    "lastTransitionTime": since,
                },
            ],
        })
    }

    /// Time goes by, with as many pods as there are replicas `starts` after they were asked for,
    /// and activators that report every second.
    pub(crate) fn pass(&mut self, seconds: u64) {
        for step in 0..seconds * 1_000 / STEP_MS {
            self.now = self.now.plus_millis(STEP_MS);
            if step % 10 == 9 {
                self.follow();
                if self.held > 0.0 {
                    self.report(self.held);
                }
            }
            self.settle();
        }
    }

    /// The kubelet starts and stops pods.
    pub(crate) fn follow(&mut self) {
        let wanted = usize::try_from(self.replicas).unwrap_or(0);
        self.version += 1;
        while self.pods < wanted {
            let seen = self.pod(self.pods);
            self.pods += 1;
            self.apply(seen);
        }
        while self.pods > wanted {
            self.pods -= 1;
            let version = tidegate_kubernetes_objects::store::Version(self.version.to_string());
            let gone = ObjectKey::new("shop", &format!("till-00001-{}", self.pods));
            self.apply(Event::Pods(Change::Gone(gone, version)));
        }
    }

    pub(crate) fn report(&mut self, concurrency: f64) {
        let sample = Sample::of_concurrency(concurrency).expect("a figure");
        let activator = "activator-1".to_owned();
        self.apply(Event::Reports(vec![ActivatorReport { revision: key(), activator, sample }]));
    }

    /// A pod says what is inside, so many milliseconds later.
    pub(crate) fn hear(&mut self, after_ms: u64, (pod, in_flight): (IpAddr, u32)) {
        self.now = self.now.plus_millis(after_ms);
        let waiting = in_flight.saturating_sub(10);
        self.apply(Event::Heard(key(), pod, Some(PodLoad { in_flight, waiting })));
        self.settle();
    }

    pub(crate) fn condition(&self, name: &str) -> (String, String) {
        let all = self.autoscaler["status"]["conditions"].as_array().expect("conditions");
        let one = all.iter().find(|condition| condition["type"] == name).expect("it is there");
        let text = |field: &str| one[field].as_str().unwrap_or_default().to_owned();
        (text("status"), text("reason"))
    }

    pub(crate) fn mode(&self) -> &str {
        let service = self.service.as_ref().expect("there is one");
        service["spec"]["mode"].as_str().expect("a mode")
    }
}

fn time(at: Timestamp) -> String {
    let at = jiff::Timestamp::from_second(at.unix_seconds()).expect("a time");
    at.to_string()
}
