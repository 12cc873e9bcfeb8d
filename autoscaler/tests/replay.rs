//! Replays scenario files and compares every number with what they expect, bit for bit.
//!
//! It reads the project's own scenarios and, if `TIDEGATE_SCENARIOS` names a directory, those in
//! there as well. The one interpreter of the format answers them.

#![expect(clippy::unwrap_used, reason = "a scenario that cannot be read fails the test")]

use std::path::{Path, PathBuf};

use serde_json::Value;
use tidegate_scenario::{Explains, Interpreter, Rules, Scenario};

/// Where weighted averages are in use the last bits depend on the platform's `pow`; everything else
/// is exact.
const WEIGHTED_TOLERANCE: f64 = 1e-9;

/// Why settings are refused, in Knative's words and in ours. That they are refused is `ok`.
const TEXTS: [&str; 2] = ["go_error", "errors"];

fn scenario_files() -> Vec<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cli/tests/scenarios");
    let named = std::env::var_os("TIDEGATE_SCENARIOS").map(PathBuf::from);
    let mut files = Vec::new();
    for directory in [Some(own), named].into_iter().flatten() {
        let entries = std::fs::read_dir(&directory).unwrap();
        files.extend(entries.map(|entry| entry.unwrap().path()));
    }
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    files
}

fn answer(text: &str) -> Value {
    let scenario = Scenario::split(text).remove(0).unwrap();
    let interpreter = Interpreter { rules: Rules::Knative, explains: Explains::No };
    let answer = interpreter.answer(&scenario, &mut |field| panic!("{field}"));
    serde_json::from_str(answer.unwrap().expected.get()).unwrap()
}

#[test]
fn every_scenario_is_answered_to_the_last_bit() {
    let (mut differences, mut replayed) = (Vec::new(), 0);
    for file in scenario_files() {
        let text = std::fs::read_to_string(&file).unwrap();
        let scenario: Value = serde_json::from_str(&text).unwrap();
        replayed += 1;
        let tolerance = if is_weighted(&scenario["input"]) { WEIGHTED_TOLERANCE } else { 0.0 };
        let before = differences.len();
        compare("expected", &scenario["expected"], &answer(&text), tolerance, &mut differences);
        if differences.len() > before {
            differences.insert(before, format!("{}:", file.display()));
        }
    }
    assert!(replayed > 0, "no scenario was found");
    println!("{replayed} scenarios replayed");
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

fn is_weighted(input: &Value) -> bool {
    let name = input["algorithm"].as_str().or(input["metric"]["algorithm"].as_str());
    name.is_some_and(|name| name.starts_with("weighted"))
}

fn compare(
    at: &str,
    expected: &Value,
    answer: &Value,
    tolerance: f64,
    differences: &mut Vec<String>,
) {
    match (expected, answer) {
        (Value::Object(expected), Value::Object(answer)) => {
            let more = answer.keys().filter(|key| !expected.contains_key(*key));
            for key in expected.keys().chain(more).filter(|key| !TEXTS.contains(&key.as_str())) {
                let get = |map: &serde_json::Map<_, _>| map.get(key).cloned().unwrap_or_default();
                let at = format!("{at}.{key}");
                compare(&at, &get(expected), &get(answer), tolerance, differences);
            }
        }
        (Value::Array(expected), Value::Array(answer)) => {
            if expected.len() != answer.len() {
                differences.push(format!("{at}: {} entries, not {}", answer.len(), expected.len()));
            }
            for (index, (expected, answer)) in expected.iter().zip(answer).enumerate() {
                compare(&format!("{at}[{index}]"), expected, answer, tolerance, differences);
            }
        }
        (Value::Number(wanted), Value::Number(given)) => {
            let (wanted, given) = (wanted.as_f64().unwrap(), given.as_f64().unwrap());
            let close = (wanted - given).abs() <= tolerance * wanted.abs();
            if wanted != given && !close {
                differences.push(format!("{at}: {given}, not {wanted}"));
            }
        }
        _ if expected == answer => {}
        _ => differences.push(format!("{at}: {answer}, not {expected}")),
    }
}
