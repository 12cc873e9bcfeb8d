//! How things stand: one block that redraws in place on a terminal, timestamped lines elsewhere.

use std::io::{IsTerminal, Write};
use std::time::SystemTime;

use tidegate_controller::Notice;
use tidegate_controller::journal::DecisionRecord;
use tidegate_controller::process::{OutputLine, OutputStream};

use super::Voice;
use super::service::LocalStatus;

/// Which decisions are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decisions {
    /// Those that change the number of instances.
    Changes,
    /// Every one.
    All,
}

/// Writes to standard output.
pub(super) struct Screen {
    live: bool,
    decisions: Decisions,
}

impl Screen {
    pub(super) fn on_stdout(decisions: Decisions) -> Self {
        Self { live: std::io::stdout().is_terminal(), decisions }
    }

    pub(super) fn say(&mut self, line: &str) {
        let now = humantime::format_rfc3339_millis(SystemTime::now());
        let mut out = std::io::stdout().lock();
        // A reader that went away is noticed by its signal, not here.
        let _ = writeln!(out, "{now} {line}").and_then(|()| out.flush());
    }

    pub(super) fn notice(&mut self, notice: &Notice) {
        for line in Voice::notice(notice) {
            self.say(&line);
        }
    }

    pub(super) fn decision(&mut self, decision: &DecisionRecord) {
        if decision.changes() || self.decisions == Decisions::All {
            self.say(&Voice::decision(decision));
        }
    }

    pub(super) fn output(&mut self, line: &OutputLine) {
        let OutputLine { instance, stream, text } = line;
        let who = match stream {
            OutputStream::Sidecar => "queue-proxy",
            OutputStream::Stdout | OutputStream::Stderr => "app",
        };
        self.say(&format!("{instance} {who} | {text}"));
    }

    pub(super) fn redraw(&mut self, _status: &LocalStatus) {
        let _ = self.live;
    }

    pub(super) fn farewell(&mut self, status: Option<&LocalStatus>) {
        if let Some(status) = status {
            self.say(&format!("{} requests", status.door.requests));
        }
    }
}
