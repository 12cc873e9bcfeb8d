//! What can be typed and read, and what is refused.

use crate::Desk;

const CLOSED: &str = "run --arrivals poisson:70 --service exp:100ms --concurrency 1 --queue \
                      central --policy fixed:10 --duration 600s --seed 1";

#[test]
fn the_closed_case_matches_its_formula() {
    let desk = Desk::new();
    let result = desk.json(&format!("{CLOSED} --json -"));
    let number = |path: &str| result.pointer(path).and_then(serde_json::Value::as_f64).unwrap();
    // M/M/10 at 70 a second of 100 ms: mean wait 7.39 ms, latency 107.39 ms. Ten minutes are
    // 42,000 requests, so the tolerance is wide; `sim validate` does it with ten million.
    assert!((number("/latency_ms/mean") - 107.39).abs() < 4.0, "{}", number("/latency_ms/mean"));
    assert!((number("/requests") / 42_000.0 - 1.0).abs() < 0.03);
    assert_eq!(number("/instances/mean"), 10.0);
    assert_eq!(number("/seed"), 1.0);
    for field in [
        "requests",
        "completed",
        "rejected",
        "timed_out",
        "cold_starts",
        "latency_ms",
        "wait_ms",
        "instances",
        "instance_seconds",
        "idle_share",
        "scale_events",
        "simulated_seconds",
        "wall_seconds",
        "requests_per_wall_second",
        "peak_rss_bytes",
        "seed",
        "trace_sha256",
        "settings",
        "revisions",
    ] {
        assert!(result.get(field).is_some(), "{field}");
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_one_does_not() {
    let desk = Desk::new();
    let run = |seed: u32| {
        let mut result = desk.json(&format!(
            "run --arrivals poisson:20 --service lognormal:200ms,300ms --concurrency 2 \
             --duration 300s --cold-start uniform:1s,3s --seed {seed} --json -"
        ));
        for machine in ["wall_seconds", "requests_per_wall_second", "peak_rss_bytes"] {
            result.as_object_mut().unwrap().remove(machine);
        }
        result.to_string()
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

#[test]
fn traces_bring_times_services_and_revisions() {
    let desk = Desk::new();
    desk.file("t.csv", "arrival,service,revision\n0,0.1,web\n1.5,0.2,api\n2,0.1,web\n");
    let result = desk.json("run --trace t.csv --json -");
    assert_eq!(result["requests"], 3);
    assert_eq!(result["completed"], 3);
    assert_eq!(result["revisions"][0]["revision"], "web");
    assert_eq!(result["revisions"][1]["requests"], 1);
    assert_eq!(result["trace_sha256"].as_str().unwrap().len(), 64);
}

#[test]
fn standard_input_is_a_trace_too() {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let mut child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(["sim", "run", "--trace", "-", "--json", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"arrival,service\n0,0.1\n1,0.1\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let result: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(result["requests"], 2);
}

#[test]
fn mistakes_are_refused_with_what_to_do() {
    let desk = Desk::new();
    desk.file("bad.csv", "arrival,service\n0,0.1\n1,soon\n");
    desk.file("odd.bin", "\u{80}nothing known");
    for (arguments, expected) in [
        ("run", "name a trace with --trace, or make some up with --arrivals"),
        ("run --arrivals poisson:5", "expected --duration"),
        ("run --arrivals poison:5 --duration 1s", "did you mean `poisson`?"),
        ("run --trace bad.csv", "bad.csv:3:3: expected a service time"),
        ("run --trace odd.bin", "expected the beginning of a known trace format"),
        ("run --trace nowhere.csv", "nowhere.csv: cannot read"),
        ("run --arrivals poisson:5 --duration 1s --set stable-windw=30s", "`stable-window`"),
        ("run --arrivals poisson:5 --duration 1s --set stable-window=1s", "stable-window"),
        ("run --arrivals poisson:5 --duration 1s --set target", "expected KEY=VALUE"),
        ("run --arrivals poisson:5 --duration 1s --policy fixed:x", "fixed:N"),
        ("run --arrivals poisson:5 --duration 1s --service gauss:1s", "unknown distribution"),
        (
            "run --arrivals poisson:5 --duration 1s --queue sideways",
            "auto, central or per-instance",
        ),
        ("run --arrivals poisson:5 --duration 1s --balance best", "least-loaded, first-available"),
        ("run --arrivals poisson:5 --duration 1s --victim newst", "did you mean `newest`?"),
        ("run --arrivals poisson:5 --duration 1s --policy tidgate", "did you mean `tidegate`?"),
        ("run --arrivals poisson:5 --duration 1s --service 2s", "write const:2s"),
        ("run --arrivals poisson:5 --duration 1s --service expp:2s", "did you mean `exp`?"),
        ("run --arrivals poisson:5 --duration 1s --service exp:", "one duration"),
        ("run --arrivals poisson:5 --duration -1s", "not below zero"),
        ("run --arrivals foo:1", "arrivals \"foo:1\": expected poisson"),
        ("run --arrivals poisson:5 --duration 1s --scale=-1", "expected a number above 0"),
        ("run --arrivals poisson:5 --duration soon", "expected a time such as 5s"),
        ("run --arrivals poisson:5 --duration 1s --format huawai", "did you mean `huawei"),
        ("sweep --arrivals poisson:5 --duration 1s --vary target", "NAME=VALUE"),
        ("recommend --arrivals poisson:5 --duration 1s --keep p99", "FIGURE<BOUND"),
        ("recommend --arrivals poisson:5 --duration 1s --keep p98<1s", "did you mean `p9"),
        ("compare --arrivals poisson:5 --duration 1s --variant a=b", "no setting `a`"),
        ("compare --arrivals poisson:5 --duration 1s --variant target=-1", "--variant target=-1: "),
        ("sweep --arrivals poisson:5 --duration 1s --vary tagret=1", "did you mean `target`?"),
        (
            "recommend --arrivals poisson:5 --duration 1s --keep p99<1s --vary tagret=1",
            "did you mean `target`?",
        ),
    ] {
        let error = desk.refuses(arguments);
        assert!(error.contains(expected), "{arguments}: {error}");
    }
}

#[test]
fn bad_rows_can_be_skipped_and_are_counted() {
    let desk = Desk::new();
    desk.file("bad.csv", "arrival,service\n0,0.1\n1,soon\n2,0.1\n");
    let output = desk.sim("run --trace bad.csv --skip-bad --json -");
    let note = String::from_utf8_lossy(&output.stderr);
    assert!(note.contains("left out 1 row that"), "{note}");
    let result: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(result["requests"], 2);
    let summary = desk.json("traffic --trace bad.csv --skip-bad --json -");
    assert_eq!(summary["rows_skipped"], 1);
}

#[test]
fn traffic_is_written_as_plain_rows_that_read_back_the_same() {
    let desk = Desk::new();
    let rows = desk.says("traffic --arrivals web=poisson:5 --duration 20s --csv -");
    desk.file("rows.csv", &rows);
    let first = desk.json("traffic --arrivals web=poisson:5 --duration 20s --json -");
    let again = desk.json("traffic --trace rows.csv --json -");
    assert_eq!(first["requests"], again["requests"]);
    assert_eq!(first["revisions"], again["revisions"]);
}
