//! `tidegate controller` as a process of its own: what it says, what it refuses, how it ends.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

fn controller(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.arg("controller").args(arguments).stdin(Stdio::null());
    command
}

/// Exit code and everything that was printed.
fn refused(arguments: &[&str]) -> (Option<i32>, String) {
    let output = controller(arguments).output().expect("the program starts");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

/// A controller on a free port, and its address.
fn start(arguments: &[&str]) -> (Child, String) {
    let all = [&["--listen", "127.0.0.1:0"], arguments].concat();
    let mut child = controller(&all).stderr(Stdio::piped()).spawn().expect("the program starts");
    let mut line = String::new();
    let stderr = child.stderr.take().expect("it is piped");
    BufReader::new(stderr).read_line(&mut line).expect("it says where it listens");
    let address = line.trim().rsplit(' ').next().expect("an address").to_owned();
    (child, address)
}

#[test]
fn it_answers_questions_and_ends_when_told_to() {
    let mut file = tempfile::Builder::new().suffix(".yaml").tempfile().expect("a file");
    writeln!(file, "kind: ConfigMap\nmetadata: {{name: config-autoscaler}}").expect("writable");
    writeln!(file, "data: {{stable-window: \"30s\"}}").expect("writable");
    let settings = file.path().to_str().expect("text");
    let arguments = ["--settings", settings, "--set", "target=5", "--revision", "prod/web,10"];
    let (mut child, address) = start(&arguments);
    let answer = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(["explain", "--controller", &address])
        .output()
        .expect("the program starts");
    let text = String::from_utf8_lossy(&answer.stdout).into_owned();
    assert!(text.contains("prod/web"), "{text}");
    let told = Command::new("sh").args(["-c", &format!("kill -s TERM {}", child.id())]).status();
    assert!(told.expect("a shell is everywhere").success());
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
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

/// Whoever reached the port once took part, and the port was open to every machine.
#[test]
fn nobody_is_let_in_by_default() {
    for open in ["0.0.0.0:0", "[::]:0"] {
        let (code, text) = refused(&["--listen", open]);
        assert!(matches!(code, Some(1 | 2)), "{text}");
        assert!(text.contains("--secret-file") && text.contains("--allow-anonymous"), "{text}");
    }
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    write!(file, "short").expect("writable");
    let path = file.path().to_str().expect("text").to_owned();
    let (code, text) = refused(&["--secret-file", &path]);
    assert!(matches!(code, Some(1 | 2)) && text.contains("5 characters"), "{text}");
    write!(file, "-no-more-0123456789").expect("writable");
    let (mut child, address) = start(&["--secret-file", &path]);
    let ask = |arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .args(["explain", "--controller", &address])
            .args(arguments)
            .output()
            .expect("the program starts")
    };
    // Nobody reads its log any more: that must not matter.
    let (uninvited, invited) = (ask(&[]), ask(&["--secret-file", &path]));
    child.kill().expect("it runs");
    let _ = child.wait();
    let text = String::from_utf8_lossy(&uninvited.stderr).into_owned();
    assert!(!uninvited.status.success(), "{text}");
    assert!(text.contains("TIDEGATE_SECRET_FILE") && !text.contains("no-more"), "{text}");
    assert!(invited.status.success());
}

#[test]
fn keys_that_nobody_knows_are_told_with_the_nearest() {
    let mut file = tempfile::Builder::new().suffix(".yaml").tempfile().expect("a file");
    writeln!(file, "kind: ConfigMap\nmetadata: {{name: config-autoscaler}}").expect("writable");
    writeln!(file, "data:\n  _example: x\n  maxscale: \"7\"").expect("writable");
    writeln!(file, "  stable-windw: 30s").expect("writable");
    let settings = file.path().to_str().expect("text");
    let mut child = controller(&["--listen", "127.0.0.1:0", "--settings", settings])
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
    let lines: Vec<String> = lines.take(3).map(|line| line.expect("text")).collect();
    child.kill().expect("it runs");
    let _ = child.wait();
    let text = lines.join("\n");
    for told in ["maxscale", "`max-scale`?", "stable-windw", "`stable-window`?", "listening on"] {
        assert!(text.contains(told), "{told}: {text}");
    }
    assert!(!text.contains("_example"), "{text}");
}
