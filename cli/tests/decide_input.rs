//! What `tidegate decide` says to input of every other kind.

#![expect(clippy::unwrap_used, reason = "what cannot be read or run fails the test")]

use std::io::Write;
use std::process::{Command, Output, Stdio};

fn decide_with(args: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .arg("decide")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The child may refuse before it has read everything.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

fn decide(input: &str) -> Output {
    decide_with(&["-"], input.as_bytes())
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(!text.contains("panicked"), "{text}");
    text
}

fn refused(input: &str) -> String {
    let output = decide(input);
    assert_eq!(output.status.code(), Some(2), "{input}: {}", stderr(&output));
    stderr(&output)
}

const SIZES: &str = r#"{"kind": "sample_size", "input": {"populations": [100]}}"#;

#[test]
fn faults_name_file_and_field() {
    let cases = [
        ("", "<stdin>: no scenario in it"),
        ("{", "<stdin>: not JSON: EOF"),
        ("7", "expected a scenario, which is an object"),
        (r#"{"input": {}}"#, "<stdin>: kind: missing"),
        (r#"{"kind": "scale"}"#, "<stdin>: input: missing"),
        (
            r#"{"kind": "scale", "inptu": {}}"#,
            "input: missing, expected an object; most likely `inptu` is meant to be it",
        ),
        (
            r#"{"knd": "scale", "input": {}}"#,
            "kind: missing, expected a kind of scenario; most likely `knd` is meant to be it",
        ),
        (r#"{"kind": "scale", "input": 3}"#, "<stdin>: input: invalid type: integer"),
        (r#"{"kind": "sale", "input": {}}"#, "kind: unknown kind \"sale\", expected one of window"),
        (
            r#"{"kind": "kpa", "input": {"events": [{"sks": 3}]}}"#,
            "input.events[0].sks: invalid type: integer `3`, expected an object",
        ),
        (
            r#"{"kind": "resolve", "input": {"cases": [{"config": {"max-scale": 3}}]}}"#,
            "input.cases[0].config.max-scale: invalid type: integer `3`, expected a string",
        ),
        (r#"{"kind": 1, "input": {}}"#, "kind: invalid type"),
        (r#"{"format": 2, "kind": "scale", "input": {}}"#, "format: version 2, expected 1"),
        (r#"{"kind": "scale", "kind": "scale", "input": {}}"#, "\"kind\" is there twice"),
        (r#"{"base_unix_ms": 1e3, "kind": "scale", "input": {}}"#, "base_unix_ms: "),
        (r#"{"base_unix_ms": 9e18, "kind": "scale", "input": {}}"#, "base_unix_ms: "),
        (
            r#"{"kind": "scale", "input": {"ticks": [{}, {"ready": "many"}]}}"#,
            "<stdin>: input.ticks[1].ready: invalid type: string \"many\", expected u32",
        ),
        (r#"{"kind": "scale", "input": {"ticks": [{"ready": -1}]}}"#, "input.ticks[0].ready: "),
        (
            r#"{"kind": "scale", "input": {"ticks": [{"ready_error": "gone"}]}}"#,
            "input.ticks[0].ready_error: found \"gone\", expected not_found or other",
        ),
        (
            r#"{"kind": "collector", "input": {"metric": {"stable_window_ms": 60000,
                "panic_window_ms": 6000}, "events": [{"t_ms": 1, "type": "recrod"}]}}"#,
            "input.events[0].type: found \"recrod\", expected record, ready, spec, metric, \
             delete_metric or tick; did you mean `record`?",
        ),
        (
            r#"{"kind": "kpa", "input": {"config": {"stable-window": "1s", "max-scale": "x"}}}"#,
            "input.config: stable-window is \"1s\", expected whole seconds from 6s to 1h0m0s; \
             max-scale is \"x\", expected",
        ),
        (
            r#"{"kind": "resolve", "input": {"cases": [{}, {"config": {"min-scale": "-1"}}]}}"#,
            "input.cases[1].config: min-scale is \"-1\"",
        ),
        (
            r#"{"kind": "request_stats", "input": {"events": [{"type": "in"}, {"type": "out"},
                {"type": "proxied_out"}]}}"#,
            "input.events[2].type: a request leaves, but no such request is inside",
        ),
        (
            r#"{"kind": "subset", "input": {"owners": [{"buckets": 0, "keys": []}]}}"#,
            "input.owners[0].buckets: 0 buckets, expected 1 to 2048",
        ),
        (r#"{"kind": "smoothing", "input": {"buckets": [0]}}"#, "input.buckets[0]: "),
    ];
    for (input, expected) in cases {
        let message = refused(input);
        assert!(message.contains(expected), "{input}\nsays {message}expected {expected}");
    }
}

#[test]
fn absurd_sizes_are_refused_instead_of_allocated() {
    let cases = [
        r#"{"kind": "window", "input": {"window_ms": 18446744073709551615,
            "granularity_ms": 1000}}"#,
        r#"{"kind": "window", "input": {"window_ms": 60000}}"#,
        r#"{"kind": "window", "input": {"window_ms": 60000, "granularity_ms": 1}}"#,
        r#"{"kind": "window", "input": {"window_ms": 60000, "granularity_ms": 7000}}"#,
        r#"{"kind": "window", "input": {"granularity_ms": 1000}}"#,
        r#"{"kind": "window", "input": {"window_ms": 6000, "granularity_ms": 1000,
            "ops": [{"op": "resize", "window_ms": 99999999999}]}}"#,
        r#"{"kind": "window", "input": {"window_ms": 6000, "granularity_ms": 1000,
            "ops": [{"op": "query", "t_ms": 9223372036854775807}]}}"#,
        r#"{"kind": "max_window", "input": {"duration_ms": 1e18, "granularity_ms": 2000}}"#,
        r#"{"kind": "max_window", "input": {"duration_ms": 999999999999999,
            "granularity_ms": 2000}}"#,
        r#"{"kind": "max_window", "input": {"duration_ms": 5, "granularity_ms": 0}}"#,
        r#"{"kind": "scale", "input": {"spec": {"scale_down_delay_ms": 18446744073709551615}}}"#,
        r#"{"kind": "collector", "input": {"metric": {"stable_window_ms": 99999999999,
            "panic_window_ms": 6000}}}"#,
        r#"{"kind": "collector", "input": {}}"#,
        r#"{"kind": "pipeline", "input": {"metric": {"stable_window_ms": 60000,
            "panic_window_ms": 6000}, "duration_ms": 4000000000000000}}"#,
        r#"{"kind": "subset", "input": {"owners": [{"buckets": 4000000000, "keys": ["a"]}]}}"#,
        r#"{"kind": "request_stats", "input": {"start_us": 9223372036854775807}}"#,
    ];
    for input in cases {
        let message = refused(input);
        assert!(message.contains("input"), "{input}\nsays {message}");
    }
    let many: Vec<String> = (0..2049).map(|n| format!("\"{n}\"")).collect();
    let input = format!(
        r#"{{"kind": "subset", "input": {{"choices": [{{"from": [{}], "n": 1}}]}}}}"#,
        many.join(",")
    );
    assert!(refused(&input).contains("input.choices[0].from: subset: 2049 candidates"));
}

#[test]
fn absurd_numbers_are_answered_or_refused_but_never_a_panic() {
    let spec = r#"{"max_scale_up_rate": 1e308, "max_scale_down_rate": 1e-308, "target_value": 0,
        "total_value": 1e308, "target_burst_capacity": 1e308, "activator_capacity": 0,
        "panic_threshold": -1e308, "stable_window_ms": 18446744073709551615,
        "initial_scale": 2147483647, "activation_scale": 2147483647, "reachable": true}"#;
    let crowd = r#"{"count": 4294967295, "start_ms": -4503599627370496,
        "stat": {"c": 1e15, "pc": 0, "r": 1e15, "pr": 1e15}}"#;
    let scale = format!(
        r#"{{"kind": "scale", "input": {{"initial_ready": 4294967295, "spec": {spec},
            "min_scale": -2147483648, "max_scale": -1, "ticks": [
            {{"t_ms": 4503599627370496, "ready": 4294967295, "stable": 1e308, "panic": -1e308}},
            {{"t_ms": -4503599627370496, "ready": 0, "stable": -1e308, "panic": 1e308}}]}}}}"#
    );
    let pipeline = format!(
        r#"{{"kind": "pipeline", "input": {{"metric": {{"stable_window_ms": 60000,
            "panic_window_ms": 6000, "scrape": true}}, "spec": {spec}, "duration_ms": 9000,
            "frames": [{{"t_ms": 0, "pods": [{crowd}, {crowd}]}},
            {{"t_ms": 5000, "pods": [{{"count": 4294967295, "fail": "mesh"}}]}}],
            "activator": [{{"t_ms": 10, "c": 1e15}}]}}}}"#
    );
    let kpa = r#"{"kind": "kpa", "input": {"initial_replicas": -2147483648,
        "progress_deadline_ms": 9223372036854775807, "events": [
        {"t_ms": -4503599627370496, "decider_desired": 2147483647, "ready": 4294967295},
        {"t_ms": 4503599627370496, "decider_desired": -2147483648, "ready": 4294967295},
        {"t_ms": 0, "decider_desired": 0, "sks": {"activator_populated_since_ms": 4503599627370496}}
        ]}}"#;
    let window = r#"{"kind": "window", "input": {"window_ms": 5000, "granularity_ms": 1000, "ops": [
        {"op": "record", "t_ms": 4503599627370496, "value": 1e308},
        {"op": "record", "t_ms": 4503599627370496, "value": 1e308},
        {"op": "record", "t_ms": -4503599627370496, "value": 1e308},
        {"op": "query", "t_ms": 4503599627370496}]}}"#;
    let stats = r#"{"kind": "request_stats", "input": {"start_us": -4503599627370496, "events": [
        {"t_us": 4503599627370496, "type": "in"}, {"t_us": 0, "type": "report"}]}}"#;
    for input in [scale.as_str(), pipeline.as_str(), kpa, window, stats] {
        let output = decide(input);
        let code = output.status.code();
        assert!(matches!(code, Some(0 | 2)), "{input}: {code:?} {}", stderr(&output));
        stderr(&output);
    }
    assert!(refused(window).contains("is inf, which JSON cannot write"));
}

#[test]
fn garbage_of_any_kind_is_refused() {
    for input in [&b"\xff\xfe\x00"[..], b"\0\0\0", b"]]]]", b"\"kind\"", b"[1, 2", b"nulls"] {
        let output = decide_with(&["-"], input);
        assert_eq!(output.status.code(), Some(2), "{input:?}: {}", stderr(&output));
    }
    let deep = "[".repeat(200_000);
    assert!(refused(&deep).contains("not JSON"));
    let nested =
        format!(r#"{{"kind": "scale", "input": {}1{}}}"#, "[".repeat(500), "]".repeat(500));
    assert!(refused(&nested).contains("input: recursion limit"));
}

#[test]
fn several_scenarios_in_one_input_are_told_apart() {
    let broken = r#"{"kind": "scale", "input": {"ticks": 1}}"#;
    for input in [
        format!("{SIZES}\n{broken}\n{SIZES}\n"),
        format!("{SIZES}{broken}{SIZES}"),
        format!("[{SIZES}, {broken}, {SIZES}]"),
        format!("\u{feff}{SIZES} [{broken}] {SIZES}"),
    ] {
        let output = decide(&input);
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(stdout(&output).lines().count(), 2, "the others are answered all the same");
        assert!(stderr(&output).contains("<stdin> (scenario 2): input.ticks: "), "{input}");
    }
}

#[test]
fn fields_pass_through_in_their_order_and_letter_by_letter() {
    let input = r#"{ "note": "a \" b  c" , "expected": {"old": 1}, "kind": "sample_size",
        "input": {"populations": [ 4, 10 ]}, "weight": 1.50e+3, "more": {"z": 1, "a": [ ]} }"#;
    let expected = [
        r#"{"note": "a \" b  c", "expected": {"sizes":[4,7]}, "kind": "sample_size", "#,
        r#""input": {"populations":[4,10]}, "weight": 1.50e+3, "more": {"z":1,"a":[]}}"#,
    ];
    assert_eq!(stdout(&decide(input)).trim_end(), expected.concat());
    let explained = decide_with(&["--explain", "-"], SIZES.as_bytes());
    let expected = [
        r#"{"kind": "sample_size", "input": {"populations":[100]}, "expected": {"sizes":[14]}, "#,
        r#""explanations": ["14 of 100 instances are asked"]}"#,
    ];
    assert_eq!(stdout(&explained).trim_end(), expected.concat());
}

#[test]
fn unknown_fields_are_warned_about() {
    let output = decide(
        r#"{"kind": "scale", "input": {"spec": {"target_value": 1, "total_value": 1},
            "ticks": [{"redy": 3}]}}"#,
    );
    assert!(output.status.success());
    assert_eq!(
        stderr(&output),
        "tidegate decide: warning: <stdin>: input.ticks[0].redy: ignored, because there is no such \
         field; did you mean `ready`?\n"
    );
}

#[test]
fn a_misspelt_base_is_warned_about_and_remarks_are_not() {
    let with = |field: &str| {
        let input = format!(r#"{{"{field}": 5, "kind": "sample_size", "input": {{}}}}"#);
        stderr(&decide(&input))
    };
    assert!(with("base_unix_msec").contains("did you mean `base_unix_ms`?"));
    for remark in ["note", "weight", "ticket", "answer", "base_unix_ms"] {
        assert_eq!(with(remark), "", "{remark}");
    }
}

#[test]
fn the_same_slip_in_a_thousand_ticks_is_not_a_thousand_lines() {
    let ticks = vec![r#"{"redy": 3}"#; 1_000].join(", ");
    let input = format!(r#"{{"kind": "scale", "input": {{"ticks": [{ticks}], "spek": {{}}}}}}"#);
    let output = decide(&input);
    assert!(output.status.success());
    let warnings = stderr(&output);
    assert_eq!(warnings.lines().count(), 11, "{warnings}");
    assert!(warnings.contains("input.spek: ") && warnings.contains("did you mean `spec`?"));
    assert!(warnings.ends_with("warning: <stdin>: 991 more fields were ignored\n"), "{warnings}");
}

#[test]
fn unknown_settings_are_reported() {
    let typed = r#"{"kind": "config", "input": {"cases": [{"max-scal": "3", "_example": "x"}]}}"#;
    let told = stdout(&decide_with(&["--explain", "-"], typed.as_bytes()));
    assert!(told.contains(r#""explanations": ["accepted; unknown: max-scal"]"#), "{told}");
    let typed = r#"{"kind": "annotations", "input": {"cases": [{"annotations":
        {"autoscaling.knative.dev/minscale": "3", "other/minscale": "3"}}]}}"#;
    let told = stdout(&decide_with(&["--explain", "-"], typed.as_bytes()));
    assert!(told.contains("accepted; unknown: autoscaling.knative.dev/minscale\"]"));
}

#[test]
fn null_means_absent() {
    let output = decide(
        r#"{"kind": "pipeline", "input": {"metric": {"stable_window_ms": 6000,
            "panic_window_ms": 1000, "algorithm": null}, "frames": null, "activator": null,
            "spec": {"target_value": 1, "total_value": 1, "reachable": null},
            "duration_ms": 1000}}"#,
    );
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stdout(&output).contains(r#""scrapes":[{"t_ms":1000,"stat":null,"error":""}]"#));
}

#[test]
fn settings_files_are_scenarios_of_their_own() {
    let directory = tempfile::tempdir().unwrap();
    let manifest = directory.path().join("config-autoscaler.yaml");
    std::fs::write(
        &manifest,
        "kind: ConfigMap\nmetadata: {name: config-autoscaler}\ndata:\n  max-scale: \"5\"\n",
    )
    .unwrap();
    let flat = directory.path().join("settings.toml");
    std::fs::write(&flat, "stable-window = \"5s\"\npanic-threshold-percentage = 90\n").unwrap();
    let broken = directory.path().join("broken.yml");
    std::fs::write(&broken, "a: b: c\n").unwrap();
    let paths = [&manifest, &flat, &broken].map(|path| path.to_str().unwrap());
    let output = decide_with(&paths, b"");
    assert_eq!(output.status.code(), Some(2));
    let text = stdout(&output);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2);
    assert!(lines[0].contains(r#""ok":true"#) && lines[0].contains(r#""max_scale":5"#));
    assert!(lines[1].contains(r#""ok":false"#) && lines[1].contains("stable-window is"));
    assert!(stderr(&output).contains("broken.yml: settings file: "));
}

#[test]
fn misspelt_keys_of_a_settings_file_are_warned_about() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config-autoscaler.yaml");
    let text = "kind: ConfigMap\ndata: {maxscale: \"5\", stable-windw: 30s, _example: x}\n";
    std::fs::write(&file, text).unwrap();
    let output = decide_with(&[file.to_str().unwrap()], b"");
    assert!(output.status.success(), "{}", stderr(&output));
    let warnings = stderr(&output);
    assert!(warnings.contains("`maxscale`; did you mean `max-scale`?"), "{warnings}");
    assert!(warnings.contains("`stable-windw`; did you mean `stable-window`?"), "{warnings}");
    assert_eq!(warnings.lines().count(), 2, "{warnings}");
}

#[test]
fn tidegates_own_rules_are_asked_for() {
    // Four instances report nothing for just a window: Knative sees a load of zero.
    let silence = r#"{"kind": "collector", "input": {"initial_ready": 4,
        "metric": {"stable_window_ms": 60000, "panic_window_ms": 6000, "scrape": true},
        "spec": {"max_scale_up_rate": 10, "max_scale_down_rate": 2, "target_value": 70,
            "total_value": 100, "target_burst_capacity": -1, "activator_capacity": 100,
            "panic_threshold": 2, "stable_window_ms": 6000, "reachable": true},
        "events": [{"t_ms": 500, "type": "record", "stat": {"c": 250}},
            {"t_ms": 60500, "type": "tick"}]}}"#;
    let desired = |args: &[&str]| {
        let output = decide_with(args, silence.as_bytes());
        assert!(output.status.success(), "{}", stderr(&output));
        let answer: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
        answer["expected"]["ticks"][0]["desired"].as_i64().unwrap()
    };
    assert_eq!(desired(&["-"]), 2);
    assert_eq!(desired(&["--tidegate", "-"]), 4);
    let lax = r#"{"kind": "config", "input": {"cases": [{"panic-threshold-percentage": "90"}]}}"#;
    assert!(stdout(&decide(lax)).contains(r#""ok":true"#));
    let told = stdout(&decide_with(&["--explain", "-"], lax.as_bytes()));
    assert!(
        told.contains("accepted by Knative; Tidegate itself refuses: panic-threshold"),
        "{told}"
    );
    let strict = decide_with(&["--tidegate", "-"], lax.as_bytes());
    assert!(stdout(&strict).contains(r#""ok":false"#));
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let output = decide_with(&["/nowhere/at-all.json", "/"], b"");
    assert_eq!(output.status.code(), Some(2));
    let message = stderr(&output);
    assert!(message.contains("/nowhere/at-all.json: "), "{message}");
    assert!(message.contains("tidegate decide: /: "), "{message}");
    assert_eq!(decide_with(&[], b"").status.code(), Some(2), "a file must be named");
}
