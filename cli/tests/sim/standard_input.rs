//! `sim traffic --trace -` failed always: what standard input held was kept in a temporary file
//! that was gone before the first row was read, since the traffic outlived what owned the file.
//! Now the traffic owns it, so no verb can lose it.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::Desk;

const ROWS: &str = "arrival,service\n0,0.1\n1,0.2\n2,0.1\n";

/// Standard output of `tidegate sim` with `arguments` when `ROWS` come by standard input.
fn says(arguments: &str) -> String {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .arg("sim")
        .args(arguments.split_whitespace())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut input = child.stdin.take().expect("standard input is a pipe");
    input.write_all(ROWS.as_bytes()).expect("it is read");
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("answers are text")
}

#[test]
fn standard_input_is_there_until_all_of_it_was_read() {
    let summary: serde_json::Value =
        serde_json::from_str(&says("traffic --trace - --json -")).expect("JSON");
    assert_eq!(summary["requests"], 3);
    let result: serde_json::Value =
        serde_json::from_str(&says("run --trace - --json - -q")).expect("JSON");
    assert_eq!(result["requests"], 3);
    assert!(says("fit --trace -").contains("3 requests"));
}

#[test]
fn standard_input_cannot_be_two_traces() {
    let told = Desk::new().refuses("traffic --trace - --trace -");
    assert!(told.contains("standard input can be read only once"), "{told}");
}
