//! A launcher to spare: one process that stands ready, in a control group of its own, to become the
//! next app.
//!
//! To move into a group takes longer than everything else that is added to a cold start, so it is
//! done ahead. One is started once nothing has been started for a while, and again after each that
//! was used; whoever wants one when there is none starts its app in a new process. It is one task's
//! alone, which tells everybody else whether there is one.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::process::Stdio;
use std::time::Duration;

use tidegate_trust::credentials;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::control_group;
use super::launch_order::LaunchOrder;
use super::launcher;
use super::parent_death::Starter;
use super::process_tag::{INSTANCE_VARIABLE, RUN_VARIABLE, RunId};
use crate::identity::InstanceName;

/// How long nothing is to have been started, until a launcher is: where many instances start at
/// once, none of them waits for one that stands ready for none of them.
const QUIET_PERIOD: Duration = Duration::from_millis(100);

/// How long a launcher may take to be ready: it is a program's start and a move.
const READY_TIMEOUT: Duration = Duration::from_secs(5);

/// So many launchers in a row that are of no use, and no more are started: this machine lets us
/// have no groups, or somebody ends them.
const USELESS_MAX: u32 = 3;

/// Asks that may wait: each instance that starts has one, and waits for the answer.
const ASKS_MAX: usize = 64;

/// The launcher to spare, if there is one. All clones mean the same one; it ends with the last.
#[derive(Debug, Clone)]
pub struct Spare {
    asks: mpsc::Sender<Ask>,
}

#[derive(Debug)]
enum Ask {
    Take(oneshot::Sender<ReadyLauncher>),
    /// Its end is seen by the sender's.
    Dismiss(oneshot::Sender<()>),
}

/// Nobody will ask any more. What is in it is dropped once nothing is left.
struct Dismissed {
    _done: Option<oneshot::Sender<()>>,
}

impl Spare {
    /// Must be called within a tokio runtime. `launcher` is a program and its arguments, which
    /// calls [`launcher::stand_ready`]; without one, or without groups, there is never one to
    /// spare.
    pub(super) fn new(launcher: &[OsString], run: &RunId, starter: Starter) -> Self {
        let (asks, asked) = mpsc::channel(ASKS_MAX);
        if !launcher.is_empty() && control_group::may_be_had() {
            let source = Source { launcher: launcher.into(), run: run.clone(), starter };
            tokio::spawn(keep_one(source, asked));
        }
        Self { asks }
    }

    /// The one that stands ready; `None` when there is none.
    pub(super) async fn take(&self) -> Option<ReadyLauncher> {
        let (answer, answered) = oneshot::channel();
        self.asks.send(Ask::Take(answer)).await.ok()?;
        answered.await.ok()
    }

    /// Ends the one that stands ready, and starts no more.
    pub async fn dismiss(&self) {
        let (done, is_done) = oneshot::channel();
        if self.asks.send(Ask::Dismiss(done)).await.is_ok() {
            // Dropped without a word, it is as done.
            let _ = is_done.await;
        }
    }
}

/// What launchers are started by.
struct Source {
    launcher: Vec<OsString>,
    run: RunId,
    starter: Starter,
}

/// Keeps one ready until it is dismissed, or nobody is left to ask.
async fn keep_one(source: Source, mut asks: mpsc::Receiver<Ask>) {
    let mut failures = 0;
    while failures < USELESS_MAX {
        match keep_next(&source, &mut asks).await {
            Ok(Ending::Taken) => failures = 0,
            Ok(Ending::Useless) => failures += 1,
            Err(Dismissed { .. }) => return,
        }
    }
    tracing::debug!("launchers are of no use here, so that each app starts in a new process");
}

/// How one ended.
enum Ending {
    Taken,
    Useless,
}

/// Starts one when it is quiet, and keeps it until somebody takes it.
async fn keep_next(source: &Source, asks: &mut mpsc::Receiver<Ask>) -> Result<Ending, Dismissed> {
    until_quiet(asks).await?;
    match make(source, asks).await? {
        Ok(ready) => offer(ready, asks).await,
        Err(error) => {
            tracing::debug!(%error, "no launcher stands ready");
            Ok(Ending::Useless)
        }
    }
}

/// Waits until nobody has asked for a while. There is none meanwhile.
async fn until_quiet(asks: &mut mpsc::Receiver<Ask>) -> Result<(), Dismissed> {
    while let Ok(ask) = timeout(QUIET_PERIOD, asks.recv()).await {
        refuse(ask)?;
    }
    Ok(())
}

/// Starts one. There is none meanwhile.
async fn make(
    source: &Source,
    asks: &mut mpsc::Receiver<Ask>,
) -> Result<io::Result<ReadyLauncher>, Dismissed> {
    let mut making = pin!(ReadyLauncher::start(source));
    loop {
        tokio::select! {
            made = &mut making => return Ok(made),
            ask = asks.recv() => if let Err(dismissed) = refuse(ask) {
                // Ended half-way it would leave its group.
                if let Ok(ready) = making.await {
                    ready.discard().await;
                }
                return Err(dismissed);
            },
        }
    }
}

/// Says that there is none.
fn refuse(ask: Option<Ask>) -> Result<(), Dismissed> {
    match ask {
        Some(Ask::Take(_)) => Ok(()),
        Some(Ask::Dismiss(done)) => Err(Dismissed { _done: Some(done) }),
        None => Err(Dismissed { _done: None }),
    }
}

/// Waits until somebody takes it.
async fn offer(
    mut ready: ReadyLauncher,
    asks: &mut mpsc::Receiver<Ask>,
) -> Result<Ending, Dismissed> {
    loop {
        let ask = tokio::select! {
            biased;
            _ = ready.child.wait() => {
                ready.discard().await;
                return Ok(Ending::Useless);
            }
            ask = asks.recv() => ask,
        };
        match ask {
            Some(Ask::Take(answer)) => match answer.send(ready) {
                Ok(()) => return Ok(Ending::Taken),
                // Whoever asked has gone.
                Err(back) => ready = back,
            },
            other => {
                ready.discard().await;
                return refuse(other).map(|()| Ending::Useless);
            }
        }
    }
}

/// A launcher that stands ready. Dropped, it is killed.
#[derive(Debug)]
pub(super) struct ReadyLauncher {
    child: Child,
    /// Not the child's any more: whoever waits for that one's end would end it by its input's.
    input: Option<ChildStdin>,
    group: PathBuf,
}

impl ReadyLauncher {
    async fn start(source: &Source) -> io::Result<Self> {
        let (program, arguments) =
            source.launcher.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let mut command = Command::new(program);
        command
            .arg0(launcher::NAME)
            .args(arguments)
            .env(RUN_VARIABLE, &source.run)
            // That of an instance which we are in ourselves.
            .env_remove(INSTANCE_VARIABLE)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        // What no app is given, what may become one has not either.
        for variable in credentials::VARIABLES {
            command.env_remove(variable);
        }
        let mut child = source.starter.start(command).await?;
        let pid = child.id().ok_or_else(|| io::Error::other("it has ended"))?;
        let group = control_group::of_launcher(&source.run, pid);
        let group = group.ok_or(io::ErrorKind::Unsupported)?;
        let mut this = Self { input: child.stdin.take(), child, group };
        let ready = timeout(READY_TIMEOUT, this.hear()).await;
        match ready.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(launcher::READY) => Ok(this),
            other => {
                this.discard().await;
                Err(other.err().unwrap_or_else(|| io::Error::other("it said something else")))
            }
        }
    }

    async fn hear(&mut self) -> io::Result<u8> {
        let output = self.child.stdout.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        output.read_u8().await
    }

    /// Has it become the app of an instance. Its pipes are the app's, unless the order names
    /// others.
    ///
    /// # Errors
    ///
    /// When it cannot be told. Then it has ended, and nothing of it is left.
    pub(super) async fn become_app(
        mut self,
        instance: &InstanceName,
        order: &LaunchOrder,
    ) -> io::Result<Child> {
        match self.tell(instance, order).await {
            Ok(()) => {
                self.child.stdin = self.input;
                Ok(self.child)
            }
            Err(error) => {
                self.discard().await;
                Err(error)
            }
        }
    }

    async fn tell(&mut self, instance: &InstanceName, order: &LaunchOrder) -> io::Result<()> {
        let line = order.to_line().ok_or(io::ErrorKind::FileTooLarge)?;
        // First its group: from the moment that it is told it may start what has to be found.
        control_group::label(&self.group, instance.as_str())?;
        let input = self.input.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        input.write_all(&line).await?;
        if order.pipes.is_some() {
            // Once it has them, it holds these no more.
            let _ = timeout(READY_TIMEOUT, self.hear()).await;
            (self.input, self.child.stdout, self.child.stderr) = (None, None, None);
        }
        Ok(())
    }

    /// Ends it, and removes its group.
    async fn discard(mut self) {
        // It may have ended by itself.
        let _ = self.child.kill().await;
        control_group::remove_ready(&self.group);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a launcher does as long as it is not told anything, without a group.
    const STANDS: &str = "printf r; exec cat >/dev/null";

    fn spare(script: &str) -> Spare {
        let launcher = ["sh", "-c", script].map(OsString::from);
        Spare::new(&launcher, &RunId::random(), Starter::new())
    }

    #[tokio::test]
    async fn launchers_that_are_of_no_use_are_given_up() {
        let spare = spare("exit 1");
        spare.asks.closed().await;
        assert!(spare.take().await.is_none());
        spare.dismiss().await;
    }

    #[tokio::test]
    async fn there_is_one_at_a_time_and_none_after_the_dismissal() {
        if !control_group::may_be_had() {
            return;
        }
        let spare = spare(STANDS);
        let taken = loop {
            if let Some(ready) = spare.take().await {
                break ready;
            }
            // Asked again and again it would never be quiet.
            tokio::time::sleep(QUIET_PERIOD * 2).await;
        };
        assert!(spare.take().await.is_none());
        spare.dismiss().await;
        assert!(spare.take().await.is_none());
        taken.discard().await;
    }

    #[tokio::test]
    async fn one_whose_group_cannot_be_found_does_not_become_an_app() {
        let (launcher, run) = (["sh", "-c", STANDS].map(OsString::from), RunId::random());
        let source = Source { launcher: launcher.into(), run, starter: Starter::new() };
        let Ok(ready) = ReadyLauncher::start(&source).await else { return };
        let order = LaunchOrder {
            tie: "nobody".into(),
            command: vec!["true".into()],
            environment: Vec::new(),
            directory: None,
            pipes: None,
        };
        let name = InstanceName::new("web-1").expect("valid");
        let refused = ready.become_app(&name, &order).await.map(|_| ());
        assert_eq!(refused.expect_err("no group").kind(), io::ErrorKind::NotFound);
    }
}
