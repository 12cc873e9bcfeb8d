//! Any environment: settings or a list of problems that name their variables, and no panic.

#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use tidegate_queue_proxy::environment::keys;
use tidegate_queue_proxy::settings::Settings;

fuzz_target!(|values: Vec<(u8, String)>| {
    let mut environment: BTreeMap<String, String> = BTreeMap::new();
    for (index, value) in values {
        let key = keys::ALL[usize::from(index) % keys::ALL.len()].name;
        environment.insert(key.to_owned(), value);
    }
    match Settings::from_environment(&environment) {
        Ok(settings) => assert!(settings.data_threads > 0),
        Err(problems) => {
            assert!(!problems.is_empty());
            for problem in problems {
                assert!(keys::ALL.iter().any(|known| known.name == problem.key), "{problem}");
            }
        }
    }
});
