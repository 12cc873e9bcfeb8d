//! The responses to a cluster's admission: shapes as a control plane of Kubernetes 1.36 sends them,
//! with the defaults and mounts that it fills in between two calls.

#![expect(clippy::unwrap_used, reason = "what cannot be read fails the test")]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tidegate_kubernetes_inject::Settings;
use tidegate_kubernetes_inject::review::{Outcome, review};

fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.set("image", "registry.example/queue-proxy:0.1.0").unwrap();
    settings
}

/// A pod of a Deployment as the server sends it: no name yet, defaults filled in.
fn pod() -> Value {
    json!({
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {
            "generateName": "web-5d8f9c7b6d-",
            "creationTimestamp": null,
            "labels": {"app": "web", "pod-template-hash": "5d8f9c7b6d"},
            "annotations": {"tidegate.dev/inject": "enabled"},
            "ownerReferences": [{
                "apiVersion": "apps/v1",
                "kind": "ReplicaSet",
                "name": "web-5d8f9c7b6d",
                "uid": "dbf3561a-77b1-4768-8932-de5b75c8c33f",
                "controller": true,
                "blockOwnerDeletion": true,
            }],
        },
        "spec": {
            "volumes": [{"name": "kube-api-access-rbp96", "projected": {"defaultMode": 420}}],
            "containers": [{
                "name": "app",
                "image": "web",
                "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
                "resources": {},
                "volumeMounts": [mount()],
                "readinessProbe": {
                    "httpGet": {"path": "/", "port": "http", "scheme": "HTTP"},
                    "timeoutSeconds": 1,
                    "periodSeconds": 10,
                    "successThreshold": 1,
                    "failureThreshold": 3,
                },
                "terminationMessagePath": "/dev/termination-log",
                "imagePullPolicy": "IfNotPresent",
            }],
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 30,
            "securityContext": {},
            "schedulerName": "default-scheduler",
        },
        "status": {},
    })
}

fn mount() -> Value {
    json!({
        "name": "kube-api-access-rbp96",
        "readOnly": true,
        "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
    })
}

fn question(pod: &Value) -> Value {
    json!({
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": "399ac23e-234c-4157-9d6c-3e347f25cba3",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "namespace": "shop",
            "operation": "CREATE",
            "object": pod,
            "oldObject": null,
            "dryRun": false,
        },
    })
}

fn ask(question: &Value) -> (Value, Outcome, String) {
    let review = review(question.to_string().as_bytes(), &settings()).unwrap();
    let response: Value = serde_json::from_slice(&review.body).unwrap();
    assert_eq!(response["apiVersion"], "admission.k8s.io/v1");
    assert_eq!(response["response"]["uid"], question["request"]["uid"]);
    assert_eq!(response["response"]["allowed"], true, "no pod is ever kept from being made");
    (response["response"].clone(), review.outcome, review.pod)
}

/// Applies a patch, as the server does.
fn patched(pod: &Value, response: &Value) -> Value {
    let Some(patch) = response["patch"].as_str() else { return pod.clone() };
    assert_eq!(response["patchType"], "JSONPatch");
    let operations: Vec<Value> = serde_json::from_slice(&STANDARD.decode(patch).unwrap()).unwrap();
    let mut pod = pod.clone();
    for operation in operations {
        let (parent, key) = operation["path"].as_str().unwrap().rsplit_once('/').unwrap();
        let key = key.replace("~1", "/").replace("~0", "~");
        let value = operation["value"].clone();
        match (pod.pointer_mut(parent).unwrap(), operation["op"].as_str().unwrap()) {
            (Value::Object(map), "add") => assert_eq!(map.insert(key, value), None),
            (Value::Object(map), "replace") => assert!(map.insert(key, value).is_some()),
            (Value::Object(map), "remove") => assert!(map.remove(&key).is_some()),
            (Value::Array(items), "add") => items.insert(key.parse().unwrap(), value),
            (Value::Array(items), "replace") => items[key.parse::<usize>().unwrap()] = value,
            (Value::Array(items), "remove") => drop(items.remove(key.parse().unwrap())),
            other => panic!("{operation}: {other:?}"),
        }
    }
    pod
}

#[test]
fn a_pod_with_the_annotation_gets_the_sidecar() {
    let (response, outcome, name) = ask(&question(&pod()));
    assert_eq!((outcome, name.as_str()), (Outcome::Injected, "shop/web-5d8f9c7b6d"));
    let pod = patched(&pod(), &response);
    let sidecar = &pod["spec"]["initContainers"][0];
    assert_eq!(sidecar["name"], "tidegate-queue-proxy");
    assert_eq!(sidecar["ports"][0], json!({"name": "http", "containerPort": 8012}));
    let app = &pod["spec"]["containers"][0];
    assert_eq!(app.get("readinessProbe"), None);
    assert_eq!(app["volumeMounts"], json!([mount()]), "nothing else is touched");
    // The revision is the Deployment, not one of its replica sets.
    let env = sidecar["env"].as_array().unwrap();
    let revision = env.iter().find(|variable| variable["name"] == "SERVING_REVISION").unwrap();
    assert_eq!(revision["value"], "web");
}

/// `reinvocationPolicy: IfNeeded`: another webhook has changed the pod since, and the server has
/// filled in defaults and the mount of the token, also in our container.
#[test]
fn reinvocation_changes_nothing() {
    let (response, ..) = ask(&question(&pod()));
    let mut pod = patched(&pod(), &response);
    let sidecar = &mut pod["spec"]["initContainers"][0];
    sidecar["volumeMounts"] = json!([mount()]);
    sidecar["terminationMessagePath"] = json!("/dev/termination-log");
    sidecar["imagePullPolicy"] = json!("IfNotPresent");
    sidecar["ports"][0]["protocol"] = json!("TCP");
    sidecar["readinessProbe"]["httpGet"]["scheme"] = json!("HTTP");
    pod["spec"]["containers"][0]["lifecycle"]["preStop"]["httpGet"]["scheme"] = json!("HTTP");
    pod["metadata"]["labels"]["of-another"] = json!("webhook");
    let (response, outcome, _) = ask(&question(&pod));
    assert_eq!(outcome, Outcome::Unchanged, "{response}");
    assert_eq!(response.get("patch"), None);
}

/// The same where the sidecar has a volume of its own: the server adds that of the account's token
/// behind it, and modes.
#[test]
fn asked_again_credentials_stay_as_they_are() {
    let mut settings = settings();
    for (key, value) in [("token-audience", "tidegate"), ("authority", "tidegate-authority")] {
        settings.set(key, value).unwrap();
    }
    let ask = |pod: &Value| {
        let review = review(question(pod).to_string().as_bytes(), &settings).unwrap();
        let response: Value = serde_json::from_slice(&review.body).unwrap();
        (response["response"].clone(), review.outcome)
    };
    let (response, outcome) = ask(&pod());
    assert_eq!(outcome, Outcome::Injected);
    let mut pod = patched(&pod(), &response);
    let volumes = pod["spec"]["volumes"].as_array_mut().unwrap();
    assert_eq!(volumes[0]["name"], "tidegate-credentials");
    volumes[0]["projected"]["defaultMode"] = json!(420);
    volumes.push(json!({"name": "kube-api-access-x", "projected": {}}));
    let sidecar = &mut pod["spec"]["initContainers"][0];
    sidecar["volumeMounts"].as_array_mut().unwrap().push(mount());
    let (response, outcome) = ask(&pod);
    assert_eq!(outcome, Outcome::Unchanged, "{response}");
}

#[test]
fn events_are_about_the_controller_of_a_pod_and_not_about_what_only_would_be() {
    let mut question = question(&pod());
    let read = |question: &Value| review(question.to_string().as_bytes(), &settings()).unwrap();
    let asked = read(&question);
    assert_eq!((asked.subject.kind.as_str(), asked.is_dry_run), ("ReplicaSet", false));
    assert_eq!(asked.namespace, "shop");
    question["request"]["dryRun"] = json!(true);
    question["request"]["object"]["metadata"]["ownerReferences"] = json!([]);
    let asked = read(&question);
    assert_eq!((asked.subject.kind.as_str(), asked.is_dry_run), ("Pod", true));
}

/// A mesh that is injected later inserts itself first; the sidecar moves behind it unchanged.
#[test]
fn it_moves_behind_a_mesh_that_was_injected_later() {
    let (response, ..) = ask(&question(&pod()));
    let mut pod = patched(&pod(), &response);
    pod["spec"]["initContainers"][0]["volumeMounts"] = json!([mount()]);
    let mesh = json!({"name": "istio-proxy", "image": "istio", "restartPolicy": "Always"});
    pod["spec"]["initContainers"].as_array_mut().unwrap().insert(1, mesh);
    let (response, outcome, _) = ask(&question(&pod));
    assert_eq!(outcome, Outcome::Injected);
    let pod = patched(&pod, &response);
    let init = pod["spec"]["initContainers"].as_array().unwrap();
    let names: Vec<_> = init.iter().map(|container| container["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["istio-proxy", "tidegate-queue-proxy"]);
    assert_eq!(init[1]["volumeMounts"], json!([mount()]));
}

#[test]
fn a_pod_without_the_annotation_is_not_changed() {
    let mut silent = pod();
    silent["metadata"]["annotations"] = json!({});
    let mut declining = pod();
    declining["metadata"]["annotations"]["tidegate.dev/inject"] = json!("disabled");
    let mut updated = question(&pod());
    updated["request"]["operation"] = json!("UPDATE");
    let mut other = question(&pod());
    other["request"]["kind"]["kind"] = json!("Service");
    let mut empty = question(&pod());
    empty["request"]["object"] = Value::Null;
    for question in [question(&silent), question(&declining), updated, other, empty] {
        let (response, outcome, _) = ask(&question);
        assert_eq!((outcome, response.get("patch")), (Outcome::Skipped, None));
    }
    let mut by_label = silent;
    by_label["metadata"]["labels"]["tidegate.dev/inject"] = json!("true");
    assert_eq!(ask(&question(&by_label)).1, Outcome::Injected);
}

#[test]
fn a_pod_that_cannot_be_injected_is_admitted_with_a_warning() {
    let mut pod = pod();
    pod["spec"]["hostNetwork"] = json!(true);
    let (response, outcome, _) = ask(&question(&pod));
    assert!(matches!(outcome, Outcome::Refused(reason) if reason.contains("hostNetwork")));
    assert_eq!(response.get("patch"), None);
    let warning = response["warnings"][0].as_str().unwrap();
    assert!(warning.starts_with("tidegate: no sidecar: it uses the node's network"), "{warning}");
}

#[test]
fn what_is_no_review_is_an_error() {
    for body in ["", "{", "[]", "null", "{}", r#"{"request": {}}"#, r#"{"request": {"uid": "1"}}"#]
    {
        assert!(review(body.as_bytes(), &settings()).is_err(), "{body}");
    }
    let mut old = question(&pod());
    old["apiVersion"] = json!("admission.k8s.io/v1beta1");
    assert!(review(old.to_string().as_bytes(), &settings()).is_err());
}
