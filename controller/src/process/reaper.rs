//! A reaper: ends the processes of a controller that dies without ending them itself.
//!
//! A reaper is a small process that only reads from a pipe of the controller's. After its dismissal
//! it exits; at the end of input without one it kills every process with the tag of the run. It has
//! a name of its own, so that killing every process of the program's name spares it; and it is
//! watched in turn: one that ends by itself is replaced at once.

use std::ffi::OsString;
use std::io::Read;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::process_tag::{RunId, Scope};
use super::sweep::sweep;

/// The name of a reaper's process: short enough for the kernel's 15 bytes, and without the
/// program's name in it.
pub const NAME: &str = "tg-watchman";

/// Written to the reaper before an orderly end.
const DISMISSAL: &[u8] = b"all is well";

/// How long a reaper that was dismissed may take to exit.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);

/// Where no process can be started, how long until the next attempt to start a reaper.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// The reaper, as held by its parent. To the reaper, a drop without a dismissal is the parent's
/// death.
#[derive(Debug)]
pub struct Reaper {
    dismissal: oneshot::Sender<()>,
    watching: JoinHandle<()>,
}

impl Reaper {
    /// Starts a reaper, and another one whenever it ends: `command` must call [`reap_after`] with
    /// the run's id, which is added as its last argument. Must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// When the process cannot be started.
    pub fn start(command: &[OsString], run: &RunId) -> std::io::Result<Self> {
        let process = ReaperProcess::new(command, run)?;
        let (dismissal, dismissed) = oneshot::channel();
        let watching = tokio::spawn(watch(process, command.to_vec(), run.clone(), dismissed));
        Ok(Self { dismissal, watching })
    }

    /// Ends the reaper in order. Waits for it for two seconds at most.
    pub async fn dismiss(self) {
        // Neither fails: the task ends only after this.
        let _ = self.dismissal.send(());
        let _ = self.watching.await;
    }
}

/// Replaces a reaper that ended, until it is dismissed or forgotten.
async fn watch(
    mut process: ReaperProcess,
    command: Vec<OsString>,
    run: RunId,
    mut dismissed: oneshot::Receiver<()>,
) {
    loop {
        let ended = tokio::select! {
            biased;
            said = &mut dismissed => {
                // Dropped, not dismissed: it reads the end of its input and kills the processes.
                if said.is_ok() {
                    process.dismiss().await;
                }
                return;
            }
            ended = process.child.wait() => ended,
        };
        tracing::debug!(?ended, "the reaper ended by itself, starting another");
        if let Ok(next) = ReaperProcess::new(&command, &run) {
            process = next;
        } else {
            tokio::time::sleep(RETRY_AFTER).await;
        }
    }
}

/// One reaper process.
#[derive(Debug)]
struct ReaperProcess {
    child: Child,
    stdin: Option<ChildStdin>,
}

impl ReaperProcess {
    fn new(command: &[OsString], run: &RunId) -> std::io::Result<Self> {
        let (program, arguments) = command.split_first().ok_or(std::io::ErrorKind::InvalidInput)?;
        let mut child = Command::new(program)
            .arg0(NAME)
            .args(arguments)
            .arg(run)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // The terminal's Ctrl-C is for the controller, not for the reaper.
            .process_group(0)
            .spawn()?;
        let stdin = child.stdin.take();
        Ok(Self { child, stdin })
    }

    async fn dismiss(mut self) {
        if let Some(mut stdin) = self.stdin.take() {
            // A reaper that has ended already needs no dismissal.
            let _ = stdin.write_all(DISMISSAL).await;
            let _ = stdin.shutdown().await;
        }
        if tokio::time::timeout(LEAVE_TIMEOUT, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
    }
}

/// Gives this process the name of a reaper. The name only protects from kills by name; a reaper
/// works under any.
pub fn take_name() {
    name_process(NAME);
}

/// Gives this process a name, until it becomes another program. Otherwise the kernel names it after
/// its program.
pub(super) fn name_process(name: &str) {
    #[cfg(target_os = "linux")]
    {
        let name = std::ffi::CString::new(name).unwrap_or_default();
        let _ = rustix::thread::set_name(&name);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = name;
}

/// Keeps hang-ups from ending this process for as long as what is returned lives. A reaper that was
/// stopped is sent one by the kernel when its run dies, in the moment that it is there for.
///
/// # Errors
///
/// When no handler can be installed.
pub fn outlive_hangups() -> std::io::Result<impl Sized> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let hangups = {
        let _entered = runtime.enter();
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup())?
    };
    Ok((hangups, runtime))
}

/// How a run has ended, to its reaper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// In order: nothing is left to do.
    InOrder,
    /// It died.
    Died,
}

/// Reads `from` to its end, then kills everything that carries the tag of `run`
/// unless the input ended with the dismissal. Returns how many processes were killed.
pub fn reap_after(run: &RunId, from: &mut impl Read) -> usize {
    match wait_for_end(from) {
        Ending::InOrder => 0,
        Ending::Died => sweep(Scope::Run(run)),
    }
}

/// Reads `from` to its end: a run has ended then.
pub fn wait_for_end(from: &mut impl Read) -> Ending {
    let mut tail = Vec::new();
    let mut buffer = [0; 64];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                tail.extend_from_slice(&buffer[..count]);
                // Only the end of the input counts, so no more than a dismissal is kept.
                let excess = tail.len().saturating_sub(DISMISSAL.len());
                tail.drain(..excess);
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    if tail == DISMISSAL { Ending::InOrder } else { Ending::Died }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::process_tag::RUN_VARIABLE;

    fn tagged(run: &RunId) -> std::process::Child {
        std::process::Command::new("sleep")
            .arg("600")
            .env(RUN_VARIABLE, run)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("sleep is everywhere")
    }

    #[test]
    fn without_a_dismissal_everything_tagged_ends() {
        let run = RunId::random();
        let mut child = tagged(&run);
        let mut bystander = tagged(&RunId::random());
        assert_eq!(reap_after(&run, &mut &b"all is w"[..]), 1);
        assert!(!child.wait().expect("it was ours").success());
        assert!(bystander.try_wait().expect("it is ours").is_none(), "nothing else is touched");
        bystander.kill().expect("it still runs");
        bystander.wait().expect("it was ours");
    }

    #[test]
    fn a_dismissal_ends_nothing() {
        let run = RunId::random();
        let mut child = tagged(&run);
        let mut input = DISMISSAL;
        assert_eq!(reap_after(&run, &mut input), 0);
        assert!(child.try_wait().expect("it is ours").is_none());
        child.kill().expect("it still runs");
        child.wait().expect("it was ours");
    }
}
