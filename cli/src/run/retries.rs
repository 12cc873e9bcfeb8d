//! The output of an app that fails to start is shown once: of a further attempt that writes the
//! same, one line says so.
//!
//! Lines of an instance that takes the place of one that failed are held until it is clear that
//! they differ, or that it lives.

use std::collections::HashMap;

use tidegate_controller::process::{OutputLine, OutputStream, Written};
use tidegate_controller::{InstanceName, Notice};

/// Lines held of one instance: as many as are kept of what a failed one wrote.
const HELD_MAX: usize = 40;

/// Compares the output of attempts to start.
#[derive(Debug, Default)]
pub(crate) struct Retries {
    /// The output of the last attempt, while none has succeeded since.
    failed: Option<Vec<String>>,
    held: HashMap<InstanceName, Held>,
}

#[derive(Debug)]
enum Held {
    Lines(Vec<OutputLine>),
    /// It is shown as it writes.
    Live,
}

/// What is to be shown now.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    pub(crate) lines: Vec<OutputLine>,
    /// The line that replaces further ones.
    pub(crate) remark: Option<String>,
}

impl Retries {
    /// Shows a line or holds it.
    pub(crate) fn output(&mut self, line: OutputLine) -> Shown {
        let lines = match (&self.failed, self.held.get_mut(&line.instance)) {
            (None, _) | (_, Some(Held::Live)) => vec![line],
            (Some(_), Some(Held::Lines(held))) if held.len() < HELD_MAX => {
                held.push(line);
                Vec::new()
            }
            (Some(_), Some(Held::Lines(_))) => {
                let mut lines = self.let_go(&line.instance.clone());
                lines.push(line);
                lines
            }
            (Some(_), None) => {
                self.held.insert(line.instance.clone(), Held::Lines(vec![line]));
                Vec::new()
            }
        };
        Shown { lines, remark: None }
    }

    /// Handles a notice: it may decide whether an instance's lines are shown.
    pub(crate) fn notice(&mut self, notice: &Notice) -> Shown {
        match notice {
            Notice::Ready { .. } => {
                self.failed = None;
                self.release()
            }
            Notice::NotReady { instance, .. } => {
                Shown { lines: self.let_go(instance), remark: None }
            }
            Notice::Crashed { instance, ending, .. } => {
                let shown = self.failed_with(Some(instance), &ending.output);
                self.failed = Some(ending.output.clone());
                shown
            }
            Notice::GaveUp { ending, .. } => self.failed_with(None, &ending.output),
            _ => Shown::default(),
        }
    }

    /// Everything that is held.
    pub(crate) fn release(&mut self) -> Shown {
        let held = std::mem::take(&mut self.held).into_values();
        let lines = held.flat_map(|held| match held {
            Held::Lines(lines) => lines,
            Held::Live => Vec::new(),
        });
        Shown { lines: lines.collect(), remark: None }
    }

    /// An attempt failed, having written `output`. The last one is not named.
    fn failed_with(&mut self, instance: Option<&InstanceName>, output: &[String]) -> Shown {
        let known = self.failed.as_deref() == Some(output) && !output.is_empty();
        let held = match instance {
            Some(instance) => match self.held.remove(instance) {
                Some(Held::Lines(lines)) => lines,
                Some(Held::Live) | None => Vec::new(),
            },
            None => self.release().lines,
        };
        let is_same = known && held.iter().all(|line| is_among(line, output)) && !held.is_empty();
        if !is_same {
            return Shown { lines: held, remark: None };
        }
        let remark = held.first().map(|line| format!("{} wrote the same", line.instance));
        Shown { lines: Vec::new(), remark }
    }

    fn let_go(&mut self, instance: &InstanceName) -> Vec<OutputLine> {
        match self.held.insert(instance.clone(), Held::Live) {
            Some(Held::Lines(lines)) => lines,
            Some(Held::Live) | None => Vec::new(),
        }
    }
}

fn is_among(line: &OutputLine, output: &[String]) -> bool {
    match &line.written {
        Written::Line(text) => output.contains(text) && line.stream != OutputStream::Sidecar,
        Written::LeftOut(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use tidegate_controller::Termination;

    use super::*;

    fn line(instance: &str, text: &str) -> OutputLine {
        let instance = InstanceName::new(instance).expect("valid");
        OutputLine { instance, stream: OutputStream::Stderr, written: Written::Line(text.into()) }
    }

    fn crashed(instance: &str, output: &[&str]) -> Notice {
        let output = output.iter().map(ToString::to_string).collect();
        let ending = Termination { what: "it ended".into(), output };
        Notice::Crashed {
            instance: InstanceName::new(instance).expect("valid"),
            ending,
            retry_in_ms: 0,
        }
    }

    fn ready(instance: &str) -> Notice {
        Notice::Ready { instance: InstanceName::new(instance).expect("valid"), after_ms: 1 }
    }

    #[test]
    fn what_every_attempt_writes_is_shown_once() {
        let mut retries = Retries::default();
        assert_eq!(retries.output(line("web-1", "boom")).lines.len(), 1);
        assert!(retries.notice(&crashed("web-1", &["boom"])).lines.is_empty());
        assert!(retries.output(line("web-2", "boom")).lines.is_empty());
        let shown = retries.notice(&crashed("web-2", &["boom"]));
        assert!(shown.lines.is_empty());
        assert_eq!(shown.remark.as_deref(), Some("web-2 wrote the same"));
    }

    #[test]
    fn what_differs_is_shown_and_so_is_what_lives() {
        let mut retries = Retries::default();
        retries.output(line("web-1", "boom"));
        retries.notice(&crashed("web-1", &["boom"]));
        retries.output(line("web-2", "bang"));
        assert_eq!(retries.notice(&crashed("web-2", &["bang"])).lines.len(), 1);
        retries.output(line("web-3", "hello"));
        assert_eq!(retries.notice(&ready("web-3")).lines.len(), 1);
        assert_eq!(retries.output(line("web-3", "served")).lines.len(), 1);
    }

    #[test]
    fn little_is_held() {
        let mut retries = Retries::default();
        retries.notice(&crashed("web-1", &[]));
        let shown: usize =
            (0..100).map(|_| retries.output(line("web-2", "text")).lines.len()).sum();
        assert_eq!(shown, 100);
    }
}
