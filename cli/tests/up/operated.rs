//! What this user's other commands see of the services, and order of them.

use std::process::{Command, Output};

use crate::running::Running;
use crate::{Desk, address, get};

/// Other commands of a user whose runtime folder is the desk's.
pub(crate) struct Bench {
    desk: Desk,
    pub(crate) up: Running,
}

impl Bench {
    fn new(text: &str) -> Self {
        Self::with_files(text, &[])
    }

    /// With these files beside the file of services.
    pub(crate) fn with_files(text: &str, files: &[(&str, &str)]) -> Self {
        let desk = Desk::new(text);
        for (name, text) in files {
            std::fs::write(desk.path(name), text).expect("written");
        }
        let folder = desk.folder.path().display().to_string();
        let up = desk.up_with(&[], &[("XDG_RUNTIME_DIR", &folder)]);
        Self { desk, up }
    }

    fn ask(&self, words: &str) -> Output {
        Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .args(words.split(' '))
            .env("XDG_RUNTIME_DIR", self.desk.folder.path())
            .output()
            .expect("it starts")
    }

    /// What a command that succeeds prints.
    pub(crate) fn says(&self, words: &str) -> String {
        let output = self.ask(words);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{words}: {errors}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

#[test]
fn services_are_seen_and_ordered_by_their_names() {
    let mut bench = Bench::new("[service.web]\ncommand = APP\n[service.api]\ncommand = APP\n");
    bench.up.wait_for("web-00001-1 is ready");
    bench.up.wait_for("api-00001-1 is ready");
    let at = address(&mut bench.up);
    let listed = bench.says("ps");
    for name in ["web", "api"] {
        assert!(listed.lines().any(|line| line.starts_with(name)), "{listed}");
    }
    assert!(bench.says("explain api").contains("local/api-00001"));
    bench.says("restart web");
    bench.up.wait_for("web-00001-2 is ready");
    assert_eq!(get(&at, "web.localhost", "/").expect("an answer").0, 200);
    // One that is stopped is gone until the file is read again.
    assert!(bench.says("stop api").contains("it comes back when the file is read again"));
    bench.up.wait_for("api-00001-1 stopped");
    assert_eq!(get(&at, "api.localhost", "/").expect("an answer").0, 404);
    crate::running::kill(bench.up.pid(), "HUP");
    bench.up.wait_for("api-00002-1 is ready");
    let summary = bench.says("stop --all");
    assert!(summary.contains("failed 0"), "{summary}");
    assert_eq!(bench.up.wait_for_exit(), Some(0), "{}", bench.up.output());
    assert!(bench.up.descendants().is_empty());
}
