//! What a `TrafficScaler` in the input says of the sidecar of its target.
//!
//! Its fields are the settings by other names, so that one table reads both. What it says holds for
//! one workload, and goes before what is set for all; annotations of the pod have the last word.

use serde_json::Value;

use crate::settings::{SettingError, Settings};
use crate::workload::Identity;

/// Fields below `spec.sidecar`, and the settings that they are.
const FIELDS: &[(&str, &str)] = &[
    ("/concurrency", "concurrency"),
    ("/queue/depth", "queue-depth"),
    ("/queue/bytes", "queue-bytes"),
    ("/queue/timeout", "queue-timeout"),
    ("/overflow/status", "overflow-status"),
    ("/overflow/retryAfterSeconds", "overflow-retry-after"),
];

/// One of the input.
#[derive(Debug)]
pub(crate) struct Scaler {
    /// Its own name, for notes.
    pub(crate) name: String,
    namespace: String,
    group: String,
    kind: String,
    target: String,
    sidecar: Value,
}

impl Scaler {
    /// Reads one; `None` where it names no target, which the cluster will refuse.
    pub(crate) fn read(identity: &Identity, value: &Value) -> Option<Self> {
        let reference = value.pointer("/spec/targetRef")?;
        let text = |field: &str| Some(reference.get(field)?.as_str()?.to_owned());
        let version = text("apiVersion")?;
        Some(Self {
            name: identity.name.clone(),
            namespace: identity.namespace.clone(),
            group: version.split_once('/').map_or("", |(group, _)| group).to_owned(),
            kind: text("kind")?,
            target: text("name")?,
            sidecar: value.pointer("/spec/sidecar").cloned().unwrap_or_default(),
        })
    }

    /// Whether a workload is its target.
    pub(crate) fn is_of(&self, workload: &Identity) -> bool {
        self.namespace == workload.namespace
            && self.group == workload.group
            && self.kind == workload.kind
            && self.target == workload.name
    }

    /// Sets what it says, and returns how many settings that are.
    ///
    /// # Errors
    /// A value that cannot be, with its field.
    pub(crate) fn apply(&self, settings: &mut Settings) -> Result<usize, FieldError> {
        let mut set = 0;
        for (path, key) in FIELDS {
            let Some(value) = self.sidecar.pointer(path) else { continue };
            let text = match value {
                Value::Null => continue,
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            let field = || format!("spec.sidecar{}", path.replace('/', "."));
            let wrong = |source| FieldError { scaler: self.name.clone(), field: field(), source };
            settings.set(key, &text).map_err(wrong)?;
            set += 1;
        }
        Ok(set)
    }
}

/// A field that cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("TrafficScaler {scaler}, {field}: {source}")]
pub(crate) struct FieldError {
    scaler: String,
    field: String,
    source: SettingError,
}
