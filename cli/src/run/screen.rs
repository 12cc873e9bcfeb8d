//! The display: one block that redraws in place on a terminal, timestamped lines elsewhere.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tidegate_controller::Notice;
use tidegate_controller::journal::DecisionRecord;
use tidegate_controller::process::{OutputLine, OutputStream};
use tidegate_local::{Status, View};

use super::draining::LiveScreen;
use super::events::{Tails, Voice};
use super::lines;
use super::retries::{Retries, Shown};
use super::summary;
use super::waiting::Waiting;
use crate::chart::Ink;
use crate::terminal::{BLUE, BlockEnd, GREEN, Surface, Terminal, VERMILION};
use crate::terminal::{REASON_LINES, flow, ink, scaled, width, wrap};

/// Width of the sparklines at most, one column a second: what is kept.
const SPARK_COLUMNS: usize = 72;

/// Columns before a sparkline.
const LABEL_WIDTH: usize = 18;

/// Which decisions are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decisions {
    /// Those that change the number of instances.
    Changes,
    /// Every one, and what the sidecars log.
    All,
}

/// Shows events and the present state.
pub(super) struct Screen {
    terminal: Terminal,
    ink: Ink,
    decisions: Decisions,
    tails: Tails,
    retries: Retries,
    address: SocketAddr,
    started: Instant,
    seconds: Seconds,
    /// The last decision that changed something.
    last_change: String,
}

/// How a run was.
pub(super) struct Summary {
    /// For people.
    pub(super) lines: Vec<String>,
    /// For programs.
    pub(super) json: serde_json::Value,
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
    /// Closes a second if one has passed; until then its levels can only rise.
    fn look(&mut self, elapsed_s: u64, status: &Status) {
        let load = (status.activator.in_flight + u64::from(status.activator.waiting)) as f64;
        let ready = f64::from(status.revision.ready);
        if elapsed_s <= self.closed && !self.rate.is_empty() {
            raise(&mut self.load, load);
            raise(&mut self.ready, ready);
            return;
        }
        let passed = elapsed_s.saturating_sub(self.closed).max(1);
        self.closed = elapsed_s;
        let requests = status.activator.requests.saturating_sub(self.requests);
        self.requests = status.activator.requests;
        push(&mut self.rate, requests as f64 / passed as f64);
        push(&mut self.load, load);
        push(&mut self.ready, ready);
    }
}

fn push(values: &mut VecDeque<f64>, value: f64) {
    if values.len() == SPARK_COLUMNS {
        values.pop_front();
    }
    values.push_back(value);
}

fn raise(values: &mut VecDeque<f64>, value: f64) {
    if let Some(last) = values.back_mut() {
        *last = last.max(value);
    }
}

/// How many requests wait, and out of how many that may once those are nearly all.
fn waiting(status: &Status) -> String {
    let (waiting, most) = (status.activator.waiting, status.waiting_max);
    match u64::from(waiting) * 10 >= u64::from(most) * 9 && waiting > 0 {
        true => format!("waiting {waiting} of {most} at most"),
        false => format!("waiting {waiting}"),
    }
}

impl LiveScreen for Screen {
    type View = View;

    async fn room(&self) {
        self.terminal.room().await;
    }

    fn say(&mut self, line: &str) {
        self.line(line);
        self.terminal.flush();
    }

    fn notice(&mut self, notice: &Notice) {
        let shown = self.retries.notice(notice);
        self.show(shown);
        // On a terminal the block shows starting and stopped instances already.
        let is_news = match notice {
            Notice::Starting { .. } | Notice::Stopped { .. } => {
                !self.terminal.surface().is_terminal()
            }
            Notice::ColdStarted(_) => self.decisions == Decisions::All,
            _ => true,
        };
        if is_news {
            for line in Voice::notice(notice, self.tails) {
                self.line(&line);
            }
        }
        self.terminal.flush();
    }

    fn output(&mut self, lines: &mut Vec<OutputLine>) {
        for line in lines.drain(..) {
            if line.stream == OutputStream::Sidecar && self.decisions == Decisions::Changes {
                continue;
            }
            let shown = self.retries.output(line);
            self.show(shown);
        }
        self.terminal.flush();
    }

    async fn redraw_waiting(
        &mut self,
        view: &View,
        waiting: &mut Waiting,
        elapsed: Duration,
    ) -> anyhow::Result<()> {
        let status = view.status().await?;
        if let Some(sentence) = waiting.tell(&status, elapsed) {
            self.say(&sentence);
        }
        self.redraw(&status);
        Ok(())
    }
}

impl Screen {
    pub(super) fn new(
        terminal: Terminal,
        decisions: Decisions,
        tails: Tails,
        address: SocketAddr,
    ) -> Self {
        Self {
            terminal,
            ink: ink(),
            decisions,
            tails,
            retries: Retries::default(),
            address,
            started: Instant::now(),
            seconds: Seconds::default(),
            last_change: String::new(),
        }
    }

    fn line(&mut self, line: &str) {
        lines::line(&mut self.terminal, line);
    }

    pub(super) fn decision(&mut self, decision: &DecisionRecord) {
        if decision.changes() {
            self.last_change = Voice::decision(decision);
        }
        let told = match self.terminal.surface() {
            // The block has the reason.
            Surface::Terminal(_) if decision.changes() && self.decisions == Decisions::Changes => {
                self.line(&Voice::change(decision));
                false
            }
            _ => decision.changes() || self.decisions == Decisions::All,
        };
        if told {
            self.line(&Voice::decision(decision));
        }
        self.terminal.flush();
    }

    fn show(&mut self, shown: Shown) {
        for line in shown.lines {
            self.written(&line);
        }
        if let Some(remark) = shown.remark {
            self.line(&remark);
        }
    }

    fn written(&mut self, line: &OutputLine) {
        lines::written(&mut self.terminal, line);
    }

    /// Updates the state, and draws it on a terminal.
    pub(super) fn redraw(&mut self, status: &Status) {
        self.seconds.look(self.started.elapsed().as_secs(), status);
        if self.terminal.surface().is_terminal() {
            let block = self.block(status, width());
            self.terminal.show(block);
        }
        self.terminal.flush();
    }

    /// Prints the summary; returns it as well.
    pub(super) async fn farewell(
        mut self,
        status: Option<&Status>,
        last_words: &[String],
    ) -> Summary {
        let held = self.retries.release();
        self.show(held);
        self.terminal.end_block(BlockEnd::Erased);
        let up = self.started.elapsed();
        let mut lines = status.map(|status| summary::text(status, up)).unwrap_or_default();
        lines.extend_from_slice(last_words);
        for line in &lines {
            self.line(line);
        }
        self.terminal.close().await;
        let json = status.map_or(serde_json::Value::Null, |status| summary::json(status, up));
        Summary { lines, json }
    }

    fn block(&self, status: &Status, width: usize) -> Vec<String> {
        let surface = self.terminal.surface();
        let spark = |label: &str, value: f64, values: &VecDeque<f64>, colour: &str| {
            let values: Vec<f64> = values.iter().copied().collect();
            let room = width.saturating_sub(LABEL_WIDTH).min(SPARK_COLUMNS);
            let (line, scale) = scaled(&values, room, self.ink);
            format!("{label:<11}{value:>5.0}  {}  {scale}", surface.paint(colour, &line))
        };
        let Status { revision, activator, outcomes, .. } = status;
        let up = Duration::from_secs(self.started.elapsed().as_secs());
        let rate = self.seconds.rate.back().copied().unwrap_or_default();
        let alarm = |is: bool, text: String| match is {
            true => surface.paint(VERMILION, &text),
            false => text,
        };
        let mut block = vec![
            format!(
                "{} on http://{}  up {}",
                revision.revision.name(),
                self.address,
                humantime::format_duration(up)
            ),
            spark("requests/s", rate, &self.seconds.rate, BLUE),
            spark("in flight", activator.in_flight as f64, &self.seconds.load, BLUE),
            spark("instances", f64::from(revision.ready), &self.seconds.ready, GREEN),
        ];
        let instances = [
            format!("desired {}", revision.desired.max(0)),
            format!("ready {}", revision.ready),
            format!("starting {}", revision.starting),
            format!("draining {}", revision.draining),
            match revision.frozen {
                0 => String::new(),
                frozen => format!("frozen {frozen}"),
            },
            alarm(activator.waiting > 0, waiting(status)),
        ];
        block.extend(flow(&instances, width));
        let mut requests =
            vec![format!("requests {}", activator.requests), summary::latency(outcomes)];
        let failures = summary::failures(outcomes).into_iter();
        requests.extend(failures.map(|figure| alarm(outcomes.failures() > 0, figure)));
        block.extend(flow(&requests, width));
        if !self.last_change.is_empty() {
            block.extend(wrap("last  ", &self.last_change, width, REASON_LINES));
        }
        block
    }
}

#[cfg(test)]
mod tests {
    use tidegate_activator::Cause;

    use super::super::waiting::tests::status;
    use super::*;
    use crate::terminal::{Colour, Target};

    #[test]
    fn a_queue_that_is_nearly_full_says_how_many_it_takes() {
        let mut status = status(1, 0, 1);
        for (requests, shown) in [
            (0, "waiting 0"),
            (8_999, "waiting 8999"),
            (9_000, "waiting 9000 of 10000 at most"),
            (10_000, "waiting 10000 of 10000 at most"),
        ] {
            status.activator.waiting = requests;
            assert_eq!(waiting(&status), shown);
        }
    }

    #[tokio::test]
    async fn every_cause_of_a_failure_fits_sixty_columns() {
        let mut status = status(1, 0, 1);
        status.activator.waiting = 10_000;
        for cause in Cause::ALL {
            status.outcomes.failed.insert((503, cause), 123_456);
        }
        let surface = Surface::Terminal(Colour::Off);
        let address = SocketAddr::from(([127, 0, 0, 1], 8080));
        let terminal = Terminal::new(surface, Target::Stderr);
        let screen = Screen::new(terminal, Decisions::Changes, Tails::Always, address);
        let block = screen.block(&status, 60);
        for line in &block {
            assert!(line.chars().count() <= 60, "{line}");
        }
        for cause in Cause::ALL {
            let figure = format!("503 {cause}: 123456");
            assert!(block.iter().any(|line| line.contains(&figure)), "{figure}: {block:#?}");
        }
    }

    #[test]
    fn the_scale_of_a_sparkline_is_not_below_the_present_value() {
        let mut seconds = Seconds::default();
        seconds.look(1, &status(3, 0, 1));
        seconds.look(1, &status(12, 0, 6));
        seconds.look(1, &status(2, 0, 2));
        assert_eq!((seconds.load[0], seconds.ready[0]), (12.0, 6.0));
    }

    #[test]
    fn sparklines_hold_a_minute() {
        let mut values = VecDeque::new();
        for value in 0..1_000 {
            push(&mut values, f64::from(value));
        }
        assert_eq!((values.len(), values[0]), (SPARK_COLUMNS, 1_000.0 - SPARK_COLUMNS as f64));
    }
}
