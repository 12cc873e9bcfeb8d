//! The names of all settings, as people type them.

use tidegate_words::{excerpt, nearest};

use super::annotations::{ANNOTATION_KEYS, PROGRESS_DEADLINE};
use super::config::CONFIG_KEYS;

/// Where annotations of the autoscaler live; people may leave this away.
pub const ANNOTATION_PREFIX: &str = "autoscaling.knative.dev/";

/// Every setting by the name that people type: the keys of `config-autoscaler`, then annotations
/// without their domain. A name that both have comes twice.
pub fn setting_names() -> impl Iterator<Item = &'static str> {
    let annotations = ANNOTATION_KEYS.iter().map(|key| key.kebab);
    let bare = annotations.map(|name| name.strip_prefix(ANNOTATION_PREFIX).unwrap_or(name));
    CONFIG_KEYS.into_iter().chain(bare)
}

/// The annotation that a name stands for, with its domain; `None` when there is no such annotation.
pub fn annotation(name: &str) -> Option<String> {
    let known = |name: &str| {
        ANNOTATION_KEYS
            .iter()
            .chain(std::iter::once(&PROGRESS_DEADLINE))
            .any(|known| known.kebab == name || known.camel == Some(name))
    };
    if known(name) {
        return Some(name.to_owned());
    }
    Some(format!("{ANNOTATION_PREFIX}{name}")).filter(|prefixed| known(prefixed))
}

/// The message about a setting that does not exist: the one that was most likely meant, or
/// where names come from.
pub fn unknown_setting(key: &str) -> String {
    let bare = key.strip_prefix(ANNOTATION_PREFIX).unwrap_or(key);
    let shown = excerpt(key);
    match nearest(bare, setting_names()) {
        Some(name) => format!("there is no setting `{shown}`; did you mean `{name}`?"),
        None => format!(
            "there is no setting `{shown}`; settings are the keys of config-autoscaler and the \
             annotations {ANNOTATION_PREFIX}*"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_are_found_with_and_without_their_domain() {
        let whole = "autoscaling.knative.dev/min-scale";
        for name in ["min-scale", whole] {
            assert_eq!(annotation(name).as_deref(), Some(whole));
        }
        assert!(annotation("minScale").is_some());
        assert!(annotation("serving.knative.dev/progress-deadline").is_some());
        for name in ["", "minscale", "example.com/min-scale", "stable-window"] {
            assert_eq!(annotation(name), None, "{name}");
        }
    }

    #[test]
    fn the_nearest_setting_is_named() {
        for (typed, meant) in [
            ("stable-windw", "`stable-window`?"),
            ("maxscale", "`max-scale`?"),
            ("autoscaling.knative.dev/minscale", "`min-scale`?"),
            ("colour", "keys of config-autoscaler"),
        ] {
            let told = unknown_setting(typed);
            assert!(told.contains(meant) && told.contains(typed), "{told}");
        }
        assert!(unknown_setting(&"x".repeat(1 << 20)).len() < 400);
    }
}
