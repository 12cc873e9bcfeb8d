//! The command that a recorded run ends with could not be pasted: a window of 90 s was written
//! `1m 30s`, two words to a shell, and a path with a blank in it was two words as well.

use std::process::Command;

use crate::{running::get, start};

#[test]
fn the_replay_that_is_printed_can_be_pasted() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let path = folder.path().join("it's my trace.jsonl");
    let path = path.to_str().expect("text");
    let settings = ["--window", "90s", "--idle", "1m15s", "--set", "target-burst-capacity=5"];
    let recorded = ["--listen", "0", "--record", path];
    let mut run = start(&[recorded.as_slice(), settings.as_slice()].concat());
    run.wait_for("is ready");
    assert_eq!(get(&run.address()).expect("a response").status, 200);
    run.signal("INT");
    assert_eq!(run.wait_for_exit(), Some(0));
    let output = run.output();
    let (_, replay) = output.split_once("replay with: tidegate ").expect("it is said");
    let replay = replay.lines().next().expect("a line");
    let script = format!("exec \"$0\" {replay} --json -");
    let response = Command::new("sh")
        .args(["-c", &script, env!("CARGO_BIN_EXE_tidegate")])
        .output()
        .expect("a shell");
    let error = String::from_utf8_lossy(&response.stderr);
    assert!(response.status.success(), "{replay}: {error}");
    let result: serde_json::Value = serde_json::from_slice(&response.stdout).expect("JSON");
    assert_eq!(result["requests"], 1, "{replay}");
    // The recording says under which settings it was made: they need not be typed again.
    let settings = &result["settings"];
    assert_eq!(settings["set"]["stable-window"], "90000ms", "{settings}");
    assert_eq!(settings["set"]["target-burst-capacity"], "5", "{settings}");
    assert_eq!(settings["local_idle_s"], 75.0, "{settings}");
    assert_eq!(settings["policy"], "tidegate", "{settings}");
}
