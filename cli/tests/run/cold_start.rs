//! Where the time of a cold start went, told in every place by one run.

use std::process::Command;

use crate::running::{Running, get};
use crate::start;

const TIDEGATE: &str = env!("CARGO_BIN_EXE_tidegate");

/// The phases of a process on this machine, in their order.
const PHASES: [&str; 8] =
    ["decide", "actuate", "start", "listen", "ready", "forward", "respond", "cold-start"];

fn stdout(arguments: &[&str]) -> String {
    let output = Command::new(TIDEGATE).args(arguments).output().expect("it can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("it is text")
}

/// Where the controller of a run listens, as it prints.
fn controller(run: &Running) -> String {
    let output = run.output();
    let (_, rest) = output.split_once("--controller ").expect("it is printed");
    rest.lines().next().unwrap_or_default().trim().to_owned()
}

#[test]
fn a_cold_start_is_told_by_header_terminal_explain_recording_and_picture() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("text").to_owned();
    let (recording, picture, page) = (path("cold.jsonl"), path("cold.svg"), path("page.html"));
    let settings = ["--listen", "0", "--initial", "0", "--server-timing", "-v"];
    let mut run = start(&[&settings[..], &["--record", &recording]].concat());
    let cold = get(&run.address()).expect("a response");
    let timing = cold.header("server-timing").expect("it was asked for");
    let told: Vec<&str> =
        timing.split(", ").filter_map(|entry| Some(entry.split_once(";dur=")?.0)).collect();
    assert_eq!(told, PHASES, "{timing}");
    let warm = get(&run.address()).expect("a response");
    assert_eq!(warm.header("server-timing"), None);
    run.wait_for("sh-1: cold start of ");
    let asked = ["explain", "--controller", &controller(&run), "sh"];
    let explained = stdout(&asked);
    assert!(explained.contains("  local/sh  sh-1  cold start of "), "{explained}");
    let json = stdout(&[&asked[..], &["--cold-starts", "--json"]].concat());
    let json: serde_json::Value = serde_json::from_str(&json).expect("one object");
    let phases = json["phases_us"].as_object().expect("an object");
    let sum: u64 = phases.values().filter_map(serde_json::Value::as_u64).sum();
    assert_eq!((phases.len(), json["total_us"].as_u64()), (7, Some(sum)), "{json}");
    run.signal("INT");
    assert_eq!(run.wait_for_exit(), Some(0));

    let fitted = stdout(&["sim", "fit", "--trace", &recording, "--waterfall", &picture]);
    assert!(fitted.contains("1 request that met no ready instance"), "{fitted}");
    assert!(fitted.contains("the app begins to listen"), "{fitted}");
    let drawn = std::fs::read_to_string(picture).expect("it was written");
    assert!(drawn.starts_with("<svg") && drawn.contains("sh-1: cold start of "), "{drawn}");
    stdout(&["sim", "run", "--quiet", "--trace", &recording, "--html", &page]);
    let page = std::fs::read_to_string(page).expect("it was written");
    assert!(page.contains("Cold starts as recorded"));
}
