//! The manifests of `docs/adapters.md` fit each other and what the programs understand.

#![expect(clippy::unwrap_used, reason = "what cannot be read fails the test")]

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tidegate_controller::ActivatorPorts;
use tidegate_kubernetes::observe;
use tidegate_kubernetes::settings::declaration;
use tidegate_kubernetes_adapters::external_metrics::SCALER_LABEL;
use tidegate_kubernetes_adapters::measure::Measure;
use tidegate_kubernetes_inject::Settings;
use tidegate_kubernetes_inject::review::review;

/// The objects of all YAML of the page, of a kind.
fn objects(kind: &str) -> Vec<Value> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/adapters.md");
    let page = fs::read_to_string(page).unwrap();
    let blocks = page.split("```yaml\n").skip(1);
    let mut found = Vec::new();
    for block in blocks.chain(page.split("   ```yaml\n").skip(1)) {
        let text = block.split("```").next().unwrap();
        let indent = text.len() - text.trim_start().len();
        let lines = text.lines().map(|line| line.get(indent..).unwrap_or_default());
        let text = lines.collect::<Vec<_>>().join("\n");
        let read: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap_or_default();
        found.extend(read.into_iter().filter(|object| object["kind"] == kind));
    }
    assert!(!found.is_empty(), "no {kind} in the page");
    found
}

#[test]
fn every_traffic_scaler_can_be_followed() {
    for object in objects("TrafficScaler") {
        let (scaler, spec) = observe::scaler(&object).unwrap();
        assert_eq!(scaler.settings, Ok(()));
        declaration(&scaler.target.object, &spec, ActivatorPorts::default()).unwrap();
        // What the types do not know would be dropped in silence here, and refused by a cluster.
        let known = serde_json::to_value(&spec).unwrap();
        assert_eq!(known, object["spec"]);
    }
}

#[test]
fn every_hpa_asks_for_a_metric_that_is_served_of_a_scaler_that_is_there() {
    let scalers = objects("TrafficScaler");
    for hpa in objects("HorizontalPodAutoscaler") {
        let metric = &hpa["spec"]["metrics"][0]["external"]["metric"];
        assert!(Measure::of_metric_name(metric["name"].as_str().unwrap()).is_some());
        let named = &metric["selector"]["matchLabels"][SCALER_LABEL];
        assert!(scalers.iter().any(|scaler| scaler["metadata"]["name"] == *named), "{named}");
    }
}

#[test]
fn the_trigger_of_keda_names_what_the_scaler_reads() {
    let scalers = objects("TrafficScaler");
    let trigger = objects("ScaledObject")[0]["spec"]["triggers"][0].clone();
    assert_eq!(trigger["type"], "external-push");
    let named = &trigger["metadata"]["trafficScaler"];
    assert!(scalers.iter().any(|scaler| scaler["metadata"]["name"] == *named), "{named}");
}

/// The pod that KServe makes of the InferenceService, as far as it matters, and what the webhook
/// makes of that: the Service leads to the sidecar's port, and reports are for the target's name.
#[test]
fn the_service_beside_kserves_leads_to_the_sidecar() {
    let service = objects("InferenceService").remove(0);
    let name = format!("{}-predictor", service["metadata"]["name"].as_str().unwrap());
    let of_llm = |object: &Value| object["metadata"]["name"] == service["metadata"]["name"];
    let ours = objects("Service").into_iter().find(|object| of_llm(object)).unwrap();
    let scaler = objects("TrafficScaler").into_iter().find(|object| of_llm(object)).unwrap();
    assert_eq!(scaler["spec"]["targetRef"]["name"], name);
    assert_eq!(scaler["spec"]["service"]["name"], ours["metadata"]["name"]);
    assert_eq!(ours["spec"]["selector"]["app"], format!("isvc.{name}"));
    let pod = json!({
        "metadata": {
            "generateName": format!("{name}-5d8f-"),
            "labels": {"app": format!("isvc.{name}")},
            "annotations": service["metadata"]["annotations"],
        },
        "spec": {"containers": [{
            "name": "kserve-container",
            "image": "model-server",
            "readinessProbe": {"tcpSocket": {"port": 8080}},
        }]},
    });
    let asked = json!({
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": "1",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "namespace": "shop",
            "operation": "CREATE",
            "object": pod,
        },
    });
    let mut settings = Settings::default();
    settings.set("image", "queue-proxy").unwrap();
    let review = review(asked.to_string().as_bytes(), &settings).unwrap();
    let response: Value = serde_json::from_slice(review.body.as_ref()).unwrap();
    let patch = response["response"]["patch"].as_str().unwrap();
    let patch = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, patch).unwrap();
    let patch = String::from_utf8(patch).unwrap();
    let port = ours["spec"]["ports"][0]["targetPort"].to_string();
    for expected in [format!("\"containerPort\":{port}"), name, "\"8080\"".to_owned()] {
        assert!(patch.contains(&expected), "no {expected} in {patch}");
    }
}
