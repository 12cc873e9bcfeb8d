//! How things stand: one block that redraws in place on a terminal, timestamped lines elsewhere.

use std::collections::VecDeque;
use std::io::Write;
use std::net::SocketAddr;
use std::time::{Instant, SystemTime};

use tidegate_controller::Notice;
use tidegate_controller::journal::DecisionRecord;
use tidegate_controller::process::{OutputLine, OutputStream};

use super::Voice;
use super::service::LocalStatus;
use crate::demo::chart::{Ink, sparkline};
use crate::demo::screen::{Colour, Surface, cut, ink, terminal_width};

/// Width of the sparklines, one column a second.
const SPARK_COLUMNS: usize = 60;

/// Below this width the sparklines are left away: figures matter more.
const SPARK_MIN_WIDTH: usize = 60;

/// Okabe-Ito as terminals have it: blue for demand, green for instances, vermilion for trouble.
const BLUE: &str = "38;5;25";
const GREEN: &str = "38;5;36";
const VERMILION: &str = "38;5;166";

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
    surface: Surface,
    ink: Ink,
    decisions: Decisions,
    address: SocketAddr,
    started: Instant,
    /// Lines of the block that stands on the terminal now.
    drawn: usize,
    block: Vec<String>,
    seconds: Seconds,
    /// The last decision that changed something.
    last_change: String,
}

/// What the sparklines show: the last minute, a value a second.
#[derive(Default)]
struct Seconds {
    rate: VecDeque<f64>,
    load: VecDeque<f64>,
    ready: VecDeque<f64>,
    requests: u64,
    closed: u64,
}

impl Seconds {
    /// Closes a second if one has passed.
    fn look(&mut self, elapsed_s: u64, status: &LocalStatus) {
        if elapsed_s <= self.closed && !self.rate.is_empty() {
            return;
        }
        let passed = elapsed_s.saturating_sub(self.closed).max(1);
        self.closed = elapsed_s;
        let requests = status.door.requests.saturating_sub(self.requests);
        self.requests = status.door.requests;
        let load = status.door.in_flight + u64::from(status.door.waiting);
        push(&mut self.rate, requests as f64 / passed as f64);
        push(&mut self.load, load as f64);
        push(&mut self.ready, f64::from(status.revision.ready));
    }
}

fn push(values: &mut VecDeque<f64>, value: f64) {
    if values.len() == SPARK_COLUMNS {
        values.pop_front();
    }
    values.push_back(value);
}

impl Screen {
    pub(super) fn on_stdout(decisions: Decisions, address: SocketAddr) -> Self {
        Self {
            surface: Surface::of_stdout(),
            ink: ink(),
            decisions,
            address,
            started: Instant::now(),
            drawn: 0,
            block: Vec::new(),
            seconds: Seconds::default(),
            last_change: String::new(),
        }
    }

    /// Prints a line above the block, or with the time where there is none.
    pub(super) fn say(&mut self, line: &str) {
        let line = plain(line);
        if let Surface::Terminal(_) = self.surface {
            let mut text = self.erase();
            text.push_str(&line);
            text.push('\n');
            self.draw(text);
        } else {
            let now = humantime::format_rfc3339_millis(SystemTime::now());
            write(&format!("{now} {line}\n"));
        }
    }

    pub(super) fn notice(&mut self, notice: &Notice) {
        // On a terminal the block shows who comes and goes; only trouble is worth a line.
        let is_trouble = matches!(notice, Notice::Crashed { .. } | Notice::GaveUp { .. });
        if is_trouble || !matches!(self.surface, Surface::Terminal(_)) {
            for line in Voice::notice(notice) {
                self.say(&line);
            }
        }
    }

    pub(super) fn decision(&mut self, decision: &DecisionRecord) {
        if decision.changes() {
            self.last_change = Voice::decision(decision);
        }
        let told = match self.surface {
            Surface::Terminal(_) => false,
            _ => decision.changes(),
        };
        if told || self.decisions == Decisions::All {
            self.say(&Voice::decision(decision));
        }
    }

    pub(super) fn output(&mut self, line: &OutputLine) {
        let OutputLine { instance, stream, text } = line;
        let who = match stream {
            OutputStream::Sidecar => " queue-proxy",
            OutputStream::Stdout | OutputStream::Stderr => "",
        };
        self.say(&format!("{instance}{who} | {text}"));
    }

    /// Looks at how things stand, and shows it on a terminal.
    pub(super) fn redraw(&mut self, status: &LocalStatus) {
        self.seconds.look(self.started.elapsed().as_secs(), status);
        if let Surface::Terminal(colour) = self.surface {
            let width = terminal_width();
            self.block = self.lines(status, colour, width);
            let text = self.erase();
            self.draw(text);
        }
    }

    /// The last words: what was served.
    pub(super) fn farewell(&mut self, status: Option<&LocalStatus>) {
        let text = self.erase();
        write(&text);
        self.block.clear();
        let Some(LocalStatus { door, .. }) = status else { return };
        self.say(&format!(
            "served {} requests in {}: {} met a cold start, {} were refused, {} failed",
            door.requests,
            humantime::format_duration(std::time::Duration::from_secs(
                self.started.elapsed().as_secs()
            )),
            door.cold_starts,
            door.refused,
            door.failed,
        ));
    }

    fn lines(&self, status: &LocalStatus, colour: Colour, width: usize) -> Vec<String> {
        let paint = |code: &str, text: String| match colour {
            Colour::On => format!("\x1b[{code}m{text}\x1b[0m"),
            Colour::Off => text,
        };
        let spark = |values: &VecDeque<f64>, code: &str| {
            if width < SPARK_MIN_WIDTH {
                return String::new();
            }
            let columns = SPARK_COLUMNS.min(width.saturating_sub(20));
            let from = values.len().saturating_sub(columns);
            let values: Vec<f64> = values.iter().skip(from).copied().collect();
            paint(code, sparkline(&values, columns, self.ink))
        };
        let LocalStatus { revision, door } = status;
        let up = std::time::Duration::from_secs(self.started.elapsed().as_secs());
        let waiting = format!("waiting {}", door.waiting);
        let failed = format!("failed {}", door.failed + door.refused);
        let alarm = |is: bool, text: String| if is { paint(VERMILION, text) } else { text };
        let rate = self.seconds.rate.back().copied().unwrap_or_default();
        let (ready, desired) = (revision.ready, revision.desired.max(0));
        [
            format!(
                "{} on http://{}  up {}",
                revision.revision.name(),
                self.address,
                humantime::format_duration(up)
            ),
            format!("requests/s {rate:>6.0}  {}", spark(&self.seconds.rate, BLUE)),
            format!("in flight  {:>6}  {}", door.in_flight, spark(&self.seconds.load, BLUE)),
            format!("instances  {ready:>6}  {}", spark(&self.seconds.ready, GREEN)),
            format!(
                "desired {desired}  ready {ready}  starting {}  draining {}  {}  served {}  {}",
                revision.starting,
                revision.draining,
                alarm(door.waiting > 0, waiting),
                door.requests,
                alarm(door.failed + door.refused > 0, failed),
            ),
            format!("last  {}", self.last_change),
        ]
        .iter()
        .map(|line| cut(line, width))
        .collect()
    }

    /// Moves to where the block begins and clears from there on.
    fn erase(&mut self) -> String {
        match std::mem::take(&mut self.drawn) {
            0 => String::new(),
            // What was typed meanwhile, such as ^C, has moved the cursor.
            lines => format!("\r\x1b[{lines}A\x1b[J"),
        }
    }

    /// Writes `text` and the block below it.
    fn draw(&mut self, mut text: String) {
        for line in &self.block {
            text.push_str(line);
            text.push('\n');
        }
        self.drawn = self.block.len();
        write(&text);
    }
}

/// What an app writes must not move the cursor or change the terminal.
fn plain(line: &str) -> String {
    line.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}

fn write(text: &str) {
    let mut out = std::io::stdout().lock();
    // A reader that went away is noticed by its signal, not here.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_an_app_writes_controls_the_terminal() {
        assert_eq!(plain("\x1b[2Jgone\r\tkept"), "\u{fffd}[2Jgone\u{fffd}\tkept");
    }

    #[test]
    fn sparklines_hold_a_minute() {
        let mut values = VecDeque::new();
        for value in 0..1_000 {
            push(&mut values, f64::from(value));
        }
        assert_eq!((values.len(), values[0]), (SPARK_COLUMNS, 940.0));
    }
}
