//! The past as reporters remember it: the fleet is the database of a controller that restarted.
//!
//! Reports of many reporters, each with its own period boundaries, are spread over whole seconds;
//! every second's total is then what a controller that never stopped would have recorded.

use std::collections::BTreeMap;

use tidegate_autoscaler::history::HistoryEntry;
use tidegate_autoscaler::observed::Observed;
use tidegate_autoscaler::sample::{Origin, Sample};
use tidegate_autoscaler::time::Timestamp;

use crate::demand::with_what_nobody_tells;
use crate::identity::{InstanceName, ReporterId};
use crate::report::Report;

/// Most seconds kept: Knative's longest stable window.
pub const SECONDS_MAX: usize = 3_600;

const SECOND_MS: i64 = 1_000;

/// An activator that covered this part of a second has told of all of it: periods do not end to the
/// millisecond.
const WHOLE_SECOND: f64 = 0.9;

/// Totals of past seconds.
#[derive(Debug, Default)]
pub struct History {
    seconds: BTreeMap<i64, [Total; 2]>,
    /// Until when the reports of each reporter reach, in Unix milliseconds: nobody was there twice.
    told_until: BTreeMap<Source, i64>,
}

/// Who remembers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// An instance.
    Instance(InstanceName),
    /// An activator, by its stream.
    Activator(ReporterId),
}

impl Source {
    fn lane(&self) -> usize {
        match self {
            Self::Instance(_) => 0,
            Self::Activator(_) => 1,
        }
    }
}

/// One second's sums over reporters.
#[derive(Debug, Clone, Copy, Default)]
struct Total {
    figures: [f64; 4],
    /// Reporters that covered it, each by its share of the second: distinguishes silence from
    /// idleness.
    reporters: f64,
}

impl Total {
    fn sample(&self) -> Option<Sample> {
        let [concurrency, proxied, rate, proxied_rate] = self.figures;
        let sample = Sample::new(concurrency, proxied, rate, proxied_rate);
        sample.ok().filter(|_| self.reporters > 0.0)
    }
}

impl History {
    /// Spreads a report over the seconds it spans, but for what its reporter has told of before:
    /// whatever its clock did, it counts once in each second.
    pub fn add(&mut self, source: Source, report: &Report) {
        let (end, lane) = (report.end_unix_ms, source.lane());
        let told_until = self.told_until.entry(source).or_insert(i64::MIN);
        let start = end.saturating_sub(i64::from(report.length_ms)).max(*told_until);
        *told_until = end.max(*told_until);
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
            let [instances, activators] = totals;
            let told = activators.sample();
            if let Some(mut sample) = instances.sample() {
                observed = Observed::ready(instances.reporters.round() as u32);
                if activators.reporters < WHOLE_SECOND {
                    sample = with_what_nobody_tells(sample, told);
                }
                let origin = Origin::Instances;
                entries.push(HistoryEntry { at, origin, sample, observed });
            }
            if let Some(sample) = told {
                entries.push(HistoryEntry { at, origin: Origin::Activator, sample, observed });
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

    fn instance(name: &str) -> Source {
        Source::Instance(InstanceName::new(name).expect("valid"))
    }

    fn samples(history: &History, now_ms: i64) -> Vec<(i64, f64)> {
        let entries = history.entries(Timestamp::from_millis(now_ms));
        entries.iter().map(|e| (e.at.as_millis(), e.sample.concurrency())).collect()
    }

    #[test]
    fn a_report_is_shared_between_the_seconds_it_spans() {
        let mut history = History::default();
        history.add(instance("a"), &report(11_250, 1_000, 4.0));
        history.add(instance("a"), &report(12_250, 1_000, 8.0));
        history.add(instance("b"), &report(12_000, 2_000, 1.0));
        let expected = [(10_000, 3.0 + 1.0), (11_000, 1.0 + 6.0 + 1.0)];
        assert_eq!(samples(&history, 12_500), expected, "the open second is not over yet");
    }

    #[test]
    fn idle_seconds_are_zero_and_silent_ones_are_missing() {
        let mut history = History::default();
        history.add(instance("a"), &report(2_000, 1_000, 0.0));
        history.add(Source::Activator(ReporterId(1)), &report(5_000, 1_000, 3.0));
        assert_eq!(samples(&history, 9_000), [(1_000, 0.0), (4_000, 3.0)]);
    }

    #[test]
    fn what_is_older_than_any_window_is_not_lived_through_again() {
        let mut history = History::default();
        history.add(instance("a"), &report(60_000, 1_000, 1.0));
        history.add(instance("a"), &report(1_700_000_000_000, 1_000, 2.0));
        assert_eq!(samples(&history, 1_700_000_001_000), [(1_699_999_999_000, 2.0)]);
    }

    #[test]
    fn it_is_bounded() {
        let mut history = History::default();
        for second in 0..10_000 {
            history.add(instance("a"), &report(second * 1_000, 60_000, 1.0));
        }
        assert_eq!(history.len(), SECONDS_MAX);
        let mut early = History::default();
        early.add(instance("a"), &report(i64::MIN, 1_000, 1.0));
        early.add(instance("a"), &report(i64::MIN + 10, 60_000, 1.0));
        assert!(early.len() <= 1);
    }

    /// The story: reports from the future were taken for reports of now, all of them for the same
    /// second. A clock that was set back by an hour made sixty times the load of them.
    #[test]
    fn a_reporter_counts_once_in_each_second_whatever_its_clock_does() {
        let mut history = History::default();
        for _ in 0..60 {
            history.add(instance("a"), &report(20_000, 1_000, 4.0));
        }
        history.add(instance("a"), &report(5_000, 1_000, 4.0));
        history.add(instance("a"), &report(21_000, 60_000, 4.0));
        history.add(instance("b"), &report(21_000, 2_000, 1.0));
        assert_eq!(samples(&history, 22_000), [(19_000, 5.0), (20_000, 5.0)]);
    }
}
