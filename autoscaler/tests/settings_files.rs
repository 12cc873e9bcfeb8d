//! Settings files as people write them.

#![cfg(feature = "files")]

use tidegate_autoscaler::settings::files::{FileError, FileFormat, read_data};
use tidegate_autoscaler::settings::{Config, GoDuration, Strictness};

fn read(text: &str, format: FileFormat) -> Result<Config, FileError> {
    Config::from_text(text, format, Strictness::Strict)
}

#[test]
fn a_manifest_is_read_by_its_data() {
    let text = r#"
apiVersion: v1
kind: ConfigMap
metadata:
  name: config-autoscaler
  namespace: knative-serving
  labels: {app.kubernetes.io/name: knative-serving}
data:
  _example: |
    # max-scale: "3"
  stable-window: "2m"
  max-scale: "7"
  enable-scale-to-zero: "false"
"#;
    let config = read(text, FileFormat::Yaml).unwrap();
    assert_eq!(config.stable_window, GoDuration::from_seconds(120));
    assert_eq!(config.max_scale, 7);
    assert!(!config.enable_scale_to_zero);
}

#[test]
fn a_manifest_without_data_is_all_defaults() {
    let text = "kind: ConfigMap\nmetadata: {name: config-autoscaler}\n";
    assert_eq!(read(text, FileFormat::Yaml).unwrap(), Config::default());
}

#[test]
fn the_right_one_of_several_manifests_is_found() {
    let text = "kind: Namespace\nmetadata: {name: x}\n---\n\
                kind: ConfigMap\nmetadata: {name: other}\ndata: {max-scale: \"1\"}\n---\n\
                kind: ConfigMap\nmetadata: {name: config-autoscaler}\n\
                data: {max-scale: \"2\"}\n";
    assert_eq!(read(text, FileFormat::Yaml).unwrap().max_scale, 2);
    let anonymous = text.replace("config-autoscaler", "another");
    let error = read(&anonymous, FileFormat::Yaml).unwrap_err();
    assert_eq!(
        error.to_string(),
        "settings file: several ConfigMaps (other, another), expected one of them to be named \
         config-autoscaler"
    );
}

#[test]
fn flat_files_need_no_quotes() {
    let yaml = "stable-window: 30s\nmax-scale: 4\nmax-scale-up-rate: 1.5\n\
                allow-zero-initial-scale: true\ninitial-scale: 0 # none at first\n";
    let toml = "stable-window = \"30s\"\nmax-scale = 4\nmax-scale-up-rate = 1.5\n\
                allow-zero-initial-scale = true\ninitial-scale = 0 # none at first\n";
    let json = r#"{"stable-window": "30s", "max-scale": 4, "max-scale-up-rate": 1.5,
                   "allow-zero-initial-scale": true, "initial-scale": 0}"#;
    let from_yaml = read(yaml, FileFormat::Yaml).unwrap();
    assert_eq!(from_yaml.stable_window, GoDuration::from_seconds(30));
    assert_eq!(from_yaml.max_scale_up_rate, 1.5);
    assert_eq!(from_yaml.initial_scale, 0);
    assert_eq!(read(toml, FileFormat::Toml).unwrap(), from_yaml);
    assert_eq!(read(json, FileFormat::Yaml).unwrap(), from_yaml);
}

#[test]
fn an_empty_file_is_all_defaults() {
    for (text, format) in
        [("", FileFormat::Yaml), ("# no\n", FileFormat::Yaml), ("", FileFormat::Toml)]
    {
        assert_eq!(read(text, format).unwrap(), Config::default(), "{text:?}");
    }
}

#[test]
fn every_bad_value_is_named_at_once() {
    let text = "stable-window: 5s\nmax-scale: many\nmax-scale-up-rate: NaN\n";
    let error = read(text, FileFormat::Yaml).unwrap_err().to_string();
    for part in ["stable-window is \"5s\"", "max-scale is \"many\"", "max-scale-up-rate is"] {
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(error.lines().count(), 3, "{error}");
}

#[test]
fn what_is_no_settings_file_is_refused() {
    let files = [
        ("- a\n- b\n", FileFormat::Yaml),
        ("just text", FileFormat::Yaml),
        ("stable-window: [60s]\n", FileFormat::Yaml),
        ("a: b: c\n", FileFormat::Yaml),
        ("[table]\nmax-scale = 1\n", FileFormat::Toml),
        ("max-scale = ", FileFormat::Toml),
    ];
    for (text, format) in files {
        let error = read_data(text, format).unwrap_err();
        assert!(matches!(error, FileError::Unreadable(_)), "{text:?}: {error}");
    }
    let large = "#".repeat(2 << 20);
    assert!(matches!(read_data(&large, FileFormat::Yaml), Err(FileError::TooLarge { .. })));
    assert_eq!(FileFormat::of_extension("YML"), Some(FileFormat::Yaml));
    assert_eq!(FileFormat::of_extension("txt"), None);
}
