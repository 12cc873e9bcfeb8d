//! What a queue-proxy cannot see of an app's readiness: that a command ends well, that the app has
//! written a line.
//!
//! A queue-proxy sees that the port accepts connections. What is proved here is needed besides, and
//! the controller is told of it.

use std::convert::Infallible;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::watch;
use tokio::time::timeout;

use super::commands::{Whose, app_command, app_order};
use super::line_pattern::AwaitedLine;
use super::{Motion, Wish};
use crate::declaration::{Launch, Readiness};
use crate::event::Event;
use crate::instance::Proof;

/// Time after a command that failed, until it is run again: an app that starts quickly is not kept
/// waiting, and one that starts slowly is not slowed down by the many that fail.
const FIRST_GAP: Duration = Duration::from_millis(50);
const GAP_MAX: Duration = Duration::from_secs(1);

/// Time between two runs of a command that has ended well: Kubernetes' period.
const PERIOD: Duration = Duration::from_secs(10);

/// So many failures in a row take a readiness back: Kubernetes' threshold.
const FAILURES_MAX: u32 = 3;

/// How long a command may take, until it counts as failed and is killed.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the last words of a command that has ended may take to be read.
const WORDS_TIMEOUT: Duration = Duration::from_millis(200);

/// What is kept of the end of what a command writes: enough for a line that says why.
const WORDS_BYTES_MAX: usize = 512;

/// The proof that an app is ready, as far as its queue-proxy cannot see it.
#[derive(Debug, Clone)]
pub(super) struct Proving {
    port: u16,
    line: Option<Arc<AwaitedLine>>,
    /// Why there is no proof; `None` once there is, and where none is needed.
    why_not: Arc<Mutex<Option<String>>>,
}

impl Proving {
    /// Of an app that is to be started.
    pub(super) fn new(readiness: &Readiness, port: u16) -> Self {
        let (line, why_not) = match readiness {
            Readiness::Tcp | Readiness::Http(_) | Readiness::Grpc(_) => (None, None),
            Readiness::Exec(_) => {
                (None, Some("its readiness command has not ended so far".to_owned()))
            }
            Readiness::LogLine(pattern) => {
                let pattern = pattern.replace("{PORT}", &port.to_string());
                let why_not = format!("it has written no line with {pattern:?} in it so far");
                (Some(Arc::new(AwaitedLine::new(&pattern))), Some(why_not))
            }
        };
        Self { port, line, why_not: Arc::new(Mutex::new(why_not)) }
    }

    /// Of an app that a run before has started, and that was ready for it or not.
    pub(super) fn resumed(readiness: &Readiness, port: u16, proof: Proof) -> Self {
        match proof {
            Proof::Missing => Self::new(readiness, port),
            // The command is asked again, the line will not be written again.
            Proof::Given => Self { port, line: None, why_not: Arc::default() },
        }
    }

    /// The line that its output is to be searched for.
    pub(super) fn line(&self) -> Option<Arc<AwaitedLine>> {
        self.line.clone()
    }

    /// Why there is no proof so far, for people.
    pub(super) fn why_not(&self) -> Option<String> {
        self.why_not.lock().clone()
    }

    /// Tells the controller what is proved, for as long as it is polled.
    pub(super) async fn prove(
        &self,
        of: Whose<'_>,
        launch: &Launch,
        wishes: watch::Receiver<Wish>,
    ) -> Infallible {
        if let Some(line) = &self.line {
            line.come().await;
            self.tell(of, Ok(())).await;
        }
        if let Readiness::Exec(command) = &launch.readiness {
            let launch = Launch { command: command.clone(), ..launch.clone() };
            self.run_repeatedly(of, &launch, &wishes).await;
        }
        std::future::pending().await
    }

    /// Runs a command until it ends well, and then now and then, until the controller has ended.
    async fn run_repeatedly(&self, of: Whose<'_>, launch: &Launch, wishes: &watch::Receiver<Wish>) {
        let (mut failures, mut gap) = (FAILURES_MAX, FIRST_GAP);
        if self.why_not().is_none() {
            failures = 0;
        }
        loop {
            // What stands still proves nothing, and is as ready as it was.
            if wishes.borrow().motion == Motion::Runs {
                let result = attempt(of, launch, self.port).await;
                failures = if result.is_ok() { 0 } else { failures.saturating_add(1) };
                if result.is_ok() || failures >= FAILURES_MAX {
                    self.tell(of, result).await;
                }
            }
            if failures >= FAILURES_MAX {
                tokio::time::sleep(gap).await;
                gap = (gap * 2).min(GAP_MAX);
            } else {
                tokio::time::sleep(PERIOD).await;
                gap = FIRST_GAP;
            }
        }
    }

    /// Tells the controller what is so, if that is news.
    async fn tell(&self, of: Whose<'_>, result: Result<(), String>) {
        let proof = if result.is_ok() { Proof::Given } else { Proof::Missing };
        let before = std::mem::replace(&mut *self.why_not.lock(), result.err());
        if before.is_none() == (proof == Proof::Given) {
            return;
        }
        of.shared.note_proof(of.name, proof);
        let instance = of.name.clone();
        // When the controller has ended there is no one left to receive it.
        let _ = of.shared.handle.happened(Event::InstanceProved { instance, proof }).await;
    }
}

/// Runs the command of `launch` as the app is run: in its folder, with its variables, by its user.
async fn attempt(of: Whose<'_>, launch: &Launch, port: u16) -> Result<(), String> {
    let shown = launch.program();
    let mut command = app_command(of, &app_order(of, Some(std::process::id()), launch, port)?);
    command.stdin(Stdio::null());
    let child = of.shared.starter.start(command).await;
    let mut child = child.map_err(|error| format!("`{shown}` cannot be started: {error}"))?;
    let words = tokio::spawn(last_words(child.stdout.take(), child.stderr.take()));
    let Ok(ended) = timeout(ATTEMPT_TIMEOUT, child.wait()).await else {
        words.abort();
        // Dropped, it is killed.
        return Err(format!("its readiness command `{shown}` takes more than {ATTEMPT_TIMEOUT:?}"));
    };
    let status = ended.map_err(|error| format!("`{shown}` cannot be waited for: {error}"))?;
    if status.success() {
        words.abort();
        return Ok(());
    }
    let words = timeout(WORDS_TIMEOUT, words).await.ok().and_then(Result::ok).unwrap_or_default();
    let said = if words.is_empty() { String::new() } else { format!(": {words}") };
    Err(format!("its readiness command `{shown}` ended with {status}{said}"))
}

/// The last line that a command has written, to its standard error or else to its output.
async fn last_words(
    out: Option<impl AsyncRead + Unpin>,
    err: Option<impl AsyncRead + Unpin>,
) -> String {
    let (out, err) = tokio::join!(read_words(out), read_words(err));
    let last =
        |text: &str| text.lines().map(str::trim).rfind(|line| !line.is_empty()).map(Into::into);
    last(&err).or_else(|| last(&out)).unwrap_or_default()
}

/// Reads to the end, however much it is: a command whose output nobody reads any more is killed by
/// what it writes next, and would fail for that.
async fn read_words(from: Option<impl AsyncRead + Unpin>) -> String {
    let mut bytes = Vec::new();
    if let Some(mut from) = from {
        let mut buffer = [0; WORDS_BYTES_MAX];
        // What was read until an error is told all the same.
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            bytes.extend_from_slice(&buffer[..count]);
            bytes.drain(..bytes.len().saturating_sub(WORDS_BYTES_MAX));
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_words_of_much_are_read() {
        let much = format!("{}\nno route to the database\n", "x".repeat(100_000));
        let none = None::<&[u8]>;
        assert_eq!(last_words(Some(much.as_bytes()), none).await, "no route to the database");
        let (out, err) = (b"an answer\n".as_slice(), b"refused\n \n".as_slice());
        assert_eq!(last_words(Some(out), Some(err)).await, "refused");
        assert_eq!(last_words(Some(out), none).await, "an answer");
    }
}
