//! The signals that ask a process to end: one rule for every role.
//!
//! The first lets work finish, and the process ends with 0. The next one ends it at once, with the
//! code of a process that a signal has ended.
//!
//! It must never end anything by itself: it waits, and says which signal came.

use std::io;
use std::process::ExitCode;

use tidegate_trust::rereads;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Waits for the signals that ask for an end.
#[derive(Debug)]
pub struct ShutdownSignals {
    interrupt: Signal,
    terminate: Signal,
    /// Where it asks for an end.
    hangup: Option<Signal>,
}

/// A signal that asks for an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShutdownSignal {
    /// SIGINT, as Ctrl-C sends it.
    Interrupt,
    /// SIGTERM.
    Terminate,
    /// SIGHUP: the terminal is gone.
    Hangup,
}

impl ShutdownSignal {
    /// Exit code of a process that the signal ended at once: 128 and its number, as shells have it.
    #[must_use]
    pub fn exit_code(self) -> ExitCode {
        ExitCode::from(self.code())
    }

    /// The same as a number.
    #[must_use]
    pub fn code(self) -> u8 {
        128 + match self {
            Self::Hangup => 1,
            Self::Interrupt => 2,
            Self::Terminate => 15,
        }
    }
}

impl ShutdownSignals {
    /// Those of a program that people start at a terminal, whose end is theirs. From now on these
    /// signals no longer end the process by themselves. Must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// When the system does not let them be caught.
    pub fn new() -> io::Result<Self> {
        Ok(Self { hangup: Some(signal(SignalKind::hangup())?), ..Self::without_hangup()? })
    }

    /// Those of a role. SIGHUP never ends it: it has [files looked at again](rereads).
    ///
    /// # Errors
    ///
    /// When the system does not let them be caught.
    pub fn of_role() -> io::Result<Self> {
        rereads::follow_hangups()?;
        Self::without_hangup()
    }

    fn without_hangup() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: None,
        })
    }

    /// Waits for the next of them. Cancel safe.
    pub async fn next(&mut self) -> ShutdownSignal {
        let Self { interrupt, terminate, hangup } = self;
        let hangup = async {
            match hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = interrupt.recv() => ShutdownSignal::Interrupt,
            _ = terminate.recv() => ShutdownSignal::Terminate,
            _ = hangup => ShutdownSignal::Hangup,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_those_of_shells() {
        let signals =
            [ShutdownSignal::Hangup, ShutdownSignal::Interrupt, ShutdownSignal::Terminate];
        assert_eq!(signals.map(ShutdownSignal::code), [129, 130, 143]);
    }
}
