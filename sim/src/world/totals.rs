//! All revisions together: levels and peaks, and the series over all of them.

use super::counters::Population;
use crate::scaler::ScaleDecision;
use crate::series::recorder::{Count, Level, SeriesRecorder};

/// Sums over all revisions.
#[derive(Default)]
pub(crate) struct Totals {
    pub(crate) now: Population,
    /// Most instances ready, and alive, at once.
    pub(crate) peak_ready: u64,
    pub(crate) peak_alive: u64,
    wanted: u64,
    windows: (f64, f64),
    /// Revisions whose requests go through the front door.
    proxied: u64,
    series: Option<SeriesRecorder>,
}

impl Totals {
    /// Nothing yet; drawn into `series`.
    pub(crate) fn new(series: Option<SeriesRecorder>) -> Self {
        Totals { series, ..Totals::default() }
    }

    /// The warm-up is over: peaks are those from now on.
    pub(crate) fn restart(&mut self) {
        (self.peak_ready, self.peak_alive) = (self.now.ready, self.now.alive());
    }

    /// A level of some revision changed.
    #[inline(always)]
    pub(crate) fn shift(&mut self, level: Level, change: i64) {
        self.now.shift(level, change);
        if matches!(level, Level::Starting | Level::Ready | Level::Draining) {
            self.peak_ready = self.peak_ready.max(self.now.ready);
            self.peak_alive = self.peak_alive.max(self.now.alive());
        }
    }

    /// A revision wants another number of instances.
    pub(crate) fn want(&mut self, before: u32, wanted: u32) {
        self.wanted = self.wanted - u64::from(before) + u64::from(wanted);
    }

    /// A revision was met, and its requests go through the front door or not.
    pub(crate) fn meet(&mut self, proxied: u64) {
        self.proxied += proxied;
    }

    /// The requests of a revision go another way.
    pub(crate) fn reroute(&mut self, before: u64, verdict: &ScaleDecision) {
        self.proxied = self.proxied - before + u64::from(verdict.proxied);
    }

    /// The averages of a revision's decision were `before` and are `windows`.
    pub(crate) fn draw_windows(&mut self, now: u64, [before, windows]: [(f64, f64); 2]) {
        self.windows.0 += windows.0 - before.0;
        self.windows.1 += windows.1 - before.1;
        if let Some(series) = &mut self.series {
            series.windows(now, self.windows.0, self.windows.1);
        }
    }

    /// Counts something that happened, in the series.
    #[inline]
    pub(crate) fn count(&mut self, now: u64, count: Count) {
        if let Some(series) = &mut self.series {
            series.count(now, count);
        }
    }

    /// Draws the present value of a level into the series.
    #[inline(always)]
    pub(crate) fn draw(&mut self, now: u64, level: Level) {
        if let Some(series) = &mut self.series {
            let value = match level {
                Level::Wanted => self.wanted,
                Level::Proxied => u64::from(self.proxied > 0),
                Level::Panicking => self.now.panicking.min(1),
                _ => self.now.level(level),
            };
            series.set(now, level, value);
        }
    }

    /// Whether there is a series.
    pub(crate) fn is_drawn(&self) -> bool {
        self.series.is_some()
    }

    /// The series over all revisions.
    pub(crate) fn series_mut(&mut self) -> &mut Option<SeriesRecorder> {
        &mut self.series
    }
}
