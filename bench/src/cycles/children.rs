//! Processes that are started: where they write, and how they end.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Child;

/// Tells a process to end, and kills it where that takes too long.
pub(super) async fn end(child: &mut Child, patience: Duration) {
    if let Some(id) = child.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
        // One that has ended is as good.
        let _ = kill_process(id, Signal::TERM);
    }
    if tokio::time::timeout(patience, child.wait()).await.is_err() {
        let _ = child.kill().await;
    }
}

/// Where a process writes what it says: the end of a file, or nowhere.
pub(super) fn log(path: Option<&Path>) -> anyhow::Result<Stdio> {
    let Some(path) = path else { return Ok(Stdio::null()) };
    let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
    Ok(file.with_context(|| format!("{} cannot be written", path.display()))?.into())
}
