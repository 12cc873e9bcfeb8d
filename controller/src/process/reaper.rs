//! What ends our processes when we die without being able to.
//!
//! A guard is a small process that does nothing but read from us. When it reads our last word it
//! leaves; when we end without a last word it kills everything that carries the mark of our run.
//! It has a name of its own, so that whatever ends everything of our name spares it; and we look
//! after it as it looks after us: one that ends by itself is replaced at once.

use std::ffi::OsString;
use std::io::Read;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::process_tag::{self, RunId, Scope};

/// The name of a guard's process: short enough for the kernel's 15 bytes, and without ours in it.
pub const NAME: &str = "tg-watchman";

/// What we say when everything is in order.
const LAST_WORD: &[u8] = b"all is well";

/// How long a guard that was dismissed may take to leave.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);

/// Where no process can be started, how long until it is tried again to post a guard.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// The guard as seen from the process that it guards. Dropping it without a dismissal is our death
/// to the guard.
#[derive(Debug)]
pub struct Reaper {
    dismissal: oneshot::Sender<()>,
    watching: JoinHandle<()>,
}

impl Reaper {
    /// Posts a guard, and another one whenever it ends: `command` must call [`stand`] with the
    /// run's id, which is added as its last argument. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the process cannot be started.
    pub fn post(command: &[OsString], run: &RunId) -> std::io::Result<Self> {
        let post = Post::new(command, run)?;
        let (dismissal, dismissed) = oneshot::channel();
        let watching = tokio::spawn(watch(post, command.to_vec(), run.clone(), dismissed));
        Ok(Self { dismissal, watching })
    }

    /// Everything is in order: the guard leaves. Waits for it, but not for long.
    pub async fn dismiss(self) {
        // Neither fails: the task ends only when it is told to.
        let _ = self.dismissal.send(());
        let _ = self.watching.await;
    }
}

/// Replaces a guard that ended, until it is dismissed or forgotten.
async fn watch(
    mut post: Post,
    command: Vec<OsString>,
    run: RunId,
    mut dismissed: oneshot::Receiver<()>,
) {
    loop {
        let ended = tokio::select! {
            biased;
            said = &mut dismissed => {
                // Forgotten, it hears the end of its input and takes that for our death.
                if said.is_ok() {
                    post.dismiss().await;
                }
                return;
            }
            ended = post.child.wait() => ended,
        };
        tracing::debug!(?ended, "the guard ended by itself, posting another");
        if let Ok(next) = Post::new(&command, &run) {
            post = next;
        } else {
            tokio::time::sleep(RETRY_AFTER).await;
        }
    }
}

/// One guard.
#[derive(Debug)]
struct Post {
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Post {
    fn new(command: &[OsString], run: &RunId) -> std::io::Result<Self> {
        let (program, arguments) = command.split_first().ok_or(std::io::ErrorKind::InvalidInput)?;
        let mut child = Command::new(program)
            .arg0(NAME)
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

    async fn dismiss(mut self) {
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

/// Gives this process the name of a guard. To the kernel it is otherwise called by its program.
pub fn take_name() {
    #[cfg(target_os = "linux")]
    {
        // A guard under another name guards all the same.
        let name = std::ffi::CString::new(NAME).unwrap_or_default();
        let _ = rustix::thread::set_name(&name);
    }
}

/// Keeps hang-ups from ending this process for as long as what is returned lives. A guard that was
/// stopped is sent one by the kernel when its run dies, in the moment that it is there for.
///
/// # Errors
/// When no handler can be installed.
pub fn outlive_hangups() -> std::io::Result<impl Sized> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let hangups = {
        let _entered = runtime.enter();
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup())?
    };
    Ok((hangups, runtime))
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
    if heard == LAST_WORD { 0 } else { process_tag::sweep(Scope::Run(run)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(run: &RunId) -> std::process::Child {
        std::process::Command::new("sleep")
            .arg("600")
            .env(process_tag::RUN_VARIABLE, run)
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
