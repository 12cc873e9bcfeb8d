//! The targets: Deployments with Services and TrafficScalers, many to a namespace.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use futures::{StreamExt, stream};
use serde_json::{Value, json};

use crate::cluster::{APPS, Cluster};

/// Targets in one namespace.
const PER_NAMESPACE: usize = 100;

/// Requests to the API server at a time.
const CONCURRENCY: usize = 24;

/// Objects of one page of a list.
const PAGE: usize = 500;

/// Time between two looks at all objects: a look costs the API server something too.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// Looks after which what is waited for counts as stuck: twenty minutes.
const LOOKS_MAX: usize = 400;

/// Requests that a pod works on at a time, of which it is to have seven of ten.
const CONCURRENCY_OF_POD: u32 = 10;

/// Requests for which there is one pod more, in thousandths.
const LOAD_OF_POD_MILLI: u32 = 7_000;

/// One target.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) namespace: String,
    pub(super) name: String,
    replicas: usize,
    /// Requests in flight, in thousandths.
    pub(super) load_milli: AtomicU32,
    /// Pods that there are.
    pub(super) pods: AtomicUsize,
    /// Among how many its requests are shared out.
    pub(super) shares: AtomicUsize,
}

/// What a TrafficScaler says.
#[derive(Debug)]
pub(super) struct Seen {
    /// The activators' port for its Service.
    pub(super) port: Option<u16>,
    /// Whether all ready pods report, or there is none.
    pub(super) is_heard_of: bool,
    pub(super) is_at_zero: bool,
}

/// All targets.
pub(super) struct Fleet {
    pub(super) targets: Arc<Vec<Target>>,
}

impl Fleet {
    /// Makes namespaces, Deployments and Services.
    pub(super) async fn create(cluster: &Cluster, targets: usize, pods: usize) -> Self {
        let target = |n: usize| Target {
            namespace: format!("{APPS}-storm-{}", n / PER_NAMESPACE),
            name: format!("app-{n}"),
            replicas: pods / targets + usize::from(n < pods % targets),
            load_milli: AtomicU32::new(0),
            pods: AtomicUsize::new(0),
            shares: AtomicUsize::new(1),
        };
        let targets: Vec<Target> = (0..targets).map(target).collect();
        let fleet = Self { targets: Arc::new(targets) };
        fleet.change_load(1, 1.0);
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": APPS}});
        cluster.apply("default", &node.to_string());
        for n in (0..fleet.len()).step_by(PER_NAMESPACE) {
            let namespace = json!({
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {
                    "name": fleet.targets[n].namespace,
                    "labels": {"app.kubernetes.io/part-of": APPS},
                },
            });
            cluster.apply("default", &namespace.to_string());
        }
        fleet.create_each(cluster, "/apis/apps/v1", "deployments", deployment).await;
        fleet.create_each(cluster, "/api/v1", "services", service).await;
        fleet
    }

    pub(super) fn len(&self) -> usize {
        self.targets.len()
    }

    /// Gives every `every`-th target so many times the load of a target at rest, which is in the
    /// middle of what keeps so many pods.
    pub(super) fn change_load(&self, every: usize, times: f64) {
        for target in self.targets.iter().step_by(every) {
            let milli = (target.replicas as f64 - 0.5) * f64::from(LOAD_OF_POD_MILLI) * times;
            target.load_milli.store(milli as u32, Ordering::Relaxed);
        }
    }

    /// Makes the TrafficScalers.
    pub(super) async fn create_scalers(&self, cluster: &Cluster) {
        self.create_each(cluster, "/apis/tidegate.dev/v1alpha1", "trafficscalers", scaler).await;
    }

    async fn create_each(
        &self,
        cluster: &Cluster,
        group: &str,
        plural: &str,
        object: fn(&Target) -> Value,
    ) {
        let requests = self.targets.iter().map(|target| {
            let path = format!("{group}/namespaces/{}/{plural}", target.namespace);
            let object = object(target);
            async move { drop(cluster.send("POST", &path, &object).await.unwrap()) }
        });
        stream::iter(requests).buffer_unordered(CONCURRENCY).collect::<()>().await;
    }

    /// Gives every Deployment another template, so that all of its pods are replaced.
    pub(super) async fn roll(&self, cluster: &Cluster) {
        let annotations = json!({"tidegate-trial": "rolled"});
        let patch = json!({"spec": {"template": {"metadata": {"annotations": annotations}}}});
        let requests = self.targets.iter().map(|Target { namespace, name, .. }| {
            let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments/{name}");
            let patch = &patch;
            async move { drop(cluster.send("PATCH", &path, patch).await.unwrap()) }
        });
        stream::iter(requests).buffer_unordered(CONCURRENCY).collect::<()>().await;
    }

    /// Waits until all pods are of the last template.
    pub(super) async fn until_rolled(&self, cluster: &Cluster) {
        let is_rolled = |deployment: &Value| {
            let status = |field: &str| deployment["status"][field].as_u64().unwrap_or_default();
            let wanted = deployment["spec"]["replicas"].as_u64();
            wanted == Some(status("updatedReplicas"))
                && status("replicas") == status("updatedReplicas")
                && status("readyReplicas") == status("replicas")
        };
        for _ in 0..LOOKS_MAX {
            let all = list(cluster, "/apis/apps/v1/deployments").await;
            if all.iter().filter(|one| is_ours(one)).all(is_rolled) {
                return;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        panic!("not all pods were replaced");
    }

    /// Waits until so many pods are ready.
    pub(super) async fn until_ready(&self, cluster: &Cluster, pods: usize) {
        let ready = |one: &Value| one["status"]["readyReplicas"].as_u64().unwrap_or_default();
        for look in 0..LOOKS_MAX {
            let all = list(cluster, "/apis/apps/v1/deployments").await;
            let ready: u64 = all.iter().filter(|one| is_ours(one)).map(ready).sum();
            if ready >= pods as u64 {
                return;
            }
            if look % 10 == 0 {
                println!("  {ready} of {pods} pods are ready");
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        panic!("not all of {pods} pods became ready");
    }

    /// What all TrafficScalers say.
    pub(super) async fn scalers(&self, cluster: &Cluster) -> Vec<Seen> {
        let all = list(cluster, "/apis/tidegate.dev/v1alpha1/trafficscalers").await;
        all.iter().map(seen).collect()
    }

    /// Waits until something is so of every TrafficScaler.
    pub(super) async fn until_scalers(
        &self,
        cluster: &Cluster,
        what: &str,
        is_so: impl Fn(&Seen) -> bool,
    ) {
        for look in 0..LOOKS_MAX {
            let are_so = self.scalers(cluster).await.iter().filter(|one| is_so(one)).count();
            if are_so == self.len() {
                return;
            }
            if look % 10 == 0 {
                println!("  {are_so} of {} are {what}", self.len());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        panic!("not all TrafficScalers were {what}");
    }

    /// Deletes all of it.
    pub(super) async fn remove(&self, cluster: &Cluster) {
        for n in (0..self.len()).step_by(PER_NAMESPACE) {
            let namespace = &self.targets[n].namespace;
            let all = ["delete", "trafficscalers", "--all", "--wait=false", "--namespace"];
            cluster.kubectl(&[&all[..], &[namespace]].concat(), None);
            cluster.kubectl(&["delete", "namespace", namespace, "--wait=false"], None);
        }
        cluster.kubectl(&["delete", "node", APPS], None);
    }
}

fn is_ours(object: &Value) -> bool {
    object["metadata"]["namespace"].as_str().is_some_and(|name| name.starts_with(APPS))
}

fn seen(scaler: &Value) -> Seen {
    let status = &scaler["status"];
    let conditions = status["conditions"].as_array();
    let sidecar = conditions.into_iter().flatten().find(|one| one["type"] == "SidecarInjected");
    let port = status["activatorPorts"][0]["activatorPort"].as_u64();
    let reason = sidecar.and_then(|sidecar| sidecar["reason"].as_str()).unwrap_or_default();
    Seen {
        port: port.and_then(|port| u16::try_from(port).ok()),
        is_heard_of: ["AllReport", "NoPodReady"].contains(&reason),
        is_at_zero: status["mode"] == "Zero",
    }
}

/// All objects of a kind, a page at a time.
pub(super) async fn list(cluster: &Cluster, path: &str) -> Vec<Value> {
    let (mut all, mut next) = (Vec::new(), String::new());
    loop {
        let page = format!("{path}?limit={PAGE}&continue={next}");
        // The API server may be about to restart, and a page may be too old by then.
        let Ok(mut page) = cluster.send("GET", &page, &Value::Null).await else {
            all.clear();
            next.clear();
            tokio::time::sleep(LOOK_EVERY).await;
            continue;
        };
        if let Value::Array(items) = page["items"].take() {
            all.extend(items);
        }
        next = page["metadata"]["continue"].as_str().unwrap_or_default().to_owned();
        if next.is_empty() {
            return all;
        }
    }
}

fn deployment(target: &Target) -> Value {
    let labels = json!({"app": target.name, "app.kubernetes.io/part-of": APPS});
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": target.name},
        "spec": {
            "replicas": target.replicas,
            "selector": {"matchLabels": {"app": target.name}},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "nodeName": APPS,
                    "automountServiceAccountToken": false,
                    "terminationGracePeriodSeconds": 0,
                    "containers": [{
                        "name": "app",
                        "image": "app",
                        "ports": [{"name": "http", "containerPort": 8080}],
                    }],
                },
            },
        },
    })
}

fn service(target: &Target) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": target.name},
        "spec": {
            "selector": {"app": target.name},
            "ports": [{"port": 80, "targetPort": "http"}],
        },
    })
}

fn scaler(target: &Target) -> Value {
    let name = &target.name;
    json!({
        "apiVersion": "tidegate.dev/v1alpha1",
        "kind": "TrafficScaler",
        "metadata": {"name": name},
        "spec": {
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "service": {"name": name},
            "sidecar": {"concurrency": CONCURRENCY_OF_POD},
        },
    })
}
