//! What is wrong with settings, in the words in which they were typed.

use tidegate_autoscaler::settings::{ANNOTATION_PREFIX, Violation, annotation, unknown_setting};
use tidegate_local::SettingsError;
use tidegate_words::excerpt;

/// What is wrong with settings, each by what was typed: `--set`, a flag of its own, or else its key
/// in a file.
pub(crate) fn as_typed(
    wrong: SettingsError,
    settings: &[(String, String)],
    flags: &[(&str, &str)],
) -> anyhow::Error {
    let wrong = match wrong {
        SettingsError::Values(wrong) => wrong,
        SettingsError::Unknown { key, value } => {
            let pair = excerpt(&format!("{key}={value}"));
            return anyhow::anyhow!("--set {pair}: {}", unknown_setting(&key));
        }
        other => return other.into(),
    };
    let line = |Violation { key, value, expected }: &Violation| {
        let bare = key.strip_prefix(ANNOTATION_PREFIX).unwrap_or(key);
        let names_it = |typed: &str| typed == bare || annotation(typed).as_ref() == Some(key);
        let set = settings.iter().rev().find(|(typed, _)| names_it(typed));
        if let Some((typed, value)) = set {
            let pair = excerpt(&format!("{typed}={value}"));
            return format!("--set {pair}: expected {expected}");
        }
        let value = excerpt(value);
        match flags.iter().find(|(setting, _)| *setting == bare) {
            Some((_, flag)) => format!("{flag} {value}: expected {expected}"),
            None => format!("{key} is \"{value}\", expected {expected}"),
        }
    };
    let lines: Vec<String> = wrong.as_slice().iter().map(line).collect();
    anyhow::anyhow!(lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tidegate_local::Settings;

    use super::*;

    fn told(local: &Settings) -> String {
        let flags = [("stable-window", "--window")];
        as_typed(local.declare().expect_err("refused"), &local.settings, &flags).to_string()
    }

    #[test]
    fn what_cannot_be_is_told_by_what_was_typed() {
        let mut unknown = Settings::new("app", ["sh"]);
        unknown.settings = vec![("stabel-window".into(), "60s".into())];
        assert!(told(&unknown).starts_with("--set stabel-window=60s: "), "{}", told(&unknown));
        let mut short = Settings::new("app", ["sh"]);
        short.window = Duration::from_secs(1);
        assert!(told(&short).contains("--window 1000ms: expected"), "{}", told(&short));
        let mut odd = Settings::new("app", ["sh"]);
        odd.settings = vec![("target".into(), "-3".into())];
        assert!(told(&odd).contains("--set target=-3: expected"), "{}", told(&odd));
    }
}
