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
    let usage: [(&[&str], &str); 13] = [
        (&["--bogus", "--", "true"], "--bogus"),
        (&[], "CMD"),
        (&["--"], "CMD"),
        (&["-c", "0", "--", "true"], "a number from 1"),
        (&["-c", "-3", "--", "true"], "-3"),
        (&["-c", "many", "--", "true"], "a number from 1"),
        (&["--max", "0", "--", "true"], "0 is not in 1.."),
        (&["--min=-1", "--", "true"], "-1"),
        (&["--ready", "maybe", "--", "true"], "expected `tcp`, or a path"),
        (&["--ready", "/a b", "--", "true"], "expected `tcp`, or a path"),
        (&["--listen", "nowhere", "--", "true"], "expected an address"),
        (&["--window", "soon", "--", "true"], "soon"),
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
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = taken.local_addr().expect("an address").to_string();
    let keep = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let in_use = keep.local_addr().expect("an address").to_string();
    let impossible: [(&[&str], &str); 9] = [
        (
            &["--listen", &taken, "--", "no-such-program-here"],
            "no program \"no-such-program-here\"",
        ),
        (&["--listen", &taken, "--", "/no/such/file"], "no program \"/no/such/file\""),
        (&["--listen", &taken, "--", "/etc/passwd"], "cannot be run"),
        (&["--listen", &in_use, "--", "true"], "cannot listen on"),
        (&["--min", "5", "--max", "2", "--", "true"], "--min 5 is more than --max 2"),
        (&["--window", "1s", "--", "true"], "stable-window"),
        (&["--set", "stabel-window=60s", "--", "true"], "stabel-window"),
        (&["--set", "target=-1", "--", "true"], "target"),
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
    // Whether this or somebody else holds it, it is taken.
    let _taken = TcpListener::bind("127.0.0.1:8080");
    let arguments = ["--initial", "0", "--", "true"];
    let mut run = Running::start(arguments.map(str::to_owned).into());
    assert_ne!(run.address(), "127.0.0.1:8080");
    run.signal("INT");
    assert_eq!(run.wait_for_exit(), Some(0));
}
