//! Builds: what is run before the first instance of a revision.

use std::collections::VecDeque;
use std::process::Stdio;

use tidegate_controller::InstanceName;
use tidegate_controller::process::{OutputLine, OutputStream, Written};
use tidegate_services::Template;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::Command;
use tokio::sync::mpsc;

use super::declare::Surroundings;
use super::users::{self, Account};

/// Lines of a failed build that are told with it.
const TAIL_LINES: usize = 10;

/// Longest line that is passed on; the rest of a longer one is left out.
const LINE_CHARS_MAX: usize = 4_096;

/// Runs the build of `service`. Its lines are shown as those of `SERVICE-build`.
///
/// Cancel safe: a build whose caller was cancelled is killed.
///
/// # Errors
///
/// Why it failed, with its last lines.
pub(crate) async fn run(
    service: String,
    template: Template,
    surroundings: Surroundings,
    output: Option<mpsc::Sender<OutputLine>>,
) -> Result<(), String> {
    let Some(build) = &template.build else { return Ok(()) };
    let Some((program, arguments)) = build.command.split_first() else { return Ok(()) };
    let account = template.user.as_deref().map(users::account).transpose();
    let account = account.map_err(|error| error.to_string())?.flatten();
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir(surroundings.directory(&template))
        .envs(surroundings.variables(&template, account.as_ref()))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    if let Some(Account { ids, .. }) = &account {
        command.uid(ids.user).gid(ids.group);
    }
    let mut child =
        command.spawn().map_err(|error| format!("{program} cannot be started: {error}"))?;
    let name = InstanceName::new(&format!("{service}-build")).map_err(|error| error.to_string())?;
    let (tails, mut tail) = mpsc::channel(TAIL_LINES);
    let out = child.stdout.take().map(|out| {
        let to = (name.clone(), OutputStream::Stdout);
        tokio::spawn(pass_on(out, to, output.clone(), tails.clone()))
    });
    let err = child
        .stderr
        .take()
        .map(|err| tokio::spawn(pass_on(err, (name, OutputStream::Stderr), output, tails)));
    let mut last: VecDeque<String> = VecDeque::new();
    while let Some(line) = tail.recv().await {
        if last.len() == TAIL_LINES {
            last.pop_front();
        }
        last.push_back(line);
    }
    let status = child.wait().await.map_err(|error| error.to_string())?;
    for reading in [out, err].into_iter().flatten() {
        // Its only error is that it was cancelled.
        let _ = reading.await;
    }
    if status.success() {
        return Ok(());
    }
    let lines: Vec<String> = last.into_iter().map(|line| format!("\n    {line}")).collect();
    Err(format!("`{}` ended with {status}{}", build.command.join(" "), lines.concat()))
}

/// Sends each line to who shows it, if anybody, and to who keeps the last ones.
async fn pass_on(
    from: impl AsyncRead + Unpin,
    (instance, stream): (InstanceName, OutputStream),
    output: Option<mpsc::Sender<OutputLine>>,
    tails: mpsc::Sender<String>,
) {
    let mut lines = BufReader::new(from).split(b'\n');
    while let Ok(Some(line)) = lines.next_segment().await {
        let text: String =
            String::from_utf8_lossy(&line).trim_end().chars().take(LINE_CHARS_MAX).collect();
        if let Some(output) = &output {
            let line = OutputLine {
                instance: instance.clone(),
                stream,
                written: Written::Line(text.clone()),
            };
            // Whoever showed it may be gone.
            let _ = output.send(line).await;
        }
        let _ = tails.send(text).await;
    }
}
