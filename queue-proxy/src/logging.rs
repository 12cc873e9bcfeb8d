//! The log of a process, one set-up for every role: what is logged ([`Filter`]), what a line looks
//! like ([`Shape`]) and where it goes ([`Output`]).
//!
//! Lines are bounded, show no secret of a URL, and are thinned out in a flood; what is left out is
//! counted in `tidegate_log_lines_dropped_total`. A subscriber of our own is a few hundred lines;
//! the usual one brings a regular expression engine into every pod.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use tidegate_telemetry::process;
use tokio::sync::mpsc;
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Metadata, span};

mod filter;
mod line;
mod sampler;

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

/// The level that Knative's logger configuration and its level name ask for, and a warning about
/// the configuration, which is never fatal.
pub fn level(config_json: &str, level: &str) -> (Level, Option<String>) {
    let mut complaint = None;
    let mut configured = None;
    if !config_json.is_empty() {
        match serde_json::from_str::<serde_json::Value>(config_json) {
            Ok(config) => {
                configured =
                    config.get("level").and_then(serde_json::Value::as_str).and_then(level_named);
            }
            Err(error) => {
                complaint = Some(format!("cannot parse the logger configuration: {error}"));
            }
        }
    }
    (level_named(level).or(configured).unwrap_or(Level::INFO), complaint)
}

fn level_named(name: &str) -> Option<Level> {
    match name.to_ascii_lowercase().as_str() {
        "debug" => Some(Level::DEBUG),
        "info" => Some(Level::INFO),
        "warn" | "warning" => Some(Level::WARN),
        "error" | "dpanic" | "panic" | "fatal" => Some(Level::ERROR),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_configuration_is_never_fatal() {
        assert_eq!(level("", ""), (Level::INFO, None));
        assert_eq!(level("{\"level\":\"debug\"}", ""), (Level::DEBUG, None));
        assert_eq!(level("{\"level\":\"debug\"}", "error"), (Level::ERROR, None));
        assert_eq!(level("", "junk"), (Level::INFO, None));
        let (level, complaint) = level("{", "warn");
        assert_eq!(level, Level::WARN);
        assert!(complaint.is_some_and(|text| text.contains("logger configuration")));
    }

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
