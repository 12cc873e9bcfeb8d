//! The burst at one pod of a revision of our class inside Knative.
//!
//! Of Knative only what is written is there: its kinds, the objects of a revision, and what its
//! controller makes of a ServerlessService are made here. Requests go to the pod, as they do where
//! no activator is in their path.

use std::net::{IpAddr, SocketAddr};

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use serde_json::{Value, json};

use crate::Findings;
use crate::burst::burst;
use crate::cluster::{APPS, Cluster, PATIENCE, list, until};
use crate::replicas::Replicas;

/// Where Knative Serving would be.
const SERVING: &str = "knative-serving";

/// Kinds of Knative's: plural, kind and group.
const KINDS: [(&str, &str, &str); 3] = [
    ("podautoscalers", "PodAutoscaler", "autoscaling.internal.knative.dev"),
    ("metrics", "Metric", "autoscaling.internal.knative.dev"),
    ("serverlessservices", "ServerlessService", "networking.internal.knative.dev"),
];

/// Requests that a pod works on at a time. Ten times as many may wait there, as in Knative, so all
/// of the burst has a place.
const LIMITS: [u32; 2] = [5, 10];

/// Where a sidecar takes requests.
const SIDECAR_PORT: u16 = 8012;

/// How long a request of the revision may take, and a pod to end: Knative's default.
const REVISION_TIMEOUT_S: u32 = 300;

/// Where the sidecar says that it has drained.
const DRAIN: (&str, u16) = ("/wait-for-drain", 8022);

/// What its readiness is asked by.
const PROBE: (&str, &str) = ("K-Network-Probe", "queue");

pub(crate) async fn run(cluster: &Cluster) -> Findings {
    let mut findings = Findings::default();
    let install = concat!(env!("CARGO_MANIFEST_DIR"), "/install/knative");
    cluster.apply("default", &list(KINDS.iter().map(definition).collect()));
    let named = |kind: &str, name: &str| {
        let metadata = json!({"name": name});
        json!({"apiVersion": "v1", "kind": kind, "metadata": metadata})
    };
    cluster.apply("default", &named("Namespace", SERVING).to_string());
    let configs = ["config-autoscaler", "config-deployment"].map(|name| named("ConfigMap", name));
    cluster.apply(SERVING, &list(configs.to_vec()));
    let image = format!("image: {}", cluster.image("tidegate-kubernetes"));
    let manifests = cluster.kubectl(&["kustomize", install], None);
    cluster.apply(SERVING, &manifests.replace("image: tidegate-kubernetes", &image));
    cluster.rolled_out(SERVING, "tidegate-knative");

    let namespace = format!("{APPS}-class");
    let mut object = named("Namespace", &namespace);
    object["metadata"]["labels"] = json!({"app.kubernetes.io/part-of": APPS});
    cluster.apply("default", &object.to_string());
    let replicas = Replicas::watch(cluster, &namespace);
    for concurrency in LIMITS {
        let name = format!("limit-{concurrency}");
        cluster.apply(&namespace, &list(revision(cluster, &name, concurrency).to_vec()));
        plumb(cluster, &namespace, &name).await;
        replicas.until(&name, PATIENCE, |wanted, ready| wanted == 1 && ready == 1).await;
        let address = SocketAddr::new(pod(cluster, &namespace, &name).await, SIDECAR_PORT);
        burst((address, concurrency), (&replicas, &name), &mut findings).await;
    }
    cluster.remove_apps().await;
    cluster.kubectl(&["delete", "--ignore-not-found", "-k", install], None);
    cluster.kubectl(&["delete", "namespace", SERVING], None);
    for (plural, _, group) in KINDS {
        cluster
            .kubectl(&["delete", "customresourcedefinition", &format!("{plural}.{group}")], None);
    }
    findings
}

/// A kind whose objects may hold anything.
fn definition((plural, kind, group): &(&str, &str, &str)) -> Value {
    let anything = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let version = json!({
        "name": "v1alpha1",
        "served": true,
        "storage": true,
        "schema": {"openAPIV3Schema": anything},
        "subresources": {"status": {}},
    });
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{group}")},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": plural, "singular": kind.to_lowercase(), "kind": kind},
            "versions": [version],
        },
    })
}

/// What Knative's controller tells a sidecar.
fn environment(name: &str, concurrency: u32) -> Value {
    let field = |path: &str| json!({"fieldRef": {"fieldPath": path}});
    let value = |name: &str, value: &str| json!({"name": name, "value": value});
    json!([
        value("CONTAINER_CONCURRENCY", &concurrency.to_string()),
        value("QUEUE_SERVING_PORT", &SIDECAR_PORT.to_string()),
        value("QUEUE_SERVING_TLS_PORT", "8112"),
        value("USER_PORT", "8080"),
        value("REVISION_TIMEOUT_SECONDS", &REVISION_TIMEOUT_S.to_string()),
        value("SERVING_LOGGING_CONFIG", ""),
        value("SERVING_LOGGING_LEVEL", ""),
        value("SERVING_CONFIGURATION", name),
        value("SERVING_REVISION", name),
        value("SERVING_READINESS_PROBE", r#"{"tcpSocket":{"port":8080,"host":"127.0.0.1"}}"#),
        {"name": "SERVING_NAMESPACE", "valueFrom": field("metadata.namespace")},
        {"name": "SERVING_POD", "valueFrom": field("metadata.name")},
        {"name": "SERVING_POD_IP", "valueFrom": field("status.podIP")},
    ])
}

/// The Deployment and the PodAutoscaler of a revision, as Knative's controller makes them.
fn revision(cluster: &Cluster, name: &str, concurrency: u32) -> [Value; 2] {
    let labels = json!({
        "app": name,
        "serving.knative.dev/revision": name,
        "serving.knative.dev/revisionUID": name,
    });
    let header = json!([{"name": PROBE.0, "value": PROBE.1}]);
    let readiness = json!({
        "httpGet": {"path": "/", "port": SIDECAR_PORT, "httpHeaders": header},
        "periodSeconds": 1,
    });
    let sidecar = json!({
        "name": "queue-proxy",
        "image": cluster.image("queue-proxy"),
        "env": environment(name, concurrency),
        "readinessProbe": readiness,
    });
    // A pod that is to go keeps its app until the sidecar has none of its requests any more.
    let drain = json!({"preStop": {"httpGet": {"path": DRAIN.0, "port": DRAIN.1}}});
    let image = cluster.image("app");
    let app = json!({"name": "app", "image": image, "args": ["app"], "lifecycle": drain});
    let deployment = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "containers": [app, sidecar],
                    "terminationGracePeriodSeconds": REVISION_TIMEOUT_S,
                },
            },
        },
    });
    let autoscaler = json!({
        "apiVersion": "autoscaling.internal.knative.dev/v1alpha1",
        "kind": "PodAutoscaler",
        "metadata": {
            "name": name,
            "labels": labels,
            "annotations": {
                "autoscaling.knative.dev/class": "tidegate.tidegate.dev",
                "autoscaling.knative.dev/min-scale": "1",
                "autoscaling.knative.dev/target-burst-capacity": "0",
            },
        },
        "spec": {
            "containerConcurrency": concurrency,
            "reachability": "Reachable",
            "protocolType": "http1",
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
        },
    });
    [deployment, autoscaler]
}

/// What Knative's controller does with a new ServerlessService.
async fn plumb(cluster: &Cluster, namespace: &str, name: &str) {
    let group = "/apis/networking.internal.knative.dev/v1alpha1";
    let path = format!("{group}/namespaces/{namespace}/serverlessservices/{name}");
    let is_there = || async { cluster.send("GET", &path, &Value::Null).await.is_ok() };
    until(PATIENCE, "a ServerlessService", is_there).await;
    let status = json!({"status": {
        "serviceName": name,
        "privateServiceName": format!("{name}-private"),
        "observedGeneration": 1,
        "conditions": [{"type": "Ready", "status": "True"}],
    }});
    cluster.send("PATCH", &format!("{path}/status"), &status).await.unwrap();
}

/// Where the one pod of a revision is.
async fn pod(cluster: &Cluster, namespace: &str, name: &str) -> IpAddr {
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), namespace);
    let labels = format!("app={name}");
    let pods = pods.list(&ListParams::default().labels(&labels)).await.unwrap();
    let address = pods.items.first().and_then(|pod| pod.status.as_ref()?.pod_ip.clone());
    address.unwrap().parse().unwrap()
}
