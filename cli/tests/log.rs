//! What the roles log, seen from outside: a reporter without a controller names whom it tried and
//! why, in JSON where standard error is no terminal, and a filter that is none is refused.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStderr, Command, Stdio};

fn tidegate(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.args(arguments).env_remove("TIDEGATE_LOG").stdout(Stdio::null());
    command
}

/// A process that is killed with its test.
struct Role(Child);

impl Drop for Role {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Role {
    fn start(arguments: &[&str]) -> (Self, BufReader<ChildStderr>) {
        let mut child = tidegate(arguments).stderr(Stdio::piped()).spawn().expect("it starts");
        let stderr = BufReader::new(child.stderr.take().expect("it is piped"));
        (Self(child), stderr)
    }
}

/// An address that refuses connections: a port below 1024 that no service of these tests takes.
const CLOSED: &str = "127.0.0.1:1";

/// The first line that is JSON and has such a message.
fn logged(stderr: BufReader<ChildStderr>, message: &str) -> serde_json::Value {
    stderr
        .lines()
        .map_while(Result::ok)
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(&line).ok())
        .find(|line| line["message"].as_str().is_some_and(|text| text.contains(message)))
        .expect("it is logged")
}

#[test]
fn an_activator_says_whom_it_cannot_reach_and_why() {
    let arguments = ["activator", "--listen", "127.0.0.1:0", "--controller", CLOSED];
    let (_role, stderr) = Role::start(&arguments);
    let line = logged(stderr, "no controller: ");
    assert!(line["message"].as_str().unwrap().contains("Connection refused"), "{line}");
    assert_eq!(line["severity"], "WARNING");
    assert_eq!(line["controller"], CLOSED);
    assert_eq!(line["logger"], "tidegate_reporter::driver");
}

#[test]
fn an_activator_says_that_it_is_connected() {
    let (_controller, mut stderr) = Role::start(&["controller", "--listen", "127.0.0.1:0"]);
    let mut line = String::new();
    stderr.read_line(&mut line).expect("it says where it listens");
    let address = line.trim().rsplit(' ').next().expect("an address");
    let arguments = ["activator", "--listen", "127.0.0.1:0", "--controller", address];
    let (_role, stderr) = Role::start(&arguments);
    assert_eq!(logged(stderr, "connected to the controller")["severity"], "INFO");
}

#[test]
fn a_filter_that_is_none_is_refused() {
    for verb in ["queue-proxy", "activator", "controller"] {
        let output = tidegate(&[verb, "--log", "wran"]).output().expect("it starts");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains("--log") && text.contains("expected off, error, warn"), "{text}");
    }
}
