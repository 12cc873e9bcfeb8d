//! The demo's display while it runs: one block that redraws in place on a terminal, one line for
//! each change elsewhere.

use std::time::Duration;

use tokio::sync::mpsc;

use super::stats::{Standing, Tally};
use crate::chart::Ink;
use crate::terminal::{BLUE, BlockEnd, GREEN, Surface, Target, Terminal, VERMILION};
use crate::terminal::{REASON_LINES, flow, scaled, width, wrap};

/// Progress of the demo through its traffic.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DemoProgress {
    pub(crate) at: Duration,
    pub(crate) length: Duration,
    pub(crate) phase: &'static str,
}

/// Draws the state of the demo.
#[derive(Debug)]
pub(crate) struct Screen {
    terminal: Terminal,
    ink: Ink,
    /// The last line printed, without a terminal.
    last: Option<(Standing, Duration)>,
    /// The reason printed last, without a terminal.
    told: String,
}

/// Without a change, a line is printed this often all the same.
const QUIET_LINE_EVERY: Duration = Duration::from_secs(5);
/// Width of the sparklines, at most.
const SPARK_WIDTH: usize = 72;
/// Columns before a sparkline.
const LABEL_WIDTH: usize = 17;
/// The demo polls ten times a second, and a column of the sparkline is half a second.
const SAMPLES_PER_COLUMN: usize = 5;

impl Screen {
    pub(crate) fn new(surface: Surface, ink: Ink, log: Option<mpsc::Receiver<String>>) -> Self {
        let terminal = Terminal::new(surface, Target::Stdout).with_log(log);
        Self { terminal, ink, last: None, told: String::new() }
    }

    /// Prints a line, above the block.
    pub(crate) fn say(&mut self, sentence: &str) {
        let width = if self.terminal.surface().is_terminal() { width() } else { usize::MAX };
        for line in wrap("", sentence, width, usize::MAX) {
            self.terminal.say(&line);
        }
        self.terminal.flush();
    }

    /// Shows the present state.
    pub(crate) fn show(&mut self, progress: DemoProgress, tally: &Tally, reason: &str) {
        let Some(standing) = tally.standings.last() else { return };
        match self.terminal.surface() {
            Surface::Silent => {}
            Surface::Lines => self.line(progress, *standing, tally, reason),
            Surface::Terminal(_) => {
                let block = self.block(progress, standing, tally, reason);
                self.terminal.show(block);
            }
        }
    }

    /// Leaves the last block where it is: what follows is printed below it.
    pub(crate) async fn finish(mut self) {
        self.terminal.end_block(BlockEnd::Left);
        self.terminal.close().await;
    }

    fn line(&mut self, progress: DemoProgress, now: Standing, tally: &Tally, reason: &str) {
        let scale = |standing: &Standing| (standing.desired, standing.ready, standing.starting);
        let news = self.last.as_ref().is_none_or(|(last, at)| {
            scale(last) != scale(&now) || progress.at.saturating_sub(*at) >= QUIET_LINE_EVERY
        });
        if !news {
            return;
        }
        self.last = Some((now, progress.at));
        let desired = now.desired.map_or_else(|| "-".to_owned(), |desired| desired.to_string());
        let at = progress.at.as_secs_f64();
        if reason != self.told {
            self.terminal.say(&format!("{at:>5.1} s  {reason}"));
            reason.clone_into(&mut self.told);
        }
        self.terminal.say(&format!(
            "{at:>5.1} s  {:<8} desired {desired:>2}  ready {:>2}  starting {:>2}  draining {:>2}  \
             waiting {:>3}  in flight {:>3}  answered {:>5}  lost {}",
            progress.phase,
            now.ready,
            now.starting,
            now.draining,
            now.waiting,
            now.in_flight,
            tally.answered,
            tally.lost(),
        ));
        self.terminal.flush();
    }

    fn block(
        &self,
        progress: DemoProgress,
        now: &Standing,
        tally: &Tally,
        reason: &str,
    ) -> Vec<String> {
        let (surface, width) = (self.terminal.surface(), width());
        let spark = |label: &str, value: u32, colour: &str, of: fn(&Standing) -> u32| {
            let values: Vec<f64> = tally
                .standings
                .rchunks(SAMPLES_PER_COLUMN)
                .map(|looks| f64::from(looks.iter().map(of).max().unwrap_or(0)))
                .take(SPARK_WIDTH)
                .collect();
            let values: Vec<f64> = values.into_iter().rev().collect();
            let room = width.saturating_sub(LABEL_WIDTH).min(SPARK_WIDTH);
            let (line, scale) = scaled(&values, room, self.ink);
            format!("{label:<11}{value:>4}  {}  {scale}", surface.paint(colour, &line))
        };
        let desired = now.desired.map_or_else(|| "-".to_owned(), |desired| desired.to_string());
        let lost = format!("lost {}", tally.lost());
        let lost = if tally.lost() > 0 { surface.paint(VERMILION, &lost) } else { lost };
        let mut block = vec![
            format!(
                "tidegate demo  {:>4.1} of {:.0} s  {}",
                progress.at.as_secs_f64(),
                progress.length.as_secs_f64(),
                progress.phase
            ),
            spark("requests", now.in_flight + now.waiting, BLUE, |standing| {
                standing.in_flight + standing.waiting
            }),
            spark("instances", now.ready, GREEN, |standing| standing.ready),
        ];
        let figures = [
            format!("desired {desired}"),
            format!("ready {}", now.ready),
            format!("starting {}", now.starting),
            format!("draining {}", now.draining),
            format!("waiting {}", now.waiting),
            format!("in flight {}", now.in_flight),
        ];
        block.extend(flow(&figures, width));
        block.push(format!(
            "answered {}  {lost}  p50 {:.0} ms  p99 {:.0} ms",
            tally.answered,
            tally.latency_ms(0.5),
            tally.latency_ms(0.99)
        ));
        block.extend(wrap("reason  ", reason, width, REASON_LINES));
        block
    }
}
