//! What must hold for any input: the same properties that the fuzz targets check, on a stable
//! toolchain and in seconds.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tidegate_queue_proxy::environment::{Switch, keys};
use tidegate_queue_proxy::probe::spec;
use tidegate_queue_proxy::settings::Settings;

/// Text that is likely to mean something to a parser.
fn fragments(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    let word = prop_oneof![
        4 => prop::sample::select(words).prop_map(str::to_owned),
        1 => any::<String>(),
    ];
    prop::collection::vec(word, 0..12).prop_map(|words| words.concat())
}

const VALUES: &[&str] = &[
    "0",
    "1",
    "-1",
    "0x10",
    "8012",
    "65536",
    "off",
    "auto",
    "true",
    "yes",
    "",
    "{",
    "}",
    "[",
    "]",
    "null",
    "\"protocol\"",
    ":",
    ",",
    "\"tracing\"",
    "\"requestMetrics\"",
    "\"grpc\"",
    "99999999999",
];

const PROBES: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "null",
    "\"httpGet\"",
    "\"tcpSocket\"",
    "\"grpc\"",
    "\"port\"",
    "\"path\"",
    "8080",
    "-1",
    "\"a\"",
    "\"periodSeconds\"",
    "\"httpHeaders\"",
    "\"name\"",
];

proptest! {
    #[test]
    fn any_environment_gives_settings_or_named_problems(
        values in prop::collection::vec((0..keys::ALL.len(), fragments(VALUES)), 0..40),
    ) {
        let named = |(index, value): (usize, String)| (keys::ALL[index].name.to_owned(), value);
        let environment: BTreeMap<String, String> = values.into_iter().map(named).collect();
        if let Err(problems) = Settings::from_environment(&environment) {
            prop_assert!(!problems.is_empty());
            for problem in problems {
                prop_assert!(keys::ALL.iter().any(|variable| variable.name == problem.key));
            }
        }
    }

    #[test]
    fn any_probe_is_parsed_or_refused(
        json in fragments(PROBES),
        several in any::<bool>(),
    ) {
        let several = if several { Switch::On } else { Switch::Off };
        let _ = spec::parse(&json, spec::Reading { several, ..spec::Reading::default() });
    }
}
