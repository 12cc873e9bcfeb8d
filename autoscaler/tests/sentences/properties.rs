//! Random worlds: whatever happens in them, each clause is checked against what really happened
//! and each number against the decision it is said of.

use proptest::prelude::*;
use tidegate_autoscaler::decide::PanicState;
use tidegate_autoscaler::driver::Path;
use tidegate_autoscaler::explain::{DecisionTrace, Detail};
use tidegate_autoscaler::settings::ScaleBounds;
use tidegate_autoscaler::{
    DecisionSpec, Improvements, LifecycleSpec, RevisionAutoscaler, RevisionSettings, Timestamp,
};

use super::world::{Told, World, lifecycle, seen, settings};

/// One second of a world.
#[derive(Debug, Clone)]
struct Second {
    /// What the instances report, if they do.
    report: Option<f64>,
    ready: u32,
    starting: u32,
    /// Seconds that pass after it in which nothing is reported.
    silent_s: u64,
    /// Whether the controller restarts then, and is told the past.
    restarts: bool,
}

/// How a world is set up.
#[derive(Debug, Clone)]
struct Setting {
    settings: RevisionSettings,
    lifecycle: LifecycleSpec,
    path: Path,
    found: u32,
}

fn any_setting() -> impl Strategy<Value = Setting> {
    let spec = (
        prop_oneof![Just(1000.0), 1.5..4.0_f64],
        prop_oneof![Just(0_u64), Just(30_000)],
        -1_i32..4,
        prop_oneof![Just(7.0), 0.7..9.0_f64],
        prop_oneof![Just(2.0), Just(10.0)],
    );
    let lifecycle_spec = (0_i32..3, prop_oneof![Just(0_i32), 3_i32..9], 1_i32..4);
    (spec, lifecycle_spec, any::<bool>(), any::<bool>(), 0_u32..4).prop_map(
        |(spec, bounds, better, always, found)| {
            let (max_scale_up_rate, scale_down_delay_ms, activation_scale, target_value, panic) =
                spec;
            let (min, max, initial_scale) = bounds;
            let spec = DecisionSpec {
                max_scale_up_rate,
                scale_down_delay_ms,
                activation_scale,
                target_value,
                panic_threshold: panic,
                ..settings().spec
            };
            let improvements = if better { Improvements::all() } else { Improvements::none() };
            let bounds = ScaleBounds { min, max };
            Setting {
                settings: RevisionSettings { spec, improvements, ..settings() },
                lifecycle: LifecycleSpec { bounds, initial_scale, ..lifecycle() },
                path: match always {
                    true => Path::ThroughActivator,
                    false => Path::Switched { activator_since: None },
                },
                found,
            }
        },
    )
}

fn any_second() -> impl Strategy<Value = Second> {
    let report = prop_oneof![
        1 => Just(None),
        3 => Just(Some(0.0)),
        3 => (0_u32..4).prop_map(|whole| Some(f64::from(whole))),
        4 => (0.0..90.0_f64).prop_map(Some),
    ];
    let silent_s = prop_oneof![12 => Just(0_u64), 2 => 1_u64..12, 1 => 55_u64..75];
    let restarts = prop::bool::weighted(0.02);
    (report, 0_u32..6, 0_u32..4, silent_s, restarts).prop_map(
        |(report, ready, starting, silent_s, restarts)| Second {
            report,
            ready,
            starting,
            silent_s,
            restarts,
        },
    )
}

/// What is known of a world besides what it says.
struct Facts {
    now: Timestamp,
    /// Seconds with a report, first and last.
    reported: Option<(Timestamp, Timestamp)>,
    panic: (PanicState, PanicState),
    last_desired: i32,
    found: u32,
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 192,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn nothing_is_said_that_is_not_so(
        setting in any_setting(),
        seconds in prop::collection::vec(any_second(), 1..90),
    ) {
        let mut world = World::of(setting.settings, setting.found).with(setting.lifecycle.clone());
        world.path = setting.path;
        let mut reported: Option<(Timestamp, Timestamp)> = None;
        for second in seconds {
            if let Some(load) = second.report {
                world.report(load, 0.0);
                let first = reported.map_or(world.now, |(first, _)| first);
                reported = Some((first, world.now));
            }
            world.observed = seen(second.ready, second.ready + second.starting);
            world.now = world.now.plus_millis(1_000 * (1 + second.silent_s));
            if second.restarts {
                world = world.restarted();
            }
            let (panic, last_desired) = (world.driver.policy().panic(), world.driver.desired());
            let told = world.tick();
            let facts = Facts {
                now: world.now,
                reported,
                panic: (panic, world.driver.policy().panic()),
                last_desired,
                found: world.observed.ready,
            };
            check(&world, &told, &facts)?;
        }
    }
}

/// The number that stands right after `before` in `words`.
fn number(words: &str, before: &str) -> Option<f64> {
    let (_, rest) = words.split_once(before)?;
    let end =
        rest.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '-').unwrap_or(rest.len());
    rest[..end].trim_end_matches('.').parse().ok()
}

fn check(
    world: &World<RevisionAutoscaler>,
    told: &Told,
    facts: &Facts,
) -> Result<(), TestCaseError> {
    let words = told.words();
    let Detail::Knative(trace) = &told.decision.explanation.detail else { unreachable!() };
    if told.decision.valid {
        prop_assert_eq!(words.split(' ').next(), Some(&*told.decision.desired.to_string()));
    } else {
        prop_assert!(words.starts_with("No decision: "), "{}", words);
    }
    grammar(&words)?;
    reports(&words, told, facts)?;
    figures(&words, trace, facts)?;
    panic(&words, facts)?;
    burst(&words, trace)?;
    replicas(&words, world, told, facts)
}

/// One is told of in the singular, and all else is not.
fn grammar(words: &str) -> Result<(), TestCaseError> {
    let bare = words.split([' ', ',', ':', ')']).map(|word| word.trim_end_matches('.'));
    let bare: Vec<&str> = bare.filter(|word| !word.is_empty()).collect();
    for pair in bare.windows(2) {
        let one = pair[0] == "1";
        let plural = ["instances", "requests", "are", "replicas"].contains(&pair[1]);
        let singular = ["instance", "request", "is"].contains(&pair[1]);
        let is_number = pair[0].parse::<f64>().is_ok();
        prop_assert!(!(one && plural), "{}", words);
        prop_assert!(!(is_number && !one && singular), "{}", words);
    }
    Ok(())
}

/// Silence and beginnings are those of the world.
fn reports(words: &str, told: &Told, facts: &Facts) -> Result<(), TestCaseError> {
    let yet = words.contains("nothing was reported yet");
    prop_assert_eq!(yet, !told.decision.valid && facts.reported.is_none(), "{}", words);
    if let Some(silent_s) = number(words, "nothing was reported for more than ") {
        let (_, last) = facts.reported.expect("something was reported");
        // It was reported in the middle of its second.
        let silent_ms = facts.now.millis_since(last.plus_millis(500)) as f64;
        let claimed_ms = silent_s * 1_000.0;
        prop_assert!(silent_ms > claimed_ms && silent_ms < claimed_ms + 2_000.0, "{}", words);
    }
    if let Some(known_s) = number(words, "over the ") {
        let (first, _) = facts.reported.expect("something was reported");
        let life_s = facts.now.millis_since(first.whole_second()).div_ceil(1_000);
        prop_assert!(known_s <= life_s as f64 && known_s < 60.0, "{}", words);
    }
    Ok(())
}

/// A reader who computes comes to what is said.
fn figures(words: &str, trace: &DecisionTrace, facts: &Facts) -> Result<(), TestCaseError> {
    let reason = words.split(". ").next().unwrap_or(words);
    let load = ["while ", ": "].iter().find_map(|before| {
        let value = number(reason, before)?;
        reason.split_once(before)?.1.contains("in flight").then_some(value)
    });
    let each = number(reason, " at ");
    let needed = number(reason, " need ").or_else(|| number(reason, " needs "));
    if let (Some(load), Some(each), Some(needed)) = (load, each, needed) {
        prop_assert_eq!((load / each).ceil(), needed, "{}", words);
        let signals = trace.inputs.signals.as_slice();
        let near = |value: f64| (value - load).abs() <= 0.005 + value * 1e-9;
        prop_assert!(signals.iter().any(|s| near(s.stable) || near(s.panic)), "{}", words);
    }
    if let Some(at_most) = number(reason, "ready may become at most ") {
        prop_assert_eq!(at_most, f64::from(trace.steps.limit_up), "{}", words);
        let ready = number(reason, ", but ");
        prop_assert_eq!(ready, Some(f64::from(facts.found)), "{}", words);
    }
    if let Some(least) = number(reason, "keeps at least ") {
        prop_assert_eq!(least, f64::from(facts.panic.1.max_instances), "{}", words);
    }
    Ok(())
}

fn panic(words: &str, facts: &Facts) -> Result<(), TestCaseError> {
    let (before, after) = (facts.panic.0.since, facts.panic.1.since);
    let begins = before.is_none() && after.is_some();
    let ends = before.is_some() && after.is_none();
    prop_assert_eq!(words.contains("Panic begins"), begins, "{}", words);
    prop_assert_eq!(words.contains("Panic is over"), ends, "{}", words);
    if words.contains("in panic") || words.contains("panic, which") {
        prop_assert!(after.is_some(), "{}", words);
    }
    if let Some(rest_s) = number(words, "lasts for another ") {
        let since = after.expect("it lasts");
        prop_assert_eq!(facts.now.millis_since(since) as f64, 60_000.0 - rest_s * 1_000.0);
    }
    Ok(())
}

fn burst(words: &str, trace: &DecisionTrace) -> Result<(), TestCaseError> {
    let spec = &trace.inputs.spec;
    let load = trace.inputs.signals.as_slice().first().map_or(0.0, |signal| signal.panic);
    let capacity = f64::from(trace.observed().ready) * spec.total_value;
    let fits = capacity - load >= spec.target_burst_capacity;
    prop_assert!(!words.contains(" more fits now") || fits, "{}", words);
    prop_assert!(!words.contains(" more does not fit now") || !fits, "{}", words);
    prop_assert!(
        !words.contains("activators"),
        "no activator joins or leaves a path here: {}",
        words
    );
    Ok(())
}

/// What follows from the recommendation.
fn replicas(
    words: &str,
    world: &World<RevisionAutoscaler>,
    told: &Told,
    facts: &Facts,
) -> Result<(), TestCaseError> {
    let (before, after) = (told.followed.before, told.followed.replicas);
    if words.contains("The replicas are 0 already") {
        prop_assert_eq!((before, after), (0, 0), "{}", words);
    }
    if words.contains("the replicas become 0") {
        prop_assert!(before > 0 && after == 0, "{}", words);
    }
    if words.contains("The replicas stay as they are") {
        prop_assert_eq!(before, after, "{}", words);
    }
    if let Some(last) = number(words, "The last recommendation, ") {
        prop_assert_eq!(last, f64::from(facts.last_desired), "{}", words);
        prop_assert!(!told.decision.valid, "{}", words);
    }
    for (bound, said) in [
        (world.spec.bounds.min, "raised to the minimum scale of "),
        (world.spec.bounds.max, "lowered to the maximum scale of "),
        (world.spec.initial_scale, "raised to the initial scale of "),
        (world.spec.initial_scale.max(world.spec.bounds.min), "The revision starts with "),
    ] {
        if let Some(number) = number(words, said) {
            prop_assert_eq!((number, after), (f64::from(bound), bound), "{}", words);
        }
    }
    if words.contains("always in the path") {
        prop_assert_eq!(world.path, Path::ThroughActivator, "{}", words);
    }
    Ok(())
}
