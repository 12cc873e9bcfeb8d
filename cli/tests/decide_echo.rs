//! A settings file with one line of 200,000 opening brackets made a message of 200,233 bytes: the
//! parser's error quoted the line, and `tidegate decide` printed the error as it was. Now whatever
//! is quoted of an input has a bound.

use std::process::Command;

#[test]
fn a_long_line_is_not_quoted_whole() {
    let directory = tempfile::tempdir().unwrap();
    let deep = "[".repeat(200_000);
    for (name, text) in [
        ("deep.toml", format!("x = {deep}")),
        ("deep.yaml", format!("x: {deep}")),
        ("deep.json", deep),
        ("long.toml", format!("{}\n", "k".repeat(200_000))),
        ("kind.json", format!(r#"{{"kind": "{}", "input": {{}}}}"#, "k".repeat(200_000))),
        (
            "field.json",
            format!(r#"{{"kind": "scale", "input": {{"{}": 1}}}}"#, "k".repeat(200_000)),
        ),
    ] {
        let file = directory.path().join(name);
        std::fs::write(&file, text).unwrap();
        let output =
            Command::new(env!("CARGO_BIN_EXE_tidegate")).arg("decide").arg(&file).output().unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(message.contains(name) || message.contains("warning"), "{name}: {message}");
        assert!(message.len() < 1_500, "{name}: {} bytes", message.len());
    }
}
