//! What the demo shows while it runs: one block that redraws in place on a terminal, one line for
//! each change elsewhere.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use super::chart::{self, Ink};
use super::tally::{Standing, Tally};

/// Where it is shown, which decides how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Surface {
    /// A terminal that can move the cursor.
    Terminal(Colour),
    /// A file, a pipe, a log.
    Lines,
    /// Nowhere: only the summary is wanted.
    Silent,
}

/// Whether colour may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colour {
    /// As the terminal likes.
    On,
    /// `NO_COLOR` is set.
    Off,
}

impl Surface {
    /// What standard output is.
    pub(crate) fn of_stdout() -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        if !std::io::stdout().is_terminal() || dumb {
            return Self::Lines;
        }
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self::Terminal(if no_color { Colour::Off } else { Colour::On })
    }
}

/// The characters that the locale can show.
pub(crate) fn ink() -> Ink {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .filter_map(|name| std::env::var(name).ok())
        .find(|value| !value.is_empty())
        .unwrap_or_default()
        .to_ascii_lowercase();
    if locale.contains("utf-8") || locale.contains("utf8") { Ink::Blocks } else { Ink::Ascii }
}

/// Where the demo is in its traffic.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) at: Duration,
    pub(crate) length: Duration,
    pub(crate) phase: &'static str,
}

/// Draws the state of the demo.
#[derive(Debug)]
pub(crate) struct Screen {
    surface: Surface,
    ink: Ink,
    /// Lines of the block that stands on the terminal now.
    drawn: usize,
    /// What the last line said, elsewhere.
    last: Option<(Standing, Duration)>,
    /// The reason that was told last, elsewhere.
    told: String,
}

/// Without a change, a line is printed this often all the same.
const QUIET_LINE_EVERY: Duration = Duration::from_secs(5);
/// Width of the sparklines.
const SPARK_WIDTH: usize = 60;

impl Screen {
    pub(crate) fn new(surface: Surface, ink: Ink) -> Self {
        Self { surface, ink, drawn: 0, last: None, told: String::new() }
    }

    /// Shows how things stand now.
    pub(crate) fn show(&mut self, moment: Moment, tally: &Tally, reason: &str) {
        let Some(standing) = tally.standings.last() else { return };
        match self.surface {
            Surface::Silent => {}
            Surface::Lines => self.line(moment, *standing, tally, reason),
            Surface::Terminal(colour) => {
                let block = self.block(moment, standing, tally, reason, colour);
                self.redraw(&block);
            }
        }
    }

    /// Leaves the last block where it is: what follows is printed below it.
    pub(crate) fn finish(&mut self) {
        self.drawn = 0;
    }

    fn line(&mut self, moment: Moment, now: Standing, tally: &Tally, reason: &str) {
        let scale = |standing: &Standing| (standing.desired, standing.ready, standing.starting);
        let news = self.last.as_ref().is_none_or(|(last, at)| {
            scale(last) != scale(&now) || moment.at.saturating_sub(*at) >= QUIET_LINE_EVERY
        });
        if !news {
            return;
        }
        self.last = Some((now, moment.at));
        let desired = now.desired.map_or_else(|| "-".to_owned(), |desired| desired.to_string());
        if reason != self.told {
            println!("{:>5.1} s  {reason}", moment.at.as_secs_f64());
            reason.clone_into(&mut self.told);
        }
        println!(
            "{:>5.1} s  {:<8} desired {desired:>2}  ready {:>2}  starting {:>2}  draining {:>2}  \
             waiting {:>3}  in flight {:>3}  answered {:>5}  lost {}",
            moment.at.as_secs_f64(),
            moment.phase,
            now.ready,
            now.starting,
            now.draining,
            now.waiting,
            now.in_flight,
            tally.answered,
            tally.lost(),
        );
    }

    fn block(
        &self,
        moment: Moment,
        now: &Standing,
        tally: &Tally,
        reason: &str,
        colour: Colour,
    ) -> Vec<String> {
        // Okabe-Ito: blue for demand, green for instances, vermilion for loss.
        let paint = |code: &str, text: String| match colour {
            Colour::On => format!("\x1b[{code}m{text}\x1b[0m"),
            Colour::Off => text,
        };
        let recent = |values: Vec<f64>| {
            let from = values.len().saturating_sub(SPARK_WIDTH * SAMPLES_PER_COLUMN);
            chart::sparkline(&values[from..], SPARK_WIDTH, self.ink)
        };
        let instances: Vec<f64> =
            tally.standings.iter().map(|standing| f64::from(standing.ready)).collect();
        let load: Vec<f64> = tally
            .standings
            .iter()
            .map(|standing| f64::from(standing.in_flight + standing.waiting))
            .collect();
        let desired = now.desired.map_or_else(|| "-".to_owned(), |desired| desired.to_string());
        let lost = format!("lost {}", tally.lost());
        vec![
            format!(
                "tidegate demo  {:>4.1} of {:.0} s  {}",
                moment.at.as_secs_f64(),
                moment.length.as_secs_f64(),
                moment.phase
            ),
            format!(
                "load       {:>3}  {}",
                now.in_flight + now.waiting,
                paint("38;5;25", recent(load))
            ),
            format!("instances  {:>3}  {}", now.ready, paint("38;5;36", recent(instances))),
            format!(
                "desired {desired}  ready {}  starting {}  draining {}  waiting {}  in flight {}",
                now.ready, now.starting, now.draining, now.waiting, now.in_flight
            ),
            format!(
                "answered {}  {}  p50 {:.0} ms  p99 {:.0} ms",
                tally.answered,
                if tally.lost() > 0 { paint("38;5;166", lost) } else { lost },
                tally.latency_ms(0.5),
                tally.latency_ms(0.99)
            ),
            format!("reason  {reason}"),
        ]
    }

    fn redraw(&mut self, block: &[String]) {
        let width = terminal_width();
        let mut out = String::new();
        if self.drawn > 0 {
            out.push_str(&format!("\x1b[{}A", self.drawn));
        }
        for line in block {
            out.push_str("\x1b[2K");
            out.push_str(&cut(line, width));
            out.push('\n');
        }
        self.drawn = block.len();
        let mut stdout = std::io::stdout().lock();
        // A terminal that went away is noticed by the signal it sends.
        let _ = stdout.write_all(out.as_bytes()).and_then(|()| stdout.flush());
    }
}

/// The demo looks ten times a second, and a column of the sparkline is half a second.
const SAMPLES_PER_COLUMN: usize = 5;

/// Columns of the terminal on standard output.
pub(crate) fn terminal_width() -> usize {
    rustix::termios::tcgetwinsize(std::io::stdout())
        .ok()
        .map(|size| usize::from(size.ws_col))
        // Some terminals do not know their width and say zero.
        .filter(|columns| *columns > 0)
        .map_or(80, |columns| columns.max(20))
}

/// Cuts a line to the width of the terminal without counting colour codes.
pub(crate) fn cut(line: &str, width: usize) -> String {
    let mut out = String::new();
    let mut shown = 0;
    let mut chars = line.chars();
    while let Some(char) = chars.next() {
        if char == '\x1b' {
            out.push(char);
            for code in chars.by_ref() {
                out.push(code);
                if code.is_ascii_alphabetic() {
                    break;
                }
            }
        } else if shown < width {
            shown += 1;
            out.push(char);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn a_line_is_cut_to_what_is_seen() {
        assert_eq!(cut("abcdef", 3), "abc");
        assert_eq!(cut("a\x1b[38;5;36mbc\x1b[0mdef", 2), "a\x1b[38;5;36mb\x1b[0m");
    }
}
