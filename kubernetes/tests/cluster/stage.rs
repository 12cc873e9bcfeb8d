//! A cluster on loopback: an API server, activators, pods that follow their Deployment,
//! and the controller under test.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tidegate_activator::{Activator, Running};
use tidegate_controller::{Access, Metrics};
use tidegate_kubernetes::adapters::{Adapters, ExternalScaler};
use tidegate_kubernetes::run::{Config, RunError, run};
use tidegate_kubernetes::world::ObjectKey;
use tidegate_kubernetes_fake::{FakeCluster, Kind};
use tidegate_proto::keda::external_scaler_client::ExternalScalerClient;
use tidegate_proto::keda::{GetMetricsRequest, ScaledObjectRef};
use tidegate_proto::stats::v1::{Hello, Revision, Role, Stat};
use tidegate_reporter::{Credentials, Reporter};
use tidegate_trust::Secret;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::transport::Channel;

const SCALERS: &str = "/apis/tidegate.dev/v1alpha1/namespaces/shop/trafficscalers";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/shop/deployments";
const SERVICES: &str = "/api/v1/namespaces/shop/services";
const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices";
const SYSTEM_SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/tidegate-system/endpointslices";
const HPAS: &str = "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers";
const EVENTS: &str = "/apis/events.k8s.io/v1/namespaces/shop/events";
pub(crate) const LEASE: &str =
    "/apis/coordination.k8s.io/v1/namespaces/tidegate-system/leases/tidegate-controller";

const SCALER_KIND: Kind =
    Kind::custom("tidegate.dev", "v1alpha1", "trafficscalers", "TrafficScaler");

/// Longer than anything here takes, shorter than a test that hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Time between two checks of an awaited condition.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_millis(5);

const SECRET: &str = "0123456789abcdef";

pub(crate) fn secret() -> Secret {
    Secret::new(SECRET, "the test").expect("it is long enough")
}

fn credentials() -> Credentials {
    let shown = |key: &str| (key == "TIDEGATE_SECRET").then(|| SECRET.to_owned());
    Credentials::configured(shown).expect("they can be read")
}

/// An API server, and the address for reports.
pub(crate) struct Stage {
    pub(crate) cluster: FakeCluster,
    pub(crate) api: SocketAddr,
    pub(crate) reports: SocketAddr,
    /// The ports of activators.
    port_range: String,
    /// Where KEDA asks.
    pub(crate) external_scaler: SocketAddr,
}

/// A port without a listener, which nobody else is given.
fn free_address() -> SocketAddr {
    tidegate_reserved_port::reserve().expect("there is a port")
}

/// Ports of activators that no other stage has.
fn port_range() -> String {
    const PORTS: u16 = 20;
    let first = tidegate_reserved_port::reserve_row(PORTS).expect("there are ports");
    format!("{first}-{}", first + PORTS - 1)
}

/// A controller that runs.
pub(crate) struct Controller {
    stop: oneshot::Sender<()>,
    pub(crate) task: JoinHandle<Result<(), RunError>>,
}

impl Controller {
    /// Stops it, and waits until it has ended.
    pub(crate) async fn stop(self) {
        let _ = self.stop.send(());
        self.task.await.expect("it does not panic").expect("it ends in order");
    }
}

impl Stage {
    /// A cluster with a TrafficScaler of this spec, its Deployment of one replica, its Service.
    pub(crate) async fn new(more: &Value) -> Self {
        let cluster = FakeCluster::new(&[SCALER_KIND]);
        let api = cluster.serve().await.expect("there is a port");
        let stage = Self {
            cluster,
            api,
            reports: free_address(),
            port_range: port_range(),
            external_scaler: free_address(),
        };
        stage.create_scaler(more).await;
        let selector = json!({"matchLabels": {"app": "till"}});
        let spec = json!({"replicas": 1, "selector": selector});
        stage.create(DEPLOYMENTS, json!({"metadata": {"name": "till"}, "spec": spec})).await;
        let ports = json!([{"name": "http", "port": 80}]);
        let spec = json!({"ports": ports, "ipFamilies": ["IPv4"], "selector": {"app": "till"}});
        stage.create(SERVICES, json!({"metadata": {"name": "till"}, "spec": spec})).await;
        stage.create(SLICES, slice("till-pods", "till", 0)).await;
        stage.create(SYSTEM_SLICES, slice("activators", "tidegate-activator", 0)).await;
        stage
    }

    /// A TrafficScaler of this spec.
    pub(crate) async fn create_scaler(&self, more: &Value) {
        let mut spec = json!({
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "till"},
            "service": {"name": "till"},
        });
        for (name, value) in more.as_object().expect("fields") {
            spec[name] = value.clone();
        }
        self.create(SCALERS, json!({"metadata": {"name": "till"}, "spec": spec})).await;
    }

    async fn create(&self, path: &str, object: Value) {
        let (status, response) = self.ask(Method::POST, path, object).await;
        assert_eq!(status, 201, "{response}");
    }

    pub(crate) async fn ask(&self, method: Method, path: &str, body: Value) -> (u16, Value) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/merge-patch+json")
            .body(Bytes::from(body.to_string()))
            .expect("it can be sent");
        let (head, body) = self.cluster.respond(request).into_parts();
        let body = body.collect().await.expect("it is answered").to_bytes();
        (head.status.as_u16(), serde_json::from_slice(&body).unwrap_or_default())
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        self.ask(Method::GET, path, Value::Null).await.1
    }

    /// A controller of this name.
    pub(crate) fn controller(&self, name: &str, listen: SocketAddr) -> Controller {
        let uri = format!("http://{}", self.api).parse().expect("it is an address");
        let mut client = kube::Config::new(uri);
        client.default_retry = false;
        let config = Config {
            client: kube::Client::try_from(client).expect("it can be used"),
            namespace: None,
            system_namespace: "tidegate-system".to_owned(),
            activators: ObjectKey::new("tidegate-system", "tidegate-activator"),
            port_range: self.port_range.parse().expect("a range"),
            name: name.to_owned(),
            listen,
            access: Access::by_secret(secret()),
            metrics: Metrics::default(),
            adapters: Adapters {
                external_scaler: Some(ExternalScaler { listen: self.external_scaler, tls: None }),
                external_metrics: None,
            },
            decides: tokio::sync::watch::Sender::new(None),
            caller: None,
        };
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(run(config, async move { drop(stopped.await) }));
        Controller { stop, task }
    }

    /// What KEDA is told by whoever decides: whether there should be a replica, and how many.
    pub(crate) async fn keda(&self) -> Result<(bool, f64), tonic::Status> {
        let endpoint = format!("http://{}", self.external_scaler);
        let channel = Channel::from_shared(endpoint).expect("it is an address").connect().await;
        let channel = channel.map_err(|error| tonic::Status::unavailable(error.to_string()))?;
        let mut client = ExternalScalerClient::new(channel);
        let reference = ScaledObjectRef {
            name: "till".to_owned(),
            namespace: "shop".to_owned(),
            ..ScaledObjectRef::default()
        };
        let active = client.is_active(reference.clone()).await?.into_inner().result;
        let request = GetMetricsRequest {
            scaled_object_ref: Some(reference),
            metric_name: "tidegate-desired-replicas".to_owned(),
        };
        let values = client.get_metrics(request).await?.into_inner().metric_values;
        Ok((active, values[0].metric_value_float))
    }

    /// An activator, which is made an endpoint of its Service.
    pub(crate) async fn activator(&self) -> Running {
        let config = tidegate_activator::Config {
            controller: Some(self.reports.to_string()),
            credentials: credentials(),
            name: "activator-1".to_owned(),
            ..tidegate_activator::Config::new(([127, 0, 0, 1], 0).into())
        };
        let running = Activator::bind(config).expect("there is a port").spawn();
        let endpoints = slice("activators", "tidegate-activator", 1)["endpoints"].clone();
        let path = format!("{SYSTEM_SLICES}/activators");
        self.ask(Method::PATCH, &path, json!({"endpoints": endpoints})).await;
        running
    }

    /// So many more TrafficScalers, each with a Deployment of one replica and a Service.
    pub(crate) async fn add_targets(&self, count: usize) {
        for n in 0..count {
            let name = format!("app-{n}");
            let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": name});
            let spec = json!({"targetRef": target, "service": {"name": name}});
            self.create(SCALERS, json!({"metadata": {"name": name}, "spec": spec})).await;
            let selector = json!({"app": name});
            let spec = json!({"replicas": 1, "selector": {"matchLabels": selector}});
            self.create(DEPLOYMENTS, json!({"metadata": {"name": name}, "spec": spec})).await;
            let ports = json!([{"name": "http", "port": 80}]);
            let spec = json!({"ports": ports, "ipFamilies": ["IPv4"], "selector": selector});
            self.create(SERVICES, json!({"metadata": {"name": name}, "spec": spec})).await;
        }
    }

    /// How many TrafficScalers have a status.
    pub(crate) async fn described(&self) -> usize {
        let all = self.get(SCALERS).await["items"].as_array().cloned().unwrap_or_default();
        all.iter().filter(|scaler| scaler["status"]["conditions"].is_array()).count()
    }

    /// The Service has another port, of this name, which its pods take at this one.
    pub(crate) async fn add_port(&self, name: &str, number: u16) {
        let http = json!({"name": "http", "port": 80});
        let ports = json!([http, {"name": name, "port": 5_432}]);
        let change = json!({"spec": {"ports": ports}});
        self.ask(Method::PATCH, &format!("{SERVICES}/till"), change).await;
        let ports = json!([{"name": "http", "port": 8_080}, {"name": name, "port": number}]);
        self.ask(Method::PATCH, &format!("{SLICES}/till-pods"), json!({"ports": ports})).await;
    }

    pub(crate) async fn replicas(&self) -> i64 {
        let target = self.get(&format!("{DEPLOYMENTS}/till")).await;
        target["spec"]["replicas"].as_i64().unwrap_or(0)
    }

    /// Waits until the last pod has ended, which may still answer a little longer than it counts.
    pub(crate) async fn until_no_pod(&self) {
        let path = format!("{DEPLOYMENTS}/till");
        self.until("the end of the last pod", || async {
            let target = self.get(&path).await;
            target["status"]["readyReplicas"] == 0
        })
        .await;
    }

    pub(crate) async fn set_replicas(&self, replicas: i64) {
        let change = json!({"spec": {"replicas": replicas}});
        self.ask(Method::PATCH, &format!("{DEPLOYMENTS}/till"), change).await;
    }

    /// An HPA of the Deployment, with this least number of replicas.
    pub(crate) async fn create_hpa(&self, least: i64) {
        let reference = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "till"});
        let spec = json!({"scaleTargetRef": reference, "minReplicas": least, "maxReplicas": 9});
        self.create(HPAS, json!({"metadata": {"name": "till"}, "spec": spec})).await;
    }

    pub(crate) async fn set_least_of_hpa(&self, least: i64) {
        let change = json!({"spec": {"minReplicas": least}});
        self.ask(Method::PATCH, &format!("{HPAS}/till"), change).await;
    }

    pub(crate) async fn status(&self) -> Value {
        self.get(&format!("{SCALERS}/till")).await["status"].clone()
    }

    /// The status and reason of a condition.
    pub(crate) async fn condition(&self, about: &str) -> (String, String) {
        let status = self.status().await;
        let all = status["conditions"].as_array().cloned().unwrap_or_default();
        let condition = all.into_iter().find(|c| c["type"] == about).unwrap_or_default();
        let text = |field: &str| condition[field].as_str().unwrap_or_default().to_owned();
        (text("status"), text("reason"))
    }

    /// Deletes the TrafficScaler, and returns whether it is there as long as it has a finalizer.
    pub(crate) async fn delete_scaler(&self) -> bool {
        let path = format!("{SCALERS}/till");
        let (status, response) = self.ask(Method::DELETE, &path, Value::Null).await;
        assert_eq!(status, 200, "{response}");
        self.has_scaler().await
    }

    pub(crate) async fn has_scaler(&self) -> bool {
        self.ask(Method::GET, &format!("{SCALERS}/till"), Value::Null).await.0 == 200
    }

    /// The slice that leads to the activators.
    pub(crate) async fn our_slice(&self) -> Option<Value> {
        let path = format!("{SLICES}/till-tidegate-ipv4");
        let (status, slice) = self.ask(Method::GET, &path, Value::Null).await;
        (status == 200).then_some(slice)
    }

    /// The reasons of the Events so far.
    pub(crate) async fn news(&self) -> Vec<String> {
        let all = self.get(EVENTS).await["items"].as_array().cloned().unwrap_or_default();
        all.iter().filter_map(|e| e["reason"].as_str().map(str::to_owned)).collect()
    }

    /// Waits until a condition holds.
    pub(crate) async fn until<F: Future<Output = bool>>(&self, what: &str, is_so: impl Fn() -> F) {
        let waiting = async {
            while !is_so().await {
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        };
        if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
            panic!("not in time: {what}; the status is {:#}", self.status().await);
        }
    }

    pub(crate) async fn until_mode(&self, mode: &str) {
        self.until(mode, || async { self.status().await["mode"] == mode }).await;
    }

    /// The kubelets' part, for ever: pods follow the Deployment, each busy with so many
    /// requests, and are ready at once.
    pub(crate) async fn run_pods(&self, busy: f64) {
        let mut pods: Vec<Pod> = Vec::new();
        let mut number = 0;
        loop {
            let wanted = usize::try_from(self.replicas().await).unwrap_or(0);
            if pods.len() != wanted {
                pods.truncate(wanted);
                while pods.len() < wanted {
                    number += 1;
                    pods.push(Pod::start(self.reports, number, busy).await);
                }
                let status = json!({"status": {"readyReplicas": wanted, "replicas": wanted}});
                self.ask(Method::PATCH, &format!("{DEPLOYMENTS}/till/status"), status).await;
                let endpoints = slice("till-pods", "till", wanted)["endpoints"].clone();
                let path = format!("{SLICES}/till-pods");
                self.ask(Method::PATCH, &path, json!({"endpoints": endpoints})).await;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}

/// A slice with so many endpoints, all of which are this machine.
fn slice(name: &str, service: &str, endpoints: usize) -> Value {
    let endpoint = json!({"addresses": ["127.0.0.1"], "conditions": {"ready": true}});
    json!({
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080}],
        "endpoints": vec![endpoint; endpoints],
    })
}

/// An app, and what a queue-proxy beside it would report.
struct Pod {
    tasks: Vec<JoinHandle<()>>,
}

impl Pod {
    async fn start(reports: SocketAddr, number: usize, busy: f64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a port");
        let address = listener.local_addr().expect("it has an address").to_string();
        let app = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(response(stream));
            }
        });
        let revision = Some(Revision { namespace: "shop".to_owned(), name: "till".to_owned() });
        let hello = Hello {
            role: Role::QueueProxy.into(),
            revision,
            instance: format!("till-{number}"),
            address,
            start_unix_ms: 1,
            counts_connections: true,
            ..Hello::default()
        };
        let config = tidegate_reporter::Config::new(&reports.to_string(), &credentials(), hello);
        let (reporter, inbox, driver) = tidegate_reporter::start(config.expect("it can be used"));
        let driving = tokio::spawn(async move {
            // Its other end must live as long as it does.
            let _inbox = inbox;
            driver.run().await;
        });
        let reporting = tokio::spawn(report(reporter, busy));
        Self { tasks: vec![app, driving, reporting] }
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Reports ten times a second that it is ready, and how busy it is.
async fn report(reporter: Reporter, busy: f64) {
    const PERIOD: Duration = Duration::from_millis(100);
    let epoch = std::time::SystemTime::UNIX_EPOCH;
    loop {
        let since = std::time::SystemTime::now().duration_since(epoch).unwrap_or_default();
        reporter.report(Stat {
            period_start_unix_ms: i64::try_from(since.as_millis()).unwrap_or(0) - 100,
            period_length_ms: 100,
            average_concurrency: busy,
            ready: true,
            ..Stat::default()
        });
        tokio::time::sleep(PERIOD).await;
    }
}

async fn response(mut stream: TcpStream) {
    let mut request = [0; 4_096];
    let _ = stream.read(&mut request).await;
    let reply = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
    let _ = stream.write_all(reply).await;
}

/// Sends a request there, and waits for the response.
pub(crate) async fn ask_service(port: u16) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.expect("it is listened on");
    let request = b"GET / HTTP/1.1\r\nhost: anything.at.all\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.expect("it takes requests");
    let mut response = String::new();
    stream.read_to_string(&mut response).await.expect("it answers");
    response
}
