//! Any text as a configuration, as annotations, as a file: read or refused, never a panic, and
//! what is accepted resolves to numbers that can be decided with.

#![no_main]

use std::collections::BTreeMap;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use tidegate_autoscaler::settings::files::FileFormat;
use tidegate_autoscaler::settings::{
    ANNOTATION_KEYS, CONFIG_KEYS, Config, Overrides, Resolved, Strictness, Workload,
};

#[derive(Debug, Arbitrary)]
struct Settings<'a> {
    config: Vec<(u8, &'a str)>,
    annotations: Vec<(u8, &'a str)>,
    file: &'a str,
    toml: bool,
}

fuzz_target!(|settings: Settings| {
    let format = if settings.toml { FileFormat::Toml } else { FileFormat::Yaml };
    for strictness in [Strictness::Knative, Strictness::Strict] {
        if let Err(error) = Config::from_text(settings.file, format, strictness) {
            assert!(!error.to_string().is_empty());
        }
        let data: BTreeMap<String, String> = settings
            .config
            .iter()
            .map(|(key, value)| (CONFIG_KEYS[usize::from(*key) % CONFIG_KEYS.len()], value))
            .map(|(key, value)| (key.to_owned(), (*value).to_owned()))
            .collect();
        let config = match Config::from_map(&data, strictness) {
            Ok(config) => config,
            Err(violations) => {
                assert!(!violations.as_slice().is_empty());
                Config::default()
            }
        };
        let annotations: BTreeMap<String, String> = settings
            .annotations
            .iter()
            .map(|(key, value)| (ANNOTATION_KEYS[usize::from(*key) % ANNOTATION_KEYS.len()], value))
            .map(|(key, value)| (key.kebab.to_owned(), (*value).to_owned()))
            .collect();
        // What takes effect must resolve even where it would have been refused.
        let read = Overrides::read(&annotations);
        let _ = Resolved::new(&config, &read, Workload::default());
        if let Ok(overrides) = Overrides::parse(&annotations, &config, strictness) {
            let resolved = Resolved::new(&config, &overrides, Workload::default());
            if strictness == Strictness::Strict {
                assert!(resolved.spec.target_value > 0.0, "{resolved:?}");
            }
        }
    }
});
