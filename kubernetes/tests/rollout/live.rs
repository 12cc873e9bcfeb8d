//! The controller as it runs, over sockets: watches, reports of two queue-proxies, and patches.
//!
//! It is asked of an API server of our own. Where `TIDEGATE_TEST_KUBECONFIG` names a file with a
//! cluster that has the Gateway API's and our kinds, it is asked of that one too, in a namespace of
//! its own.

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use http::{Method, Request};
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};
use tidegate_controller::{Access, Metrics};
use tidegate_kubernetes::adapters::Adapters;
use tidegate_kubernetes::run::{Config, run};
use tidegate_kubernetes::world::ObjectKey;
use tidegate_kubernetes_fake::{FakeCluster, Right};
use tidegate_proto::stats::v1::{Hello, Revision, Role, Stat};
use tidegate_reporter::Credentials;
use tidegate_trust::Secret;

use crate::stage::{KINDS, rollout, route, scaler};

/// Names a file with a cluster to try it on.
const KUBECONFIG: &str = "TIDEGATE_TEST_KUBECONFIG";

const SECRET: &str = "0123456789abcdef";

/// Longer than anything here takes, shorter than a test that hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// Time between two reports, and between two looks at the route.
const PERIOD: Duration = Duration::from_millis(200);

/// Requests to the route in such a time.
const REQUESTS: u64 = 200;

/// An API server, and a namespace in it.
struct Live {
    client: kube::Client,
    namespace: String,
}

impl Live {
    /// What was answered, and null where that was a refusal.
    async fn ask(&self, method: Method, path: &str, body: &Value) -> Value {
        let builder = Request::builder().method(method).uri(path);
        let builder = builder.header("content-type", "application/json");
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let request = builder.body(body).expect("it can be sent");
        self.client.request::<Value>(request).await.unwrap_or_default()
    }

    fn path(&self, group: &str, plural: &str) -> String {
        format!("/{group}/namespaces/{}/{plural}", self.namespace)
    }

    async fn create(&self, group: &str, plural: &str, kind: &str, mut object: Value) {
        object["apiVersion"] = json!(group.trim_start_matches("apis/").trim_start_matches("api/"));
        object["kind"] = json!(kind);
        let created = self.ask(Method::POST, &self.path(group, plural), &object).await;
        assert!(!created.is_null(), "it cannot be created: {object}");
    }

    async fn get(&self, group: &str, plural: &str) -> Value {
        self.ask(Method::GET, &format!("{}/web", self.path(group, plural)), &Value::Null).await
    }

    /// The thousandths of the new revision, as the route has them.
    async fn permille(&self) -> u64 {
        let route = self.get("apis/gateway.networking.k8s.io/v1", "httproutes").await;
        let weight = |index: usize| {
            let at = format!("/spec/rules/0/backendRefs/{index}/weight");
            route.pointer(&at).and_then(Value::as_u64).unwrap_or(1)
        };
        let (stable, new) = (weight(0), weight(1));
        assert!(stable + new == 1_000 || new == 0, "{stable} and {new}");
        new
    }

    async fn phase(&self) -> String {
        let object = self.get("apis/tidegate.dev/v1alpha1", "trafficrollouts").await;
        object["status"]["phase"].as_str().unwrap_or_default().to_owned()
    }
}

fn credentials() -> Credentials {
    let shown = |key: &str| (key == "TIDEGATE_SECRET").then(|| SECRET.to_owned());
    Credentials::configured(shown).expect("they can be read")
}

/// A queue-proxy of a revision, and what it reports.
struct Sidecar {
    reporter: tidegate_reporter::Reporter,
    driving: tokio::task::JoinHandle<()>,
    finished: u64,
    failed: u64,
}

impl Sidecar {
    fn start(live: &Live, name: &str, reports: SocketAddr) -> Self {
        let namespace = live.namespace.clone();
        let hello = Hello {
            role: Role::QueueProxy.into(),
            revision: Some(Revision { namespace, name: name.to_owned() }),
            instance: format!("{name}-1"),
            address: "127.0.0.1:8012".to_owned(),
            start_unix_ms: 1,
            ..Hello::default()
        };
        let config = tidegate_reporter::Config::new(&reports.to_string(), &credentials(), hello);
        let (reporter, inbox, driver) = tidegate_reporter::start(config.expect("it can be used"));
        let driving = tokio::spawn(async move {
            // Its other end must live as long as it does.
            let _inbox = inbox;
            driver.run().await;
        });
        Self { reporter, driving, finished: 0, failed: 0 }
    }

    /// So many requests ended, of which one of `fails_every` failed.
    fn report(&mut self, requests: u64, fails_every: u64) {
        self.finished += requests;
        let failed = self.finished.checked_div(fails_every).unwrap_or(0);
        let server_error_count = failed - self.failed;
        self.failed = failed;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() - PERIOD;
        self.reporter.report(Stat {
            period_start_unix_ms: i64::try_from(now.as_millis()).unwrap_or(0),
            period_length_ms: u32::try_from(PERIOD.as_millis()).unwrap_or(1),
            request_count: requests,
            finished_count: requests,
            server_error_count,
            ready: true,
            ..Stat::default()
        });
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        self.driving.abort();
    }
}

fn controller(live: &Live, listen: SocketAddr, scope: Option<String>) -> Config {
    Config {
        client: live.client.clone(),
        namespace: scope,
        system_namespace: live.namespace.clone(),
        activators: ObjectKey::new(&live.namespace, "tidegate-activator"),
        port_range: "20000-29999".parse().expect("a range"),
        name: "one".to_owned(),
        listen,
        access: Access::by_secret(Secret::new(SECRET, "the test").expect("it is long enough")),
        caller: None,
        metrics: Metrics::default(),
        adapters: Adapters { external_scaler: None, external_metrics: None },
        decides: tokio::sync::watch::Sender::new(None),
    }
}

/// A rollout of a revision of which one of `fails_every` requests fails, until it has ended.
/// Returns how it did, and how long it took.
async fn roll_out(live: &Live, scope: Option<String>, fails_every: u64) -> (String, Duration) {
    let ours = "apis/tidegate.dev/v1alpha1";
    for name in ["web-v1", "web-v2"] {
        live.create(ours, "trafficscalers", "TrafficScaler", scaler(name)).await;
    }
    let mut route = route();
    for rule in route["spec"]["rules"].as_array_mut().expect("rules") {
        for backend in rule["backendRefs"].as_array_mut().expect("backends") {
            backend.as_object_mut().expect("an object").remove("filters");
        }
    }
    live.create("apis/gateway.networking.k8s.io/v1", "httproutes", "HTTPRoute", route).await;
    let steps = json!({"steps": [{"permille": 100, "holdSeconds": 4}]});
    let health = json!({"minRequests": 50});
    let rollout = rollout(&json!({"strategy": steps, "health": health}));
    live.create(ours, "trafficrollouts", "TrafficRollout", rollout).await;
    let listen = tidegate_reserved_port::reserve().expect("there is a port");
    let config = controller(live, listen, scope);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let controller = tokio::spawn(run(config, async move { drop(stopped.await) }));
    let mut stable = Sidecar::start(live, "web-v1", listen);
    let mut new = Sidecar::start(live, "web-v2", listen);
    let mut began = None;
    let begin = Instant::now();
    let ended = loop {
        let permille = live.permille().await;
        if permille > 0 {
            began.get_or_insert_with(Instant::now);
        }
        let requests = REQUESTS * permille / 1_000;
        stable.report(REQUESTS - requests, 0);
        new.report(requests, fails_every);
        let phase = live.phase().await;
        if ["Promoted", "Returned"].contains(&phase.as_str()) {
            break phase;
        }
        assert!(begin.elapsed() < PATIENCE, "not in time; it is {phase}");
        tokio::time::sleep(PERIOD).await;
    };
    let took = began.map_or(Duration::ZERO, |began| began.elapsed());
    let expected = if ended == "Promoted" { 1_000 } else { 0 };
    assert_eq!(live.permille().await, expected);
    let _ = stop.send(());
    controller.await.expect("it does not panic").expect("it ends in order");
    (ended, took)
}

async fn on_our_own(fails_every: u64) -> (String, Duration) {
    let cluster = FakeCluster::new(&KINDS);
    let api = cluster.serve().await.expect("there is a port");
    let mut config = kube::Config::new(format!("http://{api}").parse().expect("an address"));
    config.default_retry = false;
    let client = kube::Client::try_from(config).expect("it can be used");
    let live = Live { client, namespace: "shop".to_owned() };
    let ended = roll_out(&live, None, fails_every).await;
    let asked = cluster.take_seen();
    let asked: Vec<Right> = asked.iter().filter_map(Right::of).collect();
    // Beside what the test itself asks for: each right that the roles grant for rollouts is used.
    for (resource, verb) in [
        ("trafficrollouts", "list"),
        ("trafficrollouts", "watch"),
        ("trafficrollouts/status", "patch"),
        ("httproutes", "list"),
        ("httproutes", "watch"),
        ("httproutes", "patch"),
    ] {
        let is_asked = |right: &Right| right.resource == resource && right.verb == verb;
        assert!(asked.iter().any(is_asked), "nobody asks to {verb} {resource}");
    }
    ended
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_that_fails_is_returned_as_its_queue_proxies_report() {
    let (phase, took) = on_our_own(20).await;
    assert_eq!(phase, "Returned");
    eprintln!("returned after {took:?} with a tenth of 1,000 requests a second");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_revision_is_promoted_as_its_queue_proxies_report() {
    let (phase, _) = on_our_own(0).await;
    assert_eq!(phase, "Promoted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_cluster_does_the_same() {
    let Some(path) = std::env::var_os(KUBECONFIG) else {
        eprintln!("skipped: set {KUBECONFIG} to a file with a cluster to try it on");
        return;
    };
    for (fails_every, expected) in [(20, "Returned"), (0, "Promoted")] {
        let file = Kubeconfig::read_from(&path).expect("it can be read");
        let options = KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(file, &options).await;
        let mut config = config.expect("it names a cluster");
        config.default_retry = false;
        let client = kube::Client::try_from(config).expect("it can be used");
        let namespace = format!("tidegate-rollout-{}-{fails_every}", std::process::id());
        let live = Live { client, namespace: namespace.clone() };
        let named = json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace},
        });
        live.ask(Method::POST, "/api/v1/namespaces", &named).await;
        let (phase, took) = roll_out(&live, Some(namespace.clone()), fails_every).await;
        assert_eq!(phase, expected);
        eprintln!("a real cluster: {phase} after {took:?}");
        live.ask(Method::DELETE, &format!("/api/v1/namespaces/{namespace}"), &Value::Null).await;
    }
}
