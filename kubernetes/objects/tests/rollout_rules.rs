//! What contradicts itself in a TrafficRollout is refused, with words that say what to write.

use kube_cel::Validator;
use serde_json::{Value, json};
use tidegate_kubernetes_objects::ROLLOUT_DEFINITION;

fn said(more: &Value) -> String {
    let definition: Value = serde_saphyr::from_str(ROLLOUT_DEFINITION).expect("the file is YAML");
    let schema = definition.pointer("/spec/versions/0/schema/openAPIV3Schema");
    let mut spec = json!({
        "route": {"name": "web"},
        "stable": {"name": "web-v1"},
        "new": {"name": "web-v2"},
        "strategy": {"steps": [{"permille": 10, "holdSeconds": 60}]},
    });
    let fields = spec.as_object_mut().expect("an object");
    fields.extend(more.as_object().expect("an object").clone());
    let object = json!({"spec": spec});
    let schema = schema.expect("there is one version with a schema");
    Validator::new()
        .validate(schema, &object, None)
        .map_or_else(|e| e.to_string(), |()| String::new())
}

#[test]
fn usual_specs_pass() {
    for more in [
        json!({}),
        json!({"control": "Pause", "revision": "v2"}),
        json!({"strategy": {"linear": {"overSeconds": 3_600}}}),
        json!({"health": {"toleratedErrorsPermille": 0, "minRequests": 10}}),
    ] {
        assert_eq!(said(&more), "", "{more}");
    }
}

#[test]
fn contradictions_are_refused_with_a_correction() {
    let steps = json!([{"permille": 10, "holdSeconds": 60}]);
    for (more, expected) in [
        (json!({"new": {"name": "web-v1"}}), "each revision needs one of its own"),
        (json!({"strategy": {}}), "either steps or linear"),
        (
            json!({"strategy": {"steps": steps, "linear": {"overSeconds": 60}}}),
            "either steps or linear",
        ),
    ] {
        let said = said(&more);
        assert!(said.contains(expected), "{more}: {said}");
    }
}
