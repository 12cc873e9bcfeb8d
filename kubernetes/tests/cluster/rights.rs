//! What the controller asks an API server for, beside what the manifests let it ask for.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use tidegate_kubernetes_fake::{Origin, Right, Seen};

/// Group, resource and verb.
type Granted = (String, String, String);

/// What no run here asks for, and why it is granted all the same.
const UNSEEN: &[(&str, &str, &str)] = &[
    // A target of another kind is asked for as a Deployment is.
    ("apps", "replicasets", "list"),
    ("apps", "replicasets", "watch"),
    ("apps", "replicasets/scale", "patch"),
    ("apps", "statefulsets", "list"),
    ("apps", "statefulsets", "watch"),
    ("apps", "statefulsets/scale", "patch"),
    // Asked about only by OpenShift, in the course of a request that is seen here.
    ("discovery.k8s.io", "endpointslices/restricted", "create"),
    // An API server that knows the kind is not in these tests.
    ("keda.sh", "scaledobjects", "list"),
    ("keda.sh", "scaledobjects", "watch"),
    // An API server with these kinds is in `tests/rollout/live.rs`, which holds the same.
    ("tidegate.dev", "trafficrollouts", "list"),
    ("tidegate.dev", "trafficrollouts", "watch"),
    ("tidegate.dev", "trafficrollouts/status", "patch"),
    ("gateway.networking.k8s.io", "httproutes", "list"),
    ("gateway.networking.k8s.io", "httproutes", "watch"),
    ("gateway.networking.k8s.io", "httproutes", "patch"),
    // When a workload loses some of its pods: the tests of the plan.
    ("", "pods", "patch"),
    // Applying a slice that is not there is creating it.
    ("discovery.k8s.io", "endpointslices", "create"),
];

/// What the roles of the controller grant.
fn granted() -> BTreeSet<Granted> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("install/base/rights.yaml");
    let text = std::fs::read_to_string(path).expect("it is there");
    let objects: Vec<Value> = serde_saphyr::from_multiple(&text).expect("YAML");
    let list = |value: &Value| -> Vec<String> {
        let all = value.as_array().into_iter().flatten();
        all.map(|text| text.as_str().expect("a text").to_owned()).collect()
    };
    let rules = objects.iter().filter_map(|object| object["rules"].as_array()).flatten();
    let mut rights = BTreeSet::new();
    for rule in rules {
        for group in list(&rule["apiGroups"]) {
            for resource in list(&rule["resources"]) {
                for verb in list(&rule["verbs"]) {
                    rights.insert((group.clone(), resource.clone(), verb));
                }
            }
        }
    }
    rights
}

/// Everything that was asked for is granted, and what is granted was asked for, or is named above.
pub(crate) fn assert_least(seen: &[Seen]) {
    let by_controller = seen.iter().filter(|seen| seen.origin == Origin::Loopback);
    let asked: BTreeSet<Granted> = by_controller
        .filter_map(Right::of)
        .map(|right| (right.group, right.resource, right.verb.to_owned()))
        .collect();
    let granted = granted();
    assert_eq!(asked.difference(&granted).collect::<Vec<_>>(), Vec::<&Granted>::new(), "missing");
    let is_named = |(group, resource, verb): &&Granted| {
        !UNSEEN.contains(&(group.as_str(), resource.as_str(), verb.as_str()))
    };
    let surplus: Vec<_> = granted.difference(&asked).filter(is_named).collect();
    assert_eq!(surplus, Vec::<&Granted>::new(), "granted, and never asked for");
}
