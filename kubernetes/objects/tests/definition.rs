//! The committed definition matches the Rust types.

use std::path::Path;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::Value;
use tidegate_kubernetes_objects::{
    DEFINITION, DEFINITIONS, ROLLOUT_DEFINITION, TrafficRollout, TrafficScaler, names,
};

/// Set to `write` to bring the file up to date.
const CODEGEN: &str = "TIDEGATE_CODEGEN";

fn generated(definition: &CustomResourceDefinition, summary: &str) -> Value {
    let mut definition = serde_json::to_value(definition).expect("it is plain data");
    // What the macro says of itself helps nobody.
    let description = "/spec/versions/0/schema/openAPIV3Schema/description";
    if let Some(text) = definition.pointer_mut(description) {
        *text = summary.into();
    }
    drop_nullable(&mut definition);
    definition
}

fn scaler() -> Value {
    let summary = "How a workload is scaled by the requests that its Service receives.";
    generated(&TrafficScaler::crd(), summary)
}

fn rollout() -> Value {
    let summary = "How the requests of a route go from one Service to a new one, and back.";
    generated(&TrafficRollout::crd(), summary)
}

/// A field that is null is then dropped by the API server, as if it were not written; else rules
/// would have to reckon with it.
fn drop_nullable(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.remove("nullable");
            fields.values_mut().for_each(drop_nullable);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nullable),
        _ => {}
    }
}

#[test]
fn the_committed_definitions_are_what_the_types_say() {
    for (plural, generated, committed) in [
        (names::PLURAL, scaler(), DEFINITION),
        (names::ROLLOUT_PLURAL, rollout(), ROLLOUT_DEFINITION),
    ] {
        if std::env::var(CODEGEN).is_ok_and(|mode| mode == "write") {
            let text = serde_saphyr::to_string(&generated).expect("it can be written as YAML");
            let name = format!("{plural}.{}.yaml", names::GROUP);
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
            std::fs::write(path, text).expect("the file can be written");
            continue;
        }
        let committed: Value = serde_saphyr::from_str(committed).expect("the file is YAML");
        assert_eq!(committed, generated, "run `cargo xtask codegen`");
    }
}

#[test]
fn the_names_are_those_of_the_definitions() {
    for (definition, kind, plural) in [
        (scaler(), names::KIND, names::PLURAL),
        (rollout(), names::ROLLOUT_KIND, names::ROLLOUT_PLURAL),
    ] {
        let at = |path: &str| definition.pointer(path).and_then(Value::as_str).unwrap_or_default();
        assert_eq!(at("/spec/group"), names::GROUP);
        assert_eq!(at("/spec/versions/0/name"), names::VERSION);
        assert_eq!(at("/spec/names/kind"), kind);
        assert_eq!(at("/spec/names/plural"), plural);
    }
    assert_eq!(names::API_VERSION, format!("{}/{}", names::GROUP, names::VERSION));
    let all: Result<Vec<Value>, _> = serde_saphyr::from_multiple(&DEFINITIONS.join("---\n"));
    assert_eq!(all.map(|all| all.len()).ok(), Some(2), "one file of both can be read");
}
