//! The committed definition is what the Rust types say.

use std::path::Path;

use kube::CustomResourceExt;
use serde_json::Value;
use tidegate_kubernetes_objects::{DEFINITION, TrafficScaler, names};

/// Set to `write` to bring the file up to date.
const CODEGEN: &str = "TIDEGATE_CODEGEN";

fn generated() -> Value {
    let mut definition = serde_json::to_value(TrafficScaler::crd()).expect("it is plain data");
    // What the macro says of itself helps nobody.
    let description = "/spec/versions/0/schema/openAPIV3Schema/description";
    if let Some(text) = definition.pointer_mut(description) {
        *text = "How a workload is scaled by the requests that its Service receives.".into();
    }
    drop_nullable(&mut definition);
    definition
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
fn the_committed_definition_is_what_the_types_say() {
    let generated = generated();
    if std::env::var(CODEGEN).is_ok_and(|mode| mode == "write") {
        let text = serde_saphyr::to_string(&generated).expect("it can be written as YAML");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("trafficscalers.tidegate.dev.yaml");
        std::fs::write(path, text).expect("the file can be written");
        return;
    }
    let committed: Value = serde_saphyr::from_str(DEFINITION).expect("the file is YAML");
    assert_eq!(committed, generated, "run `cargo xtask codegen`");
}

#[test]
fn the_names_are_those_of_the_definition() {
    let definition = generated();
    let at = |path: &str| definition.pointer(path).and_then(Value::as_str).unwrap_or_default();
    assert_eq!(at("/spec/group"), names::GROUP);
    assert_eq!(at("/spec/versions/0/name"), names::VERSION);
    assert_eq!(at("/spec/names/kind"), names::KIND);
    assert_eq!(at("/spec/names/plural"), names::PLURAL);
    assert_eq!(names::API_VERSION, format!("{}/{}", names::GROUP, names::VERSION));
}
