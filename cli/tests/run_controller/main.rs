//! `tidegate controller` as a process of its own: what it says, what it refuses, how it ends.

mod certificates;
mod open_port;
mod process;
mod renewal;
mod secret_of_bytes;
mod secrets;
mod tls;
mod tokens;

use std::io::Write;

use process::{Process, outcome, tidegate};

/// Exit code and everything that was printed.
fn refused(arguments: &[&str]) -> (Option<i32>, String) {
    outcome(&mut tidegate(&[&["controller"], arguments].concat()))
}

fn explain(arguments: &[&str]) -> (Option<i32>, String) {
    outcome(&mut tidegate(&[&["explain"], arguments].concat()))
}

#[test]
fn it_answers_questions_and_ends_on_sigterm() {
    let mut file = tempfile::Builder::new().suffix(".yaml").tempfile().expect("a file");
    writeln!(file, "kind: ConfigMap\nmetadata: {{name: config-autoscaler}}").expect("writable");
    writeln!(file, "data: {{stable-window: \"30s\"}}").expect("writable");
    let settings = file.path().to_str().expect("text");
    let arguments = ["--settings", settings, "--set", "target=5", "--revision", "prod/web,10"];
    let (controller, address) = Process::controller(&arguments);
    let (_, text) = explain(&["--controller", &address]);
    assert!(text.contains("prod/web"), "{text}");
    assert_eq!(controller.terminate(), Some(0));
}

#[test]
fn what_cannot_be_used_is_named_before_anything_listens() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = taken.local_addr().expect("an address").to_string();
    let keep = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let in_use = keep.local_addr().expect("an address").to_string();
    let usage: [(&[&str], &str); 9] = [
        (&["--bogus"], "--bogus"),
        (&["--listen", "nowhere"], "nowhere"),
        (&["--revision", "web"], "NAMESPACE/NAME"),
        (&["--revision", "prod/web,-1"], "a whole number"),
        (&["--listen", &taken, "--settings", "/no/such/file.yaml"], "/no/such/file.yaml"),
        (&["--listen", &taken, "--settings", "/etc/passwd"], "must end in .yaml"),
        (&["--listen", &taken, "--set", "stabel-window=60s"], "did you mean `stable-window`?"),
        (&["--listen", &taken, "--set", "stable-window=1s"], "stable-window"),
        (&["--listen", &taken, "--set", "target=-1"], "target"),
    ];
    for (arguments, expected) in usage {
        let (code, text) = refused(arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {text}");
        assert!(text.contains(expected), "{arguments:?} should say {expected:?}: {text}");
    }
    let impossible: [(&[&str], &str); 1] = [(&["--listen", &in_use], "cannot listen on")];
    for (arguments, expected) in impossible {
        let (code, text) = refused(arguments);
        assert_eq!(code, Some(1), "{arguments:?}: {text}");
        assert!(text.contains(expected), "{arguments:?} should say {expected:?}: {text}");
    }
}

#[test]
fn unknown_keys_are_reported_with_the_nearest() {
    let mut file = tempfile::Builder::new().suffix(".yaml").tempfile().expect("a file");
    writeln!(file, "kind: ConfigMap\nmetadata: {{name: config-autoscaler}}").expect("writable");
    writeln!(file, "data:\n  _example: x\n  maxscale: \"7\"").expect("writable");
    writeln!(file, "  stable-windw: 30s").expect("writable");
    let settings = file.path().to_str().expect("text");
    let (controller, _) = Process::controller(&["--settings", settings]);
    let text = controller.log();
    for told in ["maxscale", "`max-scale`?", "stable-windw", "`stable-window`?", "listening on"] {
        assert!(text.contains(told), "{told}: {text}");
    }
    assert!(!text.contains("_example"), "{text}");
}
