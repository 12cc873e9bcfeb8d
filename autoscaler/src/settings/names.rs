//! The names of all settings, as people type them.

use std::collections::BTreeMap;

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

/// Settings by their names and values.
pub type SettingsByName = BTreeMap<String, String>;

/// Separates settings by name: keys of `config-autoscaler` first, then annotations with their
/// domain. A name that both know counts as the cluster's, which comes to the same for a single
/// revision. Of a name that comes twice the last value holds.
///
/// # Errors
///
/// The name and value that are neither.
pub fn sort_settings<'a>(
    settings: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<(SettingsByName, SettingsByName), (&'a str, &'a str)> {
    let (mut config, mut annotations) = (SettingsByName::new(), SettingsByName::new());
    for (name, value) in settings {
        if CONFIG_KEYS.contains(&name) {
            config.insert(name.to_owned(), value.to_owned());
        } else if let Some(annotation) = annotation(name) {
            annotations.insert(annotation, value.to_owned());
        } else {
            return Err((name, value));
        }
    }
    Ok((config, annotations))
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
    fn settings_are_sorted_by_whose_they_are() {
        // The cluster and a revision both know `min-scale`.
        let given = [("min-scale", "1"), ("target", "5"), ("target", "6")];
        let (config, annotations) = sort_settings(given).expect("all are known");
        assert_eq!(config, SettingsByName::from([("min-scale".into(), "1".into())]));
        let target = format!("{ANNOTATION_PREFIX}target");
        assert_eq!(annotations, SettingsByName::from([(target, "6".into())]));
        assert_eq!(sort_settings([("colour", "red")]), Err(("colour", "red")));
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
