//! The past as reporters remember it: the fleet is the database of a controller that restarted.
//!
//! Reports of many reporters, each with its own period boundaries, are spread over whole seconds;
//! every second's total is then what a controller that never stopped would have recorded.

use std::collections::BTreeMap;

use tidegate_autoscaler::history::HistoryEntry;
use tidegate_autoscaler::observed::Observed;
use tidegate_autoscaler::sample::{Origin, Sample};
use tidegate_autoscaler::time::Timestamp;

use crate::report::Report;

/// Most seconds kept: Knative's longest stable window.
pub const SECONDS_MAX: usize = 3_600;

const SECOND_MS: i64 = 1_000;

/// Totals of past seconds.
#[derive(Debug, Default)]
pub struct History {
    seconds: BTreeMap<i64, [Total; 2]>,
}

/// One second's sums over reporters.
#[derive(Debug, Clone, Copy, Default)]
struct Total {
    figures: [f64; 4],
    /// Reporters that covered it, each by its share of the second: distinguishes silence from
    /// idleness.
    reporters: f64,
}

impl History {
    /// Spreads a report over the seconds it spans.
    pub fn add(&mut self, origin: Origin, report: &Report) {
        let end = report.end_unix_ms;
        let start = end.saturating_sub(i64::from(report.length_ms));
        let lane = match origin {
            Origin::Instances => 0,
            Origin::Activator => 1,
        };
        let sample = &report.sample;
        let figures = [
            sample.concurrency(),
            sample.proxied_concurrency(),
            sample.request_rate(),
            sample.proxied_request_rate(),
        ];
        let mut from = start;
        while from < end {
            let second = from.div_euclid(SECOND_MS);
            let until = (second + 1).saturating_mul(SECOND_MS).min(end);
            let share = (until - from) as f64 / SECOND_MS as f64;
            let total = &mut self.seconds.entry(second).or_default()[lane];
            for (sum, figure) in total.figures.iter_mut().zip(figures) {
                *sum += figure * share;
            }
            total.reporters += share;
            from = until;
        }
        while self.seconds.len() > SECONDS_MAX {
            self.seconds.pop_first();
        }
    }

    /// Whether no second has a total.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.seconds.is_empty()
    }

    /// How many seconds have a total.
    #[must_use]
    pub fn len(&self) -> usize {
        self.seconds.len()
    }

    /// The totals of the last [`SECONDS_MAX`] in order, up to the last second that is over at
    /// `now`. The instances of a second are those whose reports cover it.
    #[must_use]
    pub fn entries(&self, now: Timestamp) -> Vec<HistoryEntry> {
        let mut entries = Vec::with_capacity(self.seconds.len());
        let mut observed = Observed::default();
        // What is older than any window must not be replayed second by second: a clock
        // set to 1970 would cost half a century of decisions.
        let oldest = now.unix_seconds().saturating_sub(SECONDS_MAX as i64);
        for (second, totals) in self.seconds.range(oldest..now.unix_seconds()) {
            let at = Timestamp::from_secs(*second);
            for (origin, total) in [Origin::Instances, Origin::Activator].into_iter().zip(totals) {
                let [concurrency, proxied, rate, proxied_rate] = total.figures;
                let sample = Sample::new(concurrency, proxied, rate, proxied_rate);
                let Some(sample) = sample.ok().filter(|_| total.reporters > 0.0) else { continue };
                if origin == Origin::Instances {
                    observed = Observed::ready(total.reporters.round() as u32);
                }
                entries.push(HistoryEntry { at, origin, sample, observed });
            }
        }
        entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(end_unix_ms: i64, length_ms: u32, concurrency: f64) -> Report {
        Report { end_unix_ms, ..Report::of_concurrency(concurrency, length_ms) }
    }

    fn samples(history: &History, now_ms: i64) -> Vec<(i64, f64)> {
        let entries = history.entries(Timestamp::from_millis(now_ms));
        entries.iter().map(|e| (e.at.as_millis(), e.sample.concurrency())).collect()
    }

    #[test]
    fn a_report_is_shared_between_the_seconds_it_spans() {
        let mut history = History::default();
        history.add(Origin::Instances, &report(11_250, 1_000, 4.0));
        history.add(Origin::Instances, &report(12_250, 1_000, 8.0));
        history.add(Origin::Instances, &report(12_000, 2_000, 1.0));
        let expected = [(10_000, 3.0 + 1.0), (11_000, 1.0 + 6.0 + 1.0)];
        assert_eq!(samples(&history, 12_500), expected, "the open second is not over yet");
    }

    #[test]
    fn idle_seconds_are_zero_and_silent_ones_are_missing() {
        let mut history = History::default();
        history.add(Origin::Instances, &report(2_000, 1_000, 0.0));
        history.add(Origin::Activator, &report(5_000, 1_000, 3.0));
        assert_eq!(samples(&history, 9_000), [(1_000, 0.0), (4_000, 3.0)]);
    }

    #[test]
    fn what_is_older_than_any_window_is_not_lived_through_again() {
        let mut history = History::default();
        history.add(Origin::Instances, &report(60_000, 1_000, 1.0));
        history.add(Origin::Instances, &report(1_700_000_000_000, 1_000, 2.0));
        assert_eq!(samples(&history, 1_700_000_001_000), [(1_699_999_999_000, 2.0)]);
    }

    #[test]
    fn it_is_bounded() {
        let mut history = History::default();
        for second in 0..10_000 {
            history.add(Origin::Instances, &report(second * 1_000, 60_000, 1.0));
        }
        assert_eq!(history.len(), SECONDS_MAX);
        let mut early = History::default();
        early.add(Origin::Instances, &report(i64::MIN, 1_000, 1.0));
        early.add(Origin::Instances, &report(i64::MIN + 10, 60_000, 1.0));
        assert!(early.len() <= 1);
    }
}
