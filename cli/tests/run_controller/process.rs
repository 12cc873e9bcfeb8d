//! Processes of ours with what they log; killed with their test.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The time between two checks of a condition that is waited for.
const POLL_PERIOD: Duration = Duration::from_millis(5);

/// Nothing here takes this long unless it hangs, on however busy a machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// A command of ours that nothing in the environment of the test has a say in.
pub(crate) fn tidegate(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TIDEGATE_") {
            command.env_remove(name);
        }
    }
    command
}

/// A process that runs.
pub(crate) struct Process {
    child: Child,
    log: Arc<Mutex<String>>,
}

impl Process {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the program starts");
        let lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        let log = Arc::new(Mutex::new(String::new()));
        let sink = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let mut sink = sink.lock().expect("not poisoned");
                sink.push_str(&line);
                sink.push('\n');
            }
        });
        Self { child, log }
    }

    /// A controller on a free port, and its address.
    pub(crate) fn controller(arguments: &[&str]) -> (Self, String) {
        let all = [&["controller", "--listen", "127.0.0.1:0"], arguments].concat();
        let mut controller = Self::start(tidegate(&all));
        let line = controller.wait_for("listening on ");
        let address = line.trim().rsplit(' ').next().expect("an address").to_owned();
        (controller, address)
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().expect("not poisoned").clone()
    }

    /// The first line with this text in it.
    pub(crate) fn wait_for(&mut self, text: &str) -> String {
        let start = Instant::now();
        loop {
            let log = self.log();
            if let Some(line) = log.lines().find(|line| line.contains(text)) {
                return line.to_owned();
            }
            let ended = self.child.try_wait().expect("it is ours");
            let late = start.elapsed() > PATIENCE;
            assert!(!late && ended.is_none(), "no {text:?} ({ended:?}) in:\n{log}");
            std::thread::sleep(POLL_PERIOD);
        }
    }

    /// Tells it to end; returns its exit code.
    pub(crate) fn terminate(mut self) -> Option<i32> {
        let told = Command::new("kill").args(["-s", "TERM", &self.child.id().to_string()]).status();
        assert!(told.expect("it is everywhere").success());
        self.child.wait().expect("it ends").code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A test that failed must not leave anything behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Exit code and everything that was printed of a command that ends by itself.
pub(crate) fn outcome(command: &mut Command) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } =
        command.stdout(Stdio::piped()).output().expect("the program starts");
    (status.code(), String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned())
}
