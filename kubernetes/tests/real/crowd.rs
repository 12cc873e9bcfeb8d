//! A thousand apps at zero that are all asked for at once.
//!
//! As many pods do not fit on a small machine. So their objects are real, what makes and deletes
//! them is the cluster's own, but nobody schedules them: this trial binds them to a node that is
//! none, says that they are ready, and one process ([`crate::sidecars`]) serves and reports for
//! all.

use std::collections::BTreeMap;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::Findings;
use crate::cluster::{App, Cluster};
use crate::replicas::Replicas;
use crate::sidecars::ORDERS_PORT;
use crate::woken;

/// How many apps.
const SIZES: [usize; 2] = [200, 1_000];

/// Who schedules the pods, and where to.
const NODE: &str = "tidegate-trial";

/// The port of the first app's pods; the others' follow.
const FIRST_PORT: u16 = 10_000;

pub(crate) async fn run(cluster: &Cluster) -> Findings {
    let mut findings = Findings::default();
    let node = json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": NODE},
        "spec": {"unschedulable": true},
    });
    cluster.kubectl(&["apply", "--server-side", "--filename", "-"], Some(&node.to_string()));
    for size in SIZES {
        let namespace = cluster.apps(&format!("crowd-{size}"), &[]).await;
        cluster.apply(&namespace, &sidecars(cluster).to_string());
        cluster.rolled_out(&namespace, "sidecars");
        let address = sidecars_address(cluster, &namespace).await;
        let mut keeping = JoinSet::new();
        let client = cluster.client.clone();
        keeping.spawn(keep(client, namespace.clone(), address.clone()));
        let apps: Vec<App> = (0..size).map(|n| App::named(&format!("app-{n}"))).collect();
        let objects = apps.iter().enumerate().map(|(n, app)| objects(cluster, app, n).to_string());
        cluster.apply(&namespace, &objects.collect::<Vec<_>>().join("\n---\n"));
        let replicas = Replicas::watch(cluster, &namespace);
        cluster.until_all_zero(&namespace, size).await;
        woken::wake_all(cluster, &namespace, (&apps, &replicas), &mut findings).await;
        cluster.remove_apps().await;
    }
    cluster.kubectl(&["delete", "node", NODE], None);
    findings
}

/// The process that stands for all pods.
fn sidecars(cluster: &Cluster) -> Value {
    let labels = json!({"app": "sidecars"});
    let of = |name: &str, path: &str| {
        let field = json!({"fieldPath": path});
        json!({"name": name, "valueFrom": {"fieldRef": field}})
    };
    let path = "/var/run/tidegate";
    let controller = "https://tidegate-controller.tidegate-system:9400";
    let container = json!({
        "name": "sidecars",
        "image": cluster.image("app"),
        "args": ["sidecars"],
        "env": [
            of("POD_IP", "status.podIP"),
            of("NAMESPACE", "metadata.namespace"),
            {"name": "TIDEGATE_CONTROLLER", "value": controller},
            {"name": "TIDEGATE_SECRET_FILE", "value": format!("{path}/token")},
            {"name": "TIDEGATE_CONTROLLER_CA", "value": format!("{path}/ca.crt")},
        ],
        "readinessProbe": {"tcpSocket": {"port": ORDERS_PORT}, "periodSeconds": 1},
        "volumeMounts": [{"name": "credentials", "mountPath": path, "readOnly": true}],
    });
    let sources = json!([
        {"serviceAccountToken": {"path": "token", "audience": "tidegate"}},
        {"configMap": {"name": "tidegate-authority"}},
    ]);
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "sidecars"},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "containers": [container],
                    "volumes": [{"name": "credentials", "projected": {"sources": sources}}],
                },
            },
        },
    })
}

/// The objects of the `n`th app.
fn objects(cluster: &Cluster, app: &App, n: usize) -> Value {
    let labels = json!({"app": app.name});
    let deployment = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": app.name},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "schedulerName": NODE,
                    "terminationGracePeriodSeconds": 0,
                    "containers": [{"name": "app", "image": cluster.image("app")}],
                },
            },
        },
    });
    let port = port_of(n);
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": app.name},
        "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": port}]},
    });
    json!({"apiVersion": "v1", "kind": "List", "items": [deployment, service, app.scaler()]})
}

fn port_of(n: usize) -> u16 {
    FIRST_PORT + u16::try_from(n).unwrap()
}

/// Where the process is that stands for all pods.
async fn sidecars_address(cluster: &Cluster, namespace: &str) -> String {
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), namespace);
    let ours = pods.list(&kube::api::ListParams::default().labels("app=sidecars")).await.unwrap();
    ours.items[0].status.as_ref().unwrap().pod_ip.clone().unwrap()
}

/// Has every pod of `namespace` that waits for [`NODE`] run, for as long as it is polled.
async fn keep(client: kube::Client, namespace: String, address: String) {
    let pods: Api<Pod> = Api::namespaced(client, &namespace);
    let mut stream = TcpStream::connect((address.as_str(), ORDERS_PORT)).await.unwrap();
    let (orders, mut given) = mpsc::unbounded_channel::<String>();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        while let Some(order) = given.recv().await {
            stream.write_all(order.as_bytes()).await.unwrap();
        }
    });
    let mine = watcher::Config::default().fields(&format!("spec.schedulerName={NODE}"));
    let changes = watcher(pods.clone(), mine).default_backoff();
    let mut changes = std::pin::pin!(changes);
    let mut known = BTreeMap::new();
    while let Some(change) = changes.next().await {
        match change {
            Ok(Event::Apply(pod) | Event::InitApply(pod)) => {
                let name = pod.metadata.name.clone().unwrap();
                let app = pod.metadata.labels.unwrap_or_default()["app"].clone();
                if known.insert(name.clone(), app.clone()).is_none() {
                    tasks.spawn(begin(pods.clone(), (name, app), address.clone(), orders.clone()));
                }
            }
            Ok(Event::Delete(pod)) => {
                let name = pod.metadata.name.unwrap();
                known.remove(&name);
                orders.send(format!("end {name}\n")).unwrap();
            }
            _ => {}
        }
    }
}

/// What a scheduler and a kubelet do about a pod.
async fn begin(
    pods: Api<Pod>,
    (name, app): (String, String),
    address: String,
    orders: mpsc::UnboundedSender<String>,
) {
    let binding = json!({
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": name},
        "target": {"apiVersion": "v1", "kind": "Node", "name": NODE},
    });
    let bound: Result<Value, _> =
        pods.create_subresource("binding", &name, &PostParams::default(), &binding).await;
    // One that was deleted meanwhile runs nowhere.
    if bound.is_err() {
        return;
    }
    let n: usize = app.rsplit('-').next().unwrap().parse().unwrap();
    orders.send(format!("begin {app} {name} {}\n", port_of(n))).unwrap();
    let is = |kind: &str| json!({"type": kind, "status": "True"});
    let container = json!({
        "name": "app",
        "image": "app",
        "imageID": "app",
        "ready": true,
        "started": true,
        "restartCount": 0,
        "state": {"running": {}},
    });
    let status = json!({
        "phase": "Running",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "conditions": [is("PodScheduled"), is("Initialized"), is("ContainersReady"), is("Ready")],
        "containerStatuses": [container],
    });
    let status = json!({"status": status});
    let _ = pods.patch_status(&name, &PatchParams::default(), &Patch::Merge(&status)).await;
}
