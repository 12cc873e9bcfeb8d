//! The log of a process: what is logged, what a line looks like, and where it goes.
//!
//! Every program of the project installs this one at its start. Lines are bounded, show no secret
//! of a URL, and are thinned out in a flood; what is left out is counted in
//! `tidegate_log_lines_dropped_total`. A subscriber of our own is a few hundred lines; the usual
//! one brings a regular expression engine into every pod.
//!
//! It must never end the process that logs, make it wait for a reader, or read the environment: a
//! program hands in what was asked for.
//!
//! Modules in reading order: [`Filter`] is what is logged, [`Shape`] what a line looks like,
//! [`Output`] where it goes; a sampler thins out a flood. [`secrets`] is what of a URL may be
//! written down, here and in request logs and traces.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use tidegate_telemetry::process;
use tokio::sync::mpsc;
use tracing::level_filters::LevelFilter;
use tracing::{Event, Metadata, span};

mod filter;
mod line;
mod sampler;
pub mod secrets;

pub use filter::{Filter, FilterError};
pub use line::{Shape, push_json};

use sampler::Sampler;

/// Where lines go.
#[derive(Debug)]
pub struct Output(Sink);

#[derive(Debug)]
enum Sink {
    Stderr,
    Channel { lines: mpsc::Sender<String>, left_out: Mutex<u64> },
}

impl Output {
    /// Standard error.
    #[must_use]
    pub fn stderr() -> Self {
        Self(Sink::Stderr)
    }

    /// The reader of the channel. A line for which it is full is dropped, and the next line that is
    /// sent has the number of those.
    #[must_use]
    pub fn channel(lines: mpsc::Sender<String>) -> Self {
        Self(Sink::Channel { lines, left_out: Mutex::new(0) })
    }

    fn send(&self, mut line: String) {
        match &self.0 {
            Sink::Stderr => {
                line.push('\n');
                // A log that cannot be written must not end the process that logs.
                let _ = std::io::stderr().lock().write_all(line.as_bytes());
            }
            Sink::Channel { lines, left_out } => {
                let mut left_out = left_out.lock();
                if *left_out > 0 {
                    // Writing to a string cannot fail.
                    let _ = write!(line, " ({} log lines before it were left out)", *left_out);
                }
                match lines.try_send(line) {
                    Ok(()) => *left_out = 0,
                    Err(_) => {
                        process::log_line_dropped();
                        *left_out += 1;
                    }
                }
            }
        }
    }
}

/// Installs the log for the whole process. Without effect when the process has one already.
pub fn install(filter: Filter, shape: Shape, output: Output) {
    let log = Log { filter, shape, output, sampler: Sampler::default() };
    // Another role of this process, or a test, may have installed its own: that one then wins.
    let _ = tracing::subscriber::set_global_default(log);
}

/// The subscriber. It records events only; spans are disabled and cost nothing.
#[derive(Debug)]
struct Log {
    filter: Filter,
    shape: Shape,
    output: Output,
    sampler: Sampler,
}

impl tracing::Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && self.filter.admits(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.filter.highest())
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        if self.sampler.admits(since_epoch.as_secs()) {
            self.output.send(self.shape.line(event, since_epoch));
        } else {
            process::log_line_dropped();
        }
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_a_full_channel_drops_are_counted() {
        let (lines, mut receiver) = mpsc::channel(1);
        let output = Output::channel(lines);
        for line in ["one", "two", "three"] {
            output.send(line.to_owned());
        }
        assert_eq!(receiver.try_recv().unwrap(), "one");
        output.send("four".to_owned());
        let next = receiver.try_recv().unwrap();
        assert_eq!(next, "four (2 log lines before it were left out)");
    }
}
