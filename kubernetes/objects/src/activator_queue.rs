//! The part of a `TrafficScaler` that says whose turn it is at activators.

#![expect(unreachable_pub, reason = "the derive of a schema with rules repeats the type inside")]

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whose turn it is while several requests wait at an activator. Those that wait at a pod are
/// served by arrival.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, KubeSchema, Serialize)]
#[x_kube(validation = (
    "(has(self.order) && self.order == 'fair') == has(self.fairBy)",
    "queue.order fair and queue.fairBy belong together: give both or neither"
))]
#[x_kube(validation = (
    "has(self.classes) || !has(self.classHeader)",
    "queue.classHeader names classes, but there are none: give queue.classes or remove it"
))]
#[serde(rename_all = "camelCase")]
pub struct ActivatorQueue {
    /// Who leaves first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<QueueOrder>,
    /// By what users are told apart who take turns: `header:NAME`, `cookie:NAME`, `path` or
    /// `client-address`.
    #[x_kube(validation = (
        "self.matches('^(path|client-address|(header|cookie):[-A-Za-z0-9!#$%&*+.^_|~]+)$')",
        "queue.fairBy is header:NAME, cookie:NAME, path or client-address"
    ))]
    #[schemars(length(max = 128))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fair_by: Option<String>,
    /// Classes of requests, the last of which has those that name none. While several have some
    /// that wait, pods are given to them by their weights.
    #[x_kube(validation = (
        "self.all(class, self.exists_one(other, other.name == class.name))",
        "queue.classes has the same name twice: name each once"
    ))]
    #[schemars(length(min = 1, max = 8))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<Vec<QueueClass>>,
    /// The header that names a request's class; `X-Request-Class` by default.
    #[schemars(length(max = 128), regex(pattern = r"^[-A-Za-z0-9!#$%&*+.^_|~]+$"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_header: Option<String>,
}

/// Who leaves a queue first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum QueueOrder {
    /// Who came first.
    Arrival,
    /// Whose response is due first, by `X-Request-Deadline` or gRPC's timeout.
    Deadline,
    /// Users take turns, whom `fairBy` tells apart.
    Fair,
}

/// A class of requests.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueClass {
    /// What its requests call it.
    #[schemars(length(max = 63), regex(pattern = r"^[-A-Za-z0-9._]+$"))]
    pub name: String,
    /// Its share beside those of the others.
    #[schemars(range(min = 1, max = 65_535))]
    pub weight: i32,
}
