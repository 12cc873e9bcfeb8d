//! A process of an instance: one of our own, or one that a run before has started.

use std::fmt;
use std::io;
use std::process::ExitStatus;

use rustix::process::{Pid, Signal, kill_process, kill_process_group, pidfd_send_signal};
use tokio::net::unix::pipe;
use tokio::process::Child;

use crate::kept::KeptProcess;

/// A process of an instance, which leads a process group.
pub(super) enum Process {
    Ours(Child),
    Adopted(Adopted),
}

/// A process that is no child of this one.
pub(super) struct Adopted {
    pid: Pid,
    /// A descriptor that is readable once it has ended, as a pipe's is at its end.
    process: pipe::Receiver,
    has_ended: bool,
}

/// How a process ended.
pub(super) enum Exit {
    Known(io::Result<ExitStatus>),
    /// Only its parent is told.
    Unknown,
}

impl Exit {
    pub(super) fn is_success(&self) -> bool {
        matches!(self, Self::Known(Ok(status)) if status.success())
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(Ok(status)) => status.fmt(f),
            Self::Known(Err(error)) => error.fmt(f),
            Self::Unknown => f.write_str("how is not known, as a run before had started it"),
        }
    }
}

impl Process {
    /// Takes over a process; `None` when it has ended, or cannot be watched.
    pub(super) fn adopt(kept: KeptProcess) -> Option<Self> {
        let (pid, process) = kept.open()?;
        let process = pipe::Receiver::from_owned_fd_unchecked(process).ok()?;
        Some(Self::Adopted(Adopted { pid, process, has_ended: false }))
    }

    /// Waits for its end. Cancel safe.
    pub(super) async fn wait(&mut self) -> Exit {
        match self {
            Self::Ours(child) => Exit::Known(child.wait().await),
            Self::Adopted(adopted) => {
                if !adopted.has_ended {
                    // An error is as good as an end: it cannot be watched any more.
                    let _ = adopted.process.readable().await;
                    adopted.has_ended = true;
                }
                Exit::Unknown
            }
        }
    }

    /// Its number, which stays its own until it was waited for.
    pub(super) fn pid(&self) -> Option<Pid> {
        match self {
            Self::Ours(child) => {
                child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw)
            }
            Self::Adopted(adopted) => Some(adopted.pid).filter(|_| !adopted.has_ended),
        }
    }

    pub(super) fn signal(&self, signal: Signal) {
        // It may have ended by itself.
        match self {
            Self::Ours(_) => {
                let _ = self.pid().map(|pid| kill_process(pid, signal));
            }
            Self::Adopted(adopted) => {
                let _ = pidfd_send_signal(&adopted.process, signal);
            }
        }
    }

    /// Signals it and what it started. A leader that was waited for may have given its number to
    /// another process, so it is not signalled any more; the tag finds what it left behind.
    pub(super) fn signal_group(&self, signal: Signal) {
        if let Some(pid) = self.pid() {
            let _ = kill_process_group(pid, signal);
        }
    }
}
