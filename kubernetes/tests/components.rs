//! The optional components of `kubernetes/install` and the program that they run say the same.

#![expect(clippy::unwrap_used, reason = "what cannot be read fails the test")]

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tidegate_kubernetes_adapters::external_metrics::{GROUP, VERSION};
use tidegate_kubernetes_adapters::front_proxy::CONFIG_MAP;
use tidegate_kubernetes_objects::names::{EXTERNAL_METRICS_SERVICE, SYSTEM_NAMESPACE};

const BINARY: &str = env!("CARGO_BIN_EXE_tidegate-kubernetes");

/// The objects of a file of a component.
fn objects(file: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("install").join(file);
    serde_saphyr::from_multiple(&fs::read_to_string(path).unwrap()).unwrap()
}

fn find(objects: &[Value], kind: &str) -> Value {
    objects.iter().find(|object| object["kind"] == kind).unwrap().clone()
}

/// The values that a component adds to a part of the controller's Deployment.
fn added(component: &str, part: &str) -> Vec<Value> {
    let kustomization = objects(&format!("{component}/kustomization.yaml")).remove(0);
    let patches = kustomization["patches"].as_array().unwrap().clone();
    let of_deployment = patches.iter().filter(|patch| patch["target"]["kind"] == "Deployment");
    let operations = of_deployment.flat_map(|patch| {
        let text = patch["patch"].as_str().unwrap();
        serde_saphyr::from_str::<Vec<Value>>(text).unwrap()
    });
    let path = format!("/spec/template/spec/containers/0/{part}/-");
    operations.filter(|o| o["path"] == *path).map(|o| o["value"].clone()).collect()
}

/// What is added to the arguments is understood, and its port is open.
#[test]
fn the_controller_accepts_the_manifests_arguments() {
    let help = Command::new(BINARY).args(["controller", "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    for (component, flag, port) in [
        ("external-metrics", "--external-metrics", "extension"),
        ("keda", "--external-scaler", "keda"),
    ] {
        let arguments = added(component, "args");
        for argument in arguments.iter().filter_map(Value::as_str) {
            let is_known = !argument.starts_with("--") || help.contains(&format!("{argument} <"));
            assert!(is_known, "{argument} is no flag of the controller");
        }
        let at = arguments.iter().position(|argument| argument == flag).unwrap();
        let (_, number) = arguments[at + 1].as_str().unwrap().rsplit_once(':').unwrap();
        let ports = added(component, "ports");
        assert_eq!(ports[0]["name"], port);
        assert_eq!(ports[0]["containerPort"].to_string(), number);
        for set in added(component, "env") {
            let name = set["name"].as_str().unwrap();
            assert!(help.contains(&format!("[env: {name}=")), "{name} is not read");
        }
    }
}

#[test]
fn the_manifests_use_the_programs_names() {
    let all = objects("external-metrics/api-service.yaml");
    let (service, registered) = (find(&all, "Service"), find(&all, "APIService"));
    assert_eq!(service["metadata"]["name"], EXTERNAL_METRICS_SERVICE);
    assert_eq!(service["metadata"]["namespace"], SYSTEM_NAMESPACE);
    assert!(service["spec"].get("selector").is_none(), "it is led by who decides");
    assert_eq!(registered["metadata"]["name"], format!("{VERSION}.{GROUP}"));
    assert_eq!(registered["spec"]["service"]["name"], EXTERNAL_METRICS_SERVICE);
    assert!(registered["spec"].get("caBundle").is_none(), "an update must not take it away");
}

/// Least rights: one APIService by name, and Kubernetes' own role for who the front proxy is.
#[test]
fn rights_are_for_these_objects_alone_and_each_has_its_reason() {
    let all = objects("external-metrics/rights.yaml");
    let role = find(&all, "ClusterRole");
    let rules = role["rules"].as_array().unwrap();
    assert_eq!(rules.len(), 1);
    assert_eq!(rules[0]["resourceNames"][0], format!("{VERSION}.{GROUP}"));
    let binding = find(&all, "RoleBinding");
    assert_eq!(binding["metadata"]["namespace"], "kube-system");
    assert_eq!(binding["roleRef"]["name"], format!("{CONFIG_MAP}-reader"));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("install/external-metrics/rights.yaml");
    let text = fs::read_to_string(path).unwrap();
    let verbs = text.lines().filter(|line| line.starts_with("  - ") && !line.contains('{'));
    for line in verbs {
        assert!(line.split_once(" # ").is_some_and(|(_, why)| why.len() > 8), "no reason: {line}");
    }
}
