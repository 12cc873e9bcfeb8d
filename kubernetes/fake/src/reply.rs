//! The bodies of refusals.

use serde_json::{Value, json};

use crate::kinds::Kind;
use crate::store::Key;

/// A response before it is sent.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Value,
    pub(crate) retry_after_seconds: Option<u32>,
}

impl Reply {
    pub(crate) fn ok(body: Value) -> Self {
        Self { status: 200, body, retry_after_seconds: None }
    }

    pub(crate) fn created(body: Value) -> Self {
        Self { status: 201, ..Self::ok(body) }
    }

    /// A refusal; `details` may be null.
    pub(crate) fn refused(status: u16, reason: &str, message: &str, details: Value) -> Self {
        let mut body = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": reason,
            "code": status,
        });
        if !details.is_null() {
            body["details"] = details;
        }
        Self { status, body, retry_after_seconds: None }
    }

    pub(crate) fn not_found(kind: &Kind, name: &str) -> Self {
        let message = format!("{} \"{name}\" not found", kind.long_plural());
        Self::refused(404, "NotFound", &message, details(kind, name))
    }

    pub(crate) fn exists(kind: &Kind, name: &str) -> Self {
        let message = format!("{} \"{name}\" already exists", kind.long_plural());
        Self::refused(409, "AlreadyExists", &message, details(kind, name))
    }

    pub(crate) fn outdated(kind: &Kind, name: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} \"{name}\": the object has been modified; please \
             apply your changes to the latest version and try again",
            kind.long_plural()
        );
        Self::refused(409, "Conflict", &message, details(kind, name))
    }

    pub(crate) fn not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Self::refused(405, "MethodNotAllowed", message, json!({}))
    }

    pub(crate) fn bad_request(message: &str) -> Self {
        Self::refused(400, "BadRequest", message, Value::Null)
    }

    /// What a JSON patch is answered with of which an operation cannot be carried out.
    pub(crate) fn not_applicable() -> Self {
        let message = "the server rejected our request due to an error in our request";
        Self::refused(422, "Invalid", message, json!({}))
    }

    /// The response to a deletion.
    pub(crate) fn deleted(kind: &Kind, key: &Key, object: &Value) -> Self {
        let mut details = details(kind, &key.name);
        details["uid"] = object["metadata"]["uid"].clone();
        Self::ok(json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Success",
            "details": details,
        }))
    }
}

fn details(kind: &Kind, name: &str) -> Value {
    let mut details = json!({"name": name, "kind": kind.plural});
    if !kind.group.is_empty() {
        details["group"] = json!(kind.group);
    }
    details
}

/// The event for a watch whose version is too old.
pub(crate) fn expired(version: u64, oldest: u64) -> Value {
    json!({
        "type": "ERROR",
        "object": {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": format!("too old resource version: {version} ({oldest})"),
            "reason": "Expired",
            "code": 410,
        },
    })
}
