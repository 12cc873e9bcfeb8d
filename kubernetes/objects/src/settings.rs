//! How the keys of a `TrafficScaler` become Knative's, so that one grammar reads them.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::Value;

use crate::traffic_scaler::{Policy, TrafficScalerSpec};

/// The domain of Knative's annotations.
const PREFIX: &str = "autoscaling.knative.dev/";

/// The key of `config-autoscaler` that forbids zero.
pub const ENABLE_SCALE_TO_ZERO: &str = "enable-scale-to-zero";

impl TrafficScalerSpec {
    /// The object's scaling settings as Knative's annotations.
    #[must_use]
    pub fn annotations(&self) -> BTreeMap<String, String> {
        let mut annotations = BTreeMap::new();
        // Plain numbers, texts and names always can be written.
        let scale = serde_json::to_value(self.scale.clone().unwrap_or_default());
        if let Ok(Value::Object(keys)) = scale {
            let known = keys.into_iter().filter(|(key, _)| key != "policy");
            annotations.extend(known.map(|(key, value)| (annotation(&key), text(value))));
        }
        let retention = self.zero.as_ref().and_then(|zero| zero.pod_retention_period.clone());
        if let Some(retention) = retention {
            annotations.insert(annotation("scaleToZeroPodRetentionPeriod"), retention);
        }
        annotations
    }

    /// The object's settings that Knative has in `config-autoscaler`.
    #[must_use]
    pub fn config(&self) -> BTreeMap<String, String> {
        let allowed = self.allows_zero().to_string();
        BTreeMap::from([(ENABLE_SCALE_TO_ZERO.to_owned(), allowed)])
    }

    /// Whether the workload may have no replica at all.
    #[must_use]
    pub fn allows_zero(&self) -> bool {
        let least = self.scale.as_ref().and_then(|scale| scale.min_scale).unwrap_or(0);
        let enabled = self.zero.as_ref().and_then(|zero| zero.enabled).unwrap_or(true);
        enabled && least <= 0
    }

    /// Whether to decide exactly as Knative does.
    #[must_use]
    pub fn decides_like_knative(&self) -> bool {
        self.scale.as_ref().and_then(|scale| scale.policy) == Some(Policy::Knative)
    }

    /// Requests that one pod works on at a time; 0 where there is no limit, or one that each
    /// queue-proxy finds by itself and reports.
    #[must_use]
    pub fn container_concurrency(&self) -> u32 {
        match self.sidecar.as_ref().and_then(|sidecar| sidecar.concurrency.as_ref()) {
            Some(IntOrString::Int(limit)) => u32::try_from(*limit).unwrap_or(0),
            // A number may be written as text; `auto` is none.
            Some(IntOrString::String(limit)) => limit.parse().unwrap_or(0),
            None => 0,
        }
    }
}

/// `minScale` is `autoscaling.knative.dev/min-scale`.
fn annotation(key: &str) -> String {
    let mut name = PREFIX.to_owned();
    for letter in key.chars() {
        if letter.is_ascii_uppercase() {
            name.push('-');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

fn text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}
