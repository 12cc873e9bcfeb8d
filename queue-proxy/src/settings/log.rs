//! What the sidecar logs: a filter of ours, or else what Knative's settings say.

use tidegate_logging::{Filter, FilterError};
use tracing::Level;

use crate::environment::{Environment, Reader, keys};

/// What is logged, and a warning about Knative's configuration of it.
pub(super) fn log<E: Environment>(reader: &mut Reader<'_, E>) -> (Filter, Option<String>) {
    let config = reader.required(keys::SERVING_LOGGING_CONFIG);
    let level = reader.required(keys::SERVING_LOGGING_LEVEL);
    let (level, complaint) = configured_level(&config, &level);
    let filter = match reader.optional(keys::TIDEGATE_LOG).map(|text| text.parse()) {
        None => Filter::from_level(level),
        Some(Ok(filter)) => filter,
        Some(Err(error)) => {
            let error: FilterError = error;
            reader.reject(keys::TIDEGATE_LOG, error.to_string());
            Filter::default()
        }
    };
    (filter, complaint)
}

/// The level that Knative's logger configuration and its level name ask for, and a warning about
/// the configuration, which is never fatal.
fn configured_level(config_json: &str, level: &str) -> (Level, Option<String>) {
    let mut complaint = None;
    let mut configured = None;
    if !config_json.is_empty() {
        match serde_json::from_str::<serde_json::Value>(config_json) {
            Ok(config) => {
                configured =
                    config.get("level").and_then(serde_json::Value::as_str).and_then(level_named);
            }
            Err(error) => {
                complaint = Some(format!("cannot parse the logger configuration: {error}"));
            }
        }
    }
    (level_named(level).or(configured).unwrap_or(Level::INFO), complaint)
}

fn level_named(name: &str) -> Option<Level> {
    match name.to_ascii_lowercase().as_str() {
        "debug" => Some(Level::DEBUG),
        "info" => Some(Level::INFO),
        "warn" | "warning" => Some(Level::WARN),
        "error" | "dpanic" | "panic" | "fatal" => Some(Level::ERROR),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_configuration_is_never_fatal() {
        assert_eq!(configured_level("", ""), (Level::INFO, None));
        assert_eq!(configured_level("{\"level\":\"debug\"}", ""), (Level::DEBUG, None));
        assert_eq!(configured_level("{\"level\":\"debug\"}", "error"), (Level::ERROR, None));
        assert_eq!(configured_level("", "junk"), (Level::INFO, None));
        let (level, complaint) = configured_level("{", "warn");
        assert_eq!(level, Level::WARN);
        assert!(complaint.is_some_and(|text| text.contains("logger configuration")));
    }
}
