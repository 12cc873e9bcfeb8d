//! What ends our processes when we die without being able to.
//!
//! A guard is a small process that does nothing but read from us. When it reads our last word it
//! leaves; when we end without a last word it kills everything that carries the mark of our run.

use std::ffi::OsString;
use std::io::Read;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdin, Command};

use super::mark::{self, Of, RunId};

/// What we say when everything is in order.
const LAST_WORD: &[u8] = b"all is well";

/// How long a guard that was dismissed may take to leave.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);

/// The guard as seen from the process that it guards.
#[derive(Debug)]
pub struct Guard {
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Guard {
    /// Posts a guard: `command` must call [`stand`] with the run's id, which is added as its last
    /// argument.
    ///
    /// # Errors
    /// When the process cannot be started.
    pub fn post(command: &[OsString], run: &RunId) -> std::io::Result<Self> {
        let (program, arguments) = command.split_first().ok_or(std::io::ErrorKind::InvalidInput)?;
        let mut child = Command::new(program)
            .args(arguments)
            .arg(run)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // The terminal's Ctrl-C is for us, not for the guard.
            .process_group(0)
            .spawn()?;
        let stdin = child.stdin.take();
        Ok(Self { child, stdin })
    }

    /// Everything is in order: the guard leaves. Waits for it, but not for long.
    pub async fn dismiss(mut self) {
        if let Some(mut stdin) = self.stdin.take() {
            // A guard that is gone already needs no telling.
            let _ = stdin.write_all(LAST_WORD).await;
            let _ = stdin.shutdown().await;
        }
        if tokio::time::timeout(LEAVE_TIMEOUT, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
    }
}

/// Stands guard over `run`: reads `from` to its end, then kills everything that carries the run's
/// mark unless the last word was heard. Returns how many processes that were.
pub fn stand(run: &RunId, from: &mut impl Read) -> usize {
    let mut heard = Vec::new();
    let mut buffer = [0; 64];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                heard.extend_from_slice(&buffer[..count]);
                // Only the last word matters, and only so much of it can.
                let excess = heard.len().saturating_sub(LAST_WORD.len());
                heard.drain(..excess);
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    if heard == LAST_WORD { 0 } else { mark::sweep(Of::Run(run)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(run: &RunId) -> std::process::Child {
        std::process::Command::new("sleep")
            .arg("600")
            .env(mark::RUN_VARIABLE, run)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("sleep is everywhere")
    }

    #[test]
    fn without_a_last_word_everything_marked_ends() {
        let run = RunId::random();
        let mut child = marked(&run);
        let mut bystander = marked(&RunId::random());
        assert_eq!(stand(&run, &mut &b"all is w"[..]), 1);
        assert!(!child.wait().expect("it was ours").success());
        assert!(bystander.try_wait().expect("it is ours").is_none(), "nothing else is touched");
        bystander.kill().expect("it still runs");
        bystander.wait().expect("it was ours");
    }

    #[test]
    fn with_it_nothing_does() {
        let run = RunId::random();
        let mut child = marked(&run);
        let mut said = LAST_WORD;
        assert_eq!(stand(&run, &mut said), 0);
        assert!(child.try_wait().expect("it is ours").is_none());
        child.kill().expect("it still runs");
        child.wait().expect("it was ours");
    }
}
