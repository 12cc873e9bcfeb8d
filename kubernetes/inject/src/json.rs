//! Short ways into JSON values of objects that others wrote, where any part may be missing or odd.

use serde_json::{Map, Value};

/// The list under a key, or an empty one.
pub(crate) fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The text under a key.
pub(crate) fn text<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    value.get(key).and_then(Value::as_str)
}

/// A port, written as a number.
pub(crate) fn port(value: Option<&Value>) -> Option<u16> {
    value.and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0)
}

/// Whether a field is true, also as YAML 1.1 writes it.
pub(crate) fn is_true(value: &Value, key: &str) -> bool {
    match value.get(key) {
        Some(Value::Bool(on)) => *on,
        Some(Value::String(word)) => {
            ["yes", "on", "y", "true"].iter().any(|on| word.eq_ignore_ascii_case(on))
        }
        _ => false,
    }
}

/// The mapping under a key; made where there is none, also in place of a null.
pub(crate) fn object<'v>(map: &'v mut Map<String, Value>, key: &str) -> &'v mut Map<String, Value> {
    let value = map.entry(key.to_owned()).or_insert(Value::Null);
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    let Value::Object(map) = value else { unreachable!("it was made one above") };
    map
}

/// The list under a key; made where there is none, also in place of a null.
pub(crate) fn array<'v>(map: &'v mut Map<String, Value>, key: &str) -> &'v mut Vec<Value> {
    let value = map.entry(key.to_owned()).or_insert(Value::Null);
    if !value.is_array() {
        *value = Value::Array(Vec::new());
    }
    let Value::Array(items) = value else { unreachable!("it was made one above") };
    items
}

/// The name of a container, a port, a variable.
pub(crate) fn name(value: &Value) -> &str {
    text(value, "name").unwrap_or_default()
}

/// Whether `found` has every value of `wanted`; it may have more, as a server fills in defaults and
/// mounts.
pub(crate) fn covers(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) => wanted
            .iter()
            .all(|(key, wanted)| found.get(key).is_some_and(|found| covers(found, wanted))),
        (Value::Array(found), Value::Array(wanted)) => {
            found.len() == wanted.len() && found.iter().zip(wanted).all(|(f, w)| covers(f, w))
        }
        _ => found == wanted,
    }
}

/// Whether a container is as wanted: as [`covers`], and an API server may have added mounts behind
/// ours, such as that of the ServiceAccount's token.
pub(crate) fn covers_container(found: &Value, wanted: &Value) -> bool {
    const MOUNTS: &str = "volumeMounts";
    let (mounts, ours) = (list(found, MOUNTS), list(wanted, MOUNTS));
    let has_ours = mounts.len() >= ours.len() && mounts.iter().zip(ours).all(|(f, w)| covers(f, w));
    let mut rest = wanted.clone();
    rest.as_object_mut().map(|container| container.remove(MOUNTS));
    has_ours && covers(found, &rest)
}
