//! Replays scenario files and compares every number with what they expect, bit for bit.
//!
//! It reads the project's own scenarios and, if `TIDEGATE_SCENARIOS` names a directory, those in
//! there as well. The replay is written against the public API only.

#![expect(clippy::unwrap_used, reason = "a scenario that cannot be read fails the test")]

#[path = "replay/collector.rs"]
mod collector;
#[path = "replay/json.rs"]
mod json;
#[path = "replay/pipeline.rs"]
mod pipeline;
#[path = "replay/scale.rs"]
mod scale;
#[path = "replay/windows.rs"]
mod windows;

use std::path::{Path, PathBuf};

use serde_json::Value;

/// The kinds that are about decisions; others belong to other replays.
fn replay(kind: &str, base: i64, input: &Value) -> Option<Value> {
    Some(match kind {
        "window" => windows::window(base, input),
        "max_window" => windows::max_window(base, input),
        "smoothing" => windows::smoothing(input),
        "sample_size" => windows::sample_size(input),
        "scale" => scale::replay(base, input),
        "collector" => collector::replay(base, input),
        "pipeline" => pipeline::replay(base, input),
        _ => return None,
    })
}

fn scenario_files() -> Vec<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cli/tests/scenarios");
    let named = std::env::var_os("TIDEGATE_SCENARIOS").map(PathBuf::from);
    let mut files = Vec::new();
    for directory in [Some(own), named].into_iter().flatten() {
        let Ok(entries) = std::fs::read_dir(&directory) else { continue };
        files.extend(entries.map(|entry| entry.unwrap().path()));
    }
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    files
}

#[test]
fn every_scenario_is_answered_to_the_last_bit() {
    let (mut differences, mut replayed) = (Vec::new(), 0);
    for file in scenario_files() {
        let text = std::fs::read_to_string(&file).unwrap();
        let scenario: Value = serde_json::from_str(&text).unwrap();
        let base = scenario["base_unix_ms"].as_i64().unwrap_or(0);
        let kind = scenario["kind"].as_str().unwrap();
        let Some(answer) = replay(kind, base, &scenario["input"]) else { continue };
        replayed += 1;
        let weighted = json::is_weighted(&scenario["input"]);
        let before = differences.len();
        json::compare("expected", &scenario["expected"], &answer, weighted, &mut differences);
        if differences.len() > before {
            differences.insert(before, format!("{}:", file.display()));
        }
    }
    assert!(replayed > 0, "no scenario was found");
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
