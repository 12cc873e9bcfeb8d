//! Notices and decisions as lines of text, without times.

use tidegate_controller::Notice;
use tidegate_controller::journal::DecisionRecord;

use crate::terminal::counted;

/// Whether the last lines of an instance that fails are repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tails {
    /// The app's output is shown as it is written: only the end of it is repeated.
    AtTheEnd,
    /// The app's output is not shown otherwise.
    Always,
}

/// Formats notices and decisions.
pub(crate) struct Voice;

impl Voice {
    /// A notice about an instance: one line, and after a crash the app's last output.
    pub(crate) fn notice(notice: &Notice, tails: Tails) -> Vec<String> {
        match notice {
            Notice::Crashed { ending, .. } => match tails {
                Tails::Always => with_output(notice.to_string(), &ending.output),
                Tails::AtTheEnd if ending.output.is_empty() => {
                    vec![format!("{notice} (it wrote nothing)")]
                }
                Tails::AtTheEnd => vec![notice.to_string()],
            },
            Notice::GaveUp { ending, .. } => with_output(notice.to_string(), &ending.output),
            Notice::AllStopped => Vec::new(),
            _ => vec![notice.to_string()],
        }
    }

    /// A decision and its reason.
    pub(crate) fn decision(decision: &DecisionRecord) -> String {
        match decision.changes() {
            true => format!("{}. {decision}", Self::change(decision)),
            false => {
                format!("{}. {decision}", counted(count(decision.replicas()), "instance"))
            }
        }
    }

    /// What a decision changes.
    pub(crate) fn change(decision: &DecisionRecord) -> String {
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
