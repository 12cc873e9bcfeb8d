//! The output of instances: the last lines are kept, all are sent to a reader, if there is one.
//!
//! An app never waits for a reader: lines that a reader has no room for are dropped, and their
//! number is sent to it. A log file gets every line, so there the app waits for the disk, as it
//! would if its output were redirected to a file.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::line_memory::LineMemory;
use super::line_pattern::AwaitedLine;
use super::log::Log;
use super::output_stream::OutputStream;
use crate::clock::Clock;
use crate::identity::InstanceName;

/// Lines kept of an instance, to be shown when it fails.
pub(super) const TAIL_LINES: usize = 40;

/// Longest line kept; longer ones are cut into pieces.
const LINE_BYTES_MAX: usize = 4_096;

/// How long the count of dropped lines may wait for room in the reader at the end of the output.
const LAST_COUNT_TIMEOUT: Duration = Duration::from_millis(150);

/// A line that an instance wrote, or lines that were dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputLine {
    /// The instance that wrote it.
    pub instance: InstanceName,
    /// Which of its streams.
    pub stream: OutputStream,
    /// The line, or the count of dropped ones.
    pub written: Written,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// A line without its end; bytes that are no text are replaced.
    Line(String),
    /// This many lines, which the reader had no room for.
    LeftOut(u64),
}

/// Collects the output of one instance.
#[derive(Debug, Clone)]
pub(super) struct Output {
    instance: InstanceName,
    tails: Arc<Mutex<Tails>>,
    lines: Option<mpsc::Sender<OutputLine>>,
    memory: LineMemory,
    clock: Clock,
    log: Option<Log>,
    /// A line of the app that somebody waits for.
    awaited: Option<Arc<AwaitedLine>>,
}

/// The last lines of an instance's two processes.
#[derive(Debug, Default)]
struct Tails {
    app: VecDeque<String>,
    sidecar: VecDeque<String>,
}

/// The source of the last lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    App,
    Sidecar,
}

impl Output {
    pub(super) fn new(
        instance: InstanceName,
        lines: Option<mpsc::Sender<OutputLine>>,
        (memory, clock): (LineMemory, Clock),
        log: Option<Log>,
    ) -> Self {
        Self { instance, tails: Arc::default(), lines, memory, clock, log, awaited: None }
    }

    /// Looks for a line of the app as well, if one is awaited.
    pub(super) fn awaiting(self, awaited: Option<Arc<AwaitedLine>>) -> Self {
        Self { awaited, ..self }
    }

    /// Notes that the instance writes no more.
    pub(super) fn end(&self) {
        self.memory.ended(&self.instance);
    }

    /// Reads until the end of `from`.
    pub(super) async fn collect(self, stream: OutputStream, from: impl AsyncRead + Unpin) {
        let mut reader = BufReader::with_capacity(LINE_BYTES_MAX, from);
        let mut line = Vec::new();
        let mut left_out = 0;
        loop {
            let bytes = tokio::select! {
                biased;
                bytes = reader.fill_buf() => bytes,
                () = self.send_dropped_count(stream, left_out), if left_out > 0 => {
                    left_out = 0;
                    continue;
                }
            };
            // An app whose output cannot be read any more has ended, or closed it.
            let Ok(bytes) = bytes else { break };
            if bytes.is_empty() {
                break;
            }
            let newline = bytes.iter().position(|byte| *byte == b'\n');
            let taken = newline.map_or(bytes.len(), |at| at + 1);
            line.extend_from_slice(&bytes[..taken]);
            reader.consume(taken);
            if newline.is_some() || line.len() >= LINE_BYTES_MAX {
                self.push(stream, &line, &mut left_out).await;
                line.clear();
            }
        }
        if !line.is_empty() {
            self.push(stream, &line, &mut left_out).await;
        }
        if left_out > 0 {
            let _ = timeout(LAST_COUNT_TIMEOUT, self.send_dropped_count(stream, left_out)).await;
        }
    }

    async fn push(&self, stream: OutputStream, line: &[u8], left_out: &mut u64) {
        if let Some(log) = &self.log {
            log.write(stream, line).await;
        }
        let text = String::from_utf8_lossy(line).trim_end().to_owned();
        self.memory.push(&self.instance, stream, self.clock.now().as_millis(), &text);
        self.offer(stream, &text, left_out);
        if let Some(awaited) = &self.awaited
            && stream != OutputStream::Sidecar
        {
            awaited.look_at(&text);
        }
        let mut tails = self.tails.lock();
        let tail = match stream {
            OutputStream::Stdout | OutputStream::Stderr => &mut tails.app,
            OutputStream::Sidecar => &mut tails.sidecar,
        };
        if tail.len() == TAIL_LINES {
            tail.pop_front();
        }
        tail.push_back(text);
    }

    /// Passes a line on if the reader has room for it and for a gap that must precede it.
    fn offer(&self, stream: OutputStream, text: &str, left_out: &mut u64) {
        let Some(lines) = &self.lines else { return };
        let wanted = 1 + usize::from(*left_out > 0);
        let Ok(mut permits) = lines.try_reserve_many(wanted) else {
            *left_out += 1;
            return;
        };
        if *left_out > 0
            && let Some(permit) = permits.next()
        {
            permit.send(self.line(stream, Written::LeftOut(std::mem::take(left_out))));
        }
        if let Some(permit) = permits.next() {
            permit.send(self.line(stream, Written::Line(text.to_owned())));
        }
    }

    /// Waits for room to send how many lines were dropped. Cancel safe: it is sent or it is not.
    async fn send_dropped_count(&self, stream: OutputStream, count: u64) {
        if let Some(lines) = &self.lines
            && let Ok(permit) = lines.reserve().await
        {
            permit.send(self.line(stream, Written::LeftOut(count)));
        }
    }

    fn line(&self, stream: OutputStream, written: Written) -> OutputLine {
        OutputLine { instance: self.instance.clone(), stream, written }
    }

    /// The last lines.
    pub(super) fn tail(&self, whose: Whose) -> Vec<String> {
        let tails = self.tails.lock();
        let tail = match whose {
            Whose::App => &tails.app,
            Whose::Sidecar => &tails.sidecar,
        };
        tail.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> InstanceName {
        InstanceName::new("web-1").expect("valid")
    }

    fn memory() -> (LineMemory, Clock) {
        (LineMemory::default(), Clock::start())
    }

    #[tokio::test]
    async fn the_last_lines_are_kept_and_long_ones_are_cut() {
        let output = Output::new(name(), None, memory(), None);
        let mut text = String::new();
        for number in 0..100 {
            text.push_str(&format!("line {number}\r\n"));
        }
        text.push_str(&"x".repeat(LINE_BYTES_MAX * 2));
        text.push_str("\u{1F30A} no newline at the end");
        output.clone().collect(OutputStream::Stdout, text.as_bytes()).await;
        let tail = output.tail(Whose::App);
        assert_eq!(tail.len(), TAIL_LINES);
        assert!(tail[0].starts_with("line 6"), "{tail:?}");
        assert!(tail[TAIL_LINES - 1].ends_with("no newline at the end"));
        assert!(tail.iter().all(|line| line.len() <= LINE_BYTES_MAX * 2));
        assert!(output.tail(Whose::Sidecar).is_empty());
    }

    /// A burst of lines into a slow reader. Foreman and similar tools lose lines here; so did this
    /// one, without reporting it.
    #[tokio::test]
    async fn what_is_shown_and_what_is_left_out_add_up_to_what_was_written() {
        const WRITTEN: u64 = 10_000;
        let (sender, mut lines) = mpsc::channel(8);
        let output = Output::new(name(), Some(sender), memory(), None);
        let text: String = (0..WRITTEN).map(|number| format!("line {number}\n")).collect();
        let reading = tokio::spawn(async move {
            let (mut shown, mut left_out) = (0, 0);
            while let Some(line) = lines.recv().await {
                match line.written {
                    Written::Line(text) => {
                        // Every gap is reported before the line that follows it.
                        assert_eq!(text, format!("line {}", shown + left_out));
                        shown += 1;
                    }
                    Written::LeftOut(count) => left_out += count,
                }
                tokio::task::yield_now().await;
            }
            (shown, left_out)
        });
        output.collect(OutputStream::Stdout, text.as_bytes()).await;
        let (shown, left_out) = reading.await.expect("it ends");
        assert_eq!(shown + left_out, WRITTEN);
        assert!(shown >= 8 && left_out > 0, "{shown} shown, {left_out} left out");
    }
}
