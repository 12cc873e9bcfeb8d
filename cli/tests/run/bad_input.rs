//! What cannot be done is refused with a message that says what was expected.

use std::net::TcpListener;
use std::process::Command;

use crate::running::Running;

/// Exit code and everything that was printed.
fn refused(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .arg("run")
        .args(arguments)
        .output()
        .expect("the program starts");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn what_was_mistyped_is_named() {
    let usage: [(&[&str], &str); 25] = [
        (&["--bogus", "--", "true"], "--bogus"),
        (&[], "CMD"),
        (&["--"], "CMD"),
        (&["-c", "0", "--", "true"], "a whole number from 1"),
        (&["-c", "-3", "--", "true"], "a whole number from 1"),
        (&["-c", "many", "--", "true"], "a whole number from 1"),
        (&["--max", "0", "--", "true"], "a whole number from 1 to 10000"),
        (&["--min", "-1", "--", "true"], "a whole number from 0 to 10000"),
        (&["--ready", "maybe", "--", "true"], "expected `tcp`, or a path"),
        (&["--ready", "/a b", "--", "true"], "expected `tcp`, or a path"),
        (&["--listen", "nowhere", "--", "true"], "expected an address"),
        (&["--window", "soon", "--", "true"], "'--window <TIME>': expected a time such as 5s"),
        (&["--window", "1s", "--", "true"], "'1s' for '--window <TIME>': expected 6s to 1h"),
        (&["--window", "6.5s", "--", "true"], "expected whole seconds, 6s to 1h"),
        (&["--idle", "-5s", "--", "true"], "not below zero"),
        (&["--timeout", "0", "--", "true"], "expected 1ms to 365d"),
        (&["--name", "a/b", "--", "true"], "--name"),
        (&["--min", "5", "--max", "2", "--", "true"], "--min 5 is more than --max 2"),
        (&["--initial", "20", "--", "true"], "--initial 20 is more than --max 10"),
        (&["--set", "stabel-window=60s", "--", "true"], "did you mean `stable-window`?"),
        (&["--set", "target=-1", "--", "true"], "--set target=-1: expected"),
        (&["--set", "stable-window=1s", "--", "true"], "--set stable-window=1s: expected"),
        (&["python3", "app.py"], "put `--` before the command: tidegate run … -- python3 app.py"),
        (&["--", "/no/such/file"], "no program \"/no/such/file\""),
        (&["--set", "target", "--", "true"], "KEY=VALUE"),
    ];
    for (arguments, expected) in usage {
        let (code, text) = refused(arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {text}");
        assert!(text.contains(expected), "{arguments:?} should say {expected:?}: {text}");
    }
}

#[test]
fn what_cannot_be_done_is_named() {
    let keep = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let in_use = keep.local_addr().expect("an address").to_string();
    let impossible: [(&[&str], &str); 2] = [
        (&["--listen", &in_use, "--", "true"], "--listen: cannot listen on"),
        (&["--record", "/no/such/folder/file", "--", "true"], "/no/such/folder/file"),
    ];
    for (arguments, expected) in impossible {
        let (code, text) = refused(arguments);
        assert_eq!(code, Some(1), "{arguments:?}: {text}");
        assert!(text.contains(expected), "{arguments:?} should say {expected:?}: {text}");
    }
}

#[test]
fn a_taken_default_port_gives_way_to_a_free_one() {
    // Whether this test or another process holds it, it is taken.
    let _taken = TcpListener::bind("127.0.0.1:8080");
    let arguments = ["--initial", "0", "--", "true"];
    let mut run = Running::start(arguments.map(str::to_owned).into());
    assert_ne!(run.address(), "127.0.0.1:8080");
    run.signal("INT");
    assert_eq!(run.wait_for_exit(), Some(0));
}
