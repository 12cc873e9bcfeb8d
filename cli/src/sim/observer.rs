//! Observers of a run: progress on a terminal, rows into files.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tidegate_sim::{DecisionRecord, Observer, RequestRecord, SimSpan, SimTime};
use tidegate_sim_report::{MinuteRows, RequestRows};

/// Work shorter than this shows nothing.
const QUIET_FOR: Duration = Duration::from_millis(700);

/// Progress of one run, shown when it takes long and standard error is a terminal.
pub(crate) struct Progress {
    begun: Instant,
    bar: Option<ProgressBar>,
    /// Requests to come, or nanoseconds of simulated time.
    whole: Whole,
}

enum Whole {
    Requests(u64),
    Time(SimSpan),
    Unknown,
}

impl Progress {
    /// Shows nothing.
    pub(crate) fn silent() -> Self {
        Progress { begun: Instant::now(), bar: None, whole: Whole::Unknown }
    }

    /// Progress of a run with `requests` arrivals, or of a `duration`, where these are known.
    pub(crate) fn new(requests: Option<u64>, duration: Option<SimSpan>) -> Self {
        let whole = match (requests, duration) {
            (Some(requests), _) if requests > 0 => Whole::Requests(requests),
            (_, Some(duration)) => Whole::Time(duration),
            _ => Whole::Unknown,
        };
        let watched = std::io::stderr().is_terminal();
        let bar = watched.then(|| {
            let bar = match &whole {
                Whole::Unknown => ProgressBar::new_spinner(),
                Whole::Requests(count) => ProgressBar::new(*count),
                Whole::Time(span) => ProgressBar::new(span.as_secs_f64() as u64),
            };
            bar.set_draw_target(ProgressDrawTarget::hidden());
            let template = match whole {
                Whole::Unknown => "{spinner} {human_pos} requests, {per_sec}",
                Whole::Requests(_) => {
                    "{bar:32} {percent}%  {human_pos} requests, {per_sec}, {eta} left"
                }
                Whole::Time(_) => "{bar:32} {percent}%  {eta} left",
            };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style.progress_chars("█▉▊▋▌▍▎▏ "));
            }
            bar
        });
        Progress { begun: Instant::now(), bar, whole }
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn show(&self, now: SimTime, requests: u64) {
        let Some(bar) = &self.bar else { return };
        if bar.is_hidden() {
            if self.begun.elapsed() < QUIET_FOR {
                return;
            }
            bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        match self.whole {
            Whole::Time(_) => bar.set_position(now.as_secs_f64() as u64),
            _ => bar.set_position(requests),
        }
    }
}

impl Observer for Progress {
    fn progress(&mut self, now: SimTime, requests: u64) -> bool {
        self.show(now, requests);
        true
    }
}

/// Progress, and rows for each request and minute.
pub(crate) struct Rows {
    pub(crate) progress: Progress,
    pub(crate) requests: Option<RequestRows<Box<dyn Write>>>,
    pub(crate) minutes: Option<MinuteRows>,
}

impl Observer for Rows {
    fn request(&mut self, request: &RequestRecord) {
        if let Some(rows) = &mut self.requests {
            rows.request(request);
        }
        if let Some(rows) = &mut self.minutes {
            rows.request(request);
        }
    }

    fn decision(&mut self, _decision: &DecisionRecord) {}

    fn progress(&mut self, now: SimTime, requests: u64) -> bool {
        let going = self.requests.as_mut().is_none_or(|rows| rows.progress(now, requests));
        self.progress.progress(now, requests) && going
    }
}

/// Progress of several runs, shown when they take long and standard error is a terminal.
pub(crate) struct Steps {
    begun: Instant,
    bar: Option<ProgressBar>,
}

impl Steps {
    /// Shows nothing.
    pub(crate) fn silent() -> Self {
        Steps { begun: Instant::now(), bar: None }
    }

    /// Progress of `count` runs, called `what`.
    pub(crate) fn new(count: usize, what: &'static str) -> Self {
        let watched = std::io::stderr().is_terminal();
        let bar = watched.then(|| {
            let bar = ProgressBar::new(count as u64);
            bar.set_draw_target(ProgressDrawTarget::hidden());
            let template = "{bar:32} {pos} of {len} {msg}, {per_sec}, {eta} left";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style.progress_chars("█▉▊▋▌▍▎▏ "));
            }
            bar.with_message(what)
        });
        Steps { begun: Instant::now(), bar }
    }

    /// Shows that `done` runs out of `of` are done.
    pub(crate) fn show(&self, done: usize, of: usize) {
        let Some(bar) = &self.bar else { return };
        if bar.is_hidden() {
            if self.begun.elapsed() < QUIET_FOR {
                return;
            }
            bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        bar.set_length(of as u64);
        bar.set_position(done as u64);
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
