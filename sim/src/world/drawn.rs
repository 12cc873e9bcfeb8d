//! How levels and counts get into a series, where there is one.

use crate::record::Outcome;
use crate::series::recorder::{Count, Level, SeriesRecorder};

/// Whatever has levels and may have a series of them: a revision, and all together.
pub(crate) trait Drawn {
    /// The present value of a level, as the series shows it.
    fn level(&self, level: Level) -> u64;

    /// The series, to be taken out at the end of the run.
    fn series_mut(&mut self) -> &mut Option<SeriesRecorder>;

    /// Counts something that happened, in the series.
    #[inline]
    fn count(&mut self, now: u64, count: Count) {
        if let Some(series) = self.series_mut() {
            series.count(now, count);
        }
    }

    /// Shows that a request ended, in the series.
    #[inline]
    fn show_end(&mut self, now: u64, outcome: Outcome, inside_ns: u64, waited_ns: u64) {
        if let Some(series) = self.series_mut() {
            series.ended(now, outcome, inside_ns, waited_ns);
        }
    }

    /// Draws the present value of a level into the series.
    #[inline(always)]
    fn draw(&mut self, now: u64, level: Level) {
        if self.series_mut().is_some() {
            let value = self.level(level);
            if let Some(series) = self.series_mut() {
                series.set(now, level, value);
            }
        }
    }
}
