//! What happens, in words: one line for each thing, without a time.

use tidegate_controller::Notice;
use tidegate_controller::journal::DecisionRecord;

/// Puts things into words.
pub(super) struct Voice;

impl Voice {
    /// What happened to an instance. Most lines are one; a crash shows what the app wrote.
    pub(super) fn notice(notice: &Notice) -> Vec<String> {
        match notice {
            Notice::Starting { instance } => vec![format!("{instance} starts")],
            Notice::Ready { instance, after_ms } => {
                vec![format!("{instance} is ready after {after_ms} ms")]
            }
            Notice::Draining { instance } => vec![format!("{instance} drains")],
            Notice::Stopped { instance } => vec![format!("{instance} stopped")],
            Notice::Crashed { instance, ending, retry_in_ms } => {
                let next = match retry_in_ms {
                    0 => "another one starts".to_owned(),
                    ms => format!("another one starts in {ms} ms"),
                };
                let head = format!("{instance} failed: {}; {next}", ending.what);
                with_output(head, &ending.output)
            }
            Notice::GaveUp { revision, ending, attempts } => {
                let name = revision.name();
                let head =
                    format!("{name} never became ready in {attempts} attempts: {}", ending.what);
                with_output(head, &ending.output)
            }
            Notice::AllStopped => Vec::new(),
        }
    }

    /// A decision and its reason.
    pub(super) fn decision(decision: &DecisionRecord) -> String {
        let (before, after) = (decision.before, decision.replicas());
        match decision.changes() {
            true => format!("{before} -> {after} instances. {decision}"),
            false => format!("{after} instances. {decision}"),
        }
    }
}

fn with_output(head: String, output: &[String]) -> Vec<String> {
    let mut lines = vec![head];
    match output.is_empty() {
        true => lines.push("    it wrote nothing".to_owned()),
        false => lines.extend(output.iter().map(|line| format!("    {line}"))),
    }
    lines
}
