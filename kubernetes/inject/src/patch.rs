//! The difference of two values as a JSON Patch (RFC 6902).

use serde_json::{Value, json};

use crate::edit::middle;

/// Operations that turn `old` into `new`, in the order in which they are to be applied.
pub(crate) fn patch(old: &Value, new: &Value) -> Vec<Value> {
    let mut operations = Vec::new();
    difference(String::new(), old, new, &mut operations);
    operations
}

fn difference(path: String, old: &Value, new: &Value, operations: &mut Vec<Value>) {
    match (old, new) {
        (old, new) if old == new => {}
        (Value::Object(old), Value::Object(new)) => {
            for (key, before) in old {
                let path = format!("{path}/{}", escaped(key));
                match new.get(key) {
                    Some(after) => difference(path, before, after, operations),
                    None => operations.push(json!({"op": "remove", "path": path})),
                }
            }
            for (key, value) in new.iter().filter(|(key, _)| !old.contains_key(*key)) {
                let path = format!("{path}/{}", escaped(key));
                operations.push(json!({"op": "add", "path": path, "value": value}));
            }
        }
        (Value::Array(old), Value::Array(new)) => {
            let middle = middle(old, new);
            if middle.old.len() == middle.new.len() {
                for (before, after) in middle.old.zip(middle.new) {
                    let path = format!("{path}/{before}");
                    difference(path, &old[before], &new[after], operations);
                }
                return;
            }
            // From the back, so that the numbers of those before stay right.
            for index in middle.old.rev() {
                operations.push(json!({"op": "remove", "path": format!("{path}/{index}")}));
            }
            for (index, value) in middle.new.clone().zip(&new[middle.new]) {
                let path = format!("{path}/{index}");
                operations.push(json!({"op": "add", "path": path, "value": value}));
            }
        }
        (_, new) => operations.push(json!({"op": "replace", "path": path, "value": new})),
    }
}

/// A key as a JSON Pointer has it.
fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
