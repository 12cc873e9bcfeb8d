//! Merge patches and server-side apply.

use serde_json::Value;

/// RFC 7396: fields are replaced, null removes them.
pub(crate) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    for (name, value) in fields {
        match value {
            Value::Null => {
                if let Some(target) = target.as_object_mut() {
                    target.remove(name);
                }
            }
            _ => merge(&mut target[name], value),
        }
    }
}

/// RFC 6902, as far as Tidegate asks for it: `test`, and `add` or `replace` of a field of an
/// object. `None` when an operation cannot be carried out.
pub(crate) fn operate(target: &Value, operations: &Value) -> Option<Value> {
    let mut target = target.clone();
    for operation in operations.as_array()? {
        let (path, value) = (operation["path"].as_str()?, operation.get("value")?);
        let (object, field) = path.rsplit_once('/')?;
        let object = target.pointer_mut(object)?.as_object_mut()?;
        match operation["op"].as_str()? {
            "test" if object.get(field) == Some(value) => {}
            "replace" if object.contains_key(field) => object[field] = value.clone(),
            "add" => _ = object.insert(field.to_owned(), value.clone()),
            _ => return None,
        }
    }
    Some(target)
}

/// Server-side apply by one manager with `force`: the fields it applies are set, those that it
/// applied before and now omits are removed, and all others stay. Lists are atomic.
pub(crate) fn apply(target: &mut Value, before: Option<&Value>, now: &Value) {
    if let Some(before) = before {
        take_away(target, before, now);
    }
    lay_over(target, now);
}

fn take_away(target: &mut Value, before: &Value, now: &Value) {
    let (Some(fields), Some(before)) = (target.as_object_mut(), before.as_object()) else { return };
    for (name, said) in before {
        match (fields.get_mut(name), now.get(name)) {
            (Some(_), None) => _ = fields.remove(name),
            (Some(kept), Some(now)) => take_away(kept, said, now),
            (None, _) => {}
        }
    }
}

fn lay_over(target: &mut Value, now: &Value) {
    let Value::Object(fields) = now else {
        *target = now.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    for (name, value) in fields {
        lay_over(&mut target[name], value);
    }
}
