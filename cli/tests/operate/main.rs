//! What people reach for while services run: they are found by a socket, seen, and given orders.

mod finding;
mod frozen;
mod orders;
mod reading;
#[path = "../run/running.rs"]
#[expect(dead_code, reason = "not every test of a run is one of this file")]
mod running;
mod terminal;
mod top;

use std::path::Path;
use std::process::{Command, Output};

use running::Running;

/// An app that says its process id, and takes 20 ms for each request.
const APP: &str = r#"echo "pid $$"; exec "$0" demo --app --service-time 20ms --start-up 0ms"#;

/// A runtime directory that only this test knows, so that it sees nothing of others.
struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// `tidegate run` of the app under a name.
    fn run(&self, name: &str, arguments: &[&str]) -> Running {
        let own = ["--listen", "0", "--name", name];
        let app = ["--", "sh", "-c", APP, env!("CARGO_BIN_EXE_tidegate")];
        self.run_command(&[&own, arguments, &app].concat())
    }

    fn run_command(&self, arguments: &[&str]) -> Running {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let folder = self.path().to_str().expect("a name");
        Running::start_with(arguments, &[("XDG_RUNTIME_DIR", folder)])
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command
            .args(arguments)
            .env("XDG_RUNTIME_DIR", self.path())
            .env_remove("TIDEGATE_CONTROLLER");
        command
    }

    fn tidegate(&self, arguments: &[&str]) -> Said {
        Said::of(self.command(arguments).output().expect("it starts"))
    }

    /// What is printed by a command that succeeds.
    fn printed(&self, arguments: &[&str]) -> String {
        let said = self.tidegate(arguments);
        assert_eq!(said.code, Some(0), "{arguments:?}: {}{}", said.out, said.err);
        said.out
    }

    /// The service as `ps --json` has it.
    fn service(&self, name: &str) -> serde_json::Value {
        serde_json::from_str(&self.printed(&["ps", name, "--json"])).expect("JSON")
    }
}

/// What a command said, and how it ended.
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Said {
    fn of(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }
}
