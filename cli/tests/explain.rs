//! `tidegate explain` against a running service, and where none runs.

#![expect(clippy::unwrap_used, reason = "what cannot be run fails the test")]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The time between two checks of a condition that is waited for.
const POLL_PERIOD: Duration = Duration::from_millis(200);

const TIDEGATE: &str = env!("CARGO_BIN_EXE_tidegate");

/// How long a first decision may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn explain(args: &[&str]) -> Output {
    Command::new(TIDEGATE).arg("explain").args(args).output().unwrap()
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// `tidegate run` with the bundled app; interrupted when dropped, so that it cleans up.
struct Service {
    child: Child,
    controller: String,
}

impl Service {
    fn start() -> Self {
        let mut child = Command::new(TIDEGATE)
            .args([
                "run",
                "--listen",
                "127.0.0.1:0",
                "--name",
                "web",
                "--min",
                "1",
                "--drain",
                "1s",
            ])
            .args(["--", TIDEGATE, "demo", "--app"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let controller = lines
            .by_ref()
            .map(|line| line.unwrap())
            .find_map(|line| line.split_once("--controller ").map(|(_, at)| at.trim().to_owned()))
            .unwrap();
        // Its output must be read on, or the service would block.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, controller }
    }

    /// What is explained once the first decision was made.
    fn decided(&self, args: &[&str]) -> String {
        let args = [&["--controller", &self.controller], args].concat();
        let start = Instant::now();
        loop {
            let text = stdout(&explain(&args));
            let decided = text.contains("instance");
            if decided || start.elapsed() > PATIENCE {
                return text;
            }
            std::thread::sleep(POLL_PERIOD);
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let pid = self.child.id().to_string();
        let _ = Command::new("kill").args(["-INT", &pid]).status();
        let _ = self.child.wait();
    }
}

#[test]
fn a_running_controller_is_asked() {
    let service = Service::start();
    let told = service.decided(&["web"]);
    let first = told.lines().next().unwrap();
    assert!(first.starts_with("local/web: "), "{told}");
    assert!(told.contains("Z  local/web  1  "), "{told}");

    let listed = service.decided(&[]);
    assert!(listed.starts_with("REVISION   WANTED"), "{listed}");
    assert!(listed.contains("local/web"), "{listed}");

    let json = service.decided(&["local/web", "--last", "2", "--json"]);
    for line in json.lines() {
        let decision: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(decision["name"], "web");
        assert!(decision["explanation"]["detail"].is_object(), "{line}");
    }

    let unknown = explain(&["--controller", &service.controller, "other"]);
    assert_eq!(unknown.status.code(), Some(1));
    let message = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(message.contains("no revision \"other\" here; known are: local/web"), "{message}");
    let near = explain(&["--controller", &service.controller, "wbe"]);
    let message = String::from_utf8_lossy(&near.stderr).into_owned();
    assert!(message.contains("did you mean `web`?"), "{message}");
}

#[test]
fn a_missing_controller_is_an_error_that_says_so() {
    let nowhere = explain(&["--controller", "127.0.0.1:1"]);
    assert_eq!(nowhere.status.code(), Some(1));
    let message = String::from_utf8_lossy(&nowhere.stderr).into_owned();
    assert!(
        message.contains("no controller answers at 127.0.0.1:1 (Connection refused"),
        "{message}"
    );
    assert!(!message.contains("transport error"), "{message}");
    let nonsense = explain(&["--controller", "no address at all"]);
    assert_eq!(nonsense.status.code(), Some(2));
    let message = String::from_utf8_lossy(&nonsense.stderr).into_owned();
    assert!(message.contains("expected HOST:PORT"), "{message}");
    let empty = tempfile::tempdir().unwrap();
    let unnamed = Command::new(TIDEGATE)
        .arg("explain")
        .env_remove("TIDEGATE_CONTROLLER")
        .env("XDG_RUNTIME_DIR", empty.path())
        .output()
        .unwrap();
    assert_eq!(unnamed.status.code(), Some(1));
    let message = String::from_utf8_lossy(&unnamed.stderr).into_owned();
    assert!(message.contains("--controller HOST:PORT"), "{message}");
}
