//! What happens when several things of a pipeline happen at one time.
//!
//! The story: there were two interpreters of the format, and they disagreed about an activator's
//! report at the very time the decisions begin. One let the report come first: a decider that was
//! not there yet decided, entered panic, and then began from nothing, so the panic was lost. Equal
//! to Knative's the two were all the same, because a Knative decider that never decided is not
//! woken; Tidegate's is. The reference says that the status a report is held against is that of
//! the decider's construction, so the beginning comes first.

#![expect(clippy::unwrap_used, reason = "a scenario that cannot be answered fails the test")]

use serde_json::Value;
use tidegate_scenario::{Explains, Interpreter, Rules, Scenario};

/// Decisions begin at 250 ms with one instance; 60 requests are reported at `REPORT` milliseconds.
const SCENARIO: &str = r#"{"kind": "pipeline", "input": {
    "metric": {"stable_window_ms": 60000, "panic_window_ms": 6000},
    "spec": {"max_scale_up_rate": 1000, "max_scale_down_rate": 2, "target_value": 10,
             "total_value": 10, "target_burst_capacity": 100, "activator_capacity": 100,
             "panic_threshold": 2, "stable_window_ms": 60000, "reachable": true},
    "scaler_start_ms": 250, "duration_ms": 3000,
    "frames": [{"t_ms": 250, "pods": [{"count": 1, "start_ms": 250}]}],
    "activator": [{"t_ms": REPORT, "c": 60, "r": 60}]}}"#;

fn answer(rules: Rules, report_ms: &str) -> Value {
    let text = SCENARIO.replace("REPORT", report_ms);
    let scenario = Scenario::split(&text).remove(0).unwrap();
    let interpreter = Interpreter { rules, explains: Explains::No };
    let answer = interpreter.answer(&scenario, &mut |field| panic!("{field}"));
    serde_json::from_str(answer.unwrap().expected.get()).unwrap()
}

/// Time, recommendation and panic of each decision.
fn decisions(answer: &Value) -> Vec<(i64, i64, bool)> {
    let ticks = answer["ticks"].as_array().unwrap().iter();
    let of = |tick: &Value| {
        let panics = tick["in_panic"].as_bool().unwrap();
        (tick["t_ms"].as_i64().unwrap(), tick["desired"].as_i64().unwrap(), panics)
    };
    ticks.map(of).collect()
}

#[test]
fn a_report_at_the_beginning_finds_a_decider() {
    let answer = answer(Rules::Tidegate, "250");
    // The panic that the report causes is remembered at the next tick.
    assert_eq!(decisions(&answer), [(250, 6, true), (2250, 6, true)]);
    assert_eq!(answer["initial"]["status_desired"], -1);
    assert_eq!(answer["informs"], serde_json::json!([250]));
}

#[test]
fn a_report_before_the_beginning_is_load_and_no_cause_to_decide() {
    for rules in [Rules::Knative, Rules::Tidegate] {
        let decisions = decisions(&answer(rules, "249"));
        assert_eq!(decisions.iter().map(|(t_ms, ..)| *t_ms).collect::<Vec<_>>(), [2250]);
    }
}

#[test]
fn knatives_decider_waits_for_its_first_tick_in_either_case() {
    assert_eq!(decisions(&answer(Rules::Knative, "250")).first().unwrap().0, 2250);
}

#[test]
fn a_scrape_at_the_time_of_a_tick_counts() {
    // The scraped load is there at 2250 ms only if the scrape of that time came first.
    let text = r#"{"kind": "pipeline", "input": {
        "metric": {"stable_window_ms": 60000, "panic_window_ms": 6000, "scrape": true},
        "spec": {"max_scale_up_rate": 1000, "max_scale_down_rate": 2, "target_value": 10,
                 "total_value": 10, "panic_threshold": 2, "stable_window_ms": 60000,
                 "reachable": true},
        "collector_start_ms": 1250, "scaler_start_ms": 250, "duration_ms": 2250,
        "frames": [{"t_ms": 2250, "pods": [{"count": 1, "stat": {"c": 30}}]}]}}"#;
    let scenario = Scenario::split(text).remove(0).unwrap();
    let interpreter = Interpreter { rules: Rules::Knative, explains: Explains::No };
    let answer = interpreter.answer(&scenario, &mut |_| {}).unwrap();
    let answer: Value = serde_json::from_str(answer.expected.get()).unwrap();
    assert_eq!(decisions(&answer), [(2250, 3, true)]);
}
