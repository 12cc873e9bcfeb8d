//! `tidegate-kubernetes knative` between an activator and Knative's autoscaler, on loopback.
//!
//! The API server is a fake one, the activator sends what Knative's sends, Knative's autoscaler is
//! a socket that keeps what comes. Revisions have an unbounded burst capacity here, so that
//! activators alone report and no pod is asked.

#![expect(clippy::unwrap_used, reason = "what cannot be done fails the test")]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::BodyExt;
use prost::Message;
use serde_json::{Value, json};
use tidegate_autoscaler::Improvements;
use tidegate_kubernetes::knative::metrics::Metrics;
use tidegate_kubernetes::knative::run::{Config, Peers, run};
use tidegate_kubernetes::run::RunError;
use tidegate_kubernetes_fake::{FakeCluster, Fault, Kind};
use tidegate_proto::knative::{Stat, WireStatMessage, WireStatMessages};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const AUTOSCALERS: &str =
    "/apis/autoscaling.internal.knative.dev/v1alpha1/namespaces/shop/podautoscalers";
const METRICS: &str = "/apis/autoscaling.internal.knative.dev/v1alpha1/namespaces/shop/metrics";
const SERVICES: &str =
    "/apis/networking.internal.knative.dev/v1alpha1/namespaces/shop/serverlessservices";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/shop/deployments";
const CONFIGS: &str = "/api/v1/namespaces/knative-serving/configmaps";

const KINDS: [Kind; 4] = [
    Kind::custom("autoscaling.internal.knative.dev", "v1alpha1", "podautoscalers", "PodAutoscaler"),
    Kind::custom("autoscaling.internal.knative.dev", "v1alpha1", "metrics", "Metric"),
    Kind::custom(
        "networking.internal.knative.dev",
        "v1alpha1",
        "serverlessservices",
        "ServerlessService",
    ),
    Kind::custom("", "v1", "configmaps", "ConfigMap"),
];

/// Longer than anything here takes, shorter than a test that hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Time between two looks at what is waited for.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

const HEAD: &str = "GET / HTTP/1.1\r\nHost: autoscaler.knative-serving.svc:8080\r\n\
    Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";

/// A cluster with Knative and a revision of each class, both with no replica.
struct Stage {
    cluster: FakeCluster,
    api: SocketAddr,
    /// What has come to Knative's autoscaler.
    came: Arc<Mutex<Vec<u8>>>,
    autoscaler: SocketAddr,
}

fn free_address() -> SocketAddr {
    tidegate_reserved_port::reserve().unwrap()
}

impl Stage {
    async fn new() -> Self {
        let cluster = FakeCluster::new(&KINDS);
        let api = cluster.serve().await.unwrap();
        let came = Arc::new(Mutex::new(Vec::new()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let autoscaler = listener.local_addr().unwrap();
        tokio::spawn(keep_what_comes(listener, Arc::clone(&came)));
        let stage = Self { cluster, api, came, autoscaler };
        stage.create(CONFIGS, json!({"metadata": {"name": "config-autoscaler"}})).await;
        for (name, class) in
            [("ours", "tidegate.tidegate.dev"), ("theirs", "kpa.autoscaling.knative.dev")]
        {
            let labels = json!({
                "serving.knative.dev/revision": name,
                "serving.knative.dev/revisionUID": name,
            });
            let deployment = json!({
                "metadata": {"name": format!("{name}-deployment"), "labels": labels},
                "spec": {"replicas": 0},
            });
            stage.create(DEPLOYMENTS, deployment).await;
            let annotations = json!({
                "autoscaling.knative.dev/class": class,
                "autoscaling.knative.dev/target-burst-capacity": "-1",
                "autoscaling.knative.dev/initial-scale": "0",
            });
            let target = json!({
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "name": format!("{name}-deployment"),
            });
            let spec = json!({
                "scaleTargetRef": target,
                "protocolType": "http1",
                "containerConcurrency": 10,
            });
            let metadata = json!({"name": name, "labels": labels, "annotations": annotations});
            stage.create(AUTOSCALERS, json!({"metadata": metadata, "spec": spec})).await;
        }
        stage
    }

    async fn create(&self, path: &str, object: Value) {
        let (status, response) = self.ask(Method::POST, path, object).await;
        assert_eq!(status, 201, "{response}");
    }

    async fn ask(&self, method: Method, path: &str, body: Value) -> (u16, Value) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/merge-patch+json")
            .body(Bytes::from(body.to_string()))
            .unwrap();
        let (head, body) = self.cluster.respond(request).into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (head.status.as_u16(), serde_json::from_slice(&body).unwrap_or_default())
    }

    async fn get(&self, path: &str) -> Option<Value> {
        let (status, object) = self.ask(Method::GET, path, Value::Null).await;
        (status == 200).then_some(object)
    }

    async fn replicas(&self, revision: &str) -> i64 {
        let deployment = self.get(&format!("{DEPLOYMENTS}/{revision}-deployment")).await.unwrap();
        deployment["spec"]["replicas"].as_i64().unwrap_or(0)
    }

    async fn until<F: Future<Output = bool>>(&self, what: &str, is_so: impl Fn() -> F) {
        let waiting = async {
            while !is_so().await {
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        };
        assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "not in time: {what}");
    }

    /// What Knative's controller does with a new ServerlessService.
    async fn plumb(&self, revision: &str) {
        let path = format!("{SERVICES}/{revision}");
        self.until("the ServerlessService", || async { self.get(&path).await.is_some() }).await;
        let status = json!({"status": {
            "serviceName": revision,
            "privateServiceName": format!("{revision}-private"),
            "observedGeneration": 1,
            "conditions": [{"type": "Ready", "status": "Unknown", "message": "no endpoints"}],
        }});
        self.ask(Method::PATCH, &format!("{path}/status"), status).await;
        let status = format!("{AUTOSCALERS}/{revision}");
        self.until("its name in the status", || async {
            self.get(&status).await.unwrap()["status"]["serviceName"] == revision
        })
        .await;
    }

    /// A controller of this name, which listens at these addresses.
    fn controller(&self, name: &str, [statistics, peers, others]: [SocketAddr; 3]) -> Controller {
        let mut client = kube::Config::new(format!("http://{}", self.api).parse().unwrap());
        client.default_retry = false;
        let others = Peers { host: others.to_string(), own: [127, 0, 0, 9].into() };
        let config = Config {
            client: kube::Client::try_from(client).unwrap(),
            serving_namespace: "knative-serving".to_owned(),
            name: name.to_owned(),
            statistics,
            autoscaler: self.autoscaler.to_string(),
            peers: Some((peers, others)),
            improvements: Improvements::all(),
            metrics: Metrics::default(),
        };
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(run(config, async move { drop(stopped.await) }));
        Controller { stop, task }
    }
}

/// A controller that runs.
struct Controller {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), RunError>>,
}

impl Controller {
    async fn stop(self) {
        let _ = self.stop.send(());
        self.task.await.unwrap().unwrap();
    }
}

async fn keep_what_comes(listener: TcpListener, came: Arc<Mutex<Vec<u8>>>) {
    while let Ok((mut client, _)) = listener.accept().await {
        let came = Arc::clone(&came);
        tokio::spawn(async move {
            let mut buffer = [0; 4_096];
            client.write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n").await.unwrap();
            while let Ok(count @ 1..) = client.read(&mut buffer).await {
                came.lock().unwrap().extend(&buffer[..count]);
            }
        });
    }
}

/// An activator's connection, and everything that was sent over it.
struct Activator {
    connection: TcpStream,
    sent: Vec<u8>,
}

impl Activator {
    async fn connect(address: SocketAddr) -> Self {
        let connecting = async {
            loop {
                match TcpStream::connect(address).await {
                    Ok(connection) => return connection,
                    Err(_) => tokio::time::sleep(POLL_INTERVAL).await,
                }
            }
        };
        let connection = tokio::time::timeout(PATIENCE, connecting).await.unwrap();
        let mut activator = Self { connection, sent: Vec::new() };
        activator.send(HEAD.as_bytes()).await;
        let mut answer = [0; 36];
        activator.connection.read_exact(&mut answer).await.unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 101"));
        activator
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.connection.write_all(bytes).await.unwrap();
        self.sent.extend(bytes);
    }

    /// Reports so many requests at each of these revisions.
    async fn report(&mut self, revisions: &[&str], concurrency: f64) {
        let message = |name: &&str| WireStatMessage {
            namespace: "shop".to_owned(),
            name: (*name).to_owned(),
            stat: Some(Stat {
                pod_name: "activator-1".to_owned(),
                average_concurrent_requests: concurrency,
                request_count: concurrency,
                ..Stat::default()
            }),
        };
        let messages = revisions.iter().map(message).collect();
        let payload = WireStatMessages { messages }.encode_to_vec();
        let mask = [7, 11, 13, 17];
        let mut frame = vec![0x82, 0x80 | u8::try_from(payload.len()).unwrap()];
        assert!(payload.len() < 126, "a longer frame has another header");
        frame.extend(mask);
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        self.send(&frame).await;
    }
}

#[tokio::test]
async fn an_activator_wakes_our_revision_and_knative_hears_every_byte() {
    let stage = Stage::new().await;
    let addresses = [free_address(), free_address(), free_address()];
    let controller = stage.controller("one", addresses);
    stage.plumb("ours").await;
    let mut activator = Activator::connect(addresses[0]).await;
    activator.report(&["ours", "theirs"], 1.0).await;
    stage.until("a replica", || async { stage.replicas("ours").await == 1 }).await;
    stage
        .until("Knative's autoscaler", || async { *stage.came.lock().unwrap() == activator.sent })
        .await;

    // Nothing of another class's was touched.
    assert_eq!(stage.replicas("theirs").await, 0);
    assert_eq!(stage.get(&format!("{SERVICES}/theirs")).await, None);
    assert_eq!(stage.get(&format!("{METRICS}/theirs")).await, None);
    let theirs = stage.get(&format!("{AUTOSCALERS}/theirs")).await.unwrap();
    assert_eq!(theirs["status"], Value::Null);
    let metric = stage.get(&format!("{METRICS}/ours")).await.unwrap();
    assert_eq!(metric["spec"]["stableWindow"], 60_000_000_000_i64);
    let service = stage.get(&format!("{SERVICES}/ours")).await.unwrap();
    assert_eq!(service["spec"]["mode"], "Proxy");
    controller.stop().await;
}

#[tokio::test]
async fn an_api_server_that_fails_is_asked_again() {
    let stage = Stage::new().await;
    let addresses = [free_address(), free_address(), free_address()];
    let controller = stage.controller("one", addresses);
    stage.plumb("ours").await;
    stage.cluster.fail(Method::PATCH, "/scale", Fault::Internal, 3);
    let mut activator = Activator::connect(addresses[0]).await;
    activator.report(&["ours"], 1.0).await;
    stage.until("a replica", || async { stage.replicas("ours").await == 1 }).await;
    controller.stop().await;
}

/// The one that decides hears what an activator says to the one that stands by.
#[tokio::test]
async fn what_one_hears_the_other_decides_by() {
    let stage = Stage::new().await;
    let [first, first_peers] = [free_address(), free_address()];
    let [second, second_peers] = [free_address(), free_address()];
    let deciding = stage.controller("deciding", [first, first_peers, second_peers]);
    stage.plumb("ours").await;
    let standby = stage.controller("standby", [second, second_peers, first_peers]);
    let mut activator = Activator::connect(second).await;
    let waking = async {
        // What was said before the two have found each other is lost.
        loop {
            activator.report(&["ours"], 1.0).await;
            tokio::time::sleep(POLL_INTERVAL).await;
            if stage.replicas("ours").await == 1 {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, waking).await.expect("the standby tells the other");
    deciding.stop().await;
    standby.stop().await;
}
