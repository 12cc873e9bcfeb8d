//! Settings from any text: never a panic, always the same answer, strict within Knative.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tidegate_autoscaler::settings::{
    ANNOTATION_KEYS, CONFIG_KEYS, Config, GoDuration, Overrides, Reachability, Resolved,
    Strictness, Workload, validate_annotations,
};

/// Values that are nearly right, and some that are anything.
fn any_value() -> impl Strategy<Value = String> {
    prop_oneof![
        "[+-]?[0-9]{1,4}(\\.[0-9]{0,3})?(e[+-]?[0-9]{1,3})?",
        "[+-]?([0-9]{1,3}(ns|us|µs|ms|s|m|h)){1,3}",
        "[-+]?0x[0-9a-f_.]{1,6}p[-+]?[0-9]{1,4}",
        "(true|false|T|F|NaN|[-+]?inf|infinity|kpa\\.autoscaling\\.knative\\.dev|linear|rps)",
        "[0-9_.]{0,8}",
        ".{0,12}",
    ]
}

fn any_config() -> impl Strategy<Value = BTreeMap<String, String>> {
    let key = prop::sample::select(&CONFIG_KEYS[..]).prop_map(str::to_owned);
    prop::collection::btree_map(key, any_value(), 0..6)
}

fn any_annotations() -> impl Strategy<Value = BTreeMap<String, String>> {
    let keys: Vec<String> = ANNOTATION_KEYS
        .iter()
        .flat_map(|key| [Some(key.kebab), key.camel])
        .flatten()
        .map(str::to_owned)
        .collect();
    prop::collection::btree_map(prop::sample::select(keys), any_value(), 0..8)
}

proptest! {
    #[test]
    fn what_strict_reading_takes_knative_takes_and_reads_alike(data in any_config()) {
        let knative = Config::from_map(&data, Strictness::Knative);
        match Config::from_map(&data, Strictness::Strict) {
            Ok(strict) => {
                prop_assert_eq!(Ok(&strict), knative.as_ref());
                let rate = strict.max_scale_up_rate;
                prop_assert!(rate > 1.0 && rate.is_finite());
                prop_assert!(strict.stable_window.is_whole_seconds());
                prop_assert!(strict.panic_threshold_percentage > 100.0);
            }
            Err(violations) => {
                prop_assert!(!violations.as_slice().is_empty());
                for violation in violations.as_slice() {
                    prop_assert!(CONFIG_KEYS.contains(&violation.key.as_str()));
                    let line = violation.to_string();
                    prop_assert!(line.contains("expected"), "{}", line);
                }
            }
        }
    }

    #[test]
    fn annotations_of_any_kind_resolve_to_numbers(
        data in any_config(),
        annotations in any_annotations(),
        container_concurrency in any::<u32>(),
    ) {
        let config = Config::from_map(&data, Strictness::Knative).unwrap_or_default();
        let strict = validate_annotations(&annotations, &config, Strictness::Strict);
        let knative = validate_annotations(&annotations, &config, Strictness::Knative);
        prop_assert!(strict.is_err() || knative.is_ok());
        for reachability in
            [Reachability::Unknown, Reachability::Reachable, Reachability::Unreachable]
        {
            let workload = Workload { container_concurrency, reachability };
            let resolved = Resolved::new(&config, &Overrides::read(&annotations), workload);
            if strict.is_ok() && Config::from_map(&data, Strictness::Strict).is_ok() {
                prop_assert_eq!(resolved.spec.validate(), Ok(()));
                prop_assert!(resolved.panic_window <= resolved.stable_window);
                prop_assert!(resolved.windows.panic_window_ms >= 1000);
                prop_assert!(resolved.bounds.min >= 0 && resolved.bounds.max >= 0);
            }
        }
    }

    #[test]
    fn durations_print_what_reads_back(nanoseconds in any::<i64>()) {
        let duration = GoDuration::from_nanoseconds(nanoseconds);
        prop_assert_eq!(GoDuration::parse(&duration.to_string()), Ok(duration));
        let rounded = duration.round_to_second();
        let edge = rounded.nanoseconds() == i64::MAX || rounded.nanoseconds() == i64::MIN;
        prop_assert!(edge || rounded.is_whole_seconds());
    }

    #[test]
    fn no_text_makes_a_duration_panic(text in ".{0,24}") {
        let _ = GoDuration::parse(&text);
    }
}
