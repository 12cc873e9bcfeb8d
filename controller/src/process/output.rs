//! What instances write: the last lines are kept, all are passed on to whoever wants them.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::sync::mpsc;

use crate::identity::InstanceName;

/// Lines kept of an instance, to be shown when it fails.
pub(super) const TAIL_LINES: usize = 40;

/// Longest line kept; longer ones are cut into pieces.
const LINE_BYTES_MAX: usize = 4_096;

/// A line that an instance wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputLine {
    /// Who wrote it.
    pub instance: InstanceName,
    /// Where to.
    pub stream: OutputStream,
    /// What, without its line end; bytes that are no text are replaced.
    pub text: String,
}

/// Where a line was written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputStream {
    /// The app's standard output.
    Stdout,
    /// The app's standard error.
    Stderr,
    /// What the queue-proxy logged.
    Sidecar,
}

/// Collects the output of one instance.
#[derive(Debug, Clone)]
pub(super) struct Output {
    instance: InstanceName,
    tail: Arc<Mutex<VecDeque<String>>>,
    lines: Option<mpsc::Sender<OutputLine>>,
}

impl Output {
    pub(super) fn new(instance: InstanceName, lines: Option<mpsc::Sender<OutputLine>>) -> Self {
        Self { instance, tail: Arc::default(), lines }
    }

    /// Reads until the end of `from`.
    pub(super) async fn collect(self, stream: OutputStream, from: impl AsyncRead + Unpin) {
        let mut reader = BufReader::with_capacity(LINE_BYTES_MAX, from);
        let mut line = Vec::new();
        // An app whose output cannot be read any more has ended, or closed it.
        while let Ok(bytes) = reader.fill_buf().await {
            if bytes.is_empty() {
                break;
            }
            let newline = bytes.iter().position(|byte| *byte == b'\n');
            let taken = newline.map_or(bytes.len(), |at| at + 1);
            line.extend_from_slice(&bytes[..taken]);
            reader.consume(taken);
            if newline.is_some() || line.len() >= LINE_BYTES_MAX {
                self.push(stream, &line);
                line.clear();
            }
        }
        if !line.is_empty() {
            self.push(stream, &line);
        }
    }

    fn push(&self, stream: OutputStream, line: &[u8]) {
        let text = String::from_utf8_lossy(line).trim_end().to_owned();
        if let Some(lines) = &self.lines {
            let instance = self.instance.clone();
            // Nobody waits for a reader of logs: what it has no room for is dropped.
            let _ = lines.try_send(OutputLine { instance, stream, text: text.clone() });
        }
        let mut tail = self.tail.lock();
        if tail.len() == TAIL_LINES {
            tail.pop_front();
        }
        tail.push_back(text);
    }

    /// The last lines.
    pub(super) fn tail(&self) -> Vec<String> {
        self.tail.lock().iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_lines_are_kept_and_long_ones_are_cut() {
        let name = InstanceName::new("web-1").expect("valid");
        let output = Output::new(name, None);
        let mut text = String::new();
        for number in 0..100 {
            text.push_str(&format!("line {number}\r\n"));
        }
        text.push_str(&"x".repeat(LINE_BYTES_MAX * 2));
        text.push_str("\u{1F30A} no newline at the end");
        output.clone().collect(OutputStream::Stdout, text.as_bytes()).await;
        let tail = output.tail();
        assert_eq!(tail.len(), TAIL_LINES);
        assert!(tail[0].starts_with("line 6"), "{tail:?}");
        assert!(tail[TAIL_LINES - 1].ends_with("no newline at the end"));
        assert!(tail.iter().all(|line| line.len() <= LINE_BYTES_MAX * 2));
    }
}
