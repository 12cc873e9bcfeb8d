//! `tidegate demo` as a new user runs it: real processes, from zero and back.

use std::process::Command;

use serde_json::Value;

/// The built program with these arguments: standard output, and whether it succeeded.
fn tidegate(arguments: &[&str]) -> (String, bool) {
    let output = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(arguments)
        .output()
        .expect("the program starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!errors.contains("panicked"), "{errors}");
    (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.success())
}

#[test]
fn a_short_demo_loses_nothing_keeps_the_limit_and_returns_to_zero() {
    let (output, success) = tidegate(&["demo", "--duration", "6s", "-c", "2", "--json"]);
    let summary: Value = serde_json::from_str(&output).expect("one JSON object");
    assert!(success, "{output}");
    let number = |name: &str| summary[name].as_u64().expect("a number");
    assert!(number("requests") > 50);
    assert_eq!((number("lost"), number("answered")), (0, number("requests")));
    assert!(number("cold_starts") > 0, "it began at zero");
    assert!((1..=2).contains(&number("most_in_one_instance")));
    assert_eq!(summary["ended_at_zero"], true);
    assert!(summary["instances"]["max"].as_u64() >= Some(2), "the burst needs several");
    let decisions = summary["decisions"].as_array().expect("a list");
    assert_eq!(decisions.last().expect("at least two")["desired"], 0);
    assert!(decisions.iter().all(|decision| decision["reason"] != ""));
    assert!(summary["predicted"]["instances"]["mean"].as_f64() > Some(0.0));
}

#[test]
fn what_cannot_be_understood_is_refused_before_anything_starts() {
    for arguments in [
        &["demo", "--duration", "1s"][..],
        &["demo", "--duration", "soon"],
        &["demo", "-c", "0"],
        &["demo", "--max", "-1"],
        &["demo", "--quick", "--duration", "60s"],
        &["demo", "--no-such-flag"],
    ] {
        let (output, success) = tidegate(arguments);
        assert!(!success && output.is_empty(), "{arguments:?}: {output}");
    }
}
