//! Which objects of an input have pods, and where in them.

use serde_json::Value;

use crate::document::Node;
use crate::settings::{INJECT, is_on};

/// Kinds that get the sidecar unless they decline: group, kind, and where the pod's template is.
const SERVING: &[(&str, &str, &[&str])] = &[
    ("", "Pod", &[]),
    ("", "ReplicationController", TEMPLATE),
    ("apps", "Deployment", TEMPLATE),
    ("apps", "StatefulSet", TEMPLATE),
    ("apps", "DaemonSet", TEMPLATE),
    ("apps", "ReplicaSet", TEMPLATE),
];

/// Kinds that run to completion: few of them serve, so they get it only with the annotation.
const ENDING: &[(&str, &str, &[&str])] = &[
    ("batch", "Job", TEMPLATE),
    ("batch", "CronJob", &["spec", "jobTemplate", "spec", "template"]),
];

const TEMPLATE: &[&str] = &["spec", "template"];

/// An object's kind and name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) group: String,
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) namespace: String,
}

/// How an object is handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Its pod, at this path, gets the sidecar.
    Workload(&'static [&'static str]),
    /// It would with the annotation.
    Waiting(&'static [&'static str]),
    /// It is a Service that may select such a pod.
    Service,
    /// It may say what its target's sidecar is to be.
    Scaler,
    /// Nothing.
    Other,
}

impl Identity {
    pub(crate) fn of(node: &Node<'_>) -> Self {
        let text =
            |node: Option<&Node<'_>>| node.and_then(Node::text).unwrap_or_default().to_owned();
        let version = text(node.get("apiVersion"));
        let metadata = node.get("metadata");
        let of_metadata = |key| text(metadata.and_then(|metadata| metadata.get(key)));
        let name = of_metadata("name");
        Self {
            group: version.split_once('/').map_or("", |(group, _)| group).to_owned(),
            kind: text(node.get("kind")),
            // The pods of controllers have their names made up: this is where that begins.
            name: if name.is_empty() {
                of_metadata("generateName").trim_end_matches('-').to_owned()
            } else {
                name
            },
            namespace: of_metadata("namespace"),
        }
    }

    /// Whether this is a list of objects.
    pub(crate) fn is_list(&self) -> bool {
        self.kind.ends_with("List") && (self.group.is_empty() || self.group == "apps")
    }

    /// Whether `Kind` or `Kind/name` selects this object.
    pub(crate) fn is_named_by(&self, word: &str) -> bool {
        let (kind, name) = word.split_once('/').map_or((word, None), |(k, n)| (k, Some(n)));
        self.kind.eq_ignore_ascii_case(kind) && name.is_none_or(|name| name == self.name)
    }

    pub(crate) fn role(&self, named: &[String]) -> Role {
        let find = |kinds: &[(&str, &str, &'static [&'static str])]| {
            let mut kinds = kinds.iter();
            let found = kinds.find(|(group, kind, _)| *group == self.group && *kind == self.kind);
            found.map(|(_, _, path)| *path)
        };
        let is_named = named.iter().any(|word| self.is_named_by(word));
        if let Some(path) = find(SERVING) {
            Role::Workload(path)
        } else if let Some(path) = find(ENDING) {
            if is_named { Role::Workload(path) } else { Role::Waiting(path) }
        } else if is_named {
            Role::Workload(TEMPLATE)
        } else if self.kind == "Service" && self.group.is_empty() {
            Role::Service
        } else if self.kind == "TrafficScaler" && self.group == "tidegate.dev" {
            Role::Scaler
        } else {
            Role::Other
        }
    }
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = tidegate_words::excerpt(&self.name);
        write!(f, "{} {name}", tidegate_words::excerpt(&self.kind))
    }
}

/// The value at a path.
pub(crate) fn at<'v>(value: &'v Value, path: &[&str]) -> Option<&'v Value> {
    path.iter().try_fold(value, |value, key| value.get(*key))
}

/// The place of a path that is there.
pub(crate) fn at_mut<'v>(value: &'v mut Value, path: &[&str]) -> Option<&'v mut Value> {
    path.iter().try_fold(value, |value, key| value.get_mut(*key))
}

/// Whether a template has the annotation.
pub(crate) fn asks(template: &Value) -> bool {
    let metadata = template.get("metadata").unwrap_or(&Value::Null);
    let says = |map: &str| metadata.get(map)?.get(INJECT)?.as_str();
    [says("annotations"), says("labels")].into_iter().flatten().any(is_on)
}
