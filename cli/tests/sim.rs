//! `tidegate sim` as people use it: the real binary, real files, what it prints and how it exits.

mod sim {
    mod answers;
    mod browser;
    mod economy;
    mod inputs;
    mod left_out;
    mod one_variation;
    mod per_revision;
    mod standard_input;
}

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// A directory of its own, and the binary to run in it.
struct Desk(TempDir);

impl Desk {
    fn new() -> Self {
        Desk(TempDir::new().expect("a temporary directory can be made"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, content).expect("the file can be written");
        path
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).expect("the file was written")
    }

    /// Runs `tidegate sim` with `arguments` (split at blanks) in this directory.
    fn sim(&self, arguments: &str) -> Output {
        Command::new(Path::new(env!("CARGO_BIN_EXE_tidegate")))
            .arg("sim")
            .args(arguments.split_whitespace())
            .current_dir(self.0.path())
            .env("NO_COLOR", "1")
            .env("COLUMNS", "100")
            .output()
            .expect("the program starts")
    }

    /// The same for a run that must succeed; gives its standard output.
    fn says(&self, arguments: &str) -> String {
        let output = self.sim(arguments);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments}: {error}");
        String::from_utf8(output.stdout).expect("answers are text")
    }

    /// The same for one that must be refused as wrong usage; gives its standard error.
    fn refuses(&self, arguments: &str) -> String {
        let output = self.sim(arguments);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments}: {error}");
        assert!(output.stdout.is_empty(), "{arguments}");
        error
    }

    fn json(&self, arguments: &str) -> serde_json::Value {
        serde_json::from_str(&self.says(arguments)).expect("one JSON value")
    }
}
