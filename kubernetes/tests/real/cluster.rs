//! The cluster, and what is put into it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service};
use k8s_openapi::jiff;
use kube::api::{Api, ListParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};
use tidegate_kubernetes::request::MERGE_PATCH;

/// Where Tidegate is installed.
pub(crate) const SYSTEM: &str = "tidegate-system";

/// The ConfigMap by which sidecars know the controller.
const AUTHORITY: &str = "tidegate-authority";

/// What the names of the namespaces of apps begin with.
pub(crate) const APPS: &str = "tidegate-trial";

/// Longer than anything takes that a trial waits for, shorter than one that hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// Time between two looks at what is waited for.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// An app that is scaled.
#[derive(Debug, Clone)]
pub(crate) struct App {
    pub(crate) name: String,
    /// Requests that a pod works on at a time.
    pub(crate) concurrency: u32,
    pub(crate) min: i32,
    pub(crate) max: i32,
    /// Over how long load is averaged, in seconds.
    pub(crate) window_s: u32,
    /// How long the app is busy before it listens, in milliseconds.
    pub(crate) start_delay_ms: u32,
}

impl App {
    /// One that comes to zero after six seconds, the shortest window there is.
    pub(crate) fn named(name: &str) -> Self {
        let name = name.to_owned();
        Self { name, concurrency: 10, min: 0, max: 0, window_s: 6, start_delay_ms: 0 }
    }

    fn objects(&self, image: &str) -> [Value; 2] {
        let (name, labels) = (&self.name, json!({"app": self.name}));
        let annotations = json!({
            "tidegate.dev/inject": "enabled",
            "tidegate.dev/concurrency": self.concurrency.to_string(),
        });
        let container = json!({
            "name": "app",
            "image": image,
            "args": ["app"],
            "ports": [{"name": "http", "containerPort": 8080}],
            "env": [{"name": "START_DELAY_MS", "value": self.start_delay_ms.to_string()}],
            "readinessProbe": {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 1},
        });
        let deployment = json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name},
            "spec": {
                "replicas": self.min.max(1),
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels, "annotations": annotations},
                    "spec": {"containers": [container]},
                },
            },
        });
        let service = json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name},
            "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": "http"}]},
        });
        [deployment, service]
    }

    pub(crate) fn scaler(&self) -> Value {
        json!({
            "apiVersion": "tidegate.dev/v1alpha1",
            "kind": "TrafficScaler",
            "metadata": {"name": self.name},
            "spec": {
                "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": self.name},
                "service": {"name": self.name},
                "sidecar": {"concurrency": self.concurrency},
                "scale": {
                    "minScale": self.min,
                    "maxScale": self.max,
                    "window": format!("{}s", self.window_s),
                },
            },
        })
    }
}

/// A cluster that may be filled and emptied.
#[derive(Clone)]
pub(crate) struct Cluster {
    pub(crate) client: kube::Client,
    kubeconfig: OsString,
    images: String,
}

impl Cluster {
    /// The cluster of a kubeconfig.
    pub(crate) async fn new(kubeconfig: OsString, images: String) -> Self {
        let read = Kubeconfig::read_from(Path::new(&kubeconfig)).unwrap();
        let options = KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(read, &options).await.unwrap();
        let client = kube::Client::try_from(config).unwrap();
        Self { client, kubeconfig, images }
    }

    /// Runs kubectl, and returns what it wrote.
    pub(crate) fn kubectl(&self, arguments: &[&str], input: Option<&str>) -> String {
        use std::io::Write;
        let mut command = Command::new("kubectl");
        command.args(arguments).env("KUBECONFIG", &self.kubeconfig);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("kubectl is on the PATH");
        child.stdin.take().unwrap().write_all(input.unwrap_or_default().as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "kubectl {}: {error}", arguments.join(" "));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The image of one of the programs.
    pub(crate) fn image(&self, name: &str) -> String {
        format!("{}/{name}:test", self.images)
    }

    /// Applies objects, which are of this namespace where they name none.
    pub(crate) fn apply(&self, namespace: &str, objects: &str) {
        let arguments = ["apply", "--server-side", "--namespace", namespace, "--filename", "-"];
        self.kubectl(&arguments, Some(objects));
    }

    /// Sends a request to the API server; without a body for `Null`.
    pub(crate) async fn send(&self, method: &str, path: &str, body: &Value) -> kube::Result<Value> {
        let type_ = if method == "PATCH" { MERGE_PATCH } else { "application/json" };
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let request = http::Request::builder().method(method).uri(path);
        let request = request.header(http::header::CONTENT_TYPE, type_).body(body).unwrap();
        self.client.request(request).await
    }

    /// Installs Tidegate for the whole cluster, as its page says.
    pub(crate) async fn install(&self) {
        self.install_with(&[]).await;
    }

    /// The same with components of the manifests.
    pub(crate) async fn install_with(&self, components: &[&str]) {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let install = Path::new(env!("CARGO_MANIFEST_DIR")).join("install");
        let up = "../".repeat(folder.path().components().count());
        let from = install.strip_prefix("/").unwrap().display();
        let image = |name: &str| {
            let to = format!("{}/{name}", self.images);
            json!({"name": name, "newName": to, "newTag": "test"})
        };
        let sidecar = self.image("queue-proxy");
        let environment = json!([{"name": "TIDEGATE_INJECT_IMAGE", "value": sidecar}]);
        let containers = json!([{"name": "webhook", "env": environment}]);
        let webhook = json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "tidegate-webhook"},
            "spec": {"template": {"spec": {"containers": containers}}},
        });
        let components = components.iter().map(|name| format!("{up}{from}/{name}"));
        let kustomization = json!({
            "resources": [format!("{up}{from}")],
            "components": components.collect::<Vec<_>>(),
            "images": [image("activator"), image("tidegate-kubernetes")],
            "patches": [{"patch": webhook.to_string()}],
        });
        let file = folder.path().join("kustomization.yaml");
        std::fs::write(file, kustomization.to_string()).unwrap();
        self.kubectl(&["apply", "--server-side", "-k", folder.path().to_str().unwrap()], None);
        for deployment in ["certificates", "controller", "activator", "webhook"] {
            self.settled(&format!("tidegate-{deployment}"));
        }
        until(PATIENCE, "a controller that leads", || async { !self.leader().await.is_empty() })
            .await;
    }

    /// Makes the namespace of a trial, and apps in it. Returns its name.
    pub(crate) async fn apps(&self, trial: &str, apps: &[App]) -> String {
        let name = self.namespace(trial).await;
        if !apps.is_empty() {
            let image = self.image("app");
            let all = apps.iter().flat_map(|app| {
                let [deployment, service] = app.objects(&image);
                [deployment, service, app.scaler()]
            });
            self.apply(&name, &list(all.collect()));
        }
        name
    }

    /// The same for apps that nobody scales, with no replica. Their pods have sidecars.
    pub(crate) async fn bare_apps(&self, trial: &str, apps: &[App]) -> String {
        let name = self.namespace(trial).await;
        let image = self.image("app");
        let all = apps.iter().flat_map(|app| {
            let [mut deployment, service] = app.objects(&image);
            deployment["spec"]["replicas"] = json!(0);
            [deployment, service]
        });
        self.apply(&name, &list(all.collect()));
        name
    }

    /// Makes the namespace of a trial. Returns its name.
    async fn namespace(&self, trial: &str) -> String {
        let name = format!("{APPS}-{trial}");
        let labels = json!({"app.kubernetes.io/part-of": APPS, "tidegate.dev/inject": "enabled"});
        let namespace = json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": name, "labels": labels},
        });
        self.apply("default", &namespace.to_string());
        // A kubelet that finds it missing looks again only after a while.
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), &name);
        let is_published = || async { maps.get_opt(AUTHORITY).await.unwrap().is_some() };
        until(PATIENCE, "the authorities in a new namespace", is_published).await;
        name
    }

    /// Where the Service of an app takes requests.
    pub(crate) async fn address(&self, namespace: &str, name: &str) -> SocketAddr {
        let services: Api<Service> = Api::namespaced(self.client.clone(), namespace);
        let service = services.get(name).await.unwrap();
        let ip = service.spec.unwrap().cluster_ip.unwrap();
        SocketAddr::new(ip.parse().unwrap(), 80)
    }

    /// Where the Services of a namespace take requests, by their names.
    pub(crate) async fn addresses(&self, namespace: &str) -> BTreeMap<String, SocketAddr> {
        let services: Api<Service> = Api::namespaced(self.client.clone(), namespace);
        let services = services.list(&ListParams::default()).await.unwrap();
        let address = |service: Service| {
            let ip = service.spec?.cluster_ip?.parse().ok()?;
            Some((service.metadata.name?, SocketAddr::new(ip, 80)))
        };
        services.items.into_iter().filter_map(address).collect()
    }

    /// The mode that the status of a TrafficScaler tells.
    pub(crate) fn mode(&self, namespace: &str, name: &str) -> String {
        let path = "jsonpath={.status.mode}";
        let arguments = ["get", "trafficscaler", name, "--namespace", namespace, "--output", path];
        self.kubectl(&arguments, None)
    }

    /// Waits until an app is at zero.
    pub(crate) async fn until_zero(&self, namespace: &str, name: &str) {
        until(PATIENCE, "zero", || async { self.mode(namespace, name) == "Zero" }).await;
    }

    /// Waits until `count` apps of a namespace are at zero.
    pub(crate) async fn until_all_zero(&self, namespace: &str, count: usize) {
        let path = "jsonpath={.items[*].status.mode}";
        let arguments = ["get", "trafficscalers", "--namespace", namespace, "--output", path];
        let zeros = || self.kubectl(&arguments, None).split(' ').filter(|m| *m == "Zero").count();
        // Each of a thousand takes a while to begin with.
        until(PATIENCE * 5, "all at zero", || async { zeros() == count }).await;
    }

    /// The status of a condition of a TrafficScaler, and its reason.
    pub(crate) fn condition(&self, namespace: &str, name: &str, condition: &str) -> String {
        let of_it = format!(".status.conditions[?(@.type==\"{condition}\")]");
        let path = format!("jsonpath={{{of_it}.status}} {{{of_it}.reason}}");
        let arguments = ["get", "trafficscaler", name, "--namespace", namespace, "--output", &path];
        self.kubectl(&arguments, None)
    }

    /// The reasons of the Events about a TrafficScaler.
    pub(crate) fn events(&self, namespace: &str, name: &str) -> Vec<String> {
        let of_it = format!("involvedObject.name={name},involvedObject.kind=TrafficScaler");
        let path = "jsonpath={.items[*].reason}";
        let arguments = [
            "get",
            "events",
            "--namespace",
            namespace,
            "--field-selector",
            &of_it,
            "--output",
            path,
        ];
        self.kubectl(&arguments, None).split(' ').map(str::to_owned).collect()
    }

    /// The Lease of the controllers.
    pub(crate) async fn lease(&self) -> Lease {
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), SYSTEM);
        leases.get_opt("tidegate-controller").await.ok().flatten().unwrap_or_default()
    }

    /// The pod of the controller that holds the Lease; empty for nobody.
    pub(crate) async fn leader(&self) -> String {
        let held = self.lease().await.spec.and_then(|spec| spec.holder_identity);
        held.unwrap_or_default()
    }

    /// Waits until a controller decides that has begun after `since`: another one, or the same pod
    /// once its process was started anew.
    pub(crate) async fn until_led(&self, before: &str, since: jiff::Timestamp) {
        let is_led = || async {
            let spec = self.lease().await.spec.unwrap_or_default();
            let holder = spec.holder_identity.unwrap_or_default();
            let is_renewed = spec.renew_time.is_some_and(|at| at.0 > since);
            !holder.is_empty() && (holder != before || is_renewed)
        };
        until(PATIENCE, "another controller that leads", is_led).await;
    }

    /// The names of the pods of one of Tidegate's Deployments that are not about to end.
    pub(crate) async fn pods_of(&self, deployment: &str) -> Vec<String> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), SYSTEM);
        let labels = format!("app.kubernetes.io/name={deployment}");
        let pods = pods.list(&ListParams::default().labels(&labels)).await.unwrap();
        let alive = pods.items.into_iter().filter(|p| p.metadata.deletion_timestamp.is_none());
        alive.filter_map(|pod| pod.metadata.name).collect()
    }

    /// The names of the pods that are on a node.
    pub(crate) async fn pods_on(&self, node: &str) -> Vec<String> {
        let pods: Api<Pod> = Api::all(self.client.clone());
        let there = ListParams::default().fields(&format!("spec.nodeName={node}"));
        let pods = pods.list(&there).await.unwrap();
        pods.items.into_iter().filter_map(|pod| pod.metadata.name).collect()
    }

    /// The names of all pods that the endpoints of a namespace's Services are.
    pub(crate) fn endpoints(&self, namespace: &str) -> String {
        let path = "jsonpath={.items[*].endpoints[*].targetRef.name}";
        let arguments = ["get", "endpointslices", "--namespace", namespace, "--output", path];
        self.kubectl(&arguments, None)
    }

    /// Deletes a pod of Tidegate's: at once, without waiting for it, or with its grace.
    pub(crate) fn delete_pod(&self, pod: &str, how: &[&str]) {
        let delete = ["delete", "pod", pod, "--namespace", SYSTEM, "--wait=false"];
        self.kubectl(&[&delete[..], how].concat(), None);
    }

    /// Waits until all pods of one of Tidegate's Deployments are ready.
    pub(crate) fn settled(&self, deployment: &str) {
        self.rolled_out(SYSTEM, deployment);
    }

    /// Waits until all pods of a Deployment are ready.
    pub(crate) fn rolled_out(&self, namespace: &str, deployment: &str) {
        let name = format!("deployment/{deployment}");
        let rollout = ["rollout", "status", &name, "--namespace", namespace, "--timeout", "180s"];
        self.kubectl(&rollout, None);
    }

    /// Has all pods of a Deployment be made anew, and waits until the new ones are ready.
    pub(crate) fn restart(&self, namespace: &str, deployment: &str) {
        let name = format!("deployment/{deployment}");
        self.kubectl(&["rollout", "restart", &name, "--namespace", namespace], None);
        self.rolled_out(namespace, deployment);
    }

    /// Sets the replicas of one of Tidegate's Deployments, and waits until there are as many.
    pub(crate) async fn set_replicas(&self, deployment: &str, replicas: usize) {
        let (name, count) = (format!("deployment/{deployment}"), format!("--replicas={replicas}"));
        self.kubectl(&["scale", &name, "--namespace", SYSTEM, &count], None);
        self.settled(deployment);
        let are_there = || async { self.pods_of(deployment).await.len() == replicas };
        until(PATIENCE, deployment, are_there).await;
    }

    /// Deletes the apps of all trials.
    pub(crate) async fn remove_apps(&self) {
        let label = format!("app.kubernetes.io/part-of={APPS}");
        let of_them = |kind: &str| {
            let names = ["get", kind, "--all-namespaces", "--output", "name"];
            self.kubectl(&names, None).lines().count()
        };
        if of_them("trafficscaler") > 0 {
            self.kubectl(&["delete", "trafficscaler", "--all", "--all-namespaces"], None);
        }
        self.kubectl(&["delete", "namespace", "--selector", &label, "--timeout", "300s"], None);
    }

    /// Removes Tidegate.
    pub(crate) async fn uninstall(&self) {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/install");
        self.kubectl(&["delete", "--ignore-not-found", "-k", folder], None);
    }
}

/// Objects as one.
pub(crate) fn list(items: Vec<Value>) -> String {
    json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string()
}

/// Waits until something is so.
pub(crate) async fn until<F: Future<Output = bool>>(
    patience: Duration,
    what: &str,
    is_so: impl Fn() -> F,
) {
    let begin = Instant::now();
    while !is_so().await {
        assert!(begin.elapsed() < patience, "{what}: not within {patience:?}");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}
