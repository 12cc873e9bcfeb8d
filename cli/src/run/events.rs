//! Notices and decisions as lines of text, without times.

use tidegate_controller::Notice;
use tidegate_controller::journal::DecisionRecord;

use crate::terminal::counted;

/// Whether the last lines of an instance that fails are repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tails {
    /// The app's output is shown as it is written: only the end of it is repeated.
    AtTheEnd,
    /// The app's output is not shown otherwise.
    Always,
}

/// Formats notices and decisions.
pub(super) struct Voice;

impl Voice {
    /// A notice about an instance: one line, and after a crash the app's last output.
    pub(super) fn notice(notice: &Notice, tails: Tails) -> Vec<String> {
        match notice {
            Notice::Starting { instance } => vec![format!("{instance} starts")],
            Notice::Ready { instance, after_ms } => {
                vec![format!("{instance} is ready after {after_ms} ms")]
            }
            Notice::NotReady { instance, after_ms, why } => {
                vec![format!("{instance} is not ready after {}: {why}", span(*after_ms))]
            }
            Notice::Lingers { instance, left_ms } => {
                vec![format!("{instance} ignores SIGTERM, killing it in {}", span(*left_ms))]
            }
            Notice::Draining { instance } => vec![format!("{instance} drains")],
            Notice::Stopped { instance } => vec![format!("{instance} stopped")],
            Notice::Crashed { instance, ending, retry_in_ms } => {
                let next = match retry_in_ms {
                    0 => "another one starts".to_owned(),
                    ms => format!("another one starts in {}", span(*ms)),
                };
                let head = format!("{instance} failed: {}; {next}", ending.what);
                match tails {
                    Tails::Always => with_output(head, &ending.output),
                    Tails::AtTheEnd if ending.output.is_empty() => {
                        vec![format!("{head} (it wrote nothing)")]
                    }
                    Tails::AtTheEnd => vec![head],
                }
            }
            Notice::GaveUp { revision, ending, attempts } => {
                let name = revision.name();
                let attempts = counted(u64::from(*attempts), "attempt");
                let head = format!("{name} never became ready in {attempts}: {}", ending.what);
                with_output(head, &ending.output)
            }
            Notice::AllStopped => Vec::new(),
        }
    }

    /// A decision and its reason.
    pub(super) fn decision(decision: &DecisionRecord) -> String {
        match decision.changes() {
            true => format!("{}. {decision}", Self::change(decision)),
            false => {
                format!("{}. {decision}", counted(count(decision.replicas()), "instance"))
            }
        }
    }

    /// What a decision changes.
    pub(super) fn change(decision: &DecisionRecord) -> String {
        format!("{} -> {}", decision.before, counted(count(decision.replicas()), "instance"))
    }
}

fn count(replicas: i32) -> u64 {
    u64::try_from(replicas).unwrap_or(0)
}

fn with_output(head: String, output: &[String]) -> Vec<String> {
    let mut lines = vec![head];
    match output.is_empty() {
        true => lines.push("    it wrote nothing".to_owned()),
        false => lines.extend(output.iter().map(|line| format!("    {line}"))),
    }
    lines
}

/// Seconds once there are some.
fn span(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000.. => format!("{} s", (ms + 500) / 1_000),
    }
}
