//! The Helm chart and the kustomize manifests make the same objects.
//!
//! `kubernetes/chart/rendered` has what the chart renders, and is compared always: with the
//! manifests, whose components are put together here as kustomize does. Where there is a `helm` the
//! chart is rendered and linted too, and wrong values must be refused; where there is a `kustomize`
//! or a `kubectl`, it builds the manifests. Without them those parts are skipped with a message.
//!
//! `UPDATE=1 cargo test -p tidegate-kubernetes --test chart` writes the rendered files anew, by
//! helm.

#![expect(clippy::unwrap_used, reason = "what cannot be read fails the test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

/// A way of installing: the rendered file, the kustomization, and the values of the chart.
const WAYS: [(&str, &str, &[&str]); 3] = [
    ("cluster", ".", &[]),
    ("namespaced", "namespaced", &["scope=namespace"]),
    ("shared-secret", "shared-secret", &["tls.enabled=false", "webhook.enabled=false"]),
];

/// Values that the schema, or the chart, refuses, with what the refusal must name.
const REFUSED: [(&str, &str); 10] = [
    ("scope=galaxy", "scope"),
    ("controller.replicas=0", "replicas"),
    ("controller.replicas=two", "replicas"),
    ("tls.certificates=magic", "certificates"),
    ("webhook.enabeld=true", "enabeld"),
    ("unknown=1", "unknown"),
    ("tls.enabled=false", "webhook.enabled needs tls.enabled"),
    ("scope=namespace,externalMetrics.enabled=true", "needs the scope cluster"),
    ("images.activator.repository=", "repository"),
    ("webhook.sidecar.memory_limit=1Gi", "memory_limit"),
];

/// The namespace that the files are rendered for.
const NAMESPACE: &str = "tidegate-system";

/// Kinds that the chart does not make: Helm makes the namespace, and puts definitions in by itself.
const NOT_OF_THE_CHART: [&str; 2] = ["Namespace", "CustomResourceDefinition"];

type Objects = BTreeMap<(String, String), Value>;

fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn chart() -> PathBuf {
    package().join("chart/tidegate")
}

fn rendered_file(name: &str) -> PathBuf {
    package().join("chart/rendered").join(name).with_extension("yaml")
}

/// Runs a program; `None`, with a message, where there is none.
fn run(program: &str, arguments: &[&str]) -> Option<Output> {
    match Command::new(program).args(arguments).output() {
        Ok(output) => Some(output),
        Err(error) => {
            eprintln!("skipped: no `{program}` here ({error})");
            None
        }
    }
}

fn helm(arguments: &[&str]) -> Option<Output> {
    run("helm", arguments)
}

fn render(values: &[&str]) -> Option<Output> {
    let chart = chart();
    let mut arguments =
        vec!["template", "tidegate", chart.to_str().unwrap(), "--namespace", NAMESPACE];
    for value in values {
        arguments.extend(["--set", value]);
    }
    helm(&arguments)
}

fn documents(text: &str) -> Vec<Value> {
    let all: Vec<Value> = serde_saphyr::from_multiple(text).unwrap();
    all.into_iter().filter(|object| !object.is_null()).collect()
}

/// Objects by kind and name, without what the two must differ in.
fn comparable(objects: Vec<Value>) -> Objects {
    let chosen = objects
        .into_iter()
        .filter(|object| !NOT_OF_THE_CHART.contains(&object["kind"].as_str().unwrap()));
    let by_name = chosen.map(|mut object| {
        let labels = object["metadata"]["labels"].as_object_mut().unwrap();
        labels.retain(|key, _| key == "app.kubernetes.io/name" || key.starts_with("tidegate.dev/"));
        object["metadata"].as_object_mut().unwrap().remove("namespace");
        for subject in object["subjects"].as_array_mut().into_iter().flatten() {
            subject.as_object_mut().unwrap().remove("namespace");
        }
        if object["kind"] == "Deployment" {
            normalize(&mut object["spec"]["template"]["spec"]);
        }
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        ((object["kind"].as_str().unwrap().to_owned(), name), object)
    });
    by_name.collect()
}

/// Images are named by values, and the order of named entries has no meaning.
fn normalize(pod: &mut Value) {
    let by_name = |list: &mut Value| {
        if let Some(entries) = list.as_array_mut() {
            entries.sort_by_key(|entry| entry["name"].as_str().unwrap().to_owned());
        }
    };
    let without_tag = |image: &mut Value| {
        let name = image.as_str().unwrap().split(':').next().unwrap().to_owned();
        *image = json!(name);
    };
    let container = &mut pod["containers"][0];
    container.as_object_mut().unwrap().remove("imagePullPolicy");
    without_tag(&mut container["image"]);
    by_name(&mut container["env"]);
    for variable in container["env"].as_array_mut().unwrap() {
        if variable["name"] == "TIDEGATE_INJECT_IMAGE" {
            without_tag(&mut variable["value"]);
        }
    }
    if let Some(mounts) = container.get_mut("volumeMounts") {
        by_name(mounts);
    }
    if let Some(volumes) = pod.get_mut("volumes") {
        by_name(volumes);
    }
}

/// What a kustomization makes: its resources, then what each component adds, as kustomize has it
/// for patches that only add to lists.
fn assembled(kustomization: &str) -> Vec<Value> {
    let install = package().join("install");
    let directory = install.join(kustomization);
    let mut objects = Vec::new();
    let mut patches = Vec::new();
    read(&directory, &mut objects, &mut patches);
    for patch in &patches {
        let is_it = |object: &&mut Value| {
            object["kind"] == "Deployment"
                && object["metadata"]["name"] == patch["metadata"]["name"]
        };
        let object = objects.iter_mut().find(is_it).unwrap();
        let (pod, added) =
            (&mut object["spec"]["template"]["spec"], &patch["spec"]["template"]["spec"]);
        for key in ["env", "volumeMounts"] {
            append(&mut pod["containers"][0], &added["containers"][0], key);
        }
        append(pod, added, "volumes");
    }
    if kustomization != "namespaced" {
        for object in &mut objects {
            of_cluster(object);
        }
    }
    objects
}

fn append(to: &mut Value, from: &Value, key: &str) {
    let Some(more) = from[key].as_array() else { return };
    let fields = to.as_object_mut().unwrap();
    let list = fields.entry(key).or_insert_with(|| json!([]));
    list.as_array_mut().unwrap().extend(more.iter().cloned());
}

/// What the component `cluster` does.
fn of_cluster(object: &mut Value) {
    if object["metadata"]["labels"]["tidegate.dev/extent"] != "workloads" {
        return;
    }
    let kind = format!("Cluster{}", object["kind"].as_str().unwrap());
    object["kind"] = json!(kind);
    if !object["roleRef"].is_null() {
        object["roleRef"]["kind"] = json!("ClusterRole");
    }
}

/// Reads a kustomization with all that it names.
fn read(directory: &Path, objects: &mut Vec<Value>, patches: &mut Vec<Value>) {
    let text = fs::read_to_string(directory.join("kustomization.yaml")).unwrap();
    let kustomization: Value = serde_saphyr::from_str(&text).unwrap();
    let list = |key: &str| kustomization[key].as_array().cloned().unwrap_or_default();
    for named in list("resources").into_iter().chain(list("components")) {
        let path = directory.join(named.as_str().unwrap());
        match path.is_dir() {
            true => read(&path, objects, patches),
            false => objects.extend(documents(&fs::read_to_string(path).unwrap())),
        }
    }
    for patch in list("patches").iter().filter_map(|patch| patch["path"].as_str()) {
        patches.extend(documents(&fs::read_to_string(directory.join(patch)).unwrap()));
    }
    // Labels of every object of the base; the chart gives them to all.
    for object in objects {
        let metadata = object["metadata"].as_object_mut().unwrap();
        metadata.entry("labels").or_insert_with(|| json!({}));
    }
}

fn assert_same(way: &str, (one, other): (&Objects, &Objects)) {
    assert_eq!(one.keys().collect::<Vec<_>>(), other.keys().collect::<Vec<_>>(), "{way}");
    for (key, object) in one {
        assert_eq!(*object, other[key], "{way}: {key:?}");
    }
}

#[test]
fn what_the_chart_renders_is_what_the_manifests_say() {
    for (name, kustomization, values) in WAYS {
        if std::env::var_os("UPDATE").is_some()
            && let Some(output) = render(values)
        {
            fs::write(rendered_file(name), &output.stdout).unwrap();
        }
        let rendered = fs::read_to_string(rendered_file(name)).unwrap();
        let rendered = comparable(documents(&rendered));
        assert!(rendered.len() > 10, "{name}");
        assert_same(name, (&comparable(assembled(kustomization)), &rendered));
    }
}

#[test]
fn the_chart_renders_what_is_kept_here() {
    for (name, _, values) in WAYS {
        let Some(output) = render(values) else { return };
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let kept = fs::read_to_string(rendered_file(name)).unwrap();
        let is_same = String::from_utf8(output.stdout).unwrap() == kept;
        assert!(is_same, "{name}: UPDATE=1 writes it anew");
    }
    let chart = chart();
    let lint = helm(&["lint", "--strict", chart.to_str().unwrap()]).unwrap();
    assert!(lint.status.success(), "{}", String::from_utf8_lossy(&lint.stdout));
}

#[test]
fn kustomize_makes_the_same() {
    for (name, kustomization, _) in WAYS {
        let directory = package().join("install").join(kustomization);
        let directory = directory.to_str().unwrap();
        let built = run("kustomize", &["build", directory])
            .or_else(|| run("kubectl", &["kustomize", directory]));
        let Some(built) = built else { return };
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        let built = comparable(documents(&String::from_utf8(built.stdout).unwrap()));
        let rendered = fs::read_to_string(rendered_file(name)).unwrap();
        assert_same(name, (&built, &comparable(documents(&rendered))));
    }
}

#[test]
fn wrong_values_are_refused_by_name() {
    for (value, named) in REFUSED {
        let Some(output) = render(&[value]) else { return };
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{value} is taken");
        assert!(error.contains(named), "{value}: {error}");
    }
}

/// Everything that can be chosen reaches what it is about.
#[test]
fn values_reach_the_objects() {
    let values = [
        "controller.replicas=3",
        "controller.priorityClassName=system-cluster-critical",
        "activator.resources.limits.memory=1Gi",
        "activator.nodeSelector.pool=edge",
        "webhook.podLabels.team=platform",
        "webhook.sidecar.memory-limit=64Mi",
        "extraLabels.cost=shared",
        "podDisruptionBudgets.enabled=false",
        "networkPolicies.enabled=false",
        "imagePullSecrets={pull}",
        "images.queueProxy.repository=registry.example/queue-proxy",
        "images.queueProxy.tag=v7",
        "tls.certificates=existing",
        "externalMetrics.enabled=true",
        "keda.enabled=true",
        "frontDoor.enabled=true",
    ];
    let Some(output) = render(&values) else { return };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let objects = documents(&String::from_utf8(output.stdout).unwrap());
    let find = |kind: &str, name: &str| {
        let is_it = |o: &&Value| o["kind"] == kind && o["metadata"]["name"] == name;
        objects.iter().find(is_it).cloned().unwrap_or_default()
    };
    let pod = |name: &str| find("Deployment", name)["spec"]["template"]["spec"].clone();
    let controller = find("Deployment", "tidegate-controller");
    assert_eq!(controller["spec"]["replicas"], 3);
    assert_eq!(controller["metadata"]["labels"]["cost"], "shared");
    assert_eq!(pod("tidegate-controller")["priorityClassName"], "system-cluster-critical");
    assert_eq!(pod("tidegate-controller")["imagePullSecrets"][0]["name"], "pull");
    let activator = pod("tidegate-activator");
    assert_eq!(activator["containers"][0]["resources"]["limits"]["memory"], "1Gi");
    assert_eq!(activator["nodeSelector"]["pool"], "edge");
    let webhook = &find("Deployment", "tidegate-webhook")["spec"]["template"];
    assert_eq!(webhook["metadata"]["labels"]["team"], "platform");
    let text = webhook.to_string();
    assert!(text.contains("--set=memory-limit=64Mi"), "{text}");
    assert!(text.contains("registry.example/queue-proxy:v7"), "{text}");
    for kind in ["PodDisruptionBudget", "NetworkPolicy"] {
        assert!(objects.iter().all(|object| object["kind"] != kind), "{kind}");
    }
    assert!(find("Deployment", "tidegate-certificates").is_null());
    // What kustomizations add by patches of their own.
    let container = &pod("tidegate-controller")["containers"][0];
    for added in ["--external-metrics", "--external-scaler"] {
        assert!(container["args"].as_array().unwrap().contains(&json!(added)), "{container}");
    }
    let secret = json!({"secretKeyRef": {"name": "tidegate-front-door", "key": "secret"}});
    let front_door = json!({"name": "TIDEGATE_FRONT_DOOR", "valueFrom": secret});
    let variables = activator["containers"][0]["env"].as_array().unwrap();
    assert!(variables.contains(&front_door), "{variables:?}");
    assert!(text.contains("--set=front-door=tidegate-front-door"), "{text}");
    let api_service = find("APIService", "v1beta1.external.metrics.k8s.io");
    assert_eq!(api_service["spec"]["service"]["namespace"], NAMESPACE);
    let elsewhere = find("RoleBinding", "tidegate-external-metrics");
    assert_eq!(elsewhere["metadata"]["namespace"], "kube-system");
}
