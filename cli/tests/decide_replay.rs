//! Every scenario of the project, answered by `tidegate decide` and compared number for number.

#![expect(clippy::unwrap_used, reason = "what cannot be read or run fails the test")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// Where weighted averages are in use the last bits are free; everything else is exact.
const WEIGHTED_TOLERANCE: f64 = 1e-9;

const KINDS: [&str; 14] = [
    "annotations",
    "collector",
    "config",
    "kpa",
    "max_window",
    "pipeline",
    "request_stats",
    "resolve",
    "sample_size",
    "scale",
    "smoothing",
    "subset",
    "window",
    "wire",
];

fn scenario_files() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut files: Vec<PathBuf> =
        directory.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn decide(args: &[&str], files: &[PathBuf]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.arg("decide").args(args).args(files).output().unwrap()
}

fn answers(output: &Output) -> Vec<Value> {
    let text = std::str::from_utf8(&output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn is_weighted(scenario: &Value) -> bool {
    let input = &scenario["input"];
    ["window", "collector", "pipeline"].contains(&scenario["kind"].as_str().unwrap())
        && input.to_string().contains("weighted")
}

fn compare(at: &str, expected: &Value, answer: &Value, tolerance: f64) {
    match (expected, answer) {
        (Value::Object(expected), Value::Object(answer)) => {
            let names = |map: &serde_json::Map<String, Value>| {
                let mut names: Vec<String> = map.keys().cloned().collect();
                names.sort();
                names
            };
            assert_eq!(names(expected), names(answer), "{at}");
            for (name, value) in expected {
                compare(&format!("{at}.{name}"), value, &answer[name], tolerance);
            }
        }
        (Value::Array(expected), Value::Array(answer)) => {
            assert_eq!(expected.len(), answer.len(), "{at}");
            for (index, (expected, answer)) in expected.iter().zip(answer).enumerate() {
                compare(&format!("{at}[{index}]"), expected, answer, tolerance);
            }
        }
        (Value::Number(wanted), Value::Number(given)) if !wanted.is_i64() || !given.is_i64() => {
            let (wanted, given) = (wanted.as_f64().unwrap(), given.as_f64().unwrap());
            let close = (wanted - given).abs() <= tolerance * wanted.abs();
            assert!(wanted == given || close, "{at}: {given}, expected {wanted}");
        }
        _ => assert_eq!(expected, answer, "{at}"),
    }
}

#[test]
fn every_scenario_is_answered_as_expected() {
    let files = scenario_files();
    let output = decide(&[], &files);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let answers = answers(&output);
    assert_eq!(answers.len(), files.len());
    for (file, answer) in files.iter().zip(&answers) {
        let text = std::fs::read_to_string(file).unwrap();
        let scenario: Value = serde_json::from_str(&text).unwrap();
        for field in ["format", "name", "kind", "description", "base_unix_ms", "input"] {
            assert_eq!(scenario[field], answer[field], "{}: {field}", file.display());
        }
        let name = scenario["name"].as_str().unwrap();
        assert_eq!(file.file_stem().unwrap().to_str(), Some(name), "files bear their names");
        let tolerance = if is_weighted(&scenario) { WEIGHTED_TOLERANCE } else { 0.0 };
        compare(name, &scenario["expected"], &answer["expected"], tolerance);
    }
}

#[test]
fn every_kind_is_covered() {
    let mut kinds: Vec<String> = scenario_files()
        .iter()
        .map(|file| {
            let text = std::fs::read_to_string(file).unwrap();
            let scenario: Value = serde_json::from_str(&text).unwrap();
            scenario["kind"].as_str().unwrap().to_owned()
        })
        .collect();
    kinds.sort();
    kinds.dedup();
    assert_eq!(kinds, KINDS);
}

#[test]
fn an_answer_answers_itself() {
    let files = scenario_files();
    let first = decide(&[], &files);
    let directory = tempfile::tempdir().unwrap();
    let again = directory.path().join("answers.jsonl");
    std::fs::write(&again, &first.stdout).unwrap();
    let second = decide(&[], &[again]);
    assert!(first.stdout == second.stdout, "what was printed does not read back to itself");
}

#[test]
fn reasons_come_for_every_decision() {
    let files = scenario_files();
    let output = decide(&["--explain"], &files);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for answer in answers(&output) {
        let name = answer["name"].as_str().unwrap();
        let reasons = answer["explanations"].as_array().unwrap();
        assert!(!reasons.is_empty(), "{name}");
        assert!(reasons.iter().all(|reason| !reason.as_str().unwrap().is_empty()), "{name}");
        for list in ["ticks", "reconciles", "cases", "results", "current", "sizes", "reports"] {
            if let Some(decisions) = answer["expected"][list].as_array() {
                assert_eq!(reasons.len(), decisions.len(), "{name}: {list}");
            }
        }
    }
}
