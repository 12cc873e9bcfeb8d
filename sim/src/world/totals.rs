//! All revisions together: levels and peaks, and the series over all of them.

use super::counters::{Durations, Population};
use super::drawn::Drawn;
use crate::scaler::ScaleDecision;
use crate::series::recorder::{Level, SeriesRecorder};

/// Sums over all revisions.
#[derive(Default)]
pub(crate) struct Totals {
    pub(crate) now: Population,
    /// Most instances ready, and alive, at once.
    pub(crate) peak_ready: u64,
    pub(crate) peak_alive: u64,
    wanted: u64,
    windows: (f64, f64),
    /// How long requests took, where that is not kept for each revision.
    pub(crate) durations: Durations,
    /// Revisions whose requests go through the activator.
    proxied: u64,
    series: Option<SeriesRecorder>,
}

impl Totals {
    /// Empty sums, recorded in `series` if there is one.
    pub(crate) fn new(series: Option<SeriesRecorder>) -> Self {
        Totals { series, ..Totals::default() }
    }

    /// Restarts peaks and durations at the end of the warm-up.
    pub(crate) fn restart(&mut self) {
        (self.peak_ready, self.peak_alive) = (self.now.ready, self.now.alive());
        self.durations = Durations::default();
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

    /// A revision's number of instances wanted changes.
    pub(crate) fn want(&mut self, before: u32, wanted: u32) {
        self.wanted = self.wanted - u64::from(before) + u64::from(wanted);
    }

    /// Adds a revision; `proxied` is 1 if its requests go through the activator, else 0.
    pub(crate) fn add_revision(&mut self, proxied: u64) {
        self.proxied += proxied;
    }

    /// A revision's requests change between the activator and the direct path.
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

    /// Whether there is a series.
    pub(crate) fn is_drawn(&self) -> bool {
        self.series.is_some()
    }
}

impl Drawn for Totals {
    #[inline(always)]
    fn level(&self, level: Level) -> u64 {
        match level {
            Level::Wanted => self.wanted,
            Level::Proxied => u64::from(self.proxied > 0),
            Level::Panicking => self.now.panicking.min(1),
            _ => self.now.level(level),
        }
    }

    #[inline(always)]
    fn series_mut(&mut self) -> &mut Option<SeriesRecorder> {
        &mut self.series
    }
}
