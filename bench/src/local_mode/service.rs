//! A `tidegate run` and everything that it started.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use tidegate_controller::process::launcher;
use tidegate_controller::process::process_tag::RUN_VARIABLE;

use super::client;

/// Longest wait for anything that should happen.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often it is looked whether it did.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// A service that runs.
pub struct Service {
    child: Child,
    address: String,
    lines: Arc<Mutex<Vec<String>>>,
    /// An environment entry that everything it starts inherits.
    mark: String,
}

impl Service {
    /// Starts `tidegate run ARGUMENTS -- COMMAND` on a free port.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start(tidegate: &Path, arguments: &[&str], command: &[String]) -> anyhow::Result<Self> {
        let mark = format!("TIDEGATE_BENCH={}-{:?}", std::process::id(), Instant::now());
        let (name, value) = mark.split_once('=').context("a mark has a name")?;
        let mut child = Command::new(tidegate)
            .args(["run", "--listen", "0"])
            .args(arguments)
            .arg("--")
            .args(command)
            .env(name, value)
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", tidegate.display()))?;
        let stdout = child.stdout.take().context("it is piped")?;
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&lines);
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                sink.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        let mut service = Self { child, address: String::new(), lines, mark };
        service.address = service.wait("it listens", |lines| {
            let line = lines.iter().find_map(|line| line.split("on http://").nth(1))?;
            line.split_whitespace().next().map(str::to_owned)
        })?;
        Ok(service)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    fn lines(&self) -> MutexGuard<'_, Vec<String>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `find` finds something in what was printed.
    ///
    /// # Errors
    /// When it does not within two minutes.
    pub fn wait<T>(
        &self,
        what: &str,
        mut find: impl FnMut(&[String]) -> Option<T>,
    ) -> anyhow::Result<T> {
        let begun = Instant::now();
        loop {
            if let Some(found) = find(&self.lines()) {
                return Ok(found);
            }
            if begun.elapsed() > PATIENCE {
                let lines = self.lines();
                let last = lines.iter().rev().take(20).rev().cloned().collect::<Vec<_>>();
                bail!("in vain: {what}; the last lines were\n{}", last.join("\n"));
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// How many lines say `words` so far.
    #[must_use]
    pub fn count(&self, words: &str) -> usize {
        self.lines().iter().filter(|line| line.ends_with(words)).count()
    }

    /// Waits until every instance that was started has stopped or failed.
    ///
    /// # Errors
    /// When it does not happen within two minutes.
    pub fn wait_for_zero(&self) -> anyhow::Result<()> {
        self.wait("everything has stopped", |lines| {
            let count = |words: &str| lines.iter().filter(|line| line.contains(words)).count();
            (count(" starts") > 0 && count(" starts") == count(" stopped") + count(" failed:"))
                .then_some(())
        })
    }

    /// Process ids of the apps: what inherited our environment, and is neither ours nor a launcher
    /// that stands ready.
    #[must_use]
    pub fn apps(&self) -> Vec<u32> {
        let ours = self.child.id();
        let run = format!("{RUN_VARIABLE}=");
        processes()
            .filter(|pid| *pid != ours)
            .filter(|pid| {
                let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
                let has = |entry: &[u8]| environment.split(|byte| *byte == 0).any(|e| e == entry);
                let runs = environment.split(|b| *b == 0).any(|e| e.starts_with(run.as_bytes()));
                has(self.mark.as_bytes()) && runs && !stands_ready(*pid)
            })
            .collect()
    }

    /// Children of the service: apps, queue-proxies and the guard, but not the launcher that stands
    /// ready.
    #[must_use]
    pub fn children(&self) -> usize {
        let ours = self.child.id().to_string();
        let is_child = |pid: &u32| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let rest = stat.rsplit(") ").next().unwrap_or_default();
            rest.split_whitespace().nth(1) == Some(&ours)
        };
        processes().filter(is_child).filter(|pid| !stands_ready(*pid)).count()
    }

    /// Interrupts it and waits for its end. Returns its exit code.
    ///
    /// # Errors
    /// When it does not end.
    pub fn stop(mut self) -> anyhow::Result<Option<i32>> {
        signal(self.child.id(), Signal::INT)?;
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status.code());
            }
            if begun.elapsed() > PATIENCE {
                bail!("the service does not end");
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // After an orderly stop there is nothing left to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal to a process.
///
/// # Errors
/// When there is no such process.
pub fn signal(pid: u32, signal: Signal) -> anyhow::Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).context("no process id")?;
    Ok(kill_process(pid, signal)?)
}

/// Whether a process is a launcher that has not become an app.
fn stands_ready(pid: u32) -> bool {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.split(|byte| *byte == 0).next() == Some(launcher::NAME.as_bytes())
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Starts an app by itself and measures from the start of its process to the first byte of its
/// first response: its own start-up.
///
/// # Errors
/// When it does not come up.
pub fn own_start_up(command: &[String]) -> anyhow::Result<Duration> {
    let port = tidegate_reserved_port::reserve()?.port().to_string();
    let replaced = command.iter().map(|argument| argument.replace("{PORT}", &port));
    let words: Vec<String> = replaced.collect();
    let (program, arguments) = words.split_first().context("there is no command")?;
    let begun = Instant::now();
    let mut child = Command::new(OsStr::new(program))
        .args(arguments)
        .env("PORT", &port)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let address = format!("127.0.0.1:{port}");
    let outcome = loop {
        if client::get(&address).is_ok() {
            break Ok(begun.elapsed());
        }
        if begun.elapsed() > PATIENCE {
            break Err(anyhow::anyhow!("the app does not come up"));
        }
        std::thread::sleep(Duration::from_micros(200));
    };
    child.kill()?;
    child.wait()?;
    outcome
}
